# SPDX-License-Identifier: Apache-2.0
"""Waiting for a state, bounded. No test measures time: the limits are only there so that what hangs
fails.

SALLYPORT_TEST_SLOW=N stretches them all (an emulated machine, a sanitizer)."""
import os
import time

SLOW = float(os.environ.get("SALLYPORT_TEST_SLOW", "1"))
PATIENCE = 20 * SLOW  # seconds that anything may take which needs milliseconds


def wait_until(what, condition, seconds=PATIENCE):
    """Returns the first true value of condition(); fails with `what` (text, or a function that
    makes it)."""
    end = time.monotonic() + seconds
    pause = 0.0005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited in vain for " + (what() if callable(what) else what))
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
