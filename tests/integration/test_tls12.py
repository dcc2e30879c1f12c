# SPDX-License-Identifier: Apache-2.0
"""TLS 1.2, where it is configured; and its refusal where it is not."""
import os
import ssl

import pytest
import tlswire as wire
from proxyrig import TRANSPORT
from rawtls import FATAL, WARNING
from tlskeys import SUITES12
from upstream import end_of, read_exactly, read_to_end

NAMES13 = {
    0xC02B: "TLS_AES_128_GCM_SHA256",
    0xC02C: "TLS_AES_256_GCM_SHA384",
    0xCCA9: "TLS_CHACHA20_POLY1305_SHA256",
}


@pytest.fixture(scope="module")
def door_options(pki):
    return {"tls": pki.tls(min_version="1.2")}


@pytest.mark.parametrize("suite", SUITES12)
def test_each_suite(door, suite):
    with door.counted(client_closed=1):
        with door.client12("echo", suites=(suite,)) as client:
            door.round_trip(client, 300000)
            client.finish()
            client.expect_end("close_notify")
        line = door.line_of(client.name)
    assert (line["tls"], line["cipher"], line["cn"]) == ("1.2", NAMES13[suite], "svc-a")
    assert (line["client_transport"], line["bytes_in"]) == (TRANSPORT, 300000)


@pytest.mark.parametrize("kind", ["ec-p384", "ed25519", "rsa-2048"])
def test_stock_client_and_each_key_type(new_door, pki, kind):
    door = new_door(tls=pki.tls(kind, min_version="1.2"))
    with door.tls(
        identity=pki.root.issue("svc-" + kind, kind), version=ssl.TLSVersion.TLSv1_2
    ) as sock:
        name = "%s:%d" % sock.getsockname()
        data = os.urandom(50000)
        sock.sendall(data)
        assert read_exactly(sock, len(data)) == data
        sock.unwrap().close()
    assert (door.line_of(name)["tls"], door.line_of(name)["cn"]) == ("1.2", "svc-" + kind)


def test_newer_version_is_taken(door):
    with door.client("echo", versions=(0x0303, 0x0304)) as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    assert door.line_of(client.name)["tls"] == "1.3"


def test_each_half_closes_by_itself(door):
    client, up = door.pair(door.client12())
    with client, up:
        client.send_data(b"question")
        client.finish()
        assert read_to_end(up) == b"question"
        up.sendall(b"y" * 200000)
        up.close()
        client.expect_end("close_notify")
        assert client.read_data(200000) == b"y" * 200000


def test_renegotiation_is_refused(door):
    """By ClientHello, in mid-stream. no_renegotiation is a warning in RFC 5246; we go."""
    with door.counted(renegotiation=1):
        client, up = door.pair(door.client12())
        with client, up:
            client.send_data(b"before")
            assert read_exactly(up, 6) == b"before"
            client.send(wire.HANDSHAKE, client.hello())
            client.expect_end("no_renegotiation", level=FATAL)
            assert end_of(up) == "reset"
        assert door.line_of(client.name)["reason"] == "renegotiation"


def test_bad_mac(door):
    with door.counted(bad_record_mac=1):
        client, up = door.pair(door.client12())
        with client, up:
            client.send(wire.DATA, b"spoilt", spoil=True)
            client.expect_end("bad_record_mac")
            assert end_of(up) == "reset"


def test_empty_records_and_a_warning(door):
    """Empty records are legal; so is an unknown warning alert, which is ignored or ends it in
    order, but never hangs."""
    client, up = door.pair(door.client12())
    with client, up:
        for _ in range(100):
            client.send(wire.DATA, b"")
        client.send_data(b"x")
        assert read_exactly(up, 1) == b"x"
        client.send_alert("no_renegotiation", WARNING)
        client.finish()
        up.settimeout(20)
        end_of(up)
        up.close()
        client.read_end()


def test_old_versions_are_refused(door):
    for version in (0x0302, 0x0301, 0x0300):
        with door.counted(handshake_failed=1, version=1):
            with door.raw(versions=(version,)) as client:
                extensions = wire.common_extensions((29,), None, ())
                hello = wire.client_hello(client.random, b"", (0xC02B, 0x002F), extensions, version)
                client.raw(wire.plain_record(wire.HANDSHAKE, hello, 0x0301))
                # SSL 3.0 knew no better alert.
                client.expect_end(
                    "protocol_version" if version > 0x0300 else "handshake_failure", encrypted=False
                )
            assert door.line_of(client.name)["reason"] == "version"


def test_not_configured(new_door):
    door = new_door()
    with door.counted(handshake_failed=1, version=1):
        with pytest.raises(ssl.SSLError, match="(?i)protocol.version"):
            door.tls(version=ssl.TLSVersion.TLSv1_2)


def test_no_shared_cipher(new_door, pki):
    door = new_door(tls=pki.tls(ciphers=["aes-256-gcm"]))
    with door.counted(handshake_failed=1, no_shared_cipher=1):
        with door.raw(suites=(0x1301, 0x1303)) as client:
            client.send_hello()
            client.expect_end("handshake_failure", encrypted=False)
    with door.counted(handshake_failed=1, no_shared_group=1):
        with door.raw(groups=(0x001E,), shares=()) as client:
            client.send_hello()
            client.expect_end("handshake_failure", encrypted=False)


def test_our_preference_counts(new_door, pki):
    door = new_door(tls=pki.tls(ciphers=["chacha20-poly1305", "aes-256-gcm", "aes-128-gcm"]))
    with door.client("echo") as client:
        client.finish()
        client.expect_end("close_notify")
    assert door.line_of(client.name)["cipher"] == "TLS_CHACHA20_POLY1305_SHA256"
