# SPDX-License-Identifier: Apache-2.0
"""PROXY protocol version 2 as its specification has it, both ways; nothing of the product's."""
import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ALPN, AUTHORITY, CRC32C, NOOP, SSL = 0x01, 0x02, 0x03, 0x04, 0x20
SSL_FIELDS = {0x21: "version", 0x22: "cn", 0x23: "cipher", 0x24: "sig_alg", 0x25: "key_alg",
              0x28: "der"}


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def encode(client=None, server=None, *, command=1, family=None, tlvs=b"", checksum=False):
    """`client`, `server`: (host, port)."""
    body = b""
    if client:
        hosts = [ipaddress.ip_address(address[0]) for address in (client, server)]
        body = b"".join(host.packed for host in hosts) + struct.pack(">HH", client[1], server[1])
        family = family or (0x11 if hosts[0].version == 4 else 0x21)
    body += tlvs + (tlv(CRC32C, bytes(4)) if checksum else b"")
    header = SIGNATURE + struct.pack(">BBH", 0x20 | command, family or 0, len(body)) + body
    if checksum:
        header = header[:-4] + struct.pack(">I", crc32c(header))
    return header


def _fields(data):
    while data:
        kind, size = struct.unpack_from(">BH", data)
        assert len(data) >= 3 + size, "a field longer than what holds it"
        yield kind, data[3 : 3 + size]
        data = data[3 + size :]


def read(recv):
    """The header at the head of a stream, as a dictionary, and not a byte more. `recv`: as a
    socket's."""
    def exactly(n):
        data = b""
        while len(data) < n:
            more = recv(n - len(data))
            assert more, f"the stream ends in the header, after {data!r}"
            data += more
        return data
    start = exactly(16)
    assert start[:12] == SIGNATURE and start[12] == 0x21, start
    family, size = struct.unpack(">BH", start[13:])
    body = exactly(size)
    host = {0x11: 4, 0x21: 16, 0x00: 0}[family]
    found = {"family": family, "client": None}
    if host:
        ports = struct.unpack_from(">HH", body, 2 * host)
        found["client"], found["server"] = (
            (str(ipaddress.ip_address(body[i * host : (i + 1) * host])), ports[i]) for i in (0, 1)
        )
    for kind, value in _fields(body[2 * host + (4 if host else 0) :]):
        assert kind not in found, f"field {kind:#x} is there twice"
        found[kind] = value
    crc = found.pop(CRC32C)
    at = (start + body).rindex(crc)
    without = (start + body)[:at] + bytes(4) + (start + body)[at + 4 :]
    assert struct.unpack(">I", crc)[0] == crc32c(without)
    if SSL in found:
        flags, verify = struct.unpack_from(">BI", found[SSL])
        found["ssl"] = {"flags": flags, "verify": verify,
                        **{SSL_FIELDS[kind]: value for kind, value in _fields(found[SSL][5:])}}
    return found
