# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests: the real binary on loopback, once for each loop back end.
Every test leaves the proxy as it found it: alive, no descriptor more, one line a connection; each
module's proxy ends in order, with code 0."""
import os
import pathlib
import resource
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import pytest  # noqa: E402

pytest.register_assert_rewrite(
    "adminrig", "agentrig", "changing", "door", "manager", "proxyrig", "rawserver", "rawtls", "rawtls12", "scrape", "tlswire",
    "upstream"
)

from changing import OwnFiles  # noqa: E402
from door import Door, Pki  # noqa: E402
from proxyrig import BINARY, LOOPS, Proxy  # noqa: E402


def pytest_sessionstart():
    assert os.access(BINARY, os.X_OK), f"no program at {BINARY}: build it, or set SALLYPORT_BIN"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failure comes with the last words of the proxy."""
    outcome = yield
    report = outcome.get_result()
    rig = item.funcargs.get("door") or item.funcargs.get("egress") if report.failed else None
    if rig:
        report.sections.append(("log of the proxy", rig.proxy.tail()))


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module", params=LOOPS)
def loop(request):
    return request.param


@pytest.fixture(scope="module")
def door_options():
    """What a module's door has beside the usual; modules override it."""
    return {}


@pytest.fixture(scope="module")
def module_door(loop, pki, tmp_path_factory, door_options):
    door = Door(tmp_path_factory.mktemp("door"), pki, loop, **door_options)
    try:
        door.start()
        yield door
        door.proxy.stop()
    finally:
        door.proxy.kill()
        door.close()


@pytest.fixture
def door(module_door):
    """The module's door, checked after each test."""
    yield module_door
    module_door.check()


@pytest.fixture
def new_door(loop, pki, tmp_path):
    """Makes doors of the test's own; those that still run at its end are stopped and checked."""
    made = []

    def make(**options):
        made.append(Door(tmp_path / str(len(made)), pki, loop, **options))
        return made[-1].start()
    yield make
    try:
        for door in made:
            if door.proxy.running():
                door.check()
                door.proxy.stop()
    finally:
        for door in made:
            door.proxy.kill()
            door.close()


@pytest.fixture
def files(tmp_path, pki):
    """A front door's files, the test's own to change."""
    return OwnFiles(tmp_path / "own", pki)


@pytest.fixture
def new_proxy(loop, tmp_path):
    """Makes proxies of the test's own listeners."""
    made = []

    def make(listeners, **options):
        made.append(Proxy(tmp_path / f"proxy-{len(made)}", listeners, loop=loop, **options))
        return made[-1].start()
    yield make
    try:
        for proxy in made:
            if proxy.running():
                proxy.wait_quiet()
                proxy.stop()
    finally:
        for proxy in made:
            proxy.kill()
