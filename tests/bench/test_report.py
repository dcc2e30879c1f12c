# SPDX-License-Identifier: Apache-2.0
"""Tables: a ratio within the run beside each figure, what is missing by name, instructions as such."""
import dataclasses

import report
import works

MACHINE = {"host": "lab", "cpu": "some CPU", "virtual": False, "cpus": 4, "load_average": 0.1, "memory_gib": 8, "system": "Debian",
           "kernel": "7.3.4", "openssl": "3.5.1", "emulator": "qemu 10", "compiler": "gcc 14.2", "date": "2026-11-25T10:00:00Z"}


def results(unit="ns", **more):
    core = works.Core({}, 2)
    points = {
        "consume": {"sallyport": [{"cpu": 0.4, "rate": 2e9}, {"cpu": 0.8, "rate": 1e9}],
                    "nginx": [{"cpu": 0.6, "rate": 1e9}, {"cpu": 1.2, "rate": 1e9}],
                    "direct": [{"rate": 4e9}, {"rate": 4e9}]},
        "handshake": {"sallyport": [{"cpu": 1e6, "rate": 900, "p50": 1, "p99": 2}] * 2,
                      "nginx": [{"cpu": 2e6, "rate": 500, "p50": 3, "p99": 4}] * 2},
    }
    work = {"title": core.title, "about": core.about, "left_out": {"hitch": "it fell over"}, "points": points,
            "metrics": {label: [dataclasses.asdict(m) for m in core.metrics_of(label)] for label in points}}
    return dict({"unit": unit, "base": "sallyport", "made_by": "bench/run --quick", "machine": MACHINE,
                 "subjects": {"sallyport": {"version": "0.1"}}, "missing": {"ghostunnel": "ghostunnel is not\ninstalled"},
                 "works": {"core": work}}, **more)


def row(text, subject, after):
    lines = text[text.index(after):].splitlines()
    return next(line for line in lines if line.startswith(f"| {subject} "))


def test_a_ratio_is_of_its_round():
    # The machine was twice as slow in the second round; nginx took 1.5 times as much in both.
    nginx = row(report.page(results(), {}), "nginx", "CPU of the proxy a byte")
    assert "0.90 ×1.50 (1.50..1.50)" in nginx


def test_the_base_shows_its_extremes():
    assert "0.60 (0.40..0.80)" in row(report.page(results(), {}), "sallyport", "CPU of the proxy a byte")


def test_who_has_no_such_figure_has_no_row_of_it():
    page = report.page(results(), {})
    table = page[page.index("CPU of the proxy a byte"):page.index("throughput")]
    assert "| direct" not in table
    assert "| direct" in page[page.index("throughput"):]


def test_instructions_are_called_so():
    page = report.page(results("instructions"), {})
    assert "CPU of the proxy a handshake, instructions" in page
    assert "1.00 M" in row(page, "sallyport", "CPU of the proxy a handshake")
    assert "a byte, instructions/byte" in page


def test_missing_and_failed_are_named_with_the_reason():
    page = report.page(results(), {})
    assert "missing: ghostunnel: ghostunnel is not installed" in page
    assert "hitch: left out: it fell over" in page


def test_who_was_the_bottleneck_is_shown():
    of_both = {"load_cpu": 0.6, "origin_cpu": 0.3, "seconds": 1.0}
    more = results()
    for samples in more["works"]["core"]["points"]["consume"].values():
        for sample in samples:
            sample.update(of_both, **({"busy": 0.5} if "cpu" in sample else {}))
    page = report.page(more, {})
    assert "50% / 90%" in row(page, "nginx", "How busy")
    assert "| direct" not in page[page.index("How busy"):]


def test_a_busy_machine_is_called_so():
    assert "busy" not in report.machine_line(results())
    busy = dict(MACHINE, load_average=9.0)
    assert "busy with other things" in report.machine_line(results(machine=busy))
    assert "busy" not in report.machine_line(results("instructions", machine=busy))


def test_summary_has_what_was_measured_and_nothing_else():
    header = report.summary(results()).splitlines()[0]
    assert "consume" in header and "handshake" in header and "produce" not in header
    assert report.summary(results(works={})) == ""
