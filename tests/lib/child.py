# SPDX-License-Identifier: Apache-2.0
"""A real server that tests start: a child that dies with the test run, however that ends, on ports that no other test run
takes meanwhile; and a JSON client for what it speaks."""
import ctypes
import dataclasses
import http.client
import json
import pathlib
import signal
import ssl
import subprocess

from ports import claim_ports
from waiting import PATIENCE, wait_until

REPO = pathlib.Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def fetched(name):
    """The path of a program that deploy/local/vault/fetch brings."""
    done = subprocess.run([REPO / "deploy/local/vault/fetch", name], capture_output=True, text=True, check=False,
                          timeout=600)
    assert done.returncode == 0, f"{name} could not be fetched:\n{done.stderr}"
    return done.stdout.strip()


def gone(pid):
    """Whether it has ended, reaped or not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@dataclasses.dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def json(self):
        return json.loads(self.text)

    def expect(self, *statuses):
        assert self.status in statuses, f"HTTP {self.status}, not {statuses}: {self.text[:2000]}"
        return self


class Child:
    """One process; `log` has all that it says. start() returns when ready() is true."""

    def __init__(self, name, folder):
        self.name, self.folder = name, pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "log"
        self.process = None

    def start_process(self, command, ready, env=None):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=env, preexec_fn=self._die_with_parent)
        try:
            wait_until(lambda: f"{self.name} to be ready:\n{self.tail()}", lambda: ready() or not self.running(),
                       3 * PATIENCE)
            assert self.running(), f"{self.name} ended with {self.process.returncode}:\n{self.tail()}"
        except BaseException:
            self.kill()
            raise

    @staticmethod
    def _die_with_parent():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def tail(self, count=20):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def stop(self):
        """In order; harmless when it does not run."""
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(3 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        """As a crash would; harmless when it does not run."""
        if self.running():
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class HttpServer(Child):
    """A child that speaks HTTP and JSON on a loopback port: `tls` is its certs.Identity and None for plain HTTP, `root` the
    Authority that it is from; `client_root` the one of its clients' certificates."""

    def __init__(self, name, folder, tls=None, root=None, client_root=None):
        super().__init__(name, folder)
        self.tls, self.root, self.client_root = tls, root, client_root
        (self.port,) = claim_ports(1)
        self.scheme = "https" if tls else "http"
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        if tls:
            self.certificate_file, self.key_file = tls.write(self.folder, "server")
            self.root_file = root.write(self.folder, "server-root")
        if client_root:
            self.client_root_file = client_root.write(self.folder, "client-root")

    def connection(self, identity=None):
        """One of http.client, to be closed by the caller."""
        if not self.tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        context = ssl.create_default_context(cafile=self.root_file)
        if identity:
            context.load_cert_chain(*identity.write(self.folder, "client"))
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=context)

    def request(self, method, path, body=None, headers=None, identity=None):
        """One request; `body` is text, or what becomes JSON. `identity`: a client's certificate."""
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        connection = self.connection(identity)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode())
        finally:
            connection.close()

    def answers(self, method, path, status, **how):
        """Whether it answers this at all, and so; for waiting."""
        try:
            return self.request(method, path, **how).status == status
        except (OSError, http.client.HTTPException):
            return False
