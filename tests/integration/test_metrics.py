# SPDX-License-Identifier: Apache-2.0
"""Metrics and health of a running proxy: what is counted, by which names, and that whoever asks can
not hurt the data plane."""
import contextlib
import ctypes
import os
import pathlib
import re
import signal
import socket

import pytest
import scrape
from cryptography import x509
from door import plain_connect, reset_or_fin
from proxyrig import REPO, TRANSPORT, free_port
from waiting import PATIENCE, wait_until

HTTP_CONNECTIONS_MAX = 64  # of limits.h


@pytest.fixture(scope="module")
def door_options():
    return {"metrics": f"127.0.0.1:{free_port()}", "workers": 2,
            "process": {"top": {"clients": {"groups": [{"name": "batch"}]}}}}


class Moved:
    """What has changed since; zeros are left out."""

    def __init__(self, proxy):
        self.proxy, self.before = proxy, proxy.metrics()

    def by(self, name, **labels):
        return self.proxy.metrics().value(name, **labels) - self.before.value(name, **labels)

    def wait(self, amount, name, **labels):
        wait_until(lambda: f"{name} {labels} to move by {amount}, not {self.by(name, **labels)}",
                   lambda: self.by(name, **labels) == amount)


def live(proxy, **labels):
    return proxy.metrics().value("sallyport_connections", **labels)


# Form.
def test_format(door):
    metrics = door.proxy.metrics()
    for name, family in metrics.families.items():
        assert family.help and family.help[-1] == ".", name
        assert family.samples, name
        assert (family.type == "counter") == name.endswith("_total"), name
        assert name.startswith(("sallyport_", "process_", "x509_cert_")), name
        if family.type == "histogram":
            check_histogram(name, family)
    for name in ("sallyport_connections", "sallyport_connections_closed_total"):
        assert metrics.families[name].values("listener") == {"echo", "hand"}


def check_histogram(name, family):
    assert name.endswith("_seconds")
    series = {}
    for (sample, labels), value in family.samples.items():
        rest = frozenset((k, v) for k, v in labels if k != "le")
        bounds = [float(v) for k, v in labels if k == "le"]
        series.setdefault(rest, {})[bounds[0] if bounds else sample] = value
    for values in series.values():
        count, total = values.pop(f"{name}_count"), values.pop(f"{name}_sum")
        counts = [values[bound] for bound in sorted(values)]
        assert counts == sorted(counts) and counts[-1] == count and max(values) == float("inf")
        assert total >= 0


def test_http(door):
    address = door.proxy.metrics_address
    assert scrape.get(address, "/livez")[0::2] == (200, "ok\n")
    assert scrape.get(address, "/readyz")[0::2] == (200, "ok\n")
    assert scrape.get(address, "/")[0] == 404
    assert scrape.get(address, "/metrics", "POST")[0] == 405
    status, headers, text = scrape.get(address, "/metrics", "HEAD")
    assert (status, text) == (200, "") and int(headers["Content-Length"]) > 10000


# Counters.
def test_a_connection(door):
    moved = Moved(door.proxy)
    with door.client("echo") as client:
        door.round_trip(client, 5000)
        assert live(door.proxy, listener="echo", state="relay") == 1
        wait_until("it to be the only one",  # a worker may not be through with the one before
                   lambda: door.proxy.metrics().value("sallyport_worker_connections") == 1)
        client.finish()
        client.expect_end("close_notify")
    moved.wait(1, "sallyport_connections_closed_total", listener="echo", reason="client_closed")
    assert moved.by("sallyport_connections_accepted_total", listener="echo") == 1
    assert moved.by("sallyport_handshakes_total", listener="echo", transport=TRANSPORT) == 1
    assert moved.by("sallyport_tls_sessions_total", listener="echo", version="1.3") == 1
    assert moved.by("sallyport_handshake_duration_seconds_count", listener="echo") == 1
    assert moved.by("sallyport_upstream_connect_duration_seconds_count", listener="echo") == 1
    for direction in ("in", "out"):
        assert moved.by("sallyport_relayed_bytes_total", listener="echo", direction=direction,
                        transport=TRANSPORT) == 5000
    # Nothing is counted twice, or of another listener.
    assert moved.by("sallyport_connections_closed_total") == 1
    assert moved.by("sallyport_relayed_bytes_total") == 10000
    assert moved.by("sallyport_connections_accepted_total", listener="hand") == 0
    assert moved.by("sallyport_handshake_failures_total") == 0
    assert live(door.proxy) == 0


