# SPDX-License-Identifier: Apache-2.0
"""The service manager's side, as systemd does it: the notification socket, and sockets that are
handed over at start."""
import contextlib
import os
import socket
import sys

from waiting import PATIENCE, wait_until


class Manager:
    """Hears what the process tells: a list of dictionaries."""

    def __init__(self, folder):
        self.path = os.path.join(str(folder), "notify")
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(self.path)
        self._sock.setblocking(False)
        self._messages = []
        self.env = {"NOTIFY_SOCKET": self.path}

    def messages(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                text = self._sock.recv(8192).decode()
                self._messages.append(dict(line.split("=", 1) for line in text.splitlines()))
        return self._messages

    def expect(self, since=0, **fields):
        """Waits for a message with these fields (None: with any value); returns it and the count of
        messages up to it."""
        def find():
            for i, found in enumerate(self.messages()):
                if i >= since and all(k in found and v in (None, found[k])
                                      for k, v in fields.items()):
                    return found, i + 1
            return None
        return wait_until(lambda: f"{fields} of {self._messages[since:]}", find, PATIENCE)

    def close(self):
        self._sock.close()


_ACTIVATE = """
import os, sys
fds = [os.dup(int(fd)) for fd in sys.argv[1].split(",")]
keep = [os.dup2(fd, 1000 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(keep):
    os.dup2(fd, 3 + i, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid() + int(sys.argv[2])), LISTEN_FDS=str(len(fds)))
os.execv(sys.argv[3], sys.argv[3:])
"""


def activate(proxy, *sockets, names=None, pid_offset=0):
    """The next start of this Proxy gets the listening sockets, as of a socket unit. `pid_offset`:
    they are for another process."""
    fds = [sock.fileno() for sock in sockets]
    proxy.pass_fds = fds
    proxy.wrapper = [sys.executable, "-c", _ACTIVATE, ",".join(map(str, fds)), str(pid_offset)]
    proxy.env.pop("LISTEN_FDNAMES", None)
    if names:
        proxy.env["LISTEN_FDNAMES"] = ":".join(names)
