# SPDX-License-Identifier: Apache-2.0
"""KeyUpdate where the kernel holds the keys and can not change them (before Linux 6.14): an end in
order, counted."""
import pytest
from proxyrig import can_rekey
from rawtls import Ended
from upstream import read_exactly, read_to_end


@pytest.fixture(scope="module", autouse=True)
def no_rekeying():
    if can_rekey():
        pytest.skip("keys can be changed here: test_key_update.py shows it")


@pytest.mark.parametrize("request_flag", [False, True])
def test_closes_in_order(door, request_flag):
    """What came before is delivered, the client hears close_notify and reconnects, the service a
    FIN."""
    with door.counted(key_update_unsupported=1):
        client, up = door.pair()
        with client, up:
            client.send_data(b"before")
            assert read_exactly(up, 6) == b"before"
            client.key_update(request_flag)
            client.expect_end("close_notify")
            assert read_to_end(up) == b""
        assert door.line_of(client.name)["reason"] == "key_update_unsupported"


def test_data_behind_it(door):
    """Under a key that the kernel will never have: it is not delivered, and nothing else
    happens."""
    with door.counted(key_update_unsupported=1):
        client, up = door.pair()
        with client, up:
            client.send_data(b"before")
            client.key_update(True)
            client.send_data(b"x" * 50000)
            assert read_to_end(up) == b"before"
            try:
                client.expect_end("close_notify")
            except (Ended, ConnectionResetError):
                pass
