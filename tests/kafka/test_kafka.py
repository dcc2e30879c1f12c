# SPDX-License-Identifier: Apache-2.0
"""Real Kafka clients, librdkafka and Java, against a real broker through the front door."""
import contextlib
import json
import pathlib
import threading

import kafka_rig
import pytest


def test_metadata_names_only_the_front_door(door):
    done = door.kcat("-L", "-J")
    brokers = [broker["name"] for broker in json.loads(done.stdout)["brokers"]]
    assert brokers == [door.address]


def test_librdkafka_records_come_back_byte_by_byte(door, topic, tmp_path):
    want = kafka_rig.make_lines(tmp_path / "sent", 20_000, seed=topic)
    door.create_topic(topic)
    door.kcat("-P", "-t", topic, "-l", tmp_path / "sent", "-X", "enable.idempotence=true")
    got = _consume_with_kcat(door, topic, tmp_path)
    assert kafka_rig.first_difference(got, want) is None


def test_java_records_come_back(door, topic):
    count = 20_000
    door.create_topic(topic)
    done = door.tool("VerifiableProducer", "--topic", topic, "--max-messages", count)
    assert _acknowledged(done.stdout) == set(range(count))
    assert _consume_numbers(door, topic, count) == list(range(count))


def test_java_bulk(door, topic):
    count = 20_000
    door.tool("TopicCommand", "--create", "--topic", topic, "--partitions", 3)
    done = door.tool("ProducerPerformance", "--topic", topic, "--num-records", count,
                     "--record-size", 1000, "--throughput", -1)
    assert f"{count} records sent" in done.stdout
    done = door.tool("ConsumerPerformance", "--topic", topic, "--num-records", count,
                     "--hide-header")
    assert int(done.stdout.split(",")[4]) == count  # start, end, MB, MB/s, records
    assert _end_offsets(door, topic) == count


def test_java_large_messages(door, topic, tmp_path):
    """One record of 900 kB is many TLS records, and one response holds several of them."""
    count, length = 20, 900_000
    lines = [f"{number} ".ljust(length, chr(ord("a") + number)) + "\n" for number in range(count)]
    want = "".join(lines)
    (tmp_path / "sent").write_text(want)
    door.create_topic(topic)
    with open(tmp_path / "sent", "rb") as stdin:
        door.tool("ConsoleProducer", "--topic", topic, stdin=stdin)
    done = door.tool("consumer.ConsoleConsumer", "--topic", topic, "--from-beginning",
                     "--max-messages", count)
    assert kafka_rig.first_difference(done.stdout, want) is None
    got = _consume_with_kcat(door, topic, tmp_path)
    assert kafka_rig.first_difference(got, want.encode()) is None


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_java_consumer_group(door, topic, protocol, tmp_path):
    """Both group protocols, with commits: the second member of the group goes on where the first
    one stopped."""
    door.create_topic(topic)
    (tmp_path / "sent").write_text("".join(f"{number}\n" for number in range(200)))
    door.kcat("-P", "-t", topic, "-l", tmp_path / "sent", "-X", "enable.idempotence=true")
    seen = []
    for _ in range(2):
        done = door.tool("consumer.ConsoleConsumer", "--topic", topic, "--group", topic,
                         "--max-messages", 100, "--command-property", f"group.protocol={protocol}",
                         "--command-property", "auto.offset.reset=earliest")
        seen += map(int, done.stdout.split())
    assert seen == list(range(200))


