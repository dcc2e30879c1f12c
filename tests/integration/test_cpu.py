# SPDX-License-Identifier: Apache-2.0
"""No busy loop, ever: in every state in which a connection can be stuck the proxy takes no CPU
time. All states are made at once and watched for a second; if that is too much, one after the other
is let go until the guilty one is known."""
import contextlib
import os
import socket

import pytest
import rawtls
import tlswire as wire
from proxyrig import Proxy
from test_upstream import full_listener
from upstream import Manual, endpoint

TICKS = 5  # of 10 ms each, in a second


@pytest.fixture(scope="module")
def door_options():
    return {"timeouts": {"handshake": "10m", "linger": "1m", "connect": "10m"}}


def fill(sock):
    sock.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while True:
            sock.send(bytes(1 << 16))


def idle(door):
    return door.pair()


def silent(door):
    return (door.raw(),)


def half_hello(door):
    client = door.raw()
    client.raw(wire.plain_record(wire.HANDSHAKE, client.hello())[:100])
    return (client,)


def half_flight(door):
    client = door.raw()
    client.send_hello()
    client.read_server_flight()
    client.raw(client.flight_records()[:100])
    return (client,)


def server_flight_unread(door):
    client = door.raw(buffers=(2048, None))
    client.send_hello()
    return (client,)


def client_half_closed(door):
    client, up = door.pair()
    client.finish()
    assert up.recv(1) == b""
    return client, up


def client_half_closed_before_data(door):
    client, up = door.pair()
    client.sock.shutdown(socket.SHUT_WR)
    assert up.recv(1) == b""
    return client, up


def client_half_closed_in_the_handshake(door):
    client = door.raw()
    client.send_hello()
    client.read_server_flight()
    client.raw(client.flight_records() + client.record(wire.ALERT, b"\1\0"))
    client.sock.shutdown(socket.SHUT_WR)
    return client, door.hand.accept()


def upstream_half_closed(door):
    client, up = door.pair()
    up.shutdown(socket.SHUT_WR)
    client.read_alert()
    return client, up


def client_does_not_read(door):
    client = door.client(buffers=(4096, None))
    up = door.hand.accept()
    fill(up)
    return client, up


def client_does_not_read_the_end(door):
    client, up = client_does_not_read(door)
    up.shutdown(socket.SHUT_WR)
    return client, up


def service_does_not_read(door):
    client, up = door.pair()
    with contextlib.suppress(TimeoutError):
        client.sock.settimeout(0.2)
        while True:
            client.send_data(bytes(1 << 16))
    return client, up


def service_does_not_read_the_end(door):
    client, up = service_does_not_read(door)
    with contextlib.suppress(OSError):
        client.sock.shutdown(socket.SHUT_WR)
    return client, up


def all_have_ended_and_the_service_does_not_read(door):
    """The client's socket is shut both ways, which its poll reports for ever, and yet it has to
    wait."""
    client, up = service_does_not_read(door)
    up.shutdown(socket.SHUT_WR)
    client.sock.settimeout(20)
    client.read_alert()
    client.sock.shutdown(socket.SHUT_WR)
    return client, up


def nobody_reads(door):
    client = door.client(buffers=(4096, None))
    up = door.hand.accept()
    fill(up)
    with contextlib.suppress(TimeoutError):
        client.sock.settimeout(0.2)
        while True:
            client.send_data(bytes(1 << 16))
    return client, up


def half_a_record(door):
    client, up = door.pair()
    client.raw(client.record(wire.DATA, bytes(10000))[:5000])
    return client, up


def half_a_key_update(door):
    client, up = door.pair()
    client.send(wire.HANDSHAKE, wire.key_update(True)[:3])
    return client, up


def data_behind_the_end(door):
    client, up = door.pair()
    client.close_notify()
    client.send_data(bytes(100000))
    assert up.recv(1) == b""
    return client, up


def lingering(door):
    client = door.client("hand", None)
    client.read_alert()
    return (client,)


def lingering_and_never_read(door):
    client = door.client(buffers=(4096, None))
    up = door.hand.accept()
    fill(up)
    client.send(wire.DATA, b"x", spoil=True)
    return client, up


STATES = [
    idle,
    silent,
    half_hello,
    half_flight,
    server_flight_unread,
    client_half_closed,
    client_half_closed_before_data,
    client_half_closed_in_the_handshake,
    upstream_half_closed,
    client_does_not_read,
    client_does_not_read_the_end,
    service_does_not_read,
    service_does_not_read_the_end,
    all_have_ended_and_the_service_does_not_read,
    nobody_reads,
    half_a_record,
    half_a_key_update,
    data_behind_the_end,
    lingering,
    lingering_and_never_read,
]


def end(ends):
    for one in ends:
        with contextlib.suppress(OSError):
            rawtls.reset(one if isinstance(one, socket.socket) else one.sock)


def test_stuck_states(door):
    stuck = [(state.__name__, state(door)) for state in STATES]
    try:
        ticks = door.proxy.ticks_while_idle()
        while ticks > TICKS and stuck:
            name, ends = stuck.pop()
            end(ends)
            rest = door.proxy.ticks_while_idle()
            assert rest > TICKS, f"{ticks} ticks in a second until {name} was let go, then {rest}"
            ticks = rest
        assert ticks <= TICKS, f"{ticks} ticks in a second"
        with door.client("echo") as client:
            door.round_trip(client)
            client.finish()
            client.expect_end("close_notify")
    finally:
        for _, ends in stuck:
            end(ends)


def test_egress_and_a_connect_that_hangs(loop, pki, tmp_path):
    """The other role's states: dialing, waiting for a server's hello, blocked towards it."""
    busy, fillers = full_listener()
    service = Manual()
    crt, key = pki.write(pki.client)
    tls = {"certificate": crt, "key": key, "roots": pki.root_files, "server_name": "x.example"}
    common = {"role": "egress", "tls": tls, "timeouts": {"handshake": "10m", "connect": "10m"}}
    proxy = Proxy(
        tmp_path / "egress",
        [
            {"name": "dial", "upstream": endpoint(busy), **common},
            {"name": "wait", "upstream": service.endpoint, **common},
        ],
        loop=loop,
    )
    try:
        proxy.start()
        socks = []
        for name in ("dial", "wait"):
            for what in ("quiet", "data", "fin"):
                sock = rawtls.connect(proxy.address(name))
                if what != "quiet":
                    sock.sendall(os.urandom(100000))
                if what == "fin":
                    sock.shutdown(socket.SHUT_WR)
                socks.append(sock)
        assert proxy.ticks_while_idle() <= TICKS
        for sock in socks:
            rawtls.reset(sock)
        proxy.wait_quiet()
        proxy.stop()
    finally:
        proxy.kill()
        service.close()
        for sock in (busy, *fillers):
            sock.close()
