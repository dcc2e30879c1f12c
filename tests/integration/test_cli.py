# SPDX-License-Identifier: Apache-2.0
"""The command line as people and scripts meet it: help, exit codes, messages, JSON, the embedded CA's files."""
import concurrent.futures
import json
import os
import pathlib
import pty
import re
import resource
import stat
import subprocess

import pytest
from certs import DAY, Authority, now
from proxyrig import BINARY, REPO

VERBS = ["proxy", "check", "probe", "dev", "status", "conns", "kill", "reload", "drain", "log-level", "help"]
OK, FAILED, USAGE = 0, 1, 2
PATIENCE = 120  # seconds; a hang must fail, slowness must not
KEY_TYPES = {"ec-p256": "prime256v1", "ec-p384": "secp384r1", "ed25519": "ED25519", "rsa-2048": "2048 bit",
             "rsa-3072": "3072 bit", "rsa-4096": "4096 bit"}


def run(*arguments, code=OK, **options):
    """Runs the program, checks its exit code, gives back what it said."""
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE,
                          stdin=subprocess.DEVNULL, **options)
    assert done.returncode == code, f"{arguments}: code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Sanitizer" not in done.stderr
    return done


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE)


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    """A directory with a CA and two certificates; nobody changes it."""
    folder = tmp_path_factory.mktemp("ca")
    run("dev", "ca", "--dir", folder, "--cn", "Test root")
    run("dev", "cert", "--dir", folder, "--cn", "broker-1", "--san", "dns:localhost,ip:127.0.0.1", "--usage", "server")
    run("dev", "cert", "--dir", folder, "--cn", "svc", "--usage", "client")
    return folder


def listener(folder, **changes):
    result = {"name": "kafka", "listen": "127.0.0.1:9093", "upstream": "127.0.0.1:9092",
              "tls": {"certificate": str(folder / "broker-1.crt"), "key": str(folder / "broker-1.key"),
                      "roots": [str(folder / "ca.crt")]}}
    tls = changes.pop("tls", {})
    result.update(changes)
    result["tls"].update(tls)
    return result


def configuration(path, *listeners, **top):
    path.write_text(json.dumps({**top, "listeners": listeners}, indent=1))
    return path


# Help and usage.
@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]] + [[verb, "--help"] for verb in VERBS[:-1]] +
                         [["help", verb] for verb in VERBS] + [["dev", "ca", "--help"], ["dev", "cert", "-h"]])
def test_help(arguments):
    done = run(*arguments)
    assert "usage: sallyport" in done.stdout
    assert "exit status" in done.stdout
    assert done.stderr == ""
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


def test_help_names_every_verb():
    text = run("--help").stdout
    assert all(re.search(rf"^  {verb}\b", text, re.M) for verb in VERBS)


