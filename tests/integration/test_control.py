# SPDX-License-Identifier: Apache-2.0
"""Certificates from a real OpenBao, issuers from a real Consul: first and next certificates, rotation under live
connections, and every way in which servers have bad days: the proxy goes on with what was good, and says why."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import certs
import faultyhttp
import pytest
from adminrig import Operator, socket_folder
from consulrig import Consul
from controlrig import CN, KEY, Fleet, Site, echo, mount, public_key_of, sign, signed
from faultyhttp import FaultyHttp, Huge
from mounts import fill, in_own_mounts
from openbaorig import OpenBao, service_account_token
from proxyrig import BINARY, REPO, SANITIZED, landlock_abi
from waiting import wait_until


@pytest.fixture(scope="module", name="bao")
def fixture_bao(tmp_path_factory):
    with OpenBao(tmp_path_factory.mktemp("bao")) as bao:
        yield bao


@pytest.fixture(scope="module", name="site")
def fixture_site(bao, tmp_path_factory):
    return Site(bao, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module", name="running_consul")
def fixture_running_consul(tmp_path_factory):
    with Consul(tmp_path_factory.mktemp("consul")) as consul:
        yield consul


@pytest.fixture(name="consul")
def fixture_consul(running_consul):
    """Root A issues."""
    running_consul.put_issuers(KEY, mount("a"), mount("b"))
    return running_consul


@pytest.fixture(name="fleet")
def fixture_fleet(tmp_path, site):
    fleet = Fleet(tmp_path, site)
    yield fleet
    fleet.close()


@pytest.fixture(name="vault")
def fixture_vault(bao):
    """In front of the real one."""
    with FaultyHttp(forward=bao) as fake:
        yield fake


# Good days.
def test_issued_and_rotated_under_live_connections(fleet, bao, consul, loop):
    consul.put_issuers(KEY, mount("a"))
    proxy = fleet.make(bao, consul, loop=loop, process={"audit": {"file": str(fleet.folder / "audit")}}).start()
    assert proxy.issuer(roots="a") == "A" and proxy.ready()[0] == 200
    assert proxy.issuer(identity="b") == "", "not trusted yet"
    shown = proxy.certificate()
    names = shown.extensions.get_extension_for_class(certs.x509.SubjectAlternativeName).value
    assert names.get_values_for_type(certs.x509.DNSName) == [CN]
    with proxy.connect() as live:
        echo(live)
        consul.put_issuers(KEY, mount("a"), mount("b"))
        proxy.event("trust", secondaries=1)
        wait_until("root B to be trusted", lambda: proxy.issuer(identity="b") == "A")
        consul.put_issuers(KEY, mount("b"), mount("a"))
        proxy.await_issuer("B")
        assert proxy.issuer(identity="a", roots="b") == "B"
        consul.put_issuers(KEY, mount("b"))
        wait_until("root A not to be trusted", lambda: proxy.issuer(identity="a") == "")
        echo(live)
    metrics = proxy.metrics()
    assert metrics.value("sallyport_certificate_issues_total", certificate="broker") == 2
    assert metrics.value("sallyport_trust_roots") == 1 and metrics.value("sallyport_trust_followed") == 1
    proxy.stop()
    records = [json.loads(line) for line in (fleet.folder / "audit").read_text().splitlines()]
    assert [r["reason"] for r in records if r["event"] == "certificate_issued"] == ["first", "issuer_changed"]


def test_kept_on_disk(fleet, vault, consul):
    """A start needs nobody; what was kept is nobody else's to read."""
    kept = fleet.folder / "kept"
    proxy = fleet.make(vault, consul, persist=str(kept)).start()
    serial = proxy.certificate().serial_number
    proxy.stop()
    assert os.stat(kept).st_mode & 0o777 == 0o700 and os.stat(kept / "broker.pem").st_mode & 0o777 == 0o600
    vault.refuse()
    proxy.config["consul"]["address"] = vault.url
    proxy.start()
    assert proxy.certificate(identity="b").serial_number == serial and proxy.ready()[0] == 200
    proxy.event("source_failed", source="consul", cause="refused")
    assert not proxy.lines(event="source_failed", source="vault"), "nothing is asked of it"
    proxy.stop()
    (kept / "broker.pem").write_text("spoilt")
    vault.listen()
    proxy.config["consul"]["address"] = consul.url
    proxy.start()
    proxy.event("kept_unusable")
    assert proxy.certificate().serial_number != serial


