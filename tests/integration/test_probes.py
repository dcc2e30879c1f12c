# SPDX-License-Identifier: Apache-2.0
"""The static probes that tracers attach to are in the binary, each with its arguments."""
import re
import subprocess

from proxyrig import BINARY
from waiting import PATIENCE

ARGUMENTS = {"accept": 2, "handshake_done": 4, "refused": 4, "relay_start": 3, "close": 5, "limit": 2}


def test_probes_are_there():
    text = subprocess.run(["readelf", "--notes", BINARY], capture_output=True, text=True,
                          timeout=PATIENCE, check=True).stdout
    found = re.findall(r"Provider: sallyport\s+Name: (\w+)\s+Location.*\n\s+Arguments: (.*)", text)
    assert {name for name, _ in found} == set(ARGUMENTS)
    for name, arguments in found:
        assert len(arguments.split()) == ARGUMENTS[name], (name, arguments)