def test_refusals(door):
    moved = Moved(door.proxy)
    with door.client("hand", None) as client:
        client.expect_end("certificate_required")
    sock, name = plain_connect(door)
    with sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        reset_or_fin(sock)
    moved.wait(1, "sallyport_connections_closed_total", listener="hand", reason="handshake_failed")
    moved.wait(1, "sallyport_connections_closed_total", listener="hand", reason="plaintext_http")
    assert moved.by("sallyport_handshake_failures_total", listener="hand",
                    reason="no_certificate") == 1
    assert moved.by("sallyport_handshake_failures_total") == 1
    assert moved.by("sallyport_connections_closed_total") == 2
    assert moved.by("sallyport_handshakes_total") == 0
    door.line_of(name)


def test_states(door):
    sock, _ = plain_connect(door)
    with sock:
        wait_until("a connection in its handshake",
                   lambda: live(door.proxy, listener="hand", state="handshake") == 1)
    wait_until("it to go", lambda: live(door.proxy) == 0)


def test_held_bytes(door):
    """A client that does not read: what the socket does not take is held, and given back."""
    client, up = door.pair()
    with client, up, contextlib.suppress(BlockingIOError):
        up.setblocking(False)
        while True:
            up.send(bytes(1 << 16))
    # Both are closed by now; and what was held while they were not is gone.
    wait_until("held bytes to be given back",
               lambda: door.proxy.metrics().value("sallyport_held_bytes") == 0)


def test_held_bytes_while_held(door):
    client, up = door.pair()
    with client, up:
        up.setblocking(False)
        full = 0
        while full < 50:  # the proxy takes some more after each pause
            try:
                up.send(bytes(1 << 16))
                full = 0
            except BlockingIOError:
                full += 1
                door.proxy.metrics()
        if TRANSPORT == "aead":
            assert door.proxy.metrics().value("sallyport_held_bytes") > 0
        client.reset()


def test_totals_agree(door):
    """The log's totals and the sums over listeners are the same numbers."""
    with door.client("echo") as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    door.line_of(client.name)
    wait_until("all to be gone", lambda: live(door.proxy) == 0)
    totals, metrics = door.proxy.totals(), door.proxy.metrics()
    assert metrics.value("sallyport_connections_accepted_total") == totals["accepted"]
    assert metrics.value("sallyport_connections_closed_total") == totals["accepted"]
    assert metrics.value("sallyport_handshakes_total") == totals["handshakes"]
    assert metrics.value("sallyport_tls_sessions_total") == totals["handshakes"]
    assert metrics.value("sallyport_relayed_bytes_total", direction="in") == totals["bytes_in"]
    assert metrics.value("sallyport_relayed_bytes_total", direction="out") == totals["bytes_out"]


