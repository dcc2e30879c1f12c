# SPDX-License-Identifier: Apache-2.0
"""deploy/local/up --vault: the same Kafka with certificates from a real OpenBao and roots by a key in a real Consul; the root
rotated under it; and down, which leaves nothing."""
import json
import os
import signal
import subprocess
import urllib.request

import kafka_rig
import pytest
from kafka_rig import REPO, SLOW
from ports import claim_row
from test_up import Site, interrupt


class VaultSite(Site):

    def __init__(self, folder):
        super().__init__(folder)
        self.vault_port = claim_row(6)

    def start(self, command="up", *arguments):
        if command == "up":
            arguments += ("--vault", "--vault-port", str(self.vault_port))
        return super().start(command, *arguments)

    def issuer(self):
        """Of the certificate that the front door shows to a client of ours."""
        pki = self.state / "pki"
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-CAfile", pki / "ca.crt", "-verify_return_error",
             "-cert", pki / "svc-demo.crt", "-key", pki / "svc-demo.key"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60 * SLOW, check=False)
        return next((line.replace(" = ", "=") for line in done.stdout.splitlines() if line.startswith("issuer=")), None)

    def rotate(self, primary, secondary):
        done = subprocess.run(
            [REPO / "deploy/pki/setup.sh", "consul", "--key", "kafka/pki/issuers", "--primary", primary, "--secondary", secondary,
             "--replace"], env={**os.environ, "CONSUL_HTTP_ADDR": f"127.0.0.1:{self.vault_port + 2}"}, capture_output=True,
            text=True, timeout=60 * SLOW, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def vault_site(tmp_path):
    kafka_rig.need()
    site = VaultSite(tmp_path)
    yield site
    code, out = site.run("down")
    assert code == 0, out
    assert site.processes() == []
    assert not site.state.exists()


def kill_servers(site):
    for name in "openbao", "consul":
        os.kill(int((site.state / "run" / f"{name}.pid").read_text().split()[0]), signal.SIGKILL)
    kafka_rig.wait_until("both to be gone", lambda: len(site.processes()) == 2, 60)


def test_up_a_rotation_and_up_again(vault_site):
    code, out = vault_site.run()
    assert code == 0, out
    assert "1000 sent, the same 1000 read back" in out and "] a client without a certificate ... refused" in out, out
    assert not (vault_site.state / "pki/server.crt").exists()
    assert vault_site.issuer() == "issuer=CN=Sallyport local root A"
    running = vault_site.processes()
    assert len(running) == 4, running
    assert vault_site.run("status")[0] == 0

    vault_site.rotate("kafka-pki/root-b", "kafka-pki/root-a")
    kafka_rig.wait_until("a certificate of the other root",
                         lambda: vault_site.issuer() == "issuer=CN=Sallyport local root B", 60)
    code, out = vault_site.run()
    assert code == 0 and "already up" in out, out
    assert vault_site.processes() == running

    before, vault_site.vault_port = vault_site.vault_port, claim_row(6)
    code, out = vault_site.run()
    assert code == 1 and f"already set up with OpenBao on port {before}" in out, out
    vault_site.vault_port = before

    # As after a restart of the machine: OpenBao is sealed, and both have what they had.
    kill_servers(vault_site)
    assert vault_site.run("status")[0] == 1
    code, out = vault_site.run("up", "--no-demo")
    assert code == 0, out
    with urllib.request.urlopen(f"http://127.0.0.1:{before}/v1/kafka-pki/root-a/ca/pem") as answer:
        assert answer.read() in (vault_site.state / "pki/ca.crt").read_bytes()
    with urllib.request.urlopen(f"http://127.0.0.1:{before + 2}/v1/kv/kafka/pki/issuers?raw") as answer:
        assert json.load(answer)["primary_issuer"] == "kafka-pki/root-b"
    assert vault_site.issuer() == "issuer=CN=Sallyport local root B"


@pytest.mark.parametrize("marker, file", [(b"] OpenBao ...", "run/openbao.pid"), (b"] roots, roles and policies ...", None)])
def test_interrupted(vault_site, marker, file):
    process = vault_site.start()
    out = interrupt(vault_site, process, marker, file)
    assert process.returncode == 130, out
    assert vault_site.processes() == [], out
    assert " interrupted\n" in out and "unexpected" not in out, out
