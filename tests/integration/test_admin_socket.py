# SPDX-License-Identifier: Apache-2.0
"""The admin socket itself: who may speak on it, whose file it is, and what nonsense does to it."""
import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import stat
import subprocess
import threading

import pytest
from adminrig import FAILED, NO_PROXY, Operator, socket_folder
from proxyrig import BINARY, free_port
from waiting import PATIENCE, wait_until

NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def operator():
    with socket_folder() as folder:
        yield Operator(folder / "admin.sock")


@pytest.fixture
def public_binary():
    """Where others can run it: the build folder may be closed to them."""
    with socket_folder() as folder:
        path = folder / "sallyport"
        path.write_bytes(pathlib.Path(BINARY).read_bytes())
        path.chmod(0o755)
        yield str(path)


def as_nobody(binary, operator, verb="status"):
    return subprocess.run([*AS_NOBODY, binary, verb, "--json", "--socket", operator.path],
                          capture_output=True, text=True, timeout=2 * PATIENCE)


# Who.
def test_mode(new_door, operator):
    new_door(process=operator.process())
    assert stat.S_IMODE(os.stat(operator.path).st_mode) == 0o600


@needs_root
def test_others_are_kept_out_by_the_file(new_door, operator, public_binary):
    new_door(process=operator.process())
    done = as_nobody(public_binary, operator)
    assert done.returncode == NO_PROXY
    assert "permission denied" in done.stderr and "admin.allow_uids" in done.stderr


@needs_root
def test_others_are_refused_by_their_uid(new_door, operator, public_binary):
    """Even if the file lets them near; orders are not carried out."""
    door = new_door(process=operator.process(allow_uids=[1234567]))
    assert stat.S_IMODE(os.stat(operator.path).st_mode) == 0o666
    done = as_nobody(public_binary, operator, "drain")
    assert done.returncode == NO_PROXY
    assert f"refused: run it as root or as the proxy's user, or have your uid {NOBODY}" in done.stderr
    (line,) = wait_until("a line", lambda: door.proxy.lines(event="admin_refused"))
    assert line["by_uid"] == NOBODY
    assert not door.proxy.lines(event="drain")


@needs_root
def test_who_is_allowed(new_door, operator, public_binary):
    new_door(process=operator.process(allow_uids=[NOBODY]))
    done = as_nobody(public_binary, operator, "conns")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["live"] == 0


# Whose file.
def test_stale_file_is_replaced(new_door, operator):
    door = new_door(process=operator.process())
    door.proxy.kill()
    assert os.path.exists(operator.path)
    assert "no proxy answers there" in operator.run("status", code=NO_PROXY).stderr
    door.proxy.start()
    assert operator.status()["pid"] == door.proxy.process.pid


def test_live_one_is_not_taken_over(new_door, operator):
    door = new_door(process=operator.process())
    with pytest.raises(AssertionError, match="another process answers there"):
        new_door(process=operator.process())
    assert operator.status()["pid"] == door.proxy.process.pid


def test_file_of_the_next_one_stays(new_door, operator):
    """Who stops removes only what is its own."""
    door = new_door(process=operator.process())
    os.unlink(operator.path)
    later = new_door(process=operator.process())
    door.proxy.stop()
    assert operator.status()["pid"] == later.proxy.process.pid


def test_upgrade_hands_the_path_on(new_door, operator):
    """The new process answers there once it serves; the old one leaves it alone when it goes. One
    that does not come to serve changes nothing."""
    process = operator.process()
    process["top"]["reload"] = "manual"  # or the running one would take up what the next one can not
    door = new_door(process=process, timeouts={"drain": "1h"})
    with door.client("echo") as client:
        old = door.proxy.upgrade(lambda: operator.run("upgrade"))
        assert operator.status()["pid"] == door.proxy.process.pid != old.pid
        door.round_trip(client)  # of the old one, which still drains
        client.finish()
        client.expect_end("close_notify")
    assert old.wait(PATIENCE) == 0
    assert operator.status()["pid"] == door.proxy.process.pid
    assert sorted(os.listdir(os.path.dirname(operator.path))) == ["admin.sock"]
    assert stat.S_IMODE(os.stat(operator.path).st_mode) == 0o600
    taken = socket.create_server(("127.0.0.1", 0))  # an address that the next one can not have
    with taken:
        config = door.proxy.folder / "config.yaml"
        settings = json.loads(config.read_text())
        settings["listeners"][0]["listen"] = "127.0.0.1:%d" % taken.getsockname()[1]
        config.write_text(json.dumps(settings))
        door.proxy.expected_errors |= {"upgrade_failed", "start_failed"}
        assert "sallyport upgrade: " in operator.run("upgrade", code=FAILED).stderr
        wait_until("its line", lambda: door.proxy.lines(event="upgrade_failed"))
        assert operator.status()["pid"] == door.proxy.process.pid
        assert sorted(os.listdir(os.path.dirname(operator.path))) == ["admin.sock"]


@pytest.mark.parametrize("prepare, says", [
    (lambda path: path.write_text("precious"), "something that is no socket"),
    (lambda path: path.mkdir(), "something that is no socket"),
    (lambda path: path.symlink_to("/dev/null"), "something that is no socket"),
])
def test_what_is_no_socket_stays(new_door, operator, prepare, says):
    path = pathlib.Path(operator.path)
    prepare(path)
    before = os.lstat(path)
    with pytest.raises(AssertionError, match=says):
        new_door(process=operator.process())
    assert os.lstat(path).st_ino == before.st_ino


def test_folder_that_is_not_there(new_door):
    with pytest.raises(AssertionError, match="its folder is not there"):
        new_door(process=Operator("/tmp/sally-none/admin.sock").process())


