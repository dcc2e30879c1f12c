# SPDX-License-Identifier: Apache-2.0
"""Limits of the configuration and of the system: what is too much is turned away, counted, and
forgotten."""
import os
import resource
import socket
import threading
import time

import pytest
from door import plain_connect, reset_or_fin
from waiting import wait_until


def closed_at_once(door, listener="echo"):
    sock, _ = plain_connect(door, listener)
    with sock:
        return reset_or_fin(sock) == b""


@pytest.mark.parametrize("workers", [1, 2])
def test_connections(new_door, workers):
    """The limit is of the listener, whatever worker a connection comes to."""
    door = new_door(workers=workers, limits={"connections": 10})
    clients = [door.client("echo") for _ in range(10)]
    begun = time.monotonic()
    with door.proxy.counted(limit_connections=5):
        for _ in range(5):
            assert closed_at_once(door)
    for client in clients:  # nobody inside notices
        door.round_trip(client)
    with door.client("hand") as other:  # nor does another listener
        door.hand.accept().close()
        other.expect_end("close_notify")
    lines = door.proxy.lines(event="refused", reason="limit_connections")
    assert 1 <= len(lines) <= 1 + int(time.monotonic() - begun)  # one a second at most
    assert lines[0]["listener"] == "echo"
    clients[0].finish()
    clients[0].expect_end("close_notify")
    clients[0].sock.close()
    door.line_of(clients[0].name)
    wait_until("room for one more", lambda: door.works())
    for client in clients[1:]:
        client.reset()


def test_a_worker_for_each_core(new_proxy, pki):
    """workers: auto counts the cores that the process may run on, not those of the machine."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        proxy = new_proxy([{"name": "x", "upstream": "127.0.0.1:1", "tls": pki.tls()}], workers="auto")
    finally:
        os.sched_setaffinity(0, allowed)
    assert proxy.lines(event="started")[0]["workers"] == 1
    proxy.config["workers"] = 1  # for the checks at the end


def test_handshakes(new_door):
    """Only handshakes in flight count, and those over the limit cost nothing but an accept."""
    door = new_door(workers=2, limits={"handshakes": 5}, timeouts={"handshake": "10m"})
    established = [door.client("echo") for _ in range(10)]
    for client in established:  # a client is through with its handshake before the door is
        door.round_trip(client)
    half_open = [plain_connect(door, "echo")[0] for _ in range(5)]
    wait_until("five handshakes in flight", lambda: door.proxy.totals()["accepted"] >= 16)
    with door.proxy.counted(limit_handshakes=3):
        for _ in range(3):
            assert closed_at_once(door)
    for client in established:
        door.round_trip(client)
    for sock in half_open:
        sock.close()
    wait_until("room for one more", lambda: door.works())
    for client in established:
        client.reset()


def test_out_of_descriptors(new_door):
    """EMFILE: the backlog waits, nothing spins, nobody inside is harmed; with descriptors again,
    all get in."""
    door = new_door(nofile=40)
    with door.client("echo") as inside:
        door.round_trip(inside)
        waiting = [plain_connect(door, "echo")[0] for _ in range(60)]
        wait_until("the proxy to notice", lambda: door.proxy.lines(event="accept_backoff"))
        line = door.proxy.lines(event="accept_backoff")[0]
        assert (line["error"], line["level"], line["listener"]) == ("EMFILE", "warning", "echo")
        assert "file descriptors" in line["msg"]
        assert door.proxy.ticks_while_idle() <= 5, "a busy loop without descriptors"
        for _ in range(20):
            door.round_trip(inside)
        assert door.proxy.totals()["accept_backoffs"] >= 1
        for sock in waiting:
            sock.close()
        wait_until("room for one more", lambda: door.works())
        inside.finish()
        inside.expect_end("close_notify")
    assert door.proxy.totals()["accepted"] >= 63  # the first, inside, those who waited, one more


def test_no_descriptor_for_the_upstream(new_door):
    """Accepted, and then none is left to dial with: a clean end."""
    door = new_door()
    door.proxy.wait_quiet()  # or a descriptor may come back
    pid = door.proxy.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with door.raw("echo") as client:
        client.send_hello()
        client.read_server_flight()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (door.proxy.fds(), hard))
        try:
            client.raw(client.flight_records())
            client.expect_end("close_notify")
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    line = door.line_of(client.name)
    assert (line["reason"], line["error"]) == ("upstream_refused", "EMFILE")
    assert door.works()


def test_no_descriptor_for_a_pipe(new_door):
    """Splicing falls back to copying: bulk flows without a pipe to be had."""
    door = new_door()
    door.proxy.wait_quiet()
    pid = door.proxy.process.pid
    client, up = door.pair()
    with client, up:
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (door.proxy.fds(), hard))
        try:
            up.settimeout(20)
            data = bytes(range(256)) * 8192
            thread = threading.Thread(target=up.sendall, args=(data,))
            thread.start()
            assert client.read_data(len(data)) == data
            thread.join()
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        client.reset()


def test_churn_leaves_nothing(door):
    """Connections of all fates, many times: memory and descriptors come back."""
    def round_of_fates():
        with door.client("echo") as client:
            door.round_trip(client)
            client.finish()
            client.expect_end("close_notify")
        client = door.client("echo")
        client.send_data(b"x" * 5000)
        client.reset()
        with door.client("hand", None) as client:
            client.expect_end("certificate_required")
        sock, _ = plain_connect(door, "echo")
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        reset_or_fin(sock)
        sock.close()
        sock, _ = plain_connect(door, "echo")
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()
    for _ in range(20):
        round_of_fates()
    room = door.proxy.memory_kib()
    for _ in range(60):
        round_of_fates()
    assert door.proxy.memory_kib() - room < 1024, "memory grows with the connections that were"
