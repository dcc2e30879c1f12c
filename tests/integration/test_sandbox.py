# SPDX-License-Identifier: Apache-2.0
"""What the running proxy has taken from itself, as the kernel tells it (/proc) and as the log does:
both must say the same, on every thread. That a forbidden system call and a forbidden path fail is
shown from the inside by tests/unit/kern. Run by root, as the rig needs: the kernel lets nobody else look
into the proxy."""
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket

import proxyrig
import pytest
import saslbroker
from adminrig import socket_folder
from door import Door
from proxyrig import SANITIZED, Proxy, landlock_abi
from waiting import wait_until

OTHER_USER = "nobody"
BIND_SERVICE = 1 << 10
PARTS = ("user", "capabilities", "no_new_privileges", "landlock", "seccomp", "no_core", "locked_keys")


def statuses(proxy):
    """/proc/PID/task/TID/status of every thread, as dictionaries."""
    found = []
    for task in pathlib.Path(f"/proc/{proxy.process.pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it may have ended
            pairs = (line.split(":", 1) for line in (task / "status").read_text().splitlines())
            found.append({key: value.strip() for key, value in pairs})
    return found


def own_status(key):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return line.split(":")[1].strip()
    raise AssertionError(key)


def facts(proxy):
    """The parts of the log line: name -> (in force, text)."""
    line, = proxy.lines(event="sandbox")
    assert set(PARTS) <= set(line)
    return {part: (not line[part].startswith("missing: "), line[part]) for part in PARTS}


def check_restricted(proxy, capabilities=0):
    """Everything is in force on every thread, or the sanitizers' binary says why not."""
    said = facts(proxy)
    threads = statuses(proxy)
    assert len(threads) > proxy.config["workers"]
    if SANITIZED:
        assert "sanitizers" in said["seccomp"][1]
        return said
    for status in threads:
        assert status["NoNewPrivs"] == "1", status
        assert status["Seccomp"] == "2", status
        for which in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"):
            assert int(status[which], 16) == capabilities, (which, status)
    assert said["capabilities"] == (True, "net_bind_service" if capabilities else "none")
    assert said["no_new_privileges"][0] and said["seccomp"][0]
    abi = landlock_abi()
    assert said["landlock"][0] == (abi > 0), said
    assert abi == 0 or f"ABI {abi}:" in said["landlock"][1]
    return said


def check_no_core(proxy):
    limits = pathlib.Path(f"/proc/{proxy.process.pid}/limits").read_text()
    core, = (line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core"))
    assert core == ["0", "0"]
    assert facts(proxy)["no_core"][0]


def use(door):
    with door.client("echo") as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")


def test_by_itself(new_door):
    """Without a word in the configuration."""
    door = new_door(workers=2)
    use(door)
    said = check_restricted(door.proxy)
    check_no_core(door.proxy)
    assert not said["user"][0]
    line, = door.proxy.lines(event="sandbox")
    assert line["level"] == "warning"


def test_off(new_door):
    door = new_door(process={"top": {"sandbox": "off"}})
    said = facts(door.proxy)
    for status in statuses(door.proxy):
        for key in ("NoNewPrivs", "Seccomp", "CapEff"):
            assert status[key] == own_status(key)
    for part in ("capabilities", "no_new_privileges", "landlock", "seccomp"):
        assert said[part] == (False, "missing: sandbox: off")
    check_no_core(door.proxy)


@pytest.fixture
def user_door(loop, pki, tmp_path):
    """A door that becomes another user."""
    made = []

    def make(**process):
        top = {"user": OTHER_USER, **process}
        made.append(Door(tmp_path, pki, loop, workers=2, process={"top": top}))
        return made[-1]
    yield make
    for door in made:
        door.proxy.kill()
        door.close()


def check_user(proxy):
    entry = pwd.getpwnam(OTHER_USER)
    for status in statuses(proxy):
        assert status["Uid"].split() == [str(entry.pw_uid)] * 4
        assert status["Gid"].split() == [str(entry.pw_gid)] * 4
        assert "0" not in status["Groups"].split()
    # Of a process that may be looked into these would be its user's.
    assert os.stat(f"/proc/{proxy.process.pid}/environ").st_uid == 0
    assert facts(proxy)["user"] == (True, f"uid {entry.pw_uid}")


def test_user(user_door):
    door = user_door().start()
    use(door)
    check_restricted(door.proxy)
    check_no_core(door.proxy)
    check_user(door.proxy)
    # pytest's folders are root's own: a reload could not read the files, and that is said.
    blind = door.proxy.lines(event="reload_blind")
    assert any("server-ec-p256.key could be read at start" in line["msg"] for line in blind)
    door.proxy.stop()


def test_signing_keys_of_a_user(user_door):
    """They are made for whom the process becomes, which renews them with all that it has left."""
    with socket_folder() as folder:
        keys = folder / "keys"
        door = user_door(identity={"directory": str(keys), "overlap": "1s"}).start()
        check_user(door.proxy)
        uid = pwd.getpwnam(OTHER_USER).pw_uid
        private = keys / "signing-keys.pem"
        assert (private.stat().st_uid, private.stat().st_mode & 0o777) == (uid, 0o600)
        first, = saslbroker.published(keys)
        (keys / "rotate").touch()
        wait_until("the new key to be the only one",
                   lambda: first not in saslbroker.published(keys))
        assert not door.proxy.lines(event="identity_keys", level="warning")
        door.proxy.stop()


def test_unknown_user(new_proxy, pki):
    listener = {"name": "a", "upstream": "127.0.0.1:1", "tls": pki.tls()}
    with pytest.raises(AssertionError, match="there is no 'no-such-user' on this host"):
        new_proxy([listener], top={"user": "no-such-user"})


def low_port():
    for port in range(700, 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port below 1024")


def test_low_port_keeps_its_capability(user_door):
    """A reload may have to bind such a port again."""
    door = user_door()
    door.proxy.listeners["echo"]["listen"] = f"127.0.0.1:{low_port()}"
    door.start()
    use(door)
    check_user(door.proxy)
    check_restricted(door.proxy, capabilities=0 if SANITIZED else BIND_SERVICE)
    door.proxy.stop()


def test_required(user_door):
    """All parts or no start, and the proxy works with all parts."""
    door = user_door(sandbox="required")
    if SANITIZED or not landlock_abi():
        with pytest.raises(AssertionError, match="sandbox: required, but"):
            door.start()
        return
    door.start()
    use(door)
    said = check_restricted(door.proxy)
    assert all(in_force for in_force, _ in said.values()), said
    line, = door.proxy.lines(event="sandbox")
    assert line["level"] == "info"
    assert ("ports" in said["landlock"][1]) == (landlock_abi() >= 4)
    door.proxy.stop()


def test_required_is_not_for_root(new_proxy, pki):
    listener = {"name": "a", "upstream": "127.0.0.1:1", "tls": pki.tls()}
    with pytest.raises(AssertionError, match="required, but user is missing: root"):
        new_proxy([listener], top={"sandbox": "required"})


def test_forbidden_path(new_door, pki, tmp_path):
    """A reload does not get into a folder that the configuration did not name at start, though root may
    read it; what is in force stays."""
    door = new_door()
    certificate, key = (shutil.copy(source, tmp_path) for source in pki.server_files())
    os.chmod(key, 0o600)
    for listener in door.proxy.config["listeners"]:
        listener["tls"] = {**listener["tls"], "certificate": certificate, "key": key}
    door.proxy.write_config()
    if SANITIZED or not landlock_abi():
        door.proxy.reload()
        return
    door.proxy.expected_errors.add("reload_failed")
    assert "Permission denied" in door.proxy.reload("reload_failed")["msg"]
    use(door)


def test_files_far_away(loop, tmp_path, pki):
    """Certificates behind links, in several folders: none of them is out of reach of a reload."""
    live, archive = tmp_path / "live", tmp_path / "archive"
    live.mkdir()
    archive.mkdir()
    certificate, key = pki.server_files()
    for source, name in ((certificate, "tls.crt"), (key, "tls.key")):
        shutil.copy(source, archive / name)
        (archive / name).chmod(0o600)
        (live / name).symlink_to(f"../archive/{name}")
    tls = {"certificate": str(live / "tls.crt"), "key": str(live / "tls.key"),
           "roots": pki.root_files}
    proxy = Proxy(tmp_path / "proxy", [{"name": "a", "upstream": "127.0.0.1:1", "tls": tls}],
                  loop=loop)
    try:
        proxy.start()
        assert proxy.lines(event="sandbox")
        assert not proxy.lines(event="reload_blind")
        proxy.stop()
    finally:
        proxy.kill()


@pytest.mark.parametrize("folder, alone", [("sallyport", True), ("bin", False)])
def test_upgrade(new_door, tmp_path, monkeypatch, folder, alone):
    """Of a program in a folder of its own, what lies there now is executed; elsewhere only the file that
    was started."""
    program = tmp_path / folder / "sallyport"
    program.parent.mkdir()
    shutil.copy(proxyrig.BINARY, program)
    monkeypatch.setattr(proxyrig, "BINARY", str(program))
    door = new_door()
    door.proxy.upgrade()
    check_restricted_again(door)
    shutil.copy(program, program.with_name("new"))
    os.rename(program.with_name("new"), program)
    if alone or SANITIZED or not landlock_abi():
        door.proxy.upgrade()
        check_restricted_again(door)
        return
    door.proxy.expected_errors.add("upgrade_failed")
    door.proxy.signal(signal.SIGUSR2)
    line = wait_until("the failure", lambda: door.proxy.lines(event="upgrade_failed"))[0]
    assert "Permission denied" in line["msg"]
    use(door)


def check_restricted_again(door):
    """The new process has put itself into a sandbox within the old one's."""
    use(door)
    for status in statuses(door.proxy):
        assert SANITIZED or (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1"), status
    *_, line = door.proxy.lines(event="sandbox")
    assert SANITIZED or not line["seccomp"].startswith("missing"), line
    assert line["landlock"].startswith("missing") == (SANITIZED or not landlock_abi()), line
