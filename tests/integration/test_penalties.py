# SPDX-License-Identifier: Apache-2.0
"""Sources whose handshakes fail are shut out for a while, and ceilings that turn away whoever is
one too many. Clients come from several addresses of the loopback network."""
import contextlib

import certs
import pytest
import rawtls
from door import Door, plain_connect, reset_or_fin
from rawtls import Ended
from waiting import wait_until

HOUR = {"max": "1h", "min": "1s", "exempt": ["127.0.0.1"]}
# One failure of any kind shuts the door for the rest of the test.
AT_ONCE = {**HOUR, **{kind: "1h" for kind in
                      ("not_tls", "certificate", "handshake", "denied", "timeout", "left")}}


def is_refused(door, source, listener="echo"):
    """Closed at accept, without a byte."""
    sock, _ = plain_connect(door, listener, source)
    with sock:
        return reset_or_fin(sock) == b""


def fail_without_certificate(door, source, listener="echo"):
    with door.raw(listener, None, source=source) as client, contextlib.suppress(OSError, Ended):
        client.handshake()
        client.read_end()
    return client.name


def test_shut_out(new_door):
    """The source and nobody else; those who are inside stay; on every listener."""
    door = new_door(workers=2, process={"top": {"penalties": AT_ONCE}})
    with door.client("echo", source="127.0.0.2") as inside:
        door.round_trip(inside)
        with door.proxy.counted(no_certificate=1, handshake_failed=1):
            fail_without_certificate(door, "127.0.0.2")
        with door.proxy.counted(penalty=6):
            for _ in range(3):
                assert is_refused(door, "127.0.0.2", "echo")
                assert is_refused(door, "127.0.0.2", "hand")
        assert door.works("127.0.0.3")
        assert door.works("127.0.0.1")
        door.round_trip(inside)
        inside.finish()
        inside.expect_end("close_notify")
    (line,) = door.proxy.lines(event="penalty")
    assert line["client"].startswith("127.0.0.2:") and line["listener"] == "echo", line
    assert line["seconds"] == 3600 and line["level"] == "warning", line
    lines = door.proxy.lines(event="refused", reason="penalty")
    assert lines and all(line["client"].startswith("127.0.0.2:") for line in lines)
    assert sum(line["count"] for line in lines) <= 6


def test_adds_up_and_runs_off(new_door):
    """Some failures are free; who is shut out may come again when it is over."""
    door = new_door(process={"top": {"penalties": {
        "max": "1m", "min": "4s", "certificate": "3s", "exempt": []}}})
    fail_without_certificate(door, "127.0.0.2")
    assert not door.proxy.lines(event="penalty")

    def fails_once_more():
        with contextlib.suppress(OSError):
            fail_without_certificate(door, "127.0.0.2")
        return door.proxy.lines(event="penalty")
    wait_until("the door to close", fails_once_more)
    wait_until("the door to open", lambda: door.works("127.0.0.2"))


@pytest.fixture(scope="module")
def door_options():
    return {
        "process": {"top": {"penalties": AT_ONCE}},
        "timeouts": {"handshake": "3s"},
        "deny": [{"cn": "svc-denied"}],
        "tls_more": {"alpn": ["kafka"]},
    }


@pytest.fixture(scope="module")
def module_door(loop, pki, tmp_path_factory, door_options):
    options = dict(door_options)
    door = Door(tmp_path_factory.mktemp("door"), pki, loop,
                tls=pki.tls(**options.pop("tls_more")), **options)
    try:
        door.start()
        yield door
        door.proxy.stop()
    finally:
        door.proxy.kill()
        door.close()


def fail_by_garbage(door, source):
    sock, name = plain_connect(door, "echo", source)
    with sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        reset_or_fin(sock)
    return name


def fail_by_timeout(door, source):
    sock, name = plain_connect(door, "echo", source)
    with sock:
        reset_or_fin(sock)
    return name


def fail_by_leaving(door, source):
    with door.raw("echo", source=source) as client:
        client.send_hello()
        client.read_server_flight()
        rawtls.reset(client.sock)
    return client.name


