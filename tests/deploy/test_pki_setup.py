# SPDX-License-Identifier: Apache-2.0
"""deploy/pki/setup.sh against a real OpenBao and a real Consul: what it sets up, that a second run changes nothing, that its
policies allow what they must and no more, and what it says when it can not."""
import os
import re
import subprocess

import certs
import faultyhttp
import pytest
from child import REPO
from consulrig import Consul
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from faultyhttp import FaultyHttp
from openbaorig import OpenBao

SETUP = REPO / "deploy/pki/setup.sh"
KEY = "kafka/pki/issuers"
VALUE = '{"primary_issuer":"kafka-pki/root-a","secondary_issuers":[%s]}'
HOUR = 3600


def set_up(verb, *arguments, code=0, **env):
    """Its output; `env` in addition to a bare environment."""
    done = subprocess.run([SETUP, verb, *arguments], capture_output=True, text=True, timeout=300, check=False,
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **env})
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def root_of(which="a", approle="kafka"):
    return ["--path", f"kafka-pki/root-{which}", "--root-ca-common-name", f"Root {which.upper()}",
            "--broker-allowed-domains", "kafka.example.com", "--client-allowed-domains", "svc-*, tool.example.com",
            "--approle", approle]


def at(bao, token=None):
    return {"VAULT_ADDR": bao.url, "VAULT_TOKEN": token or bao.token}


@pytest.fixture(name="bao", scope="module")
def fixture_bao(tmp_path_factory):
    with OpenBao(tmp_path_factory.mktemp("bao")) as bao:
        yield bao


@pytest.fixture(name="site", scope="module")
def fixture_site(bao):
    """Two roots, set up."""
    set_up("root", *root_of("a"), **at(bao))
    set_up("root", *root_of("b"), **at(bao))
    return bao


@pytest.fixture(name="consul", scope="module")
def fixture_consul(tmp_path_factory):
    with Consul(tmp_path_factory.mktemp("consul"), acl=True) as consul:
        yield consul


def csr(cn, dns=(), ips=()):
    request = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)]))
    if names := certs.alternative_names(dns, [], ips):
        request = request.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = request.sign(certs.shared_key("ec-p256", "leaf"), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def login(bao, approle):
    role = bao.read(f"auth/approle/role/{approle}/role-id")["role_id"]
    secret = bao.new_secret_id(approle)
    answer = bao.call("POST", "auth/approle/login", {"role_id": role, "secret_id": secret}, token=None)
    return answer.expect(200).json["auth"]["client_token"]


def sign(bao, token, mount, role, cn, **names):
    return bao.call("POST", f"{mount}/sign/{role}", {"csr": csr(cn, **names)}, token=token)


# What it sets up.
def test_a_dry_run_tells_and_does_nothing(bao):
    arguments = [*root_of("dry"), "--approle-path", "dry-approle"]
    told = set_up("root", *arguments, "--dry-run", **at(bao))
    assert "would create mount kafka-pki/root-dry\n" in told and "11 to be written, 0 as" in told
    assert "kafka-pki/root-dry/" not in bao.read("sys/mounts")
    assert "dry-approle/" not in bao.read("sys/auth")
    assert bao.call("GET", "sys/policies/acl/kafka-pki-root-dry-broker").status == 404


def test_a_second_run_changes_nothing_and_a_third_only_what_is_asked(bao):
    arguments = root_of("again", "again")
    assert " 0 as they should be" in set_up("root", *arguments, **at(bao))
    root, role = bao.call("GET", "kafka-pki/root-again/ca/pem").text, bao.read("kafka-pki/root-again/roles/client")
    told = set_up("root", *arguments, **at(bao))
    assert "\n0 written, 11 as they should be" in told and not re.search("created|changed", told)
    told = set_up("root", *arguments, "--client-ttl", "90m", "--crl-expiry", "96h", **at(bao))
    assert "\n2 written, 9 as they should be" in told
    assert 'role client (ttl: 86400 -> "90m")' in told
    assert bao.call("GET", "kafka-pki/root-again/ca/pem").text == root
    assert bao.read("kafka-pki/root-again/roles/client") == {**role, "ttl": 5400}
    assert bao.read("kafka-pki/root-again/config/crl")["expiry"] == "96h"


def test_what_somebody_changed_by_hand_is_put_right(bao):
    arguments = root_of("hand", "hand")
    set_up("root", *arguments, **at(bao))
    bao.write("kafka-pki/root-hand/roles/broker", allow_any_name=True)
    bao.add_policy("kafka-pki-root-hand-client", {"*": ["sudo"]})
    told = set_up("root", *arguments, **at(bao))
    assert "changed      role broker (" in told and "changed      policy kafka-pki-root-hand-client" in told
    assert "\n2 written" in told and not bao.read("kafka-pki/root-hand/roles/broker")["allow_any_name"]


def test_certificates_are_what_brokers_and_clients_need(site):
    def issued(kind, cn, **names):
        answer = sign(site, login(site, f"kafka-{kind}"), "kafka-pki/root-a", kind, cn, **names).expect(200)
        return x509.load_pem_x509_certificate(answer.json["data"]["certificate"].encode())

    def usages(certificate):
        return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)

    def lifetime(certificate):
        utc = "_utc" if hasattr(certificate, "not_valid_after_utc") else ""  # the name without is going away
        begin, end = (getattr(certificate, f"not_valid_{which}{utc}") for which in ("before", "after"))
        return (end - begin).total_seconds()
    broker, client = issued("broker", "b1.kafka.example.com"), issued("client", "svc-orders")
    assert usages(broker) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert usages(client) == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert 72 * HOUR <= lifetime(broker) < 73 * HOUR and 24 * HOUR <= lifetime(client) < 25 * HOUR
    for certificate in broker, client:
        key_usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        assert key_usage.digital_signature and not key_usage.key_cert_sign
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert points[0].full_name[0].value == f"{site.url}/v1/kafka-pki/root-a/crl"
        assert certificate.issuer.rfc4514_string() == "CN=Root A"


