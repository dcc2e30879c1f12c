# SPDX-License-Identifier: Apache-2.0
"""PROXY protocol v2: headers of balancers in front of us, and ours to the service behind."""
import shutil
import socket
import subprocess

import proxyheader
import pytest
import rawtls
from cryptography import x509
from door import SERVER_NAME, expect_eof, plain_connect, reset_or_fin
from proxyrig import free_port
from rawserver import RawServer
from upstream import Manual, read_exactly
from waiting import PATIENCE, wait_until

CLIENT, SERVER = ("192.0.2.7", 12345), ("203.0.113.9", 9093)
HEADER = proxyheader.encode(CLIENT, SERVER)


@pytest.fixture(scope="module")
def door_options():
    """127.0.0.1 is a client; balancers have addresses of their own."""
    return {
        "proxy_protocol": {"accept_from": ["127.0.0.2/31"]},
        "timeouts": {"handshake": "3s"},
        "process": {"top": {"penalties": {"max": "1h", "min": "1s", "certificate": "1h"}}},
    }


def behind(door, header, listener="echo", source="127.0.0.2", **how):
    """A client behind a balancer which says `header`."""
    return door.raw(listener, source=source, preface=header, **how)


def round_trip(door, client):
    client.handshake()
    door.round_trip(client)
    client.finish()
    client.expect_end("close_notify")


@pytest.mark.parametrize("client,name", [
    (CLIENT, "192.0.2.7:12345"),
    (("2001:db8::7", 65535), "[2001:db8::7]:65535"),
])
def test_accepted(door, client, name):
    """The header and the ClientHello come in one piece; the log names client and balancer."""
    server = SERVER if "." in client[0] else ("2001:db8::1", 443)
    header = proxyheader.encode(client, server, checksum=True,
                                tlvs=proxyheader.tlv(proxyheader.NOOP, b"x" * 100))
    door.proxy.note(name)
    with behind(door, header) as conn:
        round_trip(door, conn)
        line = door.line_of(name)
        assert (line["reason"], line["via"]) == ("client_closed", conn.name)


def test_in_pieces(door):
    """Byte by byte, and nothing of what follows is taken for it."""
    with behind(door, b"") as conn:
        for byte in HEADER:
            conn.raw(bytes([byte]))
        round_trip(door, conn)


@pytest.mark.parametrize("header", [
    proxyheader.encode(command=0),
    proxyheader.encode(command=0, family=0x11, tlvs=b"no address"),
    proxyheader.encode(tlvs=proxyheader.tlv(proxyheader.NOOP, b"")),
    proxyheader.encode(CLIENT, SERVER, family=0x12),
], ids=["local", "local-junk", "unspec", "udp"])
def test_without_address(door, header):
    """The balancer speaks for itself: its own address counts."""
    with behind(door, header) as conn:
        round_trip(door, conn)
        line = door.line_of(conn.name)
        assert line["reason"] == "client_closed" and "via" not in line


@pytest.mark.parametrize("first,says", [
    (b"\x16\x03\x01\x02\x00\x01", "no PROXY protocol v2 header"),
    (b"PROXY TCP4 192.0.2.7 203.0.113.9 12345 9093\r\n", "only version 2"),
    (b"PROXY UNKNOWN\r\n", "only version 2"),
    (HEADER[:12] + b"\x31" + HEADER[13:], "version"),
    (HEADER[:12] + b"\x2f" + HEADER[13:], "command"),
    (HEADER[:13] + b"\x77" + HEADER[14:], "family"),
    (HEADER[:14] + b"\xff\xff", "longer than 16 KiB"),
    (HEADER[:14] + b"\x00\x0b" + HEADER[16:], "shorter than its addresses"),
    (proxyheader.encode(CLIENT, SERVER, tlvs=b"\x04\xff\xff"), "does not fit"),
    (proxyheader.encode(CLIENT, SERVER, checksum=True)[:-1] + b"\x00\x00", "checksum"),
])
def test_refused(door, first, says):
    """A balancer that is trusted must send a header, and a right one."""
    with door.counted(proxy_protocol=1):
        sock, name = plain_connect(door, "echo", "127.0.0.3")
        with sock:
            sock.sendall(first)
            assert reset_or_fin(sock) == b""
        line = door.line_of(name)
        assert line["reason"] == "proxy_protocol" and says in line["detail"], line


