# SPDX-License-Identifier: Apache-2.0
"""Handshakes that stall, break, crumble or flood: each ends by its deadline or limit, nothing stays
behind."""
import contextlib
import pathlib
import signal
import socket

import pytest
import rawtls
import tlswire as wire
from door import plain_connect, reset_or_fin
from rawtls import FATAL
from upstream import read_to_end
from waiting import SLOW, wait_until

HALF_OPEN = 10000


@pytest.fixture(scope="module")
def door_options():
    # Good clients, which go to `echo`, have time: on a busy machine they need it beside ten thousand others.
    return {"timeouts": {"handshake": "1m"},
            "hand": {"timeouts": {"handshake": f"{int(2000 * SLOW)}ms", "linger": "500ms"}},
            "limits": {"connections": 30000, "handshakes": 30000}}


def stall(door, count):
    """A client that sends the first `count` bytes of what a good one would, and no more; from the
    end where `count` is negative."""
    client = door.raw()
    hello = client.hello()
    client._sent_hello = hello
    records = wire.plain_record(wire.HANDSHAKE, hello, 0x0301)
    if 0 <= count <= len(records):
        client.raw(records[:count])
        return client
    client.raw(records)
    client.read_server_flight()
    client.raw(client.flight_records()[:count - len(records) if count > 0 else count])
    return client


def test_stalls_at_any_byte(door):
    """Before, inside and between records, in both flights: closed at the deadline, with a line."""
    with door.raw() as sample:
        hello = len(wire.plain_record(wire.HANDSHAKE, sample.hello()))
        sample.reset()
    counts = [0, 1, 4, 5, 6, 11, 100, hello - 1, hello, hello + 1, hello + 5, hello + 6, hello + 7,
              hello + 11, hello + 300, -200, -60, -10, -1]
    with door.counted(handshake_timeout=len(counts)), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(stall(door, count)) for count in counts]
        for client in clients:
            reset_or_fin(client.sock)
            line = door.line_of(client.name)
            assert (line["event"], line["reason"]) == ("refused", "handshake_timeout")
    assert door.hand.idle()


def test_trickle_does_not_move_the_deadline(door):
    """A byte now and then is no progress: the deadline is of the handshake, not of a read."""
    with door.raw() as client:
        records = wire.plain_record(wire.HANDSHAKE, client.hello())
        client.sock.settimeout(0.05)
        ended = False
        for byte in records:
            try:
                client.sock.send(bytes([byte]))
                ended = client.sock.recv(1) == b""
                break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                ended = True
                break
        assert ended, "a whole ClientHello could be trickled in"
    assert door.line_of(client.name)["reason"] == "handshake_timeout"


def test_byte_by_byte_segments(door):
    """The same bytes in as many segments as there are: legal, and good."""
    with door.raw("echo") as client:
        client._sent_hello = client.hello()
        for byte in wire.plain_record(wire.HANDSHAKE, client._sent_hello, 0x0301):
            client.raw(bytes([byte]))
        client.read_server_flight()
        for byte in client.flight_records():
            client.raw(bytes([byte]))
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")


@pytest.mark.parametrize("size", [40, 100, 1000])
def test_messages_cut_over_records(door, size):
    with door.raw("echo") as client:
        client.send_hello(fragment=size)
        client.read_server_flight()
        client.raw(client.flight_records(fragment=size))
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")


def test_messages_in_one_record(door):
    with door.raw("echo") as client:
        client.send_hello()
        client.read_server_flight()
        client.raw(client.flight_records(coalesce=True, ccs=False))
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")


def test_one_byte_records(door):
    """A record for each byte of a message is legal too, and refused: it costs us a hundred times
    more than the sender."""
    with door.counted(handshake_failed=1, too_large=1):
        with door.raw() as client:
            client.send_hello(fragment=1)
            alert = client.read_end()
            assert alert.level == FATAL and not alert.encrypted
    with door.counted(handshake_failed=1, too_large=1):
        with door.raw() as client:
            client.send_hello()
            client.read_server_flight()
            start = client.flight()[0][:100]
            client.raw(b"".join(client.record(wire.HANDSHAKE, bytes([byte])) for byte in start))
            alert = client.read_end()
            assert alert.level == FATAL and alert.encrypted


def test_flood_of_ccs(door):
    """Change-cipher-spec records are ignored in TLS 1.3, but not for ever."""
    with door.counted(handshake_failed=1, protocol=1):
        with door.raw() as client:
            client.send_hello()
            client.read_server_flight()
            client.raw(wire.plain_record(wire.CCS, b"\1") * 100)
            client.expect_end("unexpected_message")