@pytest.mark.parametrize("kind, cn, names", [
    ("broker", "svc-orders", {}), ("broker", "kafka.example.org", {}), ("broker", "kafka.example.com", {"dns": ["localhost"]}),
    ("broker", "kafka.example.com", {"ips": ["127.0.0.1"]}), ("client", "b1.kafka.example.com", {}),
    ("client", "other", {}), ("client", "x.tool.example.com", {}), ("client", "svc-a", {"dns": ["kafka.example.com"]}),
])
def test_no_role_signs_a_name_of_another(site, kind, cn, names):
    assert sign(site, login(site, f"kafka-{kind}"), "kafka-pki/root-a", kind, cn, **names).status == 400


# Who may do what.
@pytest.mark.parametrize("kind, other", [("broker", "client"), ("client", "broker")])
def test_the_policies_allow_what_is_needed_and_no_more(site, kind, other):
    token = login(site, f"kafka-{kind}")
    cn = {"broker": "kafka.example.com", "client": "svc-a"}
    for mount in "kafka-pki/root-a", "kafka-pki/root-b":  # the one before and the one after a rotation
        assert sign(site, token, mount, kind, cn[kind]).status == 200
        assert sign(site, token, mount, other, cn[other]).status == 403
        assert site.call("GET", f"{mount}/cert/ca_chain", token=None).status == 200
    assert site.call("POST", "auth/token/renew-self", {}, token=token).status == 200
    assert site.call("GET", "auth/token/lookup-self", token=token).json["data"]["policies"] == [
        f"kafka-pki-root-a-{kind}", f"kafka-pki-root-b-{kind}"]
    may = site.write("sys/capabilities", token=token, paths=(paths := [
        *(f"kafka-pki/root-{x}/{path}" for x in "ab" for path in (
            f"sign/{other}", f"issue/{kind}", f"issue/{other}", "sign-verbatim", f"sign-verbatim/{kind}", "sign-self-issued",
            "root/sign-intermediate", "root/generate/internal", "root/rotate/internal", "root", "revoke", "revoke-with-key",
            "tidy", "config/ca", "config/crl", "config/urls", "config/issuers", "issuers/generate/root/internal",
            "issuer/default", f"issuer/default/sign/{kind}", "keys", "certs", f"roles/{kind}", f"roles/{other}", "roles/new",
            "crl/rotate")),
        f"kafka-pki/root-c/sign/{kind}", "sys/mounts", "sys/mounts/x", "sys/policies/acl/x",
        f"sys/policies/acl/kafka-pki-root-a-{kind}",
        "sys/auth", "sys/seal", "sys/audit/x", "auth/token/create", "auth/token/lookup", "auth/token/revoke",
        f"auth/approle/role/kafka-{kind}", f"auth/approle/role/kafka-{kind}/secret-id", f"auth/approle/role/kafka-{kind}/role-id",
        "identity/entity", "cubbyhole/x", "secret/data/x"])).json["data"]
    assert {path: may[path] for path in paths} == {path: ["deny"] for path in paths}
    assert site.call("POST", "auth/token/revoke-self", {}, token=token).status == 204
    assert sign(site, token, "kafka-pki/root-a", kind, cn[kind]).status == 403


