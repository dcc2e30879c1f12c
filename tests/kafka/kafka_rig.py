# SPDX-License-Identifier: Apache-2.0
"""A real Kafka broker, the front door and real clients, for the tests here and for in_vm.

Only the standard library: in_vm runs it inside a virtual machine without pytest. Everything that a
rig starts is its child and dies with it, even if Python is killed (PR_SET_PDEATHSIG). Nothing here
measures time; the limits are only there so that what hangs fails, and SALLYPORT_TEST_SLOW=N
stretches them all (an emulated machine).

Environment: SALLYPORT_BIN (build/sallyport), SALLYPORT_CACHE (Kafka's jars), SALLYPORT_KTLS (off,
auto, required).
"""
import ctypes
import json
import os
import pathlib
import random
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests" / "lib"))

from ports import claim_ports  # noqa: E402

KAFKA = REPO / "deploy" / "local" / "kafka"
BINARY = pathlib.Path(os.environ.get("SALLYPORT_BIN", REPO / "build" / "sallyport"))
KTLS = os.environ.get("SALLYPORT_KTLS", "off")
SLOW = float(os.environ.get("SALLYPORT_TEST_SLOW", "1"))

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class RigError(Exception):
    """Something that the rig needs is missing or failed; the message says what to do."""


def need():
    """Fails, with the remedy, where a test of this folder could not run. It never skips: a skip
    would hide it."""
    for program in ("java", "kcat"):
        if not shutil.which(program):
            raise RigError(f"{program} not found: see deploy/local/packages.txt")
    if not os.access(BINARY, os.X_OK):
        raise RigError(f"no program at {BINARY}: build it, or set SALLYPORT_BIN")
    done = subprocess.run([KAFKA / "fetch"], capture_output=True, text=True, timeout=600 * SLOW)
    if done.returncode:
        raise RigError(f"Kafka's jars could not be fetched:\n{done.stderr}")


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_until(what, check, seconds):
    """Polls until check() is true; its last value is returned."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise RigError(f"gave up after {seconds * SLOW:.0f} s: {what}")
        time.sleep(0.1)


def run(args, *, seconds=60, check=True, stdin=None, stdout=subprocess.PIPE, cwd=None):
    """Runs a client to its end. Its stdout (unless a file is given for it) and stderr come back as
    text."""
    args = [str(a) for a in args]
    command = shlex.join(args)
    try:
        done = subprocess.run(
            args, stdin=stdin or subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, cwd=cwd,
            timeout=seconds * SLOW, preexec_fn=_die_with_parent, encoding="utf-8", errors="replace")
    except subprocess.TimeoutExpired as late:
        raise RigError(f"not done in {seconds * SLOW:.0f} s: {command}\n"
                       f"{_tail(late.stderr)}") from None
    if check and done.returncode:
        raise RigError(f"exit {done.returncode}: {command}\n"
                       f"{_tail(done.stdout)}\n{_tail(done.stderr)}")
    return done


def _tail(text, lines=25):
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return "\n".join(line[:400] for line in (text or "").splitlines()[-lines:])


def first_line(args, word, seconds=60):
    """Runs a client that would retry for ever, until it says `word` on stderr; returns that line
    and what it had said on stdout. An error with all of stderr if it ended without saying it."""
    seen = []
    with Background(args) as client:
        guard = threading.Timer(seconds * SLOW, client.process.kill)
        guard.start()
        try:
            for line in client.process.stderr:
                seen.append(line)
                if word in line:
                    client.process.kill()
                    return line, client.process.stdout.read()
        finally:
            guard.cancel()
    raise RigError(f"it did not say '{word}': {shlex.join(map(str, args))}\n"
                   f"{_tail(''.join(seen))}")


class Background:
    """A client in the background with its output in pipes. Leaving the block kills it."""

    def __init__(self, args):
        self.process = subprocess.Popen(
            [str(a) for a in args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=_die_with_parent, encoding="utf-8", errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def running(self):
        return self.process.poll() is None

    def finish(self, seconds=120):
        """Waits for its end, and returns stdout."""
        try:
            out, err = self.process.communicate(timeout=seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise RigError(f"not done in {seconds * SLOW:.0f} s: {self.process.args}") from None
        if self.process.returncode:
            raise RigError(f"exit {self.process.returncode}: {self.process.args}\n"
                           f"{_tail(out)}\n{_tail(err)}")
        return out


class Daemon:
    """A child that runs until it is stopped, its output in a file."""

    def __init__(self, name, args, log, env=None):
        self.name, self.args, self.log = name, [str(a) for a in args], pathlib.Path(log)
        self.env, self.process = {**os.environ, **(env or {})}, None

    def spawn(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.env,
                                            preexec_fn=_die_with_parent)

    def wait_ready(self, check, seconds):
        def ready():
            if self.process.poll() is not None:
                raise RigError(f"the {self.name} ended with {self.process.returncode}")
            return check()
        try:
            wait_until(f"the {self.name} to be ready", ready, seconds)
        except RigError as err:
            self.stop()
            raise RigError(f"{err}\n{self.tail()}") from None

    def stop(self, seconds=60):
        """SIGTERM; the exit code, or None if it had to be killed or was not running."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def running(self):
        return self.process is not None and self.process.poll() is None

    def text(self):
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def tail(self):
        return _tail(self.text())


