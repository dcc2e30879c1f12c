# SPDX-License-Identifier: Apache-2.0
"""A new process takes over: nobody is refused, who is there may finish; and if it does not come to
serve, the old one goes on."""
import os
import shutil
import signal
import socket
import subprocess
import threading

import proxyrig
import pytest
from changing import Load, end, refused, serial_of
from door import Door
from manager import Manager, activate
from proxyrig import Proxy
from waiting import PATIENCE, wait_until


# Shell scripts in the program's place: the sandbox would not execute the shell.
NO_SANDBOX = {"top": {"sandbox": "off"}}


class Storm:
    """Clients that come, talk and go, one after the other on each thread; none may fail."""

    def __init__(self, door, threads=8):
        self.door, self.stopping, self.failures = door, False, []
        self.served = [0] * threads
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(threads)]

    def _run(self, i):
        try:
            while not self.stopping:
                with self.door.client("echo") as client:
                    Door.round_trip(client, 1000)
                    end(client)
                self.served[i] += 1
        except BaseException as error:  # told by the test's own thread
            self.failures.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.moves()
        return self

    def moves(self, rounds=3):
        before = list(self.served)
        wait_until(lambda: f"the storm to move: {self.failures}", lambda: self.failures or all(
            n >= b + rounds for n, b in zip(self.served, before)))
        assert not self.failures, self.failures

    def __exit__(self, *_):
        self.stopping = True
        for thread in self.threads:
            thread.join(PATIENCE)
        assert not self.failures, self.failures


def ended(old, door, code=0):
    wait_until(lambda: "the old process to end:\n" + door.proxy.tail(),
               lambda: old.poll() is not None)
    assert old.wait(PATIENCE) == code


def test_nobody_is_refused(new_door):
    """Under a storm of clients, with more workers and with fewer of them."""
    door = new_door(workers=2)
    with Storm(door) as storm:
        for workers in (2, 3, 1):
            door.proxy.config["workers"] = workers
            door.proxy.write_config()
            old = door.proxy.upgrade()
            storm.moves()
            ended(old, door)
            storm.moves()
    assert len(door.proxy.lines(event="upgraded")) == 3
    assert [line["workers"] for line in door.proxy.lines(event="started")] == [2, 2, 3, 1]
    assert not door.proxy.lines(event="inherited")


def test_who_is_there_may_finish(new_door, files):
    """The old process serves its connections to their end; the new one has read the files anew."""
    door = new_door(tls=files.tls(), workers=2, timeouts={"drain": "1h"},
                    process={"top": {"reload": "manual"}})
    old_serial, fds = files.serial, door.proxy.base_fds
    with Load(door, 3) as load:
        half = door.raw("echo")
        half.send_hello()
        half.read_server_flight()
        files.write_identity()
        old = door.proxy.upgrade()
        half.raw(half.flight_records())
        door.round_trip(half)
        assert serial_of(half) == old_serial
        end(half)
        load.moves()
        with door.client("echo") as client:
            assert serial_of(client) == files.serial
            end(client)
        assert old.poll() is None
    ended(old, door)
    door.proxy.reload()
    with door.client("echo") as client:
        door.round_trip(client)
        end(client)
    wait_until("no descriptor to be inherited but those that are meant to be",
               lambda: door.proxy.fds() <= fds)


def test_one_that_does_not_start(new_door):
    """A configuration that is wrong: the new process says so and ends, the old one goes on."""
    door = new_door(workers=2, process={"top": {"reload": "manual"}})
    (door.proxy.folder / "config.yaml").write_text("listeners: [")
    with Storm(door, 4) as storm:
        door.proxy.expected_errors |= {"upgrade_failed", "start_failed"}
        for count in (1, 2):
            door.proxy.signal(signal.SIGUSR2)
            lines = wait_until("the failure", lambda: door.proxy.lines(event="upgrade_failed")[
                count - 1:])
            assert "ended with code 2" in lines[0]["msg"]
            storm.moves()
    # What a wrong command line or configuration says is no log line.
    door.proxy._log = [line for line in door.proxy.log() if "raw" not in line]
    door.proxy.write_config()
    ended(door.proxy.upgrade(), door)
    assert not refused(door)


@pytest.fixture
def own_program(tmp_path, monkeypatch):
    """A copy of the program that the test may replace."""
    path = tmp_path / "bin" / "sallyport"
    path.parent.mkdir()
    shutil.copy(proxyrig.BINARY, path)
    monkeypatch.setattr(proxyrig, "BINARY", str(path))
    return path


def replace(path, source):
    fresh = path.with_name("fresh")
    if isinstance(source, str):
        fresh.write_text(source)
        fresh.chmod(0o755)
    else:
        shutil.copy(source, fresh)
    os.rename(fresh, path)


