# SPDX-License-Identifier: Apache-2.0
"""Deadlines of the states that are not in test_handshake_abuse.py and test_upstream.py: idle,
linger. And who is told."""
import socket
import threading
import time

import pytest
from rawtls import Ended
from upstream import end_of, read_exactly, read_to_end
from waiting import wait_until


@pytest.fixture(scope="module")
def door_options():
    return {"timeouts": {"idle": "1s", "linger": "300ms"}}


def test_idle(door):
    """Both ends are told in order; what is on its way at that moment is not idle."""
    before = door.reasons().get("idle_timeout", 0)
    client, up = door.pair()
    with client, up:
        door_time = time.monotonic()
        client.send_data(b"x")
        assert read_exactly(up, 1) == b"x"
        client.expect_end("close_notify")
        assert time.monotonic() - door_time >= 1
        assert read_to_end(up) == b""
    assert door.line_of(client.name)["reason"] == "idle_timeout"
    assert door.reasons()["idle_timeout"] == before + 1


@pytest.mark.parametrize("direction", ["in", "out"])
def test_traffic_in_one_direction_is_enough(door, direction):
    client, up = door.pair()
    with client, up:
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            if direction == "in":
                client.send_data(b"x")
                assert read_exactly(up, 1) == b"x"
            else:
                up.sendall(b"x")
                assert client.read_data(1) == b"x"
            time.sleep(0.2)
        client.finish()
        assert read_to_end(up) == b""
        up.close()
        client.expect_end("close_notify")
    assert door.line_of(client.name)["reason"] == "client_closed"


def test_half_closed_and_idle(door):
    client, up = door.pair()
    with client, up:
        client.finish()
        assert read_to_end(up) == b""
        client.expect_end("close_notify")
    assert door.line_of(client.name)["reason"] == "idle_timeout"


def test_blocked_is_idle(door):
    """A client that never reads: nothing moves, so the idle deadline ends it, and linger does not
    wait for ever for the room that never comes."""
    client = door.client(buffers=(4096, None))
    with client, door.hand.accept() as up:
        up.settimeout(0.2)
        try:
            while True:
                up.sendall(bytes(1 << 16))
        except TimeoutError:
            pass
        up.settimeout(20)
        assert end_of(up) in ("fin", "reset")
        assert door.line_of(client.name)["reason"] == "idle_timeout"
        wait_until("its sockets to be closed", lambda: door.proxy.fds() <= door.proxy.base_fds)


def test_linger_is_bounded_in_time(door):
    """A refused client that does not go: its socket is closed under it."""
    with door.raw("hand", None) as client:
        client.handshake()
        client.expect_end("certificate_required")
        line = door.line_of(client.name)
        assert line["reason"] == "no_certificate"
        wait_until("its socket to be closed", lambda: door.proxy.fds() <= door.proxy.base_fds)


def test_linger_is_bounded_in_bytes(door):
    """A refused client that sends and sends."""
    with door.raw("hand", None) as client:
        client.handshake()
        client.expect_end("certificate_required")
        sent = 0
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while sent < 64 << 20:
                sent += client.sock.send(bytes(1 << 18))
    assert door.line_of(client.name)["reason"] == "no_certificate"


def test_linger_off(new_door):
    """Then the alert is sent, and not waited for."""
    door = new_door(timeouts={"linger": "off"})
    with door.raw("hand", None) as client:
        client.handshake()
        try:
            client.read_end()
        except (Ended, ConnectionResetError):
            pass
    assert door.line_of(client.name)["reason"] == "no_certificate"


def test_many_deadlines_at_once(door):
    """A hundred idle connections end by their own deadlines while another one works."""
    stop = threading.Event()
    with door.echo_beside() as beside:
        def work():
            while not stop.is_set():
                door.round_trip(beside, 2000)
                time.sleep(0.05)
        worker = threading.Thread(target=work)
        worker.start()
        try:
            clients = [door.client("echo") for _ in range(100)]
            for client in clients:
                client.expect_end("close_notify")
        finally:
            stop.set()
            worker.join()
        for client in clients:
            assert door.line_of(client.name)["reason"] == "idle_timeout"
            client.sock.shutdown(socket.SHUT_RDWR)
            client.sock.close()
