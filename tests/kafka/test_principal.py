# SPDX-License-Identifier: Apache-2.0
"""The principal of a certificate: ours beside that of Kafka's own class, on the JDK that is here."""
import os
import pathlib
import subprocess

import kafka_rig
import pytest
from subjects import SAME, STRICTER, certificate

CHECK = kafka_rig.BINARY.parent / "tests" / "unit" / "kafka" / "principal-check"
HERE = pathlib.Path(__file__).resolve().parent

RULES = [
    "DEFAULT",
    "RULE:^CN=(.*?),OU=Apps.*$/$1/,RULE:^CN=(.*?),.*$/$1@other/L,DEFAULT",
    "RULE:^.*[Cc][Nn]=([a-zA-Z0-9.\\- ]*).*$/$1/L,DEFAULT",
    "RULE:^CN=([^,]*).*$/$1/",
    "RULE:^CN=((?:[^,\\\\]|\\\\.)*)(?:,.*)?$/$1/,DEFAULT",
    "RULE:^(?:.*,)?CN=([^,]+)(,.*)?$/user-$1/U,DEFAULT",
    " RULE:(.*)/[$1]/ , DEFAULT ",
    "RULE:([A-Z]+)=([^,+]*)[,+]?.*/$2\\/$1/,RULE:(.+)/$1$3/L",
    "RULE:(?i)^cn=([a-z0-9-]+).*/$1/L,DEFAULT",
    "RULE:^CN=(?<who>\\w[\\w-]*),?(.*)/${who}|$2|$3/,RULE:.*/all/",
    "RULE:O=[^,]*(,|$)/o-$1/,RULE:[^=]*=.*/x$0/U",
    "RULE:^(.+),O=\\QCorp\\E(?:,C=[A-Z]{2})?$/$1/,DEFAULT",
    "RULE:.*?,OU=([^,]+),.*/$1/,RULE:^[^,]*$/$0!/L,DEFAULT,RULE:a/b/",
    "RULE:^CN=(\\p{Lu}\\p{L}+).*$/$1/L,RULE:^CN=(.)(.*)$/$2$1/",
    "RULE:^UID=([^,+]*)(?:[,+].*)?$/$1/,RULE:^(.*)(?<!x)$/$1/U",
]

# What is odd in rules rather than in names.
ODD_RULES = [
    "RULE:.*/x/", "RULE:.*?/-/", "RULE:()/a/", "RULE:/x/", "RULE:a*/<$0>/", "RULE:((?:a|b)*?)/<$1>/", "RULE:a|ab/x/",
    "RULE:(a)|(ab)/[$1|$2]/", "RULE:(a)(b)?/$1$2/", "RULE:(a)b/$1$2$3$4/", "RULE:(a)b/$12$01$001/", "RULE:(a)b/$0$00/",
    "RULE:(a)b/\\$1\\x/", "RULE:(a)b/$/", "RULE:(a)b/${x}/", "RULE:ab/$1/", "RULE:(a)b/x/LU", "RULE:(a)b/x/Ly", "RULE:a/b", "RULE:",
    "default", "DEFAULT,", ",DEFAULT", ",,", "", "DEFAULT DEFAULT", "RULE:a,b/x/,DEFAULT", "RULE:(.*)/a,b/", "RULE:(.*)/$1,DEFAULT/",
    "RULE:a\\/b/x/,DEFAULT", "RULE:(.*)/$1\\//", "RULE:(.*)\\//$1/,DEFAULT", "RULE:(.*)/\\\\$1/", "RULE:(.*)/$1/ L", "RULE :a/b/",
    "RULE:a/b//", "RULE:a/b/L/", "RULE:(a)b/$2@$3/", "RULE:(a)b/é$2x$3/", "RULE:(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.*)/$11$10$12/",
]
ODD_NAMES = ["ab", "a", "", "aab", "a,b", "a/b", "abcdefghijkl", "éb", "a😀b", "b\u2028a"]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """Answers of Kafka's class to lines, see PrincipalOracle.java."""
    kafka_rig.need()
    folder = tmp_path_factory.mktemp("oracle")
    library = kafka_rig.run(["bash", "-c", '. "$1" && echo "$kafka_lib"', "-", kafka_rig.KAFKA / "env.sh"]).stdout.strip()
    jars = os.pathsep.join([str(folder), *map(str, pathlib.Path(library).glob("*.jar"))])
    kafka_rig.run(["javac", "-encoding", "UTF-8", "-d", folder, "-cp", jars, HERE / "PrincipalOracle.java"], seconds=300)
    return lambda lines: answers(["java", "-Xss16m", "-cp", jars, "PrincipalOracle"], lines)


