# SPDX-License-Identifier: Apache-2.0
"""A TLS 1.3 client whose every byte is the test's: it can do all that a stock client never would.

The steps of the handshake are methods of their own, so that a test may stop, cut, join or spoil
anywhere; handshake() does them all. Reading understands alerts, closes and KeyUpdates of the proxy,
whatever the state."""
import collections
import os
import socket
import struct

import tlswire as wire
from tlskeys import SUITES13, Protection13, Schedule13
from waiting import PATIENCE

Alert = collections.namedtuple("Alert", "level name encrypted")
Record = collections.namedtuple("Record", "kind data encrypted")
WARNING, FATAL = 1, 2


class Ended(Exception):
    """The peer has sent FIN."""


def text_of(address):
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) and address else "unix"


def connect(address, rcvbuf=None, sndbuf=None, source=None):
    """A TCP connection to (host, port), or to the unix socket with the path `address`. `source`: an
    address of this host to come from."""
    sock = socket.socket(
        socket.AF_UNIX if isinstance(address, str) else socket.AF_INET, socket.SOCK_STREAM
    )
    sock.settimeout(PATIENCE)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    if sndbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
    if source:
        sock.bind((source, 0))
    sock.connect(address)
    if not isinstance(address, str):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class RawTls:
    """Records in both directions over a socket; rx and tx are Protections, None while in clear."""

    def __init__(self, sock):
        self.sock = sock
        self.name = text_of(sock.getsockname())
        self.rx = self.tx = None
        self._bytes, self._messages = b"", b""
        self.data = bytearray()  # what came and was not asked for yet
        self.key_updates = []  # request flag of each KeyUpdate that came
        self.tickets = 0
        self.last_record = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    # Sending.
    def raw(self, data):
        self.sock.sendall(data)

    def record(self, kind, data, **how):
        return self.tx.seal(kind, data, **how) if self.tx else wire.plain_record(kind, data)

    def send(self, kind, data, **how):
        self.raw(self.record(kind, data, **how))

    def data_records(self, data, size=16384):
        return b"".join(self.record(wire.DATA, part) for part in wire.cut(data, size))

    def send_data(self, data, size=16384):
        for part in wire.cut(data, 64 * size):
            self.raw(self.data_records(part, size))

    def send_alert(self, name, level=FATAL):
        self.send(wire.ALERT, bytes([level, wire.ALERTS[name]]))

    def close_notify(self):
        self.send_alert("close_notify", WARNING)

    def finish(self):
        """Our half ends in order: close_notify, FIN."""
        self.close_notify()
        self.sock.shutdown(socket.SHUT_WR)

    def key_update(self, request=False):
        self.send(wire.HANDSHAKE, wire.key_update(request))
        self.tx.update()

    def reset(self):
        reset(self.sock)

    # Reading.
    def _need(self, n):
        while len(self._bytes) < n:
            more = self.sock.recv(1 << 18)
            if not more:
                assert (
                    not self._bytes
                ), f"the stream ended in mid-record, after {self._bytes[:32].hex()}"
                raise Ended()
            self._bytes += more

    def read_record(self):
        self._need(5)
        header, length = self._bytes[:5], int.from_bytes(self._bytes[3:5], "big")
        assert (
            header[0] in (20, 21, 22, 23) and header[1] == 3
        ), f"not a record: {self._bytes[:64]!r}"
        self._need(5 + length)
        body, self._bytes = self._bytes[5:5 + length], self._bytes[5 + length:]
        if self.rx and (header[0] == wire.DATA or not isinstance(self.rx, Protection13)):
            self.last_record = Record(*self.rx.open(header, body), True)
            assert len(self.last_record.data) <= 16384
        else:
            self.last_record = Record(header[0], body, False)
        return self.last_record

    def read_message(self):
        """One handshake message, header included."""
        while len(self._messages) < 4 or len(self._messages) < 4 + int.from_bytes(
            self._messages[1:4], "big"
        ):
            kind, data, _ = self.read_record()
            if kind == wire.CCS:
                continue
            assert (
                kind == wire.HANDSHAKE
            ), f"record type {kind} in the handshake: {self._describe(kind, data)}"
            self._messages += data
        size = 4 + int.from_bytes(self._messages[1:4], "big")
        found, self._messages = self._messages[:size], self._messages[size:]
        return found

    @staticmethod
    def _describe(kind, data):
        return (
            f"alert {wire.ALERT_NAMES.get(data[1], data[1])}"
            if kind == wire.ALERT
            else data[:16].hex()
        )

    def _on_handshake(self, data):
        self._messages += data
        while len(self._messages) >= 4:
            found = self.read_message()
            if found[0] == wire.KEY_UPDATE:
                assert not self._messages, "a KeyUpdate must end its record"
                self.key_updates.append(bool(found[4]))
                self.rx.update()
            elif found[0] == wire.TICKET:
                self.tickets += 1
            else:
                raise AssertionError(f"handshake message {found[0]} in the stream")

    def step(self):
        """Takes one record in; returns an Alert, or None. Data goes to self.data."""
        kind, data, encrypted = self.read_record()
        if kind == wire.DATA:
            assert encrypted, "application data in clear"
            self.data += data
        elif kind == wire.HANDSHAKE:
            self._on_handshake(data)
        elif kind == wire.ALERT:
            assert len(data) == 2, f"an alert of {len(data)} bytes"
            return Alert(data[0], wire.ALERT_NAMES.get(data[1], data[1]), encrypted)
        return None

    def read_data(self, n):
        while len(self.data) < n:
            alert = self.step()
            assert alert is None, f"{alert} after {len(self.data)} of {n} bytes"
        found, self.data = bytes(self.data[:n]), self.data[n:]
        return found

    def read_alert(self):
        """The next alert; data before it is kept."""
        while True:
            alert = self.step()
            if alert:
                return alert

    def read_end(self):
        """What is to be the very last thing: an alert, then FIN, nothing between and no reset."""
        alert = self.read_alert()
        try:
            more = self.read_record()
        except Ended:
            return alert
        raise AssertionError(f"{more} after {alert}")

    def expect_end(self, name, level=None, encrypted=True):
        alert = self.read_end()
        level = level or (WARNING if name == "close_notify" else FATAL)
        assert alert == Alert(level, name, encrypted)


