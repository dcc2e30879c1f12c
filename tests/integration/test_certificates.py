# SPDX-License-Identifier: Apache-2.0
"""Certificates that must not pass: each gets the right alert, one counted reason, one line that
says who it claimed to be; a connection beside it does not notice."""
import ssl

import certs
import pytest
from certs import DAY, Authority, Identity, now

PAST, FUTURE = {"not_before": now() - 9 * DAY, "not_after": now() - DAY}, {
    "not_before": now() + DAY
}


def bad_intermediate(root, **options):
    return Authority("Bad intermediate", parent=root, **options).issue(
        "svc-bad", dns=["svc-bad.example"]
    )


def with_foreign_key(root):
    """A good certificate in the hands of somebody who does not have its key."""
    good = root.issue("svc-a")
    return Identity(good.certificate, certs.new_key("ec-p256"))


def leaf_as_ca(root):
    """A certificate that signs although it may not."""
    leaf = root.issue("svc-a")
    false_ca = Authority("svc-a", parent=root)
    false_ca.key, false_ca.certificate = leaf.key, leaf.certificate
    return false_ca.issue("svc-forged", key=certs.new_key("ec-p256"))


def below_path_length(root):
    first = Authority("Path length 0", parent=root, path_length=0)
    return Authority("One too deep", parent=first).issue("svc-bad")


def broken_signature(root):
    good = root.issue("svc-a")
    blob = bytearray(certs.der(good.certificate))
    blob[-1] ^= 1
    return _Bytes([bytes(blob)], good.key)


class _Bytes(Identity):
    """A chain of anything."""

    def __init__(self, blobs, key):
        super().__init__(None, key)
        self.blobs = blobs

    def chain_der(self):
        return self.blobs


# name -> (maker, reason, alert)
CASES = {
    "none": (lambda pki: None, "no_certificate", "certificate_required"),
    "wrong CA": (lambda pki: pki.stranger.issue("svc-bad"), "unknown_ca", "unknown_ca"),
    "wrong CA with its root": (
        lambda pki: pki.stranger.issue("svc-bad", chain=[pki.stranger.certificate]),
        "unknown_ca",
        "unknown_ca",
    ),
    "intermediate missing": (
        lambda pki: pki.intermediate.issue("svc-bad", chain=[]),
        "unknown_ca",
        "unknown_ca",
    ),
    "same name, other key": (
        lambda pki: _impostor(pki).issue("svc-bad"),
        "unknown_ca",
        "unknown_ca",
    ),
    "expired": (lambda pki: pki.root.issue("svc-bad", **PAST), "expired", "certificate_expired"),
    "not yet valid": (
        lambda pki: pki.root.issue("svc-bad", **FUTURE),
        "not_yet_valid",
        "bad_certificate",
    ),
    "expired intermediate": (
        lambda pki: bad_intermediate(pki.root, **PAST),
        "expired",
        "certificate_expired",
    ),
    "a server's": (
        lambda pki: pki.root.issue("svc-bad", usage="server"),
        "wrong_purpose",
        "unsupported_certificate",
    ),
    "for mail": (
        lambda pki: pki.root.issue("svc-bad", usage="mail"),
        "wrong_purpose",
        "unsupported_certificate",
    ),
    "self-signed": (lambda pki: certs.self_signed("svc-bad"), "self_signed", "unknown_ca"),
    "RSA of 1024 bits": (
        lambda pki: pki.root.issue("svc-bad", "rsa-1024"),
        "weak_key",
        "bad_certificate",
    ),
    "signed by RSA of 1024 bits": (
        lambda pki: Authority("Weak", "rsa-1024", pki.root).issue("svc-bad"),
        "weak_key",
        "bad_certificate",
    ),
    "name constraint": (
        lambda pki: bad_intermediate(pki.root, permitted=["other.example"]),
        "name_constraint",
        "certificate_unknown",
    ),
    "path length": (lambda pki: below_path_length(pki.root), "path_length", "unknown_ca"),
    "signed by a leaf": (lambda pki: leaf_as_ca(pki.root), "bad_certificate", "unknown_ca"),
    "chain of 50": (lambda pki: certs.long_chain(pki.root, 50), "chain_too_long", "unknown_ca"),
    "chain one too long": (
        lambda pki: certs.long_chain(pki.root, 9),
        "chain_too_long",
        "unknown_ca",
    ),
    "1 MiB": (lambda pki: certs.huge(pki.root, 1 << 20), "too_large", "illegal_parameter"),
    "100 KiB": (lambda pki: certs.huge(pki.root, 100 << 10), "too_large", "illegal_parameter"),
    "line feed in CN": (
        lambda pki: pki.root.issue("svc-bad\nlevel=info"),
        "bad_certificate",
        "bad_certificate",
    ),
    "NUL in CN": (lambda pki: pki.root.issue("svc-a\0.evil"), "bad_certificate", "bad_certificate"),
    "C1 control in CN": (
        lambda pki: pki.root.issue("svc-\x9b31m"),
        "bad_certificate",
        "bad_certificate",
    ),
    "NUL in DNS name": (
        lambda pki: pki.root.issue("x", dns=["svc-a\0.evil"]),
        "bad_certificate",
        "bad_certificate",
    ),
    "line feed in URI": (
        lambda pki: pki.root.issue("x", uris=["spiffe://a\n/b"]),
        "bad_certificate",
        "bad_certificate",
    ),
    "key of somebody else": (
        lambda pki: with_foreign_key(pki.root),
        "bad_signature",
        "decrypt_error",
    ),
    "unknown critical extension": (
        lambda pki: pki.root.issue("svc-bad", extra=[(certs.unknown_extension(8), True)]),
        "bad_certificate",
        "certificate_unknown",
    ),
    "signature broken": (lambda pki: broken_signature(pki.root), "bad_signature", "decrypt_error"),
    "no DER": (lambda pki: _Bytes([b"\x30\x03abc"], pki.client.key), "protocol", "decode_error"),
    "empty entry": (lambda pki: _Bytes([b""], pki.client.key), "protocol", "decode_error"),
    "DER and more": (
        lambda pki: _Bytes([pki.client.chain_der()[0] + b"x"], pki.client.key),
        "protocol",
        "decode_error",
    ),
}


