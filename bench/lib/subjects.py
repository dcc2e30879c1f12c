# SPDX-License-Identifier: Apache-2.0
"""The proxies that are compared: how each is configured and started.

All do the same job: TLS 1.3 with AES-128-GCM and X25519 on one thread, a client certificate is
required and verified, no session tickets and ten minutes for a handshake where that can be
said, a plain upstream on loopback.
A subject that cannot run here says why (Unavailable) and is left out by name.
"""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import machine
import measure

NGINX_STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


class Unavailable(Exception):
    """The subject cannot run on this machine; the text says why."""


class Subject:
    """A proxy to measure. Use as a context manager: it runs from enter to exit."""

    tls = True  # False: the floor, without any TLS
    costs = True  # there is a proxy whose CPU can be read
    single = False  # serves one connection at a time
    kernel = None  # True: it must use kernel TLS; False: it must not; None: either

    def __init__(self, name, env, **options):
        self.name = name
        self.env = env
        self.options = options
        self.process = None
        self.argv = []
        self.wrote = []
        self.port = None
        self.where = os.path.join(env.work, name)

    def command(self):
        """Writes what configuration there is into self.where; returns the argv."""
        raise NotImplementedError

    def version(self):
        return ""

    def write(self, name, text):
        path = os.path.join(self.where, name)
        self.wrote.append(name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def __enter__(self):
        os.makedirs(self.where, exist_ok=True)
        self.wrote = []
        self.port = self.port or measure.free_port()
        self.argv = self.command()
        self.start()
        return self

    def start(self):
        with open(os.path.join(self.where, "log"), "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                preexec_fn=lambda: measure.pin(self.env.proxy_cpus))
        try:
            self._await_listening()
            measure.pin_all(self.pids(), self.env.proxy_cpus)
            measure.read_mapped_files(self.process.pid)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def restart(self):
        """As after a crash: all its connections end at once."""
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._await_closed()
        self.start()

    def alive(self):
        return self.process.poll() is None

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _connect(self):
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port))

    def _await_closed(self):
        """The kernel goes on closing what a killed process had, if that is much; until then its port is taken, and
        even answers."""
        deadline = time.monotonic() + self.env.start_seconds
        while self._connect() != errno.ECONNREFUSED:
            if time.monotonic() > deadline:
                raise Unavailable(f"port {self.port} is still open after {self.name} was killed")
            time.sleep(0.001)

    def _await_listening(self):
        deadline = time.monotonic() + self.env.start_seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if self._connect() == 0:
                return
            time.sleep(0.05)
        raise Unavailable(f"{self.name} did not start: {self.log_end()}")

    def describe(self):
        """Its version and, as it was written, its configuration."""
        configuration = ""
        for name in self.wrote:
            configuration += machine.read(os.path.join(self.where, name)) + "\n"
        return {"version": self.version(),
                "command": " ".join(self.argv).replace(self.env.work, "WORK").replace(self.env.build, "BUILD"),
                "configuration": configuration.replace(self.env.work, "WORK")}

    def log_end(self):
        with open(os.path.join(self.where, "log"), encoding="utf-8", errors="replace") as f:
            return f.read()[-600:].strip() or "no message"

    def pids(self):
        return measure.tree(self.process.pid)

    def cpu_ns(self):
        if not self.alive():
            raise measure.LoadFailed(f"{self.name} has ended: {self.log_end()}")
        return sum(measure.cpu_ns(pid) for pid in self.pids())

    def listen(self):
        return f"127.0.0.1:{self.port}"


