# SPDX-License-Identifier: Apache-2.0
"""Bytes: every one is compared, in both directions at once, whatever the sizes, buffers and
speeds."""
import hashlib
import os
import random
import socket
import threading
import time

import pytest
from rawtls import text_of
from upstream import read_exactly, read_to_end

SMALL = 4096


@pytest.fixture(scope="module")
def door_options():
    return {"workers": 2, "service_rcvbuf": SMALL}


class Stream:
    """A known sequence of bytes, cut into pieces of random sizes."""

    def __init__(self, seed, size, piece_max=1 << 20):
        self.rng, self.size = random.Random(seed), size
        self.piece_max = piece_max
        self.data = random.Random(seed).randbytes(size)

    def pieces(self):
        at = 0
        while at < self.size:
            # As many small as large ones.
            size = int(2 ** self.rng.uniform(0, self.piece_max.bit_length() - 1))
            yield self.data[at:at + size]
            at += size


def in_threads(*functions):
    """Runs all at once; the first exception of any is raised."""
    failed = []

    def guarded(function):
        try:
            function()
        except BaseException as error:  # noqa: B902
            failed.append(error)
    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def both_ways(client, up, size, piece_max=1 << 20, pause=0):
    """Sends and compares in both directions at once, then ends both in order."""
    inbound, outbound = Stream(1, size, piece_max), Stream(2, size, piece_max)
    received = []

    def client_sends():
        for piece in inbound.pieces():
            client.send_data(piece)
        client.finish()

    def client_receives():
        while len(client.data) < size:
            assert client.step() is None
            if pause:
                time.sleep(pause)
        client.expect_end("close_notify")
        assert bytes(client.data) == outbound.data

    def up_sends():
        for piece in outbound.pieces():
            up.sendall(piece)
        up.shutdown(1)

    def up_receives():
        while more := up.recv(1 << 16):
            received.append(more)
            if pause:
                time.sleep(pause)
    in_threads(client_sends, client_receives, up_sends, up_receives)
    assert b"".join(received) == inbound.data


def test_both_directions_at_once(door):
    client, up = door.pair()
    with client, up:
        both_ways(client, up, 8 << 20)
    line = door.line_of(client.name)
    assert (line["bytes_in"], line["bytes_out"]) == (8 << 20, 8 << 20)


def test_tiny_pieces(door):
    client, up = door.pair()
    with client, up:
        both_ways(client, up, 100000, piece_max=64)


def test_tiny_buffers(door):
    """Partial writes everywhere."""
    client = door.client(buffers=(SMALL, SMALL))
    with client, door.hand.accept() as up:
        up.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        both_ways(client, up, 400000)


def test_slow_readers(door):
    client = door.client(buffers=(SMALL, None))
    with client, door.hand.accept() as up:
        both_ways(client, up, 600000, pause=0.001)


@pytest.mark.parametrize("size", [1, 1000, 16384, 16385, 65536, (1 << 20) + 1])
def test_stock_client_sizes(door, size):
    with door.tls() as sock:
        name = text_of(sock.getsockname())
        data = os.urandom(size)
        # In one thread: two at once on one of Python's SSL objects end a stream now and then by
        # themselves.
        for at in range(0, size, 1 << 17):
            piece = data[at:at + (1 << 17)]
            sock.sendall(piece)
            assert read_exactly(sock, len(piece)) == piece
        sock.unwrap().close()
    line = door.line_of(name)
    assert (line["bytes_in"], line["bytes_out"]) == (size, size)


@pytest.mark.parametrize("size", [0, 1, 16384, 300000, 5 << 20])
def test_end_comes_right_behind_the_last_byte(door, size):
    """The service writes and closes at once: nothing is cut, close_notify is the last record."""
    client = door.client(buffers=(SMALL, None))
    with client, door.hand.accept() as up:
        data = os.urandom(size)

        def serve():
            up.sendall(data)
            up.close()
        in_threads(serve, lambda: client.expect_end("close_notify"))
        assert bytes(client.data) == data
        client.finish()
    line = door.line_of(client.name)
    assert (line["reason"], line["bytes_out"]) == ("upstream_closed", size)


@pytest.mark.parametrize("size", [0, 1, 16384, 300000, 5 << 20])
def test_client_sends_and_ends_at_once(door, size):
    client, up = door.pair()
    with client, up:
        data = os.urandom(size)

        def send():
            client.send_data(data)
            client.finish()
        received = []
        in_threads(send, lambda: received.append(read_to_end(up)))
        assert received[0] == data
        up.sendall(b"thanks")
        up.close()
        client.expect_end("close_notify")
        assert bytes(client.data) == b"thanks"
    line = door.line_of(client.name)
    assert (line["reason"], line["bytes_in"]) == ("client_closed", size)


def test_two_hundred_at_once(door):
    """All open together, each with its own bytes, read in another order than they were sent."""
    rng = random.Random(11)
    clients = [door.client("echo") for _ in range(200)]
    expected = {}
    for i, client in enumerate(clients):
        expected[client] = rng.randbytes(rng.choice((1, 100, 3000, 20000)))
        client.send_data(expected[client])
    for client in reversed(clients):
        size = len(expected[client])
        assert (
            hashlib.sha256(client.read_data(size)).digest()
            == hashlib.sha256(expected[client]).digest()
        )
    for client in clients:
        client.finish()
    for client in clients:
        client.expect_end("close_notify")
        client.sock.close()
    for client in clients:
        line = door.line_of(client.name)
        assert (line["bytes_in"], line["bytes_out"]) == (
            len(expected[client]),
            len(expected[client]),
        )
