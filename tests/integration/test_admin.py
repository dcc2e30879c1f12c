# SPDX-License-Identifier: Apache-2.0
"""What an operator asks a running proxy, and orders it to do: status, conns, kill, log-level, drain,
reload, as typed in a shell."""
import json
import os
import pty
import re
import socket
import subprocess

import certs
import pytest
import rawtls
from adminrig import FAILED, NO_PROXY, OK, USAGE, Operator, socket_folder
from door import reset_or_fin
from proxyrig import BINARY, TRANSPORT
from upstream import end_of
from waiting import PATIENCE, wait_until

QUIET_NOTES = {"ktls_not_in_use", "io_uring_not_in_use", "keys_not_locked"}


@pytest.fixture(scope="module")
def operator():
    with socket_folder() as folder:
        yield Operator(folder / "admin.sock")


@pytest.fixture(scope="module")
def door_options(operator):
    return {"process": operator.process(), "workers": 2}


@pytest.fixture
def new_operator():
    with socket_folder() as folder:
        yield Operator(folder / "admin.sock")


def bad_conditions(status):
    return {c["condition"] for c in status["conditions"]} - QUIET_NOTES


# status.
def test_status_of_a_healthy_proxy(door, operator):
    with door.client("echo") as client:
        door.round_trip(client)
        # A worker may not be through with the one before.
        status = wait_until("one connection", lambda: (s := operator.status()) and sum(
            listener["connections"] for listener in s["listeners"]) == 1 and s)
        assert bad_conditions(status) == set()
        assert status["pid"] == door.proxy.process.pid
        assert status["workers"] == 2
        assert status["loop"] == door.loop
        assert status["config_file"] == str(door.proxy.folder / "config.yaml")
        assert not status["draining"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", status["started"])
        listeners = {listener["name"]: listener for listener in status["listeners"]}
        assert set(listeners) == {"echo", "hand"}
        assert listeners["echo"]["connections"] == 1
        assert listeners["hand"]["connections"] == 0
        assert listeners["echo"]["listen"] == door.proxy.listeners["echo"]["listen"]
        assert listeners["echo"]["certificate"]["cn"] == "broker-1"
        assert listeners["echo"]["certificate"]["days_left"] in (29, 30)
        assert status["expires_first"]["days_left"] in (29, 30)
        client.finish()
        client.expect_end("close_notify")


def test_status_says_what_confines_it(door, operator):
    parts = {part["part"]: part for part in operator.status()["sandbox"]}
    assert {"user", "capabilities", "no_new_privileges", "landlock", "seccomp"} <= set(parts)
    status = (f"/proc/{door.proxy.process.pid}/status")
    with open(status, encoding="ascii") as file:
        seccomp = re.search(r"^Seccomp:\t(\d)$", file.read(), re.M)[1]
    assert parts["seccomp"]["in_force"] == (seccomp == "2")
    assert all(part["detail"] for part in parts.values())
    lean = operator.run("status", code=OK if operator.status()["state"] == "healthy" else FAILED).stdout
    assert re.search(r"^sandbox:\n(  \w+: (in force|missing): .+\n)+", lean, re.M)


def test_status_for_people(door, operator):
    done = operator.run("status", code=OK if operator.status()["state"] == "healthy" else FAILED)
    assert re.match(r"sallyport \d+\.\d+\.\d+: (healthy|degraded), up ", done.stdout)
    assert re.search(r"^echo +front +127\.0\.0\.1:\d+ .* of 20000 .*CN broker-1, (29|30) days left$",
                     done.stdout, re.M)
    assert re.search(r"^expires first: \w+ CN .+ of listener \w+, \d{4}-.*\((29|30) days left\)$",
                     done.stdout, re.M)
    assert "\033" not in done.stdout
    assert done.stderr == ""


def on_terminal(*arguments):
    master, slave = pty.openpty()
    try:
        environment = {**os.environ, "TERM": "xterm"}
        environment.pop("NO_COLOR", None)
        process = subprocess.Popen([BINARY, *arguments], stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        text = b""
        try:
            while more := os.read(master, 65536):
                text += more
        except OSError:  # EIO: the other side is closed
            pass
        process.wait(PATIENCE)
        return text.decode()
    finally:
        os.close(master)


def test_colour_on_a_terminal_only(door, operator):
    assert "\033[1m" in on_terminal("status", "--socket", operator.path)
    assert "\033[1mCONN" in on_terminal("conns", "--socket", operator.path)


def test_upstream_that_is_gone(new_door, new_operator):
    """Failing, with since when and why; and well again when it is back."""
    door = new_door(process=new_operator.process())
    port = door.hand.listener.getsockname()
    door.hand.close()
    with door.client() as client:
        client.expect_end("close_notify")
    (found,) = wait_until("the condition", lambda: new_operator.condition("upstream_unreachable"))
    assert found["severity"] == "failing"
    assert found["subject"] == "hand"
    assert "Connection refused" in found["detail"]
    assert found["remedy"] and found["meaning"] and found["since"]
    text = new_operator.run("status", code=FAILED).stdout
    assert ": failing, up" in text.splitlines()[0]
    assert "failing: upstream_unreachable: hand, for " in text
    assert f"  do: {found['remedy']}" in text
    begun = door.proxy.expect(event="condition", state="begins")
    assert begun[0]["condition"] == "upstream_unreachable"
    with socket.create_server(port) as again:
        client = door.client()
        peer, _ = again.accept()
        client.finish()
        assert end_of(peer) == "fin"
        peer.close()
        client.expect_end("close_notify")
        client.sock.close()
        wait_until("it to be over", lambda: not new_operator.condition("upstream_unreachable"))
    door.proxy.expect(event="condition", state="over")
    door.proxy.stop()


def test_limit_that_is_reached(new_door, new_operator):
    door = new_door(process=new_operator.process(), limits={"connections": 2})
    pairs = [door.pair() for _ in range(2)]
    with rawtls.connect(door.proxy.address("hand")) as third:
        assert reset_or_fin(third) == b""
    (found,) = new_operator.condition("limit_reached")
    assert found["subject"] == "hand limits.connections"
    assert found["severity"] == "degraded"
    for client, up in pairs:
        client.sock.close()
        up.close()


def test_certificates_that_end(new_door, new_operator, pki, tmp_path):
    """Soon is the last fifth of a life, or two weeks; a dead root among good ones is told of."""
    near = certs.now() + 2 * certs.DAY
    identity = pki.intermediate.issue("short", dns=["broker-1.test.example"], usage="server",
                                      not_before=certs.now() - 20 * certs.DAY, not_after=near)
    certificate, key = identity.write(tmp_path, "short")
    dead = certs.Authority("Dead root", not_before=certs.now() - 9 * certs.DAY,
                           not_after=certs.now() - certs.DAY).write(tmp_path, "dead")
    door = new_door(process=new_operator.process(), tls=pki.tls(
        certificate=certificate, key=key, roots=[*pki.root_files, dead]))
    status = new_operator.status()
    assert status["state"] == "degraded"
    assert bad_conditions(status) == {"certificate_expires_soon", "root_expired"}
    by_name = {c["condition"]: c for c in status["conditions"]}
    assert by_name["certificate_expires_soon"]["subject"].split()[1:] == ["certificate", identity.serial[:40]]
    assert "CN short" in by_name["certificate_expires_soon"]["detail"]
    assert "CN Dead root" in by_name["root_expired"]["detail"]
    assert status["expires_first"]["cn"] == "Dead root"
    assert status["expires_first"]["kind"] == "root"
    assert status["listeners"][0]["certificate"]["days_left"] in (1, 2)
    door.proxy.expect(event="condition", condition="root_expired")


# conns.
def test_conns_of_nobody(door, operator):
    assert wait_until("nobody", lambda: operator.ask("conns")["live"] == 0)
    text = operator.run("conns").stdout.splitlines()
    assert text[0].split()[:3] == ["CONN", "LISTENER", "CLIENT"]
    assert text[1] == "0 live, 0 match"


def test_what_is_told_of_a_connection(door, operator):
    client, up = door.pair()
    with client, up:
        client.send_data(b"x" * 1234)
        up.recv(65536)
        up.sendall(b"y" * 77)
        client.read_data(77)
        (conn,) = wait_until("its bytes", lambda: [
            c for c in operator.conns() if (c["bytes_in"], c["bytes_out"]) == (1234, 77)])
        assert conn["listener"] == "hand"
        assert conn["client"] == client.name
        assert conn["cn"] == "svc-a"
        assert conn["uri"] == "spiffe://example/ns/test/sa/svc-a"
        assert conn["serial"] == door.pki.client.serial
        assert conn["issuer"] == "Test intermediate"
        assert (conn["state"], conn["waits_for"]) == ("relay", "traffic")
        assert (conn["tls"], conn["cipher"]) == ("1.3", "TLS_AES_128_GCM_SHA256")
        assert (conn["client_transport"], conn["upstream_transport"]) == (TRANSPORT, "plain")
        assert conn["age_seconds"] >= conn["idle_seconds"] >= 0
        assert conn["stall_seconds"] is None
        line = operator.run("conns").stdout.splitlines()[1]
        assert re.match(rf"{conn['conn']} +hand +{re.escape(client.name)} +svc-a +Test intermediate +"
                        rf"{TRANSPORT}/plain +relay +traffic +1\.2K +77 ", line)
        client.finish()
        up.close()
        client.expect_end("close_notify")
    assert door.line_of(client.name)["conn"] == conn["conn"]


def test_filters_and_order(door, operator, pki):
    """Each filter alone, and all must match; sorted by bytes the greatest are first."""
    other = pki.root.issue("other-app")
    clients = [door.client("echo"), door.client("echo", other), door.client("echo", other)]
    for i, client in enumerate(clients):
        door.round_trip(client, 1000 * (i + 1))
    silent = door.raw("echo")
    wait_until("all of them", lambda: operator.ask("conns")["live"] == 4)

    def cns(*arguments):
        return [c["cn"] for c in operator.conns(*arguments)]
    assert cns("--cn", "svc-*") == ["svc-a"]
    assert cns("--cn", "other-app") == ["other-app"] * 2
    assert cns("--issuer", "Test root A") == ["other-app"] * 2
    assert cns("--serial", other.serial.upper()) == ["other-app"] * 2
    assert cns("--serial", pki.client.serial, "--cn", "other*") == []
    assert cns("--state", "handshake") == [None]
    assert len(cns("--state", "handshake,relay")) == 4
    assert cns("--transport", "plain") == [None]
    assert len(cns("--transport", TRANSPORT)) == 3
    assert len(cns("--listener", "echo")) == 4
    assert cns("--listener", "hand") == []
    assert [c["client"] for c in operator.conns("--sort", "bytes")] == [
        c.name for c in reversed(clients)] + [silent.name]
    assert operator.conns("--sort", "age")[-1]["client"] == silent.name
    answer = operator.ask("conns", "--sort", "bytes", "--limit", "1")
    assert (answer["live"], answer["matched"], answer["shown"]) == (4, 4, 1)
    assert answer["conns"][0]["client"] == clients[2].name
    assert "4 live, 4 match, the first 1 are shown" in operator.run("conns", "--limit", 1).stdout
    (waiting,) = operator.conns("--state", "handshake")
    assert waiting["waits_for"] == "handshake"
    for client in [*clients, silent]:
        client.sock.close()


def fill(sock):
    """Writes until nothing goes any more."""
    sock.settimeout(0.3)
    try:
        while True:
            sock.sendall(bytes(1 << 16))
    except TimeoutError:
        pass
    sock.settimeout(PATIENCE)


def test_a_stall_is_seen(door, operator):
    """Who does not read, and for how long; the others come after it."""
    idle, idle_up = door.pair()
    client, up = door.pair(buffers=(8192, None))
    with client, up, idle, idle_up:
        fill(up)
        first, second = wait_until("a stall", lambda: (
            c := operator.conns("--sort", "stall")) and c[0]["stall_seconds"] and c)
        assert first["client"] == client.name
        assert first["waits_for"] == "client_reads"
        assert first["stall_seconds"] > 0
        assert (second["client"], second["stall_seconds"]) == (idle.name, None)
        wait_until("it to grow", lambda: operator.conns("--sort", "stall")[0]["stall_seconds"]
                   > first["stall_seconds"])
        rawtls.reset(client.sock)


def test_names_that_would_trick_a_terminal(door, operator, pki):
    """A right-to-left override is a legal character of a CN, and shown as what it is."""
    with door.client("echo", pki.root.issue("svc-\u202egnp.exe é")) as client:
        door.round_trip(client)
        text = operator.run("conns").stdout
        assert "svc-\\xe2\\x80\\xaegnp.exe é " in text
        assert "\u202e" not in text
        assert operator.conns()[0]["cn"] == "svc-\u202egnp.exe é"  # for programs
        client.finish()
        client.expect_end("close_notify")


# kill.
def test_kill_by_number(door, operator):
    """The client gets a fatal alert, its service a reset; who is beside it does not notice."""
    client, up = door.pair()
    with client, up, door.counted(killed=1):
        (conn,) = [c for c in operator.conns() if c["client"] == client.name]
        assert operator.run("kill", conn["conn"]).stdout == "1 connection ended\n"
        client.expect_end("access_denied")
        assert end_of(up) == "reset"
        client.sock.close()
        assert door.line_of(client.name)["reason"] == "killed"
    (order,) = door.proxy.expect(event="order", order="kill", conn=conn["conn"])
    assert (order["by_uid"], order["killed"]) == (os.getuid(), 1)


def test_kill_by_name(door, operator, pki):
    other = pki.root.issue("evil-app")
    with door.echo_beside() as beside:
        clients = [door.client("echo", other) for _ in range(10)]
        for client in clients:
            door.round_trip(client)
        assert operator.ask("kill", "--cn", "evil-*")["killed"] == 10
        for client in clients:
            client.expect_end("access_denied")
            client.sock.close()
        door.round_trip(beside)
    for client in clients:
        assert door.line_of(client.name)["reason"] == "killed"


def test_kill_in_each_state(door, operator, pki):
    """In the handshake there are no keys for an alert yet; one that does not read goes too."""
    silent = door.raw("echo")
    wait_until("it", lambda: operator.conns("--state", "handshake"))
    operator.run("kill", operator.conns("--state", "handshake")[0]["conn"])
    assert reset_or_fin(silent.sock) == b""
    silent.sock.close()
    client, up = door.pair(buffers=(8192, None))
    fill(up)
    operator.run("kill", "--serial", pki.client.serial, "--listener", "hand")
    assert end_of(up) == "reset"
    wait_until("it to be gone", lambda: operator.ask("conns")["live"] == 0)
    client.sock.close()
    up.close()


def test_kill_that_hits_nobody(door, operator):
    assert "no live connection matches" in operator.run("kill", 123456, code=FAILED).stderr
    assert operator.run("kill", "--cn", "nobody", code=FAILED).stdout == ""
    # An empty pattern must not mean everybody.
    with door.client("echo") as client:
        assert "whom?" in operator.run("kill", "--cn", "", code=FAILED).stderr
        assert "whom?" in operator.run("kill", "--listener", "echo", code=FAILED).stderr
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")


# Orders to the process.
def test_log_level(door, operator):
    assert operator.run("log-level").stdout == "info\n"
    assert operator.ask("log-level", "debug") == {"level": "debug", "then": None,
                                                  "then_in_seconds": None}
    assert operator.status()["log_level"] == "debug"
    assert operator.run("log-level", "info").stdout == "info\n"


def test_log_level_goes_back_by_itself(door, operator):
    assert operator.run("log-level", "error", "--for", "1h").stdout == "error, back to info in 3600 s\n"
    with door.client("echo") as client:  # of this one there is no line
        client.finish()
        client.expect_end("close_notify")
    wait_until("it to be gone", lambda: operator.ask("conns")["live"] == 0)
    # Lent once more: it goes back to what it was at first.
    operator.run("log-level", "debug", "--for", "100ms")
    wait_until("the old level", lambda: operator.run("log-level").stdout == "info\n")
    door.proxy.expect(event="log_level", msg="back at info")
    assert not door.proxy.lines_of(client.name)


def test_drain(new_door, new_operator):
    """Live ones may finish, `status` says so meanwhile, and the socket's file goes with the proxy."""
    door = new_door(process=new_operator.process(), timeouts={"drain": "1h"})
    client, up = door.pair()
    with client, up:
        assert new_operator.run("drain").stdout.startswith("draining")
        status = wait_until("it to drain", lambda: new_operator.condition("draining") and new_operator.status())
        assert status["draining"] and status["state"] == "degraded"
        assert new_operator.conns()[0]["client"] == client.name
        client.send_data(b"still here")
        assert up.recv(100) == b"still here"
        client.finish()
        up.close()
        client.expect_end("close_notify")
    assert door.proxy.wait() == 0
    assert not os.path.exists(new_operator.path)
    assert "no proxy answers there" in new_operator.run("status", code=NO_PROXY).stderr


def test_drain_at_once(new_door, new_operator):
    door = new_door(process=new_operator.process(), timeouts={"drain": "1h", "linger": "300ms"})
    client, up = door.pair()
    with client, up:
        new_operator.run("drain", "--at-once")
        client.expect_end("close_notify")
    assert door.proxy.wait() == 0


def test_kill_of_the_last_one_while_draining(new_door, new_operator):
    door = new_door(process=new_operator.process(), timeouts={"drain": "1h", "linger": "300ms"}, workers=2)
    pairs = [door.pair() for _ in range(4)]
    new_operator.run("drain")
    wait_until("it to drain", lambda: door.proxy.lines(event="drain"))
    new_operator.run("kill", "--cn", "*")
    for client, up in pairs:
        client.expect_end("access_denied")
        client.sock.close()
        up.close()
    assert door.proxy.wait() == 0
    door.proxy.check_log()


# The command line.
@pytest.mark.parametrize("arguments, says", [
    (["status", "x"], "unexpected argument 'x'"),
    (["conns", "x"], "unexpected argument 'x'"),
    (["conns", "--sort"], "wants a value"),
    (["conns", "--cm", "x"], "did you mean '--cn'?"),
    (["kill"], "whom?"),
    (["kill", "svc-a"], "for names there are --cn"),
    (["kill", "1", "2"], "unexpected argument '2'"),
    (["drain", "now"], "unexpected argument 'now'"),
    (["reload", "x"], "unexpected argument 'x'"),
    (["log-level", "--for", "1m"], "--for wants a level"),
    (["log-level", "debug", "info"], "unexpected argument 'info'"),
])
def test_wrong_command_lines(arguments, says, tmp_path):
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=PATIENCE,
                          env={**os.environ, "SALLYPORT_ADMIN_SOCKET": str(tmp_path / "none")})
    assert done.returncode == USAGE
    assert says in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("arguments, says", [
    (["conns", "--sort", "size"], "age, bytes, idle or stall"),
    (["conns", "--state", "relay,closing"], "state 'closing'"),
    (["conns", "--transport", "tls"], "aead, ktls, ktls_send or plain"),
    (["conns", "--limit", "0"], "from 1 to 100000"),
    (["conns", "--limit", "-1"], "from 1 to 100000"),
    (["conns", "--cn", "x" * 600], "longer than 512 bytes"),
    (["conns", "--sort", "\033[2J"], "sort '\\x1b[2J'"),
    (["log-level", "verbose"], "error, warning, info or debug"),
    (["log-level", "debug", "--for", "5"], "30s, 10m or 2h"),
    (["log-level", "debug", "--for", "8d"], "7d at most"),
])
def test_values_that_the_proxy_refuses(door, operator, arguments, says):
    done = operator.run(*arguments, code=FAILED)
    assert says in done.stderr
    assert done.stdout == ""


def test_socket_from_the_environment(door, operator):
    for environment, code in (({"SALLYPORT_ADMIN_SOCKET": operator.path}, OK),
                              ({"SALLYPORT_ADMIN_SOCKET": "/nowhere"}, NO_PROXY)):
        done = subprocess.run([BINARY, "conns"], env={**os.environ, **environment},
                              capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == code, done.stderr


def test_reload(new_door, new_operator):
    """Taken up; or refused with the reason, and `status` says so until one succeeds."""
    door = new_door(process={"top": {**new_operator.process()["top"], "reload": "manual"}})
    config = door.proxy.folder / "config.yaml"
    good = json.loads(config.read_text())
    assert new_operator.run("reload").stdout == "reloaded\n"
    door.proxy.expect(event="order", order="reload")
    door.proxy.expect(event="reloaded")
    config.write_text("listeners: [")
    door.proxy.expected_errors.add("reload_failed")
    assert "config.yaml" in new_operator.run("reload", code=FAILED).stderr
    (found,) = new_operator.condition("reload_failed")
    assert found["severity"] == "degraded" and "config.yaml" in found["detail"]
    config.write_text(json.dumps({**good, "workers": 2, "admin": {**good["admin"], "allow_uids": [1]}}))
    assert new_operator.ask("reload") == {"reloaded": True}
    assert not new_operator.condition("reload_failed")
    (found,) = new_operator.condition("restart_needed")
    assert found["severity"] == "note" and found["detail"] == "admin, workers"


def test_listeners_come_and_go(new_door, new_operator):
    """`status` and `conns` follow a reload; who came by a listener that is gone is still told of."""
    door = new_door(process={"top": {**new_operator.process()["top"], "reload": "manual"}})
    config = door.proxy.folder / "config.yaml"
    settings = json.loads(config.read_text())
    with door.client("echo") as client:
        door.round_trip(client)
        settings["listeners"] = [l for l in settings["listeners"] if l["name"] != "echo"]
        config.write_text(json.dumps(settings))
        new_operator.run("reload")
        assert [l["name"] for l in new_operator.status()["listeners"]] == ["hand"]
        (conn,) = new_operator.conns("--listener", "echo")
        assert conn["client"] == client.name
        new_operator.run("kill", conn["conn"])
        client.expect_end("access_denied")
