# SPDX-License-Identifier: Apache-2.0
"""Limits of clients by name: how much they move and open, on every transport, changed while they are at
work. What is moved is held against what the clock says may have been, never against a speed: a slow
machine moves less."""
import contextlib
import os
import socket
import threading
import time

import pytest
from adminrig import Operator, socket_folder
from proxyrig import can_rekey
from rawtls import Ended
from upstream import end_of, read_exactly, read_to_end
from waiting import PATIENCE, wait_until

DATA = os.urandom(1 << 20)
KB, MB = 1000, 1000 * 1000
# A record too much is moved, and made up for later; and a second's floor.
SLACK = 2 * 16384 + 1024
UNREACHABLE = "10kB/s"  # a megabyte would take far longer than anybody waits


def limits(*entries, groups=(), **more):
    """How a door with these `clients` is made."""
    return {"process": {"top": {"clients": {"limits": list(entries), "groups": list(groups), **more}}}}


@pytest.fixture(scope="module")
def names(pki):
    return {cn: pki.intermediate.issue(cn) for cn in ("limited", "other", "batch-1", "batch-2", "a/b ü")}


def change(door, outcome="reloaded", **clients):
    door.proxy.config["clients"] = clients
    door.proxy.write_config()
    return door.proxy.reload(outcome)


@contextlib.contextmanager
def in_background(work):
    """Whatever `work` ends with is raised here."""
    failed = []

    def run():
        try:
            work()
        except Exception as error:  # noqa: BLE001
            failed.append(error)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield thread
    thread.join(PATIENCE)
    assert not thread.is_alive(), "what runs in the background does not end"
    assert not failed, failed


class Pair:
    """A connection through `hand` of which one direction is put to work."""

    def __init__(self, door, identity, **how):
        self.client, self.up = door.pair(door.client("hand", identity, **how))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.sock.close()
        self.up.close()

    def send(self, direction, data, **how):
        if direction == "produce":
            self.client.send_data(data, **how)
        else:
            self.up.sendall(data)

    def read(self, direction, n):
        return read_exactly(self.up, n) if direction == "produce" else self.client.read_data(n)

    def end(self):
        self.client.finish()
        assert read_to_end(self.up) == b""
        self.up.shutdown(socket.SHUT_WR)
        self.client.expect_end("close_notify")


@pytest.mark.parametrize("direction", ["produce", "consume"])
def test_bytes(new_door, names, direction):
    """Every byte comes, and none too early. The other direction and other clients have no limit."""
    door = new_door(workers=2, **limits({"cn": "limited", direction: "1MB/s", direction + "_burst": "64KiB"}))
    other_way = "consume" if direction == "produce" else "produce"
    with Pair(door, names["limited"]) as pair, Pair(door, names["other"]) as free:
        begun = time.monotonic()
        with in_background(lambda: pair.send(direction, DATA)):
            with in_background(lambda: free.send(direction, DATA)):
                assert free.read(direction, len(DATA)) == DATA
            got = 0
            while got < len(DATA):
                step = min(100000, len(DATA) - got)
                assert pair.read(direction, step) == DATA[got:got + step]
                got += step
                assert got <= 65536 + SLACK + MB * (time.monotonic() - begun)
        with in_background(lambda: pair.send(other_way, DATA)):
            assert pair.read(other_way, len(DATA)) == DATA
        pair.end()
        free.end()


@pytest.mark.parametrize("size", [16384, 300])
def test_shared_by_connections(new_door, names, size):
    """Connections of one client share its limit, wherever they are, and each gets its part."""
    door = new_door(workers=2, **limits({"cn": "lim*", "produce": "400kB/s", "produce_burst": "32KiB"}))
    with contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(Pair(door, names["limited"])) for _ in range(4)]
        begun = time.monotonic()
        for i, pair in enumerate(pairs):
            stack.enter_context(in_background(
                lambda pair=pair, i=i: pair.send("produce", DATA[:200000], size=16384 if i % 2 else size)))
        for pair in pairs:
            assert pair.read("produce", 200000) == DATA[:200000]
        assert time.monotonic() - begun >= (800000 - 32768 - 4 * SLACK) / (400 * KB)
        for pair in pairs:
            pair.end()


def test_group(new_door, names):
    """Both must allow: the client's own limit, and that of all clients of its group."""
    door = new_door(workers=2, **limits(
        {"cn": "batch-1", "group": "batch", "consume": "100kB/s", "consume_burst": "32KiB"},
        {"cn": "batch-*", "group": "batch"},
        groups=[{"name": "batch", "consume": "300kB/s", "consume_burst": "32KiB"}]))
    with Pair(door, names["batch-1"]) as own, Pair(door, names["batch-2"]) as group:
        begun = time.monotonic()
        with in_background(lambda: own.send("consume", DATA[:150000])), \
                in_background(lambda: group.send("consume", DATA[:400000])):
            assert own.read("consume", 150000) == DATA[:150000]
            assert time.monotonic() - begun >= (150000 - 32768 - SLACK) / (100 * KB)
            assert group.read("consume", 400000) == DATA[:400000]
            assert time.monotonic() - begun >= (550000 - 32768 - 2 * SLACK) / (300 * KB)
        own.end()
        group.end()


