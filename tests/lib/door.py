# SPDX-License-Identifier: Apache-2.0
"""A front door as most tests want it: one proxy with two listeners, `echo` before a service that
echoes and `hand` before one whose connections are the test's; and the certificates for all of
it."""
import contextlib
import functools
import os
import socket
import ssl

import certs
import rawtls
from proxyrig import Proxy
from rawtls12 import RawClient12
from upstream import Echo, Manual
from waiting import PATIENCE

SERVER_NAME = "broker-1.test.example"


class Pki:
    """Roots (two that are trusted, one that is not) and what the tests take from them; files in one
    folder."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.root = certs.Authority("Test root A")
        self.root_rsa = certs.Authority("Test root B", "rsa-2048")
        self.stranger = certs.Authority("Test root of strangers")
        self.intermediate = certs.Authority("Test intermediate", parent=self.root)
        self.root_files = [self.root.write(folder, "root-a"), self.root_rsa.write(folder, "root-b")]
        self._server = {}
        self._count = 0
        self.client = self.intermediate.issue(
            "svc-a", dns=["svc-a.example"], uris=["spiffe://example/ns/test/sa/svc-a"]
        )

    def server_files(self, kind="ec-p256"):
        """(certificate, key) of the front door's own."""
        if kind not in self._server:
            identity = self.intermediate.issue(
                "broker-1", kind, dns=[SERVER_NAME, "localhost"], usage="server"
            )
            self._server[kind] = identity.write(self.folder, "server-" + kind)
        return self._server[kind]

    def write(self, identity):
        self._count += 1
        return identity.write(self.folder, f"identity-{self._count}")

    def tls(self, kind="ec-p256", **more):
        """The `tls` section of a front door."""
        certificate, key = self.server_files(kind)
        return {"certificate": certificate, "key": key, "roots": self.root_files, **more}

    @functools.lru_cache(maxsize=None)
    def context(self, identity, *, version=ssl.TLSVersion.TLSv1_3, ciphers=None, alpn=()):
        """A stock client's context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for path in self.root_files:
            context.load_verify_locations(path)
        if ciphers:
            context.set_ciphers(ciphers)
        if identity:
            context.load_cert_chain(*self.write(identity))
        context.minimum_version = context.maximum_version = version
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


class Door:

    def __init__(
        self, folder, pki, loop, *, workers=1, tls=None, service_rcvbuf=None, process=None, nofile=None,
        hand=None, metrics="off", **options
    ):
        """`options`: more keys of both listeners: `timeouts`, `limits`, rules; `hand`: of that one
        alone. `service_rcvbuf`: SO_RCVBUF of the service behind `hand`. `process`: more of how the
        proxy is started."""
        self.pki, self.loop = pki, loop
        self.echo, self.hand = Echo(), Manual(rcvbuf=service_rcvbuf)
        listeners = [
            {
                "name": name,
                "role": "front",
                "upstream": service.endpoint,
                "tls": tls or pki.tls(),
                **options,
                **(hand or {} if name == "hand" else {}),
            }
            for name, service in (("echo", self.echo), ("hand", self.hand))
        ]
        self.proxy = Proxy(os.path.join(str(folder), "door"), listeners, loop=loop, workers=workers,
                           nofile=nofile, metrics=metrics, **(process or {}))
        self.line_of, self.reasons = self.proxy.line_of, self.proxy.reasons

    def start(self):
        self.proxy.start()
        with self.proxy.first_connection():
            with self.client("echo") as client:
                self.round_trip(client)
                client.finish()
                client.expect_end("close_notify")
            self.line_of(client.name)
        return self

    def close(self):
        self.echo.close()
        self.hand.close()

    # Clients.
    def raw(self, listener="hand", identity="svc-a", **how):
        """A raw client that has connected and said nothing yet."""
        identity = self.pki.client if identity == "svc-a" else identity
        how.setdefault("server_name", SERVER_NAME)
        return self._noted(rawtls.RawClient(self.proxy.address(listener), identity, **how))

    def _noted(self, client):
        self.proxy.note(client.name)
        return client

    def client(self, listener="hand", identity="svc-a", **how):
        return self.raw(listener, identity, **how).handshake()

    def client12(self, listener="hand", **how):
        client = RawClient12(self.proxy.address(listener), self.pki.client, **how)
        return self._noted(client).handshake()

    def pair(self, client=None, **how):
        """A client behind its handshake, and the upstream's end of it."""
        client = client or self.client(**how)
        return client, self.hand.accept()

    def tls(self, listener="echo", identity="svc-a", server_name=SERVER_NAME, rcvbuf=None, **how):
        """A stock client, as Python's ssl makes it."""
        identity = self.pki.client if identity == "svc-a" else identity
        sock = rawtls.connect(self.proxy.address(listener), rcvbuf)
        self.proxy.note(rawtls.text_of(sock.getsockname()))
        try:
            return self.pki.context(identity, **how).wrap_socket(sock, server_hostname=server_name)
        except BaseException:
            sock.close()
            raise

    @staticmethod
    def round_trip(client, size=3000):
        data = os.urandom(size)
        client.send_data(data)
        assert client.read_data(size) == data

    def works(self, source=None, listener="echo"):
        """Whether a whole connection from there goes well."""
        try:
            with self.client(listener, source=source) as client:
                self.round_trip(client)
                client.finish()
                client.expect_end("close_notify")
        except (OSError, rawtls.Ended):
            return False
        return True

    @contextlib.contextmanager
    def echo_beside(self):
        """A connection beside whatever happens inside; it must not notice."""
        with self.client("echo") as beside:
            self.round_trip(beside)
            yield beside
            self.round_trip(beside, 100000)
            beside.finish()
            beside.expect_end("close_notify")
        line = self.line_of(beside.name)
        assert (line["reason"], line["bytes_in"]) == ("client_closed", line["bytes_out"])

    @contextlib.contextmanager
    def counted(self, **expected):
        """Inside, these reasons are counted and no others, and a connection beside it does not
        notice."""
        with self.echo_beside() as beside, self.proxy.counted(**expected):
            yield
            self.round_trip(beside)

    def check(self):
        """After each test."""
        assert self.proxy.running(), f"the proxy has died:\n{self.proxy.tail()}"
        self.hand.idle()  # lets go of those whom the test did not pair
        self.proxy.wait_quiet()
        self.proxy.check_log()


def expect_eof(sock):
    """Nothing but FIN comes (what came before it, bytes)."""
    sock.settimeout(PATIENCE)
    data = bytearray()
    while more := sock.recv(1 << 16):
        data += more
    return bytes(data)


def reset_or_fin(sock):
    """Reads to the end of a socket that may end in any way; returns the bytes."""
    data = bytearray()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while more := sock.recv(1 << 16):
            data += more
    return bytes(data)


def plain_connect(door, listener="hand", source=None):
    """A TCP connection to the door with nothing on it, and its name in the log."""
    sock = rawtls.connect(door.proxy.address(listener), source=source)
    name = rawtls.text_of(sock.getsockname())
    door.proxy.note(name)
    return sock, name


def half_close(sock):
    sock.shutdown(socket.SHUT_WR)
