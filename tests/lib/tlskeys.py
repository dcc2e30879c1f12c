# SPDX-License-Identifier: Apache-2.0
"""Key schedules and record protection of TLS 1.3 (RFC 8446) and TLS 1.2 (RFC 5246, 5288, 7905),
written for tests: every part can be called with wrong arguments."""
import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

# suite -> (name, AEAD, key bytes, hash)
SUITES13 = {0x1301: ("TLS_AES_128_GCM_SHA256", AESGCM, 16, "sha256"),
            0x1302: ("TLS_AES_256_GCM_SHA384", AESGCM, 32, "sha384"),
            0x1303: ("TLS_CHACHA20_POLY1305_SHA256", ChaCha20Poly1305, 32, "sha256")}
SUITES12 = {0xC02B: ("ECDHE-ECDSA-AES128-GCM-SHA256", AESGCM, 16, "sha256"),
            0xC02C: ("ECDHE-ECDSA-AES256-GCM-SHA384", AESGCM, 32, "sha384"),
            0xCCA9: ("ECDHE-ECDSA-CHACHA20-POLY1305", ChaCha20Poly1305, 32, "sha256")}
BadMac = InvalidTag


def expand(name, secret, info, length):
    out, block, i = b"", b"", 1
    while len(out) < length:
        block = hmac.digest(secret, block + info + bytes([i]), name)
        out, i = out + block, i + 1
    return out[:length]


def expand_label(name, secret, label, context, length):
    label = b"tls13 " + label.encode()
    info = length.to_bytes(2, "big") + bytes([len(label)]) + label + bytes([len(context)]) + context
    return expand(name, secret, info, length)


class Schedule13:
    """The TLS 1.3 key schedule without PSK, with the transcript."""

    def __init__(self, suite):
        self.suite, self.hash = suite, SUITES13[suite][3]
        self.size = hashlib.new(self.hash).digest_size
        self.transcript = b""
        early = hmac.digest(bytes(self.size), bytes(self.size), self.hash)
        self.secret = self._derived(early)

    def _derived(self, secret):
        return expand_label(
            self.hash, secret, "derived", hashlib.new(self.hash).digest(), self.size
        )

    def _traffic(self, label):
        return expand_label(self.hash, self.secret, label, self.digest(), self.size)

    def digest(self):
        return hashlib.new(self.hash, self.transcript).digest()

    def add(self, message):
        self.transcript += message

    def handshake_secrets(self, shared):
        """After ServerHello: (client, server) handshake traffic secrets."""
        self.secret = hmac.digest(self.secret, shared, self.hash)
        return self._traffic("c hs traffic"), self._traffic("s hs traffic")

    def application_secrets(self):
        """After the server's Finished: (client, server) application traffic secrets."""
        self.secret = hmac.digest(self._derived(self.secret), bytes(self.size), self.hash)
        return self._traffic("c ap traffic"), self._traffic("s ap traffic")

    def finished(self, traffic_secret):
        key = expand_label(self.hash, traffic_secret, "finished", b"", self.size)
        return hmac.digest(key, self.digest(), self.hash)


class Protection13:
    """One direction under one traffic secret."""

    def __init__(self, suite, secret):
        self.suite, self.secret, self.sequence, self.generation = suite, secret, 0, 0
        self._derive()

    def _derive(self):
        _, aead, key_bytes, name = SUITES13[self.suite]
        self.aead = aead(expand_label(name, self.secret, "key", b"", key_bytes))
        self.iv = expand_label(name, self.secret, "iv", b"", 12)

    def update(self):
        name = SUITES13[self.suite][3]
        self.secret = expand_label(name, self.secret, "traffic upd", b"", len(self.secret))
        self.sequence, self.generation = 0, self.generation + 1
        self._derive()

    def _nonce(self):
        nonce = bytes(a ^ b for a, b in zip(self.iv, self.sequence.to_bytes(12, "big")))
        self.sequence += 1
        return nonce

    def seal(self, kind, data, padding=0, outer=23, spoil=False):
        body = data + bytes([kind]) + bytes(padding) if kind is not None else data + bytes(padding)
        header = bytes([outer, 3, 3]) + (len(body) + 16).to_bytes(2, "big")
        sealed = bytearray(self.aead.encrypt(self._nonce(), body, header))
        if spoil:
            sealed[-1] ^= 1
        return header + bytes(sealed)

    def open(self, header, body):
        plain = self.aead.decrypt(self._nonce(), body, header).rstrip(b"\0")
        return plain[-1], plain[:-1]


def prf12(name, secret, label, seed, length):
    out, a = b"", label.encode() + seed
    seed = a
    while len(out) < length:
        a = hmac.digest(secret, a, name)
        out += hmac.digest(secret, a + seed, name)
    return out[:length]


class Protection12:
    """One direction of TLS 1.2 with an AEAD suite."""

    def __init__(self, suite, key, iv):
        self.aead, self.iv, self.sequence = SUITES12[suite][1](key), iv, 0
        self.explicit = len(iv) == 4

    def seal(self, kind, data, spoil=False):
        additional = (
            self.sequence.to_bytes(8, "big") + bytes([kind, 3, 3]) + len(data).to_bytes(2, "big")
        )
        prefix = self.sequence.to_bytes(8, "big") if self.explicit else b""
        sealed = bytearray(self.aead.encrypt(self._nonce(prefix), data, additional))
        if spoil:
            sealed[-1] ^= 1
        body = prefix + bytes(sealed)
        return bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body

    def _nonce(self, explicit):
        sequence, self.sequence = self.sequence, self.sequence + 1
        if self.explicit:
            return self.iv + explicit
        return bytes(a ^ b for a, b in zip(self.iv, sequence.to_bytes(12, "big")))

    def open(self, header, body):
        explicit, sealed = (body[:8], body[8:]) if self.explicit else (b"", body)
        additional = (
            self.sequence.to_bytes(8, "big") + header[:3] + (len(sealed) - 16).to_bytes(2, "big")
        )
        return header[0], self.aead.decrypt(self._nonce(explicit), sealed, additional)
