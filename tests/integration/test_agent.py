# SPDX-License-Identifier: Apache-2.0
"""The agent with the embedded CA: layouts, hooks, restarts, whoever interferes with its files, and its ways to fail."""
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import time

import prometheus
import pytest
import scrape
import yaml
from adminrig import socket_folder
from agentrig import Agent, check_pair, dev_ca, facts, serial_of
from manager import Manager
from proxyrig import BINARY, REPO, SANITIZED, free_port
from waiting import PATIENCE, wait_until

ALERTS = REPO / "deploy" / "grafana" / "agent_alerts.yaml"
SOON = "3s"  # a deadline before which what fails has failed once, on a busy machine too: otherwise it is only too late
CLOSED = socket.socket()  # a port at which nobody answers
CLOSED.bind(("127.0.0.1", 0))


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    return dev_ca(tmp_path_factory.mktemp("agent") / "ca")


@pytest.fixture
def certificate(ca, tmp_path):
    """One of the embedded CA, for `layouts` of its own."""
    def make(name="broker", **keys):
        return {"name": name, "source": "dev", "dir": str(ca), "common_name": f"cn-{name}", "dns": ["localhost"],
                "layouts": [{"directory": str(tmp_path / name)}], **keys}
    return make


@pytest.fixture
def agent(tmp_path):
    """Makes agents; those that still run at the end are stopped in order."""
    made = []

    def make(*certificates, **top):
        made.append(Agent(tmp_path / f"agent-{len(made)}", list(certificates), **top))
        return made[-1]
    yield make
    try:
        for one in made:
            if one.running():
                one.stop()
    finally:
        for one in made:
            one.kill()


@pytest.fixture
def open_folder():
    """Not below that of pytest, which each run that begins closes to other users."""
    with socket_folder() as folder:
        yield folder


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return [str(path)]


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# Layouts.
def test_once(agent, certificate, tmp_path):
    (tmp_path / "password").write_text("secret-1\n")
    (tmp_path / "template").write_text("cn={{ common_name }} serial={{ serial }}\n{{ private_key }}")
    layout = {"directory": str(tmp_path / "tls"), "formats": ["pem", "pkcs12"],
              "password_file": str(tmp_path / "password"),
              "templates": [{"source": str(tmp_path / "template"), "target": "client.conf"}]}
    one = agent(certificate(ip=["127.0.0.1"], uri=["spiffe://example/a"], mode="0640", layouts=[
        layout, {"directory": str(tmp_path / "plain"), "formats": [],
                 "templates": [{"source": str(tmp_path / "template"), "target": "all"}]}]))
    one.once()
    tls = tmp_path / "tls"
    check_pair(tls)
    text = facts(tls / "tls.crt")
    assert "cn-broker" in text and "DNS:localhost" in text and "127.0.0.1" in text and "spiffe://example/a" in text
    serial = serial_of(tls)
    assert (tls / "client.conf").read_text().startswith(f"cn=cn-broker serial={serial}\n-----BEGIN PRIVATE KEY-----")
    assert {mode_of(tls / name) for name in ("tls.crt", "chain.crt", "ca.crt", "truststore.p12")} == {0o644}
    assert {mode_of(tls / name) for name in ("tls.key", "keystore.p12", "client.conf")} == {0o640}
    assert (tmp_path / "plain" / "all").read_text() == (tls / "client.conf").read_text()
    for store, word in (("keystore.p12", "cn-broker"), ("truststore.p12", "Agent test root")):
        done = subprocess.run(["openssl", "pkcs12", "-in", tls / store, "-passin", "pass:secret-1", "-noenc"], check=True,
                              capture_output=True, text=True, timeout=PATIENCE)
        assert word in done.stdout
    one.once()  # nothing to do
    assert serial_of(tls) == serial and len(one.lines(event="laid_out")) == 2


