# SPDX-License-Identifier: Apache-2.0
"""The work that is measured: for each its points (columns of a table), one sample of a point, and
what of a sample is shown.

A sample is a dict of figures. CPU is that of the proxy alone, in nanoseconds; in a VM whose clock
counts instructions, in instructions. The cost of a connection (work `core`, which comes first) is
taken off whatever is measured by the byte or the message.
"""

import contextlib
import os
import time
from dataclasses import dataclass

import measure
import stats
import subjects


@dataclass(frozen=True)
class Metric:
    """One figure of a sample. factor: from what is stored to what is shown, in @unit."""

    key: str
    title: str
    unit: str
    factor: float = 1
    digits: int = 2
    of_cpu: bool = False  # counted in instructions where the clock counts them


def cpu(title, unit, factor, digits):
    return Metric("cpu", title, unit, factor, digits, of_cpu=True)


# A nanosecond a byte is a second a GB.
CPU_A_BYTE = cpu("CPU of the proxy a byte", "s/GB", 1, 2)
CPU_A_MESSAGE = cpu("CPU of the proxy a message", "µs", 1e-3, 1)
RATE_BYTES = Metric("rate", "throughput", "MB/s", 1e-6, 0)
RATE = Metric("rate", "a second", "/s", 1, 0)
P50 = Metric("p50", "median time", "µs", 1, 0)
P99 = Metric("p99", "99th percentile", "µs", 1, 0)
P999 = Metric("p999", "99.9th percentile", "µs", 1, 0)


# What is reckoned with to say how long a run takes, on an ordinary machine and an average subject: seconds for whatever a sample
# has to do besides its load, a handshake one after the other and with others at once, a byte, a record, a round trip.
SAMPLE, HANDSHAKE, HANDSHAKE_AT_ONCE, BYTE, SEND, ROUND_TRIP = 0.3, 2.2e-3, 1.3e-3, 2e-9, 4e-6, 100e-6


def amount(text):
    """As the load generator reads it: "48M+12345"."""
    units = {"k": 2**10, "M": 2**20, "G": 2**30}
    return sum(int(term.rstrip("kMG")) * units.get(term[-1], 1) for term in str(text).split("+"))


class Work:
    """A kind of load. alone: the subject is started for each sample and the others do not run."""

    name = ""
    title = ""
    about = ""
    metrics = ()
    alone = False
    many = True  # more than one connection at a time
    base = None  # what ratios are taken to, where not the run's
    stage = None  # of a work that brings its own subjects: a context manager that yields them

    def __init__(self, params, rounds):
        self.params = params
        self.rounds = params.get("rounds", rounds)
        self.said = []
        self.configurations = {}  # of what a work brings itself: name -> text

    def possible(self, wanted):
        """These numbers of connections as far as the limit of open files allows; what it does not is said."""
        most = measure.connections_max()
        self.said = [f"- {count} connections need more open files than the limit of {measure.fd_limit()} allows: "
                     f"{most} instead." for count in wanted if count > most]
        return dict.fromkeys(min(count, most) for count in wanted)

    def points(self):
        """(label, options) each."""
        raise NotImplementedError

    def sample(self, session, subject, options, number):
        """One sample, of round @number; the figures."""
        raise NotImplementedError

    def seconds(self, options):
        """About how long a sample takes. @options: a point's."""
        raise NotImplementedError

    def stage_seconds(self, count):
        """And what a work's own stage takes before, with so many subjects."""
        del count
        return 0

    def subjects_of(self, names):
        """How many are measured where these run."""
        return len(names)

    def metrics_of(self, label):
        """Those that a point has."""
        return self.metrics if label else ()

    def notes(self):
        """Lines of Markdown for below the tables."""
        return self.said


