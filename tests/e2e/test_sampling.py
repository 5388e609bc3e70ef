"""Tail sampling of the real program: who keeps what, that it says why, and that a crash changes no verdict."""

import gzip
import json
import os
import random
import re
import threading
import time

import pytest
from harness import IS_SANITIZED, assert_balanced, run_command, until
from otlp import ExportTraceServiceRequest, Status, add_span, new_id
from rows import row
from stalled import stalled
from test_overload import distinct

WHY = "/api/meshglass/v1/why/"
ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
TENTH = {"name": "tenth", "type": "probabilistic", "probabilistic": {"sampling_percentage": 10}}
NO_FLOOR = {"sampling.floor.traces_per_second": 0, "sampling.classes": "[]"}
NOTHING = [{"name": "nobody", "type": "string_attribute", "string_attribute": {"key": "nobody.has", "values": ["this"]}}]


def policies(*list_):
    return {"sampling.policies": json.dumps(list_)} | NO_FLOOR


def trace(trace_id, name="GET /cart", error=False, spans=2, service="shop", state="", **attributes):
    request = ExportTraceServiceRequest()
    start = time.time_ns()
    root = new_id(8)
    for i in range(spans):
        span = add_span(request, service, trace_id=trace_id, span_id=root if i == 0 else new_id(8), parent_span_id=b"" if i == 0 else root,
                        name=name if i == 0 else f"step-{i}", kind=2 if i == 0 else 1, start_time_unix_nano=start, end_time_unix_nano=start + 1_000_000,
                        trace_state=state, attributes=attributes)
        if error and i == spans - 1:
            span.status.code = Status.STATUS_CODE_ERROR
    return request


def send(collector, *requests):
    whole = ExportTraceServiceRequest()
    for request in requests:
        whole.resource_spans.extend(request.resource_spans)
    answer = collector.send(whole.SerializeToString())
    assert answer.status == 200, answer


def id_at(share):
    """A trace id whose 56 random bits stand at this share of their range."""
    return os.urandom(9) + int(share * (1 << 56)).to_bytes(7, "big")


def why(collector, trace_id):
    answer = collector.get(WHY + trace_id.hex())
    assert answer.status == 200, answer
    return answer.json()


def decided(collector, trace_id):
    return until(lambda: (answer := why(collector, trace_id))["decision"] not in ("pending", "unknown") and answer, what="a decision")


def has(collector, trace_id):
    return collector.trace(trace_id.hex()).status == 200


# --- verdicts and reasons ----------------------------------------------------------------------------------


@row("sampling.policies")
@pytest.mark.core
def test_policies_keep_and_drop_and_say_why(make):
    collector = make(policies(ERRORS, TENTH))
    error, lucky, unlucky = id_at(0.1), id_at(0.95), id_at(0.5)
    send(collector, trace(error, error=True), trace(lucky), trace(unlucky))
    for trace_id, decision, reason, policy, probability in ((error, "kept", "policy", "errors", 1), (lucky, "kept", "policy", "tenth", 0.1),
                                                            (unlucky, "dropped", "no_policy", None, 0.1)):
        answer = decided(collector, trace_id)
        assert (answer["decision"], answer["reason"]) == (decision, reason), answer
        assert answer["trace_id"] == trace_id.hex() and answer["rules"] == 1
        assert abs(answer["probability"] - probability) < 0.001, answer
        assert policy is None or answer["policy"] == policy
        assert abs(time.time() - parse(answer["time"])) < 60
    ledger = collector.settle()
    assert_balanced(ledger)
    assert (ledger["stored"], ledger["sampled_out"]) == (4, 2)
    assert sum(ledger["sampled_out_by_policy"].values()) == 2
    assert ledger["kept_by_policy"] == {"errors": 2, "tenth": 2}
    assert [has(collector, one) for one in (error, lucky, unlucky)] == [True, True, False]
    votes = {vote["policy"]: vote["vote"] for vote in decided(collector, error)["votes"]}
    assert votes["errors"] == "yes"


