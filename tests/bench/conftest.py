# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' own modules are found as they find each other; and what tests share."""
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SALLYPORT_BUILD", ROOT / "build-tests"))
sys.path[:0] = [str(ROOT / "bench" / "lib"), str(ROOT / "tests" / "lib")]