@pytest.mark.parametrize("end", [1, 15, 16, 20, len(HEADER) - 1])
def test_cut(door, end):
    """It ends within the header."""
    with door.counted(proxy_protocol=1):
        sock, name = plain_connect(door, "echo", "127.0.0.3")
        with sock:
            sock.sendall(HEADER[:end])
            sock.shutdown(socket.SHUT_WR)
            assert reset_or_fin(sock) == b""
        assert "ended within" in door.line_of(name)["detail"]


def test_deadline(door):
    """One deadline for header and handshake."""
    with door.counted(handshake_timeout=3):
        socks = []
        for sent in (b"", HEADER[:20], HEADER):
            socks.append(plain_connect(door, "echo", "127.0.0.3")[0])
            socks[-1].sendall(sent)
        for sock in socks:
            with sock:
                assert reset_or_fin(sock) == b""


def test_health_check(door):
    """Opened and closed: not worth a warning."""
    with door.counted(handshake_closed=1):
        sock, name = plain_connect(door, "echo", "127.0.0.2")
        sock.close()
        assert door.line_of(name)["event"] == "closed"


def test_others_are_clients(door):
    """Who is not in the list comes without a header, and a header of his is not believed."""
    with door.client("echo", source="127.0.0.4") as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
        assert "via" not in door.line_of(client.name)
    with door.counted(not_tls=1):
        sock, name = plain_connect(door, "echo", "127.0.0.4")
        with sock:
            sock.sendall(HEADER)
            reset_or_fin(sock)
        assert door.line_of(name)["reason"] == "not_tls"


def test_penalty_of_a_client(door):
    """It is the client that pays, not the balancer nor its other clients."""
    bad = proxyheader.encode(("198.51.100.66", 6666), SERVER)
    door.proxy.note("198.51.100.66:6666")
    with behind(door, bad, identity=None) as client:
        client.handshake()
        client.expect_end("certificate_required")
    door.line_of("198.51.100.66:6666")
    with door.counted(penalty=1):
        with behind(door, bad) as client:
            client.send_hello()
            reset_or_fin(client.sock)
    with behind(door, proxyheader.encode(("198.51.100.67", 6666), SERVER)) as client:
        round_trip(door, client)
    with behind(door, proxyheader.encode(command=0), identity=None) as client:
        client.handshake()
        client.expect_end("certificate_required")
    with behind(door, proxyheader.encode(command=0)) as client:  # a balancer is never shut out
        round_trip(door, client)


ALL = ["verified", "version", "cn", "cipher", "sig_alg", "key_alg", "der"]


def test_sent(new_door, pki):
    """Everything that can be said of a client, before the first byte of its own; and before it
    has said any."""
    door = new_door(hand={"proxy_protocol": {"send": "v2", "tls": ALL}},
                    tls=pki.tls(alpn=["kafka", "x"]))
    client, up = door.pair(alpn=["x"])
    with client, up:
        header = proxyheader.read(up.recv)
        assert header["client"] == client.sock.getsockname()
        assert header["server"] == client.sock.getpeername()
        assert header[proxyheader.ALPN] == b"x"
        assert header[proxyheader.AUTHORITY] == SERVER_NAME.encode()
        said = header["ssl"]
        assert (said["flags"], said["verify"]) == (7, 0)
        assert (said["version"], said["cn"]) == (b"TLSv1.3", b"svc-a")
        assert said["cipher"].startswith(b"TLS_")
        assert said["sig_alg"] == b"ecdsa-with-SHA256" and said["key_alg"] == b"EC256"
        assert x509.load_der_x509_certificate(said["der"]).serial_number == (
            pki.client.certificate.serial_number)
        client.send_data(b"and now the data")
        assert read_exactly(up, 16) == b"and now the data"
        up.sendall(b"answer")
        assert client.read_data(6) == b"answer"
        client.finish()
        assert expect_eof(up) == b""


def test_sent_in_short(new_door):
    """Nothing is said that was not asked for."""
    door = new_door(hand={"proxy_protocol": {"send": "v2", "tls": []}})
    client, up = door.pair(server_name=None)
    with client, up:
        assert set(proxyheader.read(up.recv)) == {"family", "client", "server"}
        client.reset()