def test_folder_that_can_not_be_written(fleet, bao, consul):
    """What is new is in force all the same, and somebody is told."""
    kept = fleet.folder / "kept"
    proxy = fleet.make(bao, consul, persist=str(kept))
    proxy.expected_errors = {"keep_failed"}
    proxy.start()
    proxy.await_issuer("A")
    shutil.rmtree(kept)
    consul.put_issuers(KEY, mount("b"), mount("a"))
    proxy.await_issuer("B")
    assert "kept" in proxy.event("keep_failed", 2)["msg"]
    proxy.event("condition", condition="certificate_not_renewed", state="begins")


def test_full_disk(fleet, bao, consul):
    """What is new is in force, what was kept stays whole; it is replaced as soon as there is room."""
    disk = fleet.folder / "disk"
    disk.mkdir()
    proxy = fleet.make(bao, consul, persist=str(disk / "kept"))
    proxy.before_exec = in_own_mounts(lambda mount: mount("tmpfs", str(disk), "tmpfs", options="size=32k"))
    proxy.expected_errors = {"keep_failed"}
    proxy.start()
    proxy.await_issuer("A")
    kept = pathlib.Path(f"/proc/{proxy.process.pid}/root{disk}/kept")
    wait_until("both to be kept", lambda: {f.name for f in kept.iterdir()} == {"broker.pem", "trust.json"})
    before = {name: (kept / name).read_bytes() for name in ("broker.pem", "trust.json")}
    fill(kept.parent / "ballast")
    consul.put_issuers(KEY, mount("b"), mount("a"))
    proxy.await_issuer("B")
    assert "No space left on device" in proxy.event("keep_failed", 2)["msg"]
    proxy.event("condition", condition="certificate_not_renewed", state="begins")
    assert {name: (kept / name).read_bytes() for name in before} == before
    (kept.parent / "ballast").unlink()
    proxy.event("kept", 2)
    proxy.event("condition", condition="certificate_not_renewed", state="over")
    assert json.loads((kept / "trust.json").read_text())["primary_issuer"] == mount("b")
    shown = proxy.certificate()
    assert certs.x509.load_pem_x509_certificate((kept / "broker.pem").read_bytes()) == shown
    assert len(proxy.lines(event="keep_failed")) == 2, "the same is no news"
    assert {f.name for f in kept.iterdir()} == set(before)


def test_keys_are_not_written_unless_asked(fleet, bao, consul):
    proxy = fleet.make(bao, consul).start()
    assert proxy.issuer() == "A"
    found = [f for f in fleet.folder.rglob("*") if f.is_file() and b"PRIVATE KEY" in f.read_bytes()]
    assert not found


def test_renewed_and_resumed_after_an_upgrade(fleet, vault):
    """A life of ten seconds: renewed in time. The next process begins with what is kept."""
    proxy = fleet.make(vault, persist=str(fleet.folder / "kept"), certificate={"role": "short"}).start()
    first = proxy.certificate().serial_number
    proxy.upgrade()
    shown = proxy.certificate().serial_number

    def serials(reason):
        return [int(line["serial"], 16) for line in proxy.lines(event="certificate_issued", reason=reason)]
    # On a slow machine it has been renewed by now.
    wait_until(lambda: f"{shown:x} to be the kept one or its next:\n{proxy.tail()}",
               lambda: shown in serials("loaded") + serials("renewed"))
    assert serials("first") == [first] and serials("loaded")[0] in [first, *serials("renewed")]
    proxy.event("certificate_issued", reason="renewed")
    wait_until("the next certificate", lambda: proxy.certificate().serial_number != first)


def test_files_that_are_replaced(fleet, tmp_path):
    """The source `files` asks nobody."""
    authority = certs.Authority("Files")
    root = authority.write(str(tmp_path), "root")
    certificate, key = authority.issue("first", usage="server").write(str(tmp_path), "own")
    proxy = fleet.alone({"source": "files", "certificate": certificate, "key": key}, root).start()
    proxy.event("certificate_issued", cn="first", reason="first")
    authority.issue("second", usage="server").write(str(tmp_path), "own")
    proxy.event("certificate_issued", cn="second", reason="files_changed")


