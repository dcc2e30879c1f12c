# SPDX-License-Identifier: Apache-2.0
"""The real servers that other tests lean on, OpenBao and Consul: that each answers as the real thing does where that
matters, and that it is gone afterwards."""
import subprocess
import sys

import certs
from child import gone
from consulrig import Consul
from openbaorig import OpenBao, service_account_token
from waiting import wait_until

MOUNT = "kafka-pki/root-a"


def identities():
    """A server's certificate and two authorities: the one it is from, the one its clients' are from."""
    root = certs.Authority("servers")
    return {"tls": root.issue("server", usage="server", ips=["127.0.0.1"]), "root": root,
            "client_root": certs.Authority("clients")}


def sign(bao, cn):
    return bao.write(f"{MOUNT}/issue/client", common_name=cn, key_type="ec", key_bits=256).json["data"]


def test_openbao_forgets_nothing_over_a_restart_and_is_sealed_then(tmp_path):
    with OpenBao(tmp_path, persistent=True, **identities()) as bao:
        root = bao.add_root(MOUNT, "Root A")
        bao.add_role(MOUNT)
        before = sign(bao, "svc-a")
        bao.restart()
        assert bao.call("GET", f"{MOUNT}/ca/pem", token=None).status == 503
        bao.unseal()
        assert bao.call("GET", f"{MOUNT}/ca/pem", token=None).text.strip() == root.strip()
        bao.revoke(MOUNT, before["serial_number"])
        bao.kill()
        bao.start()
        assert bao.read(f"{MOUNT}/cert/{before['serial_number']}")["revocation_time"]
        bao.seal()
        assert bao.call("POST", f"{MOUNT}/issue/client", {}).status == 503
        bao.unseal()
        sign(bao, "svc-b")


def test_openbao_lets_nobody_do_more_than_the_policy(tmp_path):
    with OpenBao(tmp_path) as bao:
        bao.add_root(MOUNT, "Root A")
        bao.add_role(MOUNT)
        bao.add_policy("reader", {f"{MOUNT}/roles/client": ["read"]})
        role, secret = bao.add_approle("proxy", "reader")
        wrap = bao.wrapped_secret_id("proxy")
        login = bao.call("POST", "auth/approle/login", {"role_id": role, "secret_id": secret}, token=None)
        token = login.expect(200).json["auth"]["client_token"]
        assert bao.call("GET", f"{MOUNT}/roles/client", token=token).status == 200
        assert bao.call("POST", f"{MOUNT}/issue/client", {"common_name": "svc"}, token=token).status == 403
        bao.revoke_token(token)
        assert bao.call("GET", f"{MOUNT}/roles/client", token=token).status == 403
        assert bao.call("POST", "sys/wrapping/unwrap", token=wrap).expect(200).json["data"]["secret_id"]
        assert bao.call("POST", "sys/wrapping/unwrap", token=wrap).status == 400


def test_openbao_knows_who_comes_from_kubernetes_and_with_a_certificate(tmp_path):
    tls = identities()
    with OpenBao(tmp_path, **tls) as bao:
        with bao.add_kubernetes_login("client", "orders", "default"):
            def login(account):
                return bao.call("POST", "auth/kubernetes/login", {"role": "client", "jwt": service_account_token(account)},
                                token=None)
            assert login("orders").expect(200).json["auth"]["policies"] == ["default"]
            assert login("other").status == 403
        bao.add_cert_login("broker", certs.pem(tls["client_root"].certificate).decode(), "default", allowed_common_names="b-*")

        def show(cn):
            return bao.call("POST", "auth/cert/login", {}, token=None, identity=tls["client_root"].issue(cn))
        assert show("b-1").expect(200).json["auth"]["policies"] == ["default"]
        assert show("other").status in (400, 403)


def test_consul_compares_and_swaps_and_asks_for_a_token(tmp_path):
    with Consul(tmp_path, persistent=True, acl=True, **identities()) as consul:
        assert consul.get("pki/issuers") == (None, 0)
        consul.put_issuers("pki/issuers", "a", "b")
        text, index = consul.get("pki/issuers")
        assert text == '{"primary_issuer": "a", "secondary_issuers": ["b"]}'
        assert not consul.put("pki/issuers", "late", cas=index - 1)
        assert consul.put("pki/issuers", "in time", cas=index)
        token = consul.new_token('key_prefix "pki/" { policy = "read" }')
        assert consul.call("GET", "kv/pki/issuers", token=token).status == 200
        assert consul.call("PUT", "kv/pki/issuers", "x", token=token).status == 403
        assert consul.call("GET", "kv/pki/issuers", token=None).status == 403
        consul.restart()
        assert consul.get("pki/issuers")[0] == "in time"


def test_a_consul_that_forgot_counts_from_the_start(tmp_path):
    with Consul(tmp_path) as consul:
        for number in range(200):  # to write what is there already counts for nothing
            consul.put("pki/issuers", str(number))
        before = consul.get("pki/issuers")[1]
        consul.kill()
        consul.start()
        consul.put("pki/issuers", "y")
        assert 0 < consul.get("pki/issuers")[1] < before and before > 200


STARTS_ONE = """
import sys
sys.path.insert(0, sys.argv[1])
from consulrig import Consul
consul = Consul(sys.argv[2]).start()
print(consul.process.pid, flush=True)
sys.stdin.read()
"""


def test_a_server_dies_with_its_test_even_if_that_is_killed(tmp_path):
    lib = next(path for path in sys.path if path.endswith("tests/lib"))
    with subprocess.Popen([sys.executable, "-c", STARTS_ONE, lib, str(tmp_path)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as test:
        pid = int(test.stdout.readline())
        test.kill()
    wait_until(f"pid {pid} to be gone", lambda: gone(pid))
