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
    """One line a round: how far, how long, and how long still, by what was done."""

    def __init__(self, steps, timed):
        self.steps = max(steps, 1)
        self.timed = timed  # not where the clock counts instructions: it jumps
        self.done = 0
        self.began = time.monotonic()

    def step(self, text):
        self.done += 1
        passed = time.monotonic() - self.began
        left = passed / self.done * (self.steps - self.done)
        times = f" {clock(passed)} passed, about {clock(left)} to go:" if self.timed else ""
        measure.note(f"[{self.done:3d}/{self.steps}]{times} {text}")


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
        self.progress = Progress(sum(work.rounds for work in works), machine.unit() == "ns")

    def run(self):
        with contextlib.ExitStack() as stack:
            running = self.start_all(stack)
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
        if work.many:
            result["left_out"].update((s.name, "serves one connection at a time") for s in running if s.single)
        for number in range(work.rounds):
            for label, options in points:
                for subject in running if number % 2 == 0 else running[::-1]:
                    if subject.name not in result["left_out"]:
                        self.sample(work, subject, label, options, number)
            self.progress.step(f"{work.name}, round {number + 1} of {work.rounds}")
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
