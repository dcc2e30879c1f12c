# SPDX-License-Identifier: Apache-2.0
"""What a well-behaved client sees, and what the log says of it: stock TLS clients, each suite, each
key type."""
import os
import ssl

import pytest
from proxyrig import TRANSPORT
from tlskeys import SUITES13
from upstream import read_exactly, read_to_end

KINDS = ("ec-p256", "ec-p384", "ed25519", "rsa-2048")


def echo(sock, size=100000):
    data = os.urandom(size)
    sock.sendall(data)
    assert read_exactly(sock, size) == data


def test_log_says_who_it_was(door):
    identity = door.pki.client
    with door.counted(client_closed=1):
        with door.tls() as sock:
            name = "%s:%d" % sock.getsockname()
            echo(sock, 12345)
            sock.unwrap().close()
        line = door.line_of(name)
    expected = {
        "level": "info",
        "event": "closed",
        "listener": "echo",
        "cn": "svc-a",
        "serial": identity.serial,
        "issuer": "Test intermediate",
        "uri": "spiffe://example/ns/test/sa/svc-a",
        "tls": "1.3",
        "cipher": "TLS_AES_128_GCM_SHA256",
        "group": "X25519",
        "client_transport": TRANSPORT,
        "upstream_transport": "plain",
        "bytes_in": 12345,
        "bytes_out": 12345,
        "reason": "client_closed",
    }
    assert {k: line.get(k) for k in expected} == expected
    assert line["seconds"] >= 0 and "error" not in line and "alert" not in line


@pytest.mark.parametrize("suite", SUITES13)
def test_each_suite(door, suite):
    with door.client("echo", suites=(suite,)) as client:
        door.round_trip(client, 200000)
        client.finish()
        client.expect_end("close_notify")
    line = door.line_of(client.name)
    assert (line["cipher"], line["client_transport"]) == (SUITES13[suite][0], TRANSPORT)


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_type_of_a_client(door, kind):
    identity = door.pki.root.issue("svc-" + kind, kind)
    with door.tls(identity=identity) as sock:
        name = "%s:%d" % sock.getsockname()
        echo(sock)
        sock.unwrap().close()
    line = door.line_of(name)
    assert (line["cn"], line["serial"]) == ("svc-" + kind, identity.serial)


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_type_of_ours(new_door, pki, kind):
    door = new_door(tls=pki.tls(kind))
    with door.tls() as sock:
        echo(sock)
        sock.unwrap().close()
    with door.tls(version=ssl.TLSVersion.TLSv1_3) as sock:
        assert sock.getpeercert()["subject"][-1] == (("commonName", "broker-1"),)
        sock.unwrap().close()


@pytest.mark.parametrize("group, name", [(29, "X25519"), (23, "P-256"), (24, "P-384")])
def test_each_group(door, group, name):
    with door.client("echo", groups=(group,), shares=(group,)) as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    assert door.line_of(client.name)["group"] == name


def test_hello_retry(door):
    """A client without a key share is asked for one."""
    with door.client("echo", shares=()) as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    assert door.line_of(client.name)["group"] == "X25519"


def test_no_tickets_no_resumption(door):
    with door.client("echo") as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    assert client.tickets == 0
    with door.tls() as sock:
        echo(sock)
        assert sock.session is None or not sock.session.has_ticket
        assert not sock.session_reused
        sock.unwrap().close()


def test_our_chain_without_the_root(door):
    with door.client("echo") as client:
        assert len(client.server_chain) == 2  # leaf and intermediate
        client.finish()
        client.expect_end("close_notify")


def test_every_root_is_trusted(door):
    for root in (door.pki.root, door.pki.root_rsa):
        with door.tls(identity=root.issue("svc-of-" + root.cn[-1].lower())) as sock:
            name = "%s:%d" % sock.getsockname()
            echo(sock)
            sock.unwrap().close()
        assert door.line_of(name)["issuer"] == root.cn


def test_names_of_all_kinds(door):
    """No CN, many names, UTF-8, a CN of 64 characters: all are good."""
    for cn in (None, "svc-ü-\U0001f512", "x" * 64, "CN=a,O=\"b\\c\""):
        identity = door.pki.root.issue(cn, dns=[f"host-{i}.example" for i in range(20)])
        with door.client("echo", identity=identity) as client:
            door.round_trip(client)
            client.finish()
            client.expect_end("close_notify")
        assert door.line_of(client.name)["cn"] == (cn or "")


def test_upstream_ends_first(door):
    with door.counted(upstream_closed=1):
        client, up = door.pair()
        with client, up:
            up.sendall(b"last words")
            up.shutdown(1)
            client.expect_end("close_notify")
            assert client.read_data(10) == b"last words"
            client.send_data(b"x" * 5000)
            client.finish()
            assert read_to_end(up) == b"x" * 5000
        line = door.line_of(client.name)
    assert (line["reason"], line["bytes_in"], line["bytes_out"]) == ("upstream_closed", 5000, 10)


def test_client_ends_first(door):
    """The half that is still open goes on: TLS 1.3 closes each direction by itself."""
    with door.counted(client_closed=1):
        client, up = door.pair()
        with client, up:
            client.send_data(b"question")
            client.finish()
            assert read_to_end(up) == b"question"
            up.sendall(b"y" * 300000)
            up.shutdown(1)
            client.expect_end("close_notify")
            assert client.read_data(300000) == b"y" * 300000
        line = door.line_of(client.name)
    assert (line["reason"], line["bytes_in"], line["bytes_out"]) == ("client_closed", 8, 300000)


def test_silent_connections(door):
    """Nothing is carried; the ends are still told."""
    client, up = door.pair()
    with client, up:
        client.finish()
        assert read_to_end(up) == b""
        up.close()
        client.expect_end("close_notify")
    assert door.line_of(client.name)["bytes_in"] == 0


def test_client_without_close_notify(door):
    """Many stock clients leave so. It is said in the log, and the upstream hears of the end."""
    with door.counted(peer_truncated=1):
        client, up = door.pair()
        with client, up:
            client.send_data(b"abc")
            client.sock.shutdown(1)
            assert read_to_end(up) == b"abc"
            up.close()
            client.expect_end("close_notify")
        line = door.line_of(client.name)
    assert (line["reason"], line["bytes_in"]) == ("peer_truncated", 3)


@pytest.fixture(scope="module")
def door_options():
    return {"workers": 2}


def test_newest_version_is_taken(door):
    with door.client("echo", versions=(0x0303, 0x0304)) as client:
        client.finish()
        client.expect_end("close_notify")
    assert door.line_of(client.name)["tls"] == "1.3"
