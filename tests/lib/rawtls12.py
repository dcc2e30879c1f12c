# SPDX-License-Identifier: Apache-2.0
"""The same for TLS 1.2: ECDHE-ECDSA suites with AEAD, a client certificate with a P-256 key."""
import hashlib
import os

import tlswire as wire
from rawtls import RawTls, connect
from tlskeys import SUITES12, Protection12, prf12


class RawClient12(RawTls):

    def __init__(
        self, address, identity, *, suites=tuple(SUITES12), server_name=None, buffers=(None, None)
    ):
        super().__init__(connect(address, *buffers))
        self.identity, self.suites, self.server_name = identity, suites, server_name
        self.random, self.transcript = os.urandom(32), b""

    def hello(self):
        extensions = wire.common_extensions((wire.X25519, wire.P256), self.server_name, ())
        extensions.append(wire.extension(11, b"\1\0"))
        return wire.client_hello(self.random, b"", (*self.suites, 0x00FF), extensions)

    def say(self, found):
        self.transcript += found
        self.send(wire.HANDSHAKE, found)

    def hear(self, kind):
        found = self.read_message()
        assert found[0] == kind, f"message {found[0]} instead of {kind}"
        self.transcript += found
        return wire.Reader(found[4:])

    def handshake(self):
        self.say(self.hello())
        hello = self.hear(wire.SERVER_HELLO)
        assert hello.number(2) == 0x0303
        server_random = hello.take(32)
        hello.vec(1)
        self.suite = hello.number(2)
        self.hear(wire.CERTIFICATE)
        exchange = self.hear(wire.SERVER_KEY_EXCHANGE)
        assert exchange.number(1) == 3
        share = wire.KeyShare(exchange.number(2))
        premaster = share.shared(exchange.vec(1))
        self.hear(wire.CERTIFICATE_REQUEST)
        self.hear(wire.HELLO_DONE)
        self.say(wire.certificate12(self.identity.chain_der()))
        self.say(wire.message(wire.CLIENT_KEY_EXCHANGE, wire.vec(1, share.public())))
        self.say(wire.certificate_verify(self.identity.key, self.transcript))
        self._derive(premaster, server_random)
        self.send(wire.CCS, b"\1")
        self.tx = self.next_tx
        self.say(wire.message(wire.FINISHED, self._finished("client finished")))
        expected = self._finished("server finished")
        kind, data, _ = self.read_record()
        assert (kind, data) == (wire.CCS, b"\1")
        self.rx = self.next_rx
        assert self.hear(wire.FINISHED).data == expected
        return self

    def _derive(self, premaster, server_random):
        _, _, key_bytes, name = SUITES12[self.suite]
        iv_bytes = 12 if self.suite == 0xCCA9 else 4
        self.prf_hash = name
        self.master = prf12(name, premaster, "master secret", self.random + server_random, 48)
        block = wire.Reader(prf12(name, self.master, "key expansion", server_random + self.random,
                                  2 * (key_bytes + iv_bytes)))
        keys = block.take(key_bytes), block.take(key_bytes)
        self.next_tx, self.next_rx = (
            Protection12(self.suite, key, block.take(iv_bytes)) for key in keys
        )

    def _finished(self, label):
        return prf12(
            self.prf_hash,
            self.master,
            label,
            hashlib.new(self.prf_hash, self.transcript).digest(),
            12,
        )