def parse(text):
    import datetime
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@pytest.mark.core
def test_tags_and_trace_state_tell_the_probability(make):
    collector = make(policies(ERRORS, TENTH))
    sure, tenth, stricter = id_at(0.2), id_at(0.99), id_at(0.999)
    send(collector, trace(sure, error=True), trace(tenth, state="vendor=1"), trace(stricter, state="ot=th:fd70a"))
    collector.settle()

    def tags(trace_id):
        process = next(iter(collector.trace(trace_id.hex()).json()["data"][0]["processes"].values()))
        return {tag["key"]: tag["value"] for tag in process["tags"]}

    def states(trace_id):
        answer = collector.get(f"/api/v3/traces/{trace_id.hex()}").json()["result"]
        return {span.get("traceState", "") for group in answer["resourceSpans"] for scope in group["scopeSpans"] for span in scope["spans"]}
    assert tags(sure)["meshglass.sampling.reason"] == "policy" and tags(sure)["meshglass.sampling.policy"] == "errors"
    assert tags(sure)["meshglass.sampling.probability"] == 1 and tags(sure)["meshglass.sampling.rules"] == 1
    assert abs(tags(tenth)["meshglass.sampling.probability"] - 0.1) < 1e-4
    assert states(sure) == {""}
    assert states(tenth) == {"ot=th:e666,vendor=1"}
    assert states(stricter) == {"ot=th:fd70a"}


@row("sampling.enabled")
@pytest.mark.core
def test_off_keeps_everything_and_adds_nothing(make):
    collector = make(policies(*NOTHING) | {"sampling.enabled": "false"})
    one = id_at(0.1)
    send(collector, trace(one))
    collector.settle()
    data = collector.trace(one.hex()).json()["data"][0]
    assert not any("meshglass" in tag["key"] for process in data["processes"].values() for tag in process["tags"])
    answer = why(collector, one)
    assert answer["decision"] == "kept" and answer["reason"] == "" and answer["probability"] == 1
    assert collector.ledger()["sampled_out"] == 0


def test_every_state_of_why(make):
    collector = make(policies(*NOTHING) | {"sampling.decision_wait": "1h", "sampling.root_grace": "1h"})
    waiting = id_at(0.5)
    send(collector, trace(waiting))
    assert why(collector, waiting)["decision"] == "pending"
    assert why(collector, new_id(16))["decision"] == "unknown"
    assert collector.get(WHY + "nonsense").status == 400
    for argument, status, text in ((waiting.hex(), 0, "pending"), (new_id(16).hex(), 0, "unknown"), ("nonsense", 1, "")):
        done = run_command("why", argument, "--server", collector.url("query_http"))
        assert done.returncode == status and text in done.stdout, done
    assert "nonsense" in run_command("why", "nonsense", "--server", collector.url("query_http")).stderr


@row("sampling.sample_on_first_match")
@pytest.mark.core
def test_first_match_decides_at_once(make):
    late = {"sampling.decision_wait": "1h", "sampling.root_grace": "1h"}
    for first, expected in (("true", "kept"), ("false", "pending")):
        collector = make(policies(ERRORS, TENTH) | late | {"sampling.sample_on_first_match": first}, name=first)
        one = id_at(0.3)
        send(collector, trace(one, error=True))
        if expected == "kept":
            assert decided(collector, one)["trigger"] == "first_match"
        else:
            assert why(collector, one)["decision"] == "pending"


# --- classes, floor ----------------------------------------------------------------------------------------


@row("sampling.classes")
@pytest.mark.core
def test_health_checks_are_a_class_and_their_errors_are_kept(make):
    collector = make({"sampling.floor.traces_per_second": 0})
    ids = {share: id_at(share) for share in (0.05, 0.5, 0.95)}
    send(collector, *(trace(one, name="GET /healthz") for one in ids.values()))
    broken, ordinary = id_at(0.5), id_at(0.05)
    send(collector, trace(broken, name="GET /healthz", error=True), trace(ordinary))
    verdicts = {share: decided(collector, one) for share, one in ids.items()}
    assert [verdicts[share]["decision"] for share in (0.05, 0.5, 0.95)] == ["dropped", "dropped", "kept"]
    assert all(answer["reason"] == "class" and answer["policy"] == "health" for answer in verdicts.values())
    assert (decided(collector, broken)["decision"], decided(collector, broken)["reason"]) == ("kept", "class_error")
    assert decided(collector, ordinary)["reason"] == "no_rules"
    own = make({"sampling.classes": json.dumps([{"name": "cart", "probability": 0, "operations": ["GET /cart*"]}])}, name="own")
    send(own, trace(ids[0.95], name="GET /healthz"), trace(ids[0.5], name="GET /cart/7"))
    assert decided(own, ids[0.95])["decision"] == "kept"
    assert decided(own, ids[0.5])["policy"] == "cart"