class RawClient(RawTls):
    """The client's side of TLS 1.3. `identity` is of certs.py, or None: an empty certificate
    list."""

    def __init__(
        self,
        address,
        identity=None,
        *,
        suites=tuple(SUITES13),
        groups=(wire.X25519, wire.P256, wire.P384),
        shares=(wire.X25519,),
        server_name=None,
        alpn=(),
        versions=(0x0304,),
        buffers=(None, None),
        source=None,
        preface=b"",
    ):
        """`preface`: what goes before the first record, in one piece with it."""
        super().__init__(connect(address, *buffers, source=source))
        self._preface = preface
        self.identity, self.suites, self.groups, self.shares = identity, suites, groups, shares
        self.server_name, self.alpn, self.versions = server_name, alpn, versions
        self.random, self.session = os.urandom(32), os.urandom(32)
        self.keys = {}
        self.schedule = self.suite = self.server_chain = self.selected_alpn = (
            self.request_context
        ) = None
        self._sent_hello = b""

    def hello(self, shares=None, extra=()):
        self.keys = {
            group: wire.KeyShare(group) for group in (self.shares if shares is None else shares)
        }
        entries = b"".join(
            g.to_bytes(2, "big") + wire.vec(2, k.public()) for g, k in self.keys.items()
        )
        extensions = wire.common_extensions(self.groups, self.server_name, self.alpn)
        extensions += [
            wire.extension(43, wire.vec(1, wire.u16s(self.versions))),
            wire.extension(51, wire.vec(2, entries)),
            wire.extension(45, b"\1\1"),
            *extra,
        ]
        return wire.client_hello(self.random, self.session, self.suites, extensions)

    def send_hello(self, fragment=16384, **how):
        self._sent_hello = self.hello(**how)
        preface, self._preface = self._preface, b""
        self.raw(
            preface
            + b"".join(
                wire.plain_record(wire.HANDSHAKE, p, 0x0301)
                for p in wire.cut(self._sent_hello, fragment)
            )
        )

    def _retry(self, found):
        """A HelloRetryRequest: the transcript begins with a hash, and another share is sent."""
        fields = wire.Reader(found[4 + 2 + 32:])
        fields.vec(1)
        suite, _ = fields.number(2), fields.number(1)
        group = int.from_bytes(fields.extensions()[51], "big")
        first = Schedule13(suite)
        first.add(self._sent_hello)
        start = wire.message(254, first.digest()) + found
        self.send_hello(shares=(group,))
        self._sent_hello = start + self._sent_hello
        return self.read_message()

    def read_server_flight(self):
        """ServerHello to Finished, verified; then rx has the application key."""
        found = self.read_message()
        if found[6:38] == wire.RETRY_RANDOM:
            found = self._retry(found)
        assert found[0] == wire.SERVER_HELLO
        fields = wire.Reader(found[4 + 2 + 32:])
        assert fields.vec(1) == self.session
        self.suite, _ = fields.number(2), fields.number(1)
        share = wire.Reader(fields.extensions()[51])
        self.schedule = Schedule13(self.suite)
        self.schedule.add(self._sent_hello + found)
        shared = self.keys[share.number(2)].shared(share.vec(2))
        client, server = self.schedule.handshake_secrets(shared)
        self.rx, self._client_secret = Protection13(self.suite, server), client
        while True:
            found = self.read_message()
            if found[0] == wire.FINISHED:
                assert found[4:] == self.schedule.finished(server)
            self.schedule.add(found)
            if found[0] == wire.FINISHED:
                break
            self._note(found)
        self._application = self.schedule.application_secrets()
        self.rx = Protection13(self.suite, self._application[1])
        self.tx = Protection13(self.suite, self._client_secret)

    def _note(self, found):
        body = wire.Reader(found[4:])
        if found[0] == wire.ENCRYPTED_EXTENSIONS:
            alpn = body.extensions().get(16)
            self.selected_alpn = alpn[3:].decode() if alpn else None
        elif found[0] == wire.CERTIFICATE_REQUEST:
            self.request_context = body.vec(1)
        elif found[0] == wire.CERTIFICATE:
            body.vec(1)
            entries, self.server_chain = wire.Reader(body.vec(3)), []
            while entries.left():
                self.server_chain.append(entries.vec(3))
                entries.vec(2)

    def flight(self, spoil_signature=False):
        """Our Certificate, CertificateVerify and Finished, as messages; part of the transcript from
        now on."""
        assert self.request_context is not None, "no certificate was asked for"
        chain = self.identity.chain_der() if self.identity else []
        messages = [wire.certificate13(chain, self.request_context)]
        self.schedule.add(messages[0])
        if chain:
            content = wire.verify13_content("client", self.schedule.digest())
            messages.append(
                wire.certificate_verify(
                    self.identity.key, b"x" + content if spoil_signature else content
                )
            )
            self.schedule.add(messages[1])
        messages.append(wire.message(wire.FINISHED, self.schedule.finished(self._client_secret)))
        self.schedule.add(messages[-1])
        return messages

    def flight_records(self, fragment=16384, coalesce=False, ccs=True, **how):
        """Our flight as records; tx has the application key afterwards. `coalesce`: messages share
        records."""
        messages = self.flight(**how)
        if coalesce:
            messages = [b"".join(messages)]
        out = wire.plain_record(wire.CCS, b"\1") if ccs else b""
        out += b"".join(
            self.record(wire.HANDSHAKE, part) for m in messages for part in wire.cut(m, fragment)
        )
        self.tx = Protection13(self.suite, self._application[0])
        return out

    def handshake(self):
        self.send_hello()
        self.read_server_flight()
        self.raw(self.flight_records())
        return self
