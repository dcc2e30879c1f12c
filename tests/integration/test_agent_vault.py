# SPDX-License-Identifier: Apache-2.0
"""The agent with a real OpenBao and a real Consul: issued, rotated, kept through an outage; and an exit code for each way in
which they can be out of order."""
import json
import subprocess

import pytest
from agentrig import Agent, check_pair, serial_of
from consulrig import Consul
from faultyhttp import FaultyHttp, errors, forward, garbage, stall
from openbaorig import OpenBao
from proxyrig import SANITIZED
from waiting import PATIENCE, wait_until

KEY = "kafka-pki/roots"


def mount(name):
    return f"kafka-pki/root-{name}"


@pytest.fixture(scope="module")
def bao(tmp_path_factory):
    with OpenBao(tmp_path_factory.mktemp("bao")) as server:
        for name in "ab":
            server.add_root(mount(name), f"Root {name.upper()}")
            server.add_role(mount(name), "client")
        server.add_policy("agent", {f"{mount(name)}/sign/client": ["update"] for name in "ab"})
        yield server


@pytest.fixture(scope="module")
def consul(tmp_path_factory):
    with Consul(tmp_path_factory.mktemp("consul")) as server:
        yield server


@pytest.fixture
def agent(bao, tmp_path):
    """Makes agents with a token that may sign, and this many certificates."""
    made = []

    def make(vault=bao, consul=None, count=1, certificate=None, **settings):
        token = tmp_path / "token"
        token.write_text(bao.new_token("agent"))
        top = {"vault": {"address": vault.url, "auth": {"method": "token", "token_file": str(token)}, **settings}}
        if consul:
            top["consul"] = {"address": consul.url, "key": KEY}
        else:
            top["vault"]["issuer"] = mount("a")
        certificates = [{"name": f"c{i}", "source": "vault", "role": "client", "common_name": f"svc-{i}",
                         "layouts": [{"directory": str(tmp_path / f"c{i}")}], **(certificate or {})} for i in range(count)]
        made.append(Agent(tmp_path / f"agent-{len(made)}", certificates, **top))
        return made[-1]
    yield make
    try:
        for one in made:
            if one.running():
                one.stop()
    finally:
        for one in made:
            one.kill()


def roots_of(directory):
    text = (directory / "ca.crt").read_text()
    names = set()
    for pem in text.split("-----END CERTIFICATE-----")[:-1]:
        done = subprocess.run(["openssl", "x509", "-noout", "-subject"], input=pem + "-----END CERTIFICATE-----\n", check=True,
                              capture_output=True, text=True, timeout=PATIENCE)
        names.add(done.stdout.strip().rsplit(" ", 1)[-1])
    return names


