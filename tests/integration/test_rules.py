# SPDX-License-Identifier: Apache-2.0
"""Who is let in among those whose certificate is good: the allow and deny rules."""
import ssl

import pytest

SPIFFE = "spiffe://example/ns/prod/sa/"
RULES = {
    "allow": [
        {"cn": "svc-*"},
        {"dns": "*.clients.example"},
        {"uri": SPIFFE + "*"},
        {"cn": "ops-?", "issuer_cn": "Test root B"},
    ],
    "deny": [
        {"cn": "svc-bad*"},
        {"uri": SPIFFE + "evil"},
        {"issuer_cn": "Test root B", "cn": "svc-*"},
    ],
}
# (who, root, names) -> let in?
CASES = {
    "cn glob": ("svc-1", "root", {}, True),
    "cn does not match": ("other", "root", {}, False),
    "cn glob is anchored": ("my-svc-1", "root", {}, False),
    "cn is case-sensitive": ("SVC-1", "root", {}, False),
    "dns": ("x", "root", {"dns": ["nothing", "a.clients.example"]}, True),
    "dns ignores case": ("x", "root", {"dns": ["A.Clients.EXAMPLE"]}, True),
    "dns elsewhere": ("x", "root", {"dns": ["a.clients.example.evil"]}, False),
    "uri": (None, "root", {"uris": [SPIFFE + "a"]}, True),
    "uri of another trust domain": (None, "root", {"uris": ["spiffe://evil/ns/prod/sa/a"]}, False),
    "uri as a dns name does not count": ("x", "root", {"dns": ["spiffe"]}, False),
    "both keys": ("ops-1", "root_rsa", {}, True),
    "one key of two": ("ops-1", "root", {}, False),
    "? is one character": ("ops-12", "root_rsa", {}, False),
    "deny by cn": ("svc-bad-1", "root", {}, False),
    "deny beats another allow": ("svc-1", "root", {"uris": [SPIFFE + "evil"]}, False),
    "deny by any of the uris": ("svc-1", "root", {"uris": ["urn:x", SPIFFE + "evil"]}, False),
    "deny by issuer and cn": ("svc-1", "root_rsa", {}, False),
    "no name at all": (None, "root", {}, False),
}


@pytest.fixture(scope="module")
def door_options():
    # The module's own clients are svc-a.
    return {**RULES}


@pytest.mark.parametrize("case", CASES)
def test_rules(door, case):
    cn, root, names, admitted = CASES[case]
    identity = getattr(door.pki, root).issue(cn, **names)
    if admitted:
        with door.counted(client_closed=1):
            with door.client("echo", identity=identity) as client:
                door.round_trip(client)
                client.finish()
                client.expect_end("close_notify")
        return
    with door.counted(denied=1):
        with door.client("hand", identity=identity) as client:
            client.expect_end("access_denied")
        line = door.line_of(client.name)
    assert (line["event"], line["level"], line["reason"]) == ("refused", "warning", "denied")
    assert (line["cn"], line["serial"]) == (cn or "", identity.serial)
    assert line["detail"] == (
        "a deny rule matches" if case.startswith("deny") else "no allow rule matches"
    )
    assert door.hand.idle(), "the upstream was reached by one who is denied"


def test_denied_stock_client(door):
    """What a person sees."""
    with pytest.raises(ssl.SSLError, match="(?i)access.denied"):
        with door.tls(identity=door.pki.root.issue("other")) as sock:
            sock.recv(1)


def test_denied_client_that_sends_at_once(door):
    """The alert arrives although there is unread data: no reset swallows it."""
    with door.counted(denied=1):
        with door.raw(identity=door.pki.root.issue("other")) as client:
            client.send_hello()
            client.read_server_flight()
            client.raw(client.flight_records() + client.data_records(b"x" * 300000))
            client.expect_end("access_denied")
