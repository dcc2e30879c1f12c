# SPDX-License-Identifier: Apache-2.0
"""The log as a stream: a reader that stalls does not hold up traffic, a flood of one event is cut
short and told, the journal gets priorities."""
import contextlib
import fcntl
import json
import os
import threading

import pytest
from door import plain_connect, reset_or_fin
from waiting import wait_until


def refused(door, count):
    """So many HTTP requests in clear: each is refused and logged."""
    for _ in range(count):
        sock, _ = plain_connect(door, "echo")
        with sock, contextlib.suppress(ConnectionError):
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            reset_or_fin(sock)


class Pipe:
    """Standard error as a small pipe. Its lines are copied to the rig's log while `flowing`;
    priorities of the journal are taken off them and kept."""

    def __init__(self):
        self._reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)
        self.flowing = threading.Event()
        self.flowing.set()
        self.priorities = set()

    def copy_to(self, path):
        threading.Thread(target=self._copy, args=(path,), daemon=True).start()

    def _copy(self, path):
        with open(path, "ab", buffering=0) as log, open(self._reader, "rb") as pipe:
            for line in pipe:
                if line.startswith(b"<"):
                    priority, line = line[:3].decode(), line[3:]
                    self.priorities.add((priority, json.loads(line)["level"]))
                log.write(line)
                self.flowing.wait()


@pytest.fixture
def piped_door(new_door):
    """Makes a door whose standard error is a pipe; returns both."""
    pipe = Pipe()

    def make(journal=False, **process):
        if journal:
            stat = os.fstat(pipe.writer)
            process["env"] = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
        door = new_door(process={"stderr": pipe.writer, "on_log": pipe.copy_to, **process})
        os.close(pipe.writer)
        return door, pipe
    yield make
    pipe.flowing.set()


def test_stalled_reader(piped_door):
    """The pipe fills up after some twenty lines; a worker that wrote by itself would hang there."""
    door, pipe = piped_door()
    pipe.flowing.clear()
    with door.client("echo") as beside:
        refused(door, 150)
        door.round_trip(beside, 100000)
        beside.finish()
        beside.expect_end("close_notify")
    assert len(door.proxy.lines(event="refused")) < 100
    pipe.flowing.set()
    wait_until("all lines", lambda: len(door.proxy.lines(event="refused")) == 150)
    door.line_of(beside.name)


def test_flood_is_suppressed(new_door):
    """Two lines a second, twenty at once; the rest is counted. Other events are not affected."""
    door = new_door(process={"top": {"log": {"rate": 2}}})
    refused(door, 100)

    def told():
        written = len(door.proxy.lines(event="refused"))
        suppressed = sum(line["count"] for line in door.proxy.lines(event="suppressed", of="refused"))
        return written >= 20 and written + suppressed == 100
    wait_until("the lines that are missing to be told", told)
    with door.client("echo") as client:
        client.finish()
        client.expect_end("close_notify")
    assert door.line_of(client.name)["event"] == "closed"


def test_journal_priorities(piped_door):
    """Standard error is the one that JOURNAL_STREAM names: each line begins with its priority."""
    door, pipe = piped_door(journal=True)
    refused(door, 1)
    wait_until("a warning", lambda: door.proxy.lines(event="refused"))
    assert pipe.priorities == {("<6>", "info"), ("<4>", "warning")}


def test_no_priorities_elsewhere(piped_door):
    door, pipe = piped_door(env={"JOURNAL_STREAM": "1:2"})
    assert door.proxy.lines(event="started") and not pipe.priorities