@pytest.mark.parametrize("way", ["produce", "consume"])
def test_changed_live(new_door, names, way):
    """A reload is in force on connections that are open, also on those that wait for the next year;
    nor is the kernel's pacing left behind."""
    door = new_door(workers=2, **limits({"cn": "limited", way: UNREACHABLE}))
    with Pair(door, names["limited"]) as pair:
        with in_background(lambda: pair.send(way, DATA)):
            assert pair.read(way, 50000) == DATA[:50000]
            change(door, limits=[{"cn": "limited", way: "1GB/s"}])
            assert pair.read(way, len(DATA) - 50000) == DATA[50000:]
        change(door)
        with in_background(lambda: pair.send(way, 3 * DATA)):
            assert pair.read(way, 3 * len(DATA)) == 3 * DATA
        change(door, limits=[{"cn": "*", "group": "all"}],
               groups=[{"name": "all", way: "500kB/s", way + "_burst": "32KiB"}])
        begun = time.monotonic()
        with in_background(lambda: pair.send(way, DATA)):
            assert pair.read(way, len(DATA)) == DATA
        assert time.monotonic() - begun >= (len(DATA) - 32768 - SLACK) / (500 * KB)
        pair.end()


def test_wrong_limits_change_nothing(new_door, names):
    door = new_door(**limits({"cn": "limited", "produce": "1MB/s"}))
    line = change(door, "reload_failed", limits=[{"cn": "limited", "produce": "-1MB/s"}])
    assert "clients.limits[0].produce" in line["msg"] and "is not a rate" in line["msg"]
    with Pair(door, names["limited"]) as pair:
        pair.send("produce", b"still here")
        assert pair.read("produce", 10) == b"still here"
        pair.end()


def test_floor(new_door, names):
    """Behind so many who want all, a turn of everybody's takes longer than anybody waits; a word now and
    then gets through all the same."""
    door = new_door(workers=2, **limits({"cn": "*", "produce": UNREACHABLE, "consume": UNREACHABLE}))
    with contextlib.ExitStack() as stack:
        hogs = [stack.enter_context(Pair(door, names["limited"])) for _ in range(int(3 * PATIENCE))]
        for hog in hogs:
            hog.client.sock.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                hog.send("produce", DATA)
        for hog in hogs:  # each moves on a little
            assert read_exactly(hog.up, 1) == DATA[:1]
        heart = stack.enter_context(door.client("echo", names["limited"]))
        for _ in range(5):
            door.round_trip(heart, 200)
        heart.reset()
        for hog in hogs:
            hog.client.reset()


def test_ends(new_door, names):
    """A half that is limited ends as it should: every byte, then FIN; the other half goes on."""
    door = new_door(**limits({"cn": "limited", "produce": "100kB/s", "consume": "100kB/s"}))
    with Pair(door, names["limited"]) as pair:
        with in_background(lambda: (pair.client.send_data(DATA[:150000]), pair.client.finish())):
            assert read_to_end(pair.up) == DATA[:150000]
        with in_background(lambda: (pair.up.sendall(DATA[:150000]), pair.up.shutdown(socket.SHUT_WR))):
            pair.client.expect_end("close_notify")
        assert bytes(pair.client.data) == DATA[:150000]
    line = door.line_of(pair.client.name)
    assert (line["reason"], line["bytes_in"], line["bytes_out"]) == ("client_closed", 150000, 150000)


@pytest.mark.skipif(not can_rekey(), reason="this kernel can not change keys")
def test_key_update(new_door, names):
    door = new_door(**limits({"cn": "limited", "produce": "200kB/s", "consume": "200kB/s"}))
    with Pair(door, names["limited"]) as pair:
        def send():
            for i in range(4):
                pair.client.send_data(DATA[i * 50000:(i + 1) * 50000])
                pair.client.key_update(request=True)
        with in_background(send):
            assert pair.read("produce", 200000) == DATA[:200000]
        with in_background(lambda: pair.send("consume", DATA[:100000])):
            assert pair.read("consume", 100000) == DATA[:100000]
        pair.end()
        assert pair.client.key_updates


def test_waiting_is_not_idleness(new_door, names):
    """Neither timeouts.idle nor timeouts.tcp_user ends who waits because of a limit."""
    door = new_door(timeouts={"idle": "1s", "tcp_user": "1s"}, **limits({"cn": "limited", "produce": UNREACHABLE}))
    with Pair(door, names["limited"]) as pair:
        pair.client.sock.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            pair.send("produce", DATA)
        begun = time.monotonic()
        got = 0
        while time.monotonic() - begun < 4:
            more = len(read_exactly(pair.up, 1000))
            got += more
        assert got < len(DATA)
        pair.client.reset()  # what it sent before is not waited for
        assert end_of(pair.up) == "reset"
    line = door.line_of(pair.client.name)
    assert line["reason"] == "client_reset" and line["bytes_in"] < len(DATA) / 2