def test_embedded_ca(fleet, tmp_path):
    """The source `dev` signs by itself; its index has each certificate."""
    folder = tmp_path / "ca"
    subprocess.run([BINARY, "dev", "ca", "--dir", folder], check=True, capture_output=True)
    proxy = fleet.alone({"source": "dev", "dir": str(folder), "common_name": CN, "dns": [CN]}, str(folder / "ca.crt")).start()
    line = proxy.event("certificate_issued", cn=CN)
    assert json.loads((folder / "index.jsonl").read_text().splitlines()[-1])["serial"] == line["serial"]
    assert not list(folder.glob("broker*"))


def test_renewed_by_order(fleet, tmp_path):
    """`sallyport renew`: at once; and what is good stays where that fails."""
    folder = tmp_path / "ca"
    subprocess.run([BINARY, "dev", "ca", "--dir", folder], check=True, capture_output=True)
    proxy = fleet.alone({"source": "dev", "dir": str(folder), "common_name": CN, "dns": [CN]}, str(folder / "ca.crt"))
    with socket_folder() as sockets:
        operator = Operator(sockets / "admin.sock")
        proxy.config["admin"] = {"socket": operator.path}
        proxy.start()
        first = proxy.event("certificate_issued", reason="first")
        assert re.search(f"broker +{CN} .* good", operator.run("renew", "broker").stdout)
        second = proxy.event("certificate_issued", reason="ordered")
        assert second["serial"] != first["serial"]
        assert proxy.event("order", order="renew", certificate="broker")["by_uid"] == os.getuid()
        assert operator.ask("renew", "--all") == {"ordered": True}
        last = proxy.event("certificate_issued", 2, reason="ordered")
        assert "no listener shows a certificate 'other'" in operator.run("renew", "other", code=1).stderr
        for wrong in ([], ["broker", "--all"], ["broker", "other"]):
            operator.run("renew", *wrong, code=2)
        (folder / "ca.key").rename(folder / "away")
        assert "local" in operator.run("renew", "broker", code=1).stdout
        (told,) = operator.status()["certificates"]
        assert told["good"] and told["serial"] == last["serial"] and told["issued"] == 3 and told["failures"]


def test_nothing_to_renew(new_door):
    with socket_folder() as sockets:
        operator = Operator(sockets / "admin.sock")
        new_door(process=operator.process())
        assert "putting new files in their place" in operator.run("renew", "--all", code=1).stderr


