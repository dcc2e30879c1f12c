# SPDX-License-Identifier: Apache-2.0
"""The running proxy takes up changes of its configuration: all of it or nothing, and connections
that live do not notice."""
import contextlib
import json
import os
import shutil
import signal
import socket
import threading

import certs
import pytest
from changing import Load, end, refused, serial_of
from door import SERVER_NAME
from proxyrig import Proxy, free_port
from upstream import read_exactly
from waiting import PATIENCE, wait_until


@pytest.fixture
def live(new_door, files):
    """A door whose files may be changed."""
    return new_door(tls=files.tls(), workers=2, process={"top": {"reload": "manual"}})


def test_certificate_under_load(live, files):
    """Old connections go on byte for byte, new ones see the new certificate."""
    with Load(live) as load:
        for round_number in range(2, 6):
            with live.client("echo") as before:
                assert serial_of(before) == files.serial
                files.write_identity()
                assert live.proxy.reload()["generation"] == round_number
                with live.client("echo") as after:
                    assert serial_of(after) == files.serial != serial_of(before)
                    live.round_trip(after)
                    end(after)
                live.round_trip(before)
                end(before)
            load.moves()


def test_handshake_across_a_reload_uses_what_it_began_with(live, files):
    with live.raw("echo") as client:
        client.send_hello()
        client.read_server_flight()
        files.write_roots(files.pki.stranger)
        live.proxy.reload()
        client.raw(client.flight_records())
        live.round_trip(client)
        end(client)
    files.write_roots(files.pki.root)
    live.proxy.reload()


def test_roots(live, files, pki):
    """A root that is taken away lets nobody in any more; a new one does."""
    stranger = pki.stranger.issue("svc-stranger")
    assert refused(live, identity=stranger)
    assert not refused(live)
    with live.client("echo") as before:
        files.write_roots(pki.stranger)
        live.proxy.reload()
        assert refused(live), "who was verified under the old roots is still let in"
        with live.client("echo", identity=stranger) as client:
            live.round_trip(client)
            end(client)
        live.round_trip(before)
        end(before)
    files.write_roots(pki.root, pki.root_rsa)
    live.proxy.reload()
    assert refused(live, identity=stranger)
    assert not refused(live)


def change(door, **keys):
    """Changes keys of both listeners and reloads."""
    for listener in door.proxy.config["listeners"]:
        listener.update(keys)
    door.proxy.write_config()
    return door.proxy.reload()


def test_rules(live):
    with live.client("echo") as before:
        change(live, allow=[{"cn": "somebody else"}])
        assert refused(live)
        change(live, allow=[{"cn": "svc-a"}])
        assert not refused(live)
        change(live, deny=[{"cn": "svc-*"}])
        assert refused(live)
        change(live, deny=[{"cn": "nobody"}])
        live.round_trip(before)
        end(before)


def test_limits_count_those_of_before(live):
    clients = [live.client("echo") for _ in range(3)]
    change(live, limits={"connections": 3})
    assert refused(live)
    change(live, limits={"connections": 4})
    assert not refused(live)
    for client in clients:
        live.round_trip(client)
        end(client)


def test_timeouts(live):
    """A deadline that is running keeps its length; who comes later has the new one."""
    with live.client("echo") as before:
        change(live, timeouts={"idle": "1s"})
        with live.client("echo") as client:
            client.expect_end("close_notify")
            client.sock.close()
        assert live.line_of(client.name)["reason"] == "idle_timeout"
        live.round_trip(before)
        end(before)


def test_log_level(live):
    live.proxy.config["log"]["level"] = "warning"
    live.proxy.config["workers"] = 3  # what needs a restart is a warning: the sign that it is done
    live.proxy.write_config()
    live.proxy.reload("reload")
    with live.client("echo") as quiet:
        live.round_trip(quiet)
        end(quiet)
    live.proxy.wait_quiet()
    live.proxy.config["log"]["level"] = "info"
    live.proxy.config["workers"] = 2
    live.proxy.write_config()
    live.proxy.reload()
    with live.client("echo") as client:
        end(client)
    live.line_of(client.name)
    assert not live.proxy.lines_of(quiet.name)