class Pki:
    """The embedded CA of `sallyport dev`, a server and clients; a second CA that nobody trusts."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.ca, self.other = self.folder / "ca", self.folder / "other"
        for where in (self.ca, self.other):
            where.mkdir(parents=True)
            run([BINARY, "dev", "ca", "--dir", where, "--cn", f"Kafka test {where.name}"])
        self.server = self._issue(self.ca, "localhost", "server", "server",
                                  "--san", "dns:localhost,ip:127.0.0.1")
        self.client = self._issue(self.ca, "svc-test", "svc-test", "client")
        self.unwanted = self._issue(self.ca, "batch-test", "batch-test", "client")
        self.second = self._issue(self.ca, "svc-b", "svc-b", "client")
        self.foreign = self._issue(self.other, "svc-test", "svc-test", "client")

    @staticmethod
    def _issue(folder, name, file, usage, *more):
        run([BINARY, "dev", "cert", "--dir", folder, "--cn", name, "--name", file,
             "--usage", usage, *more])
        crt, key, both = (folder / f"{file}{suffix}" for suffix in (".crt", ".key", ".pem"))
        both.write_bytes(key.read_bytes() + crt.read_bytes())  # for Java: key and chain in one file
        return crt, key, both

    @property
    def roots(self):
        return self.ca / "ca.crt"


class Broker(Daemon):
    """One real broker; it tells clients only the address that it advertises: the front door's. With
    `jwks` the front door, which makes that file, tells it who clients are, and ACLs are in force;
    the log then has each of the authorizer's decisions."""

    def __init__(self, folder, advertise_port, jwks=None, properties=None):
        """`properties`: a file with more of its configuration."""
        folder = pathlib.Path(folder)
        self.port, self.internal, self.controller = claim_ports(3)
        super().__init__("broker", [
            KAFKA / "broker", "--dir", folder, "--port", self.port, "--internal", self.internal,
            "--controller", self.controller, "--advertise", f"127.0.0.1:{advertise_port}",
            "--heap", "192m", *(["--jwks", jwks] if jwks else []),
            *(["--properties", properties] if properties else []),
        ], folder.parent / "broker.log", env={"SALLYPORT_AUTHORIZER_LOG": "debug"})

    def start(self):
        self.spawn()
        self.wait_ready(self.ready, 60)

    def ready(self):
        """Nobody is asked before somebody listens: kcat takes seconds to give up."""
        for port in (self.internal, self.port):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return False
        done = run(["kcat", "-b", f"127.0.0.1:{self.internal}", "-L", "-m", "5"], check=False)
        return done.returncode == 0

    def tool(self, name, *args, **more):
        """One of Kafka's own tools as the broker's administration: around the front door."""
        return run([KAFKA / "tool", name, "--bootstrap-server", f"127.0.0.1:{self.internal}", *args],
                   **more)