def test_spoilt_flights(door):
    """A bad MAC, data before Finished, a wrong Finished, a wrong signature: the right alert
    each."""
    def bad_mac(client):
        return client.record(wire.HANDSHAKE, b"".join(client.flight()), spoil=True)

    def early_data(client):
        return client.record(wire.DATA, b"too early")

    def wrong_finished(client):
        messages = client.flight()
        messages[-1] = messages[-1][:-1] + bytes([messages[-1][-1] ^ 1])
        return b"".join(client.record(wire.HANDSHAKE, m) for m in messages)

    def wrong_signature(client):
        return client.flight_records(spoil_signature=True)

    def clear(client):
        return wire.plain_record(wire.HANDSHAKE, b"".join(client.flight()))

    for make, reason, name in (
        (bad_mac, "protocol", "bad_record_mac"),
        (early_data, "protocol", "unexpected_message"),
        (wrong_finished, "protocol", "decrypt_error"),
        (wrong_signature, "bad_signature", "decrypt_error"),
        (clear, "protocol", "unexpected_message"),
    ):
        with door.counted(**{"handshake_failed": 1, reason: 1}):
            with door.raw() as client:
                client.send_hello()
                client.read_server_flight()
                client.raw(make(client))
                client.expect_end(name)


def test_data_in_the_segment_of_finished(door):
    """Legal, and usual: what comes behind Finished must arrive, to the last byte, for all sizes."""
    for size in (1, 100, 16384, 16385, 200000):
        with door.raw("echo") as client:
            client.send_hello()
            client.read_server_flight()
            data = bytes(i % 251 for i in range(size))
            client.raw(client.flight_records() + client.data_records(data))
            assert client.read_data(size) == data
            client.finish()
            client.expect_end("close_notify")
        assert door.line_of(client.name)["bytes_in"] == size


def test_everything_in_the_segment_of_finished(door):
    """Data, close_notify and FIN at once behind Finished."""
    with door.raw("echo") as client:
        client.send_hello()
        client.read_server_flight()
        client.raw(client.flight_records() + client.data_records(b"all at once") +
                   client.record(wire.ALERT, b"\1\0"))
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_data(11) == b"all at once"
        client.expect_end("close_notify")
    assert door.line_of(client.name)["reason"] == "client_closed"


STEPS = (
    "connected",
    "in the hello",
    "behind the hello",
    "in our flight",
    "behind our flight",
    "early alert",
)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("end", ["reset", "fin"])
def test_leaves_at_any_state(door, step, end):
    door.proxy.wait_quiet()
    fds = door.proxy.fds()
    with door.raw() as client:
        wait_until("the proxy to accept it", lambda: door.proxy.fds() > fds)
        if step == "in the hello":
            client.raw(wire.plain_record(wire.HANDSHAKE, client.hello())[:50])
        elif step != "connected":
            client.send_hello()
        if step in ("in our flight", "behind our flight", "early alert"):
            client.read_server_flight()
        if step == "in our flight":
            client.raw(client.flight_records()[:100])
        elif step == "behind our flight":
            client.raw(client.flight_records())
        elif step == "early alert":
            client.send_alert("user_canceled", rawtls.WARNING)
            client.send_alert("close_notify", rawtls.WARNING)
        if end == "reset":
            client.reset()
        else:
            client.sock.shutdown(socket.SHUT_WR)
            if step == "behind our flight":
                with door.hand.accept() as up:
                    assert read_to_end(up) == b""  # who ends first names the reason
            reset_or_fin(client.sock)
    line = door.line_of(client.name)
    expected = {"behind our flight": ("client_reset", "peer_truncated", "handshake_closed"),
                "early alert": ("peer_alert", "handshake_closed")}.get(step, ("handshake_closed",))
    assert line["reason"] in expected, line


def test_reset_before_it_was_accepted(door):
    """The kernel says that such a socket is not connected; who it was is known all the same."""
    def stands_still():
        return all(stat.read_text().rsplit(")", 1)[1].split()[0] == "T"
                   for stat in pathlib.Path(f"/proc/{door.proxy.process.pid}/task").glob("*/stat"))
    door.proxy.signal(signal.SIGSTOP)
    try:
        wait_until("the proxy to stand still", stands_still)
        client = door.raw()
        client.reset()
    finally:
        door.proxy.signal(signal.SIGCONT)
    assert door.line_of(client.name)["reason"] == "handshake_closed"


def test_half_open_handshakes(door):
    """Ten thousand connections that say nothing, or half a hello: a good client gets in all the
    same, and afterwards every descriptor is back."""
    room, fds = door.proxy.memory_kib(), door.proxy.fds()
    sample = door.raw()
    hello = wire.plain_record(wire.HANDSHAKE, sample.hello())
    sample.reset()
    socks = []
    address = door.proxy.address("hand")
    try:
        for i in range(HALF_OPEN):
            sock = socket.socket()
            socks.append(sock)
            # From several addresses, so that this does not run out of ports.
            sock.bind((f"127.0.1.{i % 16 + 1}", 0))
            sock.connect(address)
            if i % 2:
                sock.send(hello[:i % 100])
        with door.client("echo") as client:
            door.round_trip(client)
            client.finish()
            client.expect_end("close_notify")
        grown = door.proxy.memory_kib() - room
        assert grown < HALF_OPEN * 4, f"{grown} KiB for {HALF_OPEN} half-open handshakes"
        wait_until("the deadline to close them all", lambda: door.proxy.fds() <= fds + 32)
    finally:
        for sock in socks:
            sock.close()
    assert door.reasons()["handshake_timeout"] >= HALF_OPEN


def test_health_checks_by_the_thousand(door):
    for _ in range(1000):
        sock, _ = plain_connect(door)
        sock.close()
    with door.client("echo") as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
