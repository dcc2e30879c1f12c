# SPDX-License-Identifier: Apache-2.0
"""What a Kafka broker is told of a client: the test is the broker. Real ones are in tests/kafka."""
import calendar
import contextlib
import os
import pathlib
import socket
import threading
import time

import certs
import pytest
import rawtls
from adminrig import Operator, socket_folder
from door import reset_or_fin
from mounts import fill, in_own_mounts
from proxyrig import TRANSPORT
from rawtls import FATAL
from saslbroker import (GOOD, REFUSED, authenticate_answer, claims_of, framed, handshake_answer,
                        published, read_requests)
from upstream import end_of, read_exactly
from waiting import wait_until

KAFKA = {"kafka": {"identity": "oauthbearer"}, "timeouts": {"identity": "60s"}}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return tmp_path_factory.mktemp("identity") / "keys"


@pytest.fixture(scope="module")
def operator():
    with socket_folder() as folder:
        yield Operator(folder / "admin.sock")


@pytest.fixture(scope="module")
def door_options(keys, operator):
    process = operator.process()
    process["top"]["identity"] = {"directory": str(keys), "overlap": "1s"}
    return {"process": process, "hand": KAFKA}


def told(door, answer=GOOD, client=None, **how):
    """A client whose identity the broker has been told, and has answered to."""
    client, broker = door.pair(client, **how)
    token = read_requests(broker)
    broker.sendall(answer)
    return client, broker, token


def both_ways(client, broker, size=5000):
    data = os.urandom(size)
    client.send_data(data)
    assert read_exactly(broker, size) == data
    broker.sendall(data[::-1])
    assert client.read_data(size) == data[::-1]


def good_end(door, client, broker):
    client.finish()
    assert end_of(broker) == "fin"
    broker.close()
    client.expect_end("close_notify")
    line = door.line_of(client.name)
    assert line["reason"] == "client_closed"
    return line


def after_a_turn(door):
    """The one worker has done what it had to do: another connection has been served since."""
    assert door.works()


def is_silent(sock):
    sock.setblocking(False)
    try:
        return sock.recv(1, socket.MSG_PEEK) is None
    except BlockingIOError:
        return True
    finally:
        sock.settimeout(rawtls.PATIENCE)


def test_token(door, keys, pki):
    """Who it is, for whom, until when; the signature holds, by other cryptography than ours."""
    client, broker, token = told(door)
    with client, broker:
        header, claims = claims_of(token, keys)
        now = time.time()
        assert header["alg"] == "EdDSA"
        assert abs(claims.pop("iat") - now) < 3600
        assert claims == {
            "iss": "sallyport", "aud": "kafka", "sub": "CN=svc-a,O=Sallyport tests",
            "exp": calendar.timegm(pki.client.certificate.not_valid_after.timetuple()),
        }
        both_ways(client, broker)
        line = good_end(door, client, broker)
    assert (line["client_transport"], line["bytes_in"]) == (TRANSPORT, 5000)


def test_keys_are_private(keys, door):
    assert (keys / "signing-keys.pem").stat().st_mode & 0o777 == 0o600
    assert (keys / "jwks.json").stat().st_mode & 0o777 == 0o644
    assert len(published(keys)) == 1


def test_first_bytes_wait_for_an_unproven_broker(door):
    """Nothing of a client goes to an upstream of which nobody knows whether it minds identities; it
    goes there at once as soon as, and only as long as, a connection lives for which it did."""
    first, broker1 = door.pair()
    first.send_data(b"one")
    read_requests(broker1)
    after_a_turn(door)
    assert is_silent(broker1)
    broker1.sendall(GOOD)
    assert read_exactly(broker1, 3) == b"one"

    second, broker2 = door.pair()
    second.send_data(b"two")
    read_requests(broker2)
    assert read_exactly(broker2, 3) == b"two"  # before any answer
    broker2.sendall(GOOD + b"ok")
    assert second.read_data(2) == b"ok"
    good_end(door, second, broker2)

    broker1.shutdown(socket.SHUT_WR)  # its process may have gone
    first.expect_end("close_notify")
    third, broker3 = door.pair()
    third.send_data(b"three")
    read_requests(broker3)
    after_a_turn(door)
    assert is_silent(broker3)
    broker3.sendall(GOOD)
    assert read_exactly(broker3, 5) == b"three"
    good_end(door, third, broker3)
    first.finish()
    broker1.close()
    assert door.line_of(first.name)["reason"] == "upstream_closed"


@contextlib.contextmanager
def proven(door):
    """Inside, the broker is known to mind identities."""
    client, broker, _ = told(door)
    both_ways(client, broker, 10)
    yield
    good_end(door, client, broker)


