# SPDX-License-Identifier: Apache-2.0
"""Runs works on subjects in rounds and keeps the samples.

All subjects run at once and idle; each round loads them one after the other, forwards in even and
backwards in odd rounds, so that drift hits all alike, and ratios are taken within a round. Whoever
fails at a work is left out of it, by name and with the reason; whether that is our own failure is for
the caller to say.
"""

import contextlib
import time

import machine
import measure
import subjects

# By the counters of /proc/net/tls_stat: sessions that were begun, either way.
KERNEL_SESSIONS = ("TlsTxSw", "TlsTxDevice", "TlsRxSw", "TlsRxDevice")
SILENT_SECONDS = 20  # no longer, between two lines of progress


def kernel_sessions():
    stat = measure.tls_stat()
    return sum(stat.get(name, 0) for name in KERNEL_SESSIONS)


@contextlib.contextmanager
def kernel_checked(subject):
    """A subject that promises kernel TLS and does without it has no place under its name."""
    before = kernel_sessions()
    yield
    grown = kernel_sessions() - before
    if subject.kernel is True and not grown:
        raise measure.LoadFailed(f"{subject.name}: its connections were not in the kernel")
    if subject.kernel is False and grown:
        raise measure.LoadFailed(f"{subject.name}: its connections were in the kernel")


class Progress:
    """How far, how long, and how long still: by what each sample is reckoned to take, and what those before really took."""

    def __init__(self, timed):
        self.timed = timed  # not where the clock counts instructions: it jumps
        self.reckoned = 0  # seconds, of all that is to be done
        self.done = 0  # of it
        self.began = self.said = time.monotonic()

    def expect(self, seconds):
        self.reckoned = max(seconds, 1e-9)
        if self.timed:
            measure.note(f"this takes about {clock(seconds)}, on a machine that does nothing else")

    def passed(self):
        return time.monotonic() - self.began

    def add(self, seconds, text):
        """As much of what was reckoned with is done, or will not be. Says so when nothing was said for long."""
        self.done += seconds
        if self.timed and time.monotonic() - self.said > SILENT_SECONDS:
            self.say(text)

    def left(self):
        """At first as reckoned, then more and more as it went so far."""
        pace = (self.passed() + 10) / (self.done + 10)
        return max(self.reckoned - self.done, 0) * pace

    def say(self, text):
        self.said = time.monotonic()
        part = f"[{min(self.done / self.reckoned, 1):4.0%}]"
        times = f" {clock(self.passed())} passed, about {clock(self.left())} to go:" if self.timed else ""
        measure.note(f"{part}{times} {text}")


def reckoned(work, names):
    """About how many seconds a work takes with these subjects."""
    count = work.subjects_of(names)
    samples = sum(work.seconds(options) for _, options in work.points()) * count * work.rounds
    return work.stage_seconds(count) + samples


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Run:
    """results: {work: {"points": {label: {subject: [a sample a round]}}, "left_out": {subject: why}, …}}"""

    def __init__(self, session, names, works):
        self.session = session
        self.names = names
        self.works = works
        self.results = {}
        self.missing = {}
        self.described = {}
        self.progress = Progress(machine.unit() == "ns")

    def run(self):
        with contextlib.ExitStack() as stack:
            running = self.start_all(stack)
            self.progress.expect(sum(reckoned(work, [s.name for s in running]) for work in self.works))
            for work in self.works:
                if not work.alone:
                    self.rounds(work, running)
        there = [name for name in self.names if name not in self.missing]
        for work in self.works:
            if work.stage:
                self.staged(work, there)
            elif work.alone:
                self.rounds(work, [subjects.make(name, self.session.env) for name in there])

    def staged(self, work, names):
        try:
            with work.stage(self.session, names) as running:
                self.progress.add(work.stage_seconds(len(running)), f"{work.name}, ready")
                self.rounds(work, running)
        except (subjects.Unavailable, measure.LoadFailed) as why:
            measure.note(f"left out: {work.name}: {why}")
            self.results[work.name] = {"title": work.title, "about": work.about, "rounds": 0,
                                       "left_out": {work.name: str(why)}, "points": {}}

    def start_all(self, stack):
        running = []
        for name in self.names:
            subject = subjects.make(name, self.session.env)
            try:
                stack.enter_context(subject)
                warm(self.session, subject)
            except (subjects.Unavailable, measure.LoadFailed) as why:
                self.missing[name] = str(why)
                measure.note(f"left out: {name}: {why}")
                continue
            self.described[name] = subject.describe()
            running.append(subject)
        return running

    def rounds(self, work, running):
        points = work.points()
        result = {"title": work.title, "about": work.about, "rounds": work.rounds, "left_out": {},
                  "points": {label: {s.name: [] for s in running} for label, _ in points}}
        self.results[work.name] = result
        began = self.progress.passed()
        if work.many:
            result["left_out"].update((s.name, "serves one connection at a time") for s in running if s.single)
        for number in range(work.rounds):
            for label, options in points:
                for subject in running if number % 2 == 0 else running[::-1]:
                    if subject.name not in result["left_out"]:
                        self.sample(work, subject, label, options, number)
                    self.progress.add(work.seconds(options), f"{work.name}, {label}, {subject.name}")
            self.progress.say(f"{work.name}, round {number + 1} of {work.rounds}")
        result["took"] = round(self.progress.passed() - began, 1)
        for by_subject in result["points"].values():
            for name in result["left_out"]:
                by_subject.pop(name, None)

    def sample(self, work, subject, label, options, number):
        result = self.results[work.name]
        try:
            started_here = work.alone and not work.stage
            with subject if started_here else contextlib.nullcontext(), kernel_checked(subject):
                sample = work.sample(self.session, subject, dict(options, point=label), number)
        except (subjects.Unavailable, measure.LoadFailed) as why:
            result["left_out"][subject.name] = str(why)
            measure.note(f"{work.name}: left out: {subject.name}: {why}")
            return
        if not subject.costs:
            for key in ("cpu", "busy", "per_core"):
                sample.pop(key, None)
        result["points"][label][subject.name].append(sample)


def warm(session, subject):
    """Nothing is measured that is done for the first time."""
    with kernel_checked(subject):
        session.load(subject, "handshake", count=3)
        session.load(subject, "consume", bytes="4M")
        session.load(subject, "produce", bytes="4M")
        session.load(subject, "rtt", count=100)
