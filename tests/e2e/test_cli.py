"""The commands: exit status 0 fine, 1 the answer is no, 2 wrong usage; errors on stderr as `program: what: why`."""

import json

import pytest
from harness import Collector, assert_balanced, run_command
from otlp import from_json, request_of, spans_of


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A data directory with 30 stored spans and 20 pending ones, after a clean stop."""
    data = tmp_path_factory.mktemp("cli") / "data"
    first = Collector(data).start()
    assert first.send(request_of(30).SerializeToString()).status == 200
    first.settle()
    first.stop()
    second = first.again(**{"sampling.root_grace": "1h", "sampling.decision_wait": "1h"}).start()
    assert second.send(request_of(20).SerializeToString()).status == 200
    second.stop()
    return data


def assert_error(done, status, *words):
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.startswith("meshglass-collector: "), done.stderr
    for word in words:
        assert word in done.stderr, (word, done.stderr)


USAGE = [
    ([], 2, []), (["runn"], 2, ["runn", "run"]), (["run", "--sets", "a=b"], 2, ["--sets", "--set"]), (["run", "--set"], 2, ["--set"]),
    (["run", "--set", "data_dir"], 2, ["data_dir"]), (["run", "operand"], 2, ["operand", "--config"]), (["frobnicate"], 2, ["frobnicate: unknown command; 'meshglass-collector help'"]), (["check"], 2, []), (["store"], 2, []), (["store", "chek", "x"], 2, ["check"]),
    (["ledger", "--cert-file", "x"], 2, ["--key-file"]), (["demo", "--spans-per-second", "1", "--key-file", "x"], 2, ["--cert-file"]),
    (["journal", "dump"], 2, []), (["demo", "--spans-per-second", "0"], 2, ["spans-per-second"]), (["demo", "--spans-per-second", "x"], 2, ["spans-per-second"]),
    (["ledger", "--server", "http://127.0.0.1:1"], 1, []), (["store", "dump", "/nowhere"], 1, ["/nowhere"]), (["journal", "check", "/nowhere"], 1, ["/nowhere"]),
    (["run", "--config", "/nowhere.yaml"], (1, 2), ["/nowhere.yaml"]),
]


@pytest.mark.parametrize("arguments, status, words", USAGE, ids=[" ".join(row[0]) or "nothing" for row in USAGE])
def test_wrong_usage(arguments, status, words):
    done = run_command(*arguments)
    if isinstance(status, tuple):
        assert done.returncode in status
        status = done.returncode
    assert done.returncode == status, (done.stdout, done.stderr)
    for word in words:
        assert word in done.stderr, done.stderr


UNKNOWN = [("listen.otlp_htp", "listen.otlp_http"), ("store.retenton", "store.retention"), ("data_dirr", "data_dir"), ("nothing.like.it", None)]


@pytest.mark.parametrize("key, nearest", UNKNOWN)
def test_unknown_key(tmp_path, key, nearest):
    file = tmp_path / "meshglass.yaml"
    nested = key.split(".")
    file.write_text("log:\n  level: warn\n" + "".join("  " * i + part + ":" + ("\n" if i < len(nested) - 1 else " 1\n") for i, part in enumerate(nested)))
    line = f"{file}:{2 + len(nested)}"
    words = [nearest] if nearest else []
    assert_error(run_command("run", "--set", f"{key}=1"), 2, key, *words)
    assert_error(run_command("config", "--set", f"{key}=1"), 2, key, *words)
    assert_error(run_command("run", "--config", file), 2, nested[0], str(file))
    checked = run_command("check", file)
    assert_error(checked, 1, str(file), nested[0])
    if nearest:
        assert key in checked.stderr and nearest in checked.stderr and line in checked.stderr, checked.stderr
    variable = "MESHGLASS_" + key.upper().replace(".", "__")
    assert_error(run_command("config", env={variable: "1"}), 2, variable)


def test_check(tmp_path):
    file = tmp_path / "meshglass.yaml"
    file.write_text("store:\n  retention: 3d\nlisten:\n  otlp_grpc: off\n")
    assert run_command("check", file).returncode == 0
    for text in ("store:\n  retention: soon\n", "store: [1]\n", "store:\n  retention: 3d\n  retention: 4d\n", "a: [b\n", "store:\n  retention: 1ms\n"):
        file.write_text(text)
        assert_error(run_command("check", file), 1, str(file))
    assert_error(run_command("check", tmp_path / "absent.yaml"), 1, "absent.yaml")
    for section, text in (("kafka", "topics: [a]"), ("exporters.kafka", "topic: a")):  # what librdkafka would not take
        for setting, named in (("acks=0", "'acks'"), ("no.such=1", "no.such"), ("socket.timeout.ms=soon", "socket.timeout.ms")):
            file.write_text(f"{section}:\n  {{ brokers: ['127.0.0.1:9'], {text}, properties: ['client.id=x', '{setting}'] }}\n")
            assert_error(run_command("check", file), 1, f"{section}.properties 2", named)
        file.write_text(f"{section}:\n  {{ brokers: ['127.0.0.1:9'], {text}, properties: ['client.id=x'] }}\n")
        assert run_command("check", file).returncode == 0


def test_config_names_every_origin(tmp_path):
    file = tmp_path / "meshglass.yaml"
    file.write_text("store:\n  retention: 3d\n  block_age: 7s\nlog:\n  level: warn\n")
    done = run_command("config", "--config", file, "--set", "log.level=error", env={"MESHGLASS_STORE__BLOCK_AGE": "9s"})
    assert done.returncode == 0, done.stderr
    lines = {line.split(":")[0]: line for line in done.stdout.splitlines()}
    for key, value, origin in (("store.retention", "3d", f"{file.name}:2"), ("store.block_age", "9s", "MESHGLASS_STORE__BLOCK_AGE"),
                               ("log.level", "error", "--set"), ("store.partition_age", "1h", "default")):
        assert f": {value} " in lines[key] and origin in lines[key], lines[key]
    again = tmp_path / "again.yaml"
    again.write_text(done.stdout)
    assert run_command("check", again).returncode == 0, "what config prints loads again"


def test_version_and_help():
    done = run_command("version")
    assert done.returncode == 0 and done.stdout.strip()
    for arguments in (["--help"], ["help"], ["run", "--help"], ["store", "dump", "--help"]):
        done = run_command(*arguments)
        assert done.returncode == 0 and done.stdout, arguments
    everything = run_command("--help").stdout
    for name in ("run", "check", "config", "version", "demo", "ledger", "journal", "store"):
        assert name in everything


def test_ledger(make):
    collector = make()
    assert collector.send(request_of(12).SerializeToString()).status == 200
    done = run_command("ledger", "--server", collector.url("query_http"))
    assert done.returncode == 0 and "12" in done.stdout, done
    raw = run_command("ledger", "--json", "--server", collector.url("query_http"))
    ledger = json.loads(raw.stdout)
    assert ledger["accepted"] == 12
    assert_balanced(ledger)
    assert set(ledger) >= {"accepted", "stored", "sampled_out", "duplicate", "pending", "refused", "late"}


@pytest.mark.parametrize("arguments", [("store", "check"), ("store", "dump"), ("store", "stats"), ("journal", "check"), ("journal", "dump")], ids=" ".join)
def test_refuses_a_directory_in_use(make, arguments):
    collector = make()
    done = run_command(*arguments, collector.data_dir)
    assert_error(done, 1, str(collector.process.pid))
    assert collector.send(request_of(1).SerializeToString()).status == 200


def test_a_second_run_on_the_same_directory(make):
    collector = make()
    other = Collector(collector.data_dir, collector.sets).start(wait=False)
    assert other.wait_exit(20) == 1
    assert str(collector.process.pid) in other.log_text()
    assert collector.send(request_of(1).SerializeToString()).status == 200


def test_a_taken_port_is_named(make):
    collector = make()
    sets = {"listen.otlp_http": collector.doors["otlp_http"], "data_dir": str(collector.data_dir) + "-2"}
    other = Collector(str(collector.data_dir) + "-2", sets).start(wait=False)
    assert other.wait_exit(20) == 1
    assert collector.doors["otlp_http"] in other.log_text() and "listen.otlp_http" in other.log_text()


def test_store_commands(stopped):
    checked = run_command("store", "check", stopped)
    assert checked.returncode == 0, checked.stderr
    lines = run_command("store", "dump", stopped).stdout.splitlines()
    assert len(lines) == 30
    trace_id = next(spans_of(from_json(lines[0]))).trace_id.hex()
    one = run_command("store", "dump", stopped, "--trace", trace_id)
    assert one.returncode == 0 and sorted(one.stdout.splitlines()) == sorted(lines)
    none = run_command("store", "dump", stopped, "--trace", "0" * 31 + "1")
    assert not none.stdout.strip()
    stats = run_command("store", "stats", stopped)
    assert stats.returncode == 0 and stats.stdout.strip(), stats.stderr


def test_store_check_finds_damage(stopped, tmp_path):
    import shutil
    copy = tmp_path / "copy"
    shutil.copytree(stopped, copy)
    (partition,) = (copy / "store").glob("*.mdb")
    data = bytearray(partition.read_bytes())
    at = data.index(b"MGBLK\0")
    data[at + 60] ^= 0xFF
    partition.write_bytes(data)
    done = run_command("store", "check", copy)
    assert done.returncode == 1, (done.stdout, done.stderr)


def test_journal_commands(stopped):
    assert run_command("journal", "check", stopped).returncode == 0
    dump = run_command("journal", "dump", stopped)
    assert dump.returncode == 0, dump.stderr
    records = [json.loads(line) for line in dump.stdout.splitlines()]
    positions = [record["position"] for record in records]
    assert positions == sorted(set(positions))
    assert any(record["kind"] == "body" for record in records)


def test_demo(make):
    collector = make()
    done = run_command("demo", "--spans-per-second", "500", "--duration", "2s", "--seed", "7", "--server", collector.url("query_http"))
    assert done.returncode == 0, done.stderr
    ledger = collector.settle()
    assert ledger["accepted"] >= 300 and ledger["refused"] == 0
    assert_balanced(ledger)
    services = collector.get("/api/services").json()["data"]
    assert len(services) >= 5
    assert collector.search(tags='{"error":"true"}', limit="5"), "a realistic shop has errors"
    for trace in collector.search(limit="20"):
        ids = {span["spanID"] for span in trace["spans"]}
        for span in trace["spans"]:
            for reference in span["references"]:
                assert reference["refType"] != "CHILD_OF" or reference["spanID"] in ids


