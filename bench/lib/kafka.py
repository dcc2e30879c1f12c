# SPDX-License-Identifier: Apache-2.0
"""A real Kafka broker and Kafka's own performance tools: what broker and proxy together spend on a GB.

One broker with a listener for each way to it: plain, its own TLS (JSSE), and a plain one on loopback behind each proxy,
which advertises that proxy's address, so that clients which ask for the brokers stay with it. Records of 1 KiB, one
partition, from and to the page cache.
"""

import contextlib
import dataclasses
import os
import re
import subprocess
import time

import machine
import measure
import subjects
from works import Metric, Work

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
TOOLS = os.path.join(ROOT, "deploy", "local", "kafka")
PROXIES = ("sallyport", "sallyport-aead", "sallyport-ktls", "nginx", "nginx-ktls", "haproxy", "haproxy-ktls", "stunnel")
RECORD = 1024
# As Kafka's own scripts start a broker.
BROKER_OPTIONS = "-XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35"
TOOL_SECONDS = 300
START_TRIES = 4
# To say how long it takes: a tool's start and end, which are Java's, and what it then does, on an ordinary machine.
TOOL_START, PRODUCED_A_SECOND, CONSUMED_A_SECOND = 2.0, 100_000, 300_000
# More of what the broker used than this for being there: what it used for the load cannot be told.
IDLE_SHARE_MAX = 0.8


def beyond_idle(used_ns, idle_ns, seconds):
    """Of what the broker used in so many seconds what it would not have used anyhow (idle_ns a second); None if that is too little
    beside it to be told, as on a machine that is busy with other things."""
    idle = idle_ns * seconds
    return used_ns - idle if idle <= used_ns * IDLE_SHARE_MAX else None


class Way:
    """One way to the broker. proxy: a Subject or None."""

    costs = True
    single = False

    def __init__(self, name, listener_port, tls, proxy=None):
        self.name = name
        self.listener_port = listener_port
        self.tls = tls
        self.proxy = proxy
        self.kernel = proxy.kernel if proxy else None

    @property
    def address(self):
        return self.proxy.listen() if self.proxy else f"127.0.0.1:{self.listener_port}"

    @property
    def listener(self):
        return self.name.upper().replace("-", "")

    def proxy_ns(self):
        return self.proxy.cpu_ns() if self.proxy else 0


def properties(ways, certs, both):
    """The broker's, besides those of deploy/local/kafka/broker."""
    listeners = [f"{way.listener}://127.0.0.1:{way.listener_port}" for way in ways]
    advertised = [f"{way.listener}://{way.address}" for way in ways]
    protocols = [f"{way.listener}:{'SSL' if way.tls and not way.proxy else 'PLAINTEXT'}" for way in ways]
    return f"""listeners=INTERNAL://127.0.0.1:@INTERNAL@,CONTROLLER://127.0.0.1:@CONTROLLER@,{','.join(listeners)}
advertised.listeners=INTERNAL://127.0.0.1:@INTERNAL@,{','.join(advertised)}
listener.security.protocol.map=INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,{','.join(protocols)}
ssl.keystore.type=PEM
ssl.keystore.location={both}
ssl.truststore.type=PEM
ssl.truststore.location={certs.ca}
ssl.client.auth=required
ssl.enabled.protocols=TLSv1.3
ssl.cipher.suites=TLS_AES_128_GCM_SHA256
log.segment.bytes=268435456
log.segment.delete.delay.ms=0
"""


