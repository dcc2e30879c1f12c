# SPDX-License-Identifier: Apache-2.0
"""Stopping: on SIGTERM nobody new gets in, who is there may finish, and at the deadline is told;
twice: at once."""
import signal
import socket
import time

import pytest
import rawtls
from door import SERVER_NAME
from upstream import Manual, read_exactly, read_to_end
from waiting import wait_until


def term(door, number=signal.SIGTERM):
    door.proxy.signal(number)
    wait_until("the drain to begin", lambda: door.proxy.lines(event="drain"))
    wait_until("the port to be closed", lambda: refuses(door))


def refuses(door):
    try:
        rawtls.connect(door.proxy.address()).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


def stopped(door, code=0):
    assert door.proxy.wait() == code, door.proxy.tail()
    assert door.proxy.lines(event="stopped")
    door.proxy.check_log()
    return door.proxy.lines(event="totals")[-1]


def test_idle_proxy_stops_at_once(new_door):
    door = new_door(timeouts={"drain": "1h"})
    term(door)
    assert stopped(door)["client_closed"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_live_connection_may_finish(new_door, number):
    door = new_door(timeouts={"drain": "1h"}, workers=2)
    client, up = door.pair()
    with client, up:
        term(door, number)
        for _ in range(3):  # it still works in both directions
            client.send_data(b"x" * 50000)
            assert read_exactly(up, 50000) == b"x" * 50000
            up.sendall(b"y" * 50000)
            assert client.read_data(50000) == b"y" * 50000
        client.finish()
        assert read_to_end(up) == b""
        up.close()
        client.expect_end("close_notify")
    assert stopped(door)["client_closed"] == 2
    assert door.line_of(client.name)["reason"] == "client_closed"


def test_a_handshake_in_flight_may_finish(new_door):
    door = new_door(timeouts={"drain": "1h"})
    with door.raw() as client:
        client.send_hello()
        client.read_server_flight()
        term(door)
        client.raw(client.flight_records())
        with door.hand.accept() as up:
            up.sendall(b"in time")
            assert client.read_data(7) == b"in time"
        client.expect_end("close_notify")
        client.finish()
    assert stopped(door)["upstream_closed"] == 1


def test_at_the_deadline_all_are_told(new_door):
    """Live ones with close_notify behind the last byte; a handshake is cut; who does not go is cut
    too."""
    door = new_door(timeouts={"drain": "500ms", "linger": "300ms"}, workers=2)
    pairs = [door.pair() for _ in range(20)]
    half = door.raw()
    half.send_hello()
    half.read_server_flight()
    moved = door.proxy.totals()["bytes_out"] + len(pairs) * len(b"last byte")
    for client, up in pairs:
        up.sendall(b"last byte")
    wait_until("the last bytes to be on their way", lambda: door.proxy.totals()["bytes_out"] == moved)
    door.proxy.signal(signal.SIGTERM)
    for client, up in pairs:
        client.expect_end("close_notify")
        assert bytes(client.data) == b"last byte"
        assert read_to_end(up) == b""
    totals = stopped(door)  # none of them has closed its socket
    assert totals["drain"] == 21
    for client, up in pairs:
        assert door.line_of(client.name)["reason"] == "drain"
        client.sock.close()
        up.close()
    half.sock.close()


def test_blocked_connections_do_not_hold_it(new_door):
    door = new_door(timeouts={"drain": "300ms", "linger": "300ms"})
    client = door.client(buffers=(4096, None))
    with client, door.hand.accept() as up:
        up.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while True:
                up.sendall(bytes(1 << 16))
        door.proxy.signal(signal.SIGTERM)
        assert stopped(door)["drain"] == 1


@pytest.mark.parametrize(
    "first, second", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)]
)
def test_second_signal_ends_it_now(new_door, first, second):
    door = new_door(timeouts={"drain": "1h", "linger": "300ms"}, workers=2)
    pairs = [door.pair() for _ in range(5)]
    term(door, first)
    door.proxy.signal(second)
    for client, up in pairs:
        client.expect_end("close_notify")
        assert read_to_end(up) == b""
        client.sock.close()
        up.close()
    stopped(door)
    for client, _ in pairs:
        assert door.line_of(client.name)["reason"] == "drain"


def test_each_listener_has_its_deadline(new_proxy, pki):
    """One listener's are cut at once, the other one's have an hour."""
    service = Manual()
    proxy = new_proxy([{"name": name, "role": "front", "upstream": service.endpoint,
                        "tls": pki.tls(), "timeouts": {"drain": drain}}
                       for name, drain in (("now", "off"), ("later", "1h"))])
    pairs = {}
    for name in ("now", "later"):
        client = rawtls.RawClient(proxy.address(name), pki.client, server_name=SERVER_NAME)
        pairs[name] = client.handshake(), service.accept()
    proxy.signal(signal.SIGTERM)
    client, up = pairs["now"]
    with client, up:
        client.expect_end("close_notify")
        assert read_to_end(up) == b""
    client, up = pairs["later"]
    with client, up:
        up.sendall(b"still here")
        assert client.read_data(10) == b"still here"
        up.close()
        client.expect_end("close_notify")
        client.finish()
    assert proxy.wait() == 0
    service.close()


def test_drain_off(new_door):
    """timeouts.drain: off cuts at once."""
    door = new_door(timeouts={"drain": "off"})
    client, up = door.pair()
    with client, up:
        door.proxy.signal(signal.SIGTERM)
        client.expect_end("close_notify")
        client.sock.close()
        assert stopped(door)["drain"] == 1


def test_many_signals(new_door):
    """Repeated and mixed signals do no harm."""
    door = new_door(timeouts={"drain": "1h"})
    for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP, signal.SIGPIPE):
        door.proxy.signal(number)
        time.sleep(0.01)
    with door.client("echo") as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    wait_until("the reloads", lambda: door.proxy.lines(event="reloaded"))
    for _ in range(5):
        door.proxy.signal(signal.SIGTERM)
    stopped(door)


def test_port_taken(new_door, new_proxy):
    """A second proxy on the same port does not start, and says why; the first one goes on."""
    door = new_door(workers=2)
    listener = dict(door.proxy.listeners["echo"])
    with pytest.raises(AssertionError, match="another program listens"):
        new_proxy([listener])
    with door.client("echo") as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")


def test_starts_again_on_its_port(new_door):
    """Connections of the last run in TIME_WAIT do not stand in the way."""
    door = new_door(timeouts={"drain": "off", "linger": "off"})
    clients = [door.client("echo") for _ in range(5)]
    for client in clients:
        door.round_trip(client, 1)  # the handshake has ended at both ends
    door.proxy.signal(signal.SIGTERM)
    stopped(door)
    for client in clients:
        client.sock.shutdown(socket.SHUT_WR)
    door.proxy.start()
    with door.client("echo") as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    for client in clients:
        client.sock.close()
