# SPDX-License-Identifier: Apache-2.0
"""What a client is called: to a broker, by the rules for principals; and who may certify that."""
import hashlib
import json
import re

import certs
import pytest
from adminrig import FAILED, Operator, socket_folder
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from rawtls import FATAL
from saslbroker import GOOD, claims_of, read_requests

RULES = [
    "RULE:^CN=upper-([^,]*),.*$/$1/U",
    "RULE:^CN=blank-([^,]*),.*$/ $1/",
    "RULE:^CN=empty-.*$//",
    "RULE:^CN=costly-(?:a|aa)+b,.*$/x/,RULE:^CN=two-(.*),O=.*$/svc-$1/",
    "RULE:^CN=(svc-[^,]*),.*$/$1/",
    "RULE:^spiffe:\\/\\/example\\/(.*)$/$1/",
    "RULE:^([a-z]+)\\.example$/$1/U",
]


def key_of(authority):
    spki = authority.key.public_key().public_bytes(serialization.Encoding.DER,
                                                   serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return tmp_path_factory.mktemp("identity") / "keys"


@pytest.fixture(scope="module")
def door_options(keys, pki):
    colons = ":".join(key_of(pki.root_rsa)[i:i + 2].upper() for i in range(0, 64, 2))
    return {
        "process": {"top": {"identity": {"directory": str(keys)}}},
        "hand": {
            "kafka": {"identity": "oauthbearer", "principal_rules": RULES},
            "name_from": ["cn", "uri", "dns"],
            "issuers": [{"name": "svc-b*", "root_cn": ["Nobody", "*root B"]},
                        {"name": "svc-k*", "key": ["00" * 32, colons]},
                        {"name": "svc-bk*", "key": [key_of(pki.intermediate)]}],
            "timeouts": {"identity": "60s"},
        },
    }


@pytest.fixture(scope="module")
def impostor(pki):
    """A CA that has been certified, and calls itself like a root that it is not."""
    return certs.Authority("Test root B", parent=pki.intermediate)


def called(door, keys, identity):
    """What the broker is told that this client is."""
    client, broker = door.pair(identity=identity)
    with client, broker:
        _, claims = claims_of(read_requests(broker), keys)
        broker.sendall(GOOD)
        client.finish()
        broker.close()
        client.expect_end("close_notify")
        assert door.line_of(client.name)["principal"] == claims["sub"]
    return claims["sub"]


def refused(door, identity, reason):
    """The alert, the counter, and the line; the broker hears nothing of it."""
    with door.counted(**{reason: 1}):
        with door.raw(identity=identity) as client:
            client.handshake()
            client.expect_end("access_denied", FATAL)
            line = door.line_of(client.name)
    assert (line["event"], line["reason"]) == ("refused", reason)
    assert door.hand.idle()
    return line["detail"]


def with_subject(signer, *pairs, names=()):
    key = certs.shared_key("ec-p256", "leaf")
    subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in pairs])
    made = certs.build(subject, key.public_key(), certs.name_of(signer.cn), signer.key, names=names)
    return certs.Identity(made, key, signer.chain())


def test_by_rules(door, keys, pki):
    for cn, principal in (("svc-a", "svc-a"), ("upper-svc", "SVC"), ("svc-team/a", "svc-team/a"),
                          ("two-x", "svc-x"), ("svc-müller", "svc-müller")):
        assert called(door, keys, pki.intermediate.issue(cn)) == principal


@pytest.mark.parametrize("cn,reason,says", [
    ("other", "identity_unmapped", "no rule matches 'CN=other,O=Sallyport tests'"),
    ("upper-anonymous", "identity_reserved", "ANONYMOUS"),
    ("blank-svc-a", "identity_reserved", "blank"),
    ("empty-x", "identity_missing", "empty"),
    ("costly-" + "a" * 50, "identity_costly", "steps"),
    ("upper-\u017fvc", "identity_unusable", "ASCII"),
])
def test_refused_by_rules(door, pki, cn, reason, says):
    assert says in refused(door, pki.intermediate.issue(cn), reason)


def test_other_names(door, keys, pki):
    """Who has no CN is called after the next of name_from, if there is just one."""
    ca = pki.intermediate
    uri, other = "spiffe://example/ns/a", "spiffe://example/ns/b"
    assert called(door, keys, ca.issue(None, uris=[uri], dns=["a.example"])) == "ns/a"
    assert called(door, keys, ca.issue(None, dns=["svc.example"])) == "SVC"
    assert called(door, keys, ca.issue("svc-a", uris=[other, uri])) == "svc-a"
    assert "several URIs" in refused(door, ca.issue(None, uris=[uri, other]), "identity_missing")
    assert "several DNS" in refused(door, ca.issue(None, dns=["a.example", "b.example"]), "identity_missing")


def test_no_name_becomes_a_subject(door, pki):
    """What stands in an alternative name can not be taken for a subject."""
    ca = pki.intermediate
    name = "CN=svc-a,O=x"
    assert "no scheme" in refused(door, ca.issue(None, uris=[name]), "identity_missing")
    san = [x509.DNSName(name)]
    identity = with_subject(ca, (NameOID.ORGANIZATION_NAME, "x"), names=san)
    assert "DNS name" in refused(door, identity, "identity_missing")