def test_much_before_the_answers(door):
    """Whatever the client says goes on its way; nothing comes back before the broker has agreed."""
    data = os.urandom(1 << 20)
    with proven(door):
        client, broker = door.pair()
        with client, broker:
            read_requests(broker)
            client.send_data(data)
            assert read_exactly(broker, len(data)) == data
            broker.sendall(GOOD)
            both_ways(client, broker)
            good_end(door, client, broker)


@pytest.mark.parametrize("after", [b"", b"x", os.urandom(3 << 20)], ids=["0", "1", "3MiB"])
def test_answers_and_what_follows_in_one_piece(door, after):
    """Exactly the two answers are taken out; what comes behind them is the client's."""
    client, broker = door.pair()
    with client, broker:
        read_requests(broker)
        sender = threading.Thread(target=broker.sendall, args=(GOOD + after,))
        sender.start()
        assert client.read_data(len(after)) == after
        sender.join()
        both_ways(client, broker)
        good_end(door, client, broker)


def test_answers_byte_by_byte(door):
    client, broker = door.pair()
    with client, broker:
        read_requests(broker)
        broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at, byte in enumerate(GOOD + b"mine"):
            broker.sendall(bytes([byte]))
            if at % 8 == 0:
                after_a_turn(door)
        assert client.read_data(4) == b"mine"
        both_ways(client, broker)
        good_end(door, client, broker)


PLAINTEXT = handshake_answer(34, ()) + authenticate_answer(34)
BAD = [
    (REFUSED, "identity_refused", '{"status":"invalid_token"}'),
    (handshake_answer() + authenticate_answer(58, b"no \x1b[31m"), "identity_refused", "no ?[31m"),
    (PLAINTEXT, "identity_unsupported", "PLAINTEXT"),
    (handshake_answer(33, (b"PLAIN",)), "identity_unsupported", "sasl.enabled.mechanisms"),
    (handshake_answer(35, ()), "identity_unsupported", "too old"),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "identity_garbage", "too large"),
    ((1 << 30).to_bytes(4, "big"), "identity_garbage", "too large"),
    (framed(b"abc"), "identity_garbage", "length"),
    (b"\xff\xff\xff\xff", "identity_garbage", "length"),
    (handshake_answer(number=2), "identity_garbage", "first answer"),
    (handshake_answer() + authenticate_answer(number=1), "identity_garbage", "second answer"),
]
BAD_IDS = ["looks-like-success", "error", "plaintext", "mechanism", "old", "http", "1GiB", "short",
           "negative", "other-number", "swapped"]


@pytest.mark.parametrize("ahead", [False, True], ids=["held", "ahead"])
@pytest.mark.parametrize("answer,reason,says", BAD, ids=BAD_IDS)
def test_bad_answer(door, answer, reason, says, ahead):
    """A clean end for the client, which has seen nothing of it; the log names the reason. To an
    upstream that is not known to mind identities no byte of the client has gone."""
    with contextlib.ExitStack() as around:
        if ahead:
            around.enter_context(proven(door))
        around.enter_context(door.counted(**{reason: 1}))
        client, broker = door.pair()
        with client, broker:
            client.send_data(b"delete everything")
            read_requests(broker)
            if ahead:
                assert read_exactly(broker, 17) == b"delete everything"
            broker.sendall(answer)
            assert end_of(broker) == "fin"
            client.expect_end("close_notify")
            client.finish()
            line = door.line_of(client.name)
            assert (line["event"], line["reason"]) == ("refused", reason)
            assert says in line["detail"] and line["cn"] == "svc-a"


@pytest.mark.parametrize("said", [0, 3, 10, len(handshake_answer()), len(GOOD) - 1])
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_broker_leaves(door, said, how):
    client, broker = door.pair()
    with client, door.counted(identity_closed=1):
        read_requests(broker)
        broker.sendall(GOOD[:said])
        if how == "reset":
            rawtls.reset(broker)
        else:
            broker.close()
        client.expect_end("close_notify")
        client.finish()
        assert door.line_of(client.name)["reason"] == "identity_closed"


def test_broker_that_refuses_and_resets(door):
    """What it said before it broke the connection is still its word."""
    with proven(door), door.counted(identity_refused=1):
        client, broker = door.pair()
        with client:
            read_exactly(broker, 1)
            broker.sendall(REFUSED)
            rawtls.reset(broker)
            client.expect_end("close_notify")
            client.finish()
            line = door.line_of(client.name)
    assert line["reason"] == "identity_refused"


