# SPDX-License-Identifier: Apache-2.0
"""Who paces limited clients, wherever this runs: what is wanted and may not be had is told, and nothing is
lost. That the program in the kernel does its work is seen in VMs (vm_pacing.py)."""
import os
import threading

import pytest

DATA = os.urandom(300000)


@pytest.fixture(scope="module")
def limited(pki):
    return pki.intermediate.issue("limited")


def paced(pacing):
    limit = {"cn": "limited", "consume": "2MB/s", "produce": "2MB/s", "consume_burst": "100kB"}
    return {"process": {"top": {"clients": {"pacing": pacing, "limits": [limit]}}}}


@pytest.mark.parametrize("pacing", ["off", "socket", "bpf"])
def test_nothing_is_lost(new_door, limited, pacing):
    door = new_door(**paced(pacing))
    lines = door.proxy.lines(event="pacing")
    if pacing == "bpf":
        assert (lines[0]["by"] == "socket") == bool(lines[0].get("why"))
        whole = lines[0]["by"] == "bpf" and not lines[0]["fq"].startswith("none")
        assert lines[0]["level"] == ("info" if whole else "warning")
    else:
        assert not lines
    client, up = door.pair(door.client("hand", limited))
    with client, up:
        thread = threading.Thread(target=up.sendall, args=(DATA,), daemon=True)
        thread.start()
        assert client.read_data(len(DATA)) == DATA
        thread.join()
        client.reset()


def test_needs_a_restart(new_door):
    door = new_door(**paced("socket"))
    door.proxy.config["clients"]["pacing"] = "off"
    door.proxy.write_config()
    door.proxy.reload()
    assert any("clients.pacing" in line["msg"] for line in door.proxy.expect(event="reload"))
