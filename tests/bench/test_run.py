# SPDX-License-Identifier: Apache-2.0
"""A run from its beginning to its pages, of the one subject that needs no proxy, and what it refuses before it measures."""
import json
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT

README = "above\n<!-- bench: timed -->\nold\n<!-- /bench -->\nbelow\n"


def main(*options):
    return subprocess.run([sys.executable, ROOT / "bench" / "lib" / "main.py", "--build", BUILD, *map(str, options)],
                          capture_output=True, text=True, check=False)


def test_a_run_writes_results_page_and_readme(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(README)
    done = main("--quick", "--work", "core", "--rounds", 2, "--subjects", "direct,ghostunnel", "--no-pin",
                "--out", tmp_path / "results", "--readme", readme)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "results").glob("*.json")
    results = json.loads(path.read_text())
    assert len(results["works"]["core"]["points"]["consume"]["direct"]) == 2
    assert results["works"]["core"]["took"] > 0
    for name, why in results["missing"].items():
        assert f"missing: {name}: {why}" in path.with_suffix(".md").read_text()
    text = readme.read_text()
    assert text.startswith("above\n") and text.endswith("below\n") and "old" not in text
    again = main("--report", path)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("options, why", [
    (("--subjects", "nobody"), "no such subject: nobody"),
    (("--work", "nothing"), "no such work: nothing"),
    (("--rounds", "0"), "--rounds must be 1 or more"),
    (("--readme", ROOT / "LICENSE"), "has no place for it"),
    (("--readme", ROOT / "nowhere.md"), "No such file"),
    (("--report", ROOT / "LICENSE"), "is not JSON"),
])
def test_what_cannot_be_done_is_said_before_anything_is_measured(options, why):
    done = main("--quick", *options)
    assert done.returncode == 1 and why in done.stderr and "Traceback" not in done.stderr
