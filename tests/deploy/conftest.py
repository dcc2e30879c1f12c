# SPDX-License-Identifier: Apache-2.0
"""The rigs of tests/lib, for the tests here that need servers."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
