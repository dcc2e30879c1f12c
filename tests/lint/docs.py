# SPDX-License-Identifier: Apache-2.0
"""Rules of the documentation: what the program can say is explained, what pages name is there. Used by check.py."""
import re
import runpy
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"


def source(*names):
    return "\n".join((ROOT / "src" / name).read_text(encoding="utf-8") for name in names)


def rows_of(heading):
    """First cell and the others of each row of the first table under a heading of operations.md."""
    section = OPERATIONS.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ")[0]
    table = section[section.index("\n|"):].strip("\n").split("\n\n")[0].splitlines()
    return {cells[0].strip("`"): cells[1:] for cells in
            ([cell.strip() for cell in row.strip("|").split(" | ")] for row in table[2:])}


def compared(heading, in_code):
    documented = rows_of(heading)
    where = f"{OPERATIONS.relative_to(ROOT)}: {heading}"
    for name in sorted(in_code - set(documented)):
        yield f"{where}: '{name}' is not explained"
    for name in sorted(set(documented) - in_code):
        yield f"{where}: the program knows no '{name}'"
    for name, cells in documented.items():
        if not all(cells):
            yield f"{where}: '{name}' has an empty column"


def rule_operations_events(_files):
    """Each event of the log, by the literals that its lines are begun with."""
    call = re.compile(r"\blog_(?:begin|msg)\(")
    literal = re.compile(r'\(\s*(?:&?[\w.>-]+,\s*)?LOG_[A-Z]+,\s*"(\w+)"')
    events = set(re.findall(r'\btell_missing\(\s*"(\w+)"', source("base/log.c")))
    for file in sorted((ROOT / "src").rglob("*.c")):
        if file.name.startswith("log"):
            continue
        text = file.read_text(encoding="utf-8")
        for match in call.finditer(text):
            event = literal.match(text, match.end() - 1)
            if event:
                events.add(event[1])
            else:
                number = text.count("\n", 0, match.start()) + 1
                yield f"{file.relative_to(ROOT)}:{number}: level and event must be literals"
    yield from compared("Events of the log", events)


def rule_operations_records(_files):
    """Each event of the audit."""
    text = source("dataplane/audit.c", "dataplane/conn_log.c", "dataplane/supply.c")
    yield from compared("The audit", set(re.findall(r'\b(?:record_begin|put_mark|log_record)\([^;"]*"(\w+)"\)', text)))


def rule_operations_refusals(_files):
    names = set(re.findall(r'\[TLS_REFUSAL_\w+\]\s*=\s*"(\w+)"', source("tls/refusal.c")))
    yield from compared("Why a handshake is refused", names - {"none"})


def rule_operations_reasons(_files):
    names = set(re.findall(r'^\s*X\([A-Z_]+,\s*"(\w+)"', source("dataplane/reasons.h"), re.M))
    yield from compared("Why a connection ends", names)


def rule_operations_probes(_files):
    calls = re.findall(r"DTRACE_PROBE\d\(sallyport, (\w+),", source("dataplane/usdt.h"))
    yield from compared("Probes", set(calls))


def rule_operations_conditions(_files):
    names = set(re.findall(r'^\s*X\([A-Z_]+,\s*"(\w+)"', source("admin/health.h"), re.M))
    yield from compared("Conditions", names)


def rule_named_files_exist(_files):
    """A promise names the test that shows it, as FILE or FILE::TEST; both are there."""
    pages = [ROOT / "SECURITY.md", ROOT / "docs" / "threat-model.md", ROOT / "docs" / "architecture.md", OPERATIONS]
    for page in pages:
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            for name, test in re.findall(r"`((?:tests|bench|deploy|src|docs)/[\w./-]+)(?:::(\w+))?`", line):
                where = f"{page.relative_to(ROOT)}:{number}"
                if not (ROOT / name).exists():
                    yield f"{where}: there is no {name}"
                elif test and not re.search(rf"\b{test}\(", (ROOT / name).read_text(encoding="utf-8")):
                    yield f"{where}: {name} has no {test}()"


def rule_threat_model_shows_tests(_files):
    """Each row of its tables ends with at least one test."""
    page = ROOT / "docs" / "threat-model.md"
    shown = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("|"):
            shown = False
        elif re.search(r"\| shown by \|$", line):
            shown = True
        elif shown and not line.startswith("|--") and "`tests/" not in line.rsplit(" | ", 1)[-1]:
            yield f"{page.relative_to(ROOT)}:{number}: no test is named"


def rule_man_pages(_files):
    """sallyport.yaml(5) is what docs/man/generate makes, and all pages render without a warning."""
    script = ROOT / "docs" / "man" / "generate"
    generate = runpy.run_path(str(script))
    if generate["TARGET"].read_text(encoding="utf-8") != generate["page"]():
        yield f"{generate['TARGET'].relative_to(ROOT)}: older than docs/configuration.md: run docs/man/generate"
    if not shutil.which("groff"):
        yield "groff is not there (Debian: groff-base): man pages can not be checked"
        return
    for page in sorted((ROOT / "docs" / "man").glob("*.[1-8]")):
        done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-Kutf8", "-z", str(page)], capture_output=True,
                              text=True, check=False)
        for line in (done.stdout + done.stderr).splitlines():
            yield f"{page.relative_to(ROOT)}: {line}"