def _impostor(pki):
    fake = Authority(pki.root.cn)
    fake.key = certs.new_key("ec-p256")
    fake.certificate = certs.build(
        certs.name_of(fake.cn), fake.key.public_key(), certs.name_of(fake.cn), fake.key, ca=True
    )
    return fake


@pytest.mark.parametrize("case", CASES)
def test_refused(door, case):
    make, reason, alert = CASES[case]
    identity = make(door.pki)
    with door.proxy.counted(**{"handshake_failed": 1, reason: 1}):
        with door.client("hand", identity) as client:
            client.expect_end(alert)
        line = door.line_of(client.name)
    assert (line["event"], line["level"], line["listener"], line["reason"]) == (
        "refused",
        "warning",
        "hand",
        reason,
    )
    assert line["detail"]
    if identity and identity.certificate and reason != "too_large":
        assert line["serial"] == identity.serial
    assert door.hand.idle()


def test_a_neighbour_does_not_notice(door):
    with door.counted(handshake_failed=3, unknown_ca=1, expired=1, no_certificate=1):
        for identity in (door.pki.stranger.issue("x"), door.pki.root.issue("x", **PAST), None):
            with door.client("hand", identity) as client:
                client.read_end()


def test_longest_good_chain(door):
    with door.client("echo", certs.long_chain(door.pki.root, 8)) as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")


def test_superfluous_certificates(door):
    """The root and strangers in the chain harm nobody."""
    chain = [
        door.pki.stranger.certificate,
        door.pki.intermediate.certificate,
        door.pki.root.certificate,
    ]
    with door.client("echo", door.pki.intermediate.issue("svc-a", chain=chain)) as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")


def test_log_shows_what_was_claimed(door):
    identity = door.pki.stranger.issue("svc-claimed", uris=["spiffe://x/y"])
    with door.client("hand", identity) as client:
        client.expect_end("unknown_ca")
    line = door.line_of(client.name)
    assert (line["cn"], line["serial"], line["issuer"], line["uri"]) == (
        "svc-claimed", identity.serial, "Test root of strangers", "spiffe://x/y")
    assert "issuer certificate" in line["detail"]


def test_control_characters_never_reach_the_log(door):
    with door.client("hand", door.pki.stranger.issue("a\x1b[31m\nb\x7f")) as client:
        client.read_end()
    line = door.line_of(client.name)
    assert not any(ord(c) < 32 or ord(c) == 127 for c in line["cn"]), line


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda pki: pki.stranger.issue("x"), "unknown.ca"),
        (lambda pki: pki.root.issue("x", **PAST), "certificate.expired"),
        (lambda pki: None, "certificate.required"),
    ],
)
def test_what_a_stock_client_reads(door, make, words):
    """In TLS 1.3 the refusal comes when the client believes that all is well: with its first
    read."""
    with door.tls(identity=make(door.pki)) as sock:
        with pytest.raises(ssl.SSLError, match="(?i)" + words):
            sock.recv(1)


def test_alert_arrives_although_data_is_unread(door):
    """Alert and linger: a reset because of unread input would swallow the alert."""
    for _ in range(20):
        with door.raw("hand", door.pki.stranger.issue("x")) as client:
            client.send_hello()
            client.read_server_flight()
            client.raw(client.flight_records() + client.data_records(b"x" * 100000))
            client.expect_end("unknown_ca")