def test_the_operator_needs_no_more_than_the_page_says(tmp_path):
    page = (REPO / "deploy/pki/README.md").read_text(encoding="utf-8")
    (policy,) = [block for block in re.findall("```hcl\n(.*?)```", page, re.S) if "sys/mounts" in block]
    with OpenBao(tmp_path) as bao:
        token = bao.new_token("operator")
        for line in policy.splitlines():  # each run comes as far as to what that line is for
            bao.write("sys/policies/acl/operator", policy=policy.replace(line, ""))
            assert "(HTTP 403)" in set_up("root", *root_of(), code=1, **at(bao, token)), line
        bao.write("sys/policies/acl/operator", policy=policy)
        set_up("root", *root_of(), **at(bao, token))
        assert "0 written" in set_up("root", *root_of(), **at(bao, token))


# What it says.
def test_a_wrong_argument_is_named():
    for arguments, words in [
        ([], "--path is missing"), (root_of()[:2], "--root-ca-common-name is missing"), (["--path"], "--path needs a value"),
        ([*root_of(), "--path", "kafka-pki/"], "is no plain path"), ([*root_of(), "--broker-ttl", "soon"], "'soon' is no time"),
        ([*root_of(), "--root-key-bits", "many"], "'many' is no number"),
        ([*root_of(), "--approle", "a/b"], "no plain name"), (["--colour", "red"], "unknown option '--colour'"),
        (["more"], "unknown argument 'more'"),
    ]:
        assert words in set_up("root", *arguments, code=2)


