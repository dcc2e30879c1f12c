# SPDX-License-Identifier: Apache-2.0
"""Records after the handshake, legal and not: what is odd but legal passes unharmed, what is not
gets its alert, its reason, and the service a reset instead of an end that looks orderly."""
import os
import random

import pytest
import tlswire as wire
from proxyrig import TRANSPORT
from upstream import end_of, read_exactly, read_to_end

MIXED = [1, 0, 5, 16384, 0, 0, 3, 100, 1, 1, 16383, 2048, 2047, 7]


def check_padding(door):
    client, up = door.pair()
    with client, up:
        expected = b""
        for size, padding in (
            (1, 0),
            (1, 1),
            (5, 255),
            (100, 16000),
            (0, 100),
            (0, 16383),
            (16384, 0),
            (1, 16383),
        ):
            data = os.urandom(size)
            client.send(wire.DATA, data, padding=padding)
            expected += data
        client.finish()
        assert read_to_end(up) == expected
        up.close()
        client.expect_end("close_notify")
    assert door.line_of(client.name)["bytes_in"] == len(expected)


def test_padding(door):
    """As much as a record can hold, and records of nothing but padding."""
    check_padding(door)


def test_padding_that_was_not_expected(new_door):
    """`ktls_padding: none` is about what it costs: who pads is understood all the same, and so is
    who does not."""
    door = new_door(ktls_padding="none")
    check_padding(door)
    with door.client("echo") as client:
        door.round_trip(client, 300000)
        client.send(wire.DATA, b"padded", padding=1000)
        assert client.read_data(6) == b"padded"
        door.round_trip(client, 300000)
        client.finish()
        client.expect_end("close_notify")
    assert door.line_of(client.name)["client_transport"] == TRANSPORT


def test_records_of_all_sizes(door):
    client, up = door.pair()
    with client, up:
        expected = b""
        for size in MIXED * 20:
            data = os.urandom(size)
            client.send(wire.DATA, data)
            expected += data
        assert read_exactly(up, len(expected)) == expected
        client.finish()
        up.close()
        client.expect_end("close_notify")


def test_one_byte_records(door):
    """A hundred thousand bytes, a record each: slow, and right."""
    client, up = door.pair()
    with client, up:
        data = os.urandom(20000)
        client.raw(client.data_records(data, 1))
        assert read_exactly(up, len(data)) == data
        client.finish()
        up.close()
        client.expect_end("close_notify")


def test_records_cut_anywhere(door):
    """Segments that end inside headers, bodies and tags."""
    client, up = door.pair()
    rng = random.Random(3)
    with client, up:
        expected = os.urandom(150000)
        stream = client.data_records(expected, 5000)
        sizes = iter(lambda: rng.choice((1, 2, 3, 4, 5, 6, 21, 22, 100, 1400, 5000, 9000)), None)
        while stream:
            size = next(sizes)
            client.raw(stream[:size])
            stream = stream[size:]
        assert read_exactly(up, len(expected)) == expected
        client.finish()
        up.close()
        client.expect_end("close_notify")


def test_some_empty_records(door):
    """Fewer in a row than the limit, many times."""
    client, up = door.pair()
    with client, up:
        for _ in range(5):
            client.raw(b"".join(client.record(wire.DATA, b"") for _ in range(1000)))
            client.send_data(b"x")
        assert read_exactly(up, 5) == b"xxxxx"
        client.finish()
        up.close()
        client.expect_end("close_notify")


def spoilt(door, send, alert, reason, at_once=b""):
    """A client that does `send` in mid-stream: data before it arrives, then alert, reason,
    reset."""
    with door.counted(**{reason: 1}):
        client, up = door.pair()
        with client, up:
            client.send_data(b"good until here")
            assert read_exactly(up, 15) == b"good until here"
            up.sendall(b"answer")
            assert client.read_data(6) == b"answer"
            send(client)
            if at_once:
                client.raw(at_once)
            client.expect_end(alert)
            assert end_of(up) == "reset", "the service took a broken stream for a whole one"
        line = door.line_of(client.name)
    assert (line["event"], line["reason"], line["bytes_in"]) == ("closed", reason, 15)


def sealed(client, plain):
    """A record whose inner plaintext is exactly `plain`."""
    client.send(None, plain)


