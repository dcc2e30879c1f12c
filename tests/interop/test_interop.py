# SPDX-License-Identifier: Apache-2.0
"""Foreign TLS stacks as clients of the front door: OpenSSL, GnuTLS, Java, Go. Each sends a pattern to an echo behind the
door and every byte that comes back is compared. Natively the transport is aead; in a VM (SALLYPORT_KTLS=required) it is kTLS.

SALLYPORT_INTEROP_DIR holds the clients that tests/interop/build made."""
import contextlib
import os
import pathlib
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import pytest  # noqa: E402

from door import SERVER_NAME, Door, Pki  # noqa: E402
from proxyrig import KTLS, LOOPS  # noqa: E402
from waiting import wait_until  # noqa: E402

CLIENTS = pathlib.Path(os.environ.get("SALLYPORT_INTEROP_DIR", "build-tests/interop"))
BYTES = 5_000_000
SECONDS = 300
PASSWORD = "changeit"
PERIOD = 8191
PATTERN = bytes((i * 31 + 7) & 0xff for i in range(PERIOD))
REKEY = KTLS != "required" or tuple(
    int(n) for n in os.uname().release.split("-")[0].split(".")[:2]) >= (6, 14)


def pattern(length):
    return (PATTERN * (length // PERIOD + 1))[:length]


def run(command):
    return subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS,
                          check=False)


def exchange(command, data):
    """Writes `data` to the command and returns as many bytes of what it prints."""
    with subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        def write():
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(data)
                process.stdin.flush()
        writer = threading.Thread(target=write)
        end = threading.Timer(SECONDS, process.kill)
        writer.start()
        end.start()
        try:
            return process.stdout.read(len(data))
        finally:
            end.cancel()
            process.kill()
            writer.join()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module", params=LOOPS)
def door(request, pki, tmp_path_factory):
    door = Door(tmp_path_factory.mktemp("door"), pki, request.param)
    try:
        yield door.start()
        door.proxy.stop()
    finally:
        door.proxy.kill()
        door.close()


@pytest.fixture(scope="session")
def files(pki, tmp_path_factory):
    """PEM files and PKCS#12 stores of one client."""
    folder = tmp_path_factory.mktemp("client")
    cert, key = pki.root.issue("svc-interop").write(folder, "tls")
    ca = pki.root.write(folder, "ca")
    stores = folder / "key.p12", folder / "trust.p12"
    for command in (["openssl", "pkcs12", "-export", "-in", cert, "-inkey", key, "-out", stores[0], "-passout",
                     f"pass:{PASSWORD}"],
                    ["keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", ca, "-keystore", stores[1], "-storetype",
                     "PKCS12", "-storepass", PASSWORD]):
        done = run(command)
        assert done.returncode == 0, done.stderr + done.stdout
    return cert, key, ca, *stores


def test_openssl(door, files):
    cert, key, ca, *_ = files
    host, port = door.proxy.address("echo")
    echoed = exchange(["openssl", "s_client", "-quiet", "-connect", f"{host}:{port}", "-servername", SERVER_NAME, "-cert", cert,
                       "-key", key, "-CAfile", ca, "-verify_return_error"], pattern(BYTES))
    assert echoed == pattern(BYTES)


def test_gnutls(door, files):
    cert, key, ca, *_ = files
    host, port = door.proxy.address("echo")
    echoed = exchange(["gnutls-cli", "--logfile=/dev/null", "-p", port, f"--sni-hostname={SERVER_NAME}",
                       f"--verify-hostname={SERVER_NAME}", f"--x509cafile={ca}", f"--x509certfile={cert}",
                       f"--x509keyfile={key}", host], pattern(BYTES))
    assert echoed == pattern(BYTES)


def test_go(door, files):
    cert, key, ca, *_ = files
    host, port = door.proxy.address("echo")
    done = run([CLIENTS / "echo-go", f"{host}:{port}", SERVER_NAME, cert, key, ca, BYTES])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"verified %d 0x304" % BYTES)


@pytest.mark.parametrize("key_updates", [False, True])
def test_java(door, files, tmp_path, key_updates):
    """With a key limit of 1 MiB, Java sends KeyUpdate(update_requested) several times, as it does each 128 GiB."""
    limits = tmp_path / "java.security"
    limits.write_text("jdk.tls.keyLimits=AES/GCM/NoPadding KeyUpdate 2^20, ChaCha20-Poly1305 KeyUpdate 2^20\n"
                      if key_updates else "")
    before = door.proxy.totals()
    done = run(["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Djava.security.properties={limits}", "-cp", CLIENTS,
                "Echo", *door.proxy.address("echo"), files[3], files[4], PASSWORD, BYTES])
    after = door.proxy.totals()
    if key_updates and not REKEY:
        # The kernel can not re-key: the connection ends in order, counted.
        assert done.returncode != 0
        counted = before.get("key_update_unsupported", 0) + 1
        wait_until("key_update_unsupported", lambda: door.proxy.totals().get("key_update_unsupported", 0) == counted)
        return
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"verified %d TLSv1.3" % BYTES)
    received = after["key_updates_received"] - before["key_updates_received"]
    sent = after["key_updates_sent"] - before["key_updates_sent"]
    assert (received > 0) == key_updates
    # Requests that come while our answer waits for the socket are answered by that one (RFC 8446 4.6.3).
    assert (0 < sent <= received) if key_updates else sent == 0
