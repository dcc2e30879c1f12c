# SPDX-License-Identifier: Apache-2.0
"""KeyUpdate in both directions: answered, re-keyed, rate-limited; malformed ones refused. Where the
kernel holds the keys and can not change them, the one answer is an end in order."""
import random
import threading

import pytest
import tlswire as wire
from proxyrig import TRANSPORT, can_rekey
from tlskeys import SUITES13
from upstream import end_of, read_exactly, read_to_end

BURST = 16


@pytest.fixture(scope="module", autouse=True)
def rekeying():
    if not can_rekey():
        pytest.skip("this kernel can not re-key: test_no_rekey.py shows what happens then")


def end(door, client, up):
    client.finish()
    assert read_to_end(up) == b""
    up.close()
    client.expect_end("close_notify")
    return door.line_of(client.name)


@pytest.mark.parametrize("suite", SUITES13)
def test_not_requested(door, suite):
    """Our receiving key moves on, the other does not, and nothing is answered."""
    client, up = door.pair(suites=(suite,))
    with client, up:
        for i in range(5):
            client.key_update(False)
            client.send_data(b"x%d" % i)
            assert read_exactly(up, 2) == b"x%d" % i
        up.sendall(b"y" * 50000)
        assert client.read_data(50000) == b"y" * 50000
        assert client.key_updates == []
        assert end(door, client, up)["reason"] == "client_closed"


@pytest.mark.parametrize("suite", SUITES13)
def test_requested(door, suite):
    """Each is answered once, without a request of ours, and before any data under the new key."""
    before = door.proxy.totals()
    client, up = door.pair(suites=(suite,))
    with client, up:
        for i in range(5):
            client.key_update(True)
            client.send_data(b"x%d" % i)
            assert read_exactly(up, 2) == b"x%d" % i
            up.sendall(b"y" * 40000)
            assert client.read_data(40000) == b"y" * 40000
            assert client.key_updates == [False] * (i + 1)
        end(door, client, up)
    after = door.proxy.totals()
    assert after["key_updates_received"] == before["key_updates_received"] + 5
    assert after["key_updates_sent"] == before["key_updates_sent"] + 5


def test_several_at_once(door):
    """In one segment: answered at least once, and both keys stay in step."""
    client, up = door.pair()
    with client, up:
        out = b""
        for i in range(8):
            out += client.record(wire.HANDSHAKE, wire.key_update(True))
            client.tx.update()
            out += client.record(wire.DATA, b"%d" % i)
        client.raw(out)
        assert read_exactly(up, 8) == b"01234567"
        up.sendall(b"y" * 100000)
        assert client.read_data(100000) == b"y" * 100000
        assert 1 <= len(client.key_updates) <= 8 and not any(client.key_updates)
        end(door, client, up)


def test_in_the_segment_of_finished(door):
    with door.raw() as client:
        client.send_hello()
        client.read_server_flight()
        out = client.flight_records() + client.record(wire.HANDSHAKE, wire.key_update(True))
        client.tx.update()
        client.raw(out + client.record(wire.DATA, b"hello"))
        with door.hand.accept() as up:
            assert read_exactly(up, 5) == b"hello"
            up.sendall(b"you")
            assert client.read_data(3) == b"you"
            assert client.key_updates == [False]
            end(door, client, up)


def cut_in_the_kernel(door, cuts, data):
    """The kernel wants the new key as soon as it has seen the first byte: all that can be done is to
    end in order."""
    with door.counted(key_update_unsupported=1):
        client, up = door.pair()
        with client, up:
            message, at, out = wire.key_update(True), 0, b""
            for size in cuts:
                out += client.record(wire.HANDSHAKE, message[at:at + size])
                at += size
            client.raw(out + (client.record(wire.DATA, b"x") if data else b""))
            client.expect_end("close_notify")
            assert read_to_end(up) == b""


