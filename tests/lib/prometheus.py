# SPDX-License-Identifier: Apache-2.0
"""What is asked of Prometheus (alerts, dashboards) beside what a program gives; and promtool, where it can be had."""
import re
import subprocess

import pytest
from proxyrig import REPO

TARGET_LABELS = {"job", "instance"}  # of Prometheus itself
AGGREGATIONS = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)"
WORDS = {"and", "or", "unless", "bool", "offset", "inf", "sum", "min", "max", "avg", "count"}


def check_matchers(family, text):
    matchers = re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', text)
    assert re.sub(r'\w+\s*(?:=~|!~|!=|=)\s*"[^"]*"|[\s,]', "", text) == "", text
    for label, operator, value in matchers:
        assert label in family.labels | TARGET_LABELS | {"le"}, f"{label} in {{{text}}}"
        if label in family.labels and operator in ("=", "=~") and "$" not in value:
            for word in value.split("|"):
                assert word in family.values(label), f"{label}={word}"


def check_expression(metrics, expression):
    """Each metric is one that is scraped, by the name of its samples; labels are its own."""
    text, used = expression, []
    samples = {sample: family for family in metrics.families.values()
               for sample, _ in family.samples}
    for name, matchers in re.findall(r"\b([a-z_][a-z0-9_]*)\{([^}]*)\}", text):
        assert name in samples, f"no metric {name} in: {expression}"
        check_matchers(samples[name], matchers)
    text = re.sub(r"\{[^}]*\}", " ", text)
    text = re.sub(r"\[(?:\d+[smhd]|\$__rate_interval)\]", " ", text)
    grouped = {label for labels in re.findall(AGGREGATIONS, text)
               for label in re.findall(r"\w+", labels)}
    text = re.sub(AGGREGATIONS, " ", text)
    for name in re.findall(r"\b[a-z_][a-z0-9_]*\b(?!\s*\()", text):
        if name not in WORDS:
            assert name in samples, f"no metric {name} in: {expression}"
            used.append(name)
    assert used, expression
    for label in grouped - TARGET_LABELS - {"le"}:
        assert any(label in samples[name].labels for name in used), f"{label} in: {expression}"
    return {name for name, family in metrics.families.items()
            if any(family is samples[sample] for sample in used)}


def promtool(*arguments, **how):
    found = subprocess.run([REPO / "tests" / "lib" / "promtool"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(found.stderr.strip())
    done = subprocess.run([found.stdout.strip(), *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, check=False, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
