# SPDX-License-Identifier: Apache-2.0
"""Manual page and shell completions know the verbs and options that the program has: no more, no
fewer."""
import re
import shutil
import subprocess

import pytest
from proxyrig import BINARY, REPO
from waiting import PATIENCE

MAN = REPO / "docs" / "man" / "sallyport.8"
COMPLETION = REPO / "deploy" / "completion"


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=4 * PATIENCE,
                          check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def options():
    """Of each verb, as its help has them: long and short ones, without -h and --help."""
    text = run(BINARY, "--help")
    verbs = re.findall(r"^  ([a-z-]+)  ?(?:-c FILE|FILE|ca\|cert|\[COMMAND\])? +\S", text, re.M)
    assert len(verbs) == len(set(verbs)) > 8
    found = {}
    for verb in verbs:
        page = run(BINARY, "help", verb)
        lines = re.findall(r"^ +((?:-[a-zA-Z], )?--[a-z-]+)", page, re.M) if verb != "help" else []
        found[verb] = {o for line in lines for o in line.split(", ")} - {"-h", "--help"}
    return found


def test_the_program_knows_these_options(options):
    """The help itself is right: each option is known, none is forgotten in it."""
    for verb, known in options.items():
        # Of what takes another word, with it: one of them knows the option.
        words = {"dev": [["cert"]], "agent": [[], ["status"]]}.get(verb, [[]])
        for option in known:
            said = [subprocess.run([BINARY, verb, *more, option + "=" if option.startswith("--") else option],
                                   capture_output=True, text=True, timeout=PATIENCE, cwd="/").stderr for more in words]
            assert not all("unknown option" in text for text in said), (verb, option)


def test_manual_page(options):
    text = MAN.read_text().replace("\\-", "-")
    sections = dict(re.findall(r"^\.SS sallyport ([a-z-]+)\n(.*?)(?=^\.S[SH] )", text, re.M | re.S))
    assert set(sections) == set(options)
    for verb, known in options.items():
        tagged = re.findall(r"^\.TP\n(.*)", sections[verb], re.M)
        told = {option for line in tagged
                for option in re.findall(r"(?<!\S)--?[a-zA-Z][a-z-]*", re.sub(r",?\\ ", " ", line))}
        assert told == known, verb


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff")
def test_manual_page_can_be_set():
    done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", str(MAN)], capture_output=True, text=True,
                          timeout=PATIENCE)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "sallyport log-level" in re.sub("\033\\[\\d*m|.\b", "", done.stdout)


# bash.
def bash(*words):
    """What is offered for the last of these words."""
    script = f"""source {COMPLETION}/sallyport.bash
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sallyport; printf '%s\\n' "${{COMPREPLY[@]}}" """
    return set(run("bash", "-c", script, "bash", "sallyport", *words).split())


def test_bash(options):
    assert bash("") - {"-h", "--help", "-V", "--version"} == set(options)
    assert bash("help", "") == set(options)
    assert bash("st") == {"status"}
    for verb, known in options.items():
        assert bash(verb, "-") - {"-h", "--help"} == known
    assert bash("conns", "--sort", "") == {"age", "bytes", "idle", "stall"}
    assert bash("conns", "--cn", "") == set()
    assert bash("dev", "") == {"ca", "cert"}
    assert bash("log-level", "d") == {"debug"}
    assert "/etc/passwd" in bash("proxy", "-c", "/etc/pass")


# zsh: its completions can not be asked without a terminal, so the text is looked at.
def test_zsh(options):
    text = (COMPLETION / "_sallyport").read_text()
    assert set(re.findall(r"^\t\t'([a-z-]+):", text, re.M)) == set(options)
    lists = {name: set(re.findall(r"--[a-z-]+", body))
             for name, body in re.findall(r"^\t(\w+)=\((.*?)\)$", text, re.M | re.S)}
    lists["line"] = set()
    told = {}
    for verbs, case in re.findall(r"^\t\t([a-z| -]+)\)(.*?);;$", text, re.M | re.S):
        for verb in verbs.split(" | "):
            told[verb] = set(re.findall(r"--[a-z-]+", case))
            for name in re.findall(r"\$(\w+)", case):
                told[verb] |= lists[name]
    for verb, known in options.items():
        assert told[verb] - {"--help"} == {o for o in known if o.startswith("--")}, verb


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh")
def test_zsh_can_read_it():
    run("zsh", "-n", COMPLETION / "_sallyport")


# fish.
@pytest.mark.skipif(not shutil.which("fish"), reason="no fish")
def test_fish(options, tmp_path):
    asked = ["", *(f"{verb} -" for verb in options)]
    script = f"source {COMPLETION}/sallyport.fish\n" + "\n".join(
        f"echo '=== {words}'; complete -C 'sallyport {words}'" for words in asked)
    text = run("fish", "--no-config", "-c", script, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    offered = {}
    for part in text.split("=== ")[1:]:
        words, *lines = part.splitlines()
        offered[words] = {line.split("\t")[0] for line in lines}
    assert {word for word in offered[""] if not word.startswith("-")} == set(options)
    for verb, known in options.items():
        assert offered[f"{verb} -"] - {"-h", "--help"} == known, verb
