# SPDX-License-Identifier: Apache-2.0
"""The real binary under test: started with a configuration, watched through its log, its counters
and /proc, stopped in order. A rig's process dies with the test run, however that ends.

Environment: SALLYPORT_BIN (build/sallyport), SALLYPORT_KTLS (off, auto, required), SALLYPORT_SPLICE
(auto, on, off)."""
import collections
import contextlib
import ctypes
import json
import os
import pathlib
import random
import resource
import select
import signal
import subprocess
import threading
import time

import scrape
from ports import claim, is_free
from waiting import PATIENCE, wait_until

REPO = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SALLYPORT_BIN", str(REPO / "build" / "sallyport"))
KTLS = os.environ.get("SALLYPORT_KTLS", "off")
SPLICE = os.environ.get("SALLYPORT_SPLICE", "auto")
LOOPS = os.environ.get("SALLYPORT_LOOPS", "io_uring,epoll").split(",")
TRANSPORT = "ktls" if KTLS == "required" else "aead"
# Counters that are not reasons: they move with any traffic.
PLAIN_COUNTERS = {
    "accepted",
    "accept_errors",
    "accept_backoffs",
    "handshakes",
    "handshakes_ktls",
    "handshakes_aead",
    "handshake_waits",
    "bytes_in",
    "bytes_out",
    "bytes_spliced",
    "key_updates_received",
    "key_updates_sent",
    "upstream_connects",
    "upstream_connect_failures",
    "identities",
    "identity_waits",
}
IDLE_PIPES_MAX = 16
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SYS_LANDLOCK_CREATE_RULESET = 444
_libc = ctypes.CDLL(None)


def _is_sanitized():
    try:
        binary = pathlib.Path(BINARY).read_bytes()
    except OSError:
        return False
    return b"__asan_init" in binary or b"__tsan_init" in binary


# Sanitizers keep freed memory for long: what it comes to says nothing then.
SANITIZED = _is_sanitized()