def test_once_with_keystores_only(agent, certificate, tmp_path):
    """They can be read back as well."""
    (tmp_path / "password").write_text("secret-1")
    one = agent(certificate(layouts=[{"directory": str(tmp_path / "tls"), "formats": ["pkcs12"],
                                      "password_file": str(tmp_path / "password")}]))
    one.once()
    one.once()
    assert len(one.lines(event="laid_out")) == 1
    one.config["certificates"][0]["dns"] = ["other"]  # not what it holds
    one.once()
    assert len(one.lines(event="laid_out")) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away: needs root")
def test_owner(agent, certificate, tmp_path):
    agent(certificate(owner="nobody", group="daemon")).once()
    key = os.stat(tmp_path / "broker" / "tls.key")
    assert (key.st_uid, key.st_gid, stat.S_IMODE(key.st_mode)) == (65534, 1, 0o600)


def test_files_of_others(agent, certificate, ca, tmp_path):
    """Source files: laid out, and again when they change."""
    mine = tmp_path / "source"
    mine.mkdir()

    def issue():
        subprocess.run([BINARY, "dev", "cert", "--dir", ca, "--cn", "from-files", "--name", "agent-files", "--force"],
                       check=True, capture_output=True, timeout=PATIENCE)
        for name in ("agent-files.crt", "agent-files.key"):
            shutil.copy(ca / name, mine / f"{name}.new")
            (mine / f"{name}.new").rename(mine / name)
    issue()
    one = agent({"name": "files", "source": "files", "certificate": str(mine / "agent-files.crt"),
                 "key": str(mine / "agent-files.key"), "roots": [str(ca / "ca.crt")],
                 "layouts": [{"directory": str(tmp_path / "tls")}]}).start()
    check_pair(tmp_path / "tls")
    before = serial_of(tmp_path / "tls")
    issue()
    wait_until("the new one", lambda: serial_of(tmp_path / "tls") != before, 3 * PATIENCE)
    wait_until("a pair", lambda: one.status()["well"])
    check_pair(tmp_path / "tls")
    one.verb("renew")
    assert one.certificate()["layouts"] == 3


def test_roots_that_change(agent, certificate, ca, tmp_path):
    """A file of more roots: seen with the next look, for which anything that happens is a reason."""
    more = tmp_path / "more.crt"
    shutil.copy(ca / "ca.crt", more)
    one = agent(certificate(roots=[str(more)])).start()
    serial = serial_of(tmp_path / "broker")
    assert (tmp_path / "broker" / "ca.crt").read_text().count("BEGIN") == 1
    shutil.copy(dev_ca(tmp_path / "second", "Second root") / "ca.crt", more)
    (tmp_path / "broker" / "stray").write_text("")
    wait_until("both", lambda: (tmp_path / "broker" / "ca.crt").read_text().count("BEGIN") == 2)
    one.wait_lines(1, event="laid_out", reason="roots_changed")
    assert serial_of(tmp_path / "broker") == serial
    more.write_text("nonsense")
    (tmp_path / "broker" / "stray").unlink()
    one.wait_lines(1, event="roots_failed", level="error")
    assert (tmp_path / "broker" / "ca.crt").read_text().count("BEGIN") == 2


# The daemon.
def test_renews(agent, certificate, tmp_path):
    """By itself, several times, and each time the hook is told."""
    told = tmp_path / "told"
    one = agent(certificate(ttl="10s", keep="1s", hooks=[
        {"command": script(tmp_path / "hook", f'echo "$SALLYPORT_REASON $SALLYPORT_SERIAL" >>{told}')}])).start()
    wait_until(lambda: f"two renewals:\n{one.tail()}", lambda: told.read_text().count("renewed") >= 2, 6 * PATIENCE)
    reasons, serials = zip(*(line.split() for line in told.read_text().splitlines()))
    assert reasons[0] == "first" and set(reasons[1:]) == {"renewed"}
    assert len(set(serials)) == len(serials)
    one.stop()  # a set that is read for longer than it is kept would go meanwhile
    check_pair(tmp_path / "broker")