def test_drain(new_door, names):
    """Who waits is told when the time to drain is over."""
    door = new_door(timeouts={"drain": "500ms", "linger": "300ms"}, **limits({"cn": "limited", "produce": UNREACHABLE}))
    with Pair(door, names["limited"]) as pair:
        pair.client.sock.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            pair.send("produce", DATA)
        door.proxy.stop()
        assert len(read_to_end(pair.up)) < len(DATA)


def test_seen_and_killed(new_door, names):
    """`conns` says what a limited connection waits for; `kill` ends it at once."""
    with socket_folder() as folder:
        operator = Operator(folder / "admin.sock")
        how = limits({"cn": "limited", "produce": UNREACHABLE})
        how["process"]["top"].update(operator.process()["top"])
        door = new_door(**how)
        with Pair(door, names["limited"]) as pair:
            pair.client.sock.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                pair.send("produce", DATA)
            wait_until("it to be limited", lambda: [
                c for c in operator.conns("--cn", "limited") if c["waits_for"] == "limited"])
            operator.run("kill", "--cn", "limited")
            assert end_of(pair.up) == "reset"
            with contextlib.suppress(Ended, OSError):
                pair.client.read_alert()
        assert door.line_of(pair.client.name)["reason"] == "killed"
        door.proxy.stop()


def refused(door, identity, listener="hand"):
    """The end of a client that is not let in; the reason of its line."""
    with door.client(listener, identity) as client:
        client.expect_end("close_notify")
    line = door.line_of(client.name)
    return line["reason"], line["detail"]


def test_connections(new_door, names):
    """Live ones of all listeners and workers; a place that is left can be had again."""
    door = new_door(workers=2, **limits(
        {"cn": "limited", "connections": 2},
        {"cn": "batch-*", "group": "batch"},
        groups=[{"name": "batch", "connections": 3}]))
    with contextlib.ExitStack() as stack:
        inside = [stack.enter_context(door.client("echo", names["limited"])) for _ in range(2)]
        for client in inside:
            door.round_trip(client)
        with door.counted(limit_client_connections=2):
            for listener in ("echo", "hand"):
                assert refused(door, names["limited"], listener) == (
                    "limit_client_connections", "connections: 2 of the client")
        batch = [stack.enter_context(door.client("echo", names[f"batch-{1 + i % 2}"])) for i in range(3)]
        for client in batch:
            door.round_trip(client)
        assert refused(door, names["batch-2"])[1] == "connections: 3 of its group 'batch'"
        change(door, limits=[{"cn": "limited", "connections": 3}])
        with door.client("echo", names["limited"]) as third:
            door.round_trip(third)
            third.reset()
        for client in inside + batch:
            door.round_trip(client)
            client.reset()


def test_rates_of_connections(new_door, names):
    """A second's worth at once, and no more."""
    door = new_door(**limits({"cn": "limited", "connections_per_second": 1},
                             {"cn": "other", "handshakes_per_second": 1}))

    def until_refused(identity):
        """A machine that takes a second for a handshake may try again."""
        def one_more():
            with door.client("echo", identity) as client:
                client.finish()
                with contextlib.suppress(OSError, Ended):
                    client.read_alert()
            line = door.line_of(client.name)
            return line if line["event"] == "refused" else None
        return wait_until("a refusal", one_more)
    line = until_refused(names["limited"])
    assert (line["reason"], line["detail"]) == ("limit_client_rate", "connections_per_second: 1 of the client")
    line = until_refused(names["other"])
    assert (line["reason"], line["detail"]) == (
        "limit_client_handshakes", "handshakes_per_second: 1 of the client")
    assert line["cn"] == "other"
    assert door.works()


def test_unnamed(new_door, pki):
    """A certificate without a CN is one of the client "", or refused."""
    nobody = pki.intermediate.issue(None, dns=["nobody.example"])
    door = new_door(**limits({"cn": "", "connections": 1}, {"cn": "*"}))
    with door.client("echo", nobody) as inside:
        door.round_trip(inside)
        assert refused(door, nobody)[0] == "limit_client_connections"
        change(door, unnamed="refuse")
        with door.counted(client_unnamed=1), door.client("hand", nobody) as client:
            client.expect_end("access_denied")
        door.round_trip(inside)
        inside.reset()


def test_odd_names(new_door, names):
    """A name with a slash is one like any other."""
    door = new_door(**limits({"cn": "a/*", "connections": 1}))
    with door.client("echo", names["a/b ü"]) as inside:
        door.round_trip(inside)
        assert refused(door, names["a/b ü"])[0] == "limit_client_connections"
        inside.reset()


def test_audited(new_door, names, tmp_path):
    """A refusal has its record, with who it was."""
    how = limits({"cn": "limited", "connections": 1})
    how["process"]["top"]["audit"] = {"file": str(tmp_path / "audit")}
    door = new_door(**how)
    with door.client("echo", names["limited"]) as inside:
        door.round_trip(inside)
        refused(door, names["limited"])
        wait_until("the record", lambda: [
            line for line in (tmp_path / "audit").read_text().splitlines()
            if '"limit_client_connections"' in line and '"cn":"limited"' in line])
        inside.reset()
