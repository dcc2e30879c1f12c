# SPDX-License-Identifier: Apache-2.0
"""A stock broker that is told who its clients are, by a front door: ACLs, quotas and its own log, with
clients that know nothing of it."""
import contextlib
import pathlib
import re
import struct
import time
import types

import kafka_rig
import pytest

import certs
from ports import claim_ports

TOPIC = "orders"
FRANZ = pathlib.Path(__file__).resolve().parent / "franz"


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """A broker with ACLs behind a front door that tells it who comes: svc-test may do everything
    with TOPIC, and groups that are called alike; svc-b only read TOPIC, without a group."""
    kafka_rig.need()
    folder = tmp_path_factory.mktemp("identity")
    (port,) = claim_ports(1)
    pki, keys = kafka_rig.Pki(folder / "pki"), folder / "keys"
    broker = kafka_rig.Broker(folder / "broker", port, jwks=keys / "jwks.json")
    root = certs.Authority("Root of short lives")
    with open(pki.roots, "a", encoding="ascii") as roots:
        roots.write(pathlib.Path(root.write(folder, "short-root")).read_text("ascii"))
    door = kafka_rig.Door(folder / "door", port, broker, pki, keys=keys)
    try:
        door.start()
        broker.start()
        broker.tool("TopicCommand", "--create", "--topic", TOPIC)
        for who, what in (("svc-test", ["All", "--topic", TOPIC, "--group", TOPIC,
                                        "--resource-pattern-type", "prefixed"]),
                          ("svc-b", ["Read", "--topic", TOPIC]),
                          # Else it were refused as one who may write nowhere at all.
                          ("svc-b", ["Write", "--topic", "elsewhere"])):
            broker.tool("AclCommand", "--add", "--allow-principal", f"User:CN={who}",
                        "--operation", *what)
        yield types.SimpleNamespace(folder=folder, broker=broker, door=door, pki=pki, keys=keys,
                                    root=root)
        assert door.stop() == 0, door.tail()
        assert "Sanitizer" not in door.text()
        assert "identity_refused" not in door.text()
    finally:
        door.stop()
        broker.stop()


class Kcat:
    """librdkafka."""

    says = "kcat says this"

    def __init__(self, front):
        self.door = front.door

    def send(self, path, who, check=True):
        return self.door.kcat("-P", "-t", TOPIC, "-l", path, "-X", "message.timeout.ms=20000",
                              who=who, check=check)

    def read(self, count, who, group=None, check=True):
        if group:
            # It tries for ever to join a group that it may not.
            if not check:
                return self.door.kcat("-G", group, "-c", count, "-o", "beginning", TOPIC, who=who,
                                      check=False)
            return self.door.kcat("-X", "auto.offset.reset=earliest", "-c", count, "-q", "-G",
                                  group, TOPIC, who=who)
        return self.door.kcat("-C", "-t", TOPIC, "-c", count, "-o", "beginning", "-q", who=who,
                              check=check)


class Java:
    """Kafka's own."""

    says = "77.0"

    def __init__(self, front):
        self.door = front.door

    def send(self, path, who, check=True):
        return self.door.tool("VerifiableProducer", "--topic", TOPIC, "--max-messages", 1,
                              "--value-prefix", 77, who=who, check=check)

    def read(self, count, who, group=None, check=True):
        more = ["--group", group] if group else ["--partition", 0]
        return self.door.tool("consumer.ConsoleConsumer", "--topic", TOPIC, "--from-beginning",
                              "--max-messages", count, "--timeout-ms", int(30000 * kafka_rig.SLOW),
                              *more, who=who, check=check)


class Franz:
    """franz-go."""

    says = "franz says this"

    def __init__(self, front):
        self.door, self.program = front.door, front.folder / "franz"
        if not self.program.exists():
            kafka_rig.run(["env", "GOTOOLCHAIN=local", "CGO_ENABLED=0", "go", "build", "-o",
                           self.program, "."], seconds=600, cwd=FRANZ)

    def _run(self, who, *args, **more):
        crt, key, _ = getattr(self.door.pki, who)
        return kafka_rig.run([self.program, "-bootstrap", self.door.address, "-roots",
                              self.door.pki.roots, "-cert", crt, "-key", key, "-topic", TOPIC,
                              *args], **more)

    def send(self, path, who, check=True):
        with open(path, "rb") as lines:
            return self._run(who, stdin=lines, check=check)

    def read(self, count, who, group=None, check=True):
        more = ["-group", group] if group else []
        return self._run(who, "-consume", count, *more, check=check)


def denied(done, what):
    """The broker's word reached the client."""
    text = done.stdout + done.stderr
    return re.search(what + r".{0,40}(authorization|authorized)|not authorized to access " + what,
                     text, re.IGNORECASE)


@pytest.mark.parametrize("kind", [Kcat, Java, Franz])
def test_acls(front, kind, tmp_path):
    """By topic and by group, one allowed, one denied."""
    client, group, lines = kind(front), f"{TOPIC}-{kind.__name__}", tmp_path / "lines"
    lines.write_text(kind.says + "\n")
    client.send(lines, "client")
    sent = _end_offset(front)
    assert kind.says in client.read(sent, "client", group=group).stdout.splitlines()
    assert kind.says in client.read(sent, "second").stdout.splitlines()
    done = client.send(lines, "second", check=False)
    assert denied(done, "topic"), done
    assert _end_offset(front) == sent
    done = client.read(sent, "second", group=group, check=False)
    assert denied(done, "group") and kind.says not in done.stdout, done


