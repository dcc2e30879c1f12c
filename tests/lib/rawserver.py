# SPDX-License-Identifier: Apache-2.0
"""The server's side of TLS 1.3, for what an upstream may do to the egress role."""
import os

import tlswire as wire
from rawtls import RawTls
from tlskeys import SUITES13, Protection13, Schedule13


class RawServer(RawTls):
    """Takes an accepted socket; handshake() answers the client that is on it."""

    def __init__(self, sock, identity):
        super().__init__(sock)
        self.identity = identity
        self.server_name = self.client_chain = self.suite = None
        self.offered_alpn = []

    def read_hello(self):
        found = self.read_message()
        assert found[0] == wire.CLIENT_HELLO
        self.hello = found
        fields = wire.Reader(found[4 + 2 + 32:])
        self.session = fields.vec(1)
        offered = wire.Reader(fields.vec(2))
        suites = []
        while offered.left():
            suites.append(offered.number(2))
        self.suite = next(s for s in suites if s in SUITES13)
        fields.vec(1)
        extensions = fields.extensions()
        name = extensions.get(0)
        self.server_name = name[5:].decode() if name else None
        offered = (
            wire.Reader(wire.Reader(extensions[16]).vec(2))
            if 16 in extensions
            else wire.Reader(b"")
        )
        while offered.left():
            self.offered_alpn.append(offered.vec(1).decode())
        shares = wire.Reader(wire.Reader(extensions[51]).vec(2))
        while shares.left():
            group, public = shares.number(2), shares.vec(2)
            if group in (wire.X25519, *wire.CURVES):
                return group, public
        raise AssertionError("no share that we know")

    def flight(self, group, public, ask=True, alpn=None, spoil_signature=False):
        """Our whole flight as records; rx and tx are the handshake's afterwards."""
        share = wire.KeyShare(group)
        entry = group.to_bytes(2, "big") + wire.vec(2, share.public())
        extensions = wire.extension(43, b"\3\4") + wire.extension(51, entry)
        hello = wire.message(
            wire.SERVER_HELLO,
            b"\3\3"
            + os.urandom(32)
            + wire.vec(1, self.session)
            + self.suite.to_bytes(2, "big")
            + b"\0"
            + wire.vec(2, extensions),
        )
        self.schedule = schedule = Schedule13(self.suite)
        schedule.add(self.hello + hello)
        self._client_secret, server = schedule.handshake_secrets(share.shared(public))
        self.rx, self.tx = Protection13(self.suite, self._client_secret), Protection13(
            self.suite, server
        )
        chosen = wire.extension(16, wire.vec(2, wire.vec(1, alpn.encode()))) if alpn else b""
        messages = [wire.message(wire.ENCRYPTED_EXTENSIONS, wire.vec(2, chosen))]
        if ask:
            signatures = wire.extension(13, wire.vec(2, wire.u16s(wire.SIGNATURES)))
            messages.append(
                wire.message(wire.CERTIFICATE_REQUEST, wire.vec(1, b"") + wire.vec(2, signatures))
            )
        messages.append(wire.certificate13(self.identity.chain_der()))
        schedule.add(b"".join(messages))
        content = wire.verify13_content("server", schedule.digest())
        messages.append(
            wire.certificate_verify(
                self.identity.key, b"x" + content if spoil_signature else content
            )
        )
        schedule.add(messages[-1])
        messages.append(wire.message(wire.FINISHED, schedule.finished(server)))
        schedule.add(messages[-1])
        self._application = schedule.application_secrets()
        out = wire.plain_record(wire.HANDSHAKE, hello)
        out += b"".join(self.record(wire.HANDSHAKE, m) for m in messages)
        self.tx = Protection13(self.suite, self._application[1])
        return out

    def read_client_flight(self):
        """Certificate to Finished; then rx has the application key."""
        while True:
            found = self.read_message()
            if found[0] == wire.FINISHED:
                assert found[4:] == self.schedule.finished(self._client_secret)
                self.rx = Protection13(self.suite, self._application[0])
                return
            if found[0] == wire.CERTIFICATE:
                body = wire.Reader(found[4:])
                body.vec(1)
                entries, self.client_chain = wire.Reader(body.vec(3)), []
                while entries.left():
                    self.client_chain.append(entries.vec(3))
                    entries.vec(2)
            self.schedule.add(found)

    def handshake(self, **how):
        self.raw(self.flight(*self.read_hello(), **how))
        self.read_client_flight()
        return self