def figures(result, ops=None, proxy_ns=None):
    """Of a load's JSON: what all works have in common. ops: what the CPU is divided by."""
    seconds = result["seconds"]
    proxy_ns = result.get("proxy_ns") if proxy_ns is None else proxy_ns
    sample = {"seconds": seconds, "rate": (ops or result["ops"]) / seconds if seconds else None,
              "load_cpu": result["cpu_seconds"], "origin_cpu": result.get("origin_ns", 0) / 1e9}
    if proxy_ns is not None:
        sample["cpu"] = proxy_ns / (ops or result["ops"])
        sample["busy"] = proxy_ns / 1e9 / seconds if seconds else None
    for name in ("p50", "p90", "p99", "p999", "max"):
        if "latency_us" in result:
            sample[name] = result["latency_us"][name]
    return sample


def bulk(session, subject, mode, connections=1, moved=None, **options):
    """consume, produce or fanout without what the connections cost."""
    result = session.used(subject, mode, connections=connections, **options)
    opened = connections + (mode == "fanout")
    used = result["proxy_ns"] - opened * session.connection_ns.get(subject.name, 0)
    return figures(result, ops=moved or result["bytes"], proxy_ns=max(used, 0))


class Core(Work):
    many = False
    name = "core"
    title = "The four core figures"
    about = ("Bulk one way each (a client's sends are 16 KiB, the origin's 256 KiB), a round trip of 200 bytes over "
             "one connection, and a handshake with connect, one byte there and back, and close.")
    metrics = (CPU_A_BYTE, RATE_BYTES, P50, P99)

    def points(self):
        return [(name, {"point": name}) for name in ("handshake", "consume", "produce", "round trip")]

    def seconds(self, options):
        return SAMPLE + {"handshake": self.params["handshakes"] * HANDSHAKE,
                         "round trip": self.params["round_trips"] * ROUND_TRIP,
                         }.get(options["point"], max(map(amount, self.params["lengths"])) * BYTE)

    def metrics_of(self, label):
        if label in ("consume", "produce"):
            return (CPU_A_BYTE, RATE_BYTES)
        if label == "handshake":
            return (cpu("CPU of the proxy a handshake", "µs", 1e-3, 0), RATE, P50, P99)
        return (cpu("CPU of the proxy a round trip", "µs", 1e-3, 1), P50, P99)

    def sample(self, session, subject, options, number):
        return getattr(self, "_" + options["point"].replace(" ", "_"))(session, subject, number)

    def _handshake(self, session, subject, _number):
        result = session.used(subject, "handshake", count=self.params["handshakes"])
        sample = figures(result)
        seen = session.handshakes.setdefault(subject.name, [])
        seen.append(sample["cpu"])
        session.connection_ns[subject.name] = stats.median(seen)
        return sample

    def _bytes(self, number):
        """Records, segments and reads lock in phase, so that one length is not enough."""
        lengths = self.params["lengths"]
        return lengths[number % len(lengths)]

    def _consume(self, session, subject, number):
        return bulk(session, subject, "consume", bytes=self._bytes(number))

    def _produce(self, session, subject, number):
        return bulk(session, subject, "produce", bytes=self._bytes(number))

    def _round_trip(self, session, subject, _number):
        result = session.used(subject, "rtt", count=self.params["round_trips"])
        used = result["proxy_ns"] - session.connection_ns[subject.name]
        return figures(result, proxy_ns=used)


class Records(Work):
    many = False
    name = "records"
    title = "Bulk by record size"
    about = ("One connection; the sender makes a system call for each record. The proxy sees what TCP makes of it.")
    metrics = (CPU_A_BYTE, RATE_BYTES)

    def points(self):
        return [(f"{mode} {size}", {"mode": mode, "record": size, "bytes": total})
                for mode in ("consume", "produce") for size, total in self.params["sizes"].items()]

    def seconds(self, options):
        total = amount(options["bytes"])
        return SAMPLE + total * BYTE + total / amount(options["record"]) * SEND

    def sample(self, session, subject, options, number):
        return bulk(session, subject, options["mode"], record=options["record"],
                    bytes=options["bytes"])


