# SPDX-License-Identifier: Apache-2.0
"""Under a service manager: what it is told of start, reload and end, and the watchdog."""
import signal
import socket
import time

import pytest
from changing import end
from door import SERVER_NAME, Door
from manager import Manager, activate
from proxyrig import Proxy, address_of
from rawtls import RawClient
from upstream import Echo


@pytest.fixture
def manager(tmp_path):
    made = Manager(tmp_path)
    yield made
    made.close()


def test_notifications(new_door, files, manager):
    door = new_door(tls=files.tls(), timeouts={"drain": "1h"}, workers=2,
                    process={"env": manager.env, "top": {"reload": "manual"}})
    ready, seen = manager.expect(READY="1")
    assert ready["STATUS"] == "serving 2 listeners with 2 workers"
    begun_us = time.monotonic_ns() // 1000
    files.write_identity()
    door.proxy.reload()
    reloading, seen = manager.expect(seen, RELOADING="1")
    assert begun_us <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    _, seen = manager.expect(seen, READY="1")
    files.roots.write_text("nothing")
    door.proxy.reload("reload_failed")
    _, seen = manager.expect(seen, RELOADING="1")
    failed, seen = manager.expect(seen, READY="1")  # it serves, as before
    assert "reload failed" in failed["STATUS"] and "roots.pem" in failed["STATUS"]
    with door.client("echo") as client:
        door.proxy.signal(signal.SIGTERM)
        _, seen = manager.expect(seen, STOPPING="1")
        end(client)
    assert door.proxy.wait() == 0
    assert not [m for m in manager.messages()[seen:] if "READY" in m]
    assert not [m for m in manager.messages() if "WATCHDOG" in m]


def test_watchdog(new_door, manager):
    """Fed as long as the workers answer, while draining too."""
    door = new_door(process={"env": {**manager.env, "WATCHDOG_USEC": "200000"}},
                    timeouts={"drain": "1h"}, workers=2)
    seen = 0
    for _ in range(5):
        _, seen = manager.expect(seen, WATCHDOG="1")
    with door.client("echo") as client:
        door.proxy.signal(signal.SIGTERM)
        _, seen = manager.expect(seen, STOPPING="1")
        for _ in range(3):
            _, seen = manager.expect(seen, WATCHDOG="1")
        end(client)
    assert door.proxy.wait() == 0


def test_watchdog_of_somebody_else(new_door, manager):
    """WATCHDOG_PID names another process: it is not for us."""
    door = new_door(process={"env": {**manager.env, "WATCHDOG_USEC": "200000",
                                      "WATCHDOG_PID": "1"}})
    manager.expect(READY="1")
    door.proxy.stop()
    assert not [m for m in manager.messages() if "WATCHDOG" in m]


@pytest.fixture
def echo():
    service = Echo()
    yield service
    service.close()


@pytest.fixture
def activated(tmp_path, pki, loop, echo):
    """Makes a proxy with one listener `echo`, not started."""
    made = []

    def make(listen=None, **options):
        listener = {"name": "echo", "upstream": echo.endpoint, "tls": pki.tls(), **options}
        if listen:
            listener["listen"] = listen
        made.append(Proxy(tmp_path / f"proxy-{len(made)}", [listener], loop=loop, workers=3))
        return made[-1]
    yield make
    for proxy in made:
        proxy.kill()


def knock(address, pki):
    """A client that has connected, and will say something when it is served."""
    return RawClient(address, pki.client, server_name=SERVER_NAME)


def round_trip(address, pki):
    with knock(address, pki).handshake() as client:
        Door.round_trip(client)
        end(client)


@pytest.mark.parametrize("names", [None, ["sallyport.socket"], ["echo"]])
def test_socket_activation(activated, pki, names):
    """By address or by name; who comes before the start is served, and who comes while it restarts
    too: the socket is the manager's."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = sock.getsockname()
        proxy = activated(listen=f"127.0.0.1:{address[1]}")
        if names == ["echo"]:
            proxy.listeners["echo"]["listen"] = "127.0.0.1:9"  # the name goes before the address
        activate(proxy, sock, names=names)
        early = knock(address, pki)
        for _ in range(2):
            proxy.start()
            with early.handshake():
                Door.round_trip(early)
                end(early)
            for _ in range(6):
                round_trip(address, pki)
            proxy.reload()
            round_trip(address, pki)
            proxy.stop()
            # Nobody serves it now, but nobody is refused either.
            early = knock(address, pki)
        assert not proxy.lines(event="inherited")
        early.sock.close()


def test_several_sockets_of_a_listener(activated, pki):
    """Two sockets on one address (ReusePort=yes in the unit) and three workers: each is served."""
    first = socket.create_server(("127.0.0.1", 0), reuse_port=True)
    address = first.getsockname()
    second = socket.create_server(address, reuse_port=True)
    with first, second:
        proxy = activated(listen=f"127.0.0.1:{address[1]}")
        activate(proxy, first, second)
        proxy.start()
        for _ in range(24):
            round_trip(address, pki)
        proxy.stop()


def test_unix_socket_of_the_manager_keeps_its_file(activated, pki, tmp_path):
    path = tmp_path / "activated.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen(16)
        proxy = activated(listen=f"unix:{path}")
        activate(proxy, sock)
        proxy.start()
        round_trip(str(path), pki)
        proxy.stop()
        assert path.exists()


def test_sockets_of_nobody(activated, pki):
    """What no listener wants is closed with a word about it; what is for another process is left
    alone."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        proxy = activated()
        activate(proxy, sock, names=["other"])
        proxy.start()
        assert "other" in proxy.lines(event="inherited")[0]["msg"]
        round_trip(proxy.address(), pki)
        proxy.stop()
        activate(proxy, sock, names=["echo"], pid_offset=1)
        proxy.start()
        assert not proxy.lines(event="inherited")
        round_trip(address_of(proxy.listeners["echo"]["listen"]), pki)
        proxy.stop()


def test_no_listening_socket(activated):
    with socket.socket() as sock:
        proxy = activated()
        activate(proxy, sock, names=["echo"])
        with pytest.raises(AssertionError, match="no listening stream socket"):
            proxy.start()
