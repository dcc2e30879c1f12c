# SPDX-License-Identifier: Apache-2.0
"""The audit stream: a record for each connection that is opened, refused or closed, in a file that may
be renamed, on a disk that may be full; what is lost is told to the record."""
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess

import pytest
from door import plain_connect, reset_or_fin
from mounts import MS_BIND, in_own_mounts
from proxyrig import REPO
from waiting import PATIENCE, wait_until

class Trail:
    """An audit file, and what is in it so far."""

    def __init__(self, path):
        self.path = path

    def records(self, **fields):
        try:
            lines = self.path.read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        return [r for r in records if all(r.get(k) == v for k, v in fields.items())]

    def wait(self, count=1, **fields):
        return wait_until(lambda: f"{count} records with {fields} in {self.path}",
                          lambda: len(found := self.records(**fields)) >= count and found)

    def check(self, first=1):
        """Numbers are consecutive, but for the gaps that are told."""
        expected = first
        for record in self.records():
            if record["event"] == "gap":
                assert record["first"] == expected and record["last"] == record["seq"]
                assert record["lost"] == record["last"] - record["first"] + 1
                expected = record["last"]
            assert record["seq"] == expected, record
            expected += 1
        return expected


@pytest.fixture
def trail(tmp_path):
    return Trail(tmp_path / "audit.log")


def audited(new_door, trail, *, audit=None, log=None, process=None, **options):
    """A door with an audit; `audit`, `log`: more keys of these sections."""
    top = {"audit": {"file": str(trail.path), **(audit or {})}, "log": log or {}}
    return new_door(process={"top": top, **(process or {})}, **options)


def whole_life(door, size=3000):
    """A client that comes, is echoed and goes; its name."""
    with door.client("echo") as client:
        door.round_trip(client, size)
        client.finish()
        client.expect_end("close_notify")
    door.line_of(client.name)
    return client.name


def http(door, count=1):
    for _ in range(count):
        sock, name = plain_connect(door, "echo")
        with sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            reset_or_fin(sock)
    return name


def test_life(new_door, trail):
    """Who, from where, with what, how long and how much."""
    door = audited(new_door, trail)
    name = whole_life(door)
    closed = trail.wait(client=name, event="closed")[0]
    opened = trail.records(client=name, event="opened")[0]
    for record in (opened, closed):
        assert record["listener"] == "echo" and record["conn"] == opened["conn"]
        assert (record["cn"], record["issuer"], record["verified"]) == ("svc-a", "Test intermediate", True)
        assert record["serial"] == f"{door.pki.client.certificate.serial_number:040x}".lstrip("0").rjust(
            len(record["serial"]), "0")
        assert record["subject"].startswith("CN=svc-a")
        assert (record["dns"], record["uris"]) == (["svc-a.example"], ["spiffe://example/ns/test/sa/svc-a"])
        assert (record["tls"], record["cipher"]) == ("1.3", "TLS_AES_128_GCM_SHA256")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["ts"])
    assert (closed["bytes_in"], closed["bytes_out"], closed["reason"]) == (3000, 3000, "client_closed")
    assert closed["seconds"] >= 0 and "reason" not in opened
    assert trail.path.stat().st_mode & 0o777 == 0o640
    door.proxy.stop()
    last = trail.records()[-1]
    assert trail.records()[0]["event"] == "started" and last["event"] == "stopped"
    assert trail.check() == last["seq"] + 1


def test_refused(new_door, trail):
    door = audited(new_door, trail, deny=[{"cn": "svc-b"}], limits={"connections": 2})
    with door.client("echo", None) as client:
        client.expect_end("certificate_required")
    record = trail.wait(client=client.name)[0]
    assert (record["event"], record["reason"]) == ("refused", "no_certificate")
    assert "cn" not in record and record["detail"]
    with door.client("echo", door.pki.stranger.issue("svc-a")) as client:
        client.expect_end("unknown_ca")
    record = trail.wait(client=client.name)[0]
    assert (record["reason"], record["cn"], record["verified"]) == ("unknown_ca", "svc-a", False)
    with door.client("echo", door.pki.root.issue("svc-b")) as client:
        client.expect_end("access_denied")
    record = trail.wait(client=client.name)[0]
    assert (record["reason"], record["cn"], record["verified"]) == ("denied", "svc-b", True)
    name = http(door)
    assert trail.wait(client=name)[0]["reason"] == "plaintext_http"
    door.proxy.wait_quiet()
    inside = [door.client("echo") for _ in range(2)]
    turned_away = []
    for _ in range(5):
        sock, name = plain_connect(door, "echo")
        turned_away.append(name)
        with sock:
            reset_or_fin(sock)
    trail.wait(5, reason="limit_connections")  # each one, though the log has one line a second
    assert {r["client"] for r in trail.records(reason="limit_connections")} == set(turned_away)
    for client in inside:
        door.round_trip(client, 1)  # a reset may overtake the end of the handshake
        client.reset()
    trail.wait(2, reason="client_reset")
    sock, name = plain_connect(door, "echo")  # no byte: no line, but a record
    sock.close()
    assert trail.wait(client=name)[0]["reason"] == "handshake_closed"
    door.proxy.stop()
    trail.check()