def issuer_of(directory):
    done = subprocess.run(["openssl", "x509", "-in", directory / "tls.crt", "-noout", "-issuer"], check=True,
                          capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout.strip().rsplit(" ", 1)[-1]


def test_rotation(agent, consul, tmp_path):
    """B is introduced, becomes the primary, A is removed: certificate and trust follow the key, each step whole."""
    told, hook = tmp_path / "told", tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\necho "$SALLYPORT_REASON" >>{told}\n')
    hook.chmod(0o755)
    consul.put_issuers(KEY, mount("a"))
    one = agent(consul=consul, certificate={"hooks": [{"command": [str(hook)]}]}).start()
    tls = tmp_path / "c0"
    assert (issuer_of(tls), roots_of(tls)) == ("A", {"A"})
    first = serial_of(tls)
    consul.put_issuers(KEY, mount("a"), mount("b"))
    wait_until("B to be trusted", lambda: roots_of(tls) == {"A", "B"})
    wait_until("the hook", lambda: told.read_text().split()[-1] == "roots_changed")  # one that waits gives way to the next
    assert serial_of(tls) == first
    check_pair(tls)
    consul.put_issuers(KEY, mount("b"), mount("a"))
    wait_until("a certificate of B", lambda: issuer_of(tls) == "B")
    wait_until("the hook", lambda: "issuer_changed" in told.read_text().split())
    assert roots_of(tls) == {"A", "B"}
    check_pair(tls)
    second = serial_of(tls)
    consul.put_issuers(KEY, mount("b"))
    wait_until("A to be gone", lambda: roots_of(tls) == {"B"})
    wait_until("all", lambda: one.status()["well"] and not one.busy())
    assert serial_of(tls) == second
    check_pair(tls)
    reasons = told.read_text().split()
    assert reasons[0] == "first" and {"roots_changed", "issuer_changed"} <= set(reasons[1:])
    # Nonsense changes nothing.
    consul.put(KEY, "nonsense")
    wait_until("a complaint", lambda: one.status()["trust"]["error"])
    assert (serial_of(tls), roots_of(tls)) == (second, {"B"})


def test_one_query_for_all(agent, consul):
    """However many certificates there are."""
    consul.put_issuers(KEY, mount("a"))
    with FaultyHttp(forward=consul) as front:
        one = agent(consul=front, count=12).start()
        before = front.count("/v1/kv/")
        consul.put_issuers(KEY, mount("a"), mount("b"))
        wait_until("all to be laid out", lambda: one.status()["trust"]["secondaries"] == 1 and one.status()["well"])
        assert front.count("/v1/kv/") - before <= 2
        if not SANITIZED:
            wait_until(lambda: f"less than 12 MiB: {one.resident_kib()} KiB", lambda: one.resident_kib() < 12 * 1024)


def test_outage(agent, bao, tmp_path):
    """A restart without Vault: what is on disk is good, and stays; then it is there again."""
    with FaultyHttp(forward=bao) as front:
        one = agent(front)
        one.start()
        serial = serial_of(tmp_path / "c0")
        one.stop()
        front.refuse()
        one.once()  # it has what it needs
        assert one.lines(event="once_stale", level="warning")
        one.start(well=False)
        one.verb("renew", code=1)
        state = one.certificate()
        assert state["good"] and state["serial"] == serial and serial_of(tmp_path / "c0") == serial
        check_pair(tmp_path / "c0")
        front.listen()
        wait_until("a new one", lambda: serial_of(tmp_path / "c0") != serial, 6 * PATIENCE)
        wait_until("all well", lambda: one.status()["well"])
        check_pair(tmp_path / "c0")


@pytest.mark.parametrize("code, path, reply", [
    (10, "/v1/", garbage()),
    (11, "/v1/", errors(503, "Vault is sealed")),
    (12, ".*/sign/", errors(429, "rate limit quota exceeded", Retry_After="1")),
    (13, ".*/sign/", errors(403, "permission denied")),
    (14, ".*/sign/", errors(400, "common name svc-0 not allowed by this role")),
    (15, ".*/sign/", "other"),
    (18, "/v1/", stall()),
])
def test_exit_codes(agent, bao, tmp_path, code, path, reply):
    """Of --once, for what the server says until the deadline. Nothing is laid out then."""
    def changed(status, headers, body):
        told = json.loads(body)
        other = bao.call("POST", f"{mount('a')}/issue/client", {
            "common_name": "svc-0", "key_type": "ec", "key_bits": 256}).json
        told["data"]["certificate"] = other["data"]["certificate"]
        return status, headers, json.dumps(told).encode()
    with FaultyHttp(forward=bao) as front:
        front.on(path, forward(changed) if reply == "other" else reply)
        agent(front, timeout="30s").once(code, "4s")  # time enough to meet it: otherwise it is only too late
    assert not (tmp_path / "c0").exists()


def test_templates_as_others_know_them(agent, tmp_path):
    """One file with certificate, key and roots, as a template of another program would have made it."""
    (tmp_path / "t").write_text("{{- certificate -}}\n{{ private_key }}\n{{- chain }}{{ roots }}")
    agent(certificate={"layouts": [{"directory": str(tmp_path / "all"), "formats": [], "templates": [
        {"source": str(tmp_path / "t"), "target": "all.pem"}]}]}).once()
    text = (tmp_path / "all" / "all.pem").read_text()
    assert text.count("BEGIN CERTIFICATE") == 2 and text.count("BEGIN PRIVATE KEY") == 1
