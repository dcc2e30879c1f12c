# SPDX-License-Identifier: Apache-2.0
"""A log that can not be written never stops the traffic: its disk is full, or nobody reads it any
more."""
import json
import os
import signal
import socket
import subprocess
import threading

import pytest
import rawtls
from door import SERVER_NAME
from proxyrig import BINARY, Proxy
from upstream import Echo
from waiting import PATIENCE, wait_until


def full_disk():
    return os.open("/dev/full", os.O_WRONLY)


def broken_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.fixture
def echo():
    service = Echo()
    yield service
    service.close()


def listens(address):
    try:
        socket.create_connection(address, PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("broken", [full_disk, broken_pipe])
def test_served_all_the_same(loop, pki, tmp_path, echo, broken):
    proxy = Proxy(tmp_path, [{"name": "front", "role": "front", "upstream": echo.endpoint,
                              "tls": pki.tls()}], loop=loop)
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(proxy.config))
    log = broken()
    with subprocess.Popen([BINARY, "proxy", "-c", str(config)], stdin=subprocess.DEVNULL,
                          stdout=log, stderr=log) as process:
        os.close(log)
        try:
            wait_until("the proxy to listen", lambda: listens(proxy.address()))
            for _ in range(20):
                with rawtls.RawClient(proxy.address(), pki.client,
                                      server_name=SERVER_NAME).handshake() as client:
                    data = os.urandom(100_000)
                    writer = threading.Thread(target=client.send_data, args=(data,))
                    writer.start()
                    assert client.read_data(len(data)) == data
                    writer.join()
                    client.finish()
                    client.expect_end("close_notify")
            process.send_signal(signal.SIGUSR1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
