# SPDX-License-Identifier: Apache-2.0
"""Subjects of certificates, good and odd, in DER made by hand: with any string type, any bytes, any order."""

PRINTABLE, UTF8, IA5, T61, BMP, UNIVERSAL, NUMERIC = 0x13, 0x0c, 0x16, 0x14, 0x1e, 0x1c, 0x12
TYPES = {
    "CN": "2.5.4.3", "SN": "2.5.4.4", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8",
    "STREET": "2.5.4.9", "O": "2.5.4.10", "OU": "2.5.4.11", "TITLE": "2.5.4.12", "GIVENNAME": "2.5.4.42",
    "DNQUALIFIER": "2.5.4.46", "UID": "0.9.2342.19200300.100.1.1", "DC": "0.9.2342.19200300.100.1.25",
    "EMAIL": "1.2.840.113549.1.9.1", "UNSTRUCTURED": "1.2.840.113549.1.9.2",
}


def tlv(tag, *parts):
    content = b"".join(parts)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def oid(text):
    first, second, *others = map(int, text.split("."))
    out = b""
    for arc in [first * 40 + second, *others]:
        groups = [arc & 0x7f]
        while arc := arc >> 7:
            groups.append(arc & 0x7f | 0x80)
        out += bytes(reversed(groups))
    return tlv(0x06, out)


def attribute(kind, value, tag=UTF8):
    """One attribute; text is put into bytes as its type wants it."""
    if isinstance(value, str):
        value = value.encode({BMP: "utf-16-be", UNIVERSAL: "utf-32-be", T61: "latin-1"}.get(tag, "utf-8"))
    return tlv(0x30, oid(TYPES.get(kind, kind)), tlv(tag, value))


def rdn(*attributes):
    return tlv(0x31, *attributes)


def name(*rdns):
    return tlv(0x30, *rdns)


def simple(*pairs):
    """A name of one attribute an RDN, in the order given: (kind, value) or (kind, value, tag)."""
    return name(*(rdn(attribute(*pair)) for pair in pairs))


def certificate(subject):
    """Around a subject, a certificate that nobody signed: neither side looks at that."""
    ed25519 = tlv(0x30, oid("1.3.101.112"))
    times = tlv(0x30, tlv(0x17, b"260101000000Z"), tlv(0x17, b"360101000000Z"))
    key = tlv(0x30, ed25519, tlv(0x03, b"\0" + bytes(range(32))))
    body = tlv(0x30, tlv(0xa0, tlv(0x02, b"\2")), tlv(0x02, b"\1"), ed25519, simple(("CN", "Root")), times, subject, key)
    return tlv(0x30, body, ed25519, tlv(0x03, b"\0" + bytes(64)))