BAD = {
    "bad MAC": (
        lambda c: c.send(wire.DATA, b"x" * 100, spoil=True),
        "bad_record_mac",
        "bad_record_mac",
    ),
    "bad MAC, full record": (
        lambda c: c.send(wire.DATA, bytes(16384), spoil=True),
        "bad_record_mac",
        "bad_record_mac",
    ),
    "bad MAC, empty record": (
        lambda c: c.send(wire.DATA, b"", spoil=True),
        "bad_record_mac",
        "bad_record_mac",
    ),
    "record too short": (
        lambda c: c.raw(b"\x17\x03\x03\x00\x08" + bytes(8)),
        "bad_record_mac",
        "bad_record_mac",
    ),
    "record of nothing": (
        lambda c: c.raw(b"\x17\x03\x03\x00\x00"),
        "bad_record_mac",
        "bad_record_mac",
    ),
    "sequence skipped": (
        lambda c: (c.record(wire.DATA, b"lost"), c.send(wire.DATA, b"x")),
        "bad_record_mac",
        "bad_record_mac",
    ),
    "no inner type": (lambda c: sealed(c, bytes(50)), "unexpected_message", "bad_record"),
    "unknown inner type": (lambda c: c.send(99, b"x"), "unexpected_message", "bad_record"),
    "inner CCS": (lambda c: c.send(wire.CCS, b"\1"), "unexpected_message", "bad_record"),
    "plaintext too long": (
        lambda c: c.send(wire.DATA, bytes(16385)),
        "record_overflow",
        "bad_record",
    ),
    "padding too long": (
        lambda c: c.send(wire.DATA, b"x", padding=16384),
        "record_overflow",
        "bad_record",
    ),
    "length too long": (
        lambda c: c.raw(b"\x17\x03\x03\x41\x01" + bytes(16641)),
        "record_overflow",
        "bad_record",
    ),
    "length of 65535": (
        lambda c: c.raw(b"\x17\x03\x03\xff\xff" + bytes(1000)),
        "record_overflow",
        "bad_record",
    ),
    "outer type": (
        lambda c: c.send(wire.DATA, b"x", outer=wire.HANDSHAKE),
        "unexpected_message",
        "bad_record",
    ),
    "data in clear": (
        lambda c: c.raw(wire.plain_record(wire.DATA, b"in clear, not sealed")),
        "bad_record_mac",
        "bad_record_mac",
    ),
    "handshake in clear": (
        lambda c: c.raw(wire.plain_record(wire.HANDSHAKE, c.hello())),
        "unexpected_message",
        "bad_record",
    ),
    "alert in clear": (
        lambda c: c.raw(wire.plain_record(wire.ALERT, b"\1\0")),
        "unexpected_message",
        "bad_record",
    ),
    "CCS in clear": (
        lambda c: c.raw(wire.plain_record(wire.CCS, b"\1")),
        "unexpected_message",
        "bad_record",
    ),
    "garbage": (lambda c: c.raw(b"GET / HTTP/1.1\r\n\r\n"), "unexpected_message", "bad_record"),
    "hello again": (
        lambda c: c.send(wire.HANDSHAKE, c.hello()),
        "unexpected_message",
        "bad_record",
    ),
    "a ticket from a client": (
        lambda c: c.send(wire.HANDSHAKE, wire.message(wire.TICKET, bytes(30))),
        "unexpected_message",
        "bad_record",
    ),
    "late certificate": (
        lambda c: c.send(wire.HANDSHAKE, wire.certificate13([])),
        "unexpected_message",
        "bad_record",
    ),
    "Finished again": (
        lambda c: c.send(wire.HANDSHAKE, wire.message(wire.FINISHED, bytes(32))),
        "unexpected_message",
        "bad_record",
    ),
    "hello request": (
        lambda c: c.send(wire.HANDSHAKE, wire.message(wire.HELLO_REQUEST, b"")),
        "unexpected_message",
        "bad_record",
    ),
    "empty handshake record": (
        lambda c: c.send(wire.HANDSHAKE, b""),
        "unexpected_message",
        "bad_record",
    ),
    "empty alert": (lambda c: c.send(wire.ALERT, b""), "decode_error", "bad_record"),
    "half an alert": (lambda c: c.send(wire.ALERT, b"\2"), "decode_error", "bad_record"),
    "two alerts in one record": (
        lambda c: c.send(wire.ALERT, b"\1\0\1\0"),
        "decode_error",
        "bad_record",
    ),
}


# The kernel opens a record before it looks at its type.
MAC = ("bad_record_mac", "bad_record_mac")
KERNEL_SAYS = {
    "no inner type": MAC,
    "handshake in clear": MAC,
    "alert in clear": MAC,
    "CCS in clear": MAC,
}
KERNEL_LETS_PASS = {"outer type"}


@pytest.mark.parametrize("case", BAD)
def test_not_allowed(door, case):
    send, alert, reason = BAD[case]
    if TRANSPORT == "ktls":
        if case in KERNEL_LETS_PASS:
            pytest.skip("the kernel does not look at the outer type of an authentic record")
        alert, reason = KERNEL_SAYS.get(case, (alert, reason))
    spoilt(door, send, alert, reason)


def test_bad_record_behind_good_ones(door):
    """In the same segment: what was whole and authentic may or may not have passed, never what came
    after."""
    with door.counted(bad_record_mac=1):
        client, up = door.pair()
        with client, up:
            client.raw(
                client.data_records(b"a" * 100)
                + client.record(wire.DATA, b"b" * 100, spoil=True)
                + client.data_records(b"c" * 100)
            )
            client.expect_end("bad_record_mac")
            received = bytearray()
            try:
                while more := up.recv(1000):
                    received += more
            except ConnectionResetError:
                pass
            assert received in (b"", b"a" * 100)


def flood(door, record):
    """3,000 records that carry nothing. Our own record layer ends that; the kernel's skips them and
    goes on."""
    ends = TRANSPORT == "aead"
    with door.counted(**{"empty_records" if ends else "client_closed": 1}):
        client, up = door.pair()
        with client, up:
            client.raw(b"".join(record(client) for _ in range(3000)))
            if ends:
                client.expect_end("unexpected_message")
                assert end_of(up) == "reset"
                return
            client.send_data(b"still there")
            assert read_exactly(up, 11) == b"still there"
            client.finish()
            assert read_to_end(up) == b""
            up.close()
            client.expect_end("close_notify")


def test_flood_of_empty_records(door):
    flood(door, lambda client: client.record(wire.DATA, b""))


def test_flood_of_padding(door):
    """Full records of padding only cost the most."""
    flood(door, lambda client: client.record(wire.DATA, b"", padding=1000))