def test_what_is_wrong_with_the_server_or_the_token_is_said(bao, consul, tmp_path):
    weak = bao.new_token("default")
    gone = bao.new_token("default")
    bao.revoke_token(gone)
    for env, words in [
        ({"VAULT_TOKEN": "x"}, "VAULT_ADDR is not set"),
        ({"VAULT_ADDR": bao.url}, "there is no token for Vault"),
        (at(bao, weak), "the token may not GET sys/mounts (HTTP 403)"),
        (at(bao, gone), "Vault does not take the token (HTTP 403)"),
        ({"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "x"}, "does not answer (curl: (7)"),
        ({"VAULT_ADDR": consul.url, "VAULT_TOKEN": "x"}, "is no Vault, or is unwell (HTTP 404"),
    ]:
        assert words in set_up("root", *root_of(), code=1, **env)
    with FaultyHttp(tmp_path, tls=certs.self_signed("x")) as fake:
        assert "curl: (60)" in set_up("root", *root_of(), code=1, VAULT_ADDR=fake.url, VAULT_TOKEN="x")
    with FaultyHttp(forward=bao) as fake:
        fake.on("/v1/sys/mounts", faultyhttp.errors(500, "1 error occurred:\n\t* no  room"))
        told = set_up("root", *root_of(), code=1, VAULT_ADDR=fake.url, VAULT_TOKEN=bao.token)
        assert "GET sys/mounts failed (HTTP 500): 1 error occurred: * no room\n" in told
    bao.seal()
    try:
        assert f"Vault at {bao.url} is sealed (HTTP 503)" in set_up("root", *root_of(), code=1, **at(bao))
    finally:
        bao.unseal()


def test_what_is_there_and_not_ours_is_left_alone(bao):
    bao.write("sys/mounts/taken", type="kv")
    bao.add_root("old", "Old Root")
    for path, words in ("taken", "of the type 'kv' is mounted at taken"), ("old", "named 'Old Root', not 'Root A'"):
        before = bao.read("sys/mounts")[f"{path}/"]
        arguments = [*root_of(), "--path", path]
        assert words in set_up("root", *arguments, code=1, **at(bao))
        assert bao.read("sys/mounts")[f"{path}/"]["uuid"] == before["uuid"]


def test_over_mutual_tls(tmp_path):
    root, clients = certs.Authority("servers"), certs.Authority("clients")
    crt, key = clients.issue("operator").write(tmp_path, "operator")
    ca = {"CACERT": root.write(tmp_path, "root"), "CLIENT_CERT": crt, "CLIENT_KEY": key}
    tls = {"tls": root.issue("server", usage="server", ips=["127.0.0.1"]), "root": root, "client_root": clients}
    with OpenBao(tmp_path / "bao", **tls) as bao, Consul(tmp_path / "consul", **tls) as consul:
        env = {f"VAULT_{name}": value for name, value in ca.items()}
        assert "11 written" in set_up("root", *root_of(), **env, **at(bao))
        env = {f"CONSUL_{name}": value for name, value in ca.items()}
        set_up("consul", "--key", KEY, "--primary", "kafka-pki/root-a", CONSUL_HTTP_ADDR=consul.url, **env)
        assert consul.get(KEY)[0] == VALUE % ""


# Consul's key.
def set_key(consul, *arguments, code=0, url=None, token=None):
    return set_up("consul", "--key", KEY, "--primary", "kafka-pki/root-a", *arguments, code=code,
                 CONSUL_HTTP_ADDR=url or consul.url, CONSUL_HTTP_TOKEN=token or consul.token)


def test_the_key_is_written_once_and_replaced_only_on_demand(consul):
    consul.delete(KEY)
    both = ["--secondary", "kafka-pki/root-b", "--secondary", "kafka-pki/root-c"]
    assert "would write" in set_key(consul, "--dry-run") and consul.get(KEY) == (None, 0)
    assert "1 written" in set_key(consul)
    text, index = consul.get(KEY)
    assert text == VALUE % ""
    assert "0 written, 1 as" in set_key(consul) and consul.get(KEY)[1] == index
    told = set_key(consul, *both, code=1)
    assert "says something else already" in told and "--replace" in told and consul.get(KEY) == (text, index)
    set_key(consul, *both, "--replace")
    assert consul.get(KEY)[0] == VALUE % '"kafka-pki/root-b","kafka-pki/root-c"'
    consul.put(KEY, '{ "secondary_issuers": [],\n "primary_issuer": "kafka-pki/root-a" }')
    assert "0 written" in set_key(consul)
    consul.put(KEY, "no JSON")
    assert "already: no JSON" in set_key(consul, code=1)


def test_nobody_who_writes_meanwhile_is_overwritten(consul):
    consul.delete(KEY)

    def write_too(status, headers, body):
        consul.put_issuers(KEY, "kafka-pki/root-z")
        return status, headers, body
    with FaultyHttp(forward=consul) as fake:
        fake.on(f"/v1/kv/{KEY}", faultyhttp.forward(write_too), method="GET", times=1)
        assert "somebody else has written" in set_key(consul, code=1, url=fake.url)
    assert "root-z" in consul.get(KEY)[0]


def test_a_process_needs_no_more_of_consul_than_the_page_says(consul):
    page = (REPO / "deploy/pki/README.md").read_text(encoding="utf-8")
    (rules,) = [block for block in re.findall("```hcl\n(.*?)```", page, re.S) if KEY in block]
    token = consul.new_token(rules)
    consul.put_issuers(KEY, "kafka-pki/root-a")
    index = consul.get(KEY)[1]
    assert consul.call("GET", f"kv/{KEY}?index={index - 1}&wait=1s", token=token).status == 200
    assert consul.call("PUT", f"kv/{KEY}", "x", token=token).status == 403
    assert consul.call("GET", "kv/kafka/pki/other", token=token).status == 403
    assert consul.call("GET", "kv/kafka/?recurse", token=token).json[0]["Key"] == KEY


def test_what_is_wrong_with_consul_is_said(consul):
    consul.delete(KEY)
    reader = consul.new_token('key_prefix "kafka/" { policy = "read" }')
    assert f"may not PUT kv/{KEY}?cas=0 (HTTP 403)" in set_key(consul, token=reader, code=1)
    assert f"may not GET kv/{KEY} (HTTP 403)" in set_key(consul, token="00000000-0000-0000-0000-000000000000", code=1)
    assert "does not answer" in set_key(consul, url="127.0.0.1:1", code=1)
    with FaultyHttp() as fake:
        fake.on("/", faultyhttp.text(500, "No cluster leader"))
        assert "failed (HTTP 500): No cluster leader" in set_key(consul, url=fake.url, code=1)
    for arguments, words in [(["--secondary", "kafka-pki/root-a"], "named twice"), (["--secondary"], "needs a value"),
                             (["--key", "/x"], "no plain path")]:
        assert words in set_key(consul, *arguments, code=2)
