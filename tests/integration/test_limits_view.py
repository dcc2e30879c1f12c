# SPDX-License-Identifier: Apache-2.0
"""Limits of clients as an operator sees and changes them: `sallyport limits`, orders that end by
themselves, and the metrics of clients by name."""
import contextlib
import os
import subprocess

import pytest
from adminrig import FAILED, USAGE, Operator, socket_folder
from proxyrig import BINARY, free_port
from upstream import read_exactly
from waiting import PATIENCE, wait_until

DATA = os.urandom(1 << 20)
CLIENTS = {
    "limits": [{"cn": "slow", "consume": "20kB/s", "consume_burst": "32KiB"},
               {"cn": "batch-*", "connections": 1, "group": "batch"}],
    "groups": [{"name": "batch", "produce": "50MB/s"}],
}


@pytest.fixture(scope="module")
def names(pki):
    return {cn: pki.intermediate.issue(cn) for cn in ("slow", "batch-1", "batch-2", "free")}


@pytest.fixture(scope="module")
def operator():
    with socket_folder() as folder:
        yield Operator(folder / "admin.sock")


@pytest.fixture(scope="module")
def door_options(operator):
    top = {**operator.process()["top"], "clients": CLIENTS}
    return {"process": {"top": top}, "metrics": f"127.0.0.1:{free_port()}", "workers": 2}


@pytest.fixture
def new_operator():
    with socket_folder() as folder:
        yield Operator(folder / "admin.sock")


def of(operator, name, *more):
    found = [c for c in operator.ask("limits", name, *more)["clients"] if c["name"] == name]
    return found[0] if found else None


@contextlib.contextmanager
def held_back(door, identity):
    """A connection of which the upstream's answer is more than the client may have."""
    client, up = door.pair(door.client("hand", identity))
    try:
        up.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                up.send(DATA)
        yield client
    finally:
        client.sock.close()
        up.close()


def test_who_is_held_back(door, operator, names):
    with held_back(door, names["slow"]) as client:
        seen = wait_until("it to be held back",
                          lambda: (c := of(operator, "slow")) and c["consume"]["at_limit_seconds"] and c)
        assert seen["entry"] == "slow" and seen["group"] is None
        assert seen["consume"]["bytes_per_second"] == 20000 and seen["consume"]["burst"] == 32768
        assert seen["produce"]["bytes_per_second"] is None and seen["produce"]["at_limit_seconds"] is None
        assert seen["live_connections"] == 1
        assert of(operator, "slow", "--at-limit")
        # It had to wait, and what it got is counted.
        assert len(client.read_data(40000)) == 40000
        after = wait_until("its bytes", lambda: (c := of(operator, "slow"))["consume"]["bytes"] >= 40000 and c)
        assert after["consume"]["limited_seconds"] > 0
        text = operator.run("limits", "--at-limit").stdout
        assert "slow" in text and "consume for " in text and "20.0kB/s" in text
        assert "1 at their limit now" in text
    wait_until("peace", lambda: not of(operator, "slow", "--at-limit"))


def test_groups_and_refusals(door, operator, names):
    with contextlib.ExitStack() as stack:
        client, up = door.pair(door.client("hand", names["batch-1"]))
        stack.callback(client.sock.close)
        stack.callback(up.close)
        with door.client("echo", names["batch-1"]) as second:
            second.expect_end("close_notify")
        client.send_data(DATA)
        assert read_exactly(up, len(DATA)) == DATA
        seen = wait_until("its bytes", lambda: (c := of(operator, "batch-1"))["produce"]["bytes"] >= len(DATA) and c)
        assert seen["entry"] == "batch-*" and seen["group"] == "batch" and seen["connections"] == 1
        assert seen["refused"]["connections"] == 1
        group = operator.ask("limits")["groups"][0]
        assert group["name"] == "batch" and group["live_connections"] == 1
        assert group["produce"]["bytes_per_second"] == 50000000 and group["produce"]["bytes"] >= len(DATA)
        assert "GROUP" in operator.run("limits").stdout
        metrics = door.proxy.metrics()
        assert metrics.value("sallyport_client_bytes_total", client="batch-1", direction="produce") >= len(DATA)
        assert metrics.value("sallyport_client_refused_total", client="batch-1", reason="connections") == 1
        assert metrics.value("sallyport_client_connections", client="batch-1") == 1
        assert metrics.value("sallyport_client_group_bytes_total", group="batch", direction="produce") >= len(DATA)
        assert metrics.value("sallyport_client_group_connections", group="batch") == 1


