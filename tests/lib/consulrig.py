# SPDX-License-Identifier: Apache-2.0
"""A real Consul with one server: started until it has elected itself, stopped, killed, restarted; with TLS and ACLs. Keys
are written and read as the tests need them."""
import base64
import json
import uuid

from child import HttpServer, fetched
from ports import claim_ports


class Consul(HttpServer):
    """`persistent`: its data outlive the process. `acl`: nothing may be done without a token; `token` is then the one that
    may do all, otherwise None. With `client_root`, clients must show a certificate."""

    def __init__(self, folder, *, persistent=False, acl=False, **tls):
        super().__init__("Consul", folder, **tls)
        self.persistent, self.token = persistent, str(uuid.uuid4()) if acl else None
        self._ports = claim_ports(3)
        self._write_config(acl)

    def _write_config(self, acl):
        server, serf_lan, serf_wan = self._ports
        config = {
            "ports": {"http": -1 if self.tls else self.port, "https": self.port if self.tls else -1, "dns": -1,
                      "grpc": -1, "server": server, "serf_lan": serf_lan, "serf_wan": serf_wan},
            "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "node_name": "one", "log_level": "INFO",
            "disable_update_check": True, "disable_remote_exec": True, "connect": {"enabled": False},
            "ui": False, "performance": {"raft_multiplier": 1},
        }
        if self.persistent:
            config |= {"server": True, "bootstrap_expect": 1, "data_dir": str(self.folder / "data")}
        if self.tls:
            config |= {"cert_file": self.certificate_file, "key_file": self.key_file}
        if self.client_root:
            config |= {"verify_incoming_https": True, "ca_file": self.client_root_file}
        if acl:
            config["acl"] = {"enabled": True, "default_policy": "deny", "tokens": {"master": self.token}}
        self._config = self.folder / "config.json"
        self._config.write_text(json.dumps(config))

    # Life.
    def start(self):
        """It has a leader and takes writes when this returns."""
        mode = [] if self.persistent else ["-dev"]
        self.start_process([fetched("consul"), "agent", *mode, f"-config-file={self._config}"], self._ready)
        return self

    def _ready(self):
        headers = {"X-Consul-Token": self.token} if self.token else None
        return self.answers("PUT", "/v1/kv/rig/ready", 200, body="", headers=headers, identity=self._client())

    def _client(self):
        return self.client_root.issue("rig") if self.client_root else None

    def restart(self):
        """One that is not persistent has forgotten everything, and its index begins again."""
        self.stop()
        return self.start()

    # Requests.
    def call(self, method, path, body=None, token="root", identity=None):
        """`path` without /v1/; `token` "root": the one that may do all, None: none."""
        token = self.token if token == "root" else token
        headers = {"X-Consul-Token": token} if token else {}
        return self.request(method, f"/v1/{path}", body, headers, identity or self._client())

    def put(self, key, value, cas=None, token="root"):
        """`value` is text, or what becomes JSON. With `cas`: whether it was written."""
        query = "" if cas is None else f"?cas={cas}"
        return self.call("PUT", f"kv/{key}{query}", value, token=token).expect(200).text.strip() == "true"

    def get(self, key):
        """(value, ModifyIndex), or (None, 0) where there is none."""
        answer = self.call("GET", f"kv/{key}").expect(200, 404)
        if answer.status == 404:
            return None, 0
        (entry,) = answer.json
        return base64.b64decode(entry["Value"] or "").decode(), entry["ModifyIndex"]

    def delete(self, key):
        self.call("DELETE", f"kv/{key}").expect(200)

    def put_issuers(self, key, primary, *secondaries):
        """The value that says which roots are in force."""
        self.put(key, {"primary_issuer": primary, "secondary_issuers": list(secondaries)})

    def new_token(self, rules):
        """With `acl`: a token with these rules (HCL), such as key_prefix "pki/" { policy = "read" }."""
        name = f"rig-{uuid.uuid4()}"
        self.call("PUT", "acl/policy", {"Name": name, "Rules": rules}).expect(200)
        made = self.call("PUT", "acl/token", {"Policies": [{"Name": name}]}).expect(200)
        return made.json["SecretID"]
