# SPDX-License-Identifier: Apache-2.0
"""The Terraform modules, without Terraform: that they say what deploy/pki/setup.sh says. (tests/deploy/tofu applies them for
real; it has to be asked for.)"""
import re

import pytest
from child import REPO
from consulrig import Consul
from hcl import Module
from openbaorig import OpenBao
from test_pki_setup import KEY, at, root_of, set_key, set_up

TERRAFORM = REPO / "deploy/terraform"
# Variables of the module whose setting in setup.sh has another name, or that only one of the two needs.
ONLY_TERRAFORM = {"create_approle_auth", "more_broker_policies", "more_client_policies"}
MOUNT = "kafka-pki/root-a"


def apply(bao, module):
    """What a provider does with these resources, in their order."""
    for (kind, _), settings in module.resources.items():
        settings = {**settings}
        backend = settings.pop("backend", None)
        if kind == "vault_mount":
            bao.write(f"sys/mounts/{settings['path']}", type=settings["type"], description=settings["description"],
                      config={"max_lease_ttl": f"{settings['max_lease_ttl_seconds']}s"})
        elif kind == "vault_pki_secret_backend_root_cert":
            bao.write(f"{backend}/root/generate/{settings.pop('type')}", **settings)
        elif kind == "vault_pki_secret_backend_config_urls":
            bao.write(f"{backend}/config/urls", **settings)
        elif kind == "vault_generic_endpoint":
            bao.call("POST", settings["path"], settings["data_json"]).expect(200, 204)
        elif kind == "vault_policy":
            bao.write(f"sys/policies/acl/{settings['name']}", policy=settings["policy"])
        elif kind == "vault_auth_backend":
            bao.write(f"sys/auth/{settings['path']}", type=settings["type"])
        elif kind == "vault_approle_auth_backend_role":
            bao.write(f"auth/{backend}/role/{settings.pop('role_name')}", **settings)
        else:
            raise AssertionError(f"{kind} is not known here")


@pytest.fixture(name="module")
def fixture_module():
    return lambda bao, **more: Module(
        TERRAFORM / "kafka_pki", path=MOUNT, root_ca_common_name="Root A", vault_root_url=bao.url,
        broker_allowed_domains=["kafka.example.com"], client_allowed_domains=["svc-*", "tool.example.com"], approle="kafka",
        **more)


def read_all(bao):
    """Everything that either of them sets, but for how times of CRLs are written."""
    found = {path: bao.read(path) for path in (
        f"{MOUNT}/config/urls", f"{MOUNT}/roles/broker", f"{MOUNT}/roles/client", f"sys/mounts/{MOUNT}/tune",
        "auth/approle/role/kafka-broker", "auth/approle/role/kafka-client")}
    for kind in "broker", "client":
        found[f"policy of {kind}s"] = bao.read(f"sys/policies/acl/kafka-pki-root-a-{kind}")["policy"]
    return found


def test_the_script_finds_nothing_to_do_after_the_module(tmp_path, module):
    with OpenBao(tmp_path) as bao:
        apply(bao, module(bao))
        told = set_up("root", *root_of(), **at(bao))
        assert "\n0 written, 11 as they should be" in told, told
        assert bao.read(f"{MOUNT}/config/crl")["enable_delta"]


def test_both_leave_the_same_settings(tmp_path, module):
    with OpenBao(tmp_path / "script") as one, OpenBao(tmp_path / "module") as other:
        set_up("root", *root_of(), "--vault-root-url", "http://vault", **at(one))
        other.url = "http://vault"
        apply(other, module(other))
        assert read_all(one) == read_all(other)


def test_every_variable_is_an_option_of_the_script():
    options = set(re.findall(r"\[([a-z-]+)\]=", (REPO / "deploy/pki/setup.sh").read_text(encoding="utf-8")))
    variables = {name.replace("_", "-") for name in Module(TERRAFORM / "kafka_pki", path="x").variables
                 if name not in ONLY_TERRAFORM}
    assert variables == options - {"key", "primary"}


def test_the_key_is_the_one_that_the_script_writes(tmp_path):
    module = Module(TERRAFORM / "kafka_pki_consul", key=KEY, primary_issuer=MOUNT, secondary_issuers=["kafka-pki/root-b"])
    ((_, settings),) = module.resources.items()
    (key,) = settings["key"]
    with Consul(tmp_path, acl=True) as consul:
        consul.put(key["path"], key["value"])
        assert "\n0 written" in set_key(consul, "--secondary", "kafka-pki/root-b")


def test_the_example_gives_the_modules_what_they_want():
    example = Module(TERRAFORM / "example")
    assert len(example.blocks["module"]) == 3
    for item in example.blocks["module"]:
        for given in item.values():
            module = Module(TERRAFORM / "example" / given["source"], path="x")
            wanted = {name for name, block in module.variables.items() if "default" not in block}
            assert wanted <= given.keys() - {"source"} <= module.variables.keys()
