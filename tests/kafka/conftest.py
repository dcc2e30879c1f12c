# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the Kafka tests: one broker and one PKI for all, one front door for each loop."""
import os
import types

import kafka_rig
import pytest
from ports import claim_ports


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A running broker, its certificates, and the port that it advertises for the front door."""
    kafka_rig.need()
    folder = tmp_path_factory.mktemp("kafka")
    (port,) = claim_ports(1)
    broker = kafka_rig.Broker(folder / "broker", port)
    try:
        broker.start()
        pki = kafka_rig.Pki(folder / "pki")
        yield types.SimpleNamespace(folder=folder, port=port, broker=broker, pki=pki)
    finally:
        broker.stop()


LOOPS = os.environ.get("SALLYPORT_LOOPS", "io_uring,epoll").split(",")


@pytest.fixture(scope="session", params=LOOPS)
def door(site, request):
    """The front door on one loop back end. Its end is a test too: no socket left over, a clean
    drain, exit code 0, and the transport that the configuration asks for on every connection."""
    door = kafka_rig.Door(site.folder / f"door-{request.param}", site.port, site.broker, site.pki,
                          loop=request.param)
    try:
        door.start()
        with door.connect():
            pass  # what the first connection leaves behind for good is not a leak
        before = door.sockets()
        yield door
        if door.running():
            kafka_rig.wait_until(f"no more than {before} sockets in the front door",
                                 lambda: door.sockets() <= before, 30)
        code = door.stop()
        assert code == 0, f"the front door ended with {code}:\n{door.tail()}"
        assert "Sanitizer" not in door.text()
        kafka_rig.check_transports(door)
    finally:
        door.stop()


@pytest.fixture
def topic(request):
    """A topic name of the test's own."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name).strip("-")
