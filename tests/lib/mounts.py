# SPDX-License-Identifier: Apache-2.0
"""A process with file systems of its own: small disks, and files where it looks for them. Needs root."""
import contextlib
import ctypes
import os
import subprocess

import pytest

CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)


def in_own_mounts(prepare):
    """For a new process: `prepare(mount)` in a mount namespace of its own, which ends with it."""
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no mount namespace may be made here: needs root")

    def mount(source, target, kind=None, flags=0, options=None):
        encode = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
        if libc.mount(encode[0], encode[1], encode[2], flags, encode[3]):
            raise OSError(ctypes.get_errno(), "mount " + target)

    def before_exec():
        if libc.unshare(CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "unshare")
        mount(None, "/", flags=MS_REC | MS_PRIVATE)
        prepare(mount)
    return before_exec


def fill(path):
    """Takes what room there is."""
    with open(path, "wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(bytes(1024)):
            pass