def test_off(new_door):
    door = new_door()
    assert not door.proxy.lines(event="admin_socket")


def in_private_run(script):
    """Runs a shell with a /run of its own; None where that is not to be had."""
    done = subprocess.run(["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /run && exec true"],
                          capture_output=True, timeout=PATIENCE)
    if done.returncode:
        return None
    return subprocess.run(["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /run && " + script],
                          capture_output=True, text=True, timeout=4 * PATIENCE)


@needs_root
def test_usual_place(new_door):
    """Without a word in the configuration: made with its folder, found by the verbs, gone at the
    end; a second proxy starts all the same, with a warning."""
    door = new_door()
    door.proxy.stop()
    config = door.proxy.folder / "config.yaml"
    settings = json.loads(config.read_text())
    del settings["admin"]
    config.write_text(json.dumps(settings))
    second = door.proxy.folder / "second.yaml"
    second.write_text(json.dumps({**settings, "listeners": [
        {**listener, "listen": f"127.0.0.1:{free_port()}"} for listener in settings["listeners"]]}))
    script = f"""
        {BINARY} proxy -c {config} 2>/run/log1 & first=$!
        until {BINARY} conns >/dev/null 2>&1; do kill -0 $first || break; sleep 0.05; done
        stat -c %a /run/sallyport/admin.sock
        {BINARY} proxy -c {second} 2>/run/log2 & second=$!
        until grep -q started /run/log2; do kill -0 $second || break; sleep 0.05; done
        until grep -q admin_socket /run/log2; do kill -0 $second || break; sleep 0.05; done
        kill $second; wait $second; echo second $?
        {BINARY} drain; wait $first; echo first $?
        ls /run/sallyport
        grep admin_socket /run/log2
    """
    done = in_private_run(script)
    if done is None:
        pytest.skip("no mount namespaces here")
    lines = done.stdout.splitlines()
    assert lines[0] == "600", done.stdout + done.stderr
    assert "second 0" in lines and "first 0" in lines
    assert "another process answers there" in lines[-1] and '"level":"warning"' in lines[-1]
    assert not [line for line in lines if line == "admin.sock"]


# Nonsense.
def test_requests_that_are_none(new_door, operator):
    """Whatever comes, the next one who asks is answered."""
    door = new_door(process=operator.process())
    seed = random.Random(4)
    requests = [
        b"", b"\n", b"\0" * 100, b"GET", b"GET /v1/status", b"GET /v1/status HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET " + b"/" * 100000 + b" HTTP/1.1\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\n" + b"x: y\r\n" * 50000,
        b"POST /v1/kill?cn=* HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
        b"GET /v1/kill?cn=* HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v1/drain HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/conns?cn=%00%ff%fe&state=%2c%2c&limit=9999999999999999999999 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/conns?" + b"cn=a&" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"DELETE /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v2/status HTTP/1.1\r\nHost: x\r\n\r\n",
        *(seed.randbytes(seed.randrange(1, 5000)) for _ in range(30)),
    ]
    with door.echo_beside(), contextlib.ExitStack() as stack:
        for request in requests:
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(operator.path)
            sock.settimeout(PATIENCE)
            # Nobody waits for an answer: some of them never come to an end.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(request)
        assert operator.ask("conns")["live"] == 1
    assert not door.proxy.lines(event="drain")
    assert not door.proxy.lines(event="order")


def test_paths_and_methods(new_door, operator):
    new_door(process=operator.process())
    for request, code in ((b"GET /v2/status", b"404"), (b"GET /v1/kill?conn=1", b"405"),
                          (b"POST /v1/status", b"405"), (b"GET /v1/status", b"200"),
                          (b"POST /v1/kill?conn=x", b"400"), (b"POST /v1/kill", b"400"),
                          (b"POST /v1/log-level?level=", b"400"), (b"GET /v1/conns?state=x", b"400")):
        answer = operator.raw(request + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.split(b" ")[1] == code, (request, answer[:200])
        if code in (b"200", b"400"):
            json.loads(answer.split(b"\r\n\r\n", 1)[1])


def test_who_says_nothing_is_no_hindrance(new_door, operator):
    new_door(process=operator.process())
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(operator.path)
        assert operator.ask("conns")["live"] == 0


# A server that is none of ours.
@pytest.mark.parametrize("answer, says", [
    (b"", "no answer that can be used"),
    (b"220 mail.example ESMTP\r\n", "no answer that can be used"),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "of another version"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "not that of a sallyport proxy"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1, 2, 3]", "not that of a sallyport proxy"),
    (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "answer 500 without a reason"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", "no answer that can be used"),
])
def test_other_server(operator, answer, says):
    def serve():
        with listener, listener.accept()[0] as sock:
            sock.recv(65536)
            sock.sendall(answer)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(operator.path)
    listener.listen(1)
    thread = threading.Thread(target=serve)
    thread.start()
    done = operator.run("status", code=NO_PROXY)
    thread.join(PATIENCE)
    assert says in done.stderr
    assert done.stdout == ""


def test_server_that_says_nothing(operator):
    """A proxy that hangs: its kernel takes the connection all the same."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(operator.path)
        listener.listen(1)
        assert "no answer in time" in operator.run("status", code=NO_PROXY).stderr


def test_lean_status_of_another_version(operator):
    """Fields that are missing are no reason to fall over."""
    body = b'{"state": "degraded", "listeners": [{}, 3, null], "conditions": [{"severity": "x"}, 7]}'

    def serve():
        with listener, listener.accept()[0] as sock:
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(operator.path)
    listener.listen(1)
    thread = threading.Thread(target=serve)
    thread.start()
    assert "degraded" in operator.run("status", code=FAILED).stdout
    thread.join(PATIENCE)