# What Kafka makes of it we make of it, or nothing: see test_principal.py for those which we refuse.
SAME = {
    "plain": simple(("C", "DE", PRINTABLE), ("O", "Corp"), ("OU", "Apps"), ("CN", "svc-a")),
    "one": simple(("CN", "svc-a")),
    "printable": simple(("O", "Corp", PRINTABLE), ("CN", "svc-a", PRINTABLE)),
    "order": simple(("CN", "svc-a"), ("OU", "Apps"), ("O", "Corp"), ("C", "DE", PRINTABLE)),
    "two-cn": simple(("CN", "first"), ("O", "Corp"), ("CN", "last")),
    "two-ou": simple(("O", "Corp"), ("OU", "b"), ("OU", "a"), ("CN", "x")),
    "no-cn": simple(("O", "Corp"), ("OU", "Apps")),
    "all-keywords": simple(("C", "DE", PRINTABLE), ("ST", "BE"), ("L", "Berlin"), ("STREET", "Way 1"), ("O", "Corp"), ("OU", "x"),
                           ("DC", "corp", IA5), ("UID", "u1"), ("CN", "all")),
    "dc": simple(("DC", "example", IA5), ("DC", "corp", IA5), ("CN", "svc")),
    "uid": simple(("O", "Corp"), ("UID", "user-1")),
    "email": simple(("O", "Corp"), ("CN", "svc"), ("EMAIL", "a@corp.example", IA5)),
    "email-utf8": simple(("CN", "svc"), ("EMAIL", "ä@corp.example")),
    "serial-number": simple(("CN", "svc"), ("SERIALNUMBER", "12 34", PRINTABLE)),
    "title-and-names": simple(("TITLE", "Dr"), ("SN", "Doe"), ("GIVENNAME", "J"), ("DNQUALIFIER", "q", PRINTABLE), ("CN", "x")),
    "unknown-oid": simple(("CN", "svc"), ("1.3.6.1.4.1.99999.1", "x")),
    "unknown-oid-large": simple(("CN", "svc"), ("1.3.6.1.4.1.4294967296.18446744073709551616", "x")),
    "unknown-oid-2": simple(("CN", "svc"), ("2.999.1", "x")),
    "unstructured": simple(("CN", "svc"), ("UNSTRUCTURED", "host.example", IA5)),
    "multi": name(rdn(attribute("O", "Corp")), rdn(attribute("CN", "svc"), attribute("OU", "Apps"))),
    "multi-unsorted": name(rdn(attribute("OU", "Apps"), attribute("CN", "svc")), rdn(attribute("O", "Corp"))),
    "multi-email": name(rdn(attribute("CN", "svc"), attribute("EMAIL", "a@b", IA5), attribute("UID", "7"))),
    "multi-twice": name(rdn(attribute("CN", "a"), attribute("CN", "b")), rdn(attribute("CN", "c"), attribute("CN", "d"))),
    "utf8": simple(("O", "Größe"), ("CN", "Müller")),
    "cyrillic": simple(("CN", "Иван Петров")),
    "greek": simple(("CN", "ΑΒΓ δεζ")),
    "chinese": simple(("O", "公司"), ("CN", "服务")),
    "emoji": simple(("CN", "svc-😀")),
    "combining": simple(("CN", "e\u0301")),
    "right-to-left": simple(("CN", "\u202eabc")),
    "line-separator": simple(("CN", "a\u2028b"), ("O", "x")),
    "no-break-space": simple(("O", "a\u00a0b"), ("CN", "x")),
    "comma": simple(("O", "Corp, Inc."), ("CN", "Doe, John")),
    "plus": simple(("CN", "a+b")),
    "quotes": simple(("CN", 'a "quoted" name')),
    "backslash": simple(("CN", "a\\b\\"), ("O", "x")),
    "angle": simple(("CN", "<a>;b")),
    "equals": simple(("CN", "a=b,O=c")),
    "looks-like-a-dn": simple(("O", "x"), ("CN", "admin,O=Corp")),
    "hash-first": simple(("CN", "#abc")),
    "hash-within": simple(("CN", "a#b")),
    "blank-first": simple(("O", "x"), ("CN", " a")),
    "blanks-first": simple(("O", "x"), ("CN", "   a b")),
    "blank-last": simple(("O", "x"), ("CN", "a ")),
    "blanks-around": simple(("CN", "x"), ("O", "  a  "), ("CN", "y")),
    "blanks-only": simple(("CN", "x"), ("O", "   "), ("CN", "y")),
    "blank-before-hash": simple(("O", "x"), ("CN", " #")),
    "empty-value": simple(("O", ""), ("CN", "a")),
    "empty-cn": simple(("O", "Corp"), ("CN", "")),
    "apostrophe": simple(("CN", "o'neil")),
    "printable-all": simple(("CN", "abc ABC 019 '()+,-./:=?", PRINTABLE)),
    "printable-with-others": simple(("CN", "a@b*c_d&e", PRINTABLE)),
    "ia5": simple(("CN", "a@b", IA5)),
    "t61": simple(("CN", "plain", T61)),
    "t61-escapes": simple(("CN", "x"), ("O", "a,b ", T61), ("CN", "plain", T61)),
    "universal": simple(("O", "Corp", UNIVERSAL), ("CN", "svc-a")),
    "numeric": simple(("CN", "svc"), ("SERIALNUMBER", "12345", NUMERIC)),
    "numeric-cn": simple(("CN", "12345", NUMERIC)),
    "slash": simple(("CN", "team/svc-a")),
    "slashes": simple(("O", "/"), ("CN", "//a//")),
    "dollar": simple(("CN", "$1 ${a} \\$2")),
    "star": simple(("CN", "*.example.com")),
    "colon": simple(("CN", "User:admin")),
    "kafka-anonymous-within": simple(("O", "x"), ("CN", "ANONYMOUS")),
    "lower-anonymous": simple(("CN", "anonymous")),
    "upper": simple(("O", "CORP"), ("CN", "SVC-A")),
    "long": simple(*[("OU", f"unit-{i}-" + "x" * 50) for i in range(40)], ("CN", "svc")),
    "long-cn": simple(("O", "Corp"), ("CN", "n" * 512)),
    "long-escapes": simple(("O", "," * 2000), ("CN", "svc")),
    "long-hex": simple(("UNSTRUCTURED", "h" * 2000, IA5), ("CN", "svc")),
    "many-rdns": simple(*[("DC", f"d{i}", IA5) for i in range(200)], ("CN", "svc")),
}

# Kafka has a principal for them, which would or could be that of somebody else, or is another by another version of Java.
STRICTER = {
    "bmp": simple(("O", "Corp", BMP), ("CN", "svc-a", BMP)),
    "bmp-blanks": simple(("CN", "x"), ("O", " a,b ", BMP), ("CN", "y")),
    "nul": simple(("O", "a\0b"), ("CN", "svc")),
    "control": simple(("O", "a\nb"), ("CN", "svc")),
    "escape": simple(("O", "\x1b[31m"), ("CN", "svc")),
    "delete": simple(("O", "a\x7f"), ("CN", "svc")),
    "c1": simple(("O", "a\u0085b"), ("CN", "svc")),
    "return-around": simple(("O", "\ra\r"), ("CN", "svc")),
    "bad-utf8": simple(("O", b"a\xff"), ("CN", "svc")),
    "surrogate-utf8": simple(("O", b"\xed\xa0\x80"), ("CN", "svc")),
    "t61-latin": simple(("O", "Größe", T61), ("CN", "svc")),
    "t61-utf8": simple(("O", "Größe".encode(), T61), ("CN", "svc")),
    "ia5-utf8": simple(("O", "Größe".encode(), IA5), ("CN", "svc")),
    "printable-utf8": simple(("O", "Größe".encode(), PRINTABLE), ("CN", "svc")),
    "bmp-that-prints-as-ascii": simple(("O", "慢", BMP), ("CN", "svc")),
    "bmp-beyond-ascii": simple(("O", "Größe", BMP), ("CN", "svc")),
    "bmp-odd": simple(("O", b"\0a\0", BMP), ("CN", "svc")),
    "cn-nul": simple(("CN", "admin\0.x")),
    "cn-control": simple(("CN", "a\nb")),
    "cn-too-long": simple(("CN", "n" * 513)),
    "cn-64k": simple(("CN", "n" * 60000)),
    "dn-too-long": simple(*[("OU", "x" * 500) for _ in range(17)], ("CN", "svc")),
    "empty": name(),
    "empty-rdn": name(rdn(attribute("O", "x")), rdn(), rdn(attribute("CN", "svc"))),
    "empty-rdn-last": name(rdn(attribute("CN", "svc")), rdn()),
    "last-blank-would-be-cut": simple(("O", "x "), ("CN", "svc")),
}