def test_passed_on(new_door):
    """Behind a balancer and before a service: the addresses are those that the client saw."""
    door = new_door(hand={"proxy_protocol": {"accept_from": ["127.0.0.2"], "send": "v2"}})
    door.proxy.note("192.0.2.7:12345")
    with behind(door, HEADER, "hand").handshake() as client, door.hand.accept() as up:
        header = proxyheader.read(up.recv)
        assert (header["client"], header["server"]) == (CLIENT, SERVER)
        assert set(header["ssl"]) == {"flags", "verify", "version", "cn"}
        client.reset()


def test_egress(new_proxy, pki):
    """The header goes before our ClientHello, in clear."""
    service = Manual()
    crt, key = pki.write(pki.client)
    proxy = new_proxy([{
        "name": "out", "role": "egress", "upstream": service.endpoint,
        "tls": {"certificate": crt, "key": key, "roots": pki.root_files,
                "server_name": SERVER_NAME},
        "proxy_protocol": {"accept_from": ["127.0.0.2"], "send": "v2"},
    }])
    identity = pki.intermediate.issue("broker-1", dns=[SERVER_NAME], usage="server")
    try:
        with rawtls.connect(proxy.address()) as sock:
            up = service.accept()
            header = proxyheader.read(up.recv)
            assert header["client"] == sock.getsockname() and "ssl" not in header
            server = RawServer(up, identity).handshake()
            sock.sendall(b"hello")
            assert server.read_data(5) == b"hello"
            up.close()
        with rawtls.connect(proxy.address(), source="127.0.0.2") as sock:
            sock.sendall(HEADER + b"hello")
            up = service.accept()
            assert proxyheader.read(up.recv)["client"] == CLIENT
            server = RawServer(up, identity).handshake()
            assert server.read_data(5) == b"hello"
            up.close()
    finally:
        service.close()


def test_unix_listener(new_proxy, pki, tmp_path):
    """No addresses are known, and that is said."""
    service = Manual()
    path = str(tmp_path / "door.sock")
    proxy = new_proxy([{"name": "in", "upstream": service.endpoint, "tls": pki.tls(),
                        "listen": "unix:" + path, "proxy_protocol": {"send": "v2"}}])
    try:
        with rawtls.RawClient(path, pki.client, server_name=SERVER_NAME).handshake() as client:
            up = service.accept()
            header = proxyheader.read(up.recv)
            assert (header["family"], header["client"]) == (0, None)
            assert header["ssl"]["cn"] == b"svc-a"
            up.close()
            client.read_end()
    finally:
        service.close()
        proxy.stop()


HAPROXY = """
defaults
    timeout connect 20s
    timeout client 20s
    timeout server 20s
frontend balancer
    mode tcp
    bind 127.0.0.1:{balancer}
    default_backend door
backend door
    mode tcp
    source 127.0.0.2
    server door {door} send-proxy-v2
frontend service
    mode http
    bind 127.0.0.1:{service} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]:%[dst_port] %[fc_pp_authority]"
"""


def test_haproxy(loop, new_door, pki, new_proxy, tmp_path):
    """HAProxy in front of us sends headers, HAProxy behind us takes ours."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert program, "haproxy is not installed: see tests/packages.txt"
    service = free_port()
    proxy = new_proxy([{
        "name": "middle", "upstream": f"127.0.0.1:{service}", "tls": pki.tls(),
        "proxy_protocol": {"accept_from": ["127.0.0.2"], "send": "v2", "tls": ALL},
    }])
    balancer = free_port()
    config = tmp_path / "haproxy.cfg"
    config.write_text(HAPROXY.format(balancer=balancer, service=service,
                                     door="%s:%d" % proxy.address()))
    process = subprocess.Popen([program, "-db", "-f", str(config)], stdin=subprocess.DEVNULL)
    try:
        def connected():
            try:
                return socket.create_connection(("127.0.0.1", balancer), PATIENCE)
            except ConnectionRefusedError:
                return None
        sock = wait_until("haproxy to listen", connected)
        name = rawtls.text_of(sock.getsockname())
        context = pki.context(pki.client)
        with context.wrap_socket(sock, server_hostname=SERVER_NAME) as tls:
            tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while more := tls.recv(65536):
                answer += more
        said = answer.split(b"\r\n\r\n")[1].decode()
        assert said == f"{name} 127.0.0.1:{balancer} {SERVER_NAME}", answer
        assert proxy.line_of(name)["via"].startswith("127.0.0.2:")
    finally:
        process.terminate()
        process.wait(PATIENCE)
