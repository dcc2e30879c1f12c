# SPDX-License-Identifier: Apache-2.0
"""Ways to run the load and to read what a process used."""

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import certs as certs_module

FD_LIMIT = 65536


class LoadFailed(Exception):
    """The load generator saw wrong bytes or a broken connection: no figure may be printed."""


def note(text):
    print(text, file=sys.stderr, flush=True)


def pin(cpu):
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def raise_fd_limit(want=FD_LIMIT):
    """Soft and hard, as far as we may, for us and what we start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < want:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (want, want))
        except (ValueError, PermissionError):  # no CAP_SYS_RESOURCE
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    elif soft < want:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))


def fd_limit():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def connections_max():
    """How many connections a proxy can hold under the limit of open files: two files each."""
    return (fd_limit() - 200) // 2


def kernel_has_tls():
    return os.path.exists("/proc/net/tls_stat")


def tls_stat():
    """Counters of kernel TLS; empty where there is none."""
    try:
        with open("/proc/net/tls_stat", encoding="ascii") as f:
            return {name: int(value) for name, value in (line.split() for line in f)}
    except FileNotFoundError:
        return {}


def tree(pid):
    """@pid and its descendants."""
    pids = [pid]
    for parent in pids:
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                path = f"/proc/{parent}/task/{thread}/children"
                with open(path, encoding="ascii") as f:
                    pids += [int(child) for child in f.read().split()]
        except FileNotFoundError:
            pass
    return pids


def cpu_ns(pid):
    """CPU time of a whole process, ended threads included, by the kernel's scheduler clock. In a
    VM whose clock counts instructions, a nanosecond is an instruction."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def settled_cpu_ns(subject, pause=0.05, tries=40):
    """The subject's CPU time, once it has stopped doing things."""
    before = subject.cpu_ns()
    for _ in range(tries):
        time.sleep(pause)
        now = subject.cpu_ns()
        if now - before < 20_000:
            return now
        before = now
    return before


@dataclass
class Environment:
    """What every subject and every load of a run needs to know."""

    work: str
    build: str
    upstream: str
    certs: certs_module.Certs = None
    proxy_cpu: int = None
    load_cpu: int = None
    start_seconds: float = 10

    @property
    def sallyport(self):
        return os.path.join(self.build, "sallyport")

    @property
    def load(self):
        return os.path.join(self.build, "bench", "sallyport-load")

    @property
    def relay(self):
        return os.path.join(self.build, "bench", "sallyport-bench-relay")


def read_mapped_files(pid):
    """Reads what @pid has mapped, so that no load waits for a file. In a VM whose clock counts
    instructions that is more than a nicety: while it waits, the clock jumps to the next deadline."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        paths = {line.split(maxsplit=5)[5].strip() for line in f if line.count("/") > 0}
    for path in filter(os.path.isfile, paths | {"/etc/ssl/openssl.cnf"}):
        try:
            with open(path, "rb") as f:
                while f.read(1 << 20):
                    pass
        except OSError:
            pass


class Session:
    """A scratch directory, certificates and a running origin."""

    def __init__(self, build, pinned=False, start_seconds=10):
        raise_fd_limit()
        self._scratch = tempfile.TemporaryDirectory(prefix="sallyport-bench-")
        cpus = sorted(os.sched_getaffinity(0))
        two = pinned and len(cpus) >= 2
        self.env = Environment(
            work=self._scratch.name, build=os.path.abspath(build),
            upstream=f"127.0.0.1:{free_port()}", proxy_cpu=cpus[1] if two else None,
            load_cpu=cpus[0] if two else None, start_seconds=start_seconds)
        self.origin = None

    def __enter__(self):
        env = self.env
        if not os.access(env.load, os.X_OK):
            raise SystemExit(f"{env.load} is not built: meson setup -Dbench=true {env.build}, "
                             f"then ninja -C {env.build}")
        env.certs = certs_module.make(os.path.join(env.work, "certs"), env.sallyport)
        self.origin = subprocess.Popen(  # pylint: disable=consider-using-with
            [env.load, "origin", "--listen", env.upstream], stdout=subprocess.PIPE,
            preexec_fn=lambda: pin(env.load_cpu))
        if b"listening" not in self.origin.stdout.readline():
            raise SystemExit("the origin did not start")
        read_mapped_files(self.origin.pid)
        return self

    def __exit__(self, *exc):
        self.origin.terminate()
        self.origin.communicate()
        self._scratch.cleanup()
        if self.origin.returncode and exc[0] is None:
            raise LoadFailed("the origin saw wrong bytes")

    def load_argv(self, subject, mode, **options):
        env = self.env
        argv = [env.load, mode, "--connect", subject.listen()]
        if subject.tls:
            argv += ["--cert", env.certs.client_cert, "--key", env.certs.client_key,
                     "--ca", env.certs.ca, "--server-name", certs_module.SERVER_NAME]
        else:
            argv.append("--plain")
        for name, value in options.items():
            argv += ["--" + name.replace("_", "-"), str(value)]
        return argv

    def load(self, subject, mode, **options):
        """Runs the load generator once; its JSON as a dict. Anything wrong raises LoadFailed."""
        done = subprocess.run(self.load_argv(subject, mode, **options), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False,
                              preexec_fn=lambda: pin(self.env.load_cpu))
        if done.returncode:
            raise LoadFailed(f"{subject.name} {mode}: {done.stderr.decode().strip()}\n"
                             f"the end of its log: {subject.log_end()}")
        result = json.loads(done.stdout)
        if not result["verified"]:
            raise LoadFailed(f"{subject.name} {mode}: not verified")
        return result