@row("sampling.floor.traces_per_second")
def test_the_floor_keeps_errors_within_its_budget(make):
    none = {"sampling.policies": json.dumps(NOTHING), "sampling.classes": "[]"}
    errors = [id_at(0.3) for _ in range(200)]
    kept = {}
    for budget in (0, 2):
        collector = make(none | {"sampling.floor.traces_per_second": budget}, name=f"floor-{budget}")
        send(collector, *(trace(one, error=True) for one in errors))
        collector.settle()
        answers = [why(collector, one) for one in errors]
        kept[budget] = sum(answer["decision"] == "kept" for answer in answers)
        assert {answer["reason"] for answer in answers if answer["decision"] == "kept"} <= {"floor_error"}
    assert kept[0] == 0 and 0 < kept[2] < 60, kept


@row("sampling.floor.bytes_per_day")
def test_the_floor_has_a_day_s_budget_that_a_restart_does_not_renew(make):
    none = {"sampling.policies": json.dumps(NOTHING), "sampling.classes": "[]", "sampling.floor.traces_per_second": 1000, "sampling.floor.bytes_per_day": "16KiB"}

    def kept_of(collector):
        errors = [id_at(0.3) for _ in range(300)]
        send(collector, *(trace(one, error=True, note=new_id(400).hex()) for one in errors))
        collector.settle()
        return sum(why(collector, one)["decision"] == "kept" for one in errors)

    def today():
        return int(time.time() // 86400)  # a day of the budget is one of UTC
    collector, begun = make(none), today()
    first = kept_of(collector)
    assert 10 < first < 290 or today() != begun, first
    collector.stop()
    assert kept_of(collector.again().start()) < first / 2 or today() != begun


# --- late spans, restarts ----------------------------------------------------------------------------------


@pytest.mark.core
def test_late_spans_follow_the_first_decision_also_after_a_kill(make):
    collector = make(policies(ERRORS, TENTH))
    kept, dropped = id_at(0.2), id_at(0.6)
    send(collector, trace(kept, error=True), trace(dropped))
    assert decided(collector, kept)["decision"] == "kept" and decided(collector, dropped)["decision"] == "dropped"
    collector.settle()
    for crash in (False, True):
        if crash:
            collector.kill()
            collector = collector.again(**{"sampling.policies": json.dumps(NOTHING)}).start()
        late = collector.ledger()["late"]
        send(collector, trace(kept), trace(dropped, error=True))  # alone each would be decided the other way
        ledger = collector.settle()
        assert ledger["late"] == late + 4
        assert_balanced(ledger)
        assert has(collector, kept) and not has(collector, dropped)
        assert {one["decision"] for one in why(collector, dropped)["decisions"]} == {"dropped"}
        assert why(collector, dropped)["decisions"][0]["trigger"] == "late"
    assert len(collector.trace(kept.hex()).json()["data"][0]["spans"]) == 6
    assert ledger["sampled_out"] == 6


@pytest.mark.core
def test_undecided_traces_survive_a_kill_and_nothing_is_decided_twice(make):
    """Half is decided before the kill, half waits; then the rules say the opposite of before."""
    n = 2_000 if IS_SANITIZED else 100_000
    keep_even = {"name": "even", "type": "boolean_attribute", "boolean_attribute": {"key": "even", "value": True}}
    keep_odd = {"name": "odd", "type": "boolean_attribute", "boolean_attribute": {"key": "even", "value": False}}
    collector = make(policies(keep_even) | {"live.ring_bytes": "512MiB", "sampling.decision_wait": "1h"})
    rng = random.Random(7)

    def flood(ids, root):
        for at in range(0, len(ids), 1000):
            whole = ExportTraceServiceRequest()
            group = whole.resource_spans.add().scope_spans.add()
            for i, one in enumerate(ids[at:at + 1000]):
                span = group.spans.add(trace_id=one, span_id=new_id(8), parent_span_id=b"" if root else new_id(8), name="op",
                                       start_time_unix_nano=time.time_ns(), end_time_unix_nano=time.time_ns())
                pair = span.attributes.add()
                pair.key, pair.value.bool_value = "even", (at + i) % 2 == 0
            assert collector.send(gzip.compress(whole.SerializeToString(), 1), encoding="gzip").status == 200
    before, waiting = ([rng.randbytes(16) for _ in range(n)] for _ in range(2))
    flood(before[:n // 10], root=True)   # decided after the grace
    until(lambda: collector.ledger()["sampled_out"] == n // 20, 60, "the first decisions")
    flood(waiting, root=False)           # no root: undecided for an hour
    ledger = collector.ledger()
    assert ledger["pending"] >= n
    collector.kill()
    collector = collector.again(**{"sampling.policies": json.dumps([keep_odd]), "sampling.decision_wait": "200ms"}).start()
    ledger = collector.settle(120)
    assert_balanced(ledger)
    assert ledger["accepted"] == n + n // 10 and ledger["duplicate"] == 0
    assert ledger["sampled_out_by_policy"] and sum(ledger["sampled_out_by_policy"].values()) == ledger["sampled_out"] == n // 20 + n // 2
    assert ledger["kept_by_policy"] == {"even": n // 20, "odd": n // 2}
    for i in rng.sample(range(n // 10), 50):
        answer = why(collector, before[i])
        assert answer["decision"] == ("kept" if i % 2 == 0 else "dropped") and answer["rules"] == 1 and len(answer["decisions"]) == 1, answer
    for i in rng.sample(range(n), 50):
        answer = why(collector, waiting[i])
        assert answer["decision"] == ("dropped" if i % 2 == 0 else "kept") and answer["rules"] == 2 and len(answer["decisions"]) == 1, answer


def test_kills_under_load_never_change_a_verdict(make):
    collector = make(policies(ERRORS, TENTH) | {"store.partition_age": "1m"})
    rng, acked, end = random.Random(11), {}, threading.Event()

    def run():
        while not end.is_set():
            batch = {rng.randbytes(16): rng.random() < 0.2 for _ in range(20)}
            try:
                send(collector, *(trace(one, error=error) for one, error in batch.items()))
            except Exception:  # noqa: BLE001  the kill: what had no answer may be lost
                return
            acked.update(batch)
    told = {}
    for _ in range(3):
        thread = threading.Thread(target=run)
        thread.start()
        until(lambda: len(acked) > len(told) + 200, 60, "load")
        sample = rng.sample(sorted(acked), 40)
        known = {one: answer for one in sample if (answer := why(collector, one))["decision"] in ("kept", "dropped")}
        told.update({one: answer["decision"] for one, answer in known.items()})
        collector.kill()
        end.set()
        thread.join(30)
        end.clear()
        collector = collector.again().start()
    assert_balanced(collector.settle(60))
    for one, decision in told.items():
        answer = why(collector, one)
        assert answer["decision"] in (decision, "kept", "dropped") and len({d["decision"] for d in answer["decisions"]}) == 1, (decision, answer)
    for one, error in acked.items():
        keep = error or int.from_bytes(one[9:], "big") >= 0xe6660000000000
        assert why(collector, one)["decision"] == ("kept" if keep else "dropped")
        assert has(collector, one) == keep


def test_a_reload_makes_a_new_generation(make, tmp_path):
    import signal
    config = tmp_path / "meshglass.yaml"

    def write(*list_):
        config.write_text(json.dumps({"sampling": {"policies": list_, "classes": [], "floor": {"traces_per_second": 0}}}))
    write(ERRORS)
    collector = make(config=config)
    first = id_at(0.5)
    send(collector, trace(first))
    assert decided(collector, first)["decision"] == "dropped"
    write(TENTH)
    collector.process.send_signal(signal.SIGHUP)
    until(lambda: "reloaded" in collector.log_text(), what="the reload")
    second = id_at(0.95)
    send(collector, trace(second))
    answer = decided(collector, second)
    assert (answer["decision"], answer["policy"], answer["rules"]) == ("kept", "tenth", 2)
    assert decided(collector, first)["rules"] == 1
    write({"name": "bad", "type": "no_such_policy"})
    collector.process.send_signal(signal.SIGHUP)
    until(lambda: "no_such_policy" in collector.log_text(), what="the refusal")
    third = id_at(0.95)
    send(collector, trace(third))
    assert decided(collector, third)["rules"] == 2
    collector.stop()
    collector = collector.again().start(wait=False)
    assert collector.wait_exit(20) != 0 and "no_such_policy" in "".join(collector.log)


def test_edges_are_counted_before_anything_is_dropped(make):
    collector = make(policies(*NOTHING))
    for _ in range(20):
        one, root = id_at(0.5), new_id(8)
        request = ExportTraceServiceRequest()
        add_span(request, "web", trace_id=one, span_id=root, name="GET /", kind=3, start_time_unix_nano=time.time_ns(), end_time_unix_nano=time.time_ns())
        add_span(request, "db", trace_id=one, span_id=new_id(8), parent_span_id=root, name="query", kind=2, start_time_unix_nano=time.time_ns(),
                 end_time_unix_nano=time.time_ns())
        send(collector, request)
    until(lambda: collector.ledger()["sampled_out"] == 40, what="the decisions")
    now = int(time.time() * 1000) + 1000

    def edges():
        data = collector.get("/api/dependencies", endTs=now, lookback=3_600_000).json()["data"]
        return [(edge["parent"], edge["child"], edge["callCount"]) for edge in data]
    until(lambda: edges() == [("web", "db", 20)], what="the edges of all traces")


# --- overload ----------------------------------------------------------------------------------------------


@row("sampling.overload")
def test_overload_says_its_step(make):
    """Two rings fill because their stores cannot commit. One collector climbs the ladder, says so in metric, log and head rates, and keeps fewer
    traces, by their ids, but all that is sure; when the store works again it comes down. The other one, switched off, does none of that."""
    carts = {"name": "carts", "probability": 0.999, "operations": ["GET /cart"]}
    sets = NO_FLOOR | {"sampling.classes": json.dumps([carts]), "live.ring_bytes": "16MiB", "ingest.wait": "0"}
    ladder, off = make(sets, name="on"), make(sets | {"sampling.overload": "false"}, name="off")
    for collector in (ladder, off):
        send(collector, trace(id_at(0.9)))  # so that there is a partition
        collector.settle()

    def step(collector):
        return collector.metric("meshglass_overload_step")

    def head_rate(collector):
        return collector.get("/sampling", "sampling_http", service="nobody").json()["probabilisticSampling"]["samplingRate"]

    def is_full(spans):
        """Sends to both; do both refuse? Small requests are refused when a sixteenth of the ring is free."""
        body = distinct(spans, 2000).SerializeToString()
        return [collector.send(body).status for collector in (ladder, off)] == [503, 503]

    def begun():
        """A request of which the last byte is missing: its head was let in, so it can take room that no new one gets."""
        body = distinct(25, 2000).SerializeToString()
        connection = ladder.connect("otlp_http").http
        connection.putrequest("POST", "/v1/traces")
        connection.putheader("Content-Type", "application/x-protobuf")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:-1])
        return connection, body[-1:]
    with stalled(ladder.data_dir), stalled(off.data_dir):
        last = [begun() for _ in range(20)]
        for spans in (100, 10):
            until(lambda: is_full(spans), 30, "full rings")  # noqa: B023
        until(lambda: is_full(10) and step(ladder) == 2, what="steps 1 and 2")  # for a second room is held for the bodies that were let in
        for connection, byte in last:
            connection.send(byte)
            connection.getresponse().read()
            connection.close()
        until(lambda: step(ladder) == 3, what="step 3")
        until(lambda: head_rate(ladder) < 1, what="lower head rates")
        assert head_rate(ladder) in [1 / 2**n for n in range(1, 7)] and head_rate(off) == 1
        assert step(off) == 0 and is_full(10)
    low, high, sure = id_at(0.3), id_at(0.9999), id_at(0.3)
    for one, error in ((low, False), (high, False), (sure, True)):
        body = trace(one, error=error).SerializeToString()
        for collector in (ladder, off):
            until(lambda: collector.send(body).status == 200, what="room again")  # noqa: B023
    assert step(ladder) >= 2  # it is left only after seconds of calm
    verdicts = {name: (answer["decision"], answer["reason"]) for name, one in (("low", low), ("high", high), ("sure", sure))
                for answer in [decided(ladder, one)]}
    assert verdicts == {"low": ("dropped", "overload"), "high": ("kept", "class"), "sure": ("kept", "class_error")}
    assert decided(off, low)["decision"] == "kept"

    until(lambda: step(ladder) == 0, 30, "the way down")
    until(lambda: head_rate(ladder) == 1, what="the old head rates")
    until(lambda: "overload is over" in ladder.log_text(), what="the end of it, in the log")
    said = [re.search(r'event="(overload.*?)" step=(\w+)', line) for line in ladder.log]
    less = "overload: less is kept"
    assert [event.groups() for event in said if event] == [(less, "head"), (less, "tail"), (less, "refuse"), (less, "tail"), (less, "head"),
                                                           ("overload is over", "none")]
    assert [ladder.metric("meshglass_overload_steps_total", step=name) for name in ("head", "tail", "refuse")] == [2, 2, 1]
    assert off.metric("meshglass_overload_steps_total") == 0 and 'event="overload' not in off.log_text()
    for collector in (ladder, off):
        assert_balanced(collector.settle())
