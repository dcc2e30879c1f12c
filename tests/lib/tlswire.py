# SPDX-License-Identifier: Apache-2.0
"""Handshake messages of TLS as bytes: only what the raw peers of the tests say and must
understand."""
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, x25519

CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
HELLO_REQUEST, CLIENT_HELLO, SERVER_HELLO, TICKET, ENCRYPTED_EXTENSIONS = 0, 1, 2, 4, 8
CERTIFICATE, SERVER_KEY_EXCHANGE, CERTIFICATE_REQUEST, HELLO_DONE = 11, 12, 13, 14
CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE, FINISHED, KEY_UPDATE = 15, 16, 20, 24
RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
X25519, P256, P384 = 29, 23, 24
CURVES = {P256: ec.SECP256R1, P384: ec.SECP384R1}
SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501)
ALERT_NAMES = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    116: "certificate_required",
    120: "no_application_protocol",
}
ALERTS = {name: number for number, name in ALERT_NAMES.items()}


def vec(size, data):
    """`data` behind its length in `size` bytes."""
    return len(data).to_bytes(size, "big") + data


def u16s(values):
    return b"".join(v.to_bytes(2, "big") for v in values)


def message(kind, body):
    return bytes([kind]) + vec(3, body)


def extension(number, body):
    return number.to_bytes(2, "big") + vec(2, body)


def plain_record(kind, data, version=0x0303):
    return bytes([kind]) + version.to_bytes(2, "big") + vec(2, data)


def cut(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)] or [b""]


class Reader:
    """Reads a message's fields in order."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        part = self.data[self.at:self.at + n]
        assert len(part) == n, "a message ended too early"
        self.at += n
        return part

    def number(self, n):
        return int.from_bytes(self.take(n), "big")

    def vec(self, n):
        return self.take(self.number(n))

    def left(self):
        return len(self.data) - self.at

    def extensions(self):
        found, inner = {}, Reader(self.vec(2)) if self.left() else Reader(b"")
        while inner.left():
            number = inner.number(2)
            found[number] = inner.vec(2)
        return found


class KeyShare:
    def __init__(self, group):
        self.group = group
        self.key = (
            x25519.X25519PrivateKey.generate()
            if group == X25519
            else ec.generate_private_key(CURVES[group]())
        )

    def public(self):
        if self.group == X25519:
            return self.key.public_key().public_bytes(
                serialization.Encoding.Raw, serialization.PublicFormat.Raw
            )
        return self.key.public_key().public_bytes(serialization.Encoding.X962,
                                                  serialization.PublicFormat.UncompressedPoint)

    def shared(self, public):
        if self.group == X25519:
            return self.key.exchange(x25519.X25519PublicKey.from_public_bytes(public))
        return self.key.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVES[self.group](), public)
        )


def client_hello(random, session, suites, extensions, version=0x0303):
    return message(
        CLIENT_HELLO,
        version.to_bytes(2, "big")
        + random
        + vec(1, session)
        + vec(2, u16s(suites))
        + b"\1\0"
        + vec(2, b"".join(extensions)),
    )


def common_extensions(groups, server_name, alpn):
    found = [extension(10, vec(2, u16s(groups))), extension(13, vec(2, u16s(SIGNATURES)))]
    if server_name:
        found.append(extension(0, vec(2, b"\0" + vec(2, server_name.encode()))))
    if alpn:
        found.append(extension(16, vec(2, b"".join(vec(1, p.encode()) for p in alpn))))
    return found


def certificate13(chain, context=b""):
    return message(
        CERTIFICATE, vec(1, context) + vec(3, b"".join(vec(3, c) + b"\0\0" for c in chain))
    )


def certificate12(chain):
    return message(CERTIFICATE, vec(3, b"".join(vec(3, c) for c in chain)))


def scheme_of(key):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return 0x0807
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return 0x0503 if key.curve.key_size == 384 else 0x0403
    return 0x0804


def sign(key, data):
    """The signature with the scheme of scheme_of()."""
    scheme = scheme_of(key)
    if scheme == 0x0807:
        return key.sign(data)
    if scheme in (0x0403, 0x0503):
        return key.sign(data, ec.ECDSA(hashes.SHA384() if scheme == 0x0503 else hashes.SHA256()))
    return key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def certificate_verify(key, data):
    return message(CERTIFICATE_VERIFY, scheme_of(key).to_bytes(2, "big") + vec(2, sign(key, data)))


def verify13_content(who, digest):
    return b" " * 64 + f"TLS 1.3, {who} CertificateVerify".encode() + b"\0" + digest


def key_update(request):
    return message(KEY_UPDATE, bytes([1 if request else 0]))
