# SPDX-License-Identifier: Apache-2.0
"""deploy/local/up as its user meets it: twice, interrupted at any step, with a port that is taken;
and down, which leaves nothing."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess

import kafka_rig
import pytest
from kafka_rig import REPO, SLOW
from ports import claim_row

LOCAL = REPO / "deploy" / "local"


class Site:

    def __init__(self, folder):
        self.state = pathlib.Path(folder) / "state"
        self.port = claim_row(1)
        self.broker_port = claim_row(3)

    def start(self, command="up", *arguments):
        """Started as a terminal would: leader of its own group, with SIGINT at its default."""
        if command == "up":
            arguments += ("--port", str(self.port), "--broker-port", str(self.broker_port))
        return subprocess.Popen(
            [LOCAL / command, "--dir", self.state, *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "SALLYPORT_BIN": str(kafka_rig.BINARY)},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def run(self, command="up", *arguments):
        """(exit code, output). The output ends only when nobody has its pipe any more."""
        process = self.start(command, *arguments)
        out, _ = process.communicate(timeout=300 * SLOW)
        return process.returncode, out.decode()

    def processes(self):
        """Command lines of whatever runs for this site."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                line = entry.read_bytes()
                if os.fsencode(self.state) in line:
                    found.append(line.replace(b"\0", b" ").decode(errors="replace"))
        return sorted(found)  # numbers of processes begin again at some time


@pytest.fixture
def site_of_up(tmp_path):
    kafka_rig.need()
    site = Site(tmp_path)
    yield site
    code, out = site.run("down")
    assert code == 0, out
    assert site.processes() == []
    assert not site.state.exists()


def test_up_twice_and_down(site_of_up):
    code, out = site_of_up.run()
    assert code == 0, out
    assert "1000 sent, the same 1000 read back" in out and "refused" in out, out
    assert "it was told: alert certificate required" in out, out
    assert "reads, and is denied to write" in out, out
    assert site_of_up.run("status")[0] == 0
    running = site_of_up.processes()
    assert len(running) == 2, running
    done = subprocess.run(
        [kafka_rig.BINARY, "upgrade", "--socket", site_of_up.state / "admin.sock"],
        capture_output=True, text=True, timeout=120 * SLOW, check=False)
    assert done.returncode == 0, done.stderr
    kafka_rig.wait_until("the old one to end", lambda: len(site_of_up.processes()) == 2, 60)
    assert site_of_up.run("status")[0] == 0
    code, out = site_of_up.run()
    assert code == 0 and "already up" in out, out
    assert sorted(site_of_up.processes()) == sorted(running)
    code, out = site_of_up.run("down")
    assert code == 0, out
    assert site_of_up.run("status")[0] == 1


def interrupt(site, process, marker, file):
    """SIGINT to the whole group, as a terminal sends it, once `marker` is said (and the file is
    there). Returns all output."""
    out = b""
    while marker not in out:
        more = os.read(process.stdout.fileno(), 4096)
        assert more, out.decode()
        out += more
    if file:
        path = site.state / file
        kafka_rig.wait_until(f"{path} to be there", path.exists, 60)
    while process.poll() is None:  # who is not heard presses it again
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
    with process.stdout as rest:
        return (out + rest.read()).decode()


@pytest.mark.parametrize("marker, file", [
    (b"] certificates ...", None),
    (b"] Kafka broker ...", None),
    (b"] Kafka broker ...", "run/broker.pid"),
    (b"] Kafka broker ...", "kafka/broker.properties"),  # its storage is being formatted
    (b"] front door ...", "run/door.pid"),
])
def test_interrupted(site_of_up, marker, file):
    """What was started is stopped, however new it is; nothing else is said than what happened."""
    process = site_of_up.start()
    out = interrupt(site_of_up, process, marker, file)
    assert process.returncode == 130, out
    assert site_of_up.processes() == [], out
    assert " interrupted\n" in out and "unexpected" not in out, out
    assert not (site_of_up.state / "pki.tmp").exists()


def test_port_taken(site_of_up):
    """Nothing is touched, and one message says who has it and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", site_of_up.broker_port + 1))
        taken.listen()
        code, out = site_of_up.run()
    assert code == 1
    first, second = out.splitlines()
    assert first.startswith(f"up: port {site_of_up.broker_port + 1}, for the broker's administration, "
                            f"is taken (pid {os.getpid()}, "), out
    assert second.endswith("choose another port with --broker-port")
    assert not site_of_up.state.exists()
