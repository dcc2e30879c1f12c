# SPDX-License-Identifier: Apache-2.0
"""Results as SVG pictures, by matplotlib."""

import os

import report
import stats

COLOURS = {"sallyport": "#1b6ca8", "sallyport-aead": "#5fa8d3", "sallyport-ktls": "#0b3c5d", "nginx": "#4c9f70",
           "nginx-ktls": "#2e6b4a", "haproxy": "#e08e45", "haproxy-ktls": "#b5651d", "stunnel": "#b04a5a",
           "hitch": "#8e6bbf", "ghostunnel": "#6b7fbf", "kafka-ssl": "#7a5c58", "plaintext": "#aaaaaa",
           "plain-splice": "#bbbbbb", "direct": "#dddddd"}


def library():
    """matplotlib.pyplot, or None where it is not installed."""
    try:
        import matplotlib  # pylint: disable=import-outside-toplevel
    except ImportError:
        return None
    matplotlib.use("svg")
    # The same picture from the same figures.
    matplotlib.rcParams.update({"svg.hashsalt": "sallyport", "svg.fonttype": "none", "font.size": 9,
                                "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import pyplot  # pylint: disable=import-outside-toplevel
    return pyplot


def bars(axes, points, metric, counted, base=None):
    """Grouped bars: a group for each point, a bar for each subject. base: as ratios to it."""
    names = [name for name in report.names_in(points)
             if any(bar(by, name, metric, counted, base) for by in points.values())]
    width = 0.8 / max(len(names), 1)
    for index, name in enumerate(names):
        shown = [(group, bar(by_subject, name, metric, counted, base)) for group, by_subject in enumerate(points.values())]
        shown = [(group, of) for group, of in shown if of]
        axes.bar([group + index * width for group, _ in shown], [of.middle for _, of in shown], width, label=name,
                 color=COLOURS.get(name, "#888888"), error_kw={"linewidth": 0.6},
                 yerr=[[of.middle - of.low for _, of in shown], [of.high - of.middle for _, of in shown]])
    axes.set_xticks([group + 0.4 - width / 2 for group in range(len(points))], list(points),
                    rotation=20 if len(points) > 4 else 0)


def bar(by_subject, name, metric, counted, base):
    samples = report.samples_of(by_subject, name, metric["key"])
    if base:
        return stats.spread(stats.ratios(samples, report.samples_of(by_subject, base, metric["key"])))
    factor = 1 if counted and metric["of_cpu"] else metric["factor"]
    return stats.spread([value * factor for value in samples if value is not None])


def save(pyplot, figure, path):
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def plot_work(pyplot, work, counted, path):
    metric, labels = next(iter(report.metrics_of(work)))
    figure, axes = pyplot.subplots(figsize=(max(7, 1.1 * len(labels) + 3), 3.4))
    bars(axes, {label: work["points"][label] for label in labels}, metric, counted)
    axes.set_ylabel(f"{metric['title']}\n{report.unit_of(metric, counted)}")
    axes.set_title(work["title"], loc="left")
    axes.legend(fontsize=7, ncol=2)
    save(pyplot, figure, path)


def plot_summary(pyplot, results, path):
    """How dear each subject is beside the base: ratios, so that different figures can stand side by side."""
    columns = list(report.summary_columns(results))
    if not columns:
        return False
    points = {}
    for heading, by_subject, metric in columns:
        points[heading] = {name: [{"figure": sample.get(metric["key"])} for sample in samples]
                           for name, samples in by_subject.items()}
    figure, axes = pyplot.subplots(figsize=(9, 3.6))
    bars(axes, points, {"key": "figure", "of_cpu": False, "factor": 1}, False, base=results["base"])
    axes.set_yscale("log")
    axes.axhline(1, color="#333333", linewidth=0.8)
    axes.set_ylabel(f"ratio to {results['base']}\n(lower is better)")
    axes.set_title(report.machine_line(results)[:110], loc="left", fontsize=8)
    axes.legend(fontsize=7, ncol=3)
    save(pyplot, figure, path)
    return True


def make(results, folder, stem):
    """Writes FOLDER/STEM-WORK.svg; work name -> file name. Empty without matplotlib."""
    pyplot = library()
    made = {}
    if not pyplot:
        return made
    if plot_summary(pyplot, results, os.path.join(folder, f"{stem}-summary.svg")):
        made["summary"] = f"{stem}-summary.svg"
    for name, work in results["works"].items():
        if any(work["points"].values()):
            made[name] = f"{stem}-{name}.svg"
            plot_work(pyplot, work, results["unit"] == "instructions", os.path.join(folder, made[name]))
    return made