def test_order(new_door, new_operator, names):
    """In force at once on a connection that is open, outlasting a reload, until it is taken back."""
    top = {**new_operator.process()["top"], "clients": CLIENTS}
    door = new_door(process={"top": top})
    with held_back(door, names["slow"]) as client:
        wait_until("it to be held back", lambda: of(new_operator, "slow", "--at-limit"))
        said = new_operator.run("limits", "set", "slow", "--consume", "off", "--for", "2h").stdout
        assert said == "by order: client 'slow', consume off, for another 2h00m\n"
        # 10 s' worth of the limit and more, as fast as it can.
        client.read_data(200000)
        assert door.proxy.reload("reloaded")
        seen = of(new_operator, "slow")
        assert seen["consume"]["bytes_per_second"] is None
        orders = new_operator.ask("limits")["orders"]
        assert len(orders) == 1 and orders[0]["name"] == "slow" and orders[0]["consume"] is None
        assert 7000 < orders[0]["expires_in_seconds"] <= 7200
        new_operator.run("limits", "clear", "slow")
        assert of(new_operator, "slow")["consume"]["bytes_per_second"] == 20000
        assert "no order is in force" in new_operator.run("limits", "clear", "slow", code=FAILED).stderr
    door.proxy.expect(event="order", order="limits_set", client="slow")
    door.proxy.expect(event="order", order="limits_clear", client="slow")


def test_order_runs_off(door, operator, names):
    # Whom nobody has seen yet, and a group.
    operator.run("limits", "set", "free", "--connections", 7, "--for", "300ms")
    operator.run("limits", "set", "--group", "batch", "--produce", "1MB/s", "--for", "1h")
    assert operator.ask("limits")["groups"][0]["produce"]["bytes_per_second"] == 1000000
    wait_until("the end of the order", lambda: door.proxy.lines(event="limits_expired"))
    assert [o.get("group") for o in operator.ask("limits")["orders"]] == ["batch"]
    with door.client("echo", names["free"]) as client:
        door.round_trip(client)
        assert of(operator, "free")["connections"] is None
    operator.run("limits", "clear", "--group", "batch")
    assert operator.ask("limits")["groups"][0]["produce"]["bytes_per_second"] == 50000000


def test_series_are_bounded(new_door, pki):
    """As many clients as the configuration says have series of their own, the others one together; what all
    have moved is the sum."""
    door = new_door(process={"top": {"metrics": {"clients": 2}}}, metrics=f"127.0.0.1:{free_port()}")
    for i in range(4):
        with door.client("echo", pki.intermediate.issue(f"c{i}")) as client:
            door.round_trip(client, 1000 * (i + 1))
            client.finish()
            client.expect_end("close_notify")
    metrics = wait_until("all to be gone", lambda: (m := door.proxy.metrics())
                         and m.value("sallyport_connections") == 0 and m)
    family = metrics.families["sallyport_client_bytes_total"]
    assert "(other)" in family.values("client") and len(family.values("client")) == 3
    assert metrics.value("sallyport_client_bytes_total", client="(other)", direction="produce") > 0
    for direction, by_listener in (("produce", "in"), ("consume", "out")):
        assert (metrics.value("sallyport_client_bytes_total", direction=direction)
                == metrics.value("sallyport_relayed_bytes_total", direction=by_listener))
    assert metrics.value("sallyport_clients") >= 4


@pytest.mark.parametrize("arguments, says", [
    (["set", "x", "--produce", "fast", "--for", "1h"], "10kB/s to 100GB/s"),
    (["set", "x", "--produce", "1kB/s", "--for", "1h"], "10kB/s to 100GB/s"),
    (["set", "x", "--connections", "0", "--for", "1h"], "off, or a number"),
    (["set", "x", "--for", "1h"], "which limit?"),
    (["set", "x", "--produce", "1MB/s"], "a time such as 10m"),
    (["set", "x", "--produce", "1MB/s", "--for", "31d"], "30d at most"),
    (["set", "--group", "nobody", "--produce", "1MB/s", "--for", "1h"], "no group 'nobody'"),
    (["clear", "--group", "batch"], "no order is in force for the group 'batch'"),
    (["--limit", "0"], "from 1 to 100000"),
])
def test_orders_that_are_refused(door, operator, arguments, says):
    assert says in operator.run("limits", *arguments, code=FAILED).stderr
    assert operator.ask("limits")["orders"] == []


@pytest.mark.parametrize("arguments, says", [
    (["set", "--produce", "1MB/s", "--for", "1h"], "whom?"),
    (["set", "x", "--group", "y", "--produce", "1MB/s"], "whom?"),
    (["set", "x", "y"], "unexpected argument 'y'"),
    (["clear"], "whom?"),
    (["clear", "x", "--produce", "1MB/s"], "--produce has no place here"),
    (["--for", "1h"], "--for has no place here"),
    (["a", "b"], "unexpected argument 'b'"),
])
def test_wrong_command_lines(arguments, says, tmp_path):
    done = subprocess.run([BINARY, "limits", *arguments], capture_output=True, text=True, timeout=PATIENCE,
                          env={**os.environ, "SALLYPORT_ADMIN_SOCKET": str(tmp_path / "none")})
    assert done.returncode == USAGE
    assert says in done.stderr
