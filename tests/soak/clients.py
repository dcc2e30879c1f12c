# SPDX-License-Identifier: Apache-2.0
"""What a client of the soak may do with one connection. Each behaviour takes a Client (which knows
the addresses, the certificates and its own dice) and returns how many bytes it has seen come back;
each of them was compared with what was sent."""
import collections
import random
import select
import socket
import ssl
import threading

import rawtls
import tlswire as wire
from door import SERVER_NAME
from tlskeys import SUITES13
from waiting import PATIENCE

# How long somebody stalls: long enough for buffers to fill, whatever they are.
STALL_SECONDS_MAX = 0.5

# Of stock clients: whether they have a certificate, and their version.
CONTEXTS = (
    (True, ssl.TLSVersion.TLSv1_3), (True, ssl.TLSVersion.TLSv1_2), (False, ssl.TLSVersion.TLSv1_3)
)

Addresses = collections.namedtuple("Addresses", "front egress")


class Client:
    """One thread's worth of connections, one after the other."""

    def __init__(self, addresses, pki, seed):
        self.addresses, self.pki, self.dice = addresses, pki, random.Random(seed)

    def size(self, limit):
        """Mostly small, sometimes as large as can be."""
        return 1 + int((limit - 1) * self.dice.random() ** 4)

    def data(self, limit):
        return self.dice.randbytes(self.size(limit))

    def pause(self):
        threading.Event().wait(self.dice.random() * STALL_SECONDS_MAX)

    def raw(self, **how):
        suite = self.dice.choice(list(SUITES13))
        client = rawtls.RawClient(self.addresses.front, self.pki.client, suites=(suite,),
                                  server_name=SERVER_NAME, **how)
        try:
            return client.handshake()
        except BaseException:
            client.sock.close()
            raise

    def stock(self, version=ssl.TLSVersion.TLSv1_3, known=True):
        identity = self.pki.client if known else None
        sock = rawtls.connect(self.addresses.front)
        try:
            return self.pki.context(identity, version=version).wrap_socket(
                sock, server_hostname=SERVER_NAME)
        except BaseException:
            sock.close()
            raise


def _echo(client, raw, data):
    """Through a raw client, written in records of any size while it is read."""
    size = client.size(16384) if len(data) < 20000 else 16384
    writer = threading.Thread(target=raw.send_data, args=(data, size))
    writer.start()
    assert raw.read_data(len(data)) == data, "other bytes came back"
    writer.join()
    return len(data)


def _pump(sock, data, ended):
    """Writes `data` while it reads what comes back, until all has or the stream has `ended`."""
    got, sent = bytearray(), 0
    sock.settimeout(0)
    while len(got) < len(data):
        waiting = isinstance(sock, ssl.SSLSocket) and sock.pending()
        readable, writable, _ = select.select([sock], [sock] if sent < len(data) else [], [],
                                              0 if waiting else PATIENCE)
        assert readable or writable or waiting, "nothing moves"
        if writable:
            try:
                sent += sock.send(data[sent:sent + 65536])
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                pass
        try:
            more = sock.recv(1 << 17)
            assert more, f"{ended} after {len(got)} of {len(data)} bytes"
            got += more
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
    sock.settimeout(PATIENCE)
    assert got == data, "other bytes came back"
    return len(got)


def talk(client, version=ssl.TLSVersion.TLSv1_3):
    """A stock client that says a few things and leaves in order."""
    done = 0
    with client.stock(version) as sock:
        for _ in range(client.dice.randint(1, 8)):
            done += _pump(sock, client.data(60000), "the end came")
        try:
            sock.unwrap().close()
        except ssl.SSLError as error:
            assert "CLOSE_NOTIFY" in str(error) or "DATA_AFTER" in str(error), error
    return done


def talk12(client):
    return talk(client, ssl.TLSVersion.TLSv1_2)


def bulk(client):
    with client.stock() as sock:
        return _pump(sock, client.data(4_000_000), "the end came")


def key_updates(client):
    """Both keys change while bytes are on their way."""
    done = 0
    with client.raw() as raw:
        for _ in range(client.dice.randint(1, 10)):
            if client.dice.random() < 0.6:
                raw.key_update(client.dice.random() < 0.5)
            done += _echo(client, raw, client.data(200_000))
        raw.finish()
        raw.expect_end("close_notify")
    return done


