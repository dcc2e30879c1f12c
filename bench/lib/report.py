# SPDX-License-Identifier: Apache-2.0
"""Results as a Markdown page: tables in which each figure stands beside its ratio to the base, taken round by
round within the run, with the extremes."""

import json

import stats
import table

CPU_COUNTED = {"s/GB": "instructions/byte", "µs": "instructions"}

# work, point (its beginning), figure, heading: what the short table shows, as far as it was measured.
SUMMARY = (
    ("core", "consume", "cpu", "consume"),
    ("core", "produce", "cpu", "produce"),
    ("core", "round trip", "cpu", "round trip 200 B"),
    ("core", "handshake", "cpu", "handshake"),
    ("requests", "100 at half", "p99", "100 connections, p99"),
    ("fanout", "8 consumers", "cpu", "fan-out to 8"),
    ("reconnect", "", "seconds", "reconnect storm"),
    ("idle", "", "memory", "idle connection"),
    ("kafka", "consume", "cpu", "Kafka consume, with the broker"),
    ("kafka", "produce", "cpu", "Kafka produce, with the broker"),
)


class Unreadable(Exception):
    """Not the results of a run; the text says which file and why."""


def read(path):
    """The results in a file."""
    try:
        with open(path, encoding="utf-8") as f:
            results = json.load(f)
    except OSError as why:
        raise Unreadable(f"{path}: {why.strerror}") from None
    except ValueError as why:  # UnicodeDecodeError is one, too
        raise Unreadable(f"{path} is not JSON: {why}") from None
    if not isinstance(results, dict) or not {"unit", "machine", "works"} <= results.keys():
        raise Unreadable(f"{path} has no results of bench/run or bench/vm in it")
    return results


def unit_of(metric, counted):
    return CPU_COUNTED[metric["unit"]] if counted and metric["of_cpu"] else metric["unit"]


def number(value, metric, counted):
    """As it is shown, without the unit."""
    if counted and metric["of_cpu"]:
        for size, letter in ((1e6, "M"), (1e3, "k")):
            if value >= size:
                return f"{value / size:.2f} {letter}" if letter == "M" else f"{value / size:.1f} {letter}"
        return f"{value:.2f}"
    return f"{value * metric['factor']:,.{metric['digits']}f}"


def samples_of(by_subject, name, key):
    return [sample.get(key) for sample in by_subject.get(name, [])]


def cell(by_subject, name, base, metric, counted):
    """"0.55 ×1.44 (1.39..1.52)"; of the base itself "0.38 (0.37..0.40)"."""
    samples = samples_of(by_subject, name, metric["key"])
    own = stats.spread(samples)
    if own is None:
        return "–"
    middle, low, high = (number(v, metric, counted) for v in (own.middle, own.low, own.high))
    if name == base:
        return f"{middle} ({low}..{high})" if len(samples) > 1 else middle
    beside = stats.spread(stats.ratios(samples, samples_of(by_subject, base, metric["key"])))
    if beside is None:
        return f"{middle} ({low}..{high})"
    ends = f" ({beside.low:.2f}..{beside.high:.2f})" if len(samples) > 1 else ""
    return f"{middle} ×{beside.middle:.2f}{ends}"


def names_in(points):
    names = []
    for by_subject in points.values():
        names += [name for name in by_subject if name not in names]
    return names


def metrics_of(work):
    """Each figure, once, with the points that have it."""
    found = {}
    for label, metrics in work["metrics"].items():
        for metric in metrics:
            found.setdefault((metric["key"], metric["title"]), (metric, []))[1].append(label)
    return found.values()


def base_of(work, base):
    return work.get("base", base)


def work_page(name, work, base, counted, plot):
    base = base_of(work, base)
    lines = [f"## {work['title']}", "", work["about"], ""]
    if plot:
        lines += [f"![{work['title']}]({plot})", ""]
    for metric, labels in metrics_of(work):
        rows = [[subject] + [cell(work["points"][label], subject, base, metric, counted) for label in labels]
                for subject in names_in(work["points"])]
        rows = [row for row in rows if any(text != "–" for text in row[1:])]
        if rows:
            lines += [f"{metric['title']}, {unit_of(metric, counted)}", "",
                      table.markdown(["subject"] + labels, rows), ""]
    lines += [f"- {subject}: left out: {first_words(why)}" for subject, why in work["left_out"].items()]
    lines += work.get("notes", [])
    return "\n".join(lines).rstrip() + "\n"


def first_words(text):
    return " ".join(text.split())[:200]