class Broker:
    """Runs from enter to exit."""

    def __init__(self, session, ways):
        self.session = session
        self.ways = ways
        self.where = os.path.join(session.env.work, "kafka")
        self.port, self.internal, self.controller = (measure.free_port() for _ in range(3))
        self.process = None
        self.idle_ns = 0  # a second, when nobody asks for anything

    def __enter__(self):
        os.makedirs(self.where)
        os.chmod(self.where, 0o700)
        certs = self.session.env.certs
        server = self.pem("server.pem", certs.server_key, certs.server_cert)
        self.pem("client.pem", certs.client_key, certs.client_cert)
        text = properties(self.ways, certs, server)
        text = text.replace("@INTERNAL@", str(self.internal)).replace("@CONTROLLER@", str(self.controller))
        self.write("more.properties", text)
        self.client_settings(certs)
        self.start()
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def path(self, name):
        return os.path.join(self.where, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def pem(self, name, *parts):
        """Java wants the key and its chain in one file."""
        return self.write(name, "".join(machine.read(part) + "\n" for part in parts))

    def client_settings(self, certs):
        self.write("plain.properties", "")
        self.write("tls.properties", "security.protocol=SSL\nssl.truststore.type=PEM\nssl.keystore.type=PEM\n"
                   f"ssl.truststore.location={certs.ca}\nssl.keystore.location={self.path('client.pem')}\n"
                   "ssl.enabled.protocols=TLSv1.3\nssl.cipher.suites=TLS_AES_128_GCM_SHA256\n")

    def start(self):
        with open(self.path("log"), "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                [os.path.join(TOOLS, "broker"), "--dir", self.path("data"), "--port", str(self.port),
                 "--internal", str(self.internal), "--controller", str(self.controller), "--advertise", "127.0.0.1:1",
                 "--heap", "1g", "--properties", self.path("more.properties")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=dict(os.environ, KAFKA_BROKER_OPTS=BROKER_OPTIONS))
        try:
            self.await_start()
        except BaseException:
            self.__exit__()
            raise

    def await_start(self):
        for _ in range(START_TRIES):  # the tool waits a minute for it
            try:
                self.topic("--create", "consume", "--if-not-exists")
                return
            except measure.LoadFailed as said:
                why = said
            if self.process.poll() is not None:
                break
        raise subjects.Unavailable(f"the broker did not start: {why}; {machine.read(self.path('log'))[-500:]}")

    def topic(self, action, name, *more):
        self.tool("TopicCommand", f"127.0.0.1:{self.internal}", action, "--topic", name, *more)

    def tool(self, name, address, *arguments):
        """Its output."""
        env = dict(os.environ, KAFKA_TOOL_HEAP="512m", KAFKA_TOOL_OPTS="-XX:TieredStopAtLevel=4")
        try:
            done = subprocess.run([os.path.join(TOOLS, "tool"), name, "--bootstrap-server", address, *map(str, arguments)],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=env,
                                  timeout=TOOL_SECONDS)
        except subprocess.TimeoutExpired:
            raise measure.LoadFailed(f"{name} did not end in {TOOL_SECONDS} s") from None
        if done.returncode:
            raise measure.LoadFailed(f"{name}: {(done.stdout + done.stderr)[-500:]}")
        return done.stdout

    def settled_ns(self):
        """The broker's CPU time, once it has done what it had to."""
        before = measure.cpu_ns(self.process.pid)
        for _ in range(100):
            time.sleep(0.1)
            now = measure.cpu_ns(self.process.pid)
            if now - before < 8_000_000:
                return now
            before = now
        return before

    def measure_idle(self, windows=6, seconds=1):
        """The quietest of a few moments: compiling and cleaning up are not idleness."""
        used = []
        for _ in range(windows):
            before = self.settled_ns()
            time.sleep(seconds)
            used.append((measure.cpu_ns(self.process.pid) - before) / seconds)
        self.idle_ns = min(used)


class Kafka(Work):
    name = "kafka"
    title = "A real Kafka broker"
    about = ("Kafka's own ProducerPerformance (acks=1, batches of 64 KiB) and ConsumerPerformance, records of 1 KiB, one "
             "partition, in and out of the page cache. CPU of broker and proxy together; what the broker uses when nobody "
             "asks it for anything is taken off, and a sample that hardly exceeds it does not count.")
    base = "plaintext"
    alone = True
    metrics = (Metric("cpu", "CPU of broker and proxy a GB", "s/GB", 1, 2, of_cpu=True),
               Metric("broker", "of it the broker", "s/GB", 1, 2),
               Metric("proxy", "of it the proxy", "s/GB", 1, 2),
               Metric("rate", "throughput", "MB/s", 1e-6, 0))

    def __init__(self, params, rounds):
        super().__init__(params, rounds)
        self.broker = None
        self.topics = []
        self.untold = 0  # samples that hardly exceeded the broker's idleness

    def points(self):
        return [("consume", {"point": "consume"}), ("produce", {"point": "produce"})]

    def seconds(self, options):
        if options["point"] == "consume":
            return TOOL_START + self.params["consumed"] / CONSUMED_A_SECOND
        return 2 * TOOL_START + self.params["records"] / PRODUCED_A_SECOND

    def subjects_of(self, names):
        return 2 + sum(name in PROXIES for name in names)

    def stage_seconds(self, count):
        """The broker's start, what is to be consumed, passes that warm up."""
        a_pass = sum(self.seconds(options) for _, options in self.points())
        return 10 + (1 + self.params["warm_up"] * count) * a_pass

    def notes(self):
        version = re.search(r"<kafka\.version>(.*)</", machine.read(os.path.join(TOOLS, "pom.xml")))
        said = [f"- Apache Kafka {version[1] if version else '?'}, broker and clients on {machine.java_version()}, "
                f"broker options {BROKER_OPTIONS}."]
        if self.untold:
            said.append(f"- {self.untold} samples do not count: the broker hardly used more than the {self.broker.idle_ns / 1e6:.0f} ms a "
                        "second that it uses anyhow. This machine is busy with other things, or slow.")
        return said

    @contextlib.contextmanager
    def stage(self, session, names):
        """Broker and proxies, warm; yields the ways to it."""
        fetched = subprocess.run([os.path.join(TOOLS, "fetch")], capture_output=True, text=True, check=False)
        if fetched.returncode:
            raise subjects.Unavailable(f"no Kafka: {fetched.stderr[-300:]}")
        ways = [Way("plaintext", measure.free_port(), False), Way("kafka-ssl", measure.free_port(), True)]
        with contextlib.ExitStack() as stack:
            for name in names:
                if name in PROXIES:
                    ways.append(self.behind(session, name, stack))
            self.broker = stack.enter_context(Broker(session, ways))
            self.configurations = self.describe(session, ways)
            self.produce(ways[0], "consume", self.params["consumed"])
            self.warm(ways)
            self.broker.measure_idle()
            yield ways

    def describe(self, session, ways):
        """What the results keep of the settings: the broker's, the clients', the proxies'."""
        texts = {"broker": machine.read(self.broker.path(os.path.join("data", "broker.properties"))),
                 "TLS clients": machine.read(self.broker.path("tls.properties"))}
        texts.update((way.name, way.proxy.describe()["configuration"]) for way in ways if way.proxy)
        return {name: text.replace(session.env.work, "WORK") for name, text in texts.items()}

    def warm(self, ways):
        """Java compiles what it has run often: the first passes cost several times as much."""
        for number in range(self.params["warm_up"]):
            measure.note(f"kafka: warming up, {number + 1} of {self.params['warm_up']}")
            for way in ways:
                topic = self.new_topic()
                self.produce(way, topic, self.params["records"])
                self.consume(way, self.params["consumed"])
                self.broker.topic("--delete", topic)

    @staticmethod
    def behind(session, name, stack):
        port = measure.free_port()
        env = dataclasses.replace(session.env, upstream=f"127.0.0.1:{port}", proxy_cpus=None,
                                  work=os.path.join(session.env.work, "kafka-proxies"))
        return Way(name, port, True, stack.enter_context(subjects.make(name, env)))

    def settings(self, way):
        return self.broker.path("tls.properties" if way.tls else "plain.properties")

    def new_topic(self):
        self.topics.append(f"produce-{len(self.topics)}")
        return self.topics[-1]

    def produce(self, way, topic, records):
        """Bytes a second, by the tool's own account."""
        said = self.broker.tool("ProducerPerformance", way.address, "--topic", topic, "--num-records", records,
                                "--record-size", RECORD, "--throughput", -1, "--command-config", self.settings(way),
                                "--command-property", "acks=1", "batch.size=65536", "linger.ms=5")
        found = re.findall(rf"^{records} records sent.*\(([\d.]+) MB/sec\)", said, re.M)
        if not found:
            raise measure.LoadFailed(f"{way.name}: ProducerPerformance said: {said[-300:]}")
        return float(found[-1]) * 2**20

    def consume(self, way, records):
        said = self.broker.tool("ConsumerPerformance", way.address, "--topic", "consume", "--num-records", records,
                                "--command-config", self.settings(way), "--hide-header", "--timeout", 60000)
        cells = said.strip().splitlines()[-1].split(", ") if said.strip() else []
        if len(cells) < 5 or int(cells[4]) < records:
            raise measure.LoadFailed(f"{way.name}: ConsumerPerformance said: {said[-300:]}")
        return float(cells[3]) * 2**20

    def sample(self, session, subject, options, number):
        consumes = options["point"] == "consume"
        records = self.params["consumed" if consumes else "records"]
        topic = None if consumes else self.new_topic()
        broker, proxy = self.broker.settled_ns(), subject.proxy_ns()
        began = time.monotonic()
        rate = self.consume(subject, records) if consumes else self.produce(subject, topic, records)
        broker, proxy = self.broker.settled_ns() - broker, subject.proxy_ns() - proxy
        broker = beyond_idle(broker, self.broker.idle_ns, time.monotonic() - began)
        if not consumes:
            self.broker.topic("--delete", topic)
        moved = records * RECORD
        told = broker is not None
        self.untold += not told
        return {"cpu": (broker + proxy) / moved if told else None, "broker": broker / moved if told else None,
                "proxy": proxy / moved if subject.proxy else None, "rate": rate}