def half_close(client):
    """The end of what we say comes first; the rest of the echo comes behind it."""
    data = client.data(300_000)
    with client.raw() as raw:
        def write():
            raw.send_data(data)
            raw.finish()
        writer = threading.Thread(target=write)
        writer.start()
        assert raw.read_data(len(data)) == data, "other bytes came back"
        writer.join()
        raw.expect_end("close_notify")
    return len(data)


def tiny_records(client):
    data = client.dice.randbytes(client.size(400))
    with client.raw() as raw:
        for at in range(len(data)):
            records = raw.record(wire.DATA, b"") if client.dice.random() < 0.1 else b""
            records += raw.record(wire.DATA, data[at:at + 1])
            for part in wire.cut(records, client.dice.choice((1, 3, 7, 1000))):
                raw.raw(part)
        assert raw.read_data(len(data)) == data, "other bytes came back"
        raw.finish()
        raw.expect_end("close_notify")
    return len(data)


def stall(client):
    """Everything is written until nothing more goes, nothing is read for a while; then all of it, or
    a reset."""
    data = client.dice.randbytes(1 << 20)
    with client.raw(buffers=(8192, 8192)) as raw:
        records = raw.data_records(data)
        raw.sock.settimeout(0.05)
        sent = 0
        try:
            while sent < len(records):
                sent += raw.sock.send(records[sent:sent + 65536])
        except TimeoutError:
            pass
        raw.sock.settimeout(PATIENCE)
        client.pause()
        if client.dice.random() < 0.4:
            raw.reset()
            return 0
        writer = threading.Thread(target=raw.raw, args=(records[sent:],))
        writer.start()
        assert raw.read_data(len(data)) == data, "other bytes came back"
        writer.join()
        raw.finish()
        raw.expect_end("close_notify")
    return len(data)


def reset(client):
    """In the middle of a transfer."""
    data = client.data(200_000)
    with client.raw() as raw:
        raw.send_data(data)
        some = client.dice.randrange(len(data))
        assert raw.read_data(some) == data[:some], "other bytes came back"
        raw.reset()
    return some


def leave(client):
    """FIN without a close_notify, or nothing said at all."""
    data = client.data(1000)
    with client.raw() as raw:
        if client.dice.random() < 0.5:
            _echo(client, raw, data)
        raw.sock.shutdown(socket.SHUT_WR)
        raw.expect_end("close_notify")
    return 0


def bad_record(client):
    """After some good ones."""
    with client.raw() as raw:
        done = _echo(client, raw, client.data(1000))
        record = bytearray(raw.record(wire.DATA, b"never to be seen"))
        record[client.dice.randrange(5, len(record))] ^= 1 << client.dice.randrange(8)
        raw.raw(bytes(record))
        raw.expect_end("bad_record_mac")
    return done


def not_tls(client):
    """What scanners send. Whatever the answer is, there is an end."""
    with rawtls.connect(client.addresses.front) as sock:
        sock.sendall(client.dice.choice((
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\0\0\x20\0\x12\0\3",
            b"\x16\3\1\0\x05\1\0\0\1\0", client.dice.randbytes(600))))
        sock.shutdown(socket.SHUT_WR)
        _to_the_end(sock)
    return 0


def _to_the_end(sock):
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass


def cut_handshake(client):
    """The hello, or part of it; then gone."""
    raw = rawtls.RawClient(client.addresses.front, client.pki.client, server_name=SERVER_NAME)
    with raw:
        hello = wire.plain_record(wire.HANDSHAKE, raw.hello(), 0x0301)
        raw.raw(hello[:client.dice.randint(1, len(hello))])
        if client.dice.random() < 0.5:
            raw.reset()
    return 0


def no_certificate(client):
    """TLS 1.3 tells it with the first read."""
    try:
        with client.stock(known=False) as sock:
            sock.recv(1)
    except (ssl.SSLError, ConnectionError):
        return 0
    raise AssertionError("somebody without a certificate was let in")


def egress(client):
    """Plain to the egress, which speaks TLS to the front."""
    with rawtls.connect(client.addresses.egress) as sock:
        done = _pump(sock, client.data(client.dice.choice((2000, 2_000_000))), "the end came")
        if client.dice.random() < 0.3:
            rawtls.reset(sock)
            return done
        sock.shutdown(socket.SHUT_WR)
        assert not sock.recv(1), "more came back than was sent"
    return done


# Behaviour and how often it is chosen.
BEHAVIOURS = {
    talk: 8, talk12: 3, bulk: 3, key_updates: 5, half_close: 3, tiny_records: 1, stall: 2, reset: 3,
    leave: 2, bad_record: 2, not_tls: 3, cut_handshake: 3, no_certificate: 2, egress: 5,
}