def summary_columns(results):
    for work_name, begins, key, heading in SUMMARY:
        work = results["works"].get(work_name)
        for label in work["points"] if work else ():
            metric = next((m for m in work["metrics"][label] if m["key"] == key), None)
            if label.startswith(begins) and metric:
                yield heading, work["points"][label], metric
                break


def summary(results):
    """The short table; empty when nothing of it was measured."""
    counted = results["unit"] == "instructions"
    columns = list(summary_columns(results))
    names = names_in({str(i): points for i, (_, points, _) in enumerate(columns)})
    rows = [[name] + [cell(points, name, results["base"], metric, counted) for _, points, metric in columns]
            for name in names]
    rows = [row for row in rows if any(text != "–" for text in row[1:])]
    if not rows:
        return ""
    return table.markdown(["subject"] + [f"{heading}, {unit_of(metric, counted)}" for heading, _, metric in columns], rows)


def machine_line(results):
    m = results["machine"]
    kind = " (virtual)" if m["virtual"] else ""
    counting = (f", in a VM whose clock counts instructions ({m['emulator'] or 'emulated'})"
                if results["unit"] == "instructions" else "")
    busy = ""
    if results["unit"] == "ns" and m["load_average"] > m["cpus"] / 2:
        busy = f", **busy with other things** (load average {m['load_average']:.1f} before it began)"
    return (f"{m['host']}: {m['cpu']}{kind}, {m['cpus']} CPUs, {m['memory_gib']} GiB, {m['system']}, "
            f"Linux {m['kernel']}{counting}, OpenSSL {m['openssl']}, {m['compiler']}, {m['date'][:10]}{busy}")


def how_busy(samples):
    """"55 % / 97 %": cores of the proxy, and of load and origin together; "–" where there is no proxy."""
    proxy = stats.spread([sample.get("busy") for sample in samples])
    load = stats.spread([(sample["load_cpu"] + sample["origin_cpu"]) / sample["seconds"] for sample in samples
                         if sample.get("seconds") and "load_cpu" in sample])
    return f"{proxy.middle:.0%} / {load.middle:.0%}" if proxy and load else "–"


def generator_page(results):
    """Whether the load generator was the bottleneck: what it does without a proxy, and how busy both sides were."""
    points = results["works"].get("core", {}).get("points", {})
    alone = {label: stats.spread(samples_of(by, "direct", "rate")) for label, by in points.items()}
    lines = ["## Is the load generator the bottleneck?", ""]
    if all(alone.get(label) for label in ("consume", "produce", "round trip", "handshake")):
        lines += [f"Alone, in plaintext and without a proxy, it moves {alone['consume'].middle / 1e6:,.0f} MB/s one way "
                  f"and {alone['produce'].middle / 1e6:,.0f} the other, every byte verified, makes "
                  f"{alone['round trip'].middle:,.0f} round trips a second over one connection and opens and closes "
                  f"{alone['handshake'].middle:,.0f} connections a second one after the other.", ""]
    rows = []
    for name in names_in(points):
        cells = [how_busy(by.get(name, [])) for by in points.values()]
        if any(text != "–" for text in cells):
            rows.append([name] + cells)
    if not rows or results["unit"] == "instructions":
        return ""
    lines += ["How busy the one core of the proxy was meanwhile / how busy client and origin were together, in cores. Where the "
              "proxy's was less than 90 %, the throughput is that of client and origin, or of waking up one after the other; CPU a "
              "byte does not depend on it.", "",
              table.markdown(["subject"] + list(points), rows)]
    return "\n".join(lines) + "\n"


def page(results, plots):
    """The whole page. plots: work name -> file, beside the page; "summary" the one for the short table."""
    counted = results["unit"] == "instructions"
    parts = ["<!-- SPDX-License-Identifier: Apache-2.0 -->", f"# Benchmark of {results['machine']['date'][:10]}", "",
             machine_line(results) + ".", "",
             f"Made by `{results['made_by']}`. Median; ×ratio to {results['base']} within a round, median (lowest..highest) "
             "over the rounds (none: one round). " + ("Instructions of the proxy process, user and kernel." if counted else
                                    "CPU: of the proxy process, user and system."), ""]
    short = summary(results)
    if short:
        parts += [short, ""]
    if plots.get("summary"):
        parts += [f"![summary]({plots['summary']})", ""]
    for name, work in results["works"].items():
        parts.append(work_page(name, work, results["base"], counted, plots.get(name)))
    parts += [generator_page(results), "## Who took part", ""]
    parts += [f"- {name}: {about['version'] or '–'}" for name, about in results["subjects"].items()]
    parts += ["", *(f"- missing: {name}: {first_words(why)}" for name, why in results["missing"].items()), "",
              "Configurations, samples and everything about the machine are in the JSON file beside this page.", ""]
    return "\n".join(parts)