def ours(lines):
    return answers([str(CHECK)], lines)


def answers(command, lines):
    """[(principal or None, why)]"""
    text = "".join(f"{rules.encode().hex()}\t{kind}\t{data.hex()}\n" for rules, kind, data in lines)
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True, timeout=300 * kafka_rig.SLOW)
    found = [line.split(b"\t", 1) for line in done.stdout.rstrip(b"\n").split(b"\n")]
    assert len(found) == len(lines)
    return [(bytes.fromhex(rest.decode()).decode(), "") if word == b"ok" else (None, rest.decode(errors="replace"))
            for word, rest in found]


def is_trap(principal):
    """Whether a broker that gets it in a token would take it for another."""
    return principal in ("", "ANONYMOUS") or principal[0] <= " " or principal[-1] <= " "


def is_doubtful(name, rules):
    """Whether upper or lower case would make an ASCII letter of another one, or is not certain."""
    return ("/L" in rules and "Σ" in name) or (("/L" in rules or "/U" in rules) and any(
        ord(c) > 127 and any(ord(m) < 128 for m in c.upper() + c.lower()) for c in name))


def compare(lines, found, expected):
    """Ours is Kafka's; or none, where Kafka's is a trap, or there is none."""
    wrong = []
    assert len(lines) == len(found) == len(expected)
    for (rules, _, data), (mine, why), (kafkas, _) in zip(lines, found, expected):
        fine = mine == kafkas if mine is not None else (
            kafkas is None or is_trap(kafkas) or is_doubtful(data.decode(errors="ignore"), rules))
        if not fine:
            wrong.append(f"{rules!r} of {data[-300:]!r}: {mine!r} ({why}), Kafka: {kafkas!r}")
    assert not wrong, "\n".join(wrong)


def test_certificates(oracle):
    """Each good subject with each set of rules."""
    lines = [(rules, "certificate", certificate(subject)) for rules in RULES for subject in SAME.values()]
    found, expected = ours(lines), oracle(lines)
    compare(lines, found, expected)
    same = sum(mine is not None for mine, _ in found)
    assert same > len(lines) * 0.7, f"only {same} of {len(lines)} have a principal"
    # As they are, all of them have one.
    assert [why for mine, why in found[:len(SAME)] if mine is None] == []


@pytest.mark.parametrize("subject", STRICTER)
def test_refused(subject):
    """Those that could become somebody else, or that are too long, have none by any rules."""
    found = ours([(rules, "certificate", certificate(STRICTER[subject])) for rules in ("DEFAULT", "RULE:.*(CN|O)=.*/x/,DEFAULT")])
    if subject == "last-blank-would-be-cut":  # a rule may take it away
        del found[1]
    assert {mine for mine, _ in found} == {None}


def test_odd_rules(oracle):
    lines = [(rules, "name", name.encode()) for rules in ODD_RULES for name in ODD_NAMES]
    # Java would look for half of a character, which nobody means.
    lines = [line for line in lines if line[:1] + line[2:] != ("RULE:.*?/-/", "a😀b".encode())]
    compare(lines, ours(lines), oracle(lines))


LETTERS = [chr(c) for c in [*range(0xa0, 0x250), *range(0x370, 0x400), *range(0x400, 0x530), *range(0x1e00, 0x2000)]
           if chr(c).isalpha() and c not in (0x19b, 0x264)]  # whose capitals are young: not everybody knows them


@pytest.mark.parametrize("case", "LU")
def test_case_of_letters(oracle, case):
    """Latin, Greek, Cyrillic: each letter, among others and at the end."""
    lines = [(f"RULE:CN=(.*)/$1/{case}", "name", f"CN=x{c}{at}".encode()) for c in LETTERS for at in ("Y", "", " z", "-q")]
    found, expected = ours(lines), oracle(lines)
    compare(lines, found, expected)
    assert sum(mine is not None for mine, _ in found) > 0.97 * len(lines)
