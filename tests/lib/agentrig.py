# SPDX-License-Identifier: Apache-2.0
"""The real agent under test: run once, or started, watched through its log and its admin socket, stopped in order, killed.
It dies with the test run, however that ends."""
import ctypes
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess

from proxyrig import BINARY
from waiting import PATIENCE, wait_until

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def dev_ca(folder, cn="Agent test root"):
    """An embedded CA."""
    subprocess.run([BINARY, "dev", "ca", "--dir", folder, "--cn", cn], check=True, capture_output=True, timeout=PATIENCE)
    return folder


def facts(pem_file):
    """Of the first certificate of a file: OpenSSL's words."""
    done = subprocess.run(["openssl", "x509", "-in", pem_file, "-noout", "-serial", "-subject", "-ext", "subjectAltName"],
                          check=True, capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout


def serial_of(directory):
    return facts(pathlib.Path(directory) / "tls.crt").splitlines()[0].removeprefix("serial=").lower()


def check_pair(directory):
    """Certificate and key of one set are each other's, and the roots lead to them."""
    directory = (pathlib.Path(directory) / "..data").resolve()
    context = ssl.create_default_context(cafile=directory / "ca.crt")
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    subprocess.run(["openssl", "verify", "-CAfile", directory / "ca.crt", "-untrusted", directory / "tls.crt",
                    directory / "tls.crt"], check=True, capture_output=True, timeout=PATIENCE)


class Agent:
    """`certificates`: dictionaries of the configuration; `top`: more keys beside them. The configuration may be changed
    between starts (`config`). `before_exec` is called in the new process."""
    binary = BINARY

    def __init__(self, folder, certificates, before_exec=None, **top):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket = self.folder / "agent.sock"
        self.config = {"log": {"level": "debug", "format": "json"}, "admin": {"socket": str(self.socket)},
                       "certificates": certificates, **top}
        self.log_path = self.folder / "log"
        self.env = dict(os.environ)
        self._hook = before_exec
        self.process = None

    def write_config(self):
        path = self.folder / "agent.yaml"
        fresh = self.folder / "agent.yaml.new"
        fresh.write_text(json.dumps(self.config, indent=1))
        fresh.rename(path)
        return path

    def _before_exec(self):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if self._hook:
            self._hook()

    def _command(self, *options):
        return [self.binary, "agent", "-c", str(self.write_config()), *options]

    def once(self, code=0, deadline="60s"):
        """Runs to its end; the exit code is checked."""
        with open(self.log_path, "ab") as log:
            done = subprocess.run(self._command("--once", "--deadline", deadline), stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=log, env=self.env, preexec_fn=self._before_exec, check=False,
                                  timeout=4 * PATIENCE)
        assert done.returncode == code, f"exit code {done.returncode}:\n{self.tail()}"

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.env, preexec_fn=self._before_exec)

    def start(self, well=True):
        """Returns when it answers, and (unless told otherwise) all is well."""
        self.spawn()
        try:
            wait_until(lambda: f"the agent to start:\n{self.tail()}",
                       lambda: not self.running() or self.socket.exists() and self.status() and
                       (self.status()["well"] and not self.busy() or not well), 3 * PATIENCE)
            assert self.running(), f"the agent ended with {self.process.returncode}:\n{self.tail()}"
        except BaseException:
            self.kill()
            raise
        return self

    def busy(self):
        return any(c["hooks_busy"] for c in self.status()["certificates"])

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        assert self.running(), f"the agent has died:\n{self.tail()}"
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, self.tail()
        assert self.lines(event="agent_stopped") and not self.socket.exists()
        assert not [line for line in self.lines() if "raw" in line], self.tail()

    def kill(self):
        if self.running():
            self.process.kill()
            self.process.wait()

    def resident_kib(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1])

    def verb(self, *arguments, code=0):
        """`sallyport agent status` and the like; stdout."""
        done = subprocess.run([BINARY, "agent", *arguments, "--socket", str(self.socket)], capture_output=True, text=True,
                              check=False, timeout=6 * PATIENCE)
        assert code is None or done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}\n{self.tail()}"
        return done.stdout + done.stderr

    def status(self):
        """None where nobody answers yet."""
        done = subprocess.run([BINARY, "agent", "status", "--json", "--socket", str(self.socket)], capture_output=True,
                              text=True, check=False, timeout=6 * PATIENCE)
        return json.loads(done.stdout) if done.stdout else None

    def certificate(self, name=None):
        """Its state."""
        return next(c for c in self.status()["certificates"] if name in (None, c["name"]))

    def lines(self, **fields):
        found = []
        for text in self.log_path.read_text(errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                line = {"raw": text}
            if all(line.get(k) == v for k, v in fields.items()):
                found.append(line)
        return found

    def wait_lines(self, count, **fields):
        return wait_until(lambda: f"{count} lines {fields}:\n{self.tail()}",
                          lambda: len(found := self.lines(**fields)) >= count and found, 3 * PATIENCE)

    def tail(self, count=20):
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-count:])
