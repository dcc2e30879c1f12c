# SPDX-License-Identifier: Apache-2.0
"""Services behind the proxy: one that echoes, one whose every connection is handed to the test."""
import contextlib
import queue
import socket
import threading

from waiting import PATIENCE


def listen(address=("127.0.0.1", 0), backlog=4096, rcvbuf=None):
    sock = socket.socket(
        socket.AF_UNIX if isinstance(address, str) else socket.AF_INET, socket.SOCK_STREAM
    )
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    sock.bind(address)
    sock.listen(backlog)
    return sock


def endpoint(sock):
    """How a configuration names it."""
    name = sock.getsockname()
    return "unix:" + name if isinstance(name, str) else f"{name[0]}:{name[1]}"


class _Service:
    """Accepts on a thread of its own until close()."""

    def __init__(self, address=("127.0.0.1", 0), **how):
        self.listener = listen(address, **how)
        self.endpoint = endpoint(self.listener)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                self._on_accept(*self.listener.accept())

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(PATIENCE)


class Echo(_Service):
    """Sends back what comes; ends when its peer has."""

    def _on_accept(self, sock, _):
        threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    @staticmethod
    def _serve(sock):
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(1 << 18):
                sock.sendall(data)


class Manual(_Service):
    """The test takes each connection with accept()."""

    def __init__(self, *args, **how):
        self._accepted = queue.Queue()
        super().__init__(*args, **how)

    def _on_accept(self, sock, peer):
        sock.settimeout(PATIENCE)
        self._accepted.put((sock, peer))

    def accept(self):
        return self._take()[0]

    def _take(self):
        try:
            return self._accepted.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError("the proxy did not connect to the upstream") from None

    def idle(self):
        """True if nobody has come whom the test did not accept. A connection of our own goes last
        through the queue, so that nobody can be still on the way."""
        others = 0
        with socket.create_connection(self.listener.getsockname(), PATIENCE) as marker:
            while True:
                sock, peer = self._take()
                sock.close()
                if peer == marker.getsockname():
                    return not others
                others += 1


def read_exactly(sock, n):
    data = bytearray()
    while len(data) < n:
        more = sock.recv(min(n - len(data), 1 << 18))
        assert more, f"end of stream after {len(data)} of {n} bytes"
        data += more
    return bytes(data)


def read_to_end(sock):
    data = bytearray()
    while more := sock.recv(1 << 18):
        data += more
    return bytes(data)


def end_of(sock):
    """How the stream ends, what is left of it thrown away: "fin" or "reset"."""
    try:
        read_to_end(sock)
    except ConnectionResetError:
        return "reset"
    return "fin"
