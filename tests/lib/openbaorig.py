# SPDX-License-Identifier: Apache-2.0
"""A real Vault-compatible server (OpenBao): started, initialised and unsealed by start(); sealed, stopped, restarted by a
test. With helpers for PKI mounts, roles, policies and ways to log in."""
import base64
import json
import time

import certs
from child import HttpServer, fetched
from faultyhttp import FaultyHttp, answer
from ports import claim_ports
from waiting import PATIENCE, wait_until

# As pki's roles are set up by deploy/pki/setup.sh.
KEY_USAGE = ["DigitalSignature", "KeyAgreement", "KeyEncipherment"]


class OpenBao(HttpServer):
    """`persistent`: its data outlive the process (two seconds more at the first start). `token` is the root token."""

    def __init__(self, folder, *, persistent=False, **tls):
        super().__init__("OpenBao", folder, **tls)
        self.persistent = persistent
        self.token = self.unseal_key = None
        (self._cluster_port,) = claim_ports(1)
        self._write_config()

    def _write_config(self):
        listener = {"address": f"127.0.0.1:{self.port}", "tls_disable": not self.tls}
        if self.tls:
            listener |= {"tls_cert_file": self.certificate_file, "tls_key_file": self.key_file}
        if self.client_root:
            listener |= {"tls_client_ca_file": self.client_root_file, "tls_require_and_verify_client_cert": True}
        (self.folder / "raft").mkdir(exist_ok=True)
        storage = {"raft": {"path": str(self.folder / "raft"), "node_id": "one", "performance_multiplier": "1"}}
        self._config = self.folder / "config.json"
        self._config.write_text(json.dumps({
            "storage": storage if self.persistent else {"inmem": {}},
            "listener": [{"tcp": listener}],
            "api_addr": self.url,
            "cluster_addr": f"https://127.0.0.1:{self._cluster_port}",
        }))

    # Life.
    def start(self):
        """Active when this returns. Of one that is not persistent all is new, the root token too."""
        self.start_sealed()
        if self.token is None or not self.persistent:
            told = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token=None).expect(200).json
            self.token, self.unseal_key = told["root_token"], told["keys_base64"][0]
        self.unseal()
        return self

    def start_sealed(self):
        """As it is after each start of a real one: it answers, and every request with 503."""
        self.start_process([fetched("openbao"), "server", f"-config={self._config}"],
                           lambda: self.answers("GET", "/v1/sys/seal-status", 200, identity=self._client()))

    def _client(self):
        return self.client_root.issue("rig") if self.client_root else None

    def seal(self):
        self.call("PUT", "sys/seal").expect(204)

    def unseal(self):
        self.call("PUT", "sys/unseal", {"key": self.unseal_key}, token=None).expect(200)
        wait_until(lambda: f"OpenBao to be active:\n{self.tail()}",
                   lambda: self.call("GET", "sys/health", token=None).status == 200, 3 * PATIENCE)

    def restart(self):
        """Sealed afterwards, until unseal()."""
        assert self.persistent, "all would be lost"
        self.stop()
        self.start_sealed()

    # Requests.
    def call(self, method, path, body=None, token="root", headers=None, identity=None):
        """`path` without /v1/; `token` "root": the root token, None: none."""
        token = self.token if token == "root" else token
        headers = {**({"X-Vault-Token": token} if token else {}), **(headers or {})}
        return self.request(method, f"/v1/{path}", body, headers, identity or self._client())

    def write(self, path, **settings):
        return self.call("POST", path, settings).expect(200, 204)

    def read(self, path):
        return self.call("GET", path).expect(200).json["data"]

    # PKI.
    def add_root(self, path, cn, **settings):
        """A mount with a root CA of its own; returns its PEM."""
        self.write(f"sys/mounts/{path}", type="pki", config={"max_lease_ttl": "87600h"})
        made = self.write(f"{path}/root/generate/internal", **{
            "common_name": cn, "ttl": "87600h", "key_type": "ec", "key_bits": 256, **settings})
        return made.json["data"]["certificate"]

    def add_role(self, path, name="client", **settings):
        """By default for any name, for TLS clients and servers, an hour long."""
        self.write(f"{path}/roles/{name}", **{
            "allow_any_name": True, "enforce_hostnames": False, "require_cn": True, "allow_ip_sans": True,
            "allowed_uri_sans": ["*"], "key_type": "any", "key_usage": KEY_USAGE, "client_flag": True,
            "server_flag": True, "ttl": "1h", "max_ttl": "24h", "no_store": False, **settings})

    def revoke(self, path, serial):
        """`serial` as a certificate's answer has it: bytes in hex with colons."""
        self.write(f"{path}/revoke", serial_number=serial)

    # Who may do what.
    def add_policy(self, name, rules):
        """`rules`: {path: [capability, ...]}."""
        self.write(f"sys/policies/acl/{name}", policy=json.dumps(
            {"path": {path: {"capabilities": list(may)} for path, may in rules.items()}}))

    def new_token(self, *policies, **settings):
        """A token of its own, not a child of the root's; `ttl`, `renewable`, `explicit_max_ttl`, ..."""
        made = self.write("auth/token/create-orphan", **{"policies": policies, "ttl": "1h", **settings})
        return made.json["auth"]["client_token"]

    def revoke_token(self, token):
        self.write("auth/token/revoke", token=token)

    def add_approle(self, name, *policies, **settings):
        """Returns its role id and a secret id; the auth method is mounted where it is not yet."""
        if "approle/" not in self.read("sys/auth"):
            self.write("sys/auth/approle", type="approle")
        self.write(f"auth/approle/role/{name}", **{"token_policies": policies, "token_ttl": "1h", **settings})
        return self.read(f"auth/approle/role/{name}/role-id")["role_id"], self.new_secret_id(name)

    def new_secret_id(self, approle):
        return self.write(f"auth/approle/role/{approle}/secret-id").json["data"]["secret_id"]

    def wrapped_secret_id(self, approle, ttl="60s"):
        """A token that can be unwrapped once, into a secret id."""
        made = self.call("POST", f"auth/approle/role/{approle}/secret-id", {}, headers={"X-Vault-Wrap-TTL": ttl})
        return made.expect(200).json["wrap_info"]["token"]

    def add_cert_login(self, name, root_pem, *policies, **settings):
        """Whoever shows a certificate of this root gets the policies. Needs `tls`."""
        if "cert/" not in self.read("sys/auth"):
            self.write("sys/auth/cert", type="cert")
        self.write(f"auth/cert/certs/{name}", certificate=root_pem, token_policies=policies, token_ttl="1h", **settings)

    def add_kubernetes_login(self, role, account, *policies, namespace="kafka", **settings):
        """Returns the cluster's API server, to be closed, which says of every token that it is of that service account: for
        tokens of service_account_token()."""
        cluster = FaultyHttp()
        who = {"username": f"system:serviceaccount:{namespace}:{account}", "uid": "1", "groups": []}

        def review(exchange):
            status = {"authenticated": True, "user": who, "audiences": exchange.request.json["spec"].get("audiences", [])}
            answer(201, {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status})(exchange)
        cluster.on("/apis/authentication.k8s.io/v1/tokenreviews", review)
        if "kubernetes/" not in self.read("sys/auth"):
            self.write("sys/auth/kubernetes", type="kubernetes")
        self.write("auth/kubernetes/config", kubernetes_host=cluster.url, disable_local_ca_jwt=True,
                   token_reviewer_jwt="x", kubernetes_ca_cert=certs.pem(certs.Authority("cluster").certificate).decode())
        self.write(f"auth/kubernetes/role/{role}", bound_service_account_names=[account], audience="vault",
                   bound_service_account_namespaces=[namespace], token_policies=policies, token_ttl="1h", **settings)
        return cluster


def service_account_token(account, namespace="kafka"):
    """As a pod finds it, but for the signature: the one who reviews it says that it is good."""
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    claims = {"iss": "cluster", "aud": ["vault"], "sub": f"system:serviceaccount:{namespace}:{account}",
              "iat": int(time.time()) - 60, "nbf": int(time.time()) - 60, "exp": int(time.time()) + 3600,
              "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account, "uid": "1"}}}
    return ".".join([part({"alg": "RS256", "kid": "1"}), part(claims), "c2lnbmF0dXJl"])
