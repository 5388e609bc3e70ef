"""A start on a disk that has no room for the journal: what was acked is there and can be read, spans are refused with a hint, and as soon as there
is room they are taken, without a restart. The disk is a file system of its own, so that what is full is the real thing."""

import base64
import os
import resource
import subprocess

import grpc
import pytest
from grpc_client import Services
from harness import Collector, assert_balanced, run_command, until
from otlp import from_json, request_of, span_of, spans_of
from power import check_files
from test_overload import EXPORT
from test_sampling import decided, policies

SEGMENT = 64 << 20  # what a start wants
NO_FLOOR = {"store.free_min": "0"}  # else that would be the reason
PATIENT = {"sampling.root_grace": "1h", "sampling.decision_wait": "1h"}
REFUSING = "refusing spans: the journal cannot be written"


class Disk:
    def __init__(self, folder):
        self.folder, self.data, self.filler = folder, folder / "data", folder / "filler"

    def free(self):
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self, left):
        """Somebody else takes everything but so many bytes."""
        with self.filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free() - left)
        assert self.free() == left < SEGMENT


@pytest.fixture
def disk(tmp_path, request):
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={getattr(request, 'param', '160m')}", "none", folder], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no file system of its own: {done.stderr.strip()}")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)


def send(collector, n=5, **more):
    """The trace's id; it is acked."""
    request = request_of(n, **more)
    answer = collector.send(request.SerializeToString())
    assert answer.status == 200, answer
    return next(spans_of(request)).trace_id.hex()


def health(collector):
    answer = collector.request("health", "GET", "/status")
    return answer.status, answer.json()["status"], answer.json()["reason"]


def assert_refused(collector):
    """By every kind of door, with a hint."""
    body = request_of(5).SerializeToString()
    zipkin = {"Content-Type": "application/json"}
    for answer in collector.send(body), collector.request("zipkin", "POST", "/api/v2/spans", b'[{"traceId":"1","id":"1"}]', zipkin):
        assert answer.status == 503 and 1 <= int(answer.headers["retry-after"]) <= 3, (answer, answer.headers)
    with grpc.insecure_channel(collector.doors["otlp_grpc"]) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(EXPORT)(body, timeout=20)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "grpc-status-details-bin" in dict(caught.value.trailing_metadata())


def assert_recovers(collector):
    """By itself; the body that was refused is taken."""
    until(lambda: health(collector)[0] == 200, what="the end of refusing")
    trace = send(collector)
    assert collector.trace(trace).status == 200
    until(lambda: "spans are taken again" in collector.log_text(), what="the end of refusing, in the log")
    return trace


def assert_goes_on(collector, disk, old):
    """With room again it takes a new trace, and stores it beside the old one."""
    disk.filler.unlink()
    new = assert_recovers(collector)
    ledger = collector.settle()
    assert_balanced(ledger)
    assert ledger["accepted"] == ledger["stored"] == 10
    collector.stop()
    assert not check_files(disk.data)
    assert sorted(traces_of(disk.data)) == sorted([old] * 5 + [new] * 5)


def traces_of(data):
    done = run_command("store", "dump", data)
    assert done.returncode == 0, done.stderr
    return [span_of(from_json(line)).trace_id.hex() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("left", [0, 1 << 20, SEGMENT - (64 << 10)])
def test_a_start_on_a_full_disk(make, disk, left):
    first = make(NO_FLOOR, name=disk.data)
    old = send(first)
    first.settle()
    first.stop()
    disk.fill(left)
    collector = first.again().start()  # every door is open
    assert health(collector) == (503, "refusing", REFUSING)
    for door in ("otlp_grpc", "jaeger_grpc"):
        with grpc.insecure_channel(collector.doors[door]) as channel:
            assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10) == b"\x08\x02"  # NOT_SERVING
    assert collector.get("/health", "zipkin").status == 503
    until(lambda: "spans are refused: the journal cannot be written" in collector.log_text(), what="that spans are refused, in the log")
    before = collector.ledger()
    assert before["accepted"] == before["stored"] == 5
    assert_refused(collector)
    assert collector.trace(old).status == 200 and [trace["traceID"] for trace in collector.search(service="shop")] == [old]
    with Services(collector.doors["query_grpc"]) as services:
        assert services.names()
    assert collector.ledger() == before
    assert_goes_on(collector, disk, old)