def need(program, also=""):
    """Where a program is; @also: a directory that comes first."""
    places = [also, os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    path = shutil.which(program, path=":".join(filter(None, places)))
    if not path:
        raise Unavailable(f"{program} is not installed")
    return path


class Direct(Subject):
    """No proxy at all: what the load and the origin can do, and the limit of what any proxy could."""

    tls = False
    costs = False

    def __enter__(self):
        os.makedirs(self.where, exist_ok=True)
        return self

    def __exit__(self, *exc):
        pass

    def restart(self):
        raise Unavailable("there is nothing to restart")

    def alive(self):
        return True

    def pids(self):
        return []

    def listen(self):
        return self.env.upstream

    def log_end(self):
        return "no message"


class Sallyport(Subject):
    """The product. options: ktls = off | auto | required; program: another one than the build's; workers;
    metrics: where; clients: that section of the configuration."""

    @property
    def program(self):
        return self.options.get("program", self.env.sallyport)

    @property
    def kernel(self):
        return {"off": False, "required": True}.get(self.options["ktls"])

    def version(self):
        return machine.first_line([self.program, "--version"])

    def command(self):
        if not os.access(self.program, os.X_OK):
            raise Unavailable(f"{self.program} is not built")
        if self.kernel and not measure.kernel_has_tls():
            raise Unavailable("this kernel has no kernel TLS")
        certs = self.env.certs
        config = {
            "workers": self.options.get("workers", 1),
            "loop": self.options.get("loop", "auto"),
            "metrics": {"listen": self.options.get("metrics", "off")},
            "admin": {"socket": "off"},
            "listeners": [{
                "name": "bench",
                "role": "front",
                "listen": self.listen(),
                "upstream": self.env.upstream,
                "tls": {
                    "certificate": certs.server_cert,
                    "key": certs.server_key,
                    "roots": [certs.ca],
                    "min_version": "1.3",
                    "ciphers": ["aes-128-gcm"],
                },
                # In a VM that counts instructions an idle guest's clock jumps while it waits for a file.
                "timeouts": {"handshake": "10m"},
                "ktls": self.options["ktls"],
                **({"ktls_padding": "none"} if "ktls_padding" in self.options else {}),
                "splice": self.options.get("splice", "auto"),
            }],
        }
        if "clients" in self.options:
            config["clients"] = self.options["clients"]
        path = self.write("sallyport.yaml", json.dumps(config, indent=1) + "\n")
        return [self.program, "proxy", "-c", path]


class Relay(Subject):
    """The bare relay of bench/src/relay_ktls.c. options: plain, copy, pipe."""

    single = True

    @property
    def tls(self):
        return not self.options.get("plain")

    @property
    def kernel(self):
        return None if self.options.get("plain") else True

    def command(self):
        if self.kernel and not measure.kernel_has_tls():
            raise Unavailable("this kernel has no kernel TLS")
        argv = [self.env.relay, "--listen", self.listen(), "--upstream", self.env.upstream]
        if self.options.get("plain"):
            argv.append("--plain")
        else:
            certs = self.env.certs
            argv += ["--cert", certs.server_cert, "--key", certs.server_key, "--ca", certs.ca]
        if self.options.get("copy"):
            argv.append("--copy")
        if self.options.get("pipe"):
            argv += ["--pipe", str(self.options["pipe"])]
        return argv


class Nginx(Subject):
    """nginx stream. options: ktls."""

    @property
    def kernel(self):
        return bool(self.options.get("ktls"))

    def version(self):
        return machine.first_line([need("nginx"), "-v"]).split(": ")[-1]

    def command(self):
        binary = need("nginx")
        if self.kernel and not measure.kernel_has_tls():
            raise Unavailable("this kernel has no kernel TLS")
        module = ""
        if os.path.exists(NGINX_STREAM_MODULE):
            module = f"load_module {NGINX_STREAM_MODULE};"
        ktls = "ssl_conf_command Options KTLS;" if self.kernel else ""
        certs = self.env.certs
        path = self.write("nginx.conf", f"""{module}
daemon off;
master_process off;
worker_processes 1;
pid {self.where}/pid;
error_log {self.where}/error.log warn;
events {{ worker_connections {measure.fd_limit()}; }}
stream {{
    server {{
        listen {self.listen()} ssl backlog=4096;
        ssl_certificate {certs.server_cert};
        ssl_certificate_key {certs.server_key};
        ssl_client_certificate {certs.ca};
        ssl_verify_client on;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        ssl_ecdh_curve X25519;
        ssl_session_tickets off;
        ssl_session_cache off;
        ssl_handshake_timeout 10m;
        {ktls}
        proxy_pass {self.env.upstream};
        proxy_buffer_size 64k;
        proxy_timeout 1h;
        tcp_nodelay on;
    }}
}}
""")
        return [binary, "-c", path, "-e", f"{self.where}/error.log", "-p", self.where]


class Haproxy(Subject):
    """HAProxy in TCP mode. options: ktls (with splice), limits (one by client that nobody reaches): only where
    this build knows them."""

    @property
    def kernel(self):
        return bool(self.options.get("ktls"))

    def version(self):
        return " ".join(machine.first_line([need("haproxy"), "-v"]).split()[::2][:2])

    def command(self):
        binary = need("haproxy")
        if self.kernel and not measure.kernel_has_tls():
            raise Unavailable("this kernel has no kernel TLS")
        experimental = "expose-experimental-directives" if self.kernel else ""
        splice = "option splice-request\n    option splice-response" if self.kernel else ""
        ktls = "ktls on" if self.kernel else ""
        limit, table = "", ""
        if self.options.get("limits"):
            limit = ("filter bwlim-out far limit 3g key ssl_c_s_dn(cn) table clients\n"
                     "    tcp-request content set-bandwidth-limit far")
            table = "backend clients\n    stick-table type string len 64 size 1k expire 1h store bytes_out_rate(1s)"
        connections = measure.connections_max()
        certs = self.env.certs
        path = self.write("haproxy.cfg", f"""global
    {experimental}
    nbthread 1
    maxconn {connections}
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
    ssl-default-bind-curves X25519
defaults
    mode tcp
    {splice}
    timeout connect 10s
    timeout client 1h
    timeout server 1h
frontend bench
    bind {self.listen()} backlog 4096 ssl crt {certs.server_both} ca-file {certs.ca} verify required """
            f"""ssl-min-ver TLSv1.3 no-tls-tickets {ktls}
    {limit}
    default_backend origin
backend origin
    server origin {self.env.upstream}
{table}
""")
        check = subprocess.run([binary, "-c", "-f", path], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, check=False)
        if check.returncode:
            said = check.stdout.decode(errors="replace")
            if self.kernel and ("ktls" in said or "experimental" in said):
                raise Unavailable("this build does not know `ktls`")
            if limit and "bwlim" in said:
                raise Unavailable("this build has no bandwidth limits")
            raise Unavailable(said[-600:].strip())
        return [binary, "-db", "-f", path]


class Stunnel(Subject):
    kernel = False

    def version(self):
        argv = [need("stunnel"), "-version"]
        out = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        for line in out.stdout.decode(errors="replace").splitlines():
            if line.startswith("stunnel "):
                return line.split(" on ")[0]
        return ""

    def command(self):
        certs = self.env.certs
        path = self.write("stunnel.conf", f"""foreground = yes
pid =
syslog = no
debug = 4
[bench]
accept = {self.listen()}
connect = {self.env.upstream}
cert = {certs.server_cert}
key = {certs.server_key}
CAfile = {certs.ca}
verifyChain = yes
requireCert = yes
sslVersion = TLSv1.3
ciphersuites = TLS_AES_128_GCM_SHA256
curves = X25519
options = NO_TICKET
TIMEOUTidle = 86400
TIMEOUTclose = 0
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
""")
        return [need("stunnel"), path]


class Hitch(Subject):
    kernel = False

    def version(self):
        return machine.first_line([need("hitch"), "-V"])

    def command(self):
        binary = need("hitch")
        certs = self.env.certs
        host, port = self.env.upstream.split(":")
        # As root its workers must be somebody else.
        user = 'user = "nobody"\ngroup = "nogroup"' if os.geteuid() == 0 else ""
        path = self.write("hitch.conf", f"""frontend = "[127.0.0.1]:{self.port}"
backend = "[{host}]:{port}"
pem-file = "{certs.server_both}"
workers = 1
backlog = 4096
keepalive = 3600
tls-protos = TLSv1.3
ciphersuites = "TLS_AES_128_GCM_SHA256"
ecdh-curve = "X25519"
client-verify = required
client-verify-ca = "{certs.ca}"
ocsp-dir = ""
daemon = off
quiet = on
{user}
""")
        return [binary, f"--config={path}"]


class Ghostunnel(Subject):
    kernel = False

    @property
    def program(self):
        """Debian has no package of it: prepare.sh builds one into build/peers."""
        return need("ghostunnel", also=os.path.join(self.env.build, "peers"))

    def version(self):
        return machine.first_line([self.program, "--version"])

    def command(self):
        certs = self.env.certs
        # Go chooses suite and group by itself: AES-128-GCM on any CPU that has AES, and X25519 when told so.
        return ["env", "GOMAXPROCS=1", "GODEBUG=tlsmlkem=0", self.program, "server", "--listen", self.listen(),
                "--target", self.env.upstream, "--cert", certs.server_cert, "--key", certs.server_key,
                "--cacert", certs.ca, "--allow-all", "--quiet=conns", "--quiet=conn-errs", "--quiet=handshake-errs"]


# Limits that nobody reaches: what it costs to have any.
FAR_LIMITS = {"limits": [{"cn": "*", "group": "all", "produce": "50GB/s", "consume": "50GB/s"}],
              "groups": [{"name": "all", "produce": "50GB/s", "consume": "50GB/s"}]}

CATALOGUE = {
    "direct": (Direct, {}),
    "plain-splice": (Relay, {"plain": True}),
    "relay-splice": (Relay, {}),
    "relay-splice-1m": (Relay, {"pipe": 1 << 20}),
    "relay-copy": (Relay, {"copy": True}),
    "sallyport": (Sallyport, {"ktls": "auto"}),
    "sallyport-aead": (Sallyport, {"ktls": "off"}),
    "sallyport-ktls": (Sallyport, {"ktls": "required"}),
    "sallyport-aead-epoll": (Sallyport, {"ktls": "off", "loop": "epoll"}),
    "sallyport-ktls-unpadded": (Sallyport, {"ktls": "required", "ktls_padding": "none"}),
    "sallyport-ktls-epoll": (Sallyport, {"ktls": "required", "loop": "epoll"}),
    "sallyport-aead-limits": (Sallyport, {"ktls": "off", "clients": FAR_LIMITS}),
    "sallyport-ktls-limits": (Sallyport, {"ktls": "required", "clients": FAR_LIMITS}),
    "nginx": (Nginx, {}),
    "nginx-ktls": (Nginx, {"ktls": True}),
    "haproxy": (Haproxy, {}),
    "haproxy-ktls": (Haproxy, {"ktls": True}),
    "haproxy-limits": (Haproxy, {"limits": True}),
    "stunnel": (Stunnel, {}),
    "hitch": (Hitch, {}),
    "ghostunnel": (Ghostunnel, {}),
}

# Without what is to be asked for: the relays that only tell what a part costs, our slower loop.
USUAL = ("direct", "plain-splice", "relay-splice", "sallyport", "sallyport-aead", "sallyport-ktls",
         "sallyport-aead-limits", "sallyport-ktls-limits", "nginx", "nginx-ktls", "haproxy", "haproxy-ktls",
         "haproxy-limits", "stunnel", "hitch", "ghostunnel")


def make(name, env):
    cls, options = CATALOGUE[name]
    return cls(name, env, **options)
