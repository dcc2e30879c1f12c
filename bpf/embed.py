#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py IN OUT: the bytes of a file as numbers of a C initializer."""
import sys
from pathlib import Path

data = Path(sys.argv[1]).read_bytes()
rows = (data[at:at + 24] for at in range(0, len(data), 24))
Path(sys.argv[2]).write_text("".join(",".join(map(str, row)) + ",\n" for row in rows), encoding="ascii")
