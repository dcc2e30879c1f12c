# SPDX-License-Identifier: Apache-2.0
"""A service that refuses, breaks, ends early or is slow: the client gets an end that it
understands."""
import contextlib
import os
import socket

import pytest
import rawtls
from door import Door
from rawtls import FATAL, Ended
from upstream import Echo, Manual, endpoint, read_exactly, read_to_end
from waiting import wait_until

# The kernel's TLS is of TCP sockets only.
NO_KTLS = {"ktls": "off", "splice": "auto"}


@pytest.fixture
def front(new_proxy, pki):
    """A front door before whatever endpoint a test names."""
    def make(upstream, **options):
        return new_proxy(
            [{"name": "front", "role": "front", "upstream": upstream, "tls": pki.tls(), **options}]
        )
    return make


def client_of(proxy, pki):
    return rawtls.RawClient(proxy.address(), pki.client).handshake()


def test_refused(front, pki):
    """Nobody listens: close_notify, so that the client reconnects; the log says who refused."""
    gone = socket.socket()
    gone.bind(("127.0.0.1", 0))
    proxy = front(endpoint(gone))
    with gone, proxy.counted(upstream_refused=1):
        with client_of(proxy, pki) as client:
            client.expect_end("close_notify")
        line = proxy.line_of(client.name)
    assert (line["reason"], line["error"], line["cn"]) == (
        "upstream_refused",
        "ECONNREFUSED",
        "svc-a",
    )
    assert proxy.totals()["upstream_connect_failures"] == 1


def test_unix_socket_that_is_not_there(front, pki, tmp_path):
    proxy = front(f"unix:{tmp_path}/nobody")
    with proxy.counted(upstream_refused=1):
        with client_of(proxy, pki) as client:
            client.expect_end("close_notify")
        assert proxy.line_of(client.name)["error"] == "ENOENT"


def test_name_that_does_not_resolve(front, pki):
    proxy = front("does-not-exist.invalid:9092")
    assert proxy.lines(event="unresolved")
    with proxy.counted(upstream_unresolved=1):
        with client_of(proxy, pki) as client:
            client.expect_end("close_notify")


def test_name_that_resolves(front, pki):
    """localhost may be ::1 first, where nobody listens: the next address is tried."""
    echo = Echo()
    proxy = front(f"localhost:{echo.listener.getsockname()[1]}")
    with client_of(proxy, pki) as client:
        Door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    echo.close()


def test_comes_back(front, pki):
    """Refusal is of the moment: the next client gets through."""
    gone = socket.socket()
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    gone.bind(("127.0.0.1", 0))
    address = gone.getsockname()
    proxy = front(endpoint(gone))
    with client_of(proxy, pki) as client:
        client.expect_end("close_notify")
    gone.close()
    echo = Echo(address)
    with client_of(proxy, pki) as client:
        Door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    echo.close()


def test_reset_in_mid_stream(door):
    """An end that is not the stream's own must not look like it: a fatal alert, not
    close_notify."""
    with door.counted(upstream_reset=1):
        client, up = door.pair()
        with client:
            up.sendall(b"half an ans")
            assert client.read_data(11) == b"half an ans"
            rawtls.reset(up)
            client.expect_end("internal_error")
        line = door.line_of(client.name)
    assert (line["reason"], line["error"] if "error" in line else "ECONNRESET") == (
        "upstream_reset",
        "ECONNRESET",
    )


def test_reset_at_once(door):
    """It may be seen as a refused connect, or as a broken connection: the client learns which."""
    with door.echo_beside(), door.client() as client:
        rawtls.reset(door.hand.accept())
        alert = client.read_end()
        line = door.line_of(client.name)
    assert (line["reason"], alert.name) in (("upstream_reset", "internal_error"),
                                            ("upstream_refused", "close_notify"))


def test_reset_while_the_client_sends(door):
    """Unread input must not swallow the alert."""
    with door.counted(upstream_reset=1):
        client, up = door.pair()
        with client:
            client.send_data(bytes(200000))
            read_exactly(up, 1000)
            rawtls.reset(up)
            client.expect_end("internal_error")


def test_ends_early(door):
    """Its half ends; what the client still sends is taken until the service has gone."""
    client, up = door.pair()
    with client:
        up.sendall(b"goodbye")
        up.close()
        client.expect_end("close_notify")
        assert client.read_data(7) == b"goodbye"
        try:
            client.send_data(bytes(1 << 20))
            client.finish()
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert door.line_of(client.name)["reason"] in ("upstream_closed", "upstream_reset")


def test_slow_service(door):
    """A byte at a time, each at once."""
    client, up = door.pair()
    with client, up:
        for byte in b"slow":
            up.sendall(bytes([byte]))
            assert client.read_data(1) == bytes([byte])
        client.finish()
        assert read_to_end(up) == b""
        up.close()
        client.expect_end("close_notify")


def test_connects_only_for_those_who_are_let_in(door):
    client = door.raw()
    with client:
        client.send_hello()
        client.read_server_flight()
        assert door.hand.idle(), "the service was connected before the client had proved who it is"
        client.raw(client.flight_records())
        with door.hand.accept() as up:
            up.close()
        client.expect_end("close_notify")
        client.finish()


