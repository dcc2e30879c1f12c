# SPDX-License-Identifier: Apache-2.0
"""The egress role: plain clients on this host, TLS to a server that wants our certificate; and two
proxies in a row."""
import os
import socket
import ssl
import threading

import certs
import pytest
import rawtls
import tlswire as wire
from adminrig import Operator, socket_folder
from door import SERVER_NAME
from proxyrig import KTLS, TRANSPORT, Proxy
from rawserver import RawServer
from upstream import Manual, end_of, read_exactly, read_to_end
from waiting import PATIENCE, wait_until


def client_tls(pki):
    """The `tls` section of an egress listener."""
    crt, key = pki.write(pki.client)
    return {"certificate": crt, "key": key, "roots": pki.root_files, "server_name": SERVER_NAME,
            "alpn": ["kafka"]}


class Egress:
    """An egress listener before a Manual service, whose connections speak TLS as a test wishes."""

    def __init__(self, folder, pki, loop, handshake="10m", process=None):
        self.pki, self.service = pki, Manual()
        self.server = pki.intermediate.issue("broker-1", dns=[SERVER_NAME], usage="server")
        self.listener = {
            "name": "out",
            "role": "egress",
            "upstream": self.service.endpoint,
            "tls": client_tls(pki),
            "timeouts": {"handshake": handshake, "linger": "300ms"},
        }
        self.proxy = Proxy(folder, [self.listener], loop=loop, workers=1, **(process or {}))

    def connect(self):
        """A plain client, its name in the log, and the accepted TCP connection of the service."""
        sock = rawtls.connect(self.proxy.address())
        name = rawtls.text_of(sock.getsockname())
        self.proxy.note(name)
        return sock, name, self.service.accept()

    def pair(self, **how):
        """Both ends, the handshake done."""
        sock, name, up = self.connect()
        return sock, name, RawServer(up, self.server).handshake(**how)


@pytest.fixture(scope="module")
def module_egress(loop, pki, tmp_path_factory):
    egress = Egress(tmp_path_factory.mktemp("egress"), pki, loop)
    try:
        egress.proxy.start()
        with egress.proxy.first_connection():
            sock, name, server = egress.pair()
            sock.close()
            server.expect_end("close_notify")
            server.sock.close()
            egress.proxy.line_of(name)
        yield egress
        egress.proxy.stop()
    finally:
        egress.proxy.kill()
        egress.service.close()


@pytest.fixture
def egress(module_egress):
    yield module_egress
    assert module_egress.proxy.running()
    module_egress.service.idle()
    module_egress.proxy.wait_quiet()
    module_egress.proxy.check_log()


@pytest.fixture
def operated(loop, pki, tmp_path):
    """An egress of the test's own, and its operator."""
    with socket_folder() as folder:
        operator = Operator(folder / "admin.sock")
        egress = Egress(tmp_path, pki, loop, process=operator.process())
        try:
            egress.proxy.start()
            yield egress, operator
            egress.proxy.stop()
        finally:
            egress.proxy.kill()
            egress.service.close()


def test_killed_by_an_operator(operated):
    """The server is told by an alert, the plain client by a reset; before there are keys too."""
    egress, operator = operated
    sock, name, server = egress.pair()
    with sock, server:
        (conn,) = operator.conns("--cn", "broker-1", "--transport", TRANSPORT)
        assert (conn["client"], conn["client_transport"]) == (name, "plain")
        operator.run("kill", "--cn", "broker-1")
        server.expect_end("access_denied")
        assert end_of(sock) == "reset"
    assert egress.proxy.line_of(name)["reason"] == "killed"
    sock, name, up = egress.connect()
    with sock, up:
        (conn,) = wait_until("its handshake", lambda: operator.conns("--state", "handshake"))
        operator.run("kill", conn["conn"])
        assert end_of(sock) == "reset"
    assert egress.proxy.line_of(name)["reason"] == "killed"


