# SPDX-License-Identifier: Apache-2.0
"""Deadlines of the states that are not in test_handshake_abuse.py and test_upstream.py: idle,
linger. And who is told."""
import contextlib
import select
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
    begun = time.monotonic()  # not later: a turn of the loop has one time, that of its start
    client, up = door.pair()
    with client, up:
        client.send_data(b"x")
        assert read_exactly(up, 1) == b"x"
        client.expect_end("close_notify")
        assert time.monotonic() - begun >= 1
        assert read_to_end(up) == b""
    assert door.line_of(client.name)["reason"] == "idle_timeout"
    assert door.reasons()["idle_timeout"] == before + 1


class Pace:
    """Knows the longest pause between two beats: one that comes near the idle deadline is this
    machine's doing, and nobody's fault."""

    def __init__(self):
        self.last, self.longest = time.monotonic(), 0

    def beat(self):
        now = time.monotonic()
        self.longest, self.last = max(self.longest, now - self.last), now


def at_pace(attempt):
    """Calls attempt(pace); what fails while the pace was not kept is tried again."""
    for _ in range(20):
        pace = Pace()
        try:
            return attempt(pace)
        except Exception:
            pace.beat()
            if pace.longest < 0.7:
                raise
    raise AssertionError("this machine stops again and again")


@pytest.mark.parametrize("direction", ["in", "out"])
def test_traffic_in_one_direction_is_enough(door, direction):
    def trickle(pace):
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
                pace.beat()
            client.finish()
            assert read_to_end(up) == b""
            up.close()
            client.expect_end("close_notify")
        assert door.line_of(client.name)["reason"] == "client_closed"
    at_pace(trickle)


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
        with contextlib.suppress(OSError):  # no room for more; or the deadline itself, if we were slow
            while True:
                up.sendall(bytes(1 << 16))
        up.settimeout(20)
        assert end_of(up) in ("fin", "reset")
        assert door.line_of(client.name)["reason"] == "idle_timeout"
        wait_until("its sockets to be closed", lambda: door.proxy.fds() <= door.proxy.base_fds)


def test_never_reads(new_door):
    """A live client that keeps its window shut is cut by timeouts.tcp_user, without any idle
    deadline; its service learns that the stream is not whole."""
    door = new_door(timeouts={"tcp_user": "1s"})
    client = door.client(buffers=(4096, None))
    with client, door.hand.accept() as up:
        up.settimeout(0.2)
        with pytest.raises((TimeoutError, ConnectionResetError)) as stop:
            while True:
                up.sendall(bytes(1 << 16))
        up.settimeout(20)
        assert stop.type is ConnectionResetError or end_of(up) == "reset"
        assert door.line_of(client.name)["reason"] == "client_reset"


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
    def attempt(pace):
        with contextlib.ExitStack() as stack:
            clients = {}
            beside = stack.enter_context(door.client("echo"))
            for _ in range(100):
                client = stack.enter_context(door.client("echo"))
                clients[client.sock] = client
                door.round_trip(beside, 2000)
                pace.beat()
            names = [client.name for client in clients.values()]
            while clients:
                for sock in select.select(list(clients), [], [], 0.05)[0]:
                    clients.pop(sock).expect_end("close_notify")
                door.round_trip(beside, 2000)
                pace.beat()
            beside.finish()
            beside.expect_end("close_notify")
        for name in names:
            assert door.line_of(name)["reason"] == "idle_timeout"
    at_pace(attempt)
