# SPDX-License-Identifier: Apache-2.0
"""A throw-away CA with a server and a client certificate (P-256), for one run.

Made by `sallyport dev` when there is such a binary, else by the openssl command line, so that the
peers can be measured before and without the product.
"""

import os
import subprocess
from dataclasses import dataclass

SERVER_NAME = "bench-server"
CLIENT_NAME = "bench-client"


@dataclass(frozen=True)
class Certs:
    ca: str
    server_cert: str
    server_key: str
    client_cert: str
    client_key: str
    server_both: str  # certificate and key in one file, as HAProxy wants them


def _run(*argv, **kw):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **kw)


def _by_sallyport(binary, where):
    _run(binary, "dev", "ca", "--dir", where, "--cn", "bench CA", "--key", "ec-p256")
    _run(binary, "dev", "cert", "--dir", where, "--cn", SERVER_NAME, "--name", "server",
         "--san", f"dns:{SERVER_NAME},ip:127.0.0.1", "--usage", "server", "--key", "ec-p256")
    _run(binary, "dev", "cert", "--dir", where, "--cn", CLIENT_NAME, "--name", "client",
         "--usage", "client", "--key", "ec-p256")


def _by_openssl(where):
    def key(name):
        path = os.path.join(where, name + ".key")
        _run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-out", path)
        os.chmod(path, 0o600)
        return path

    ca_key = key("ca")
    ca_cert = os.path.join(where, "ca.crt")
    _run("openssl", "req", "-x509", "-new", "-key", ca_key, "-subj", "/CN=bench CA", "-days", "2",
         "-addext", "basicConstraints=critical,CA:TRUE",
         "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", ca_cert)
    for name, cn, usage in (("server", SERVER_NAME, "serverAuth"),
                            ("client", CLIENT_NAME, "clientAuth")):
        csr = os.path.join(where, name + ".csr")
        ext = os.path.join(where, name + ".ext")
        with open(ext, "w", encoding="ascii") as f:
            f.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                    f"extendedKeyUsage={usage}\nsubjectAltName=DNS:{cn},IP:127.0.0.1\n")
        _run("openssl", "req", "-new", "-key", key(name), "-subj", f"/CN={cn}", "-out", csr)
        _run("openssl", "x509", "-req", "-in", csr, "-CA", ca_cert, "-CAkey", ca_key,
             "-CAcreateserial", "-days", "2", "-extfile", ext,
             "-out", os.path.join(where, name + ".crt"))


def make(where, sallyport=None):
    """Makes the certificates in the directory @where; @sallyport: path of the binary or None."""
    os.makedirs(where, exist_ok=True)
    if sallyport and os.access(sallyport, os.X_OK):
        _by_sallyport(sallyport, where)
    else:
        _by_openssl(where)
    path = {name: os.path.join(where, name) for name in
            ("ca.crt", "server.crt", "server.key", "client.crt", "client.key")}
    both = os.path.join(where, "server-both.pem")
    with open(os.open(both, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
              encoding="ascii") as out:
        for part in ("server.crt", "server.key"):
            with open(path[part], encoding="ascii") as f:
                out.write(f.read())
    return Certs(path["ca.crt"], path["server.crt"], path["server.key"], path["client.crt"],
                 path["client.key"], both)


def issue_client(where, sallyport, cn):
    """(certificate, key) of one more client of the CA that `sallyport dev` made in @where."""
    _run(sallyport, "dev", "cert", "--dir", where, "--cn", cn, "--name", cn, "--usage", "client", "--key", "ec-p256")
    return os.path.join(where, cn + ".crt"), os.path.join(where, cn + ".key")