class Fanout(Work):
    name = "fanout"
    title = "Fan-out: one producer, many consumers"
    about = ("Each consumer gets everything. By the byte moved through the proxy, in and out. Times are from "
             "the moment a record of 1 KiB was due to its last byte at each consumer, at the same rate for all.")

    def points(self):
        points = []
        for count, total in self.params["consumers"].items():
            points.append((f"{count} consumers", {"connections": count, "bytes": total}))
        for count, rate in self.params["paced"].items():
            points.append((f"{count} consumers, {rate}/s",
                           {"connections": count, "record": 1024, "rate": rate,
                            "bytes": 1024 * rate * self.params["seconds"]}))
        return points

    def seconds(self, options):
        moved = amount(options["bytes"]) * options["connections"] * BYTE
        return SAMPLE + options["connections"] * HANDSHAKE + (self.params["seconds"] if "rate" in options else moved)

    def metrics_of(self, label):
        return (P50, P99, P999, CPU_A_BYTE) if label.endswith("/s") else (CPU_A_BYTE, RATE_BYTES)

    def sample(self, session, subject, options, number):
        return bulk(session, subject, "fanout", **{k: v for k, v in options.items() if k != "point"})


class Requests(Work):
    name = "requests"
    title = "Requests and answers over many connections"
    about = ("Messages of 200 bytes. First as many as go (closed loop), then at half of what the slowest did "
             "in its first round, the same rate for all, each message's time from when it was due (open loop).")

    def __init__(self, params, rounds):
        super().__init__(params, rounds)
        self.closed = {}  # (connections) -> rates of the first round
        self.rate = {}

    def points(self):
        points = []
        for count in self.possible(self.params["connections"]):
            points.append((f"{count} as fast as they go", {"connections": count}))
            points.append((f"{count} at half rate", {"connections": count, "paced": True}))
        return points

    def seconds(self, options):
        return SAMPLE + options["connections"] * HANDSHAKE_AT_ONCE + self.params["seconds"]

    def metrics_of(self, label):
        return (P50, P99, P999, CPU_A_MESSAGE) if label.endswith("half rate") else (CPU_A_MESSAGE, RATE, P99)

    def sample(self, session, subject, options, number):
        count = options["connections"]
        load = {"size": 200, "connections": count, "seconds": self.params["seconds"]}
        if options.get("paced"):
            load["rate"] = self.rate.setdefault(count, max(1, int(min(self.closed[count]) / 2)))
        sample = self._run(session, subject, load)
        if options.get("paced"):
            sample["offered"] = load["rate"]
        elif number == 0:
            self.closed.setdefault(count, []).append(sample["rate"])
        return sample

    @staticmethod
    def _run(session, subject, load):
        """What is counted begins when all are connected and ends before they close."""
        process = session.start_load(subject, "rtt", wait=True, **load)
        try:
            session.await_ready(process, subject)
            before = measure.settled_cpu_ns(subject)
            process.stdin.write(b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
            used = measure.settled_cpu_ns(subject) - before
            process.stdin.close()
            process.stdin = None
            result = session.end_load(process, subject, line)
        finally:
            process.kill()
            process.wait()
        return figures(result, proxy_ns=used)


class Handshakes(Work):
    name = "handshakes"
    title = "Handshakes a second"
    about = ("Each client connects, sends a byte, gets it back, closes, and begins again. Per core: what one "
             "core of the proxy would do; the rate seen is bound by the clients, who have as much to compute.")
    metrics = (Metric("per_core", "a second and core of the proxy", "/s", 1, 0), RATE, P50, P99,
               cpu("CPU of the proxy each", "µs", 1e-3, 0))

    def points(self):
        return [(f"{clients} at once", {"connections": clients}) for clients in self.params["clients"]]

    def seconds(self, options):
        each = HANDSHAKE if options["connections"] == 1 else HANDSHAKE_AT_ONCE
        return SAMPLE + self.params["count"] * each

    def sample(self, session, subject, options, number):
        count = max(1, self.params["count"] // options["connections"])
        result = session.used(subject, "handshake", count=count, connections=options["connections"])
        sample = figures(result)
        sample["per_core"] = 1e9 / sample["cpu"] if sample["cpu"] else None
        return sample


class Storm(Work):
    name = "storm"
    title = "Live traffic while bad handshakes come"
    about = ("Round trips of 200 bytes over a connection that was there before: calm, and with bad handshakes "
             "beside it, a hundred at once: no certificate, no TLS, and a ClientHello and then nothing. The "
             "storm comes from loopback, which our penalties exempt: this is how time is shared.")
    metrics = (P50, P99)

    def points(self):
        return [("calm", {}), (f"{self.params['rate']} bad a second", {"stormy": True})]

    def seconds(self, options):
        a_trip = 1e-3 if "stormy" in options else ROUND_TRIP
        return SAMPLE + self.params["count"] * a_trip + (self.params["warm_up"] + 0.5 if "stormy" in options else 0)

    def sample(self, session, subject, options, number):
        if not subject.tls:
            raise subjects.Unavailable("it makes no handshakes")
        live = session.start_load(subject, "rtt", size=200, count=self.params["count"], wait=True)
        storm = None
        try:
            session.await_ready(live, subject)
            if options.get("stormy"):
                storm = session.start_load(subject, "storm", nice=15, rate=self.params["rate"])
                time.sleep(self.params["warm_up"])
            result = session.end_load(live, subject)
        finally:
            live.kill()
            live.wait()
            figures_of_storm = session.end_load(storm, subject) if storm else {}
        return dict(figures(result), storm=figures_of_storm.get("per_second"))


class Reconnect(Work):
    name = "reconnect"
    title = "Reconnect storm"
    about = ("The proxy is killed and started again while the clients are connected; each comes back at once and, when "
             "refused, after 50 ms, then twice as long each time. Until the last has had a byte through and back.")
    metrics = (Metric("seconds", "until all are back", "s", 1, 2),
               Metric("p50", "until half are back", "s", 1e-6, 2),
               cpu("CPU of the new proxy a client", "µs", 1e-3, 0))
    alone = True

    def points(self):
        return [(f"{count} clients", {"connections": count}) for count in self.possible(self.params["clients"])]

    def seconds(self, options):
        return 2 * SAMPLE + 2 * options["connections"] * HANDSHAKE_AT_ONCE + 1

    def sample(self, session, subject, options, number):
        count = options["connections"]
        session.load(subject, "handshake", count=5)
        # All handshakes, twice, are not done in what a load may wait for one thing: long enough for a slow machine, too.
        timeout = session.env.load_seconds + count // 15
        process = session.start_load(subject, "reconnect", connections=count, timeout=timeout)
        try:
            session.await_ready(process, subject)
            subject.restart()
            result = session.end_load(process, subject)
        finally:
            process.kill()
            process.wait()
        return dict(figures(result, proxy_ns=measure.settled_cpu_ns(subject)), retries=result["retries"])


def private_dirty(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        for line in f:
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1]) * 1024
    return 0


def pipe_ends(pid):
    count = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("pipe:")
    return count


class Idle(Work):
    name = "idle"
    title = "Memory of idle connections"
    about = ("Growth of the proxy's private memory from when it had served and closed 50 connections, by the live "
             "idle connection; each is used once more at the end. Kernel memory is not in it.")
    metrics = (Metric("memory", "user memory a connection", "KiB", 1 / 1024, 1),)
    alone = True

    def points(self):
        return [(f"{count} connections", {"connections": count})
                for count in self.possible(self.params["connections"])]

    def seconds(self, options):
        return 2 * SAMPLE + (50 + options["connections"]) * HANDSHAKE + 2 * self.params["settle"]

    def sample(self, session, subject, options, number):
        count = options["connections"]
        session.load(subject, "handshake", count=50)
        session.load(subject, "rtt", count=10)
        base = self._settled(subject)
        process = session.start_load(subject, "idle", connections=count)
        try:
            session.await_ready(process, subject)
            held = self._settled(subject)
            ends = sum(pipe_ends(pid) for pid in subject.pids())
            result = session.end_load(process, subject)
        finally:
            process.kill()
            process.wait()
        if result["ops"] != count:
            raise measure.LoadFailed(f"{subject.name}: an idle connection was dead")
        return {"memory": (held - base) / count, "pipe_ends": ends}

    def _settled(self, subject):
        if not subject.costs:
            raise subjects.Unavailable("there is no process to measure")
        measure.settled_cpu_ns(subject)
        time.sleep(self.params["settle"])
        return sum(private_dirty(pid) for pid in subject.pids())