@pytest.mark.parametrize("ahead", [False, True], ids=["held", "ahead"])
def test_client_leaves(door, ahead):
    """Its end is its own, not the broker's fault."""
    with contextlib.ExitStack() as around:
        if ahead:
            around.enter_context(proven(door))
        client, broker = door.pair()
        with client, broker:
            read_requests(broker)
            client.finish()
            if not ahead:
                broker.sendall(GOOD)
            assert end_of(broker) == "fin"
            broker.close()
            client.expect_end("close_notify")
            assert door.line_of(client.name)["reason"] == "client_closed"


def test_client_resets(door):
    client, broker = door.pair()
    with broker, door.counted(client_reset=1):
        read_requests(broker)
        client.reset()
        assert end_of(broker) == "reset"


def test_name_that_a_broker_would_change(door, pki):
    """Such a certificate could become somebody else: it is not let in, and nobody is told of it."""
    key = certs.shared_key("ec-p256", "leaf")
    signer = pki.intermediate
    certificate = certs.build(certs.name_of("svc-a", "tests "), key.public_key(),
                              certs.name_of(signer.cn), signer.key)
    identity = certs.Identity(certificate, key, signer.chain())
    with door.counted(identity_reserved=1):
        with door.raw(identity=identity) as client:
            client.handshake()
            client.expect_end("access_denied", FATAL)
            line = door.line_of(client.name)
    assert line["reason"] == "identity_reserved" and "blank" in line["detail"]
    assert door.hand.idle()


def test_status(door, operator):
    """Who looks sees that a broker takes no identities, and that it does again."""
    client, broker, _ = told(door, PLAINTEXT)
    with client, broker:
        client.expect_end("close_notify")
        client.finish()

    def condition():
        return [c for c in operator.status()["conditions"] if c["condition"] == "identity_not_taken"]
    found = wait_until("the condition", condition)[0]
    assert found["subject"] == "hand" and "identity_unsupported" in found["detail"]
    with proven(door):
        wait_until("the condition to be over", lambda: not condition())


def test_rotation(door, keys):
    """On order: published, then used; whoever verified goes on verifying. Connections live on."""
    client, broker, token = told(door)
    with client, broker:
        before = claims_of(token, keys)[0]["kid"]
        (keys / "rotate").touch()
        wait_until("both keys to be published", lambda: len(published(keys)) == 2)
        wait_until("the order to be taken", lambda: not (keys / "rotate").exists())

        def signs():
            other, peer, fresh = told(door)
            with other, peer:
                kid = claims_of(fresh, keys)[0]["kid"]
                good_end(door, other, peer)
            return kid != before and kid
        after = wait_until("the new key to sign", signs)
        wait_until("the old key to go", lambda: list(published(keys)) == [after])
        both_ways(client, broker)
        good_end(door, client, broker)


