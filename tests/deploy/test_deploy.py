# SPDX-License-Identifier: Apache-2.0
"""What goes onto hosts: the Debian package, built from the program under test and unpacked into a folder, and the systemd
units in it as systemd itself judges them. No running systemd is needed. tests/deploy/install puts the package into a
clean root.

Environment: SALLYPORT_BUILD (build-tests), a build directory without sanitizers."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SALLYPORT_BUILD", REPO / "build-tests"))
# systemd's own measure, in tenths: 0 is a service that may do nothing, 100 one without any restriction.
EXPOSURE_MAX = 20
# The agent is root, and its hooks may be anything: it can not be as narrow.
AGENT_EXPOSURE_MAX = 30
UNITS = ["sallyport.service", "sallyport.socket", "sallyport-agent.service"]


def run(*command, code=0, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300,
                          check=False, **options)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def build_package(folder):
    folder.mkdir()
    done = run(REPO / "deploy/debian/build", "--build", BUILD, "--output", folder)
    return pathlib.Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build_package(tmp_path_factory.mktemp("package") / "out")


@pytest.fixture(scope="module")
def root(package, tmp_path_factory):
    """The package's files, and of systemd's own what units refer to."""
    folder = tmp_path_factory.mktemp("root")
    run("dpkg-deb", "-x", package, folder)
    for target in pathlib.Path("/usr/lib/systemd/system").glob("*.target"):
        shutil.copy(target, folder / "usr/lib/systemd/system", follow_symlinks=True)
    (folder / "bin").mkdir()
    shutil.copy("/bin/true", folder / "bin/kill")
    return folder


# The package.
def test_same_sources_make_the_same_package(package, tmp_path):
    assert build_package(tmp_path / "again").read_bytes() == package.read_bytes()


def field(package, name):
    return run("dpkg-deb", "-f", package, name).stdout.strip()


def test_control(package):
    version = run(BUILD / "sallyport", "--version").stdout.split()[1]
    assert field(package, "Package") == "sallyport"
    assert field(package, "Version") == version
    assert package.name == f"sallyport_{version}_{field(package, 'Architecture')}.deb"
    depends = field(package, "Depends")
    for library in ("libc6 (>= ", "libseccomp2", "libpcre2-8-0", "libssl3", "libunistring", "liburing2", "libyaml-0-2", "sysusers"):
        assert library in depends


def test_scripts(package, tmp_path):
    run("dpkg-deb", "-e", package, tmp_path / "control")
    conffiles = (tmp_path / "control/conffiles").read_text().split()
    assert conffiles == ["/etc/logrotate.d/sallyport", "/etc/sallyport/sallyport.yaml"]
    for script in ("postinst", "prerm", "postrm"):
        assert os.access(tmp_path / "control" / script, os.X_OK)
        run("sh", "-n", tmp_path / "control" / script)


def test_files(package, root):
    for line in run("dpkg-deb", "-c", package).stdout.splitlines():
        mode, owner = line.split()[:2]
        assert owner == "root/root", line
        assert mode.startswith("l") or not re.search(r"s|^.....w|^........w", mode), line
    for path in ("usr/lib/sysusers.d/sallyport.conf", "usr/lib/modules-load.d/sallyport.conf",
                 "usr/share/man/man5/sallyport.yaml.5.gz", "usr/share/doc/sallyport/copyright", "usr/share/doc/sallyport/hardening.md"):
        assert (root / path).is_file()


def test_program(root):
    """By the name that people use, and in a folder of its own."""
    program = root / "usr/bin/sallyport"
    assert program.resolve() == root / "usr/libexec/sallyport/sallyport"
    assert os.listdir(program.resolve().parent) == ["sallyport"]
    assert run(program, "--version").stdout.startswith("sallyport ")


def test_example_configuration(root):
    """Nothing is wrong with it but that its files are still to be brought."""
    folder, program = root / "etc/sallyport", root / "usr/bin/sallyport"
    missing = run(program, "check", folder / "sallyport.yaml", code=2).stdout
    for name in ("server.crt", "server.key", "clients-ca.crt"):
        assert name in missing
    run(program, "dev", "ca", "--dir", folder)
    run(program, "dev", "cert", "--dir", folder, "--cn", "server")
    (folder / "ca.crt").rename(folder / "clients-ca.crt")
    assert "good" in run(program, "check", folder / "sallyport.yaml").stdout


# The units.
def analyze(root, *arguments):
    return run("systemd-analyze", f"--root={root}", "--man=no", *arguments)


def test_units_are_understood(root):
    """Without a word: an unknown key, a missing program or unit is told on standard error."""
    assert analyze(root, "verify", *UNITS).stderr == ""


def test_a_mistake_would_be_seen(root, tmp_path):
    copy = tmp_path / "root"
    shutil.copytree(root, copy, symlinks=True)
    unit = copy / "usr/lib/systemd/system/sallyport.service"
    unit.write_text(unit.read_text() + "\n[Service]\nPrivateTemp=yes\n")
    assert "PrivateTemp" in analyze(copy, "verify", *UNITS).stderr


def test_exposure(root):
    analyze(root, "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "sallyport.service")
    analyze(root, "security", "--offline=true", f"--threshold={AGENT_EXPOSURE_MAX}", "sallyport-agent.service")


def test_user(root):
    (root / "etc").mkdir(exist_ok=True)
    run("systemd-sysusers", f"--root={root}", "sallyport.conf")
    line, = [line for line in (root / "etc/passwd").read_text().splitlines()
             if line.startswith("sallyport:")]
    assert line.endswith(":/usr/sbin/nologin")


def settings(root, key):
    text = (root / "usr/lib/systemd/system/sallyport.service").read_text()
    return re.findall(rf"^{key}=(.*)$", text, re.M)


def expand(names, groups):
    """System calls of a list that may have @groups in it."""
    found = set()
    for name in names:
        found |= expand(groups[name], groups) if name.startswith("@") else {name}
    return found


def test_filter_leaves_what_the_process_needs(root):
    """The unit's list of system calls holds the process's own."""
    groups, group = {}, None
    for line in run("systemd-analyze", "syscall-filter").stdout.splitlines():
        word = line.strip()
        if word.startswith("@") and not line.startswith(" "):
            group = groups.setdefault(word, [])
        elif group is not None and word and not word.startswith("#"):
            group.append(word)
    allowed = set()
    for setting in settings(root, "SystemCallFilter"):
        names = expand(setting.lstrip("~").split(), groups)
        allowed = allowed - names if setting.startswith("~") else allowed | names
    source = (REPO / "src/kern/sandbox_seccomp.c").read_text()
    needed = set()
    for table in ("allowed", "conditional"):
        body = re.search(rf"\b{table}\[\] = {{(.*?)\n}};", source, re.S)[1]
        needed |= set(re.findall(r'"([a-z0-9_]+)"', body))
    assert len(needed) > 100
    # Settings that systemd makes for it; and what this systemd has no name for.
    known = expand(groups, groups)
    assert {name for name in needed - allowed if name in known} == {"setrlimit", "sched_setaffinity"}