def fail_by_protocol(door, source):
    with door.raw("echo", source=source, alpn=["h2"]) as client:
        client.send_hello()
        client.expect_end("no_application_protocol", encrypted=False)
    return client.name


def fail_by_rules(door, source):
    denied = door.pki.intermediate.issue("svc-denied")
    with door.raw("echo", denied, source=source) as client:
        client.handshake()
        client.expect_end("access_denied")
    return client.name


def fail_by_stranger(door, source):
    stranger = certs.Authority("Test root of strangers").issue("svc-a")
    with door.raw("echo", stranger, source=source) as client, contextlib.suppress(OSError, Ended):
        client.handshake()
        client.read_end()
    return client.name


@pytest.mark.parametrize("number,fail", enumerate([
    fail_by_garbage, fail_by_timeout, fail_by_leaving, fail_by_protocol, fail_by_rules,
    fail_by_stranger, fail_without_certificate], 10))
def test_kinds(door, number, fail):
    """Each kind of failure costs."""
    source = f"127.0.0.{number}"
    assert door.works(source)
    door.line_of(fail(door, source))
    refused = door.proxy.totals().get("penalty", 0)
    assert is_refused(door, source)
    assert door.proxy.totals()["penalty"] == refused + 1
    assert door.works(f"127.0.1.{number}")


def test_reload(new_door):
    """Other rules are in force at once; the size of the table waits for a restart."""
    door = new_door(workers=2, process={"top": {"penalties": AT_ONCE}})
    door.line_of(fail_without_certificate(door, "127.0.0.2"))
    assert is_refused(door, "127.0.0.2")
    door.proxy.config["penalties"] = {**AT_ONCE, "exempt": ["127.0.0.0/8"], "sources": 1000}
    door.proxy.write_config()
    door.proxy.reload()
    assert door.works("127.0.0.2")
    assert any("penalties.sources" in line["msg"] for line in door.proxy.expect(event="reload"))
    door.proxy.config["penalties"] = AT_ONCE
    door.proxy.write_config()
    door.proxy.reload()
    assert is_refused(door, "127.0.0.2")


def test_health_checks_are_free(door):
    """A port that is opened and closed again, without a byte."""
    for _ in range(20):
        sock, _ = plain_connect(door, "echo", "127.0.0.5")
        sock.close()
    assert door.works("127.0.0.5")


def test_exempt(door):
    for _ in range(5):
        fail_without_certificate(door, "127.0.0.1")
    assert door.works("127.0.0.1")


def test_connections_per_source(new_door):
    door = new_door(workers=2, limits={"connections_per_source": 2})
    clients = [door.client("echo", source="127.0.0.2") for _ in range(2)]
    with door.proxy.counted(limit_source=3):
        for _ in range(3):
            assert is_refused(door, "127.0.0.2")
    assert door.works("127.0.0.3")
    clients[0].reset()
    wait_until("room for one more", lambda: door.works("127.0.0.2"))
    clients[1].reset()


def test_accepts_per_second(new_door):
    """Of many at once some are turned away; later there is room again."""
    door = new_door(workers=2, limits={"accepts_per_second": 2})
    socks = [plain_connect(door, "echo")[0] for _ in range(100)]
    lines = door.proxy.expect(event="refused", reason="limit_accept_rate")
    told = sum(line["count"] for line in lines)  # and more may follow
    assert told <= door.proxy.totals()["limit_accept_rate"]
    for sock in socks:
        sock.close()
    wait_until("room for one more", lambda: door.works("127.0.0.3"))


def test_memory(new_door):
    """Handshakes in flight hold memory: beyond the ceiling nobody else comes in, until it is
    free again."""
    door = new_door(workers=2, process={"top": {"limits": {"memory": "1MiB"}}})
    half_open = []
    while not door.proxy.totals().get("limit_memory"):
        assert len(half_open) < 100
        with contextlib.suppress(OSError, Ended):
            client = door.raw("echo")
            half_open.append(client)
            client.send_hello()
            client.read_server_flight()
    assert 14 <= len(half_open) <= 20
    door.proxy.expect(event="refused", reason="limit_memory")
    for client in half_open:
        client.sock.close()
    wait_until("room for one more", lambda: door.works("127.0.0.1"))