@pytest.mark.parametrize("cuts", [(1, 1, 1, 1, 1), (4, 1), (1, 4), (2, 3)])
def test_cut_over_records(door, cuts):
    if TRANSPORT == "ktls":
        cut_in_the_kernel(door, cuts, False)
        return
    client, up = door.pair()
    with client, up:
        message, at = wire.key_update(True), 0
        for size in cuts:
            client.send(wire.HANDSHAKE, message[at:at + size])
            at += size
        client.tx.update()
        client.send_data(b"x")
        assert read_exactly(up, 1) == b"x"
        up.sendall(b"y")
        assert client.read_data(1) == b"y"
        assert client.key_updates == [False]
        end(door, client, up)


BAD = {
    "data behind it in its record": (
        wire.HANDSHAKE,
        wire.key_update(False) + b"\x18\0\0",
        "unexpected_message",
    ),
    "two in one record": (wire.HANDSHAKE, wire.key_update(False) * 2, "unexpected_message"),
    "of no meaning": (wire.HANDSHAKE, wire.message(wire.KEY_UPDATE, b"\2"), "illegal_parameter"),
    "empty": (wire.HANDSHAKE, wire.message(wire.KEY_UPDATE, b""), "decode_error"),
    "too long": (wire.HANDSHAKE, wire.message(wire.KEY_UPDATE, b"\0\0"), "decode_error"),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed(door, case):
    kind, data, alert = BAD[case]
    with door.counted(bad_record=1):
        client, up = door.pair()
        with client, up:
            client.send(kind, data)
            client.expect_end(alert)
            assert end_of(up) == "reset"


def test_data_inside_of_one(door):
    """Between two parts of a message no other record may come."""
    if TRANSPORT == "ktls":
        cut_in_the_kernel(door, (3,), True)
        return
    with door.counted(bad_record=1):
        client, up = door.pair()
        with client, up:
            client.send(wire.HANDSHAKE, wire.key_update(True)[:3])
            client.send(wire.DATA, b"x")
            client.expect_end("unexpected_message")
            assert end_of(up) == "reset"


def test_data_under_the_old_key(door):
    with door.counted(bad_record_mac=1):
        client, up = door.pair()
        with client, up:
            client.send(wire.HANDSHAKE, wire.key_update(False))
            client.send_data(b"x")
            client.expect_end("bad_record_mac")
            assert end_of(up) == "reset"


@pytest.mark.parametrize("request_flag", [False, True])
def test_storm(door, request_flag):
    """More than the burst in no time: refused, alert under whatever key is ours by then."""
    with door.counted(key_update_storm=1):
        client, up = door.pair()
        with client, up:
            out = b""
            for _ in range(5 * BURST):
                out += client.record(wire.HANDSHAKE, wire.key_update(request_flag))
                client.tx.update()
            client.raw(out)
            client.expect_end("unexpected_message")
            assert end_of(up) == "reset"
            assert len(client.key_updates) <= BURST + 1


def test_storm_of_a_client_that_does_not_read(door):
    """It asks and asks, our answers have nowhere to go: bounded, and it ends."""
    with door.counted(key_update_storm=1):
        client = door.client(buffers=(4096, None))
        with client, door.hand.accept() as up:
            up.settimeout(0.2)
            try:
                while True:
                    up.sendall(bytes(1 << 16))
            except TimeoutError:
                pass
            for _ in range(3 * BURST):
                client.key_update(True)
            up.settimeout(20)
            assert end_of(up) == "reset"


def test_amid_bulk_in_both_directions(door):
    """Every byte is checked while both peers' keys move."""
    size, rng = 3 << 20, random.Random(5)
    client, up = door.pair()
    data = rng.randbytes(size)
    with client, up:
        def echo():
            done = 0
            while done < size:
                part = up.recv(1 << 16)
                done += len(part)
                up.sendall(part)

        def send():
            at = 0
            for i in range(BURST):
                part = size // BURST
                client.send_data(data[at:at + part], rng.choice((100, 5000, 16384)))
                client.key_update(bool(i % 2))
                at += part
            client.send_data(data[at:])
        threads = [threading.Thread(target=echo), threading.Thread(target=send)]
        for thread in threads:
            thread.start()
        assert client.read_data(size) == data
        for thread in threads:
            thread.join()
        assert client.key_updates.count(False) == len(client.key_updates) >= 1
        end(door, client, up)
