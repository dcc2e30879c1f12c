# SPDX-License-Identifier: Apache-2.0
"""A Kafka broker's side of SASL/OAUTHBEARER, by hand: requests read, answers made good or bad,
tokens verified with somebody else's cryptography."""
import base64
import json
import pathlib
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from upstream import read_exactly


def framed(body):
    return struct.pack(">i", len(body)) + body


def handshake_answer(error=0, mechanisms=(b"OAUTHBEARER",), number=1):
    names = b"".join(struct.pack(">h", len(name)) + name for name in mechanisms)
    return framed(struct.pack(">ihi", number, error, len(mechanisms)) + names)


def authenticate_answer(error=0, message=None, auth=b"", number=2):
    text = struct.pack(">h", -1) if message is None else struct.pack(">h", len(message)) + message
    return framed(struct.pack(">ih", number, error) + text + struct.pack(">i", len(auth)) + auth +
                  struct.pack(">q", 3600000))


GOOD = handshake_answer() + authenticate_answer()
REFUSED = handshake_answer() + authenticate_answer(auth=b'{"status":"invalid_token"}')


def read_request(sock):
    """(api, version, number, body)"""
    (length,) = struct.unpack(">i", read_exactly(sock, 4))
    frame = read_exactly(sock, length)
    api, version, number, client_id = struct.unpack(">hhih", frame[:10])
    assert client_id == -1
    return api, version, number, frame[10:]


def read_requests(sock):
    """Both requests; returns the token."""
    assert read_request(sock) == (17, 1, 1, b"\0\x0bOAUTHBEARER")
    api, version, number, body = read_request(sock)
    assert (api, version, number) == (36, 1, 2)
    (length,) = struct.unpack(">i", body[:4])
    assert len(body) == 4 + length
    start, end = b"n,,\x01auth=Bearer ", b"\x01\x01"
    assert body[4:].startswith(start) and body.endswith(end), body
    return body[4 + len(start):-len(end)].decode()


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(text):
    return int.from_bytes(unpadded(text), "big")


def _verify(jwk, signed, signature):
    if jwk["alg"] == "EdDSA":
        assert (jwk["kty"], jwk["crv"]) == ("OKP", "Ed25519")
        key = ed25519.Ed25519PublicKey.from_public_bytes(unpadded(jwk["x"]))
        key.verify(signature, signed)
    elif jwk["alg"] == "ES256":
        assert (jwk["kty"], jwk["crv"], len(signature)) == ("EC", "P-256", 64)
        key = ec.EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]),
                                            ec.SECP256R1()).public_key()
        r, s = signature[:32], signature[32:]
        key.verify(utils.encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big")),
                   signed, ec.ECDSA(hashes.SHA256()))
    else:
        assert (jwk["kty"], jwk["alg"]) == ("RSA", "RS256")
        key = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
        key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())


def thumbprint(jwk):
    """RFC 7638."""
    members = {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
    digest = hashes.Hash(hashes.SHA256())
    digest.update(json.dumps(members, sort_keys=True, separators=(",", ":")).encode())
    return base64.urlsafe_b64encode(digest.finalize()).rstrip(b"=").decode()


def published(folder):
    """The keys of its jwks.json by their names."""
    keys = json.loads((pathlib.Path(folder) / "jwks.json").read_text())["keys"]
    for jwk in keys:
        assert jwk["kid"] == thumbprint(jwk) and jwk["use"] == "sig", jwk
        assert not {"d", "p", "q", "dp", "dq", "qi"} & set(jwk), "a private key is published"
    return {jwk["kid"]: jwk for jwk in keys}


def claims_of(token, folder):
    """(header, claims) of a token whose signature is good."""
    header_text, claims_text, signature = token.split(".")
    header = json.loads(unpadded(header_text))
    jwk = published(folder)[header["kid"]]
    assert header["alg"] == jwk["alg"] and header["typ"] == "JWT"
    _verify(jwk, f"{header_text}.{claims_text}".encode(), unpadded(signature))
    return header, json.loads(unpadded(claims_text))
