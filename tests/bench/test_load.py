# SPDX-License-Identifier: Apache-2.0
"""The load generator against its origin, directly and through something that is wrong or slow."""
import contextlib
import json
import os
import socket
import subprocess
import threading
import time

import pytest

from conftest import BUILD
from ports import claim_ports

LOAD = BUILD / "bench" / "sallyport-load"
# Where a middleman does something, in bytes from the upstream: after the first sends, before the last.
AT = 100_000


@pytest.fixture(name="origin")
def fixture_origin():
    if not os.access(LOAD, os.X_OK):
        pytest.fail(f"{LOAD} is not built: meson setup -Dbench=true")
    (port,) = claim_ports(1)
    with subprocess.Popen([LOAD, "origin", "--listen", f"127.0.0.1:{port}"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        assert b"listening" in process.stdout.readline()
        yield port
        process.terminate()
        process.communicate()


def load(port, mode, *options):
    return subprocess.run([LOAD, mode, "--plain", "--connect", f"127.0.0.1:{port}", "--timeout", "60",
                           *map(str, options)], capture_output=True, text=True, check=False)


def result(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


class Middleman:
    """Passes bytes on, one connection; `touch` may change or delay what comes from one side."""

    def __init__(self, upstream, from_client=None, from_origin=None):
        self.touch = {"client": from_client, "origin": from_origin}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.upstream = upstream
        self.threads = [threading.Thread(target=self.serve)]

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.threads[0].join()

    def serve(self):
        with contextlib.suppress(OSError):
            client, _ = self.listener.accept()
            origin = socket.create_connection(("127.0.0.1", self.upstream))
            other = threading.Thread(target=self.move, args=(client, origin, "client"))
            other.start()
            self.move(origin, client, "origin")
            other.join()
            client.close()
            origin.close()

    def move(self, source, sink, side):
        moved = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.touch[side]:
                    data = self.touch[side](moved, data)
                moved += len(data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def flip(moved, data):
    if moved <= AT < moved + len(data):
        data = bytearray(data)
        data[AT - moved] ^= 1
    return bytes(data)


@pytest.mark.parametrize("mode,options,moved", [
    ("consume", ("--bytes", "1M+7", "--record", 1000), 2**20 + 7),
    ("produce", ("--bytes", "2M+3", "--record", "1M"), 2 * 2**20 + 3),
    ("rtt", ("--count", 50, "--size", 3000, "--connections", 7), 7 * 50 * 3000),
    ("fanout", ("--bytes", "300k", "--connections", 3), 4 * 300 * 1024),
    ("handshake", ("--count", 20, "--connections", 2), 40),
])
def test_each_mode_moves_what_was_asked_for(origin, mode, options, moved):
    done = result(load(origin, mode, *options))
    assert done["verified"] and done["bytes"] == moved


def test_round_trips_go_on_for_the_time_that_was_asked_for(origin):
    done = result(load(origin, "rtt", "--seconds", 1))
    assert done["seconds"] >= 1 and done["ops"] > 0
    assert result(load(origin, "rtt", "--seconds", 60, "--count", 5))["ops"] == 5


@pytest.mark.parametrize("mode,options,way", [
    ("consume", ("--bytes", "1M"), {"from_origin": flip}),
    ("produce", ("--bytes", "1M"), {"from_client": flip}),
    ("rtt", ("--count", 1000), {"from_origin": flip}),
    ("rtt", ("--count", 1000), {"from_client": flip}),
])
def test_one_wrong_byte_ends_it(origin, mode, options, way):
    with Middleman(origin, **way) as middle:
        done = load(middle.port, mode, *options)
    assert done.returncode != 0
    assert "verified" not in done.stdout
    assert "WRONG" in done.stderr or "ended before" in done.stderr


def test_a_stall_is_charged_to_all_who_waited(origin):
    """Open loop: 2,000 requests in two seconds, and nothing passes for one of these. A closed loop would
    have seen one slow answer in 2,000."""
    stalled = []

    def stall(_moved, data):
        if not stalled and time.monotonic() > began + 0.5:
            stalled.append(True)
            time.sleep(1)
        return data

    began = time.monotonic()
    with Middleman(origin, from_origin=stall) as middle:
        done = result(load(middle.port, "rtt", "--rate", 1000, "--seconds", 2))
    assert done["ops"] == 2000 and stalled
    assert done["latency_us"]["p90"] > 400_000


def test_reconnect_counts_those_who_are_back():
    (port,) = claim_ports(1)
    origin = [LOAD, "origin", "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(origin, stdout=subprocess.PIPE) as first:
        first.stdout.readline()
        with subprocess.Popen([LOAD, "reconnect", "--plain", "--connect", f"127.0.0.1:{port}", "--connections", "40",
                               "--timeout", "60"], stdout=subprocess.PIPE) as clients:
            assert b"ready" in clients.stdout.readline()
            first.kill()
            first.wait()
            with subprocess.Popen(origin, stdout=subprocess.PIPE) as second:
                done = json.loads(clients.stdout.readline())
                second.terminate()
    assert done["ops"] == 40 and done["latency_us"]["count"] == 40