def test_data_before_the_service_is_there(front, pki):
    """What the client sends during the connect waits in its socket, and arrives whole. The
    service's queue is full, so that the connect takes long."""
    busy, fillers = full_listener()
    proxy = front(endpoint(busy), timeouts={"connect": "30s"})
    client = client_of(proxy, pki)
    with client, busy:
        data = os.urandom(50000)
        client.send_data(data)
        wait_until("the connect to be under way", lambda: proxy.fds() >= proxy.base_fds + 2)
        for sock in fillers:
            sock.close()
        found = []
        busy.settimeout(20)
        while not found:
            sock, _ = busy.accept()
            sock.settimeout(20)
            first = sock.recv(1)
            if first:
                found = [first, sock]
            else:
                sock.close()
        assert found[0] + read_exactly(found[1], len(data) - 1) == data
        found[1].close()
        client.expect_end("close_notify")
        client.finish()


def full_listener():
    """A listening socket that drops every further SYN, and the sockets that fill its queue."""
    busy = socket.socket()
    busy.bind(("127.0.0.1", 0))
    busy.listen(0)
    fillers = []
    for _ in range(2):
        sock = socket.socket()
        sock.setblocking(False)
        try:
            sock.connect(busy.getsockname())
        except BlockingIOError:
            pass
        fillers.append(sock)
    return busy, fillers


def test_connect_deadline(front, pki):
    """A service that does not answer at all."""
    busy, fillers = full_listener()
    proxy = front(endpoint(busy), timeouts={"connect": "300ms"})
    with busy, proxy.counted(upstream_timeout=1):
        with client_of(proxy, pki) as client:
            client.expect_end("close_notify")
        assert proxy.line_of(client.name)["reason"] == "upstream_timeout"
    for sock in fillers:
        sock.close()


@pytest.mark.parametrize("how", ["reset", "close_notify", "fin", "alert"])
def test_client_leaves_during_the_connect(front, pki, how):
    busy, fillers = full_listener()
    connect = "10m" if how == "reset" else "500ms"
    proxy = front(endpoint(busy), timeouts={"connect": connect, "linger": "200ms"})
    client = client_of(proxy, pki)
    with client, busy:
        wait_until("the connect to be under way",
                   lambda: proxy.fds() >= proxy.base_fds + 2 or proxy.lines(event="closed"))
        with contextlib.suppress(OSError):  # it may be over by now
            if how == "reset":
                client.reset()
            elif how == "close_notify":
                client.finish()
            elif how == "fin":
                client.sock.shutdown(socket.SHUT_WR)
            else:
                client.send_alert("internal_error", FATAL)
        line = proxy.line_of(client.name)
    assert line["reason"] == ("client_reset" if how == "reset" else "upstream_timeout")
    for sock in fillers:
        sock.close()


def test_unix_sockets_on_both_sides(new_proxy, pki, tmp_path):
    """No port at all: the listener and the service are unix sockets; the log says so."""
    service = Manual(f"{tmp_path}/service")
    proxy = new_proxy([{"name": "unix", "role": "front", "listen": f"unix:{tmp_path}/door",
                        "upstream": f"unix:{tmp_path}/service", "tls": pki.tls(), **NO_KTLS}])
    for _ in range(4):  # each worker takes from the one socket
        with client_of(proxy, pki) as client, service.accept() as up:
            data = os.urandom(300000)
            client.send_data(data)
            assert read_exactly(up, len(data)) == data
            up.sendall(data)
            assert client.read_data(len(data)) == data
            client.finish()
            assert read_to_end(up) == b""
            up.close()
            client.expect_end("close_notify")
    wait_until(
        "four lines",
        lambda: len(proxy.lines(event="closed", client="unix", reason="client_closed")) == 4,
    )
    proxy.stop()
    assert not os.path.exists(f"{tmp_path}/door"), "the socket's file was left behind"
    service.close()


def test_reset_over_unix_sockets(new_proxy, pki, tmp_path):
    service = Manual(f"{tmp_path}/service")
    proxy = new_proxy([{"name": "unix", "role": "front", "listen": f"unix:{tmp_path}/door",
                        "upstream": f"unix:{tmp_path}/service", "tls": pki.tls(), **NO_KTLS}])
    with client_of(proxy, pki) as client, service.accept() as up:
        client.send_data(b"x" * 1000)
        assert read_exactly(up, 1) == b"x"
        up.close()  # with unread bytes: a reset, as far as a unix socket has one
        with pytest.raises((Ended, AssertionError)):
            client.read_data(1)
    service.close()


def test_a_stale_unix_socket_is_replaced(new_proxy, pki, tmp_path):
    """What a killed proxy leaves is no obstacle; a living one is."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(f"{tmp_path}/door")
    left.close()
    echo = Echo()
    listener = {
        "name": "unix",
        "role": "front",
        "listen": f"unix:{tmp_path}/door",
        "upstream": echo.endpoint,
        **NO_KTLS,
        "tls": pki.tls(),
    }
    proxy = new_proxy([listener])
    with pytest.raises(AssertionError, match="another program listens"):
        new_proxy([dict(listener)])
    with client_of(proxy, pki) as client:
        Door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    echo.close()
