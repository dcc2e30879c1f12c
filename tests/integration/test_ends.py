# SPDX-License-Identifier: Apache-2.0
"""Ends in mid-stream: alerts of the peer, close_notify and what may come behind it, truncation,
reset."""
import os
import socket
import time

import pytest
import tlswire as wire
from door import expect_eof
from proxyrig import TRANSPORT
from rawtls import FATAL, WARNING, Ended
from upstream import end_of, read_exactly, read_to_end


@pytest.mark.parametrize("name, level", [("bad_record_mac", FATAL), ("internal_error", 7),
                                         ("certificate_revoked", WARNING)])
def test_fatal_alert_from_the_client(door, name, level):
    """Named in the log; nothing is answered; the service sees a cut."""
    with door.counted(peer_alert=1):
        client, up = door.pair()
        with client, up:
            client.send_data(b"x")
            assert read_exactly(up, 1) == b"x"
            client.send_alert(name, level)
            assert end_of(up) == "reset"
            with pytest.raises((Ended, ConnectionResetError)):
                client.read_record()
        line = door.line_of(client.name)
    assert (line["reason"], line["alert"]) == ("peer_alert", name)


def test_alert_amid_bulk(door):
    """In the middle of a stream at full speed, in both directions."""
    with door.counted(peer_alert=1):
        client, up = door.pair()
        with client, up:
            up.setblocking(False)
            sent = 0
            while sent < 1 << 20:
                try:
                    sent += up.send(bytes(1 << 16))
                except BlockingIOError:
                    break
            up.settimeout(20)
            client.raw(
                client.data_records(bytes(300000))
                + client.record(wire.ALERT, bytes([FATAL, 80]))
                + client.data_records(bytes(100))
            )
            assert end_of(up) == "reset"
        assert door.line_of(client.name)["alert"] == "internal_error"


@pytest.mark.parametrize("name", ["user_canceled", "no_renegotiation"])
def test_warning_from_the_client(door, name):
    """All alerts but two are fatal in TLS 1.3, whatever level they claim; user_canceled is
    ignored."""
    client, up = door.pair()
    with client, up:
        client.send_alert(name, WARNING)
        if name == "user_canceled":
            client.send_data(b"still here")
            assert read_exactly(up, 10) == b"still here"
            client.finish()
            assert read_to_end(up) == b""
            up.close()
            client.expect_end("close_notify")
        else:
            end_of(up)
    assert door.line_of(client.name)["reason"] == (
        "client_closed" if name == "user_canceled" else "peer_alert"
    )


def test_nothing_counts_after_close_notify(door):
    """RFC 8446 6.1: what comes after is ignored."""
    with door.counted(client_closed=1):
        client, up = door.pair()
        with client, up:
            client.send_data(b"last")
            client.close_notify()
            client.send_data(b"ignored" * 1000)
            assert read_to_end(up) == b"last"
            up.sendall(b"answer")
            up.close()
            client.expect_end("close_notify")
            assert client.read_data(6) == b"answer"
        assert door.line_of(client.name)["bytes_in"] == 4


def test_much_after_close_notify(door):
    """What nobody reads must not turn into a reset that takes our last bytes with it: here they are
    still in the proxy's socket when both directions have ended."""
    with door.counted(client_closed=1):
        client, up = door.pair(buffers=(8192, None))
        with client, up:
            client.close_notify()
            client.send_data(bytes(400000))
            assert read_to_end(up) == b""
            up.sendall(b"answer" * 10000)
            up.close()
            time.sleep(0.3)
            client.expect_end("close_notify")
            assert client.read_data(60000) == b"answer" * 10000


def test_garbage_after_close_notify(door):
    """The kernel looks at it all the same, and its sending half fails of it: then this is an end
    without an answer, of the client's own making."""
    if TRANSPORT == "ktls":
        with door.echo_beside(), door.client() as client, door.hand.accept() as up:
            client.close_notify()
            client.raw(os.urandom(100000))
            assert read_to_end(up) == b""
            up.sendall(b"answer")
            up.close()
            assert door.line_of(client.name)["reason"] in ("bad_record", "client_closed")
        return
    client, up = door.pair()
    with client, up:
        client.close_notify()
        client.raw(os.urandom(100000))
        assert read_to_end(up) == b""
        up.sendall(b"answer")
        up.close()
        client.expect_end("close_notify")
        assert client.read_data(6) == b"answer"


def test_end_in_mid_record(door):
    """FIN inside a record is a truncation."""
    with door.counted(peer_truncated=1):
        client, up = door.pair()
        with client, up:
            client.send_data(b"whole")
            client.raw(client.record(wire.DATA, b"cut off")[:12])
            client.sock.shutdown(socket.SHUT_WR)
            assert read_to_end(up) == b"whole"
            up.close()
            client.expect_end("close_notify")


def test_reset_in_mid_stream(door):
    with door.counted(client_reset=1):
        client, up = door.pair()
        with up:
            client.send_data(b"x" * 1000)
            assert read_exactly(up, 1000) == b"x" * 1000
            client.reset()
            assert end_of(up) == "reset"


def test_answer_is_sealed_after_all(door):
    """Nothing of ours is ever in clear once the handshake is done."""
    client, up = door.pair()
    with client, up:
        up.sendall(b"y" * 100000)
        up.close()
        client.expect_end("close_notify")
        assert bytes(client.data) == b"y" * 100000
        client.finish()
        assert expect_eof(client.sock) == b""
