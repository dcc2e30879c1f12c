# SPDX-License-Identifier: Apache-2.0
"""Under a service manager: what it is told of start, reload and end, and the watchdog."""
import signal
import time

import pytest
from changing import end
from manager import Manager


@pytest.fixture
def manager(tmp_path):
    made = Manager(tmp_path)
    yield made
    made.close()


def test_notifications(new_door, files, manager):
    door = new_door(tls=files.tls(), timeouts={"drain": "1h"}, workers=2,
                    process={"env": manager.env, "top": {"reload": "manual"}})
    ready, seen = manager.expect(READY="1")
    assert ready["STATUS"] == "serving 2 listeners with 2 workers"
    begun_us = time.monotonic_ns() // 1000
    files.write_identity()
    door.proxy.reload()
    reloading, seen = manager.expect(seen, RELOADING="1")
    assert begun_us <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    _, seen = manager.expect(seen, READY="1")
    files.roots.write_text("nothing")
    door.proxy.reload("reload_failed")
    _, seen = manager.expect(seen, RELOADING="1")
    failed, seen = manager.expect(seen, READY="1")  # it serves, as before
    assert "reload failed" in failed["STATUS"] and "roots.pem" in failed["STATUS"]
    with door.client("echo") as client:
        door.proxy.signal(signal.SIGTERM)
        _, seen = manager.expect(seen, STOPPING="1")
        end(client)
    assert door.proxy.wait() == 0
    assert not [m for m in manager.messages()[seen:] if "READY" in m]
    assert not [m for m in manager.messages() if "WATCHDOG" in m]


def test_watchdog(new_door, manager):
    """Fed as long as the workers answer, while draining too."""
    door = new_door(process={"env": {**manager.env, "WATCHDOG_USEC": "200000"}},
                    timeouts={"drain": "1h"}, workers=2)
    seen = 0
    for _ in range(5):
        _, seen = manager.expect(seen, WATCHDOG="1")
    with door.client("echo") as client:
        door.proxy.signal(signal.SIGTERM)
        _, seen = manager.expect(seen, STOPPING="1")
        for _ in range(3):
            _, seen = manager.expect(seen, WATCHDOG="1")
        end(client)
    assert door.proxy.wait() == 0


def test_watchdog_of_somebody_else(new_door, manager):
    """WATCHDOG_PID names another process: it is not for us."""
    door = new_door(process={"env": {**manager.env, "WATCHDOG_USEC": "200000",
                                      "WATCHDOG_PID": "1"}})
    manager.expect(READY="1")
    door.proxy.stop()
    assert not [m for m in manager.messages() if "WATCHDOG" in m]
