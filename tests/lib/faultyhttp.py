# SPDX-License-Identifier: Apache-2.0
"""A server in front of Vault or Consul that does what the real ones do on a bad day. A request is answered by the first
rule for it that is not used up, otherwise by the real server behind (`forward`), otherwise with 404:

    fake = FaultyHttp(forward=bao)
    fake.on("/v1/pki/sign/", errors(503, "Vault is sealed"), times=2)
    held = fake.on("/v1/kv/", Hold(forward()))

A reply is a function of the Exchange, which has the request and the client's socket. Nothing here waits for a fixed time:
what stalls does so until the client leaves, the test releases it, or close()."""
import contextlib
import dataclasses
import http.client
import json
import re
import socket
import ssl
import struct
import threading

from ports import claim_ports
from waiting import PATIENCE, wait_until

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclasses.dataclass
class Request:
    method: str
    path: str  # with the query
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Exchange:
    """One request of one connection."""

    def __init__(self, server, sock, request):
        self.server, self.sock, self.request = server, sock, request

    def send(self, data):
        self.sock.sendall(data)

    def send_head(self, status, length=None, headers=()):
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in dict(headers).items()]
        if length is not None and status not in (204, 304):
            lines.append(f"Content-Length: {length}")
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    def until_left(self):
        """Waits until the client has closed its side, or the server is closed."""
        with contextlib.suppress(OSError):
            while self.sock.recv(4096):
                pass
        raise ConnectionError


# Replies.
def text(status, body, **headers):
    """`headers` with underscores for dashes."""
    data = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def reply(exchange):
        exchange.send_head(status, len(data), named)
        exchange.send(data)
    return reply


def answer(status, value, **headers):
    return text(status, json.dumps(value), Content_Type="application/json", **headers)


def errors(status, *messages, **headers):
    """As Vault tells of what went wrong; errors(429, "...", Retry_After=3)."""
    return answer(status, {"errors": list(messages)}, **headers)


def redirect(url, status=307):
    return text(status, "", Location=url)


def forward(changed=lambda status, headers, body: (status, headers, body)):
    """What the real server behind says, as it is or `changed`."""
    def reply(exchange):
        status, headers, body = changed(*exchange.server.ask_real(exchange.request))
        exchange.send_head(status, len(body), headers)
        exchange.send(body)
    return reply


def garbage(data=b"\x00\xff\x16\x03\x01 this is no HTTP\r\n\r\n"):
    def reply(exchange):
        exchange.send(data)
        raise ConnectionError
    return reply


def stall(after=b""):
    """Says `after` (bytes, also half an answer), and nothing more."""
    def reply(exchange):
        exchange.send(after)
        exchange.until_left()
    return reply


def stall_in_body(status=200, body=b'{"data": {"certificate": "-----BEGIN', length=4096):
    """A good head and the beginning of a body that never ends."""
    def reply(exchange):
        exchange.send_head(status, length, {"Content-Type": "application/json"})
        exchange.send(body)
        exchange.until_left()
    return reply


def trickle(body, pause=0.2, status=200):
    """One byte at a time, for as long as the client listens."""
    def reply(exchange):
        exchange.send_head(status, len(body))
        for byte in body:
            exchange.send(bytes([byte]))
            if exchange.server.closing.wait(pause):
                raise ConnectionError
    return reply


def cut(status=200, body=b'{"data":', length=4096):
    """An orderly end in the midst of the body."""
    def reply(exchange):
        exchange.send_head(status, length)
        exchange.send(body)
        raise ConnectionError
    return reply


def reset(before=b""):
    """The connection is reset, after the client was told `before`."""
    def reply(exchange):
        exchange.send(before)
        exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionError
    return reply


class Huge:
    """A body of `size` bytes, announced or in chunks without end; `sent` is how many the client took."""

    def __init__(self, size=1 << 30, announced=True, status=200, start=b'{"data":{"certificate":"'):
        self.size, self.announced, self.status, self.start, self.sent = size, announced, status, start, 0

    def __call__(self, exchange):
        exchange.send_head(self.status, self.size if self.announced else None,
                           {} if self.announced else {"Transfer-Encoding": "chunked"})
        self._send(exchange, self.start)
        block = b"A" * (1 << 16)
        while self.sent < self.size:
            self._send(exchange, block[:self.size - self.sent])
        if not self.announced:
            exchange.send(b"0\r\n\r\n")

    def _send(self, exchange, data):
        exchange.send(data if self.announced else b"%x\r\n%s\r\n" % (len(data), data))
        self.sent += len(data)


