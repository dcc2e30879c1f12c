# SPDX-License-Identifier: Apache-2.0
"""Pacing of a client's connections together, with the program in the kernel: in a VM of tests/vm, whose
loopback is ours to change. Nothing is held against a speed: a slow machine takes longer than it must."""
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time

import pytest
from proxyrig import BINARY
from rawtls import Ended
from upstream import end_of
from waiting import PATIENCE

DATA = os.urandom(180000)
# The burst takes both connections' data, so that no token bucket holds them back; 600 kB/s on the wire.
LIMIT = {"cn": "limited", "consume": "200kB/s", "consume_burst": "400kB"}
PACE = 600000


def tc(*args):
    return subprocess.run(["tc", *args], check=True, capture_output=True, text=True).stdout


@pytest.fixture(autouse=True)
def loopback():
    """fq waits for what packets are stamped with; nopacing: for nothing that it thinks of itself."""
    subprocess.run(["modprobe", "sch_fq"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1500"], check=True)
    tc("qdisc", "replace", "dev", "lo", "root", "fq", "nopacing")
    yield
    tc("qdisc", "del", "dev", "lo", "root")


def throttled():
    """How often fq has held a connection's packet until its time."""
    return json.loads(tc("-s", "-j", "qdisc", "show", "dev", "lo"))[0]["throttled"]


@pytest.fixture
def new_paced_door(new_door):
    def make(pacing):
        return new_door(workers=2, process={"top": {"clients": {"pacing": pacing, "limits": [LIMIT]}}})
    return make


@pytest.fixture(scope="module")
def identities(pki):
    return {cn: pki.intermediate.issue(cn) for cn in ("limited", "other")}


def consume(door, identity, count):
    """Sends DATA to each of so many connections of a client at once; how long that took."""
    with contextlib.ExitStack() as stack:
        pairs = [door.pair(door.client("hand", identity)) for _ in range(count)]
        for client, up in pairs:
            stack.callback(up.close)
            stack.callback(client.sock.close)
        begun = time.monotonic()
        threads = [threading.Thread(target=up.sendall, args=(DATA,), daemon=True) for _, up in pairs]
        for thread in threads:
            thread.start()
        for client, _ in pairs:
            assert client.read_data(len(DATA)) == DATA
        took = time.monotonic() - begun
        for thread in threads:
            thread.join(PATIENCE)
        for client, up in pairs:
            client.finish()
            assert end_of(up) == "fin"
            up.close()
            with contextlib.suppress(Ended):
                client.expect_end("close_notify")
    return took


def test_together(new_paced_door, identities):
    """Two connections of a client share one pace; nobody else is held up; nothing is lost."""
    door = new_paced_door("bpf")
    line = door.proxy.lines(event="pacing")[0]
    assert (line["by"], line["fq"], line["level"]) == ("bpf", "lo", "info")
    before = throttled()
    consume(door, identities["other"], 2)
    assert throttled() == before, "who has no limit is paced"
    # The last packet is paid for when it has left; it has 64 KiB at most.
    assert consume(door, identities["limited"], 2) >= (2 * len(DATA) - 65536) / PACE
    assert throttled() > before


def test_alone(new_paced_door, identities):
    """The same without the program: each socket for itself, and fq has nothing to wait for."""
    door = new_paced_door("socket")
    assert not door.proxy.lines(event="pacing")
    before = throttled()
    consume(door, identities["limited"], 2)
    assert throttled() == before


def test_upgrade(new_paced_door, identities):
    """A new process is in the old one's sandbox from its first instruction; the program stays for it."""
    door = new_paced_door("bpf")
    assert door.proxy.upgrade().wait() == 0
    assert [line["by"] for line in door.proxy.lines(event="pacing")] == ["bpf", "bpf"]
    before = throttled()
    assert consume(door, identities["limited"], 2) >= (2 * len(DATA) - 65536) / PACE
    assert throttled() > before


def test_upgrade_to_it(new_paced_door, identities):
    """What the old process did not have the new one can not get; it goes on without."""
    door = new_paced_door("socket")
    door.proxy.config["clients"]["pacing"] = "bpf"
    door.proxy.write_config()
    assert door.proxy.upgrade().wait() == 0
    line = door.proxy.lines(event="pacing")[0]
    assert line["by"] == "socket" and "restart" in line["why"]
    before = throttled()
    consume(door, identities["limited"], 2)
    assert throttled() == before


@pytest.mark.parametrize("capabilities", ["+bpf,+net_admin", "-all"])
def test_what_it_takes(capabilities):
    """Two capabilities are enough, which the verifier trusts less than root; without them it says so."""
    program = shutil.copy(BINARY, "/usr/local/bin/sallyport-of-nobody")
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                           f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}", program, "probe", "--json"],
                          check=True, capture_output=True, text=True, timeout=PATIENCE)
    pacing = json.loads(done.stdout)["pacing"]
    assert pacing["fq"] == "lo"
    assert pacing["usable"] == (capabilities != "-all"), pacing["why"]
    assert pacing["usable"] or "CAP_BPF" in pacing["why"]
