# SPDX-License-Identifier: Apache-2.0
"""What bench/run and bench/vm start once everything is installed and built: measures, writes the results."""

import argparse
import json
import os
import signal
import sys
from dataclasses import asdict

import machine
import measure
import plots
import profiles
import report
import runner
import subjects

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
RESULTS = os.path.join(ROOT, "bench", "results")
BASE = "sallyport"


def arguments():
    p = argparse.ArgumentParser(prog=os.environ.get("SALLYPORT_BENCH_PROGRAM", "bench/run"),
                                description="The same work on Sallyport and on each peer that is installed.")
    p.add_argument("--quick", dest="profile", action="store_const", const="quick", help="two minutes")
    p.add_argument("--full", dest="profile", action="store_const", const="full", help="an hour")
    p.add_argument("--profile", choices=profiles.PROFILES,
                   help="how much is measured (default standard: 20 minutes)")
    p.set_defaults(profile="standard")
    p.add_argument("--work", help="only these, comma separated; known: " + ", ".join(profiles.ALL))
    p.add_argument("--subjects", help="only these, comma separated; known: " + ", ".join(subjects.CATALOGUE))
    p.add_argument("--base", help="what ratios are taken to (default: sallyport)")
    p.add_argument("--rounds", type=int, help="instead of what the profile says")
    p.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR", help="(default build/)")
    p.add_argument("--no-pin", action="store_true", help="leave the choice of the core to the scheduler")
    p.add_argument("--out", default=RESULTS, metavar="DIR", help="where results go (default bench/results)")
    p.add_argument("--json", metavar="FILE", help="write only this file, no page and no pictures")
    p.add_argument("--report", metavar="FILE", help="measure nothing: write page and pictures of this file")
    p.add_argument("--readme", metavar="FILE", help="also put the short table and its picture into this page, "
                   "between <!-- bench: timed --> (or counted) and <!-- /bench -->")
    return p.parse_args()


def names_of(args):
    """The subjects: all that make sense here, or those asked for."""
    if args.subjects:
        names = args.subjects.split(",")
        unknown = [name for name in names if name not in subjects.CATALOGUE]
        if unknown:
            raise SystemExit(f"no such subject: {', '.join(unknown)}")
        return names
    # Without kernel TLS `sallyport` (auto) and `sallyport-aead` are the same.
    return [name for name in subjects.USUAL if name in subjects.CATALOGUE and
            (name != "sallyport-aead" or measure.kernel_has_tls())]


def works_of(args):
    if args.rounds is not None and args.rounds < 1:
        raise SystemExit("--rounds must be 1 or more")
    names = args.work.split(",") if args.work else None
    unknown = [name for name in names or () if name not in profiles.ALL]
    if unknown:
        raise SystemExit(f"no such work: {', '.join(unknown)}")
    works = profiles.chosen(args.profile, names)
    for work in works:
        work.rounds = args.rounds or work.rounds
    return works


def made_by(args):
    words = [os.environ.get("SALLYPORT_BENCH_PROGRAM", "bench/run")]
    words += {"quick": ["--quick"], "vm-quick": ["--quick"], "full": ["--full"]}.get(args.profile, [])
    for name in ("work", "subjects", "rounds", "base"):
        if getattr(args, name):
            words.append(f"--{name} {getattr(args, name)}")
    return " ".join(words)


def described(work, result):
    result = dict(result, notes=work.notes(), **({"base": work.base} if work.base else {}),
                  **({"configurations": work.configurations} if work.configurations else {}))
    return dict(result, metrics={label: [asdict(metric) for metric in work.metrics_of(label)]
                                 for label in result["points"]})


def measured(args):
    """Runs everything; the results."""
    names, works = names_of(args), works_of(args)
    where = machine.describe()
    emulated = machine.unit() == "instructions"
    with measure.Session(args.build, pinned=not args.no_pin, slow=emulated) as session:
        run = runner.Run(session, names, works)
        run.run()
    if not run.described:
        raise SystemExit("nothing to measure")
    base = args.base or (BASE if BASE in run.described else next(iter(run.described)))
    return {"format": 1, "made_by": made_by(args), "profile": args.profile, "unit": machine.unit(), "base": base,
            "machine": where, "subjects": run.described, "missing": run.missing,
            "works": {work.name: described(work, run.results[work.name]) for work in works}}