def test_orders(agent, certificate, tmp_path):
    one = agent(certificate(), certificate("client")).start()
    before = {name: serial_of(tmp_path / name) for name in ("broker", "client")}
    assert "client" in one.verb("renew", "client")
    after = {name: serial_of(tmp_path / name) for name in before}
    assert after["broker"] == before["broker"] and after["client"] != before["client"]
    one.verb("renew")
    assert {serial_of(tmp_path / name) for name in before}.isdisjoint({*before.values(), *after.values()})
    assert "no such certificate" in one.verb("renew", "nobody", code=1)
    text = one.verb("status")
    assert "cn-broker" in text and serial_of(tmp_path / "client") in text
    one.stop()
    assert "no agent answers there" in one.verb("status", code=3)


def test_restart_keeps(agent, certificate, tmp_path):
    told = tmp_path / "told"
    one = agent(certificate(hooks=[{"command": script(tmp_path / "hook", f"echo x >>{told}")}])).start()
    serial = serial_of(tmp_path / "broker")
    one.stop()
    one.start()
    assert serial_of(tmp_path / "broker") == serial and told.read_text() == "x\n"
    assert one.certificate()["layouts"] == 0


def test_another_ca(agent, certificate, tmp_path):
    """What is on disk is good, but not from the one that is asked for now."""
    one = agent(certificate())
    one.once()
    before = serial_of(tmp_path / "broker")
    one.config["certificates"][0]["dir"] = str(dev_ca(tmp_path / "second-ca", "Second root"))
    one.once()
    assert serial_of(tmp_path / "broker") != before
    check_pair(tmp_path / "broker")


@pytest.mark.parametrize("how", ["removed", "changed", "mode", "replaced", "link"])
def test_somebody_interferes(agent, certificate, tmp_path, how):
    one = agent(certificate()).start()
    serial, key = serial_of(tmp_path / "broker"), tmp_path / "broker" / "tls.key"
    if how == "removed":
        key.resolve().unlink()
    elif how == "changed":
        key.write_text("nothing")
    elif how == "mode":
        key.chmod(0o644)
    elif how == "replaced":
        (tmp_path / "mine").write_text("my own")
        (tmp_path / "mine").rename(key)
    else:
        (tmp_path / "broker" / "..data").unlink()
    wait_until(one.tail, lambda: one.certificate()["changed_files"] >= 1)
    wait_until(one.tail, lambda: one.certificate()["laid_out"] and mode_of(key) == 0o600)
    check_pair(tmp_path / "broker")
    assert serial_of(tmp_path / "broker") == serial
    one.wait_lines(1, event="file_changed", level="warning")
    one.wait_lines(1, event="laid_out", reason="restored")


def test_killed_at_any_moment(agent, certificate, tmp_path):
    """Whatever it does just then: what is there is whole, and goes on from there."""
    told, rng = tmp_path / "told", random.Random(7)
    one = agent(certificate(keep="off", hooks=[{"command": script(tmp_path / "hook", f"echo $SALLYPORT_SERIAL >{told}")}]))
    for _ in range(12):
        one.start(well=False)
        renewing = subprocess.Popen([BINARY, "agent", "renew", "--socket", str(one.socket)], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, 0.05))
        one.kill()
        renewing.wait(PATIENCE)
        if (tmp_path / "broker" / "..data").exists():
            check_pair(tmp_path / "broker")
    one.start()
    check_pair(tmp_path / "broker")
    wait_until("the hook", lambda: told.read_text().strip() == serial_of(tmp_path / "broker"))
    names = os.listdir(tmp_path / "broker")
    assert not [name for name in names if name.startswith("..new-")], names
    assert len([name for name in names if name.startswith("..gen-")]) == 1, names