def rolled(collector):
    """A trace of a new partition; none: it has not rolled yet."""
    newest = send(collector)
    collector.settle()
    return newest if collector.status()["store"]["partitions"] > 1 else None


@pytest.mark.parametrize("disk", ["512m"], indirect=True)  # else the log's next segment would need the old one's room
def test_a_start_that_needs_a_new_partition(make, disk):
    """The newest one is damaged: the rest is served, also from the log, and the next one made when there is room."""
    first = make(NO_FLOOR | {"store.partition_age": "1s"}, name=disk.data)
    old = send(first)
    newest = until(lambda: rolled(first), what="a new partition")
    first.stop()
    with sorted((disk.data / "store").glob("0*.mdb"))[-1].open("r+b") as file:
        file.write(b"\xff" * 8192)
    disk.fill(0)
    collector = first.again().start()
    assert "no room for a new partition" in collector.log_text()
    assert health(collector)[0] == 503
    assert collector.trace(old).status == collector.trace(newest).status == 200
    assert_refused(collector)
    disk.filler.unlink()
    new = assert_recovers(collector)
    assert_balanced(collector.settle())
    collector.kill()
    collector = first.again().start()
    assert all(collector.trace(trace).status == 200 for trace in (old, newest, new))


def undecided(make, disk, left=0):
    """A collector that starts on a full disk with an acked trace that no run has decided on so far; and the trace."""
    first = make(NO_FLOOR | PATIENT, name=disk.data)
    trace = send(first)
    first.kill()
    disk.fill(left)
    return first.again(**{key: "50ms" for key in PATIENT}).start(), trace


def test_what_is_decided_on_a_full_disk_is_not_lost(make, disk):
    """The decision waits, the trace is there meanwhile, and both are stored when there is room."""
    collector, trace = undecided(make, disk)
    until(lambda: collector.metric("meshglass_decisions_total") == 1, what="the decision")
    assert health(collector)[0] == 503 and collector.trace(trace).status == 200
    assert_refused(collector)
    assert collector.ledger()["pending"] == 5
    assert_balanced(collector.ledger())
    assert_goes_on(collector, disk, trace)


@pytest.mark.parametrize("is_killed", [False, True], ids=["stop", "kill"])
def test_an_end_on_a_full_disk_loses_nothing(make, disk, is_killed):
    """What could not be decided durably is pending again after the next start, full or not."""
    collector, trace = undecided(make, disk)
    for _ in range(2):
        until(lambda: collector.metric("meshglass_decisions_total") == 1, what="the decision")
        collector.kill() if is_killed else collector.stop()
        collector = collector.again().start()
        assert health(collector)[0] == 503 and collector.trace(trace).status == 200
    disk.filler.unlink()
    assert_recovers(collector)
    ledger = collector.settle()
    assert_balanced(ledger)
    assert ledger["accepted"] == ledger["stored"] == 10
    collector.stop()
    assert not check_files(disk.data)


def keeping(name):
    """Rules that keep everything, and say in whose name."""
    return policies({"name": name, "type": "always_sample"})


def why(collector, trace):
    answer = decided(collector, bytes.fromhex(trace))
    return answer["decision"], answer["policy"], answer["rules"]


