# SPDX-License-Identifier: Apache-2.0
"""What comes to the port and is not TLS: said in the log, answered in a way the sender understands,
counted."""
import os
import random
import struct

import pytest
import tlswire as wire
from door import expect_eof, plain_connect
from rawtls import FATAL, Alert

UNEXPECTED = bytes([21, 3, 3, 0, 2, FATAL, 10])
OVERFLOW = bytes([21, 3, 3, 0, 2, FATAL, 22])


def kafka_request(key=18, version=4, client=b"rdkafka"):
    body = (
        struct.pack(">hhih", key, version, 1, len(client)) + client + b"\0\x08librdkafka\x062.0\0"
    )
    return struct.pack(">i", len(body)) + body


def refused(door, data, reason):
    """Sends it all; returns what comes back until FIN, and the line."""
    with door.counted(**{reason: 1}):
        sock, name = plain_connect(door)
        with sock:
            sock.sendall(data)
            answer = expect_eof(sock)
        line = door.line_of(name)
    assert (line["event"], line["reason"]) == ("refused", reason)
    assert door.hand.idle()
    return answer, line


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "CONNECT"])
def test_http(door, method):
    request = f"{method} / HTTP/1.1\r\nHost: broker\r\nUser-Agent: x\r\n\r\n".encode()
    answer, line = refused(door, request, "plaintext_http")
    assert answer.startswith(b"HTTP/1.0 400 ") and b"TLS" in answer
    assert "HTTP" in line["detail"]


def test_http_with_a_large_body(door):
    """The answer arrives although there is unread input."""
    head = b"POST /x HTTP/1.1\r\nContent-Length: 500000\r\n\r\n"
    answer, _ = refused(door, head + bytes(500000), "plaintext_http")
    assert answer.startswith(b"HTTP/1.0 400 ")


@pytest.mark.parametrize("key", [18, 0, 1, 3, 17])
def test_kafka(door, key):
    answer, line = refused(door, kafka_request(key), "plaintext_kafka")
    assert answer == b""
    assert "security.protocol" in line["detail"]


GARBAGE = {
    "zeros": bytes(100),
    "ones": b"\xff" * 100,
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "one byte more than a header": b"\x17\x02\x01\x00\x10x",
    "SSL 2.0": bytes.fromhex("802e0100020015000000100100800200800600400400800700c0") + bytes(30),
    "a record of an unknown type": b"\x18\x03\x03\x00\x03abc",
    "PROXY protocol": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage(door, what):
    answer, _ = refused(door, GARBAGE[what], "not_tls")
    assert answer == UNEXPECTED


def test_a_record_longer_than_any(door):
    answer, _ = refused(door, b"\x16\x03\x01\xff\xff" + bytes(2000), "not_tls")
    assert answer == OVERFLOW


def test_random_bytes(door):
    """Whatever it is: an end, one line, no harm."""
    rng = random.Random(7)
    names = []
    with door.echo_beside():
        for _ in range(100):
            sock, name = plain_connect(door)
            with sock:
                sock.sendall(rng.randbytes(rng.randrange(5, 400)))
                sock.shutdown(1)
                expect_eof(sock)
            names.append(name)
    for name in names:
        assert door.line_of(name)["reason"] in ("not_tls", "plaintext_kafka", "handshake_closed")


def spoilt_hellos(client):
    """Records that are TLS, and no ClientHello that makes sense."""
    hello = client.hello()
    yield wire.message(wire.CLIENT_HELLO, b"")
    yield wire.message(wire.CLIENT_HELLO, os.urandom(200))
    yield wire.message(wire.FINISHED, bytes(32))
    yield wire.message(wire.SERVER_HELLO, hello[4:])
    yield wire.key_update(True)
    yield hello[:4] + hello[4:60] + bytes(len(hello) - 60)
    yield hello[:-10] + b"\xff" * 10
    yield wire.message(wire.CLIENT_HELLO, hello[4:] + b"more")
    yield wire.message(wire.CLIENT_HELLO, hello[4:38] + b"\xff" + hello[39:])


@pytest.mark.parametrize("number", range(9))
def test_hello_that_makes_no_sense(door, number):
    with door.raw() as client:
        hello = list(spoilt_hellos(client))[number]
        before = door.reasons()
        client.raw(wire.plain_record(wire.HANDSHAKE, hello, 0x0301))
        alert = client.read_end()
        assert alert.level == FATAL and not alert.encrypted
        assert alert.name in ("decode_error", "unexpected_message", "illegal_parameter",
                              "handshake_failure", "protocol_version"), alert
    line = door.line_of(client.name)
    assert line["event"] == "refused" and line["reason"] in (
        "protocol",
        "version",
        "no_shared_cipher",
    )
    after = door.reasons()
    assert after[line["reason"]] == before.get(line["reason"], 0) + 1


@pytest.mark.parametrize("kind", [wire.ALERT, wire.CCS, wire.DATA])
def test_another_record_first(door, kind):
    with door.counted(handshake_failed=1, protocol=1):
        with door.raw() as client:
            client.raw(wire.plain_record(kind, b"\2\1" if kind != wire.ALERT else b"\7\7"))
            alert = client.read_end()
            assert alert.level == FATAL and not alert.encrypted, alert


def test_alert_instead_of_hello(door):
    with door.counted(handshake_failed=1, protocol=1):
        with door.raw() as client:
            client.send_alert("handshake_failure")
            client.expect_end("unexpected_message", encrypted=False)


def test_alert_instead_of_the_certificate(door):
    """A client that does not like our certificate says so; the log names its alert."""
    with door.counted(handshake_failed=1, peer_alert=1):
        with door.raw() as client:
            client.send_hello()
            client.read_server_flight()
            client.send_alert("unknown_ca")
            assert expect_eof(client.sock) == b""
        line = door.line_of(client.name)
    assert (line["reason"], line["detail"]) == ("peer_alert", "the peer ended it: unknown_ca")


def test_empty_connection_is_a_health_check(door):
    """Opened and closed without a byte: counted, no warning."""
    with door.counted(handshake_closed=1):
        sock, name = plain_connect(door)
        sock.close()
        assert door.line_of(name)["level"] == "info"


def test_first_alert_is_in_clear(door):
    with door.raw(suites=(0x00FF,)) as client:
        client.send_hello()
        assert client.read_end() == Alert(FATAL, "handshake_failure", False)