def test_many_names_are_all_there(new_door, trail):
    door = audited(new_door, trail)
    names = [f"{i}.{'long-name' * 6}.example" for i in range(63)]
    with door.client("echo", door.pki.root.issue("svc-a", dns=names)) as client:
        door.round_trip(client, 1)  # a reset may overtake the end of the handshake
        client.reset()
    assert trail.wait(client=client.name, event="opened")[0]["dns"] == names


def test_suppressed_lines_have_their_records(new_door, trail):
    door = audited(new_door, trail, log={"rate": 1})
    http(door, 50)
    trail.wait(50, reason="plaintext_http")
    assert len(door.proxy.lines(event="refused")) < 50


def test_renamed(new_door, trail):
    """logrotate's way, without a signal and with one: no record is lost between the files."""
    door = audited(new_door, trail)
    whole_life(door)
    trail.wait(2, event="closed")
    old = Trail(trail.path.with_suffix(".1"))
    os.rename(trail.path, old.path)
    name = whole_life(door)
    trail.wait(client=name, event="closed")
    middle = Trail(trail.path.with_suffix(".2"))
    os.rename(trail.path, middle.path)
    door.proxy.signal(signal.SIGHUP)
    wait_until("a new file without any record", trail.path.exists)
    trail.path.unlink()
    name = whole_life(door)
    trail.wait(client=name, event="closed")
    door.proxy.stop()
    trail.check(middle.check(old.check()))


