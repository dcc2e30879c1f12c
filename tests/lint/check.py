#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the house, checked: include layers, sizes, banned calls, licence lines; the documentation's are in docs.py.

Each rule is a function that yields "file:line: what is wrong". Prints the findings and, last,
`N passed, N failed`, where a rule is a check."""
import re
import subprocess
import sys
from pathlib import Path

import docs

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100

# What each folder of src/ may include besides itself (docs/architecture.md).
LAYERS = {
    "base": set(),
    "limits": {"base"},
    "loop": {"base", "limits"},
    "config": {"base", "limits", "kafka"},
    "kafka": {"base", "limits"},
    "proxy_protocol": {"base", "limits"},
    "tls": {"base", "limits"},
    "kern": {"abi", "base", "limits", "loop", "tls"},
    "pki": {"base", "limits", "kafka", "tls"},
    "control": {"base", "limits", "config", "tls", "pki"},
    "dataplane": {"abi", "base", "limits", "loop", "config", "kafka", "proxy_protocol", "tls", "kern", "pki",
                  "control"},
    "admin": {"base", "limits", "loop", "config", "kafka", "tls", "kern", "pki", "control", "dataplane"},
    "agent": {"base", "limits", "config", "tls", "pki", "control", "dataplane", "admin"},
    "cli": {"base", "limits", "loop", "config", "kafka", "tls", "kern", "pki", "control", "dataplane", "admin", "agent"},
}
# Headers of libraries that only some folders may use.
LIBRARY_HOMES = [
    (re.compile(r"openssl/ssl\.h"), {"tls"}),
    (re.compile(r"openssl/(?!crypto\.h|opensslv\.h)"), {"tls", "pki"}),
    (re.compile(r"liburing\.h"), {"loop", "cli"}),
    (re.compile(r"yaml\.h"), {"config"}),
    (re.compile(r"curl/|jansson\.h"), {"cli", "control"}),
    (re.compile(r"seccomp\.h|linux/(landlock|seccomp|capability)\.h"), {"kern"}),
    (re.compile(r"bpf/"), {"kern"}),
    (re.compile(r"microhttpd\.h"), {"admin"}),
    (re.compile(r"pcre2\.h|uni(case|str|ctype)\.h"), {"kafka"}),
]
BANNED = re.compile(
    r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca|atoi|atol|atof|rand|srand|system|popen|"
    r"pthread_timedjoin_np|pthread_mutex_timedlock|sem_timedwait|"  # wait for a time of day
    r"tmpnam|mktemp|usleep|sleep|strncpy|strncat|asctime|ctime|gmtime|localtime|longjmp|setjmp)\s*\(")
UNBOUNDED_SCAN = re.compile(r"\b(scanf|sscanf|fscanf)\s*\(")
SPDX = "SPDX-License-Identifier: "
SPDX_FREE = {"LICENSE", ".gitignore", "go.sum"}
SPDX_FREE_SUFFIX = {".json", ".pem", ".bin", ".svg", ".txt", ".crt", ".key", ".seed"}


def tracked():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout
    return [ROOT / name for name in out.splitlines() if (ROOT / name).is_file()]


def c_files(files, *folders):
    return [f for f in files if f.suffix in (".c", ".h") and
            (not folders or f.relative_to(ROOT).parts[0] in folders)]


def lines_of(file):
    return file.read_text(encoding="utf-8").splitlines()


def rule_include_layers(files):
    for file in c_files(files, "src"):
        parts = file.relative_to(ROOT).parts
        area = parts[1]
        for number, line in enumerate(lines_of(file), 1):
            match = re.match(r'#include "([a-z0-9_]+)/', line)
            if match and match[1] != area and match[1] not in LAYERS.get(area, set()):
                yield f"{file.relative_to(ROOT)}:{number}: {area}/ may not include {match[1]}/"


def rule_library_homes(files):
    for file in c_files(files, "src"):
        area = file.relative_to(ROOT).parts[1]
        for number, line in enumerate(lines_of(file), 1):
            match = re.match(r"#include <([^>]+)>", line)
            for pattern, homes in LIBRARY_HOMES if match else ():
                if pattern.match(match[1]) and area not in homes:
                    yield (f"{file.relative_to(ROOT)}:{number}: <{match[1]}> belongs in "
                           f"{', '.join(sorted(homes))}")


def rule_file_sizes(files):
    for file in c_files(files) + [f for f in files if f.suffix == ".py"]:
        count = len(lines_of(file))
        if count > FILE_LINES_MAX:
            yield f"{file.relative_to(ROOT)}:1: {count} lines, at most {FILE_LINES_MAX}: split by meaning"


def functions_of(file):
    """(name, first line, last line) of each function, by kernel layout: `{` and `}` in column 0."""
    start, name = None, ""
    for number, line in enumerate(lines_of(file), 1):
        if line == "{":
            start = number
        elif start and line.startswith("}"):
            yield name, start, number
            start = None
        elif not start:
            match = re.match(r"[a-z].*?\b(\w+)\(", line)
            name = match[1] if match else name


def rule_function_sizes(files):
    for file in (f for f in c_files(files, "src", "bench", "bpf") if f.suffix == ".c"):
        for name, first, last in functions_of(file):
            if last - first - 1 > FUNCTION_LINES_MAX:
                yield (f"{file.relative_to(ROOT)}:{first}: {name}() has {last - first - 1} lines, "
                       f"at most {FUNCTION_LINES_MAX}")


def rule_columns(files):
    for file in c_files(files, "src", "include", "bpf", "bench"):
        for number, line in enumerate(lines_of(file), 1):
            if len(line.expandtabs(8)) > COLUMNS_MAX:
                yield f"{file.relative_to(ROOT)}:{number}: more than {COLUMNS_MAX} columns"


def rule_banned_calls(files):
    for file in c_files(files, "src", "include", "bpf"):
        text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]),
                      file.read_text(encoding="utf-8"), flags=re.S)
        text = re.sub(r'"(\\.|[^"\\\n])*"', '""', text)
        for number, line in enumerate(text.splitlines(), 1):
            match = BANNED.search(line) or UNBOUNDED_SCAN.search(line)
            if match:
                yield f"{file.relative_to(ROOT)}:{number}: {match[1]}() is banned"


def rule_essays(files):
    for file in c_files(files, "src"):
        lines = lines_of(file)
        body = "\n".join(lines[:4])
        if "/*" not in body.replace("/* SPDX", "", 1):
            yield f"{file.relative_to(ROOT)}:1: opens without saying what it is and who owns what"


def rule_spdx(files):
    for file in files:
        if file.name in SPDX_FREE or file.suffix in SPDX_FREE_SUFFIX or "corpus" in file.parts:
            continue
        try:
            head = "\n".join(lines_of(file)[:6])
        except UnicodeDecodeError:
            continue
        if SPDX not in head:
            yield f"{file.relative_to(ROOT)}:1: no '{SPDX}…' line"


def rule_state_writer(files):
    """One function writes conn->state."""
    for file in c_files(files, "src"):
        for number, line in enumerate(lines_of(file), 1):
            if re.search(r"\bconn->state\s*=[^=]", line) and file.name != "conn.c":
                yield f"{file.relative_to(ROOT)}:{number}: only conn_set_state() writes conn->state"


def rule_whitespace(files):
    for file in c_files(files):
        for number, line in enumerate(lines_of(file), 1):
            if line != line.rstrip():
                yield f"{file.relative_to(ROOT)}:{number}: trailing white space"


def main():
    files = tracked()
    rules = [(name[5:], rule) for name, rule in sorted({**globals(), **vars(docs)}.items())
             if name.startswith("rule_")]
    failed = 0
    for name, rule in rules:
        findings = list(rule(files))
        failed += bool(findings)
        print(f"lint {name}: {'ok' if not findings else f'{len(findings)} findings'}")
        for finding in findings:
            print(f"  {finding}")
    print(f"{len(rules) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
