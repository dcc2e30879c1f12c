# SPDX-License-Identifier: Apache-2.0
"""bench/compare: verdicts, exit codes, and when it says that it cannot compare."""
import copy
import json
import subprocess

import pytest

from conftest import ROOT

RESULTS = {
    "format": 1, "unit": "instructions", "base": "sallyport-aead", "made_by": "bench/vm",
    "machine": {"host": "lab", "cpu": "cpu", "virtual": True, "cpus": 1, "memory_gib": 2, "system": "Debian",
                "kernel": "7.3.4+deb13-amd64", "openssl": "3.0.17", "emulator": "qemu 7.2.19", "compiler": "gcc 12.2.0",
                "date": "2026-11-25T00:00:00Z"},
    "works": {"core": {"points": {
        "consume": {"sallyport-aead": [{"cpu": 3.2}, {"cpu": 3.21}, {"cpu": 3.22}]},
        "handshake": {"sallyport-aead": [{"cpu": 7.4e6}, {"cpu": 7.41e6}]},
    }}},
}


@pytest.fixture(name="compare")
def fixture_compare(tmp_path):
    def run(after, *options, before=RESULTS, folder=False):
        home = tmp_path / "before"
        home.mkdir(exist_ok=True)
        (home / "one.json").write_text(json.dumps(before))
        (tmp_path / "after.json").write_text(json.dumps(after))
        return subprocess.run([ROOT / "bench" / "compare", home if folder else home / "one.json", tmp_path / "after.json",
                               *options], capture_output=True, text=True, check=False)
    return run


def changed(*, factor=1.0, point="consume", **machine):
    results = copy.deepcopy(RESULTS)
    results["machine"].update(machine)
    for sample in results["works"]["core"]["points"][point]["sallyport-aead"]:
        sample["cpu"] *= factor
    return results


def test_the_same_is_no_dearer(compare):
    done = compare(RESULTS, "--as-test")
    assert done.returncode == 0
    assert done.stdout.endswith("2 passed, 0 failed, 0 skipped\n")


@pytest.mark.parametrize("point", ["consume", "handshake"])
def test_dearer_is_named(compare, point):
    done = compare(changed(factor=1.06, point=point), "--as-test")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if "DEARER" in line]
    assert f"sallyport-aead: {point}" in line and "+6.0%" in line
    assert done.stdout.endswith("1 passed, 1 failed, 0 skipped\n")


def test_the_margin_is_noise(compare):
    assert compare(changed(factor=1.02)).returncode == 0
    assert compare(changed(factor=1.02), "--margin", "1").returncode == 1


def test_cheaper_is_no_failure(compare):
    done = compare(changed(factor=0.9))
    assert done.returncode == 0 and "cheaper" in done.stdout


@pytest.mark.parametrize("machine", [{"openssl": "3.5.1"}, {"kernel": "7.4.1-amd64"}, {"emulator": "qemu 10.0.2"},
                                     {"compiler": "gcc 14.2.0"}])
@pytest.mark.parametrize("folder", [False, True])
def test_other_versions_cannot_be_compared(compare, machine, folder):
    done = compare(changed(factor=2, **machine), folder=folder)
    assert done.returncode == 2
    assert "cannot compare" in done.stdout and release_of(machine) in done.stdout


def release_of(machine):
    return next(iter(machine.values())).split(".")[0]


def test_patch_releases_compare(compare):
    assert compare(changed(openssl="3.0.19", kernel="7.3.9-amd64")).returncode == 0


def test_as_a_test_other_versions_are_skipped_aloud(compare):
    done = compare(changed(openssl="3.5.1"), "--as-test", folder=True)
    assert done.returncode == 0
    assert "OpenSSL 3.5" in done.stdout and "OpenSSL 3.0" in done.stdout
    assert done.stdout.endswith("1 passed, 0 failed, 2 skipped\n")


def test_of_a_directory_the_one_that_fits(compare, tmp_path):
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "a.json").write_text(json.dumps(changed(openssl="3.5.1", factor=0.1)))
    assert compare(RESULTS, folder=True).returncode == 0


def test_times_are_not_compared(compare):
    done = compare(dict(RESULTS, unit="ns"))
    assert done.returncode == 2 and "times" in done.stdout


def test_nothing_in_common_is_a_failure(compare):
    other = copy.deepcopy(RESULTS)
    other["works"]["core"]["points"] = {"produce": {"nginx": [{"cpu": 3.7}]}}
    assert compare(other).returncode == 2
    assert compare(other, "--as-test").stdout.endswith("0 passed, 1 failed, 0 skipped\n")


@pytest.mark.parametrize("text, why", [
    (None, "No such file"),
    ("no JSON", "is not JSON"),
    ('{"unit": "instructions"}', "has no results"),
    ("[]", "has no results"),
])
@pytest.mark.parametrize("options", [(), ("--as-test",)])
def test_what_cannot_be_read_is_said_and_is_not_dearer(tmp_path, text, why, options):
    (tmp_path / "after.json").write_text(json.dumps(RESULTS))
    if text is not None:
        (tmp_path / "before.json").write_text(text)
    done = subprocess.run([ROOT / "bench" / "compare", tmp_path / "before.json", tmp_path / "after.json", *options],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr == ""
    assert str(tmp_path / "before.json") in done.stdout and why in done.stdout