def test_handshake_and_both_directions(egress):
    with egress.proxy.counted(client_closed=1):
        sock, name, server = egress.pair(alpn="kafka")
        with sock, server:
            assert server.server_name == SERVER_NAME and server.offered_alpn == ["kafka"]
            assert server.client_chain == egress.pki.client.chain_der()
            data = os.urandom(500000)
            threading.Thread(target=sock.sendall, args=(data,)).start()
            assert server.read_data(len(data)) == data
            threading.Thread(target=server.send_data, args=(data,)).start()
            assert read_exactly(sock, len(data)) == data
            sock.shutdown(socket.SHUT_WR)
            server.expect_end("close_notify")
            server.send_data(b"late")
            server.finish()
            assert read_to_end(sock) == b"late"
        line = egress.proxy.line_of(name)
    expected = {
        "listener": "out",
        "cn": "broker-1",
        "issuer": "Test intermediate",
        "serial": egress.server.serial,
        "alpn": "kafka",
        "tls": "1.3",
        "client_transport": "plain",
        "upstream_transport": TRANSPORT,
        "bytes_in": 500000,
        "bytes_out": 500004,
        "reason": "client_closed",
    }
    assert {k: line.get(k) for k in expected} == expected


def test_server_ends_first(egress):
    with egress.proxy.counted(upstream_closed=1):
        sock, _, server = egress.pair()
        with sock, server:
            server.send_data(b"last words")
            server.finish()
            assert read_to_end(sock) == b"last words"
            sock.sendall(b"still talking")
            sock.shutdown(socket.SHUT_WR)
            server.expect_end("close_notify")
            assert bytes(server.data) == b"still talking"


def test_server_without_close_notify(egress):
    with egress.proxy.counted(peer_truncated=1):
        sock, _, server = egress.pair()
        with sock, server:
            server.sock.shutdown(socket.SHUT_WR)
            assert read_to_end(sock) == b""
            sock.shutdown(socket.SHUT_WR)
            server.expect_end("close_notify")


def test_tickets_are_harmless(egress):
    """Some with data, some cut over records, many."""
    sock, _, server = egress.pair()
    with sock, server:
        ticket = wire.message(
            wire.TICKET, bytes(8) + wire.vec(1, bytes(8)) + wire.vec(2, bytes(1000)) + b"\0\0"
        )
        server.send(wire.HANDSHAKE, ticket)
        server.send(wire.HANDSHAKE, ticket + ticket)
        for part in wire.cut(ticket, 100):
            server.send(wire.HANDSHAKE, part)
        server.send_data(b"data")
        assert read_exactly(sock, 4) == b"data"
        sock.sendall(b"back")
        assert server.read_data(4) == b"back"
        sock.close()
        server.expect_end("close_notify")


def test_key_updates(egress):
    if KTLS == "required":
        pytest.skip("as in test_key_update.py, by the same code")
    sock, _, server = egress.pair()
    with sock, server:
        for i in range(3):
            server.key_update(True)
            server.send_data(b"x%d" % i)
            assert read_exactly(sock, 2) == b"x%d" % i
            sock.sendall(b"y%d" % i)
            assert server.read_data(2) == b"y%d" % i
        assert server.key_updates == [False] * 3
        sock.close()
        server.expect_end("close_notify")


@pytest.mark.parametrize("what, alert", [
    (wire.message(wire.CERTIFICATE_REQUEST, b"\0\0\0"), "unexpected_message"),
    (wire.message(wire.TICKET, bytes(70000)), "decode_error"),
    (wire.message(wire.HELLO_REQUEST, b""), "unexpected_message")])
def test_messages_that_are_not_allowed(egress, what, alert):
    """Post-handshake authentication was not offered."""
    with egress.proxy.counted(bad_record=1):
        sock, _, server = egress.pair()
        with sock, server:
            for part in wire.cut(what, 16000):
                server.send(wire.HANDSHAKE, part)
            server.expect_end(alert)
            assert end_of(sock) == "reset"


