# SPDX-License-Identifier: Apache-2.0
"""A real broker that does TLS by itself with stores of `sallyport agent`: it takes up new certificates and new roots by the
shipped hook, without a restart, and whoever is connected stays so."""
import hashlib
import json
import socket
import ssl
import struct
import subprocess
import types

import kafka_rig
import pytest
from kafka_rig import BINARY, KAFKA, REPO, SLOW, run
from ports import claim_ports

HOOK = REPO / "deploy" / "hooks" / "kafka-reload-tls"
LISTENER = "tls"


class Agent(kafka_rig.Daemon):

    def __init__(self, folder, config):
        self.config, self.file = config, folder / "agent.yaml"
        self.socket = folder / "agent.sock"
        super().__init__("agent", [BINARY, "agent", "-c", self.file], folder / "agent.log")

    def write(self):
        self.file.write_text(json.dumps(self.config))

    def start(self):
        self.write()
        self.spawn()
        self.wait_ready(lambda: self.socket.exists() and self.well(), 120)

    def well(self):
        """All laid out, and the hook has run."""
        done = run([BINARY, "agent", "status", "--json", "--socket", self.socket], check=False)
        return done.returncode == 0 and not json.loads(done.stdout)["certificates"][0]["hooks_busy"]


def connect(site, client):
    context = ssl.create_default_context(cafile=str(site.ca / "ca.crt"))
    context.load_cert_chain(*client)
    plain = socket.create_connection(("127.0.0.1", site.port), timeout=60 * SLOW)
    return context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)


def ask(sock, number):
    """ApiVersions, version 0: the broker answers everybody who has got through TLS."""
    name = b"test"
    body = struct.pack(">hhih", 18, 0, number, len(name)) + name
    sock.sendall(struct.pack(">i", len(body)) + body)
    answer = b""
    while len(answer) < 4 or len(answer) < 4 + struct.unpack(">i", answer[:4])[0]:
        more = sock.recv(65536)
        assert more, "the broker has closed the connection"
        answer += more
    assert struct.unpack(">i", answer[4:8])[0] == number


def shown(site):
    """The certificate that new connections are shown."""
    with connect(site, site.client) as sock:
        ask(sock, 1)
        return hashlib.sha256(sock.getpeercert(binary_form=True)).hexdigest()


def is_let_in(site, client):
    try:
        with connect(site, client) as sock:
            ask(sock, 1)
            return True
    except OSError:
        return False


def issue(folder, name):
    run([BINARY, "dev", "cert", "--dir", folder, "--cn", name, "--usage", "client"])
    return folder / f"{name}.crt", folder / f"{name}.key"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    kafka_rig.need()
    folder = tmp_path_factory.mktemp("agent")
    (port,) = claim_ports(1)
    for name in ("ca", "second"):
        run([BINARY, "dev", "ca", "--dir", folder / name, "--cn", f"root {name}"])
    (folder / "password").write_text("a-password\n")
    stores = folder / "stores"
    (folder / "more.properties").write_text("")
    broker = kafka_rig.Broker(folder / "broker", port, properties=folder / "more.properties")
    plain = f"CLIENT://127.0.0.1:{broker.port},INTERNAL://127.0.0.1:{broker.internal}"
    (folder / "more.properties").write_text(f"""\
listeners={plain},CONTROLLER://127.0.0.1:{broker.controller},TLS://127.0.0.1:{port}
advertised.listeners={plain},TLS://localhost:{port}
listener.security.protocol.map=CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL
listener.name.tls.ssl.client.auth=required
listener.name.tls.ssl.keystore.type=PKCS12
listener.name.tls.ssl.keystore.location={stores}/keystore.p12
listener.name.tls.ssl.keystore.password=a-password
listener.name.tls.ssl.truststore.type=PKCS12
listener.name.tls.ssl.truststore.location={stores}/truststore.p12
listener.name.tls.ssl.truststore.password=a-password
""")
    (folder / "kafka-configs").write_text(f'#!/bin/sh\nexec {KAFKA}/tool ConfigCommand "$@"\n')
    (folder / "kafka-configs").chmod(0o755)
    agent = Agent(folder, {
        "admin": {"socket": str(folder / "agent.sock")}, "log": {"format": "text"},
        "certificates": [{
            "name": "broker", "source": "dev", "dir": str(folder / "ca"), "common_name": "localhost",
            "dns": ["localhost"], "keep": "off",
            "layouts": [{"directory": str(stores), "formats": ["pkcs12"], "password_file": str(folder / "password")}],
        }]})
    agent.write()
    run([BINARY, "agent", "-c", agent.file, "--once"])  # as an init container does
    agent.config["certificates"][0]["hooks"] = [{
        "command": list(map(str, [HOOK, "--bootstrap", f"127.0.0.1:{broker.internal}", "--broker", 1, "--listener", LISTENER,
                                  "--tool", folder / "kafka-configs"])),
        "timeout": f"{int(60 * SLOW)}s"}]
    site = types.SimpleNamespace(folder=folder, ca=folder / "ca", port=port, broker=broker, agent=agent, stores=stores,
                                 client=issue(folder / "ca", "svc-test"), foreign=issue(folder / "second", "svc-test"))
    try:
        broker.start()
        agent.start()
        yield site
        assert agent.stop() == 0
    finally:
        agent.stop()
        broker.stop()


def test_keytool_reads_the_stores(site):
    for store, kind in (("keystore.p12", "PrivateKeyEntry"), ("truststore.p12", "trustedCertEntry")):
        done = run(["keytool", "-list", "-keystore", site.stores / store, "-storepass", "a-password"])
        assert done.stdout.count(kind) == 1, done.stdout


def test_broker_takes_up_a_new_certificate(site):
    """… and keeps who is connected, on the same connection and by the same process."""
    pid, before = site.broker.process.pid, shown(site)
    with connect(site, site.client) as old:
        ask(old, 1)
        run([BINARY, "agent", "renew", "--socket", site.agent.socket], seconds=120)
        kafka_rig.wait_until("the hook", site.agent.well, 120)
        # It has told the tool that it will, and does a moment later.
        kafka_rig.wait_until("another certificate", lambda: shown(site) != before, 60)
        ask(old, 2)
        assert hashlib.sha256(old.getpeercert(binary_form=True)).hexdigest() == before
    assert site.broker.process.pid == pid and site.broker.running()


def test_broker_takes_up_new_roots(site):
    """A client of a second CA is refused, until the truststore has that one too."""
    assert not is_let_in(site, site.foreign)
    with connect(site, site.client) as old:
        ask(old, 1)
        site.agent.config["certificates"][0]["roots"] = [str(site.folder / "second" / "ca.crt")]
        site.agent.write()
        site.agent.process.send_signal(1)
        kafka_rig.wait_until("the hook", lambda: "agent_reloaded" in site.agent.text() and site.agent.well(), 120)
        kafka_rig.wait_until("clients of the second CA to be let in", lambda: is_let_in(site, site.foreign), 60)
        ask(old, 2)
    assert subprocess.run(["openssl", "pkcs12", "-in", site.stores / "truststore.p12", "-passin", "pass:a-password"],
                          capture_output=True, text=True, check=True).stdout.count("BEGIN CERTIFICATE") == 2