def test_full_disk(new_door, tmp_path):
    """The key that is known goes on signing, and its file stays; the next one comes when there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with socket_folder() as folder:
        operator = Operator(folder / "admin.sock")
        process = operator.process()
        process["top"]["identity"] = {"directory": str(disk / "keys"), "overlap": "1s"}
        process["before_exec"] = in_own_mounts(lambda mount: mount("tmpfs", str(disk), "tmpfs", options="size=32k"))
        door = new_door(hand=KAFKA, process=process)
        keys = pathlib.Path(f"/proc/{door.proxy.process.pid}/root{disk}/keys")
        before = {file.name: file.read_bytes() for file in keys.iterdir()}
        fill(keys.parent / "ballast")
        (keys / "rotate").touch()
        (found,) = wait_until("the condition", lambda: operator.condition("identity_keys"))
        assert "No space left on device" in found["detail"]
        client, broker, token = told(door)
        with client, broker:
            claims_of(token, keys)
            good_end(door, client, broker)
        assert {name: (keys / name).read_bytes() for name in before} == before
        (keys.parent / "ballast").unlink()
        wait_until("the order to be taken", lambda: not (keys / "rotate").exists())
        wait_until("the condition to be over", lambda: not operator.condition("identity_keys"))
        assert {name: (keys / name).read_bytes() for name in before} != before


def test_restart_and_algorithms(new_door, tmp_path):
    """Keys outlast the process; another algorithm is a rotation."""
    folder = tmp_path / "keys"
    last = None
    for algorithm, name in (("eddsa", "EdDSA"), ("eddsa", "EdDSA"), ("es256", "ES256"),
                            ("rs256", "RS256")):
        section = {"directory": str(folder), "algorithm": algorithm, "overlap": "1s"}
        door = new_door(process={"top": {"identity": section}}, hand=KAFKA)

        def signed():
            client, broker, token = told(door)
            with client, broker:
                header, _ = claims_of(token, folder)
                good_end(door, client, broker)
            return header["alg"] == name and header
        header = wait_until(f"a token by {name}", signed)
        if last and last["alg"] == name:
            assert header == last
        last = header
        door.check()
        door.proxy.stop()


def test_upgrade(new_door, tmp_path):
    """The new process signs with the same key, under the sandbox of the old one."""
    folder = tmp_path / "keys"
    door = new_door(process={"top": {"identity": {"directory": str(folder)}}}, hand=KAFKA)
    client, broker, token = told(door)
    kid = claims_of(token, folder)[0]["kid"]
    old = door.proxy.upgrade()
    other, peer, fresh = told(door)
    with other, peer:
        assert claims_of(fresh, folder)[0]["kid"] == kid
        good_end(door, other, peer)
    both_ways(client, broker)
    good_end(door, client, broker)
    assert old.wait() == 0


def test_token_lifetime(new_door, tmp_path):
    hand = {"kafka": {"identity": "oauthbearer", "issuer": "me", "audience": "cluster-1",
                      "token_lifetime": "1h"}}
    door = new_door(process={"top": {"identity": {"directory": str(tmp_path / "keys")}}}, hand=hand)
    client, broker, token = told(door)
    with client, broker:
        claims = claims_of(token, tmp_path / "keys")[1]
        assert claims["exp"] - claims["iat"] == 3600
        assert (claims["iss"], claims["aud"]) == ("me", "cluster-1")
        good_end(door, client, broker)


def test_timeout(new_door, tmp_path):
    hand = {"kafka": {"identity": "oauthbearer"}, "timeouts": {"identity": "2s"}}  # the broker has to be in time
    door = new_door(process={"top": {"identity": {"directory": str(tmp_path / "keys")}}}, hand=hand)
    with door.counted(identity_timeout=1):
        client, broker = door.pair()
        with client, broker:
            read_requests(broker)
            broker.sendall(GOOD[:-1])
            client.expect_end("close_notify")
            client.finish()
            assert end_of(broker) == "fin"
            assert door.line_of(client.name)["reason"] == "identity_timeout"


def test_reload(new_door, tmp_path):
    """The keys are opened at start: who has none then can not be given some later."""
    door = new_door()
    door.proxy.config["identity"] = {"directory": str(tmp_path / "keys")}
    door.proxy.listeners["hand"]["kafka"] = {"identity": "oauthbearer"}
    door.proxy.write_config()
    line = door.proxy.reload("reload_failed")
    assert "restart" in line["msg"]
    del door.proxy.listeners["hand"]["kafka"]
    door.proxy.write_config()
    door.proxy.reload()
    assert door.proxy.expect(event="reload", level="warning")[-1]["msg"].startswith("identity:")


def test_folder_that_can_not_be_had(new_proxy, pki, tmp_path):
    (tmp_path / "file").touch()
    listener = {"name": "front", "upstream": "127.0.0.1:9", "tls": pki.tls()}
    with pytest.raises(AssertionError, match="identity.directory|can not open"):
        new_proxy([listener], top={"identity": {"directory": str(tmp_path / "file")}})


ASKED = b"\0\0\0\x0a\0\x12\0\0Saly\xff\xff"


def test_none_is_told_at_start(new_door):
    """A broker that is told of nobody: it is asked what it is, once, and who starts is told."""
    door = new_door(hand={"kafka": {"identity": "none"}})
    broker = door.hand.accept()
    assert read_exactly(broker, len(ASKED)) == ASKED
    broker.sendall(framed(b"Saly\0\0\0\0\0\x02" + b"\0\x12\0\0\0\x03" * 2))
    line = wait_until("the warning", lambda: door.proxy.lines(event="identity_none"))[0]
    assert line["level"] == "warning" and door.hand.endpoint in line["msg"]
    reset_or_fin(broker)
    broker.close()
    door.proxy.config["log"]["level"] = "debug"
    door.proxy.write_config()
    door.proxy.reload()
    client, upstream = door.pair()  # its first connection: nobody has asked again
    client.send_data(b"x")
    assert read_exactly(upstream, 1) == b"x"
    good_end(door, client, upstream)


@pytest.mark.parametrize("answer", [b"220 mail.example ESMTP\r\n", b""], ids=["other", "closes"])
def test_none_before_another_service(new_door, answer):
    door = new_door(hand={"kafka": {}})
    service = door.hand.accept()
    assert read_exactly(service, len(ASKED)) == ASKED
    service.sendall(answer)
    service.shutdown(socket.SHUT_WR)
    reset_or_fin(service)
    service.close()
    assert not door.proxy.lines(event="identity_none")