class Door(Daemon):
    """`sallyport proxy` in front of the broker. `keys`: the folder of the keys with which it tells
    the broker who clients are; `more`: lines of the listener."""

    def __init__(self, folder, port, broker, pki, loop="auto", ktls=KTLS, keys=None, more=""):
        self.folder, self.port, self.pki, self.ktls = pathlib.Path(folder), port, pki, ktls
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "sallyport.yaml"
        top = f'identity: {{ directory: "{keys}", overlap: 2s }}' if keys else ""
        more = more or ("kafka: { identity: oauthbearer }" if keys else "")
        config.write_text(f"""\
workers: 2
loop: {loop}
log: {{ level: info, format: text }}
metrics: {{ listen: off }}
admin: {{ socket: "off" }}
{top}
listeners:
  - name: kafka
    role: front
    listen: 127.0.0.1:{port}
    upstream: 127.0.0.1:{broker.port}
    tls:
      certificate: {pki.server[0]}
      key: {pki.server[1]}
      roots: [{pki.roots}]
    ktls: {ktls}
    allow: [ {{cn: "svc-*"}} ]
    timeouts: {{ handshake: {int(10 * SLOW)}s, identity: {int(10 * SLOW)}s, drain: 1s }}
    {more}
""")
        super().__init__("front door", [BINARY, "proxy", "-c", config], self.folder / "door.log")

    def start(self):
        self.spawn()
        self.wait_ready(self.ready, 20)

    def ready(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def sockets(self):
        """How many sockets the program has open."""
        count = 0
        folder = pathlib.Path(f"/proc/{self.process.pid}/fd")
        for fd in folder.iterdir():
            try:
                count += os.readlink(fd).startswith("socket:")
            except FileNotFoundError:
                pass
        return count

    # ---- clients ----

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def kcat_args(self, *args, who="client"):
        identity = []
        if who:
            crt, key, _ = getattr(self.pki, who)
            identity = ["-X", f"ssl.certificate.location={crt}", "-X", f"ssl.key.location={key}"]
        return ["kcat", "-b", self.address, "-X", "security.protocol=ssl",
                "-X", f"ssl.ca.location={self.pki.roots}",
                "-X", "ssl.endpoint.identification.algorithm=https", *identity, *map(str, args)]

    def kcat(self, *args, who="client", **more):
        """kcat (librdkafka) with the certificate of `who`: client, unwanted, foreign, or None."""
        return run(self.kcat_args(*args, who=who), **more)

    def start_tool(self, name, *args):
        """A Java tool in the background (a context manager), for what must happen meanwhile."""
        return Background(self.tool_args(name, *args))

    def java_config(self, name, who="client"):
        """VerifiableProducer's own default is no retries, and so no idempotence: after a restart
        it would find only its own losses."""
        path = self.folder / f"{name}-{who or 'nobody'}.properties"
        lines = ["security.protocol=SSL", "ssl.truststore.type=PEM",
                 f"ssl.truststore.location={self.pki.roots}"]
        if who:
            lines += ["ssl.keystore.type=PEM",
                      f"ssl.keystore.location={getattr(self.pki, who)[2]}"]
        if name == "VerifiableProducer":
            lines.append(f"retries={2**31 - 1}")
        path.write_text("\n".join(lines) + "\n")
        return path

    def tool_args(self, name, *args, who="client"):
        return [KAFKA / "tool", name, "--bootstrap-server", self.address,
                "--command-config", self.java_config(name, who), *args]

    def tool(self, name, *args, who="client", seconds=120, **more):
        """One of Kafka's own (Java) tools."""
        return run(self.tool_args(name, *args, who=who), seconds=seconds, **more)

    def create_topic(self, topic):
        """One partition. Asking about a topic makes it, and kcat asks sooner than Java starts."""
        def there():
            answer = json.loads(self.kcat("-L", "-J", "-t", topic).stdout)["topics"][0]
            return answer["partitions"] and all(p["leader"] > 0 for p in answer["partitions"])
        wait_until(f"topic {topic} to be made", there, 30)

    def connect(self, who="client"):
        """A bare TLS connection of Python's own: a truncated end is an error (SSLEOFError)."""
        context = ssl.create_default_context(cafile=str(self.pki.roots))
        if who:
            crt, key, _ = getattr(self.pki, who)
            context.load_cert_chain(crt, key)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30 * SLOW)
        return context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False)


def check_transports(door):
    """Each connection of a known client was carried as the configuration says, by the front door's
    own account. Returns how many there were."""
    want = {"off": {"aead"}, "required": {"ktls"}}.get(door.ktls, {"aead", "ktls", "ktls_send"})
    seen = [dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in door.text().splitlines() if " closed " in line and " cn=" in line]
    wrong = [end for end in seen if end["client_transport"] not in want]
    if wrong or not seen:
        raise RigError(f"ktls: {door.ktls}: {len(seen)} connections, not as asked: {wrong[:3]}")
    return len(seen)


def make_lines(path, count, *, seed, longest=1000):
    """Writes numbered lines of many lengths, reproducible, and returns their bytes."""
    source = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    noise = "".join(source.choices(letters, k=longest * 4))
    lines = []
    for number in range(count):
        start = source.randrange(len(noise) - longest)
        lines.append(f"{number} {noise[start:start + source.randrange(longest)]}\n")
    data = "".join(lines).encode()
    pathlib.Path(path).write_bytes(data)
    return data


def first_difference(got, want):
    """Where two contents differ, short enough for a message; None if they are equal."""
    if got == want:
        return None
    got_lines, want_lines = got.splitlines(), want.splitlines()
    for number, (a, b) in enumerate(zip(got_lines, want_lines)):
        if a != b:
            return f"line {number}: got {a[:80]!r}, want {b[:80]!r}"
    return (f"got {len(got_lines)} lines ({len(got)} bytes), "
            f"want {len(want_lines)} ({len(want)} bytes)")