def test_no_name_at_all(door, pki):
    ca = pki.intermediate
    assert "no rule" in refused(door, ca.issue(None), "identity_unmapped")
    assert "empty" in refused(door, with_subject(ca), "identity_missing")


def test_issuers(door, keys, pki, impostor):
    """A name of its own root, by the root's name or by a key above: not by who only claims it."""
    for cn in ("svc-b", "svc-k", "two-b1", "two-k1"):
        assert called(door, keys, pki.root_rsa.issue(cn)) == cn.replace("two", "svc")
        for signer in (pki.intermediate, impostor):
            assert "issuers[" in refused(door, signer.issue(cn), "identity_issuer")
    # Two rules are about it, and no certificate can satisfy both.
    for signer in (pki.intermediate, pki.root_rsa):
        assert "issuers[" in refused(door, signer.issue("svc-bk"), "identity_issuer")


def test_audit_knows_the_principal(new_door, keys, pki, tmp_path):
    audit = tmp_path / "audit"
    door = new_door(hand={"kafka": {"identity": "oauthbearer"}, "timeouts": {"identity": "60s"}},
                    process={"top": {"identity": {"directory": str(keys)}, "audit": {"file": str(audit)}}})
    want = "CN=svc-a,O=Sallyport tests"
    assert called(door, keys, pki.client) == want
    door.proxy.stop()
    records = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [r["event"] for r in records if r.get("principal") == want] == ["opened", "closed"]


def test_conns_and_kill_know_the_principal(new_door, keys, pki):
    with socket_folder() as folder:
        operator = Operator(folder / "admin.sock")
        door = new_door(hand={"kafka": {"identity": "oauthbearer", "principal_rules": RULES}, "timeouts": {"identity": "60s"}},
                        process={"top": {"identity": {"directory": str(keys)}, **operator.process()["top"]}})
        client, broker = door.pair(identity=pki.intermediate.issue("two-x"))
        with client, broker:
            claims_of(read_requests(broker), keys)
            broker.sendall(GOOD)
            with door.client("echo") as other:
                door.round_trip(other, 10)
                told = {c["listener"]: c["principal"] for c in operator.conns()}
                assert told == {"hand": "svc-x", "echo": None}
                assert re.search(r"STALL +PRINCIPAL\n.* svc-x\n", operator.run("conns", "--principal", "svc-*").stdout)
                assert "PRINCIPAL" not in operator.run("conns", "--listener", "echo").stdout
                assert not operator.conns("--principal", "two-*")
                assert "whom?" in operator.run("kill", "--principal", "", code=FAILED).stderr
                operator.run("kill", "--principal", "svc-x")
                client.expect_end("access_denied", FATAL)
                door.round_trip(other, 10)
                (order,) = door.proxy.expect(event="order", order="kill")
                assert order["principal"] == "svc-x" and order["killed"] == 1


def test_rules_change_live(new_door, keys, pki):
    hand = {"kafka": {"identity": "oauthbearer", "principal_rules": ["RULE:CN=([^,]*).*/$1/"]},
            "timeouts": {"identity": "60s"}}
    door = new_door(hand=hand, process={"top": {"identity": {"directory": str(keys)}}})
    assert called(door, keys, pki.client) == "svc-a"
    listener = next(item for item in door.proxy.config["listeners"] if item["name"] == "hand")
    listener["kafka"]["principal_rules"] = ["RULE:CN=(a/x/"]
    door.proxy.write_config()
    door.proxy.reload("reload_failed")
    assert called(door, keys, pki.client) == "svc-a"
    listener["kafka"]["principal_rules"] = ["RULE:CN=([^,]*).*/$1/U", "DEFAULT"]
    door.proxy.write_config()
    door.proxy.reload()
    assert called(door, keys, pki.client) == "SVC-A"


def test_limits_know_other_names(new_door, pki):
    """Who has no CN is a client of its own by another name, and nobody's where there is none."""
    door = new_door(name_from=["cn", "uri"], process={"top": {"clients": {
        "unnamed": "refuse", "limits": [{"cn": "spiffe://example/a", "connections": 1}]}}})
    named = pki.intermediate.issue(None, uris=["spiffe://example/a"])
    with door.client("echo", identity=named) as first:
        door.round_trip(first)
        with door.counted(limit_client_connections=1), door.client("echo", identity=named) as second:
            second.expect_end("close_notify")
        first.finish()
        first.expect_end("close_notify")
    refused(door, pki.intermediate.issue(None), "client_unnamed")


def test_impostor_uses_up_nothing(new_door, pki):
    """Who may not be called so does not count as who is."""
    door = new_door(issuers=[{"name": "svc-x", "root_cn": ["Test root A"]}], process={"top": {"clients": {
        "limits": [{"cn": "svc-x", "handshakes_per_second": 1}]}}})
    for _ in range(3):
        assert "issuers[0]" in refused(door, pki.root_rsa.issue("svc-x"), "identity_issuer")
    with door.client("echo", identity=pki.intermediate.issue("svc-x")) as client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