@pytest.mark.parametrize("script, told", [
    ("#!/bin/sh\nexit 7\n", "ended with code 7"),
    ("#!/bin/sh\nkill -9 $$\n", "ended by signal 9"),
    ("no program at all", "was not started"),
])
def test_another_program_in_its_place(new_door, own_program, script, told):
    """What lies at its path now is what is started; a good one is taken up."""
    kept = own_program.with_name("kept")
    shutil.copy(own_program, kept)
    door = new_door(process=NO_SANDBOX)
    replace(own_program, script)
    door.proxy.expected_errors.add("upgrade_failed")
    with door.client("echo") as client:
        door.proxy.signal(signal.SIGUSR2)
        line = wait_until("the failure", lambda: door.proxy.lines(event="upgrade_failed"))[0]
        assert told in line["msg"]
        door.round_trip(client)
        end(client)
    replace(own_program, kept)
    ended(door.proxy.upgrade(), door)
    assert not refused(door)


def test_one_that_hangs_is_ended_with_the_old(new_door, own_program):
    """It never says that it serves; SIGTERM ends both."""
    door = new_door(process=NO_SANDBOX)
    replace(own_program, "#!/bin/sh\necho $$ >\"$0.pid\"\nexec tail -f /dev/null >/dev/null 2>&1\n")
    door.proxy.expected_errors.add("upgrade_failed")
    door.proxy.signal(signal.SIGUSR2)
    pid_file = own_program.with_name("sallyport.pid")
    pid = int(wait_until("it to start", lambda: pid_file.exists() and pid_file.read_text()))
    assert "taking over" in door.proxy.reload("reload_failed")["msg"]
    assert not refused(door)
    door.proxy.write_config()  # nobody looks at it now, nor spins because of it
    assert door.proxy.ticks_while_idle() <= 5
    door.proxy.signal(signal.SIGTERM)
    assert door.proxy.wait() == 0
    assert "is to stop" in door.proxy.lines(event="upgrade_failed")[-1]["msg"]
    assert not os.path.exists(f"/proc/{pid}")


def test_while_draining(new_door):
    door = new_door(timeouts={"drain": "1h"})
    with door.client("echo") as client:
        door.proxy.signal(signal.SIGTERM)
        wait_until("the drain to begin", lambda: door.proxy.lines(event="drain"))
        door.proxy.signal(signal.SIGUSR2)
        wait_until("a word about it", lambda: door.proxy.lines(event="upgrade_failed"))
        door.round_trip(client)
        end(client)
    assert door.proxy.wait() == 0


def test_service_manager(new_door, tmp_path):
    """It is told which process the service is now, before that one speaks, and hears nothing more
    of the old one."""
    manager = Manager(tmp_path)
    door = new_door(process={"env": {**manager.env, "WATCHDOG_USEC": "400000"}},
                    timeouts={"drain": "1h"})
    _, seen = manager.expect(READY="1")
    with door.client("echo") as client:
        old = door.proxy.upgrade()
        main, seen = manager.expect(seen, MAINPID=None)
        assert int(main["MAINPID"]) == door.proxy.process.pid != old.pid
        manager.expect(seen, READY="1")
        _, seen = manager.expect(seen, WATCHDOG="1")
        _, seen = manager.expect(seen, WATCHDOG="1")
        end(client)
    ended(old, door)
    assert not [m for m in manager.messages() if "STOPPING" in m]
    door.proxy.stop()
    manager.expect(seen, STOPPING="1")
    manager.close()


def test_sockets_of_the_manager_and_unix_ones(loop, tmp_path, pki, new_door):
    """A unix socket's file stays with the new process and goes with it in the end; a socket that is
    known by its name only is handed on under its name."""
    door = new_door()
    path = tmp_path / "door.sock"
    make = dict(upstream=door.echo.endpoint, tls=pki.tls())
    listeners = [dict(make, name="unix", listen=f"unix:{path}"),
                 dict(make, name="named", listen="127.0.0.1:9")]
    with socket.create_server(("127.0.0.1", 0)) as sock:
        proxy = Proxy(tmp_path / "proxy", listeners, loop=loop)
        activate(proxy, sock, names=["named"])
        try:
            # The wrapper is no part of how the program is started.
            proxy.start()
            inode = path.stat().st_ino
            old = proxy.upgrade()
            wait_until("the old process to end", lambda: old.poll() is not None)
            assert path.stat().st_ino == inode
            door.proxy.listeners.update(
                unix={"listen": f"unix:{path}"},
                named={"listen": "%s:%d" % sock.getsockname()},
            )
            for name in ("unix", "named"):
                with door.client(name) as client:
                    door.round_trip(client)
                    end(client)
            proxy.stop()
            assert not path.exists()
        finally:
            proxy.kill()


def test_from_a_folder_of_its_own(new_door, tmp_path):
    """Relative paths, of program and configuration, mean what they meant at the start."""
    door = new_door()
    door.proxy.stop()
    folder = door.proxy.folder
    (folder / "sallyport").symlink_to(proxyrig.BINARY)
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(["./sallyport", "proxy", "-c", "config.yaml"], cwd=folder,
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    door.proxy._log, door.proxy._log_at, door.proxy.log_path = [], 0, tmp_path / "log"
    door.proxy.process = process
    wait_until("it to start", lambda: door.proxy.lines(event="started"))
    ended(door.proxy.upgrade(), door)
    assert not refused(door)
