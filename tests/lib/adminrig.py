# SPDX-License-Identifier: Apache-2.0
"""The operator of a proxy under test: its admin socket, and the verbs that speak to it."""
import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile

from proxyrig import BINARY
from waiting import PATIENCE

OK, FAILED, USAGE, NO_PROXY = 0, 1, 2, 3


@contextlib.contextmanager
def socket_folder():
    """A folder that everybody may look into, with a path short enough for a socket."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sally-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Operator:
    """`path`: of the admin socket."""

    def __init__(self, path):
        self.path = str(path)

    def process(self, **more):
        """How a proxy is started so that it has this socket; `more` of that section."""
        return {"top": {"admin": {"socket": self.path, **more}}}

    def run(self, *arguments, code=OK, prefix=(), **options):
        """A verb as somebody would type it; checks its exit code, gives back what it said."""
        done = subprocess.run(
            [*prefix, BINARY, *map(str, arguments), "--socket", self.path],
            capture_output=True, text=True, timeout=2 * PATIENCE, stdin=subprocess.DEVNULL,
            check=False, **options)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Sanitizer" not in done.stderr
        return done

    def ask(self, *arguments, code=OK, **options):
        return json.loads(self.run(*arguments, "--json", code=code, **options).stdout)

    def conns(self, *arguments):
        return self.ask("conns", *arguments)["conns"]

    def status(self):
        """Whatever it is, healthy or not."""
        done = subprocess.run([BINARY, "status", "--json", "--socket", self.path],
                              capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
        assert done.returncode in (OK, FAILED), done.stderr
        status = json.loads(done.stdout)
        assert (done.returncode == OK) == (status["state"] == "healthy")
        return status

    def condition(self, name):
        """The conditions of this name that hold now."""
        return [c for c in self.status()["conditions"] if c["condition"] == name]

    def raw(self, data):
        """The answer to these bytes, whatever they are, up to its end."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(2 * PATIENCE)
            sock.connect(self.path)
            answer = b""
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while more := sock.recv(1 << 16):
                    answer += more
        return answer