def test_bad_mac_from_the_server(egress):
    with egress.proxy.counted(bad_record_mac=1):
        sock, _, server = egress.pair()
        with sock, server:
            server.send(wire.DATA, b"x", spoil=True)
            server.expect_end("bad_record_mac")
            assert end_of(sock) == "reset"


def test_alert_from_the_server(egress):
    """How a server refuses our certificate in TLS 1.3: after its handshake is done."""
    with egress.proxy.counted(peer_alert=1):
        sock, name, server = egress.pair()
        with sock, server:
            server.send_alert("certificate_revoked")
            assert end_of(sock) == "reset"
        assert egress.proxy.line_of(name)["alert"] == "certificate_revoked"


@pytest.mark.parametrize("who", ["client", "server"])
def test_reset(egress, who):
    with egress.proxy.counted(**{"client_reset" if who == "client" else "upstream_reset": 1}):
        sock, _, server = egress.pair()
        with sock, server:
            if who == "client":
                rawtls.reset(sock)
                server.expect_end("internal_error")
            else:
                server.reset()
                assert end_of(sock) == "reset"


SERVERS = {
    "another name": (
        lambda pki: pki.root.issue("x", dns=["other.example"], usage="server"),
        "name_mismatch",
    ),
    "the name only as CN": (
        lambda pki: pki.root.issue(SERVER_NAME, usage="server", dns=["x.example"]),
        "name_mismatch",
    ),
    "a part of the name": (
        lambda pki: pki.root.issue("x", dns=["example", "broker-1"], usage="server"),
        "name_mismatch",
    ),
    "a wider wildcard": (
        lambda pki: pki.root.issue("x", dns=["*.*", "*"], usage="server"),
        "name_mismatch",
    ),
    "untrusted": (
        lambda pki: pki.stranger.issue("x", dns=[SERVER_NAME], usage="server"),
        "unknown_ca",
    ),
    "self-signed": (lambda pki: certs.self_signed("x", usage="server"), "self_signed"),
    "a client's": (
        lambda pki: pki.root.issue("x", dns=[SERVER_NAME], usage="client"),
        "wrong_purpose",
    ),
    "expired": (
        lambda pki: pki.root.issue(
            "x",
            dns=[SERVER_NAME],
            usage="server",
            not_after=certs.now() - certs.DAY,
            not_before=certs.now() - 2 * certs.DAY,
        ),
        "expired",
    ),
}


@pytest.mark.parametrize("case", SERVERS)
def test_wrong_server(egress, case):
    """Not a byte of the client reaches it; the client's connection ends; the server gets an
    alert."""
    make, reason = SERVERS[case]
    with egress.proxy.counted(**{"handshake_failed": 1, reason: 1}):
        sock, name, up = egress.connect()
        with sock, RawServer(up, make(egress.pki)) as server:
            sock.sendall(b"secret")
            server.raw(server.flight(*server.read_hello()))
            alert = server.read_end()
            assert alert.level == rawtls.FATAL
            assert read_to_end(sock) == b""
        line = egress.proxy.line_of(name)
    assert (line["event"], line["reason"]) == ("refused", reason)


def test_good_wildcard(egress):
    sock, name, up = egress.connect()
    identity = egress.pki.root.issue("x", dns=["*.test.example"], usage="server")
    with sock, RawServer(up, identity) as server:
        server.handshake()
        sock.close()
        server.expect_end("close_notify")
    assert egress.proxy.line_of(name)["reason"] == "client_closed"


def test_server_with_a_foreign_key(egress):
    with egress.proxy.counted(handshake_failed=1, bad_signature=1):
        sock, _, up = egress.connect()
        with sock, RawServer(up, egress.server) as server:
            server.raw(server.flight(*server.read_hello(), spoil_signature=True))
            assert server.read_end().name == "decrypt_error"
            assert read_to_end(sock) == b""


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(50)]
)
def test_server_that_speaks_no_tls(egress, answer):
    sock, name, up = egress.connect()
    with sock, up:
        up.sendall(answer)
        assert read_to_end(sock) == b""
        read_to_end(up)
    assert egress.proxy.line_of(name)["event"] == "refused"


