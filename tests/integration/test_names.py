# SPDX-License-Identifier: Apache-2.0
"""Server name (SNI) and application protocol (ALPN), negotiated sanely or refused with the right
alert."""
import ssl

import pytest
import tlswire as wire
from door import SERVER_NAME


@pytest.fixture(scope="module")
def door_options(pki):
    return {"tls": pki.tls(server_name=SERVER_NAME, alpn=["kafka/2", "kafka"])}


def accepted(door, client):
    with client:
        door.round_trip(client)
        client.finish()
        client.expect_end("close_notify")
    return door.line_of(client.name)


@pytest.mark.parametrize("name", [SERVER_NAME, SERVER_NAME.upper(), None])
def test_server_name_is_ours(door, name):
    assert accepted(door, door.client("echo", server_name=name))["reason"] == "client_closed"


@pytest.mark.parametrize(
    "name", ["other.example", SERVER_NAME + ".evil", "x" * 250, "evil\n{}.example"]
)
def test_server_name_of_somebody_else(door, name):
    with door.counted(handshake_failed=1, sni=1):
        with door.raw(server_name=name) as client:
            client.send_hello()
            client.expect_end("unrecognized_name", encrypted=False)
        assert door.line_of(client.name)["reason"] == "sni"


def test_any_name_where_none_is_configured(new_door):
    door = new_door()
    assert (
        accepted(door, door.client("echo", server_name="whatever.example"))["reason"]
        == "client_closed"
    )


@pytest.mark.parametrize(
    "offer, chosen",
    [
        (["kafka"], "kafka"),
        (["kafka", "kafka/2"], "kafka/2"),
        ([], None),
        (["h2", "http/1.1", "kafka"], "kafka"),
    ],
)
def test_protocol_is_ours_to_choose(door, offer, chosen):
    client = door.client("echo", alpn=offer)
    assert client.selected_alpn == chosen
    assert accepted(door, client).get("alpn") == chosen


@pytest.mark.parametrize("offer", [["h2"], ["kafk", "kafka/", "KAFKA"]])
def test_no_common_protocol(door, offer):
    with door.counted(handshake_failed=1, alpn=1):
        with door.raw(alpn=offer) as client:
            client.send_hello()
            client.expect_end("no_application_protocol", encrypted=False)
        assert door.line_of(client.name)["reason"] == "alpn"


def test_malformed_offers(door):
    """An empty list, an empty name, a length that lies: decode errors, each counted once."""
    bad = [wire.extension(16, body) for body in (b"\0\0", b"\0\1\0", b"\0\3\5ab", b"")]
    bad += [wire.extension(0, body) for body in (b"", b"\0\0", b"\0\5\0\0\3ab", b"\0\4\0\0\1\0")]
    for extension in bad:
        with door.counted(handshake_failed=1, protocol=1):
            with door.raw(server_name=None) as client:
                client.send_hello(extra=[extension])
                alert = client.read_end()
                assert (alert.level, alert.encrypted) == (2, False)
                assert alert.name in (
                    "decode_error",
                    "illegal_parameter",
                    "unrecognized_name",
                ), alert
            assert door.line_of(client.name)["reason"] == "protocol"


def test_protocol_offered_where_none_is_configured(new_door):
    """ALPN is not spoken then: the offer is ignored."""
    door = new_door()
    client = door.client("echo", alpn=["h2"])
    assert client.selected_alpn is None
    assert "alpn" not in accepted(door, client)


def test_stock_client(door):
    with door.tls(alpn=("kafka",)) as sock:
        assert sock.selected_alpn_protocol() == "kafka"
        sock.unwrap().close()
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name|no.application.protocol"):
        door.tls(alpn=("h2",))