@pytest.mark.parametrize("left, must_wait", [(0, True), (1 << 20, False)])
def test_changed_rules_wait_for_room(make, disk, left, must_wait):
    """They are in force from the start on, and stored before what they decided."""
    first = make(NO_FLOOR | keeping("old"), name=disk.data)
    old = send(first)
    first.settle()
    first.stop()
    disk.fill(left)
    collector = first.again(**keeping("new")).start()
    assert health(collector) == (503, "refusing", REFUSING)
    assert_refused(collector)
    assert collector.trace(old).status == 200 and why(collector, old) == ("kept", "old", 1)
    disk.filler.unlink()
    new = assert_recovers(collector)
    collector.settle()
    collector.kill()
    assert ("the sampling rules are not stored yet" in collector.log_text()) == must_wait
    collector = collector.again().start()  # the same rules: no generation of their own
    assert why(collector, old) == ("kept", "old", 1) and why(collector, new) == ("kept", "new", 2)
    assert_balanced(collector.ledger())
    collector.stop()
    assert not check_files(disk.data)


def test_rules_that_were_never_stored_have_decided_nothing(make, disk):
    """What they said of a trace on a full disk is said while they are in force, and forgotten by a crash with them."""
    first = make(NO_FLOOR | PATIENT | keeping("old"), name=disk.data)
    trace = send(first)
    first.kill()
    disk.fill(0)
    hasty = {key: "50ms" for key in PATIENT}
    for name in "one", "two":
        collector = first.again(**hasty, **keeping(name)).start()
        until(lambda: collector.metric("meshglass_decisions_total") == 1, what="the decision")
        assert why(collector, trace) == ("kept", name, 2)
        collector.kill()
    disk.filler.unlink()
    collector = first.again(**hasty, **keeping("three")).start()
    collector.settle()
    assert why(collector, trace) == ("kept", "three", 2)
    assert_balanced(collector.ledger())
    collector.stop()
    assert not check_files(disk.data)


@pytest.mark.parametrize("disk", ["512m"], indirect=True)
@pytest.mark.parametrize("floor, left", [("0", 1 << 20), ("8MiB", 1 << 20), ("8MiB", 32 << 20)])
def test_retention_makes_room_for_the_journal(make, disk, floor, left):
    """The oldest partition goes for the next segment, whatever the floor is."""
    rows = {"store.disk_max": "64GiB"}  # one partition for all of it, and room enough that nothing is dropped before
    large = make(rows | NO_FLOOR, name=disk.data)
    for _ in range(28):  # 85 MiB that nothing makes smaller
        oldest = send(large, 1, attributes={f"pad{i}": base64.b64encode(os.urandom(768 << 10)).decode() for i in range(4)})
    large.settle()
    large.stop()
    first = large.again(**{"store.partition_age": "1s"}).start()
    until(lambda: rolled(first), what="a new partition")
    first.stop()
    last = first.again(**{"store.partition_age": "1h"}).start()  # it stays open, and what is open is never dropped
    newest = send(last)
    last.settle()
    last.stop()
    for spare in (disk.data / "journal").glob("*.spare"):
        spare.unlink()
    disk.fill(left)
    collector = last.again(**{"store.free_min": floor}).start()
    until(lambda: health(collector)[0] == 200, what="room")
    assert collector.trace(send(collector)).status == 200
    assert disk.filler.exists() and collector.trace(oldest).status == 404 and collector.trace(newest).status == 200
    assert_balanced(collector.settle())
    collector.stop()
    assert not check_files(disk.data)


def test_the_largest_size_of_a_file_is_a_full_disk(make):
    """A limit of the system's, which it tells by a signal that would end the process."""
    collector = make(NO_FLOOR)
    old = send(collector)
    resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    until(lambda: collector.send(request_of(5).SerializeToString()).status == 503, what="a refusal")
    until(lambda: health(collector) == (503, "refusing", REFUSING), what="health to say so")
    assert_refused(collector)
    assert collector.trace(old).status == 200
    resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    new = assert_recovers(collector)
    ledger = collector.settle()
    assert_balanced(ledger)
    collector.stop()
    assert not check_files(collector.data_dir)
    assert {old, new} <= set(traces_of(collector.data_dir))


def test_another_reason_still_fails_the_start(tmp_path):
    """Waiting would not mend it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/journal").write_text("in the way")
    collector = Collector(tmp_path / "data").start(wait=False)
    assert collector.wait_exit(20) == 1 and "data/journal" in collector.log_text()