def test_logrotate(new_door, trail, tmp_path):
    """With the configuration that we ship."""
    shipped = (REPO / "deploy" / "logrotate" / "sallyport").read_text()
    assert "/var/log/sallyport/audit.log {" in shipped
    rules = tmp_path / "rules"
    rules.write_text(shipped.replace("/var/log/sallyport/audit.log", str(trail.path)))
    rules.chmod(0o644)
    door = audited(new_door, trail)
    whole_life(door)
    trail.wait(2, event="closed")
    done = subprocess.run(["logrotate", "--force", "--state", str(tmp_path / "state"), str(rules)],
                          capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (rotated,) = [Trail(path) for path in tmp_path.glob("audit.log-*")]
    name = whole_life(door)
    trail.wait(client=name, event="closed")
    door.proxy.stop()
    trail.check(rotated.check())


def lives_until(door, condition):
    """Traffic, while it is needed."""
    for _ in range(400):
        if condition():
            return
        http(door, 5)
    raise AssertionError("in vain:\n" + door.proxy.tail())


def test_full_disk(new_door, trail):
    """Everything that fits into the queue is kept, what does not is lost and told; connections are not
    harmed."""
    trail.path.symlink_to("/dev/full")
    door = audited(new_door, trail, audit={"queue": 64})
    door.proxy.expected_errors = {"audit_failed", "audit_full", "audit_lost"}
    line = wait_until("the failure", lambda: door.proxy.lines(event="audit_failed"))[0]
    assert "No space left on device" in line["msg"]
    lives_until(door, lambda: door.proxy.lines(event="audit_full"))
    http(door, 20)
    whole_life(door)
    trail.path.unlink()  # now there is room
    gap = trail.wait(event="gap")[0]
    assert gap["lost"] >= 20
    name = whole_life(door)
    trail.wait(client=name, event="closed")
    door.proxy.stop()
    assert len(trail.records(event="gap")) == 1
    assert len(trail.records(event="refused")) + gap["lost"] >= 20
    trail.check()
    for event in ("audit_failed", "audit_recovered", "audit_full", "audit_lost"):
        assert len(door.proxy.lines(event=event)) == 1, event


def test_file_size_limit(new_door, trail):
    """RLIMIT_FSIZE is as a full disk: no signal ends the proxy."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))
    door = audited(new_door, trail, process={"before_exec": limit})
    door.proxy.expected_errors = {"audit_failed", "audit_lost"}
    failed = None
    while not failed:  # the log grows too, but has one line where the audit has two records
        name = whole_life(door)
        wait_until("its record, or the failure", lambda: trail.records(client=name, event="closed")
                   or door.proxy.lines(event="audit_failed"))
        failed = door.proxy.lines(event="audit_failed")
    assert "File too large" in failed[0]["msg"]
    whole_life(door)
    door.proxy.stop()
    assert door.proxy.lines(event="audit_lost")
    trail.check()


def test_full_disk_for_a_while(new_door, trail):
    """What the queue could hold is not lost at all."""
    trail.path.symlink_to("/dev/full")
    door = audited(new_door, trail)
    door.proxy.expected_errors = {"audit_failed"}
    http(door, 20)
    wait_until("the failure", lambda: door.proxy.lines(event="audit_failed"))
    trail.path.unlink()
    trail.wait(20, reason="plaintext_http")
    door.proxy.stop()
    assert not trail.records(event="gap")
    trail.check()


def test_fail_closed(new_door, trail):
    """Nobody new is let in without a record; who is inside stays."""
    door = audited(new_door, trail, audit={"on_failure": "refuse"})
    door.proxy.expected_errors = {"audit_failed", "audit_lost"}
    inside = door.client("echo")
    door.round_trip(inside)
    trail.wait(2, event="opened")
    full = trail.path.with_name("full")
    full.symlink_to("/dev/full")
    old = Trail(trail.path.with_name("old"))
    os.rename(trail.path, old.path)
    os.rename(full, trail.path)
    with door.proxy.counted(plaintext_http=1, audit_unavailable=3):
        http(door)  # the record that can not be written
        wait_until("the failure", lambda: door.proxy.lines(event="audit_failed"))
        for _ in range(3):
            sock, _ = plain_connect(door, "echo")
            with sock:
                assert reset_or_fin(sock) == b""
    assert door.proxy.lines(event="refused", reason="audit_unavailable")
    door.round_trip(inside)
    trail.path.unlink()
    wait_until("the recovery", lambda: door.proxy.lines(event="audit_recovered"))
    name = whole_life(door)
    trail.wait(client=name, event="closed")
    inside.finish()
    inside.expect_end("close_notify")
    trail.wait(client=inside.name, event="closed")
    door.proxy.stop()
    assert sum(gap["lost"] for gap in trail.records(event="gap")) == 3
    trail.check(old.check())


def test_no_start_without(new_door, trail):
    trail.path = trail.path.parent / "nowhere" / "audit.log"
    with pytest.raises(AssertionError, match="did not start") as failure:
        audited(new_door, trail)
    assert "the audit can not be written" in str(failure.value)
    assert "No such file or directory" in str(failure.value)


def test_small_disk(new_door, trail, tmp_path):
    """A real disk that is full in the middle of a record, until there is room again: the record is
    finished, and none is missing."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def prepare(mount):
        mount("tmpfs", str(disk), "tmpfs", options="size=64k")
        with open(disk / "ballast", "wb") as ballast:
            ballast.write(bytes(56 * 1024))
    trail.path = disk / "audit.log"
    door = audited(new_door, trail, process={"before_exec": in_own_mounts(prepare)})
    door.proxy.expected_errors = {"audit_failed"}
    inside = pathlib.Path(f"/proc/{door.proxy.process.pid}/root{disk}")
    trail.path = inside / "audit.log"
    lives_until(door, lambda: door.proxy.lines(event="audit_failed"))
    assert not trail.path.read_bytes().endswith(b"\n")
    (inside / "ballast").unlink()
    wait_until("the recovery", lambda: door.proxy.lines(event="audit_recovered"))
    name = whole_life(door)
    trail.wait(client=name, event="closed")
    assert not trail.records(event="gap")
    assert trail.check() == len(trail.records()) + 1


def test_journal(new_door, tmp_path):
    """One datagram a record, where the journal listens."""
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = tmp_path / "socket"
    journal.bind(str(path))
    journal.settimeout(PATIENCE)

    def prepare(mount):
        mount("tmpfs", "/run", "tmpfs")
        os.makedirs("/run/systemd/journal")
        open("/run/systemd/journal/socket", "wb").close()
        mount(str(path), "/run/systemd/journal/socket", flags=MS_BIND)
    with journal:
        door = new_door(process={"top": {"audit": {"journald": True}}, "before_exec": in_own_mounts(prepare)})
        entries = []
        while not entries or '"event":"closed"' not in entries[-1]:
            entries.append(journal.recv(1 << 16).decode())
        door.proxy.stop()
        entries.append(journal.recv(1 << 16).decode())
    records = []
    for entry in entries:
        fields = dict(line.split("=", 1) for line in entry.splitlines())
        assert (fields["SYSLOG_IDENTIFIER"], fields["PRIORITY"]) == ("sallyport-audit", "6")
        records.append(json.loads(fields["MESSAGE"]))
    assert [r["event"] for r in records] == ["started", "opened", "closed", "stopped"]
    assert [r["seq"] for r in records] == [1, 2, 3, 4]