def test_decisions_in_the_log_of_the_authorizer(front):
    """After what the others did: under their names, and nothing of clients as ANONYMOUS."""
    decisions = set(re.findall(
        r"Principal = (User:\S+) is (Allowed|Denied) operation = (\S+) from host = 127.0.0.1 "
        r"on resource = (\S+) ", front.broker.text()))
    topic, group = f"Topic:LITERAL:{TOPIC}", f"Group:LITERAL:{TOPIC}-Java"
    assert {("User:CN=svc-test", "Allowed", "WRITE", topic),
            ("User:CN=svc-test", "Allowed", "READ", topic),
            ("User:CN=svc-test", "Allowed", "READ", group),
            ("User:CN=svc-b", "Allowed", "READ", topic),
            ("User:CN=svc-b", "Denied", "WRITE", topic),
            ("User:CN=svc-b", "Denied", "DESCRIBE", group)} <= decisions
    assert not {who for who, _, operation, where in decisions
                if operation in ("READ", "WRITE") and where == topic} - {
                    "User:CN=svc-test", "User:CN=svc-b"}


def _end_offset(front):
    done = front.door.kcat("-Q", "-t", f"{TOPIC}:0:-1")
    return int(done.stdout.rsplit(None, 1)[-1])


def _throttled(front, who):
    """Milliseconds by which the broker has made this one wait, at most."""
    done = front.door.tool("ProducerPerformance", "--topic", TOPIC, "--num-records", 500,
                           "--record-size", 1000, "--throughput", -1, "--print-metrics", who=who)
    assert "500 records sent" in done.stdout
    found = re.search(r"produce-throttle-time-max:\S*\s*:\s*(\S+)", done.stdout)
    return float(found[1])


def test_quota_by_user(front):
    """A quota for one of them is in force for that one."""
    front.broker.tool("AclCommand", "--add", "--allow-principal", "User:CN=svc-b", "--operation",
                      "Write", "--topic", TOPIC)
    front.broker.tool("ConfigCommand", "--alter", "--add-config", "producer_byte_rate=30000",
                      "--entity-type", "users", "--entity-name", "CN=svc-b")
    assert _throttled(front, "client") == 0
    assert _throttled(front, "second") > 0


@contextlib.contextmanager
def _producing(front, count):
    """A Java producer in the middle of its work; at the end all is acknowledged, once."""
    before = _end_offset(front)
    with front.door.start_tool("VerifiableProducer", "--topic", TOPIC, "--max-messages", count,
                               "--throughput", 300) as producer:
        kafka_rig.wait_until("some records", lambda: _end_offset(front) > before + 100, 60)
        yield producer
        assert producer.finish().count("producer_send_success") == count
    assert _end_offset(front) == before + count


def test_keys_are_renewed_under_traffic(front):
    """The broker reads the new key before anybody signs with it; nobody is refused."""
    def kids():
        return re.findall(r'"kid":"([^"]+)"', (front.keys / "jwks.json").read_text())
    before = kids()
    with _producing(front, 1500):
        (front.keys / "rotate").touch()

        def renewed():
            front.door.kcat("-L")  # a connection before, between and after
            return len(kids()) == 1 and kids() != before
        kafka_rig.wait_until("the old key to go", renewed, 60)
        front.door.kcat("-L")


def test_broker_restart(front):
    with _producing(front, 1500):
        assert front.broker.stop() == 143, front.broker.tail()
        front.broker.start()


def _api_versions(sock):
    """True if the broker answers; False if it has ended the connection."""
    request = struct.pack(">hhih", 18, 0, 7, -1)
    sock.sendall(struct.pack(">i", len(request)) + request)
    answer = b""
    while len(answer) < 8:
        more = sock.recv(8 - len(answer))
        if not more:
            return False
        answer += more
    length, number = struct.unpack(">ii", answer)
    assert number == 7
    while length > 4:
        length -= len(sock.recv(length - 4))
    return True


def test_broker_ends_it_with_the_certificate(front):
    """The broker too knows how long the certificate is good for."""
    end = certs.now() + 12 * kafka_rig.SLOW * (certs.DAY / 86400)
    identity = front.root.issue("svc-short", not_after=end)
    crt, key = identity.write(front.folder, "short")
    front.pki.short = pathlib.Path(crt), pathlib.Path(key), None
    with front.door.connect("short") as sock:
        assert _api_versions(sock)
        time.sleep(max(0, (end - certs.now()).total_seconds()) + 1.5)
        assert not _api_versions(sock)


def test_plaintext_listener(front, tmp_path):
    """One that serves everybody as ANONYMOUS, a super user here: the client gets an end, and nothing
    of what it said is done."""
    (port,) = claim_ports(1)
    wrong = types.SimpleNamespace(port=front.broker.internal)
    door = kafka_rig.Door(front.folder / "wrong", port, wrong, front.pki, keys=front.keys)
    (tmp_path / "line").write_text("evil\n")
    try:
        door.start()
        _, metadata = kafka_rig.first_line(
            door.kcat_args("-P", "-t", "evil", "-l", tmp_path / "line"), "isconnect")
        assert metadata == ""
        kafka_rig.wait_until("the reason in the log",
                             lambda: "reason=identity_unsupported" in door.text(), 20)
        assert "listener is PLAINTEXT" in door.text()
    finally:
        door.stop()
    assert "evil" not in front.broker.tool("TopicCommand", "--list").stdout


def test_none_is_told(front):
    """A real broker is known as one."""
    (port,) = claim_ports(1)
    door = kafka_rig.Door(front.folder / "none", port,
                          types.SimpleNamespace(port=front.broker.internal), front.pki,
                          more="kafka: { identity: none }")
    try:
        door.start()
        kafka_rig.wait_until("the warning", lambda: " identity_none " in door.text(), 20)
    finally:
        door.stop()
