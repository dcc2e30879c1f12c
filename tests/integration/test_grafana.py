# SPDX-License-Identifier: Apache-2.0
"""The dashboard and the alerts ask for what the program really gives: metrics, labels and their
values. Where promtool can be had, it reads and tries the rules as Prometheus would."""
import json
import pathlib
import re

import pytest
import scrape
import yaml
from prometheus import TARGET_LABELS, check_expression, promtool
from proxyrig import REPO, free_port
from test_metrics import documented

GRAFANA = REPO / "deploy" / "grafana"


@pytest.fixture(scope="module")
def door_options():
    return {"metrics": f"127.0.0.1:{free_port()}",
            "process": {"top": {"clients": {"groups": [{"name": "batch"}]}}}}


def alerts():
    (group,) = yaml.safe_load((GRAFANA / "alerts.yaml").read_text())["groups"]
    return group["rules"]


def dashboard():
    return json.loads((GRAFANA / "dashboard.json").read_text())


def panels():
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard_expressions():
    board = dashboard()
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]
    for annotation in board["annotations"]["list"]:
        yield annotation["name"], annotation["expr"], annotation["textFormat"]
    for variable in board["templating"]["list"][1:]:
        metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"]).groups()
        yield variable["name"], f"sum by ({label}) ({metric})", ""


def test_alerts_ask_for_what_there_is(door):
    metrics = door.proxy.metrics()
    for rule in alerts():
        check_expression(metrics, rule["expr"])
        labels = {label for text in rule["annotations"].values()
                  for label in re.findall(r"\$labels\.(\w+)", text)}
        assert labels <= TARGET_LABELS.union(*(f.labels for f in metrics.families.values()))
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_alerts_are_documented():
    rows = documented("alert")
    assert [row[0].strip("`") for row in rows] == [rule["alert"] for rule in alerts()]
    assert all(cause and remedy for _, cause, remedy in rows)


def test_dashboard_asks_for_what_there_is(door):
    metrics = door.proxy.metrics()
    shown = set()
    for where, expression, legend in dashboard_expressions():
        used = check_expression(metrics, expression)
        shown |= used
        labels = set(re.findall(r"\{\{(\w+)\}\}", legend))
        assert labels <= TARGET_LABELS.union(*(metrics.families[name].labels for name in used)), where
    # What is worth counting is worth a look; but for what never changes, or is for the alerts.
    unseen = {"sallyport_build_info", "sallyport_workers", "sallyport_keys_locked", "x509_cert_not_before",
              "sallyport_loop_overflows_total"}
    assert set(metrics.families) - shown <= unseen


def test_dashboard_form():
    board = dashboard()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("expression, says", [
    ("sallyport_conections > 0", "no metric sallyport_conections"),
    ("rate(sallyport_handshakes_total{kind=\"x\"}[5m])", "kind in"),
    ("sallyport_connections{state=\"asleep\"}", "state=asleep"),
    ("sum by (reason) (sallyport_connections)", "reason in"),
    ("rate(sallyport_handshake_duration_seconds[5m])", "no metric sallyport_handshake_duration_seconds"),
])
def test_the_check_finds_mistakes(door, expression, says):
    with pytest.raises(AssertionError) as failure:
        check_expression(door.proxy.metrics(), expression)
    assert says in str(failure.value)


# With promtool.
def test_promtool_likes_the_metrics(door):
    _, _, text = scrape.get(door.proxy.metrics_address)
    assert promtool("check", "metrics", input=text) == ""


def test_promtool_likes_the_rules():
    assert f"{len(alerts())} rules found" in promtool("check", "rules", GRAFANA / "alerts.yaml")


def test_alerts_fire():
    """Made-up series, and which alerts come of them: alerts_test.yaml."""
    tests = pathlib.Path(__file__).with_name("alerts_test.yaml")
    assert "SUCCESS" in promtool("test", "rules", tests.name, cwd=tests.parent)
    fired = set(re.findall(r"alertname: (\w+)", tests.read_text()))
    assert fired == {rule["alert"] for rule in alerts()}
