# SPDX-License-Identifier: Apache-2.0
"""A proxy whose certificates come from a real OpenBao and whose issuers from a real Consul: `Site` is what they know,
`Fleet` makes proxies that go by it."""
import socket
import ssl

import scrape
from certs import pem
from cryptography import x509
from cryptography.x509.oid import NameOID
from proxyrig import Proxy, free_port
from upstream import Echo
from waiting import PATIENCE, wait_until

KEY = "kafka-pki/issuers"
CN = "broker-1.example"


def mount(name):
    return f"kafka-pki/root-{name}"


def sign(name, role="broker"):
    return f"/v1/{mount(name)}/sign/{role}"


class Site:
    """Two root CAs in `bao`, a role and a policy for brokers, an AppRole."""

    def __init__(self, bao, folder):
        self.bao, self.folder = bao, folder
        self.roots = {}
        for name in "ab":
            self.roots[name] = bao.add_root(mount(name), f"Root {name.upper()}")
            bao.add_role(mount(name), "broker")
            bao.add_role(mount(name), "short", ttl="10s")
        bao.add_policy("broker", {f"{mount(name)}/sign/+": ["update"] for name in "ab"})
        self.role_id, self.secret_id = bao.add_approle("broker", "broker")
        self.clients = {name: self._client(name) for name in "ab"}

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def _client(self, name):
        """(certificate, key) files of a client from that root."""
        told = self.bao.write(f"{mount(name)}/issue/broker", common_name="svc-a", key_type="ec", key_bits=256).json["data"]
        return (self.file(f"client-{name}.crt", told["certificate"]), self.file(f"client-{name}.key", told["private_key"]))


class Fleet:
    """Proxies for one test. `vault`, `consul`: where they ask (rigs or fakes), None: nobody is there to be named."""

    def __init__(self, folder, site):
        self.folder, self.site, self.echo, self.proxies = folder, site, Echo(), []

    def approle(self):
        return {"method": "approle", "role_id": self.site.role_id,
                "secret_id_file": self.site.file("secret-id", self.site.secret_id)}

    def make(self, vault, consul=None, *, loop="auto", certificate=None, certificates=None, process=None, **section):
        """One listener for each certificate. `section`: more of `vault`; `process`: more beside it."""
        settings = {"address": vault.url, "auth": self.approle(), "timeout": "5s", **section}
        if not consul:
            settings.setdefault("issuer", mount("a"))
        certificates = certificates or [
            {"name": "broker", "role": "broker", "common_name": CN, "dns": [CN], **(certificate or {})}]
        top = {"vault": settings, "certificates": certificates, **(process or {})}
        if consul:
            top["consul"] = {"address": consul.url, "key": KEY}
        return self._add([{"certificate_from": c["name"], "roots_from": "vault"} for c in certificates], top, loop)

    def alone(self, certificate, root):
        """A proxy without servers: one certificate of another source, peers of the root in that file."""
        return self._add([{"certificate_from": "broker", "roots": [root]}],
                         {"certificates": [{"name": "broker", **certificate}]}, "auto")

    def _add(self, tls, top, loop):
        listeners = [{"name": section["certificate_from"], "role": "front", "upstream": self.echo.endpoint, "tls": section}
                     for section in tls]
        proxy = Served(self.folder / f"proxy-{len(self.proxies)}", listeners, loop=loop, top=top,
                       metrics=f"127.0.0.1:{free_port()}")
        proxy.site = self.site
        self.proxies.append(proxy)
        return proxy

    def close(self):
        try:
            for proxy in self.proxies:
                if proxy.running():
                    proxy.stop()
        finally:
            for proxy in self.proxies:
                proxy.kill()
            self.echo.close()


class Served(Proxy):
    """With what its clients see of it."""

    site = None

    def connect(self, identity="a", roots="ab"):
        """A client from root `identity` that trusts `roots`; the TLS socket."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.load_verify_locations(cadata="\n".join(self.site.roots[name] for name in roots))
        context.load_cert_chain(*self.site.clients[identity])
        sock = socket.create_connection(self.address(), timeout=PATIENCE)
        try:
            return context.wrap_socket(sock)
        except BaseException:
            sock.close()
            raise

    def certificate(self, **how):
        with self.connect(**how) as tls:
            echo(tls)
            return x509.load_der_x509_certificate(tls.getpeercert(True))

    def issuer(self, **how):
        """"A", "B": of the certificate that new connections are shown; "" where none are taken."""
        try:
            cn = self.certificate(**how).issuer.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        except OSError:
            return ""
        return cn.removeprefix("Root ")

    def await_issuer(self, name, **how):
        wait_until(lambda: f"certificates of root {name}:\n{self.tail(40)}", lambda: self.issuer(**how) == name)

    def event(self, event, count=1, **fields):
        """Waits until there are so many such lines; the last one."""
        return wait_until(lambda: f"{count} lines {event} {fields}:\n{self.tail(40)}",
                          lambda: len(self.lines(event=event, **fields)) >= count
                          and self.lines(event=event, **fields))[-1]

    def ready(self):
        """(status, text)"""
        status, _, text = scrape.get(self.metrics_address, "/readyz")
        return status, text

    def failures(self, source="vault"):
        """{cause: how often}"""
        family = self.metrics().families["sallyport_source_failures_total"]
        return {dict(labels)["cause"]: value for (_, labels), value in family.samples.items()
                if dict(labels)["source"] == source and value}


def echo(tls, data=b"through the door"):
    tls.sendall(data)
    got = b""
    while len(got) < len(data):
        got += tls.recv(4096)
    assert got == data


def public_key_of(request):
    """Of a signing request as Vault gets it."""
    return x509.load_pem_x509_csr(request.json["csr"].encode()).public_key()


def signed(certificate, *chain):
    """What Vault's answer to a signing request looks like."""
    texts = [pem(c).decode() for c in chain]
    return {"data": {"certificate": pem(certificate).decode(), "ca_chain": texts, "issuing_ca": texts[0] if texts else ""}}