def test_clients_in_parallel(door, topic, tmp_path):
    """Eight readers and two writers at once; each reader gets what it would get alone."""
    want = kafka_rig.make_lines(tmp_path / "sent", 5_000, seed=topic)
    door.create_topic(topic)
    door.kcat("-P", "-t", topic, "-l", tmp_path / "sent", "-X", "enable.idempotence=true")
    results, errors = {}, []

    def attempt(work, *args):
        try:
            work(*args)
        except (kafka_rig.RigError, OSError) as err:
            errors.append(err)

    def read(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        results[number] = _consume_with_kcat(door, topic, folder)

    def write(number):
        door.kcat("-P", "-t", f"{topic}-noise-{number}", "-l", tmp_path / "sent")

    threads = [threading.Thread(target=attempt, args=(work, number))
               for work, count in ((read, 8), (write, 2)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for number in range(8):
        assert kafka_rig.first_difference(results[number], want) is None


REFUSED = [pytest.param(None, id="no certificate"),
           pytest.param("foreign", id="certificate of another CA"),
           pytest.param("unwanted", id="name not allowed")]


@pytest.mark.parametrize("who", REFUSED)
def test_java_client_is_refused(door, who):
    """The Java client says that it is about authentication, rather than to reconnect for ever."""
    done = door.tool("TopicCommand", "--list", who=who, check=False)
    assert done.returncode != 0
    assert "SslAuthenticationException" in done.stdout + done.stderr


@pytest.mark.parametrize("who", REFUSED)
def test_librdkafka_client_is_refused(door, who):
    _, metadata = kafka_rig.first_line(door.kcat_args("-L", "-m", 100, who=who), "alert")
    assert metadata == ""
    assert door.kcat("-L", "-J").returncode == 0  # everybody else is served


def test_plain_client_is_refused(door):
    """A Kafka client that speaks in clear to the front door's port gets an end at once."""
    _, metadata = kafka_rig.first_line(["kcat", "-b", door.address, "-L", "-m", "100"], "isconnect")
    assert metadata == ""


def test_broker_restart(door, site, topic):
    """The broker goes away and comes back in the middle of a producer's work. An idle client sees a
    clean end (close_notify), not a truncation; a new one, while there is no broker, too. The
    producer goes on, and each record is there once, in order."""
    count = 3_000
    door.create_topic(topic)
    with door.connect() as idle, _producer(door, topic, count) as producer:
        try:
            assert site.broker.stop() == 143, site.broker.tail()  # a JVM's exit code after SIGTERM
            assert idle.recv(1) == b""
            with door.connect() as early:
                assert early.recv(1) == b""
            assert producer.running(), "the producer was done before the broker went away"
        finally:
            site.broker.start()
        assert _acknowledged(producer.finish()) == set(range(count))
    assert _consume_numbers(door, topic, count) == list(range(count))


def test_door_restart(door, topic):
    """The front door is stopped and started again in the middle of a producer's work: each record
    is there once, in order."""
    count = 3_000
    door.create_topic(topic)
    with _producer(door, topic, count) as producer:
        try:
            code = door.stop()
            assert code == 0, f"exit code {code}:\n{door.tail()}"
            assert producer.running(), "the producer was done before the front door went away"
        finally:
            door.start()
        assert _acknowledged(producer.finish()) == set(range(count))
    assert _consume_numbers(door, topic, count) == list(range(count))


@contextlib.contextmanager
def _producer(door, topic, count):
    """A Java producer in the middle of its work: 300 records a second, some of them written."""
    args = "VerifiableProducer", "--topic", topic, "--max-messages", count, "--throughput", 300
    with door.start_tool(*args) as producer:
        kafka_rig.wait_until("some records to be written",
                             lambda: _end_offsets(door, topic) > 100, 60)
        yield producer


def _consume_numbers(door, topic, count):
    done = door.tool("consumer.ConsoleConsumer", "--topic", topic, "--from-beginning",
                     "--max-messages", count)
    assert _end_offsets(door, topic) == count
    return [int(word) for word in done.stdout.split()]


def _consume_with_kcat(door, topic, folder):
    path = pathlib.Path(folder) / "received"
    with open(path, "wb") as out:
        door.kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q", stdout=out)
    return path.read_bytes()


def _acknowledged(text):
    """The numbers that VerifiableProducer says were acknowledged: one JSON object a line."""
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return {int(event["value"]) for event in events if event["name"] == "producer_send_success"}


def _end_offsets(door, topic):
    """How many records the topic's partitions hold, asked through the front door."""
    meta = json.loads(door.kcat("-L", "-J", "-t", topic).stdout)
    total = 0
    for partition in meta["topics"][0]["partitions"]:
        done = door.kcat("-Q", "-t", f"{topic}:{partition['partition']}:-1")
        total += int(done.stdout.rsplit(None, 1)[-1])
    return total