# What is out of order.
def test_disk_full(agent, certificate, tmp_path):
    one = agent(certificate(dir=str(dev_ca(tmp_path / "ca")))).start()
    serial = serial_of(tmp_path / "broker")
    _, hard = resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (600, hard))  # less than a certificate, more than the index of its CA
    one.verb("renew", code=1)
    assert "File too large" in one.certificate()["layout_error"]
    assert serial_of(tmp_path / "broker") == serial
    check_pair(tmp_path / "broker")
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    wait_until("it to be laid out", lambda: one.certificate()["laid_out"], 4 * PATIENCE)
    assert serial_of(tmp_path / "broker") != serial
    check_pair(tmp_path / "broker")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: needs root")
def test_read_only_directory(agent, open_folder):
    folder = open_folder
    ca = dev_ca(folder / "ca")
    for path in (folder / "agent", folder / "home"):
        path.mkdir()
        os.chown(path, 65534, 65534)
    for path in (ca, *ca.iterdir()):
        os.chown(path, 65534, 65534)
    (folder / "home" / "tls").mkdir()

    def become_nobody():
        os.setgid(65534)
        os.setuid(65534)
    one = Agent(folder / "agent", [{
        "name": "broker", "source": "dev", "dir": str(ca), "common_name": "x",
        "layouts": [{"directory": str(folder / "home" / "tls")}]}], before_exec=become_nobody)
    # The build may lie where nobody may not go.
    one.binary = shutil.copy(BINARY, folder / "sallyport")
    one.once(16, SOON)
    assert "Permission denied" in one.lines(event="layout_failed", level="error")[-1]["msg"]
    one.start(well=False)
    try:
        one.wait_lines(2, event="layout_failed")
        os.chown(folder / "home" / "tls", 65534, 65534)
        wait_until("it to be laid out", lambda: one.certificate()["laid_out"], 4 * PATIENCE)
        check_pair(folder / "home" / "tls")
        one.stop()
    finally:
        one.kill()


def test_hook_that_hangs(agent, certificate, tmp_path):
    """Others do not wait for it; it is ended with its children, and run again."""
    pids = tmp_path / "pids"
    hook = script(tmp_path / "hook", f"sleep 1000 & echo $! >>{pids}; wait")
    one = agent(certificate(hooks=[{"command": hook, "timeout": "2s", "attempts": 2}]), certificate("other"))
    one.start(well=False)
    one.wait_lines(1, event="laid_out", certificate="other")
    one.verb("renew", "other")
    one.wait_lines(1, event="hook_given_up", certificate="broker")
    assert one.lines(event="hook_failed", outcome="timeout", certificate="broker")
    wait_until("the status to tell", lambda: one.certificate("broker")["hooks_failed"])
    assert not one.status()["well"]
    assert "hook failed" in one.verb("status", code=1)
    for pid in map(int, pids.read_text().split()):
        wait_until("the hook's child to end", lambda pid=pid: not alive(pid))


def alive(pid):
    try:
        return ") Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_exit_codes(agent, certificate, tmp_path):
    (tmp_path / "in-the-way").mkdir()
    (tmp_path / "in-the-way" / "tls.key").mkdir()
    agent(certificate(layouts=[{"directory": str(tmp_path / "in-the-way")}])).once(16, SOON)
    agent(certificate(hooks=[{"command": script(tmp_path / "hook", "exit 3"), "attempts": 1}])).once(17)
    token = tmp_path / "token"
    token.write_text("t")
    vault = {"address": f"http://127.0.0.1:{CLOSED.getsockname()[1]}", "issuer": "pki",
             "auth": {"method": "token", "token_file": str(token)}}
    one = {"name": "v", "source": "vault", "role": "r", "common_name": "v", "layouts": [{"directory": str(tmp_path / "v")}]}
    agent(one, vault=vault).once(10, SOON)
    wrong = agent(certificate(owner="nobody-of-this-name"))
    wrong.once(2)
    assert "there is no user" in wrong.tail()
    broken = dev_ca(tmp_path / "broken-ca")
    (broken / "ca.key").write_text("nonsense")
    agent(certificate("other", dir=str(broken))).once(16, SOON)


