"""The rows of Kafka in and out, each with two values against one real broker. What the program promises about Kafka: test_kafka.py."""

import json

import pytest
from broker import JARS, Broker
from harness import SLOW, until
from kafka import KafkaConsumer, KafkaProducer
from rows import row
from test_config import send
from test_exporters import sent


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    if not list(JARS.glob("kafka-clients-*.jar")):
        pytest.skip(f"no broker: Apache Kafka is not in {JARS} (MGTEST_KAFKA)")
    with Broker(tmp_path_factory.mktemp("kafka")) as it:
        yield it


@row("exporters.kafka.{brokers,topic}", "kafka.{brokers,topics,group,properties}")
def test_topics_groups_and_properties(make, broker):
    """Members of a group share a topic's four partitions; a new group begins at the earliest message, unless a property says otherwise."""
    there = {"exporters.kafka.brokers": broker.address}
    usual, other, off = make(there, name="usual"), make(there | {"exporters.kafka.topic": "elsewhere"}, name="other"), make(name="off")
    traces = [send(collector) for collector in (usual, other, off)]
    until(lambda: sent(usual, "kafka") == sent(other, "kafka") == 5, what="what is sent")
    rows = {"one": {}, "two": {}, "elsewhere": {"topics": "elsewhere", "group": "others"},
            "late": {"group": "late", "properties": "auto.offset.reset=latest"}}
    takers = {name: make({f"kafka.{key}": value for key, value in more.items()} | {"kafka.brokers": broker.address}, name=name)
              for name, more in rows.items()}

    def shares():
        return {name: collector.metric("meshglass_kafka_partitions") for name, collector in takers.items()}
    until(lambda: shares() == {"one": 2, "two": 2, "elsewhere": 4, "late": 4}, what="the shares")

    def who_has(trace):
        return {name for name, collector in takers.items() if collector.trace(trace).status == 200}
    until(lambda: all(map(who_has, traces[:2])), what="what is taken")

    def late_spans():
        send(usual)
        return takers["late"].metric("meshglass_kafka_spans_total")
    until(late_spans, what="a new trace")
    assert who_has(traces[0]) <= {"one", "two"} and who_has(traces[1]) == {"elsewhere"} and not who_has(traces[2])
    assert sent(off, "kafka") == 0 and off.ledger()["accepted"] == 5


def codec_of(broker, topic):
    """Compression of the first batch in the broker's log of a topic: the low bits of its attributes; None: there is no batch yet."""
    logs = [path.read_bytes()[:23] for path in broker.folder.glob(f"data/{topic}-*/*.log")]
    return next((int.from_bytes(head[21:], "big") & 7 for head in logs if len(head) == 23), None)


@row("exporters.kafka.compression")
def test_compression(make, broker):
    codecs = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
    for name in codecs:
        rows = {"brokers": broker.address, "topic": f"as-{name}", "compression": name}
        send(make({f"exporters.kafka.{key}": value for key, value in rows.items()}, name=name), 50)
    until(lambda: {name: codec_of(broker, f"as-{name}") for name in codecs} == codecs, what="the codecs")


@row("kafka.{encoding,dead_letter_topic,dead_letter_file}")
def test_encodings_and_dead_letters(make, broker, tmp_path):
    good = json.dumps([{"traceId": "0102030405060708", "id": f"{i:016x}", "name": "x"} for i in (1, 2)]).encode()
    producer = KafkaProducer(bootstrap_servers=broker.address)
    for value in (good, b"no spans at all"):
        producer.send("raw", value)
    producer.close()
    rows = {"topic": {"encoding": "zipkin_json", "dead_letter_topic": "dead"}, "file": {"dead_letter_file": tmp_path / "dead"},
            "nowhere": {"encoding": "otlp_json"}}
    takers = {where: make({"kafka.brokers": broker.address, "kafka.topics": "raw", "kafka.group": where} |
                          {f"kafka.{key}": value for key, value in more.items()}, name=where) for where, more in rows.items()}
    for where, dead in (("topic", 1), ("file", 2), ("nowhere", 2)):
        until(lambda to=where, n=dead: takers[to].metric("meshglass_kafka_dead_letters_total", to=to) == n, what="the dead letters")
        assert takers[where].metric("meshglass_kafka_dead_letters_total") == dead
    until(lambda: takers["topic"].metric("meshglass_kafka_spans_total") == 2, what="the spans")
    assert takers["file"].ledger()["accepted"] == takers["nowhere"].ledger()["accepted"] == 0
    assert len((tmp_path / "dead").read_text().splitlines()) == 2
    consumer = KafkaConsumer("dead", bootstrap_servers=broker.address, auto_offset_reset="earliest", consumer_timeout_ms=20_000 * SLOW)
    assert next(consumer).value == b"no spans at all"
    consumer.close()
