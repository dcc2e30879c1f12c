# SPDX-License-Identifier: Apache-2.0
"""Ways to run the load and to read what a process used."""

import contextlib
import json
import os
import random
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


def cores(there, pinned=True):
    """Of these cores: the proxy's, the origin's, the load's, as sets; None: any. With two, load and origin share one."""
    there = sorted(there)
    if not pinned or len(there) < 2:
        return None, None, None
    if len(there) == 2:
        return {there[1]}, {there[0]}, {there[0]}
    return {there[1]}, {there[2]}, set(there) - {there[1], there[2]}


def pin(cpus):
    if cpus is not None:
        os.sched_setaffinity(0, cpus)


def pin_all(pids, cpus):
    """Also those that have chosen a core themselves, as hitch's workers do: on that of the load it is cheaper."""
    for pid in pids if cpus is not None else ():
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                os.sched_setaffinity(int(thread), cpus)


def free_port():
    """Below the range from which outgoing connections get theirs: a proxy that is restarted must find
    its port free again."""
    for port in random.sample(range(20000, 30000), 200):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                s.bind(("127.0.0.1", port))
                return port
    raise SystemExit("no free port from 20000 to 29999")


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
    """How many connections every proxy can hold under the limit of open files: two files each, and stunnel takes no more than
    125/256 of the limit, those included that are about to end."""
    return min((fd_limit() - 200) // 2, fd_limit() * 120 // 256)


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
    proxy_cpus: set = None
    load_cpus: set = None
    start_seconds: float = 10
    load_seconds: int = 30  # longest wait of a load for anything

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

    def __init__(self, build, pinned=False, slow=False):
        raise_fd_limit()
        self._scratch = tempfile.TemporaryDirectory(prefix="sallyport-bench-")
        proxy, self.origin_cpus, load = cores(os.sched_getaffinity(0), pinned)
        self.env = Environment(
            work=self._scratch.name, build=os.path.abspath(build),
            upstream=f"127.0.0.1:{free_port()}", proxy_cpus=proxy, load_cpus=load,
            start_seconds=60 if slow else 10, load_seconds=600 if slow else 30)
        self.origin = None
        self.handshakes = {}  # of each subject, all that were measured, in nanoseconds
        self.connection_ns = {}  # what a connection of a subject costs, once that was measured

    def __enter__(self):
        env = self.env
        if not os.access(env.load, os.X_OK):
            raise SystemExit(f"{env.load} is not built: meson setup -Dbench=true {env.build}, "
                             f"then ninja -C {env.build}")
        env.certs = certs_module.make(os.path.join(env.work, "certs"), env.sallyport)
        self.origin = subprocess.Popen(  # pylint: disable=consider-using-with
            [env.load, "origin", "--listen", env.upstream], stdout=subprocess.PIPE,
            preexec_fn=lambda: pin(self.origin_cpus))
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
        argv = [env.load, mode, "--connect", subject.listen(), "--timeout", str(env.load_seconds)]
        if subject.tls:
            argv += ["--ca", env.certs.ca, "--server-name", certs_module.SERVER_NAME]
            if mode != "storm":  # whose clients have none
                argv += ["--cert", env.certs.client_cert, "--key", env.certs.client_key]
        else:
            argv.append("--plain")
        for name, value in options.items():
            name = "--" + name.replace("_", "-")
            argv += [name] if value is True else [name, str(value)]
        return argv

    def start_load(self, subject, mode, nice=0, **options):
        """In the background, with stdin and stdout as pipes."""
        def before_exec():
            pin(self.env.load_cpus)
            os.nice(nice)

        return subprocess.Popen(self.load_argv(subject, mode, **options), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                preexec_fn=before_exec)

    @staticmethod
    def await_ready(process, subject):
        if b"ready" not in process.stdout.readline():
            raise LoadFailed(f"{subject.name}: {broke_off(process, subject)}")

    @staticmethod
    def end_load(process, subject, said=b""):
        """The JSON of a load that was started. @said: what was read of its stdout before."""
        out, err = process.communicate(b"\n" if process.stdin else None)
        if process.returncode:
            raise LoadFailed(f"{subject.name}: {err.decode().strip()}\n"
                             f"the end of its log: {subject.log_end()}")
        result = json.loads((said + out).splitlines()[-1])
        if not result["verified"]:
            raise LoadFailed(f"{subject.name}: not verified")
        return result

    def load(self, subject, mode, **options):
        """Runs the load generator once; its JSON as a dict. Anything wrong raises LoadFailed."""
        process = self.start_load(subject, mode, **options)
        try:
            return self.end_load(process, subject)
        finally:
            process.kill()
            process.wait()

    def used(self, subject, mode, **options):
        """The same, with what the proxy and the origin used for it, in nanoseconds of CPU."""
        before, origin = settled_cpu_ns(subject), cpu_ns(self.origin.pid)
        result = self.load(subject, mode, **options)
        result["proxy_ns"] = settled_cpu_ns(subject) - before
        result["origin_ns"] = cpu_ns(self.origin.pid) - origin
        return result


def broke_off(process, subject):
    process.kill()
    _, err = process.communicate()
    return f"{err.decode().strip()}\nthe end of its log: {subject.log_end()}"