# Operation.
def test_reload(agent, certificate, tmp_path):
    one = agent(certificate()).start()
    serial = serial_of(tmp_path / "broker")
    one.config["certificates"].append(certificate("second"))
    one.write_config()
    one.process.send_signal(signal.SIGHUP)
    one.wait_lines(1, event="agent_reloaded")
    wait_until("the second", lambda: (status := one.status()) and status["well"] and len(status["certificates"]) == 2)
    assert serial_of(tmp_path / "broker") == serial
    one.config["certificates"][0]["mode"] = "0777"
    one.write_config()
    one.process.send_signal(signal.SIGHUP)
    one.wait_lines(1, event="reload_failed")
    assert one.status()["well"]
    # Good, but can not be had: another program has the port.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        one.config["certificates"][0]["mode"] = "0600"
        one.config["metrics"] = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        one.write_config()
        one.process.send_signal(signal.SIGHUP)
        one.wait_lines(2, event="reload_failed")
        wait_until("it to go on", lambda: (status := one.status()) and status["well"])


def test_service_manager(agent, certificate, tmp_path):
    manager = Manager(tmp_path)
    one = agent(certificate())
    one.env |= manager.env
    one.start()
    manager.expect(READY="1")
    one.stop()
    manager.expect(STOPPING="1")
    manager.close()


@pytest.fixture
def scraped(agent, certificate, tmp_path):
    """An agent of which all has happened that has metrics of its own."""
    port = free_port()
    one = agent(certificate(hooks=[{"command": script(tmp_path / "hook", "true")}]),
                metrics={"listen": f"127.0.0.1:{port}", "textfile": str(tmp_path / "agent.prom")}).start()
    wait_until("the file", (tmp_path / "agent.prom").exists)
    assert one.running()
    return scrape.scrape(("127.0.0.1", port))


def test_metrics(scraped, tmp_path):
    """What is scraped is what the page says, and so is the file."""
    page = (REPO / "docs" / "agent.md").read_text()
    documented = {name for row in re.findall(r"^\| (`[a-z_`, ]+`) \| (?:gauge|counter)? ?\|", page, re.M)
                  for name in re.findall(r"`([a-z_]+)`", row)}
    assert documented == set(scraped.families)
    assert set(scrape.Scrape((tmp_path / "agent.prom").read_text()).families) == documented
    info = scraped.families["sallyport_agent_certificate_info"]
    assert info.values("serial") == {serial_of(tmp_path / "broker")} and info.values("issuer") == {"Agent test root"}
    (end,) = scraped.families["sallyport_agent_certificate_not_after_timestamp_seconds"].samples.values()
    assert abs(end - time.time() - 86400) < 600
    (good,) = scraped.families["sallyport_agent_certificate_good"].samples.values()
    assert good == 1


def alerts():
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return group["rules"]


def test_alerts_ask_for_what_there_is(scraped):
    for rule in alerts():
        prometheus.check_expression(scraped, rule["expr"])
    page = (REPO / "docs" / "agent.md").read_text()
    assert re.findall(r"^\| `(SallyportAgent\w+)` \| .+ \| .+ \|$", page, re.M) == [rule["alert"] for rule in alerts()]


def test_alerts_fire():
    """Made-up series, and which alerts come of them: agent_alerts_test.yaml."""
    assert f"{len(alerts())} rules found" in prometheus.promtool("check", "rules", ALERTS)
    tests = pathlib.Path(__file__).with_name("agent_alerts_test.yaml")
    assert "SUCCESS" in prometheus.promtool("test", "rules", tests.name, cwd=tests.parent)
    fired = set(re.findall(r"alertname: (\w+)\n", tests.read_text()))
    assert fired == {rule["alert"] for rule in alerts()}


