# SPDX-License-Identifier: Apache-2.0
"""What tests of changes in a running proxy share: a front door's files that may be changed, and
clients that must not notice."""
import threading

import certs
from door import SERVER_NAME, Door
from rawtls import Ended
from waiting import PATIENCE, wait_until


class OwnFiles:
    """A front door's files that the test may change."""

    def __init__(self, folder, pki):
        self.folder, self.pki = folder, pki
        folder.mkdir(parents=True, exist_ok=True)
        self.roots = folder / "roots.pem"
        self.serial = None
        self.write_identity()
        self.write_roots(pki.root, pki.root_rsa)

    def identity(self):
        return self.pki.intermediate.issue("broker-1", dns=[SERVER_NAME], usage="server")

    def write_identity(self, identity=None):
        """A new certificate (and a new key)."""
        identity = identity or self.identity()
        self.certificate, self.key = identity.write(self.folder, "own")
        self.serial = identity.serial
        return identity

    def write_roots(self, *authorities):
        """Whole or not at all."""
        fresh = self.folder / "roots.new"
        fresh.write_bytes(b"".join(certs.pem(a.certificate) for a in authorities))
        fresh.rename(self.roots)

    def tls(self):
        return {
            "certificate": self.certificate, "key": self.key, "roots": [str(self.roots)]
        }


def serial_of(client):
    """Of the certificate that the proxy showed."""
    text = f"{certs.x509.load_der_x509_certificate(client.server_chain[0]).serial_number:x}"
    return text.rjust(len(text) + len(text) % 2, "0")


def end(client):
    client.finish()
    client.expect_end("close_notify")
    client.sock.close()


def refused(door, **how):
    """Whether a client is turned away in the handshake or right behind it."""
    try:
        with door.client("echo", **how) as client:
            client.send_data(b"x")
            return client.step() is not None
    except (AssertionError, ConnectionResetError, BrokenPipeError, Ended):
        return True


class Load:
    """Connections that send and compare until they are told to stop."""

    def __init__(self, door, count=6):
        self.door, self.stopping, self.failures, self.rounds = door, False, [], [0] * count
        self.clients = [door.client("echo") for _ in range(count)]
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(count)]

    def _run(self, i):
        try:
            while not self.stopping:
                Door.round_trip(self.clients[i], 40000)
                self.rounds[i] += 1
        except BaseException as error:  # told by the test's own thread
            self.failures.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def moves(self):
        """Each of them has made a round since."""
        before = list(self.rounds)
        wait_until(lambda: f"the load to move: {self.failures}",
                   lambda: self.failures or all(n > b for n, b in zip(self.rounds, before)))
        assert not self.failures, self.failures

    def __exit__(self, *_):
        self.stopping = True
        for thread in self.threads:
            thread.join(PATIENCE)
        assert not self.failures, self.failures
        for client in self.clients:
            end(client)
