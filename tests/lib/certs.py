# SPDX-License-Identifier: Apache-2.0
"""Certificates of every kind that a peer may show, good and bad. Keys are made once a process and
shared: nobody tests that they differ, except where a test asks for a fresh one."""
import datetime
import functools
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
USAGES = {"client": [ExtendedKeyUsageOID.CLIENT_AUTH], "server": [ExtendedKeyUsageOID.SERVER_AUTH],
          "both": [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
          "mail": [ExtendedKeyUsageOID.EMAIL_PROTECTION]}


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)


def new_key(kind):
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("ec-"):
        return ec.generate_private_key({"ec-p256": ec.SECP256R1, "ec-p384": ec.SECP384R1}[kind]())
    return rsa.generate_private_key(public_exponent=65537, key_size=int(kind.removeprefix("rsa-")))


@functools.lru_cache(maxsize=None)
def shared_key(kind, who):
    del who  # only tells keys of one kind apart
    return new_key(kind)


def name_of(cn, organisation="Sallyport tests"):
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)]
    if cn is not None:
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, cn))
    return x509.Name(parts)


def der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


class Identity:
    """A certificate with its key, and the intermediates that are sent with it."""

    def __init__(self, certificate, key, chain=()):
        self.certificate, self.key, self.chain = certificate, key, list(chain)

    @property
    def serial(self):
        text = f"{self.certificate.serial_number:x}"
        return text.rjust(len(text) + len(text) % 2, "0")

    def chain_der(self):
        return [der(c) for c in [self.certificate, *self.chain]]

    def write(self, folder, name):
        """folder/name.crt and .key; returns the two paths."""
        os.makedirs(folder, exist_ok=True)
        crt, key = os.path.join(folder, name + ".crt"), os.path.join(folder, name + ".key")
        with open(crt, "wb") as f:
            f.write(b"".join(pem(c) for c in [self.certificate, *self.chain]))
        with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
            f.write(
                self.key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        return crt, key


def alternative_names(dns, uris, ips):
    return ([x509.DNSName(d) for d in dns] + [x509.UniformResourceIdentifier(u) for u in uris] +
            [x509.IPAddress(ipaddress.ip_address(i)) for i in ips])


def build(
    subject,
    public_key,
    issuer,
    issuer_key,
    *,
    ca=False,
    path_length=None,
    usage="client",
    names=(),
    not_before=None,
    not_after=None,
    extra=(),
    permitted=(),
    serial=None,
):
    """One certificate; issuer is a name, issuer_key the key that signs."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(not_before or now() - DAY)
        .not_valid_after(not_after or now() + 30 * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=not ca,
                key_cert_sign=ca,
                crl_sign=ca,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if usage and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(USAGES[usage]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if permitted:
        builder = builder.add_extension(
            x509.NameConstraints([x509.DNSName(d) for d in permitted], None), critical=True
        )
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    ed = isinstance(issuer_key, ed25519.Ed25519PrivateKey)
    return builder.sign(issuer_key, None if ed else hashes.SHA256())


class Authority:
    """A CA: a root, or an intermediate of one."""

    def __init__(self, cn, kind="ec-p256", parent=None, *, path_length=None, permitted=(), **dates):
        self.cn, self.parent = cn, parent
        self.key = shared_key(kind, cn)
        signer = parent or self
        self.certificate = build(
            name_of(cn),
            self.key.public_key(),
            name_of(signer.cn),
            signer.key,
            ca=True,
            path_length=path_length,
            permitted=permitted,
            **dates,
        )

    def chain(self):
        """Certificates from here up to, not including, the root."""
        return [self.certificate, *self.parent.chain()] if self.parent else []

    def issue(
        self, cn, kind="ec-p256", *, dns=(), uris=(), ips=(), key=None, chain=None, **options
    ):
        key = key or shared_key(kind, "leaf")
        certificate = build(name_of(cn), key.public_key(), name_of(self.cn), self.key,
                            names=alternative_names(dns, uris, ips), **options)
        return Identity(certificate, key, self.chain() if chain is None else chain)

    def write(self, folder, name):
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, name + ".crt")
        with open(path, "wb") as f:
            f.write(pem(self.certificate))
        return path


def self_signed(cn, **options):
    key = shared_key("ec-p256", "self-signed")
    return Identity(build(name_of(cn), key.public_key(), name_of(cn), key, **options), key)


def long_chain(root, length):
    """A leaf below so many intermediates."""
    authority = root
    for i in range(length):
        authority = Authority(f"intermediate {i} of {length}", parent=authority)
    return authority.issue("svc-deep")


def huge(root, size):
    """A certificate of at least `size` bytes, otherwise good."""
    return root.issue("svc-huge", extra=[(unknown_extension(size), False)])


def unknown_extension(size):
    return x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), os.urandom(size)
    )