def can_rekey():
    """Whether a KeyUpdate is answered: always by our own record layer, by the kernel's from 6.14
    on."""
    if KTLS == "off":
        return True
    done = subprocess.run(
        [BINARY, "probe", "--json"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return bool(json.loads(done.stdout)["ktls"]["rekey"])


def landlock_abi():
    """As this kernel says; 0: it has none."""
    return max(0, ctypes.CDLL(None).syscall(_SYS_LANDLOCK_CREATE_RULESET, None, 0, 1))


_ports = []  # of a block that is this test run's


def free_port():
    """Below the range of outgoing connections, so that none of ours can sit on it; and none twice, nor to another test
    run, because whoever has got one may not listen yet."""
    while True:
        if not _ports:
            block = next(n for n in random.sample(range(120, 300), 180) if claim(f"ports-{n}"))
            _ports.extend(range(100 * block, 100 * block + 100))
        port = _ports.pop()
        if is_free(port):
            return port


def address_of(listen):
    """A configuration's endpoint as connect() wants it."""
    if listen.startswith("unix:"):
        return listen.removeprefix("unix:")
    host, port = listen.rsplit(":", 1)
    return host, int(port)


class Successor:
    """The process that an upgrade has started, as subprocess.Popen would have it. It becomes our
    child when its own parent has ended: this process takes in orphans."""

    def __init__(self, pid):
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self.pid, self.returncode = pid, None
        self._fd = os.pidfd_open(pid)

    def poll(self):
        if self.returncode is None and select.select([self._fd], [], [], 0)[0]:
            self.wait(PATIENCE)
        return self.returncode

    def wait(self, seconds=PATIENCE):
        if self.returncode is None:
            if not select.select([self._fd], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired("successor", seconds)
            def reaped():
                with contextlib.suppress(ChildProcessError):
                    _, status = os.waitpid(self.pid, 0)
                    return [os.waitstatus_to_exitcode(status)]
            self.returncode = wait_until("its parent to end", reaped)[0]
            os.close(self._fd)
        return self.returncode

    def send_signal(self, number):
        signal.pidfd_send_signal(self._fd, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Proxy:
    """A running proxy. `listeners`: dictionaries of the configuration; ktls, splice and a port are
    filled in, and no admin socket. `top`: more keys beside them. `stderr`: a descriptor instead of
    the rig's log, whose path `on_log` is then called with; `before_exec` is called in the new
    process; `env`: more of the environment. `metrics`: an address to ask; None: the key is left
    out."""

    def __init__(self, folder, listeners, loop="auto", workers=2, nofile=None, top=None,
                 stderr=None, on_log=None, before_exec=None, env=None, metrics="off"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.listeners = {}
        for listener in listeners:
            listener.setdefault("ktls", KTLS)
            listener.setdefault("splice", SPLICE)
            listener.setdefault("listen", f"127.0.0.1:{free_port()}")
            self.listeners[listener["name"]] = listener
        self.config = {"workers": workers, "loop": loop, "log": {"level": "info", "format": "json"},
                       "admin": {"socket": "off"}, "listeners": listeners}
        if metrics:
            self.config["metrics"] = {"listen": metrics}
        for key, value in (top or {}).items():
            self.config[key] = ({**self.config.get(key, {}), **value}
                                if isinstance(value, dict) else value)
        self._nofile, self._stderr, self._on_log = nofile, stderr, on_log
        self.before_exec, self.env = before_exec, {**os.environ, **(env or {})}
        self.pass_fds, self.wrapper = (), []
        self.log_path = self.folder / "log"
        self.expected_errors = set()  # events that a test brings about
        self._log_lock = threading.Lock()  # tests have threads of their own
        self.process = None

    # Life.
    def start(self):
        self._log, self._log_at, self._log_rest, self._begun = [], 0, b"", {}
        self._processes = 1  # whose lines are in the log
        path = self.write_config()
        with open(self.log_path, "wb") as log:
            if self._on_log:
                self._on_log(self.log_path)
            self.process = subprocess.Popen(
                [*self.wrapper, BINARY, "proxy", "-c", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log if self._stderr is None else self._stderr,
                env=self.env,
                pass_fds=self.pass_fds,
                preexec_fn=self._before_exec,
            )
        try:
            wait_until(lambda: "the proxy to start:\n" + self.tail(),
                       lambda: self.lines(event="started") or not self.running())
            assert self.running(), "the proxy did not start:\n" + self.tail()
        except BaseException:
            self.kill()
            raise
        self._take_base()
        return self

    def _take_base(self):
        """What it has open without connections. Its servers for operators begin after the line that
        it has started, or taken over; their threads have all that they need when they are there."""
        named = {"metrics": self.config.get("metrics", {}).get("listen", "off"),
                 "admin": self.config.get("admin", {}).get("socket", "auto")}
        servers = {name for name, where in named.items() if where not in ("off", "auto")}
        wait_until(lambda: f"the servers {servers}:\n{self.tail()}",
                   lambda: servers <= self._threads() or not self.running())
        self.base_fds, self.base_pipes = self.fds(), self.pipes()
        # Connections to these are kept, and may not be there yet.
        self.base_fds += 2 * len({"vault", "consul"} & set(self.config))

    def _threads(self):
        """Their names."""
        names = set()
        for comm in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/comm"):
            with contextlib.suppress(OSError):
                names.add(comm.read_text().strip())
        return names

    def write_config(self):
        """Writes self.config; the file is replaced whole."""
        path = self.folder / "config.yaml"
        fresh = self.folder / "config.yaml.new"
        fresh.write_text(json.dumps(self.config, indent=1))
        fresh.rename(path)
        return path

    def reload(self, outcome="reloaded", number=signal.SIGHUP):
        """Asks for a reload and returns the line about it."""
        before = len(self.lines(event=outcome))
        if outcome == "reload_failed":
            self.expected_errors.add(outcome)
        self.signal(number)
        self.expect(before + 1, event=outcome)
        if outcome != "reload":  # the first one may be that of changed files, if we were slow
            self.totals()
        return self.lines(event=outcome)[-1]

    def upgrade(self, order=None):
        """Replaces the process by a new one; returns the old one, which drains. `order`: gives the
        order, instead of a signal."""
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        before = len(self.lines(event="upgraded"))
        if order:
            order()
        else:
            self.signal(signal.SIGUSR2)
        line = wait_until(lambda: "the upgrade:\n" + self.tail(),
                          lambda: self.lines(event="upgraded")[before:])[0]
        old, self.process = self.process, Successor(line["new_pid"])
        self._processes += 1
        self._take_base()
        return old

    def _before_exec(self):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if self._nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._nofile, self._nofile))
        if self.before_exec:
            self.before_exec()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=PATIENCE):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"the proxy is still there after {seconds} s:\n{self.tail()}"
            ) from None

    def stop(self, seconds=PATIENCE):
        """In order, with everything checked that a good end has."""
        assert self.running(), f"the proxy has died ({self.process.returncode}):\n{self.tail()}"
        self.signal(signal.SIGTERM)
        code = self.wait(seconds)
        assert code == 0, f"exit code {code}:\n{self.tail()}"
        self.check_log()
        assert self.lines(event="stopped"), self.tail()

    def kill(self):
        if self.running():
            self.process.kill()
            self.process.wait()

    def address(self, name=None):
        listener = self.listeners[name or next(iter(self.listeners))]
        return address_of(listener["listen"])

    # Log.
    def log(self):
        """All lines so far, as dictionaries; what is no JSON (a sanitizer's report) as {"raw":
        text}."""
        with self._log_lock:
            with open(self.log_path, "rb") as f:
                f.seek(self._log_at)
                new = f.read()
            self._log_at += len(new)
            *whole, self._log_rest = (self._log_rest + new).split(b"\n")
            for line in whole:
                try:
                    self._log.append(json.loads(line))
                except ValueError:
                    self._log.append({"raw": line.decode(errors="replace")})
            return self._log

    def lines(self, **fields):
        return [line for line in self.log() if all(line.get(k) == v for k, v in fields.items())]

    def expect(self, count=1, **fields):
        """Waits for so many lines with these fields, and returns them. A thread of its own writes
        the log: what a line is about can be seen elsewhere before."""
        return wait_until(lambda: f"{count} lines with {fields}:\n{self.tail()}",
                          lambda: len(found := self.lines(**fields)) >= count and found)

    def tail(self, count=20):
        """The last lines for people, without the counters."""
        with contextlib.suppress(OSError):
            lines = self.log_path.read_text(errors="replace").splitlines()
            return "\n".join([line for line in lines if '"event":"totals"' not in line][-count:])
        return "(no log)"

    def note(self, client):
        """A connection from `client` begins: lines of those who had its port before are not its."""
        self._begun[client] = len(self.log())

    def lines_of(self, client):
        """Those so far about the connection from `client` ("127.0.0.1:port")."""
        return [line for line in self.log()[self._begun.get(client, 0):] if line.get("client") == client]

    def line_of(self, client):
        """The one line about the connection from `client`: closed or refused."""
        return wait_until(lambda: f"a line about {client}:\n{self.tail()}", lambda: self.lines_of(client))[-1]

    def check_log(self):
        """Every line is JSON, none is an error but those that are expected, and no connection has
        two of its end. (Each process counts its own from 0.)"""
        seen = collections.Counter()
        for line in self.log():
            assert "raw" not in line, f"not JSON: {line['raw']}\n{self.tail(200)}"
            assert line["level"] != "error" or line["event"] in self.expected_errors, line
            if "conn" in line and line["event"] in ("closed", "refused"):
                seen[line["conn"]] += 1
                assert seen[line["conn"]] <= self._processes, (
                    f"two lines about connection {line['conn']}")

    # Counters.
    def totals(self):
        before = len(self.lines(event="totals"))
        self.signal(signal.SIGUSR1)
        return wait_until("the totals in the log", lambda: self.lines(event="totals")[before:])[0]

    def reasons(self):
        """Counters of ends and refusals: what `counted` compares."""
        return {k: v for k, v in self.totals().items()
                if k not in PLAIN_COUNTERS and isinstance(v, int) and not isinstance(v, bool)}

    @contextlib.contextmanager
    def counted(self, **expected):
        """Inside, exactly these reasons are counted, and no others."""
        before, seen = self.reasons(), {}

        def same():
            after = self.reasons()
            seen.clear()
            seen.update(
                {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)}
            )
            return seen == expected
        yield
        wait_until(
            lambda: f"the counts {expected}, but saw {seen}:\n{self.tail()}", same, PATIENCE / 4
        )

    def metrics(self):
        return scrape.scrape(self.metrics_address)

    @property
    def metrics_address(self):
        return address_of(self.config["metrics"]["listen"])

    # What the kernel knows about it.
    def _proc(self, name):
        return pathlib.Path(f"/proc/{self.process.pid}/{name}")

    def fds(self):
        return len(os.listdir(self._proc("fd")))

    def _descriptors(self):
        """What they are of."""
        for entry in os.listdir(self._proc("fd")):
            with contextlib.suppress(OSError):
                yield os.readlink(self._proc("fd") / entry)

    def pipes(self):
        return sum(text.startswith("pipe:") for text in self._descriptors())

    @contextlib.contextmanager
    def first_connection(self):
        """What the connection inside leaves for good is no leak of others. Its sockets are none of
        that: they are closed soon."""
        def others():
            return sum(not text.startswith("socket:") for text in self._descriptors())
        before = others()
        yield
        self.base_fds += max(0, others() - before)

    def wait_quiet(self):
        """No descriptor is left but those of the start, and the few empty pipes that each worker
        may keep."""
        pipes_max = self.base_pipes + 2 * IDLE_PIPES_MAX * self.config["workers"]

        def quiet():
            pipes = self.pipes()
            return self.fds() - pipes <= self.base_fds - self.base_pipes and pipes <= pipes_max
        wait_until(lambda: f"{self.fds()} descriptors ({self.pipes()} of pipes) to become "
                           f"{self.base_fds} ({self.base_pipes}):\n{self.tail()}", quiet)

    def cpu_ticks(self):
        fields = self._proc("stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def memory_kib(self):
        """Anonymous memory; 0 for a sanitizer's binary."""
        if SANITIZED:
            return 0
        for line in self._proc("status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
        raise AssertionError("no RssAnon")

    def ticks_while_idle(self, limit=5):
        """CPU time (ticks of 10 ms) in a second in which nothing is asked of it. A loop that spins
        does so in every second; what was still being done at the start ends, so that seconds are
        tried until one is quiet."""
        for _ in range(5):
            before = self.cpu_ticks()
            time.sleep(1)
            ticks = self.cpu_ticks() - before
            if ticks <= limit:
                break
        return ticks