def test_upstream_of_new_connections(live):
    listeners = {item["name"]: item for item in live.proxy.config["listeners"]}
    with live.client("echo") as before:
        listeners["echo"]["upstream"] = live.hand.endpoint
        live.proxy.write_config()
        live.proxy.reload()
        with live.client("echo") as client, live.hand.accept() as up:
            client.send_data(b"to the other one")
            assert read_exactly(up, 16) == b"to the other one"
            end_of_pair(client, up)
        live.round_trip(before)
        end(before)


def end_of_pair(client, up):
    client.finish()
    assert up.recv(1) == b""
    up.close()
    client.expect_end("close_notify")
    client.sock.close()


def tcp(address):
    return socket.create_connection(address, PATIENCE)


def refuses(address):
    try:
        tcp(address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it is just being closed
        pass
    return False


def test_listeners_come_and_go(live):
    """A new one serves; one that is removed takes nobody, but who is there goes on."""
    proxy = live.proxy
    extra = dict(proxy.listeners["echo"], name="extra", listen=f"127.0.0.1:{free_port()}")
    address = ("127.0.0.1", int(extra["listen"].rsplit(":", 1)[1]))
    fds = proxy.fds()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            tcp(address)
        proxy.config["listeners"].append(extra)
        proxy.listeners["extra"] = extra
        proxy.write_config()
        assert proxy.reload()["listeners"] == 3
        with live.client("extra") as client:
            live.round_trip(client)
            proxy.config["listeners"].remove(extra)
            proxy.write_config()
            assert proxy.reload()["listeners"] == 2
            # The kernel may let go of the socket a moment later.
            wait_until("the port to be closed", lambda: refuses(address))
            live.round_trip(client, 300000)
            end(client)
        assert live.line_of(client.name)["listener"] == "extra"
    assert len(proxy.lines(event="listening_ended", listener="extra")) == 3
    wait_until("the sockets to be closed", lambda: proxy.fds() <= fds)


def test_a_renamed_listener_keeps_its_socket(live):
    """The address counts: nobody is refused in between."""
    address, stop, failures = live.proxy.address("echo"), [], []

    def knock():
        while not stop:
            try:
                tcp(address).close()
            except OSError as error:
                failures.append(error)
    thread = threading.Thread(target=knock)
    thread.start()
    listener = live.proxy.config["listeners"][0]
    for name in ("a", "b", "echo"):
        listener["name"] = name
        live.proxy.write_config()
        live.proxy.reload()
    stop.append(True)
    thread.join(PATIENCE)
    assert not failures


def taken_port():
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, f"127.0.0.1:{sock.getsockname()[1]}"


def test_all_or_nothing(live, files):
    """One address of the new ones is taken: nothing of the rest is taken up either."""
    sock, listen = taken_port()
    extra = dict(live.proxy.listeners["echo"], name="extra", listen=listen)
    serial = files.serial
    with sock:
        files.write_identity()
        live.proxy.config["listeners"].append(extra)
        live.proxy.write_config()
        assert "another program listens there" in live.proxy.reload("reload_failed")["msg"]
        with live.client("echo") as client:
            assert serial_of(client) == serial
            end(client)
    live.proxy.reload()  # the port is free now
    with live.client("echo") as client:
        assert serial_of(client) == files.serial
        end(client)
    live.proxy.config["listeners"].remove(extra)
    live.proxy.write_config()
    live.proxy.reload()


def half_a_certificate(files):
    text = open(files.certificate, "rb").read()
    open(files.certificate, "wb").write(text[: len(text) // 3])


def empty_roots(files):
    files.roots.write_bytes(b"")


def another_key(files):
    identity = files.identity()
    identity.key = certs.new_key("ec-p256")
    certificate = files.certificate
    shutil.copy(certificate, certificate + ".kept")
    identity.write(files.folder, "own")
    os.rename(certificate + ".kept", certificate)


def readable_key(files):
    os.chmod(files.key, 0o644)


def no_key(files):
    os.unlink(files.key)


def expired(files):
    files.write_identity(files.pki.intermediate.issue(
        "broker-1", dns=[SERVER_NAME], usage="server", not_before=certs.now() - 9 * certs.DAY,
        not_after=certs.now() - certs.DAY,
    ))


@pytest.mark.parametrize("spoil", [half_a_certificate, empty_roots, another_key, readable_key,
                                   no_key, expired])
def test_bad_files_change_nothing(live, files, spoil):
    serial = files.serial
    with live.client("echo") as before:
        spoil(files)
        assert "the old configuration stays in force" in live.proxy.reload("reload_failed")["msg"]
        with live.client("echo") as client:
            assert serial_of(client) == serial
            live.round_trip(client)
            end(client)
        live.round_trip(before)
        end(before)
    files.write_identity()
    files.write_roots(files.pki.root)
    os.chmod(files.key, 0o600)
    live.proxy.reload()
    with live.client("echo") as client:
        assert serial_of(client) == files.serial
        end(client)


@pytest.mark.parametrize("text, told", [
    ("listeners: [", "config.yaml:2:1: not valid YAML"),
    ("", "config.yaml"),
    (json.dumps({"listeners": [{"name": "x"}]}), "listeners[0]"),
    (None, "can not open the file"),
])
def test_bad_configuration_changes_nothing(live, text, told):
    path = live.proxy.folder / "config.yaml"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    assert told in live.proxy.reload("reload_failed")["msg"]
    with live.client("echo") as client:
        live.round_trip(client)
        end(client)
    live.proxy.write_config()
    live.proxy.reload()


def test_what_needs_a_restart_is_named(live):
    live.proxy.config.update(workers=7, loop="auto", metrics={"listen": "127.0.0.1:1"})
    live.proxy.config["log"]["format"] = "text"
    change(live, allow=[{"cn": "nobody"}])
    line = wait_until("a warning", lambda: live.proxy.lines(event="reload"))[0]
    assert line["level"] == "warning"
    assert line["msg"].startswith("workers, loop, log.format, metrics.listen: changed, but needs")
    assert refused(live)  # the rest is in force


def test_storm_of_signals(live, files):
    """Reloads one after another while clients come and go; nobody is lost."""
    with Load(live, 4) as load:
        for _ in range(40):
            live.proxy.signal(signal.SIGHUP)
            with live.client("echo") as client:
                live.round_trip(client)
                end(client)
        load.moves()
    live.proxy.totals()  # a later signal has been answered: the last SIGHUP has been, too
    files.write_identity()
    live.proxy.reload()
    with live.client("echo") as client:
        assert serial_of(client) == files.serial
        end(client)


def test_while_draining(new_door, files):
    """The configuration is left alone then; the drain goes on."""
    door = new_door(tls=files.tls(), timeouts={"drain": "1h"},
                    process={"top": {"reload": "manual"}})
    with door.client("echo") as client:
        door.proxy.signal(signal.SIGTERM)
        wait_until("the drain to begin", lambda: door.proxy.lines(event="drain"))
        assert "draining" in door.proxy.reload("reload_failed")["msg"]
        door.round_trip(client)
        end(client)
    assert door.proxy.wait() == 0


def test_unix_socket(tmp_path, files, live, loop):
    """Its file stays as long as it is listened on, and goes with the listener."""
    path = tmp_path / "door.sock"
    listener = dict(live.proxy.listeners["echo"], name="unix", listen=f"unix:{path}")
    keep = dict(live.proxy.listeners["echo"], name="keep", listen=f"127.0.0.1:{free_port()}")
    proxy = Proxy(tmp_path / "unix", [listener, keep], loop=loop, top={"reload": "manual"})
    with contextlib.closing(live.echo):
        proxy.start()
        try:
            inode = path.stat().st_ino
            proxy.reload()
            assert path.stat().st_ino == inode
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
            proxy.config["listeners"].remove(listener)
            proxy.write_config()
            proxy.reload()
            assert not path.exists()
            proxy.stop()
        finally:
            proxy.kill()


def test_old_snapshots_are_freed(live):
    """Memory and descriptors do not grow with the number of changes."""
    for _ in range(20):
        live.proxy.reload()
    fds, memory = live.proxy.fds(), live.proxy.memory_kib()
    for _ in range(150):
        live.proxy.reload()
    wait_until("the descriptors of before", lambda: live.proxy.fds() <= fds)
    assert live.proxy.memory_kib() <= memory + 4096