def test_certificates(door):
    metrics = door.proxy.metrics()
    expected = {"leaf": [door.pki.server_files()[0]], "root": door.pki.root_files}
    for usage, files in expected.items():
        certificates = [x509.load_pem_x509_certificate(pathlib.Path(f).read_bytes()) for f in files]
        first = min(certificates, key=lambda c: c.not_valid_after)
        for listener in ("echo", "hand"):
            assert seconds(first.not_valid_after) == metrics.value(
                "x509_cert_not_after", listener=listener, usage=usage)
    leaf = x509.load_pem_x509_certificate(pathlib.Path(expected["leaf"][0]).read_bytes())
    assert metrics.value("x509_cert_not_before", listener="echo", usage="leaf",
                         subject_CN="broker-1", issuer_CN="Test intermediate",
                         serial_number=f"{leaf.serial_number:x}".zfill(
                             (leaf.serial_number.bit_length() + 7) // 8 * 2)
                         ) == seconds(leaf.not_valid_before)


def test_no_peer_makes_a_series(door):
    """Whoever comes, and whatever his name is: the same series as before, but for those of clients, of which
    there are as many as `metrics.clients` allows (test_limits_view.py)."""
    def series():
        return {sample for family in door.proxy.metrics().families.values() if "client" not in family.labels
                for sample in family.samples}
    before = series()
    for cn in ("somebody", 'x"} 1', "somebody else"):
        with door.client("hand", door.pki.intermediate.issue(cn), server_name="no.such.name") as client:
            with door.hand.accept():
                client.reset()
    sock, _ = plain_connect(door)
    with sock:
        sock.sendall(b"no TLS at all\r\n\r\n")
        reset_or_fin(sock)
    wait_until("all to be gone", lambda: live(door.proxy) == 0)
    assert series() == before


def seconds(naive_utc):
    return (naive_utc - type(naive_utc)(1970, 1, 1)).total_seconds()


def test_process(door):
    metrics = door.proxy.metrics()
    assert abs(metrics.value("process_open_fds") - door.proxy.fds()) <= 2  # the scrape's own
    started = metrics.value("process_start_time_seconds")
    stat = os.stat(f"/proc/{door.proxy.process.pid}").st_mtime  # not before its start
    assert 0 < started <= stat + 1
    assert metrics.value("sallyport_workers", loop=door.loop) == 2
    assert metrics.value("process_resident_memory_bytes") > 1 << 20


def test_log_and_audit(new_door, tmp_path):
    door = new_door(metrics=f"127.0.0.1:{free_port()}",
                    process={"top": {"audit": {"file": str(tmp_path / "audit")}}})
    moved = Moved(door.proxy)
    with door.client("echo") as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    moved.wait(2, "sallyport_audit_records_total")  # opened, closed
    moved.wait(1, "sallyport_log_lines_total", result="written")
    metrics = door.proxy.metrics()
    assert metrics.value("sallyport_audit_records_lost_total") == 0
    assert metrics.value("sallyport_audit_failing") == 0
    assert metrics.value("sallyport_log_lines_total", result="lost") == 0


# Life.
def test_upstream_failures(new_proxy, pki):
    proxy = new_proxy([{"name": "nobody", "upstream": f"127.0.0.1:{free_port()}", "role": "front",
                        "tls": pki.tls()}], metrics=f"127.0.0.1:{free_port()}")
    moved = Moved(proxy)
    context = pki.context(pki.client)
    with socket.create_connection(proxy.address(), PATIENCE) as sock, \
            context.wrap_socket(sock, server_hostname="broker-1.test.example") as tls:
        assert tls.recv(1) == b""
    moved.wait(1, "sallyport_upstream_connect_failures_total", listener="nobody")
    assert moved.by("sallyport_upstream_connect_duration_seconds_count", listener="nobody") == 0


def test_draining(new_door):
    door = new_door(metrics=f"127.0.0.1:{free_port()}")
    address = door.proxy.metrics_address
    with door.client("echo") as client:
        door.round_trip(client)
        door.proxy.signal(signal.SIGTERM)
        wait_until("it to drain", lambda: scrape.get(address, "/readyz")[0] == 503)
        assert scrape.get(address, "/readyz")[2] == "draining: no new connections are taken\n"
        assert scrape.get(address, "/livez")[0] == 200
        assert door.proxy.metrics().value("sallyport_ready") == 0
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    assert door.proxy.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        scrape.get(address)


def metrics_since(door, before):
    """Those of a process that was started later; None while there are none."""
    with contextlib.suppress(OSError):
        metrics = door.proxy.metrics()
        return metrics if metrics.value("process_start_time_seconds") > before else None


def test_upgrade(new_door):
    """The new process answers at the same address as soon as the old one has given way."""
    door = new_door(metrics=f"127.0.0.1:{free_port()}")
    before = door.proxy.metrics().value("process_start_time_seconds")
    old = door.proxy.process
    with door.client("echo") as client:
        door.round_trip(client)
        door.proxy.upgrade()
        after = wait_until("the new one's metrics", lambda: metrics_since(door, before))
        door.proxy.base_fds = door.proxy.fds()
        assert after.value("sallyport_ready") == 1
        assert scrape.get(door.proxy.metrics_address, "/readyz")[0] == 200
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    wait_until("the old process to end", lambda: old.poll() is not None)
    assert not door.proxy.lines(event="metrics_off")


def test_reload(new_door):
    """Counters of a listener go on when the configuration changes."""
    door = new_door(metrics=f"127.0.0.1:{free_port()}")
    with door.client("echo") as client:
        door.round_trip(client)
        moved = Moved(door.proxy)
        door.proxy.config["listeners"][0]["limits"] = {"connections": 77}
        door.proxy.write_config()
        door.proxy.reload()
        door.round_trip(client)
        assert live(door.proxy, listener="echo", state="relay") == 1
        client.finish()
        client.expect_end("close_notify")
    moved.wait(1, "sallyport_connections_closed_total", listener="echo", reason="client_closed")
    assert moved.by("sallyport_relayed_bytes_total", listener="echo", direction="in") == 3000
    metrics = door.proxy.metrics()
    assert metrics.value("sallyport_connections_limit", listener="echo") == 77
    assert moved.by("sallyport_config_reloads_total", result="success") >= 1
    assert moved.by("sallyport_config_last_reload_success_timestamp_seconds") > 0
    door.proxy.config["listeners"][0]["limits"] = {"connections": 0}
    door.proxy.write_config()
    door.proxy.reload("reload_failed")
    assert moved.by("sallyport_config_reloads_total", result="failure") >= 1
    assert door.proxy.metrics().value("sallyport_config_last_reload_successful") == 0
    assert door.proxy.metrics().value("sallyport_connections_limit", listener="echo") == 77


@contextlib.contextmanager
def held(tid):
    """One thread stands still."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    ptrace.restype = ctypes.c_long
    seize, interrupt, detach = 0x4206, 0x4207, 17
    if ptrace(seize, tid, None, None) < 0:
        pytest.skip(f"a thread can not be held here: {os.strerror(ctypes.get_errno())}")
    try:
        assert ptrace(interrupt, tid, None, None) == 0
        assert os.waitpid(tid, 0x40000000)[0] == tid  # __WALL
        yield
    finally:
        ptrace(detach, tid, None, None)


def thread(proxy, name):
    for comm in pathlib.Path(f"/proc/{proxy.process.pid}/task").glob("*/comm"):
        if comm.read_text().strip() == name:
            return int(comm.parent.name)
    raise AssertionError(f"no thread is called {name}")


def test_a_worker_that_hangs(door):
    address = door.proxy.metrics_address
    with held(thread(door.proxy, "worker-1")):
        assert scrape.get(address, "/livez")[0::2] == (503, "worker 1 does not answer\n")
        assert scrape.get(address, "/readyz")[0] == 200
        door.proxy.metrics()
    wait_until("it to answer again", lambda: scrape.get(address, "/livez")[0] == 200)


# Addresses.
def test_off(new_door):
    door = new_door()
    names = {p.read_text().strip()
             for p in pathlib.Path(f"/proc/{door.proxy.process.pid}/task").glob("*/comm")}
    assert "metrics" not in names


def test_default_address_is_taken(new_proxy, pki, door):
    with socket.socket() as other:
        with contextlib.suppress(OSError):  # else somebody else has it, which will do as well
            other.bind(("127.0.0.1", 9464))
            other.listen()
        proxy = new_proxy([{"name": "a", "upstream": "127.0.0.1:9", "tls": pki.tls()}],
                          metrics=None)
        (line,) = proxy.expect(event="metrics_off")
    assert line["level"] == "warning"
    assert "127.0.0.1:9464" in line["msg"] and "set metrics.listen" in line["msg"]


def test_chosen_address_is_taken(new_proxy, pki):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(AssertionError, match="did not start") as failure:
            new_proxy([{"name": "a", "upstream": "127.0.0.1:9", "tls": pki.tls()}],
                      metrics=address)
    assert f"metrics.listen: can not listen on {address}" in str(failure.value)
    assert "another program listens there" in str(failure.value)


# Rude clients.
def send_all_at_once(sock, data):
    with contextlib.suppress(OSError):
        sock.sendall(data)


def test_rude_clients(door):
    """Silent ones, slow ones and long-winded ones, more than there is room for: the data plane does
    not notice, and others are served when the rude ones' time is up."""
    with door.echo_beside() as beside, contextlib.ExitStack() as stack:
        rude = [stack.enter_context(socket.create_connection(door.proxy.metrics_address, PATIENCE))
                for _ in range(HTTP_CONNECTIONS_MAX + 20)]
        for sock in rude[:30]:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
        for sock in rude[30:40]:
            send_all_at_once(sock, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100000)
        for _ in range(20):
            door.round_trip(beside)
        assert scrape.get(door.proxy.metrics_address, "/readyz")[0] == 200
        door.round_trip(beside)


def test_out_of_descriptors(new_door):
    """When none is left one can still ask why nobody gets in."""
    door = new_door(nofile=60, metrics=f"127.0.0.1:{free_port()}")
    door.proxy.metrics()  # and the one that is kept is there
    waiting = [plain_connect(door, "echo")[0] for _ in range(80)]
    wait_until("the proxy to notice", lambda: door.proxy.lines(event="accept_backoff"))
    metrics = door.proxy.metrics()
    assert metrics.value("sallyport_accept_pauses_total", listener="echo") >= 1
    assert metrics.value("process_open_fds") >= metrics.value("process_max_fds") - 1
    for sock in waiting:
        sock.close()


# Documents.
def documented(heading):
    """Rows of the table that begins with | heading |."""
    text = (REPO / "docs" / "metrics.md").read_text()
    table = text[text.index(f"| {heading} |"):].split("\n\n")[0].splitlines()[2:]
    return [re.split(r"\s*\|\s*", row)[1:-1] for row in table]


def test_documentation(door):
    """The page has every family, with its type and its labels, in the order of the scrape."""
    families = door.proxy.metrics().families
    rows = documented("metric")
    assert [row[0].strip("`") for row in rows] == list(families)
    for name, kind, labels, meaning, *_ in rows:
        family = families[name.strip("`")]
        assert kind == family.type, name
        assert set(re.findall(r"`(\w+)`", labels)) == family.labels, name
        assert meaning.endswith("."), name
    for reason in re.findall(r"`(\w+)`", " ".join(r[4] for r in rows if "_closed_" in r[0])):
        assert reason in families["sallyport_connections_closed_total"].values("reason"), reason