def test_within_the_whole_sandbox(bao, consul, site):
    """As another user, with the ports of both servers and the folder of what is kept, and nothing else."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sally-"))
    folder.chmod(0o755)
    secret = folder / "secret-id"
    secret.write_text(site.secret_id)
    fleet = Fleet(folder, site)
    required = landlock_abi() and not SANITIZED
    try:
        proxy = fleet.make(bao, consul, persist=str(folder / "kept"),
                           auth={"method": "approle", "role_id": site.role_id, "secret_id_file": str(secret)},
                           process={"user": "nobody", "sandbox": "required" if required else "auto"}).start()
        proxy.await_issuer("A")
        assert (folder / "kept").owner() == "nobody"
        consul.put_issuers(KEY, mount("b"), mount("a"))
        proxy.await_issuer("B")
        assert mount("b") in (folder / "kept" / "broker.pem").read_text().splitlines()[0]
    finally:
        fleet.close()
        shutil.rmtree(folder)


# Bad days.
def test_waits_for_vault(fleet, tmp_path):
    """Sealed, and nothing on disk: it runs, refuses, says why, and serves when there is something to serve with."""
    with OpenBao(tmp_path / "bao", persistent=True) as bao:
        site = Site(bao, tmp_path)
        bao.seal()
        own = Fleet(tmp_path, site)
        try:
            proxy = own.make(bao, timeout="2s").start()
            status, text = proxy.ready()
            assert status == 503 and "broker" in text
            proxy.event("source_failed", source="vault", cause="sealed")
            bao.unseal()
            proxy.await_issuer("A")
            proxy.event("source_recovered")
            assert proxy.ready()[0] == 200
        finally:
            own.close()


def other_key(exchange):
    identity = certs.Authority("Other").issue(CN, usage="server")
    faultyhttp.answer(200, signed(identity.certificate))(exchange)


def signed_by_stranger(exchange, **dates):
    stranger = certs.Authority("Stranger")
    certificate = certs.build(certs.name_of(CN), public_key_of(exchange.request), certs.name_of("Stranger"), stranger.key,
                              usage="server", **dates)
    faultyhttp.answer(200, signed(certificate, stranger.certificate))(exchange)


def expired(exchange):
    signed_by_stranger(exchange, not_after=certs.now() - certs.DAY / 2)


FAULTS = {
    "denied": faultyhttp.errors(403, "permission denied"),
    "rejected": faultyhttp.errors(400, "common name not allowed by this role"),
    "not_found": faultyhttp.errors(404),
    "rate_limited": faultyhttp.errors(429, "quota exceeded", Retry_After=1),
    "server_error": faultyhttp.errors(500, "internal error"),
    "sealed": faultyhttp.errors(503, "Vault is sealed"),
    "unexpected": faultyhttp.redirect("http://127.0.0.1:1/v1/elsewhere"),
    "not_json": faultyhttp.text(200, "<html>a portal</html>"),
    "malformed": faultyhttp.answer(200, {"data": {"serial_number": "1"}}),
    "timeout": faultyhttp.stall_in_body(),
    "broken": faultyhttp.garbage(),
    "too_large": Huge(),
    "key_mismatch": other_key,
    "untrusted": signed_by_stranger,
    "not_valid": expired,
}


def test_faults_of_signing(fleet, site, vault, consul):
    """Root B begins to issue, and each of many certificates meets another fault: A's stay, each cause is counted and told
    once, and in the end B issues all of them."""
    for cause in FAULTS:
        site.bao.add_role(mount("a"), cause)
        site.bao.add_role(mount("b"), cause)
        vault.on(sign("b", f"{cause}$"), FAULTS[cause], times=1)
    proxy = fleet.make(vault, consul, timeout="2s",
                       certificates=[{"name": c, "role": c, "common_name": CN} for c in FAULTS]).start()
    proxy.event("certificate_issued", len(FAULTS))
    with proxy.connect() as live:
        consul.put_issuers(KEY, mount("b"), mount("a"))
        for cause in FAULTS:
            line = proxy.event("certificate_failed", certificate=cause, cause=cause)
            assert line["last_good_in_force"] and line["msg"], line
        proxy.event("certificate_issued", 2 * len(FAULTS))
        echo(live)
    family = proxy.metrics().families["sallyport_certificate_failures_total"]
    counted = {(dict(labels)["certificate"], dict(labels)["cause"]): n for (_, labels), n in family.samples.items()}
    assert all(counted[cause, cause] == 1 for cause in FAULTS), counted
    assert set(FAULTS) - {"key_mismatch", "untrusted", "not_valid"} <= set(proxy.failures())
    assert FAULTS["too_large"].sent < 64 << 20, "it went on reading"


def test_a_certificate_that_no_listener_can_show(fleet, site, bao, tmp_path):
    """Of a role for clients only: the proxy runs, also from what was kept, and waits for a better one."""
    site.bao.add_role(mount("a"), "clients", server_flag=False)
    proxy = fleet.make(bao, certificate={"role": "clients"}, persist=str(tmp_path / "kept"))
    proxy.expected_errors = {"supply_refused"}
    proxy.start()
    assert "TLS server" in proxy.event("supply_refused")["msg"] and proxy.ready()[0] == 503
    proxy.stop()
    proxy.start()
    proxy.event("supply_refused")
    assert proxy.issuer() == ""
    proxy.stop()
    proxy.config["certificates"][0]["role"] = "broker"
    proxy.start()
    proxy.await_issuer("A")


def test_namespace(fleet, vault):
    proxy = fleet.make(vault, namespace="team/a")
    proxy.expected_errors = {"trust_refused"}
    proxy.start()
    vault.expect("/v1/")
    assert all(request.headers["X-Vault-Namespace"] == "team/a" for request in vault.asked())


def test_refused_and_cut(fleet, vault, consul):
    proxy = fleet.make(vault, consul).start()
    proxy.await_issuer("A")
    vault.refuse()
    consul.put_issuers(KEY, mount("b"), mount("a"))
    proxy.event("source_failed", source="vault", cause="refused")
    assert proxy.issuer() == "A"
    vault.listen()
    proxy.await_issuer("B")
    proxy.event("source_recovered")


WRONG_VALUES = {
    "{": "malformed",
    '["kafka-pki/root-b"]': "malformed",
    '{"secondary_issuers": []}': "malformed",
    '{"primary_issuer": "../../sys/seal"}': "malformed",
    '{"primary_issuer": "kafka-pki/root-b", "secondary_issuers": "kafka-pki/root-a"}': "malformed",
    '{"primary_issuer": "kafka-pki/none"}': "denied",
}


def test_wrong_values_are_not_followed(fleet, bao, consul):
    """Neither more nor less is trusted than before."""
    proxy = fleet.make(bao, consul)
    proxy.expected_errors = {"trust_refused"}
    proxy.start()
    proxy.await_issuer("A")
    for number, (value, cause) in enumerate(WRONG_VALUES.items(), 1):
        consul.put(KEY, value)
        line = proxy.event("trust_refused", number)
        assert line["cause"] == cause and line["last_good_in_force"], line
    consul.delete(KEY)
    proxy.event("trust_refused", cause="not_found")
    assert proxy.issuer(identity="a") == "A" and proxy.issuer(identity="b") == "A"
    assert proxy.metrics().value("sallyport_trust_followed") == 0
    consul.put_issuers(KEY, mount("b"), mount("a"))
    proxy.await_issuer("B")
    wait_until("the value to be followed", lambda: proxy.metrics().value("sallyport_trust_followed") == 1)


def test_an_issuer_without_a_root(fleet, bao, vault, consul):
    """An intermediate whose chain is not there stands for no root: the set as a whole is refused."""
    intermediate = certs.Authority("Between", parent=certs.Authority("Above"))
    vault.on(f"/v1/{mount('b')}/cert/ca_chain", faultyhttp.answer(
        200, {"data": {"certificate": certs.pem(intermediate.certificate).decode()}}), times=1)
    consul.put_issuers(KEY, mount("a"))
    proxy = fleet.make(vault, consul)
    proxy.expected_errors = {"trust_refused"}
    proxy.start()
    proxy.await_issuer("A")
    consul.put_issuers(KEY, mount("b"), mount("a"))
    assert "root-b" in proxy.event("trust_refused", cause="no_roots")["msg"]
    proxy.await_issuer("B")


def test_consul_restarts_with_an_older_index(fleet, bao, tmp_path):
    with Consul(tmp_path / "consul") as consul:
        consul.put_issuers(KEY, mount("a"), mount("b"))
        for number in range(30):
            consul.put("something/else", str(number))
        consul.put_issuers(KEY, mount("a"), mount("b"))
        proxy = fleet.make(bao, consul)
        proxy.expected_errors = {"trust_refused"}
        proxy.start()
        proxy.await_issuer("A")
        consul.restart()
        consul.put_issuers(KEY, mount("b"), mount("a"))
        proxy.await_issuer("B")


@pytest.mark.parametrize("reply, cause", [
    (faultyhttp.text(500, "No cluster leader"), "server_error"),
    (faultyhttp.text(403, "Permission denied"), "denied"),
    (faultyhttp.text(200, "no Consul"), "malformed"),
    (faultyhttp.garbage(), "broken"),
    (Huge(start=b'{"primary_issuer": "'), "too_large"),
])
def test_faults_of_consul(fleet, bao, consul, reply, cause):
    with FaultyHttp(forward=consul) as fake:
        proxy = fleet.make(bao, fake).start()
        proxy.await_issuer("A")
        fake.expect("/v1/kv/", 2)
        fake.on("/v1/kv/", reply, times=1)
        fake.cut_all()  # the query that waits
        proxy.event("source_failed", source="consul", cause=cause)
        consul.put_issuers(KEY, mount("b"), mount("a"))
        proxy.await_issuer("B")


def test_one_query_however_many_certificates(fleet, bao, consul):
    with FaultyHttp(forward=consul) as fake:
        names = [f"c{number}" for number in range(8)]
        proxy = fleet.make(bao, fake, certificates=[{"name": n, "role": "broker", "common_name": CN} for n in names]).start()
        proxy.event("certificate_issued", 8)
        fake.expect("/v1/kv/", 2)
        assert fake.count("/v1/kv/") <= 3
        assert all("index=" in r.path for r in fake.asked("/v1/kv/")[1:])


def test_documentation(fleet, bao, consul):
    """The page on metrics has those of the control plane, with type and labels, in the order of the scrape."""
    proxy = fleet.make(bao, consul).start()
    proxy.await_issuer("A")
    text = (REPO / "docs" / "metrics.md").read_text()
    rows = text[text.index("| of the control plane |"):].split("\n\n")[0].splitlines()[2:]
    families = proxy.metrics().families
    ours = [n for n in families if n.startswith(("sallyport_source_", "sallyport_certificate_", "sallyport_trust_"))]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert [row[0].strip("`") for row in cells] == ours
    for name, kind, labels, *_ in cells:
        family = families[name.strip("`")]
        assert kind == family.type, name
        if family.samples:
            assert set(re.findall(r"`(\w+)`", labels)) == family.labels, name


# Who we are.
def test_tokens(fleet, bao, site, tmp_path):
    """One that is revoked is replaced by what the file holds now."""
    tokens = [bao.new_token("broker", "default"), bao.new_token("broker", "default")]
    file = tmp_path / "token"
    file.write_text(tokens[0] + "\n")
    with FaultyHttp(forward=bao) as vault:
        proxy = fleet.make(vault, auth={"method": "token", "token_file": str(file)}, certificate={"role": "short"}).start()
        proxy.await_issuer("A")
        bao.revoke_token(tokens[0])
        proxy.event("certificate_failed", cause="denied")
        proxy.event("source_failed", cause="denied")
        file.write_text(tokens[1])
        proxy.event("certificate_issued", reason="renewed")


def test_wrapped_secret_id(fleet, bao, site, tmp_path):
    """It can be unwrapped once only: kept in memory for the next login."""
    file = tmp_path / "wrapped"
    file.write_text(bao.wrapped_secret_id("broker"))
    role = tmp_path / "role"
    role.write_text(site.role_id)
    auth = {"method": "approle", "role_id_file": str(role), "secret_id_file": str(file), "secret_id_wrapped": True}
    proxy = fleet.make(bao, auth=auth).start()
    proxy.await_issuer("A")


def test_kubernetes(fleet, bao, tmp_path):
    cluster = bao.add_kubernetes_login("broker", "kafka-broker", "broker")
    try:
        jwt = tmp_path / "jwt"
        jwt.write_text(service_account_token("kafka-broker"))
        proxy = fleet.make(bao, auth={"method": "kubernetes", "role": "broker", "jwt_file": str(jwt)}).start()
        proxy.await_issuer("A")
    finally:
        cluster.close()


def test_https_and_client_certificates(tmp_path):
    """Both servers by https, who want to see a certificate; Vault lets in by it. A server of another root is not
    believed."""
    root, clients = certs.Authority("Servers"), certs.Authority("Clients")
    server = root.issue("server", usage="server", ips=["127.0.0.1"])
    client = clients.issue("broker-1").write(str(tmp_path), "client")
    tls = {"tls": server, "root": root, "client_root": clients}
    with OpenBao(tmp_path / "bao", **tls) as bao, Consul(tmp_path / "consul", acl=True, **tls) as consul:
        site = Site(bao, tmp_path)
        bao.add_cert_login("broker", certs.pem(clients.certificate).decode(), "broker")
        consul.put_issuers(KEY, mount("a"), mount("b"))
        token = site.file("consul-token", consul.new_token('key_prefix "kafka-pki/" { policy = "read" }'))
        shown = {"ca": bao.root_file, "client_certificate": client[0], "client_key": client[1]}
        fleet = Fleet(tmp_path, site)
        try:
            proxy = fleet.make(bao, consul, auth={"method": "certificate"}, **shown)
            proxy.config["consul"] |= {**shown, "token_file": token}
            proxy.start()
            proxy.await_issuer("A")
            proxy.stop()
            proxy.config["vault"]["ca"] = certs.Authority("Others").write(str(tmp_path), "others")
            proxy.start()
            proxy.event("source_failed", source="vault", cause="tls")
            assert proxy.issuer() == ""
        finally:
            fleet.close()


# Changes of the configuration.
def test_sections_need_a_restart(fleet, bao, consul):
    proxy = fleet.make(bao, consul).start()
    proxy.await_issuer("A")
    proxy.config["vault"]["timeout"] = "7s"
    proxy.write_config()
    proxy.reload()
    assert "vault/consul/certificates" in proxy.event("reload")["msg"]
    assert proxy.issuer() == "A"
    proxy.config["certificates"].append({"name": "new", "role": "broker", "common_name": CN})
    proxy.config["listeners"][0]["tls"]["certificate_from"] = "new"
    proxy.write_config()
    proxy.reload("reload_failed")
    assert proxy.issuer() == "A"
