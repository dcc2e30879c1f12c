# SPDX-License-Identifier: Apache-2.0
"""Prometheus' text format, read strictly, and an HTTP client for it. What a scrape says is compared
with documents by `Family.labels` and `Family.values`."""
import dataclasses
import http.client
import re

from waiting import PATIENCE

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
_ESCAPES = {'\\"': '"', "\\\\": "\\", "\\n": "\n"}


@dataclasses.dataclass
class Family:
    help: str
    type: str
    samples: dict  # (name, frozenset of labels) -> value

    @property
    def labels(self):
        return {name for _, labels in self.samples for name, _ in labels} - {"le"}

    def values(self, label):
        """All values that a label has."""
        return {value for _, labels in self.samples for name, value in labels if name == label}


class Scrape:

    def __init__(self, text):
        self.families = {}
        assert text.endswith("\n")
        current = None
        for line in text.splitlines():
            if line.startswith("# HELP "):
                _, _, name, words = line.split(" ", 3)
                assert name not in self.families, f"{name} is there twice"
                current, self.families[name] = name, Family(words, None, {})
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name == current and not self.families[name].type, line
                self.families[name].type = kind
            else:
                self._sample(line, current)

    def _sample(self, line, current):
        match = _SAMPLE.fullmatch(line)
        assert match and current, f"not a sample: {line}"
        name, text, value = match[1], match[2] or "", float(match[3])
        family = self.families[current]
        suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
        assert name in [current + suffix for suffix in suffixes], f"{name} under {current}"
        pairs = [(m[1], re.sub(r'\\["\\n]', lambda e: _ESCAPES[e[0]], m[2]))
                 for m in _LABEL.finditer(text)]
        assert sum(len(m[0]) for m in _LABEL.finditer(text)) == len(text), f"labels of {line}"
        key = (name, frozenset(pairs))
        assert len(key[1]) == len(pairs) and key not in family.samples, f"twice: {line}"
        family.samples[key] = value

    def value(self, name, **labels):
        """The sum of all samples of this name that have these labels; there must be one."""
        family = self.families.get(name) or self.families[re.sub("_(bucket|sum|count)$", "", name)]
        found = [value for (sample, pairs), value in family.samples.items()
                 if sample == name and set(labels.items()) <= pairs]
        assert found, f"no {name} {labels}"
        return sum(found)


def get(address, path="/metrics", method="GET"):
    """(status, headers, text)"""
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def scrape(address):
    status, headers, text = get(address)
    assert status == 200, text
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(text)
