# SPDX-License-Identifier: Apache-2.0
"""The server that has bad days: that each of its faults reaches a client as what it is meant to be."""
import http.client
import json
import ssl
import threading

import certs
import faultyhttp
import pytest
from consulrig import Consul
from faultyhttp import FaultyHttp, Hold, Huge
from waiting import PATIENCE, wait_until


@pytest.fixture(name="fake")
def fixture_fake(tmp_path):
    with FaultyHttp(tmp_path) as fake:
        yield fake


def ask(fake, path="/v1/x", timeout=PATIENCE, method="GET", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", fake.port, timeout=timeout)
    try:
        connection.request(method, path, body)
        told = connection.getresponse()
        return told.status, told.headers, told.read()
    finally:
        connection.close()


def test_rules_are_used_up_in_order(fake):
    fake.on("/v1/pki/", faultyhttp.errors(429, "slower", Retry_After=7), times=1)
    fake.on("/v1/pki/", faultyhttp.errors(503, "sealed"), method="POST")
    status, headers, body = ask(fake, "/v1/pki/sign/x")
    assert (status, headers["Retry-After"], json.loads(body)) == (429, "7", {"errors": ["slower"]})
    assert ask(fake, "/v1/pki/sign/x", method="POST", body="{}")[0] == 503
    assert ask(fake, "/v1/pki/sign/x")[0] == 404
    assert [r.method for r in fake.expect("/v1/pki/", 3)] == ["GET", "POST", "GET"]
    fake.on("/v1/", faultyhttp.redirect("http://127.0.0.1:1/"))
    assert ask(fake)[1]["Location"] == "http://127.0.0.1:1/"


@pytest.mark.parametrize("reply, error", [
    (faultyhttp.garbage(), http.client.BadStatusLine),
    (faultyhttp.cut(), http.client.IncompleteRead),
    (faultyhttp.reset(), ConnectionResetError),
    (faultyhttp.reset(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), (ConnectionError, http.client.IncompleteRead)),
    (faultyhttp.huge_head, http.client.HTTPException),
    (faultyhttp.stall(), TimeoutError),
    (faultyhttp.stall_in_body(), TimeoutError),
], ids=["garbage", "cut", "reset", "reset-in-body", "huge-head", "stall", "stall-in-body"])
def test_a_fault_is_what_it_says(fake, reply, error):
    fake.on("/", reply)
    with pytest.raises(error):
        ask(fake, timeout=0.5 if error is TimeoutError else PATIENCE)


def test_slow_and_huge_answers_come_whole_to_whoever_has_patience(fake):
    fake.on("/slow", faultyhttp.trickle(b"abc", pause=0.01))
    assert ask(fake, "/slow")[2] == b"abc"
    for announced in True, False:
        huge = fake.on(f"/{announced}", Huge(1 << 22, announced))
        assert len(ask(fake, f"/{announced}")[2]) == 1 << 22
        wait_until("the last bytes to be counted", lambda huge=huge: huge.sent == 1 << 22)


def test_a_held_answer_waits_for_the_test(fake):
    held = fake.on("/", Hold(faultyhttp.answer(200, {"late": True})))
    told = []
    client = threading.Thread(target=lambda: told.append(ask(fake)))
    client.start()
    wait_until("the request to be held", lambda: held.waiting == 1)
    assert not told
    held.release()
    client.join(PATIENCE)
    assert told[0][0] == 200


def test_a_refused_connection_and_the_same_port_again(fake):
    fake.refuse()
    with pytest.raises(ConnectionRefusedError):
        ask(fake)
    fake.listen()
    assert ask(fake)[0] == 404


def test_certificates_that_no_client_takes(tmp_path):
    root, names = certs.Authority("fake"), {"usage": "server", "ips": ["127.0.0.1"]}
    context = ssl.create_default_context(cafile=root.write(tmp_path, "root"))

    def ask_tls(fake):
        connection = http.client.HTTPSConnection("127.0.0.1", fake.port, timeout=PATIENCE, context=context)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status
        finally:
            connection.close()
    with FaultyHttp(tmp_path, tls=root.issue("fake", **names)) as fake:
        assert ask_tls(fake) == 404
        for bad, words in [
            (root.issue("fake", not_after=certs.now() - certs.DAY / 2, **names), "expired"),
            (certs.self_signed("fake", usage="server"), "self-signed"),
            (root.issue("fake", usage="server", ips=["127.0.0.2"]), "IP address mismatch"),
        ]:
            fake.show(bad)
            with pytest.raises(ssl.SSLCertVerificationError, match=words):
                ask_tls(fake)


def test_between_faults_the_real_server_answers(tmp_path):
    with Consul(tmp_path / "consul") as consul, FaultyHttp(forward=consul) as fake:
        fake.on("/v1/kv/", faultyhttp.text(500, "No cluster leader"), times=1)
        consul.put("pki/issuers", "x")
        assert ask(fake, "/v1/kv/pki/issuers?raw")[0] == 500
        status, headers, body = ask(fake, "/v1/kv/pki/issuers?raw")
        assert (status, body) == (200, b"x") and int(headers["X-Consul-Index"]) > 0
        assert ask(fake, "/v1/kv/new", method="PUT", body="y")[2].strip() == b"true"
        assert consul.get("new")[0] == "y"
        fake.on("/v1/kv/", faultyhttp.forward(lambda status, headers, body: (status, headers, body[:-1])))
        assert ask(fake, "/v1/kv/new?raw")[2] == b""