def test_help_to_a_full_disk_fails():
    with open("/dev/full", "w") as full:
        done = subprocess.run([BINARY, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert done.returncode == FAILED
    assert "No space left" in done.stderr


def test_version():
    lines = run("--version").stdout.splitlines()
    assert re.fullmatch(r"sallyport \d+\.\d+\.\d+", lines[0])
    assert lines[1].startswith("OpenSSL 3.")
    assert re.fullmatch(r"liburing \d+\.\d+.*", lines[2])
    assert re.fullmatch(r"libyaml \d+\.\d+.*", lines[3])
    assert re.fullmatch(r"pacing by client: (not )?built in", lines[4])


@pytest.mark.parametrize("arguments, says", [
    ([], "usage: sallyport"),
    (["chek", "x"], "did you mean 'check'?"),
    (["--verison"], "unknown option"),
    (["help", "proxi"], "did you mean 'proxy'?"),
    (["proxy"], "-c FILE is missing"),
    (["proxy", "x.yaml"], "write -c x.yaml"),
    (["proxy", "-c"], "option '-c' wants a value"),
    (["proxy", "-c", "a", "-c", "b"], "not two"),
    (["proxy", "--confg", "x"], "did you mean '--config'?"),
    (["check"], "a file is expected"),
    (["check", "a", "b"], "'b' is one more"),
    (["check", "--jsn", "a"], "did you mean '--json'?"),
    (["check", "--json=3", "a"], "takes no value"),
    (["check", "--schema", "a"], "--schema takes no file"),
    (["probe", "x"], "unexpected argument 'x'"),
    (["probe", "-q"], "unknown option '-q'"),
    (["dev"], "ca or cert is expected"),
    (["dev", "certt"], "did you mean 'cert'?"),
    (["dev", "ca"], "--dir is missing"),
    (["dev", "ca", "--dir", "x", "--days", "0"], "1 to 36500"),
    (["dev", "ca", "--dir", "x", "--key", "ec-p265"], "did you mean 'ec-p256'?"),
    (["dev", "cert", "--dir", "x"], "--cn is missing"),
    (["dev", "cert", "--dir", "x", "--cn", "x", "--usage", "sever"], "did you mean 'server'?"),
    (["dev", "cert", "--dir", "x", "--cn", "x", "--san", "localhost"], "dns:NAME"),
    (["dev", "cert", "--dir", "x", "--cn", ""], "1 to 64 characters"),
    (["dev", "cert", "--dir", "x", "--cn", "x", "--name", "../x"], "can not be a file name"),
])
def test_usage_errors(arguments, says, tmp_path):
    done = run(*arguments, code=USAGE, cwd=tmp_path)
    assert says in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


# check.
def problems(path, code=USAGE):
    answer = json.loads(run("check", "--json", path, code=code).stdout)
    assert answer["file"] == str(path)
    assert answer["ok"] == (code == OK)
    assert answer["errors"] == sum(p["severity"] == "error" for p in answer["problems"])
    return answer


def test_check_good(ca, tmp_path):
    path = configuration(tmp_path / "good.yaml", listener(ca))
    text = run("check", path).stdout
    assert f"{path}: good" in text
    assert re.search(r"kafka  front  127\.0\.0\.1:9093 -> 127\.0\.0\.1:9092  CN broker-1, (89|90) days left, 1 root$", text, re.M)
    answer = problems(path, code=OK)
    assert answer["problems"] == []
    (only,) = answer["listeners"]
    assert only["certificate"]["cn"] == "broker-1"
    assert only["certificate"]["days_left"] in (89, 90)
    assert only["roots"] == 1


def test_check_finds_all_at_once(ca, tmp_path):
    """Mistakes of form keep nobody from hearing of files too, nor the other way round."""
    path = tmp_path / "bad.yaml"
    path.write_text(f"""\
lop: auto
listeners:
  - name: k
    listen: 127.0.0.1:9093
    upstream: 127.0.0.1:9092
    tls: {{certificate: {ca}/broker-1.crt, key: {ca}/ca.key, roots: [absent.crt]}}
    timeouts: {{handshake: 10}}
  - {{name: l, tls: {{certificate: absent.crt}}}}
  - 7
""")
    found = [(p["line"], p["path"]) for p in problems(path)["problems"] if p["severity"] == "error"]
    assert found == [(1, "lop"), (6, "listeners[0].tls.key"), (6, "listeners[0].tls.roots[0]"),
                     (7, "listeners[0].timeouts.handshake"), (8, "listeners[1].listen"),
                     (8, "listeners[1].upstream"), (8, "listeners[1].tls.roots"),
                     (8, "listeners[1].tls.key"), (9, "listeners[2]")]


def test_check_text_form(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("workers: many\nlisteners:\n  - name: k\n    lisen: x\n")
    lines = run("check", path, code=USAGE).stdout.splitlines()
    assert lines[0].startswith(f"{path}:1:10: error: workers: 'many' is not a number")
    assert f"{path}:4:5: error: listeners[0].lisen: unknown key; did you mean 'listen'?" in lines
    assert lines[-1] == "5 errors, 0 warnings"
    assert not any("\033" in line for line in lines)
    # proxy tells the same on standard error, and starts nothing
    done = run("proxy", "-c", path, code=USAGE)
    assert done.stderr.splitlines() == lines
    assert done.stdout == ""


def on_terminal(arguments, environment):
    """What the program writes to a terminal."""
    master, slave = pty.openpty()
    try:
        done = subprocess.Popen([BINARY, *map(str, arguments)], stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        text = b""
        while True:
            try:
                block = os.read(master, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not block:
                break
            text += block
        done.wait(timeout=PATIENCE)
        return text.decode().replace("\r\n", "\n")
    finally:
        os.close(master)


def test_check_on_a_terminal(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("listeners: [ {name: k, \"x\\x1b[2J\": 1, ktls: é, rôle: front} ]\n")
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
    plain = on_terminal(["check", path], {**environment, "NO_COLOR": "1"})
    assert "\033" not in plain
    # the caret stands under the character
    snippet = plain.splitlines()[[i for i, line in enumerate(plain.splitlines()) if ".ktls: " in line][0]:][:3]
    assert snippet[1].index("é") == snippet[2].index("^")
    coloured = on_terminal(["check", path], {**environment, "TERM": "xterm"})
    assert "\033[1;31merror:" in coloured
    assert "\033[2J" not in coloured
    assert re.sub(r"\033\[[0-9;]*m", "", coloured) == plain


def missing(folder):
    return listener(folder, tls={"certificate": "nowhere.crt", "key": "nowhere.key", "roots": ["nowhere.pem"]})


@pytest.mark.parametrize("make, path, says", [
    (missing, "listeners[0].tls.certificate", "No such file"),
    (missing, "listeners[0].tls.key", "No such file"),
    (missing, "listeners[0].tls.roots[0]", "No such file"),
    (lambda f: listener(f, tls={"certificate": str(f)}), "listeners[0].tls.certificate", "not a regular file"),
    (lambda f: listener(f, tls={"key": str(f / "svc.key")}), "listeners[0].tls.key", "not the key of"),
    (lambda f: listener(f, tls={"key": str(f / "svc.crt")}), "listeners[0].tls.key", "others than its owner"),
    (lambda f: listener(f, tls={"certificate": str(f / "svc.crt"), "key": str(f / "svc.key")}),
     "listeners[0].tls.certificate", "not for server use"),
    (lambda f: listener(f, tls={"roots": [str(f / "svc.crt")]}), "listeners[0].tls.roots", "holds no root"),
    (lambda f: listener(f, tls={"roots": [str(f / "ca.crt"), str(f / "index.jsonl")]}),
     "listeners[0].tls.roots[1]", "holds no PEM certificate"),
])
def test_check_files(ca, tmp_path, make, path, says):
    config = configuration(tmp_path / "bad.yaml", make(ca))
    found = [p for p in problems(config)["problems"] if p["path"] == path and says in p["text"]]
    assert len(found) == 1
    # it stands where the file says it: the line has the key's value
    line = config.read_text().splitlines()[found[0]["line"] - 1]
    assert line[found[0]["column"] - 1] in '"[{'


def test_check_folder_of_the_audit(ca, tmp_path):
    path = configuration(tmp_path / "c.yaml", listener(ca), audit={"file": "nowhere/audit.log"})
    (only,) = problems(path)["problems"]
    assert (only["path"], only["text"]) == ("audit.file", f"{tmp_path}/nowhere: No such file or directory")
    configuration(path, listener(ca), audit={"file": "audit.log"})
    problems(path, code=OK)


@pytest.mark.parametrize("where,says", [("nowhere/keys", "/nowhere: No such file"), ("file", " is not a folder")])
def test_check_folder_of_signing_keys(ca, tmp_path, where, says):
    """It need not be there, but there must be where to make it."""
    (tmp_path / "file").touch()
    path = configuration(tmp_path / "c.yaml", listener(ca), identity={"directory": where})
    (only,) = problems(path)["problems"]
    assert only["path"] == "identity.directory" and says in only["text"]
    configuration(path, listener(ca), identity={"directory": "keys"})
    problems(path, code=OK)
    assert not (tmp_path / "keys").exists()


def test_check_expired(tmp_path):
    root = Authority("root")
    root.write(tmp_path, "ca")
    root.issue("old", usage="server", dns=["x"], not_before=now() - 3 * DAY, not_after=now() - DAY).write(
        tmp_path, "broker-1")
    found = problems(configuration(tmp_path / "c.yaml", listener(tmp_path)))["problems"]
    assert [(p["path"], "has expired at" in p["text"]) for p in found] == [("listeners[0].tls.certificate", True)]


def test_check_warnings(ca, tmp_path):
    config = configuration(tmp_path / "c.yaml", listener(ca, upstream="nowhere.invalid:9092"),
                           listener(ca, name="unix", listen=f"unix:{tmp_path}/no/such/sock", upstream="unix:/nowhere"))
    answer = problems(config, code=OK)
    assert [(p["severity"], p["path"]) for p in answer["problems"]] == [
        ("warning", "listeners[0].upstream"), ("warning", "listeners[1].listen"), ("warning", "listeners[1].upstream")]
    text = run("check", config).stdout
    assert "0 errors, 3 warnings" in text
    assert "good" in text


def test_check_sandbox(ca, tmp_path):
    """What this host lacks of it."""
    config = configuration(tmp_path / "c.yaml", listener(ca), user="no-such-user", sandbox="required")
    landlock = json.loads(run("probe", "--json").stdout)["landlock"]["abi"] > 0
    found = {p["path"]: p["text"] for p in problems(config, code=OK)["problems"]}
    assert "no user 'no-such-user'" in found.pop("user")
    assert landlock == ("sandbox" not in found)


@pytest.mark.parametrize("content, says", [
    (b"", "the file is empty"), (b"\x00\x01", "NUL"), (b"\xff\xfe", "not UTF-8"), (b"#" * (1 << 20) + b"#", "larger than"),
    (b"[" * 100000, "nested too deep"), (b"a: &a [*a]", "stands inside"),
], ids=["empty", "nul", "utf16", "large", "deep", "circle"])
def test_check_not_a_configuration(tmp_path, content, says):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    (problem,) = problems(path)["problems"]
    assert says in problem["text"]


def test_check_absent_file(tmp_path):
    assert "No such file" in run("check", tmp_path / "absent", code=USAGE).stdout
    assert "directory" in run("check", tmp_path, code=USAGE).stdout


def test_check_a_pipe(ca, tmp_path):
    """A writer that takes its time is waited for."""
    path = configuration(tmp_path / "good.yaml", listener(ca))
    done = subprocess.run(["sh", "-c", f"(sleep 0.3; cat {path}) | {BINARY} check /dev/stdin"], capture_output=True,
                          text=True, timeout=PATIENCE)
    assert done.returncode == OK, done.stdout + done.stderr


def test_relative_files(ca):
    """Whatever the working directory is."""
    (ca / "relative.yaml").write_text(json.dumps({"listeners": [listener(pathlib.Path("."))]}))
    run("check", ca / "relative.yaml", cwd="/")
    run("check", "relative.yaml", cwd=ca)
    run("check", f"{ca.name}/../{ca.name}/relative.yaml", cwd=ca.parent)


# The documentation says what the program does.
def documented_keys():
    rows = {}
    for line in (REPO / "docs" / "configuration.md").read_text().splitlines():
        match = re.fullmatch(r"\| `([a-z][a-z0-9_.\[\]]*)` \| (.+?) \| (.+?) \| (.+) \|", line)
        if match:
            assert match[1] not in rows, f"{match[1]} is documented twice"
            rows[match[1]] = (match[2], match[3])
    return rows


def test_documentation_is_the_schema():
    schema = json.loads(run("check", "--schema", "--json").stdout)
    expected = {row["key"]: (row["type"].replace(" | ", " or "),
                             "required" if row["required"] else f"`{row['default']}`" if row["default"] else "none")
                for row in schema}
    assert documented_keys() == expected
    assert len(expected) == len(schema) > 30
    assert all(row["help"] for row in schema)


def test_schema_text():
    text = run("check", "--schema").stdout
    for row in json.loads(run("check", "--schema", "--json").stdout):
        assert re.search(rf"^{re.escape(row['key'])} +{re.escape(row['type'])}", text, re.M), row["key"]


@pytest.mark.parametrize("page", ["docs/configuration.md", "README.md"])
def test_examples_of_the_documentation(ca, tmp_path, page):
    """They are good configurations, but for the names of files."""
    examples = [e for e in re.findall(r"```yaml\n(.*?)```", (REPO / page).read_text(), re.S) if "listeners:" in e]
    assert examples
    for example in examples:
        for name in set(re.findall(r"[\w-]+\.(?:crt|key)\b", example)) - {path.name for path in tmp_path.iterdir()}:
            source = "ca.crt" if name.startswith("ca") else "broker-1" + name[-4:]
            (tmp_path / name).symlink_to(ca / source)
        (tmp_path / "c.yaml").write_text(example.replace("/var/lib/sallyport", str(tmp_path)))
        run("check", tmp_path / "c.yaml")


# probe.
def check_ktls_auto(auto, fit):
    """Facts rule out the kernel; figures, which are not for a test to know, choose among the rest."""
    assert auto["transport"] == auto["suites"][0]["transport"]
    assert auto["why"]
    assert [(suite["version"], suite["cipher"]) for suite in auto["suites"]] == [
        (version, f"TLS_{cipher}") for version in ("1.3", "1.2")
        for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")]
    for suite in auto["suites"]:
        assert suite["why"]
        assert suite["measured"] <= fit[suite["version"]]
        if not suite["measured"]:
            assert suite["transport"] == ("ktls" if fit[suite["version"]] else "aead")
        assert len(suite["costs"]) == (4 if suite["measured"] else 0)
        for cost in suite["costs"]:
            assert cost["direction"] in ("sending", "receiving") and cost["bytes"] in (512, 16384)
            assert cost["ns_per_kib"]["aead"] > 0 and cost["ns_per_kib"]["ktls"] > 0


def test_probe_json():
    answer = json.loads(run("probe", "--json").stdout)
    assert answer["kernel"] == os.uname().release
    assert answer["cores"] == len(os.sched_getaffinity(0))
    assert answer["openssl"].startswith("OpenSSL 3.")
    assert answer["io_uring"]["usable"] == (answer["io_uring"]["why"] == "")
    ciphers = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
    ktls = answer["ktls"]
    assert set(ktls["tls13"]) == set(ktls["tls12"]) == ciphers
    everything = ktls["ulp"] and ktls["rekey"] and all(ktls["tls13"].values()) and all(ktls["tls12"].values())
    assert everything == (ktls["why"] == "")
    check_ktls_auto(answer["ktls_auto"], {"1.3": ktls["rekey"] and all(ktls["tls13"].values()), "1.2": all(ktls["tls12"].values())})
    assert (answer["landlock"]["abi"] > 0) == (answer["landlock"]["why"] == "")
    assert answer["pacing"]["usable"] == (answer["pacing"]["why"] == "")
    assert answer["pipes"]["bytes_max"] == int(pathlib.Path("/proc/sys/fs/pipe-max-size").read_text())


def test_probe_limits():
    answer = json.loads(run("probe", "--json", preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (100, 200))).stdout)
    assert answer["open_files"] == {"soft": 100, "hard": 200}


def test_probe_text():
    text = run("probe").stdout
    answer = json.loads(run("probe", "--json").stdout)
    assert re.search(rf"^kernel +{re.escape(answer['kernel'])}$", text, re.M)
    assert re.search(rf"^io_uring +{'yes' if answer['io_uring']['usable'] else 'no'}", text, re.M)
    # Two calibrations need not agree.
    assert re.match("ktls: auto uses (aead|ktls|ktls_send) ", text.splitlines()[-1])
    if answer["ktls"]["why"]:
        assert answer["ktls"]["why"] in text


# dev.
def test_dev_files(ca):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in ca.iterdir()}
    assert {name: mode for name, mode in modes.items() if name.endswith(".key")} == {
        "ca.key": 0o600, "broker-1.key": 0o600, "svc.key": 0o600}
    assert (ca / "broker-1.key").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert (ca / "broker-1.crt").read_text().count("BEGIN CERTIFICATE") == 1
    assert not [name for name in modes if name.startswith(".")]


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_dev_key_types(tmp_path, key_type):
    run("dev", "ca", "--dir", tmp_path, "--key", key_type if not key_type.startswith("rsa") else "rsa-2048")
    answer = json.loads(run("dev", "cert", "--dir", tmp_path, "--cn", "x", "--key", key_type, "--json").stdout)
    assert answer["key_type"] == key_type
    for purpose in ("sslserver", "sslclient"):
        done = openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", tmp_path / "ca.crt", answer["certificate"])
        assert done.returncode == 0, done.stdout + done.stderr
    assert KEY_TYPES[key_type] in openssl("pkey", "-in", answer["key"], "-noout", "-text").stdout
    serial = openssl("x509", "-in", answer["certificate"], "-noout", "-serial").stdout
    assert serial.strip().lower() == f"serial={answer['serial']}"


def test_dev_usage_and_names(ca):
    assert openssl("verify", "-purpose", "sslclient", "-CAfile", ca / "ca.crt", ca / "broker-1.crt").returncode != 0
    assert openssl("verify", "-purpose", "sslserver", "-CAfile", ca / "ca.crt", ca / "svc.crt").returncode != 0
    for option, name in (("-verify_hostname", "localhost"), ("-verify_ip", "127.0.0.1")):
        assert openssl("verify", option, name, "-CAfile", ca / "ca.crt", ca / "broker-1.crt").returncode == 0
    assert openssl("verify", "-verify_hostname", "other", "-CAfile", ca / "ca.crt", ca / "broker-1.crt").returncode != 0


def test_dev_never_overwrites(tmp_path):
    run("dev", "ca", "--dir", tmp_path)
    run("dev", "cert", "--dir", tmp_path, "--cn", "x")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert "--force" in run("dev", "ca", "--dir", tmp_path, code=FAILED).stderr
    assert "exists already" in run("dev", "cert", "--dir", tmp_path, "--cn", "x", code=FAILED).stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    run("dev", "cert", "--dir", tmp_path, "--cn", "x", "--force")
    assert (tmp_path / "x.crt").read_bytes() != before["x.crt"]
    assert stat.S_IMODE((tmp_path / "x.key").stat().st_mode) == 0o600


def test_dev_without_a_ca(tmp_path):
    assert "sallyport dev ca" in run("dev", "cert", "--dir", tmp_path, "--cn", "x", code=FAILED).stderr
    assert "No such file" in run("dev", "ca", "--dir", tmp_path / "a" / "b", code=FAILED).stderr


def test_dev_life(tmp_path):
    run("dev", "ca", "--dir", tmp_path, "--days", "5")
    done = run("dev", "cert", "--dir", tmp_path, "--cn", "x", "--days", "100")
    assert "cut: the CA ends then" in done.stdout
    ends = [openssl("x509", "-in", tmp_path / name, "-noout", "-enddate").stdout for name in ("ca.crt", "x.crt")]
    assert ends[0] == ends[1]


def test_dev_many_at_once(tmp_path):
    """Writers wait for each other; the index has a whole line for each."""
    run("dev", "ca", "--dir", tmp_path)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: run("dev", "cert", "--dir", tmp_path, "--cn", f"c{i}"), range(24)))
        # one name, many writers: one wins
        done = list(pool.map(lambda _: subprocess.run([BINARY, "dev", "cert", "--dir", str(tmp_path), "--cn", "same"],
                                                      capture_output=True, timeout=PATIENCE).returncode, range(8)))
    assert sorted(done) == [OK] + [FAILED] * 7
    index = [json.loads(line) for line in (tmp_path / "index.jsonl").read_text().splitlines()]
    assert len(index) == 26
    assert len({line["serial"] for line in index}) == 26
    assert {line["cn"] for line in index if line["kind"] == "leaf"} == {f"c{i}" for i in range(24)} | {"same"}


def test_dev_full_disk(tmp_path):
    """No room for the files: a clear message, and nothing half made."""
    run("dev", "ca", "--dir", tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    limit = ("import os, resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
             "resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400)); os.execv(sys.argv[1], sys.argv[1:])")
    done = subprocess.run(["python3", "-c", limit, BINARY, "dev", "cert", "--dir", str(tmp_path), "--cn", "x"],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == FAILED
    assert "File too large" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before
