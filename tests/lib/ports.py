# SPDX-License-Identifier: Apache-2.0
"""Ports for servers of tests that come and go. Only the standard library: a VM has no more."""
import random
import socket

# Below the range from which the system takes those of outgoing connections, and those of proxyrig.
_PORTS = range(10240, 12000)
_claims = []  # sockets whose names say that something is this process's, for as long as it lives


def _claim(what):
    """None: another process of these tests has it. The unit tests claim by the same names."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0sallyport-test-{what}")
    except OSError:
        claim.close()
        return None
    return claim


def claim(what):
    """Whether it is this process's now, and no other test run's."""
    if found := _claim(what):
        _claims.append(found)
    return found is not None


def is_free(port):
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def claim_row(count):
    """The first of so many ports in a row that are free and stay ours while the servers that have them are down: no
    other tests of this machine get them."""
    for first in random.sample(_PORTS[:-count], len(_PORTS) - count):
        row = []
        for port in range(first, first + count):
            if not (found := is_free(port) and _claim(f"port-{port}")):
                break
            row.append(found)
        if len(row) == count:
            _claims.extend(row)
            return first
        for found in row:
            found.close()
    raise AssertionError(f"no {count} free ports in a row")


def claim_ports(count):
    """So many, wherever they are."""
    return [claim_row(1) for _ in range(count)]
