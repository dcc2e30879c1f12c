# SPDX-License-Identifier: Apache-2.0
"""The Terraform module for Vault applied by OpenTofu to a real OpenBao: a first apply, a plan that finds nothing to do, the
script that finds nothing to do either, and an end that leaves nothing. tests/tofu/build makes the programs."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tests/lib"), str(REPO / "tests/deploy")]

from openbaorig import OpenBao  # noqa: E402
from test_pki_setup import at, login, root_of, set_up, sign  # noqa: E402

# The example without its Consul part, for which there is no provider here.
ROOTS = """
module "root_%s" {
  source                 = "%s"
  path                   = "kafka-pki/root-%s"
  root_ca_common_name    = "Root %s"
  vault_root_url         = "%s"
  broker_allowed_domains = ["kafka.example.com"]
  client_allowed_domains = ["svc-*", "tool.example.com"]
  %s
}
"""
APPROLE = """
  approle                = "kafka"
  more_broker_policies   = [module.root_b.broker_policy]
  more_client_policies   = [module.root_b.client_policy]
"""


class Tofu:
    """One working folder. No registry is asked: the provider lies in a folder beside it."""

    def __init__(self, folder, bao):
        done = subprocess.run([REPO / "tests/tofu/build"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.programs = pathlib.Path(done.stdout.splitlines()[-1])
        self.folder = folder / "work"
        self.folder.mkdir()
        settings = folder / "tofu.rc"
        settings.write_text(f'provider_installation {{ filesystem_mirror {{ path = "{folder}/mirror" }} }}\n')
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TF_CLI_CONFIG_FILE": str(settings), "TF_IN_AUTOMATION": "1",
                    "CHECKPOINT_DISABLE": "1", "TF_CLI_ARGS": "-no-color", **at(bao)}
        module = REPO / "deploy/terraform/kafka_pki"
        (self.folder / "main.tf").write_text(ROOTS % ("a", module, "a", "A", bao.url, APPROLE) +
                                             ROOTS % ("b", module, "b", "B", bao.url, ""))
        self._put_provider(folder / "mirror")
        self.run("init", "-input=false")

    def _put_provider(self, mirror):
        self.run("get")
        address = re.search(r"provider\[(\S+)\]", self.run("providers"))[1]
        (program,) = self.programs.glob("terraform-provider-*")
        system = {"x86_64": "linux_amd64", "aarch64": "linux_arm64"}[os.uname().machine]
        place = mirror / address / program.name.rpartition("_v")[2] / system
        place.mkdir(parents=True)
        shutil.copy(program, place)

    def run(self, *arguments, code=0):
        done = subprocess.run([self.programs / "tofu", f"-chdir={self.folder}", *arguments], capture_output=True, text=True,
                              check=False, env=self.env, timeout=600)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(name="bao", scope="module")
def fixture_bao(tmp_path_factory):
    with OpenBao(tmp_path_factory.mktemp("bao")) as bao:
        yield bao


@pytest.fixture(name="tofu", scope="module")
def fixture_tofu(bao, tmp_path_factory):
    return Tofu(tmp_path_factory.mktemp("tofu"), bao)


def test_apply_is_whole_and_a_second_plan_empty(tofu, bao):
    tofu.run("validate")
    tofu.run("apply", "-auto-approve", "-input=false")
    tofu.run("plan", "-detailed-exitcode", "-input=false")
    for which in "a", "b":
        told = set_up("root", *root_of(which), **at(bao))
        assert "\n0 written, 11 as they should be" in told, told
    token = login(bao, "kafka-client")
    for mount in "kafka-pki/root-a", "kafka-pki/root-b":
        assert sign(bao, token, mount, "client", "svc-a").status == 200
        assert sign(bao, token, mount, "broker", "kafka.example.com").status == 403


def test_what_is_changed_by_hand_is_planned_back(tofu, bao):
    role = bao.read("kafka-pki/root-a/roles/client")
    bao.write("kafka-pki/root-a/roles/client", **{**role, "allow_any_name": True})
    bao.write("kafka-pki/root-a/config/crl", enable_delta=False)
    plan = json.loads(tofu.run("plan", "-input=false", "-json", "-detailed-exitcode", code=2).splitlines()[-1])
    assert plan["changes"]["change"] == 2 and plan["changes"]["remove"] == 0
    tofu.run("apply", "-auto-approve", "-input=false")
    assert bao.read("kafka-pki/root-a/roles/client") == role


def test_destroy_leaves_nothing(tofu, bao):
    tofu.run("destroy", "-auto-approve", "-input=false")
    assert not [mount for mount in bao.read("sys/mounts") if mount.startswith("kafka-pki/")]
    assert not [name for name in bao.call("LIST", "sys/policies/acl").json["data"]["keys"] if name.startswith("kafka-")]
    assert "approle/" not in bao.read("sys/auth")