def test_server_that_does_not_answer(loop, pki, tmp_path):
    egress = Egress(tmp_path, pki, loop, handshake="300ms")
    try:
        egress.proxy.start()
        with egress.proxy.counted(handshake_timeout=1):
            sock, name, up = egress.connect()
            with sock, up:
                assert read_to_end(sock) == b""
                assert len(read_to_end(up)) > 100  # our hello
            assert egress.proxy.line_of(name)["reason"] == "handshake_timeout"
        egress.proxy.wait_quiet()
        egress.proxy.stop()
    finally:
        egress.proxy.kill()
        egress.service.close()


def test_server_leaves_in_the_handshake(egress):
    with egress.proxy.counted(handshake_closed=1):
        sock, _, up = egress.connect()
        with sock:
            up.recv(1)
            rawtls.reset(up)
            assert end_of(sock) in ("fin", "reset")


def test_client_leaves_in_the_handshake(egress):
    with egress.proxy.counted(client_reset=1):
        sock, _, up = egress.connect()
        with up:
            rawtls.reset(sock)
            end_of(up)


def test_client_data_waits_for_the_handshake(egress):
    """Plain bytes that come early are kept in the socket, and none is lost; the client may even
    have gone."""
    sock, name, up = egress.connect()
    with RawServer(up, egress.server) as server:
        sock.sendall(b"early " * 1000)
        sock.close()
        server.handshake()
        server.expect_end("close_notify")
        assert bytes(server.data) == b"early " * 1000
        server.finish()
    assert egress.proxy.line_of(name)["reason"] == "client_closed"


def test_stock_server(egress):
    """OpenSSL's, with its tickets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*egress.pki.write(egress.server))
    context.load_verify_locations(egress.pki.root_files[0])
    context.verify_mode = ssl.CERT_REQUIRED
    sock, name, up = egress.connect()
    up.settimeout(PATIENCE)

    def serve():
        with context.wrap_socket(up, server_side=True) as tls:
            assert tls.getpeercert()["subject"][-1] == (("commonName", "svc-a"),)
            while data := tls.recv(65536):
                tls.sendall(data)
            tls.unwrap().close()
    thread = threading.Thread(target=serve)
    thread.start()
    with sock:
        data = os.urandom(200000)
        threading.Thread(target=sock.sendall, args=(data,)).start()
        assert read_exactly(sock, len(data)) == data
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock) == b""
    thread.join()
    assert egress.proxy.line_of(name)["bytes_out"] == 200000


def test_chained_with_a_front_door(new_door, new_proxy, pki):
    """client -> egress -> front -> service: plain, TLS, plain; both ends' half-closes pass through
    both."""
    door = new_door(tls=pki.tls(server_name=SERVER_NAME, alpn=["kafka"]))
    host, port = door.proxy.address("hand")
    egress = new_proxy([{"name": "out", "role": "egress", "upstream": f"{host}:{port}",
                         "tls": client_tls(pki)}])
    for _ in range(3):
        sock = rawtls.connect(egress.address())
        name = rawtls.text_of(sock.getsockname())
        with sock, door.hand.accept() as up:
            data = os.urandom(2 << 20)
            threading.Thread(
                target=lambda s=sock, d=data: (s.sendall(d), s.shutdown(socket.SHUT_WR))
            ).start()
            assert read_to_end(up) == data
            threading.Thread(target=lambda u=up, d=data: (u.sendall(d), u.close())).start()
            assert read_to_end(sock) == data
        line = egress.line_of(name)
        assert (line["reason"], line["bytes_in"], line["bytes_out"], line["cn"]) == (
            "client_closed", 2 << 20, 2 << 20, "broker-1")