def test_audit(agent, certificate, tmp_path):
    path = tmp_path / "audit"
    one = agent(certificate(hooks=[{"command": script(tmp_path / "hook", "true")}]), audit={"file": str(path)}).start()
    one.stop()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [r["event"] for r in records] == ["started", "issued", "layout", "hook", "stopped"]
    assert {r["serial"] for r in records[1:4]} == {serial_of(tmp_path / "broker")}
    assert all(r["outcome"] == "done" for r in records[2:4])
    assert "PRIVATE KEY" not in path.read_text()


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory says nothing")
def test_memory(agent, certificate):
    """With many certificates: as soon as it has them, and once it is quiet."""
    one = agent(*(certificate(f"c{i}") for i in range(20))).start()

    assert one.resident_kib() < 12 * 1024
    wait_until(lambda: f"less than 8 MiB: {one.resident_kib()} KiB", lambda: one.resident_kib() < 8 * 1024)


# Configuration.
def check(folder, text, *options):
    path = folder / "agent.yaml"
    path.write_text(text)
    return subprocess.run([BINARY, "check", "--agent", path, *options], capture_output=True, text=True, check=False,
                          timeout=PATIENCE)


def test_check(ca, tmp_path):
    (tmp_path / "t").write_text("{{ certifcate }}")
    done = check(tmp_path, f"""\
certificates:
  - name: broker
    source: dev
    dir: {ca}
    common_name: x
    mode: "0644"
    owner: nobody-of-this-name
    layouts:
      - directory: {tmp_path}/none/here
        formats: [pkcs12]
        templates: [ {{ source: {tmp_path}/t, target: ../x }} ]
      - directory: {tmp_path}/a
        templates: [ {{ source: {tmp_path}/t, target: x }}, {{ source: {tmp_path}/gone, target: x }} ]
    hooks:
      - command: [reload]
      - command: [/nowhere/hook]
    dnss: [x]
""")
    assert done.returncode == 2
    for expected in ('6:11: error: certificates[0].mode: \'0644\': files with keys are not for everybody',
                     "7:12: error: certificates[0].owner: there is no user", "is no directory in which",
                     "10:18: error: certificates[0].layouts[0].password_file: missing", "a file name is expected",
                     "1:1: no variable 'certifcate'; did you mean 'certificate'?", "gone: No such file",
                     "'x' is the name of another file", "an absolute path is expected", "/nowhere/hook: No such file",
                     "17:5: error: certificates[0].dnss: unknown key; did you mean 'dns'?"):
        assert expected in done.stdout, f"{expected}\n{done.stdout}"
    good = check(tmp_path, json.dumps({"certificates": [{
        "name": "broker", "source": "dev", "dir": str(ca), "common_name": "x",
        "layouts": [{"directory": str(tmp_path / "a")}]}]}))
    assert good.returncode == 0 and f"broker  CN x  -> {tmp_path}/a" in good.stdout


def test_documentation_is_the_schema():
    def schema(*options):
        done = subprocess.run([BINARY, "check", "--schema", "--json", *options], capture_output=True, text=True, check=True,
                              timeout=PATIENCE)
        return {row["key"]: (row["type"].replace(" | ", " or "),
                             "required" if row["required"] else f"`{row['default']}`" if row["default"] else "none")
                for row in json.loads(done.stdout)}
    shared, agents = schema(), schema("--agent")
    page = (REPO / "docs" / "agent.md").read_text()
    rows = re.findall(r"^\| `([a-z][a-z0-9_.\[\]]*)` \| (.+?) \| (.+?) \| .+ \|$", page.split("## Layouts")[0], re.M)
    documented = {key: (kind, default) for key, kind, default in rows}
    assert documented.items() <= agents.items()
    # What is a proxy's too is on its page.
    assert {key for key, row in agents.items() if shared.get(key) != row} <= set(documented)


def test_example_of_the_documentation(tmp_path):
    """Of its form; the files are elsewhere."""
    for page in ("agent.md", "migrate-from-consul-template.md"):
        text = re.search(r"```yaml\n(.*?)```", (REPO / "docs" / page).read_text(), re.S)[1]
        problems = json.loads(check(tmp_path, text, "--json").stdout)["problems"]
        wrong = [p for p in problems if p["severity"] == "error" and not re.search(
            "No such file|there is no user|is no directory in which", p["text"])]
        assert not wrong, wrong


