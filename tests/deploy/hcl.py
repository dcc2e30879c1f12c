# SPDX-License-Identifier: Apache-2.0
"""A module of Terraform's as far as ours need it without Terraform: its variables and resources with every value worked out."""
import ast
import importlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from child import REPO

_PINS = pathlib.Path(__file__).with_name("hcl2.txt")
_PARSER = REPO / "build/python-hcl2"
_REFERENCE = re.compile(r"\$\{([a-z_]+(?:\.[a-z_0-9]+)+)\}")


def _parser():
    if not _PARSER.is_dir():
        _PARSER.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_PARSER.parent) as folder:
            done = subprocess.run(["pip3", "download", "-q", "--no-deps", "--require-hashes", "-r", _PINS, "-d", folder],
                                  capture_output=True, text=True, check=False, timeout=600)
            assert done.returncode == 0, f"the parser of Terraform's language could not be fetched:\n{done.stderr}"
            (wheel,) = pathlib.Path(folder).glob("*.whl")
            shutil.unpack_archive(wheel, f"{folder}/tree", "zip")
            pathlib.Path(folder, "tree").rename(_PARSER)
    sys.path.insert(0, str(_PARSER))
    try:
        return importlib.import_module("hcl2")
    finally:
        sys.path.remove(str(_PARSER))


class Module:
    """`variables`: name -> its block; `resources`: (type, name) -> its settings, which are worked out with `given`, the
    values of variables, and otherwise their defaults."""

    def __init__(self, folder, **given):
        self.folder = pathlib.Path(folder)
        self.blocks = {}
        for file in sorted(self.folder.glob("*.tf")):
            with open(file, encoding="utf-8") as f:
                for kind, found in _parser().load(f).items():
                    self.blocks.setdefault(kind, []).extend(found)
        self.variables = {name: block for item in self.blocks.get("variable", []) for name, block in item.items()}
        self._names = {f"var.{name}": given.get(name, block.get("default")) for name, block in self.variables.items()}
        self._names["path.module"] = str(self.folder)
        raw = {(kind, name): settings for item in self.blocks.get("resource", []) for kind, named in item.items()
               for name, settings in named.items()}
        for item in self.blocks.get("locals", []):
            for name, value in item.items():
                self._names[f"local.{name}"] = self.value(value)
        for (kind, name), settings in raw.items():  # what other resources refer to
            for setting in "path", "name":
                if setting in settings:
                    self._names[f"{kind}.{name}.{setting}"] = self.value(settings[setting])
        self.resources = {key: {name: self.value(value) for name, value in settings.items()
                                if name not in ("count", "depends_on", "lifecycle")} for key, settings in raw.items()}

    def value(self, value):
        """References and the few functions that we use."""
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {name: self.value(item) for name, item in value.items()}
        if not isinstance(value, str):
            return value
        if whole := _REFERENCE.fullmatch(value):
            return self._names[whole[1]]
        if call := re.fullmatch(r"\$\{(\w+)\((.*)\)\}", value, re.S):
            return getattr(self, f"_{call[1]}")(call[2])
        return _REFERENCE.sub(lambda m: str(self._names[m[1]]), value)

    def _literal(self, text):
        return self.value(ast.literal_eval(text))

    def _jsonencode(self, text):
        return json.dumps(self._literal(text))

    def _replace(self, text):
        where, old, new = re.fullmatch(r'([a-z_.]+), "(.*)", "(.*)"', text).groups()
        return self._names[where].replace(old, new)

    def _templatefile(self, text):
        path, values = re.fullmatch(r'(".*?"), (.*)', text, re.S).groups()
        made = pathlib.Path(self._literal(path)).read_text(encoding="utf-8")
        for name, value in self._literal(values).items():
            made = made.replace(f"${{{name}}}", value)
        return made

    def _concat(self, text):
        ours, more = re.fullmatch(r"(\[.*?\]), ([a-z_.]+)", text).groups()
        return self._literal(ours) + self._names[more]
