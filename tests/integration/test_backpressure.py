# SPDX-License-Identifier: Apache-2.0
"""A slow reader stops its own sender and nobody else, and costs no memory; a stream that nobody
reads ends in order."""
import os
import socket
import threading

import pytest
from rawtls import Ended
from upstream import end_of, read_to_end

CHUNK = bytes(range(256)) * 256
# More than all socket buffers on the way can hold (tcp_wmem and tcp_rmem at their largest).
TOO_MUCH = 64 << 20
MEMORY_KIB = 4096


def fill(sock):
    """Writes until nothing goes any more; returns how much went. The sender is stopped by then, not
    merely slow: the proxy reads only what it can pass on."""
    sock.settimeout(0.3)
    sent = 0
    try:
        while sent < TOO_MUCH:
            sent += sock.send(CHUNK[sent % 256:])
    except (TimeoutError, BlockingIOError):
        pass
    sock.settimeout(20)
    return sent


def fill_client(client):
    """The same for a raw client: whole records, the last of which may be on its way only in
    part."""
    client.sock.setblocking(False)
    sent, rest = 0, b""
    while sent < TOO_MUCH:
        if not rest:
            rest = client.data_records(CHUNK)
            sent += len(CHUNK)
        try:
            rest = rest[client.sock.send(rest):]
        except BlockingIOError:
            client.sock.settimeout(0.3)
            try:
                rest = rest[client.sock.send(rest):]
            except TimeoutError:
                break
            client.sock.setblocking(False)
    client.sock.settimeout(20)
    return sent, rest


def test_client_that_does_not_read(door):
    """Its service is stopped; others run; then it reads, and every byte is there."""
    room = door.proxy.memory_kib()
    with door.counted(upstream_closed=1, client_reset=1):
        client = door.client(buffers=(8192, None))
        with client, door.hand.accept() as up:
            sent = fill(up)
            assert sent < TOO_MUCH, "the sender was never stopped"
            assert door.proxy.memory_kib() - room < MEMORY_KIB
            with door.client("echo") as other:
                for _ in range(20):
                    door.round_trip(other, 50000)
                other.reset()
            up.shutdown(socket.SHUT_WR)
            client.expect_end("close_notify")
            assert client.data == (CHUNK * (sent // len(CHUNK) + 1))[:sent]
            client.finish()
            assert read_to_end(up) == b""


def test_service_that_does_not_read(door):
    room = door.proxy.memory_kib()
    with door.counted(client_closed=1, client_reset=1):
        client, up = door.pair()
        with client, up:
            sent, rest = fill_client(client)
            assert sent < TOO_MUCH, "the client was never stopped"
            assert door.proxy.memory_kib() - room < MEMORY_KIB
            with door.client("echo") as other:
                for _ in range(20):
                    door.round_trip(other, 50000)
                other.reset()
            got = []
            reader = threading.Thread(target=lambda: got.append(read_to_end(up)))
            reader.start()
            client.raw(rest)
            client.finish()
            reader.join()
            assert len(got[0]) == sent and got[0] == CHUNK * (sent // len(CHUNK))
            up.close()
            client.expect_end("close_notify")


def test_the_other_direction_goes_on(door):
    """Blocked one way, at full speed the other."""
    client = door.client(buffers=(8192, None))
    with client, door.hand.accept() as up:
        sent = fill(up)
        data = os.urandom(3 << 20)
        got = []
        reader = threading.Thread(target=lambda: got.append(read_to_end(up)))
        reader.start()
        client.send_data(data)
        client.finish()
        reader.join()
        assert got[0] == data
        up.close()
        client.expect_end("close_notify")
        assert len(client.data) == sent


@pytest.mark.parametrize("who", ["client", "service"])
def test_reset_while_blocked(door, who):
    with door.counted(**{f"{who.replace('service', 'upstream')}_reset": 1}):
        client = door.client(buffers=(8192, None))
        with client, door.hand.accept() as up:
            fill(up)
            if who == "client":
                client.reset()
                assert end_of(up) == "reset"
            else:
                up.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                up.close()
                client.expect_end("internal_error")


def test_many_that_do_not_read(door):
    """Fifty blocked streams: memory stays bounded, a neighbour keeps its pace, and all end when
    they are closed."""
    room = door.proxy.memory_kib()
    pairs = []
    with door.echo_beside() as beside:
        for _ in range(50):
            client = door.client(buffers=(4096, None))
            up = door.hand.accept()
            up.setblocking(False)
            pairs.append((client, up))
        for _ in range(3):
            for _, up in pairs:
                try:
                    while True:
                        up.send(CHUNK)
                except BlockingIOError:
                    pass
            door.round_trip(beside, 500000)
        assert door.proxy.memory_kib() - room < 50 * 512
        for client, up in pairs:
            client.reset()
            up.close()
    for client, _ in pairs:
        assert door.line_of(client.name)["reason"] in (
            "client_reset",
            "upstream_reset",
            "upstream_closed",
        )


def test_never_reads_and_half_closes(door):
    """It has ended its half and reads nothing: the door waits with it, holding nothing but the
    sockets, until it goes."""
    client = door.client(buffers=(4096, None))
    with door.hand.accept() as up:
        sent = fill(up)
        client.finish()
        assert read_to_end(up) == b""
        up.close()
        client.expect_end("close_notify")
        assert len(client.data) == sent
        client.sock.close()
    assert door.line_of(client.name)["reason"] == "client_closed"


def test_alert_to_a_client_that_never_reads(door):
    """The alert has no room in its socket; linger ends it all the same."""
    client = door.client(buffers=(4096, None))
    with client, door.hand.accept() as up:
        fill(up)
        client.send(23, b"x", spoil=True)
        assert end_of(up) == "reset"
        assert door.line_of(client.name)["reason"] == "bad_record_mac"
        try:
            while client.step() is None:
                pass
        except (Ended, ConnectionResetError, AssertionError):
            pass