def failures(results):
    """Of our own: a peer that fails is left out, we may not."""
    found = [f"{name}: {why}" for name, why in results["missing"].items()
             if name.startswith("sallyport") and "no kernel TLS" not in why]
    for work in results["works"].values():
        found += [f"{work['title']}: {name}: {why}" for name, why in work["left_out"].items()
                  if name.startswith("sallyport")]
    return found


def free_stem(folder, results):
    """DATE-HOST, or with a number where there is such a file already."""
    stem = f"{results['machine']['date'][:10]}-{results['machine']['host']}"
    if results["unit"] == "instructions":
        stem += "-counted"
    taken, number = stem, 1
    while os.path.exists(os.path.join(folder, taken + ".json")):
        number += 1
        taken = f"{stem}-{number}"
    return taken


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def publish(results, folder, stem):
    """JSON, page and pictures."""
    os.makedirs(folder, exist_ok=True)
    write(os.path.join(folder, stem + ".json"), json.dumps(results, indent=1) + "\n")
    made = plots.make(results, folder, stem)
    write(os.path.join(folder, stem + ".md"), report.page(results, made))
    if not made:
        measure.note("no pictures: matplotlib is missing (Debian: python3-matplotlib)")
    return made


def readme_parts(readme, unit):
    """(what is before the place for the short table, what is after it)"""
    try:
        with open(readme, encoding="utf-8") as f:
            text = f.read()
    except OSError as why:
        raise SystemExit(f"{readme}: {why.strerror}") from None
    begin = f"<!-- bench: {'counted' if unit == 'instructions' else 'timed'} -->\n"
    head, _, rest = text.partition(begin)
    _, end, tail = rest.partition("<!-- /bench -->")
    if not end:
        raise SystemExit(f"{readme} has no place for it: no line {begin.strip()} and after it <!-- /bench -->")
    return head + begin, end + tail


def put_into_readme(readme, results, stem, made, folder):
    head, tail = readme_parts(readme, results["unit"])
    here = os.path.relpath(folder, os.path.dirname(os.path.abspath(readme)))
    body = [report.machine_line(results) + f", made by `{results['made_by']}`. Median, ×ratio to {results['base']} "
            f"within a round (lowest..highest); all of it: [{stem}]({here}/{stem}.md).", "", report.summary(results), ""]
    if made.get("summary"):
        body += [f"![the same as a picture]({here}/{made['summary']})", ""]
    write(readme, head + "\n".join(body) + tail)


def report_only(args):
    try:
        results = report.read(args.report)
    except report.Unreadable as why:
        raise SystemExit(str(why)) from None
    folder = os.path.dirname(os.path.abspath(args.report)) if args.out == RESULTS else args.out
    stem = os.path.basename(args.report).removesuffix(".json")
    if stem == "result":
        stem = free_stem(folder, results)
    made = publish(results, folder, stem)
    if args.readme:
        put_into_readme(args.readme, results, stem, made, folder)
    print(os.path.join(os.path.relpath(folder), stem + ".md"))


def main():
    args = arguments()
    if args.report:
        report_only(args)
        return 0
    if args.readme:
        readme_parts(args.readme, machine.unit())  # rather now than in an hour
    results = measured(args)
    if args.json:
        write(args.json, json.dumps(results, indent=1) + "\n")
    else:
        stem = free_stem(args.out, results)
        made = publish(results, args.out, stem)
        if args.readme:
            put_into_readme(args.readme, results, stem, made, args.out)
        print(report.page(results, made))
        measure.note(f"\nwritten: {os.path.join(args.out, stem)}.json, .md, -*.svg")
    failed = failures(results)
    for text in failed:
        measure.note(f"FAILED: {text}")
    return 1 if failed else 0


if __name__ == "__main__":
    # So that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