def huge_head(exchange):
    """A head that does not end: a gibibyte of fields."""
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(1 << 20):
        exchange.send(b"X-%d: %s\r\n" % (number, b"a" * 1000))
    raise ConnectionError


class Hold:
    """Answers with `then` when the test says release(); `waiting` requests are held now."""

    def __init__(self, then):
        self._then, self._released, self.waiting = then, threading.Event(), 0
        self._lock = threading.Lock()

    def __call__(self, exchange):
        self._count(1)
        try:
            while not self._released.wait(0.05):
                if exchange.server.closing.is_set():
                    raise ConnectionError
        finally:
            self._count(-1)
        self._then(exchange)

    def _count(self, change):
        with self._lock:
            self.waiting += change

    def release(self):
        self._released.set()


class FaultyHttp:
    """`tls`: the certs.Identity that it shows (one that has expired, or is for another name, too). `forward`: a rig of
    child.HttpServer. It listens from the start; `requests` are all that came, in order."""

    def __init__(self, folder=None, *, tls=None, forward=None):
        self._folder, self._tls, self._real = folder, None, forward
        (self.port,) = claim_ports(1)
        self.scheme = "https" if tls else "http"
        self.requests, self.closing = [], threading.Event()
        self._rules, self._lock, self._sockets = [], threading.Lock(), set()
        if tls:
            self.show(tls)
        self.listen()
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"

    # Life.
    def listen(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._thread.start()

    def refuse(self):
        """Connections are refused, and those that are there are cut, until listen()."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)
        self.cut_all()

    def cut_all(self):
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.closing.set()
        self.refuse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def show(self, identity):
        """New connections get this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*identity.write(self._folder, "faulty"))
        self._tls = context

    # What tests say and ask.
    def on(self, path, reply, method=None, times=None):
        """`path` begins, as a regular expression, what comes from there; `times`: so often, then the next rule. Returns
        the reply."""
        with self._lock:
            self._rules.append([re.compile(path), method, times, reply])
        return reply

    def clear(self):
        """No rules any more."""
        with self._lock:
            self._rules.clear()

    def count(self, path="", method=None):
        return len(self.asked(path, method))

    def asked(self, path="", method=None):
        with self._lock:
            return [r for r in self.requests if re.match(path, r.path) and method in (None, r.method)]

    def expect(self, path="", count=1, method=None):
        """Waits for so many requests; returns them."""
        return wait_until(lambda: f"{count} requests of {path}, had {[r.path for r in self.asked()]}",
                          lambda: self.count(path, method) >= count and self.asked(path, method))

    # The inside.
    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                self._begin(sock)

    def _begin(self, sock):
        """Known before the next one is accepted: whoever ends the accepting can cut all."""
        with contextlib.suppress(OSError):  # of one that has gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            with self._lock:
                self._sockets.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            with contextlib.suppress(OSError):
                if isinstance(sock, ssl.SSLSocket):
                    sock.do_handshake()
                with sock.makefile("rb") as stream:
                    while request := self._read(stream):
                        self._reply_of(request)(Exchange(self, sock, request))
        finally:
            with self._lock:
                self._sockets.discard(sock)
            sock.close()

    @staticmethod
    def _read(stream):
        line = stream.readline(65536).decode("latin-1").split()
        if len(line) != 3:
            return None
        headers = http.client.parse_headers(stream)
        return Request(line[0], line[1], headers, stream.read(int(headers.get("Content-Length", 0))))

    def _reply_of(self, request):
        with self._lock:
            self.requests.append(request)
            for rule in self._rules:
                path, method, times, reply = rule
                if path.match(request.path) and method in (None, request.method) and times != 0:
                    rule[2] = times and times - 1
                    return reply
        return forward() if self._real else text(404, json.dumps({"errors": []}))

    def ask_real(self, request):
        """(status, headers, body)"""
        connection = self._real.connection()
        try:
            headers = {n: v for n, v in request.headers.items() if n.lower() not in _HOP_BY_HOP | {"host"}}
            connection.request(request.method, request.path, request.body or None, headers)
            told = connection.getresponse()
            kept = {n: v for n, v in told.headers.items() if n.lower() not in _HOP_BY_HOP}
            return told.status, kept, told.read()
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionError from error
        finally:
            connection.close()
