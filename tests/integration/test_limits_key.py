# SPDX-License-Identifier: Apache-2.0
"""Limits of clients out of a key of a real Consul: in force at once, on live connections; what can not be taken
changes nothing, and somebody is told."""
import json
import os
import subprocess

import pytest
from adminrig import Operator, socket_folder
from consulrig import Consul
from proxyrig import BINARY
from waiting import PATIENCE, wait_until

KEY = "kafka/limits"
FILE = {"limits": [{"cn": "svc-a", "connections": 50}]}


@pytest.fixture(scope="module")
def consul(tmp_path_factory):
    with Consul(tmp_path_factory.mktemp("consul")) as consul:
        yield consul


@pytest.fixture
def operator():
    with socket_folder() as folder:
        yield Operator(folder / "admin.sock")


def connections(operator):
    """The limit that counts for svc-a."""
    (client,) = operator.ask("limits", "svc-a")["clients"]
    return client["connections"]


def test_key(new_door, operator, consul):
    consul.delete(KEY)
    door = new_door(process={"top": {**operator.process()["top"], "clients": FILE,
                                     "consul": {"address": consul.url, "limits_key": KEY}}})
    client, up = door.pair()
    with client, up:
        assert connections(operator) == 50
        consul.put(KEY, json.dumps({"clients": {"limits": [{"cn": "svc-*", "connections": 7}]}}))
        wait_until("the key's limit", lambda: connections(operator) == 7)
        # The file's counts no more, when it changes neither.
        assert door.proxy.reload("reloaded")
        assert connections(operator) == 7
        consul.put(KEY, "clients: {limits: [{cn: svc-a, connections: -1}]}")
        wait_until("the status to tell", lambda: operator.condition("limits_key_refused"))
        refused = door.proxy.expect(event="limits_key_refused")[-1]
        assert "1:45: clients.limits[0].connections" in refused["msg"]
        assert connections(operator) == 7
        consul.put(KEY, json.dumps({"clients": {"limits": [{"cn": "svc-a", "connections": 9}]}}))
        wait_until("the mended limit", lambda: connections(operator) == 9)
        assert not operator.condition("limits_key_refused")
        # An order counts before it, and ends.
        operator.run("limits", "set", "svc-a", "--connections", 3, "--for", "1h")
        assert connections(operator) == 3
        operator.run("limits", "clear", "svc-a")
        consul.delete(KEY)
        wait_until("the file's limit", lambda: connections(operator) == 50)
        client.send_data(os.urandom(1000))
        assert up.recv(1000)


@pytest.mark.parametrize("value", ["", "garbage: [", "{}\n---\n{}", '{"listeners": []}', "[1]",
                                   pytest.param("x" * 400000, id="long")])
def test_values_that_are_none(new_door, operator, consul, value):
    consul.put(KEY, value)
    door = new_door(process={"top": {**operator.process()["top"], "clients": FILE,
                                     "consul": {"address": consul.url, "limits_key": KEY}}})
    wait_until("it to be told", lambda: door.proxy.lines(event="limits_key_refused"))
    with door.client("echo") as client:
        door.round_trip(client)
        assert connections(operator) == 50


@pytest.mark.parametrize("consul_section, says", [
    ({"limits_key": KEY}, "consul.address: missing"),
    ({"address": "http://127.0.0.1:1"}, "consul.key: missing"),
    ({"address": "http://127.0.0.1:1", "key": "x", "limits_key": KEY}, "vault.address: missing"),
    ({"address": "http://127.0.0.1:1", "limits_key": "/x"}, "consul.limits_key"),
])
def test_check(tmp_path, consul_section, says):
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"consul": consul_section, "listeners": []}))
    done = subprocess.run([BINARY, "check", str(config)], capture_output=True, text=True, timeout=PATIENCE)
    assert says in done.stdout + done.stderr
