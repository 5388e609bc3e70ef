"""SDKs that ask how much to sample: unmodified remote samplers follow a changed rate within their polling interval."""

import contextlib
import json
import os
import queue
import shutil
import subprocess
import threading
import time

import pytest
from harness import BUILD, ROOT, SLOW, run_command, until
from otlp import request_of
from rows import row

HERE = ROOT / "tests/e2e/samplers"
JARS = BUILD.parent / "samplers"
GO = JARS / "go-sampler"
CLIENTS = {"opentelemetry-js": (["node", str(HERE / "follow.cjs"), "opentelemetry"], "sampling_http"),
           "jaeger-client-js": (["node", str(HERE / "follow.cjs"), "jaeger"], "sampling_http"),
           "opentelemetry-java": (["java", "-cp", f"{JARS}/*", str(HERE / "Follow.java")], "sampling_grpc"),
           "opentelemetry-go": ([str(GO)], "sampling_http"),
           "opentelemetry-java-14250": (["java", "-cp", f"{JARS}/*", str(HERE / "Follow.java")], "jaeger_grpc")}


@contextlib.contextmanager
def client(kind, collector, service):
    """Runs the client; yields a function that waits until an operation's share lies between two values."""
    command, door = CLIENTS[kind]
    if kind == "opentelemetry-go" and not GO.exists():
        pytest.skip("no Go, or one too old for the sampler's module")
    if command[0] in ("node", "java") and not shutil.which(command[0]):
        pytest.skip(f"no {command[0]}")
    errors = open(collector.data_dir.parent / f"{kind}.log", "w+")
    process = subprocess.Popen([*command, collector.doors[door], service], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    lines = queue.Queue()
    threading.Thread(target=lambda: [lines.put(json.loads(line)) for line in process.stdout if line.startswith("{")], daemon=True).start()

    def wait_for(operation, low, high, seconds=20):
        begin = time.monotonic()
        while True:
            try:
                said = lines.get(timeout=max(0.01, begin + seconds * SLOW - time.monotonic()))
            except queue.Empty:
                errors.seek(0)
                raise AssertionError(f"{kind}: {operation} never came to {low}..{high}\n{errors.read()[-2000:]}") from None
            if said["operation"] == operation and low <= said["share"] <= high:
                return time.monotonic() - begin
    try:
        yield wait_for
    finally:
        process.kill()
        process.wait()


def strategies(path, *services, default=1):
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"default_strategy": {"type": "probabilistic", "param": default}, "service_strategies": list(services)}))
    os.replace(new, path)


def probabilistic(service, rate, **operations):
    return {"service": service, "type": "probabilistic", "param": rate,
            "operation_strategies": [{"operation": name.replace("_", " /"), "type": "probabilistic", "param": p} for name, p in operations.items()]}


@row("sampling.head.{strategies_file,reload_interval}", "listen.{sampling_http,sampling_grpc}")
@pytest.mark.parametrize("kind", CLIENTS)
def test_a_client_follows_a_changed_rate(make, tmp_path, kind):
    path = tmp_path / "strategies.json"
    strategies(path, probabilistic("shop", 0))
    collector = make({"sampling.head.strategies_file": str(path), "sampling.head.reload_interval": "100ms"})
    with client(kind, collector, "shop") as wait_for:
        wait_for("GET /cart", 0, 0, 60)
        strategies(path, probabilistic("shop", 1))
        wait_for("GET /cart", 1, 1)
        strategies(path, probabilistic("shop", 0.5))
        wait_for("GET /rare", 0.3, 0.7)
        strategies(path, probabilistic("shop", 0, GET_cart=1))
        wait_for("GET /cart", 1, 1)
        wait_for("GET /rare", 0, 0.02)  # jaeger's and Go's clients let a first one through, by the lower bound
        path.write_text("{ broken")
        until(lambda: collector.metric("meshglass_sampling_strategies_reloads_total", result="failed") >= 1, what="the refusal")
        wait_for("GET /cart", 1, 1)


# --- what is told ------------------------------------------------------------------------------------------


def told(collector, service="shop"):
    answer = collector.get("/sampling", "sampling_http", service=service)
    assert answer.status == 200, answer
    return answer.json()


def rates(collector, service="shop"):
    """{operation: probability} and the default."""
    answer = told(collector, service)
    operations = answer.get("operationSampling", {}).get("perOperationStrategies", [])
    return {one["operation"]: one["probabilisticSampling"]["samplingRate"] for one in operations}, answer["probabilisticSampling"]["samplingRate"]


def roots(collector, *names, n=1, service="shop"):
    for name in names:
        whole = request_of(1, service=service, name=name)
        for _ in range(n - 1):
            whole.resource_spans.extend(request_of(1, service=service, name=name).resource_spans)
        assert collector.send(whole.SerializeToString()).status == 200


@row("sampling.head.default_probability")
def test_default_probability(make):
    for p in (1, 0.25):
        assert rates(make({"sampling.head.default_probability": p}, name=str(p)))[1] == p


@row("sampling.head.overrides")
@pytest.mark.core
def test_overrides_come_first(make):
    overrides = [{"service": "shop", "operation": "GET /cart", "probability": 0.5}, {"service": "cellar", "probability": 0.125}]
    collector = make({"sampling.head.overrides": json.dumps(overrides)})
    roots(collector, "GET /cart", "GET /other", "GET /healthz")
    until(lambda: rates(collector)[0].get("GET /cart") == 0.5, what="the override")
    assert rates(collector)[0].get("GET /other", 1) == 1 and rates(collector)[1] == 1
    until(lambda: rates(collector)[0].get("GET /healthz") == 0.1, what="the class")
    assert rates(collector, "cellar")[1] == 0.125
    rows = {(one["service"], one["operation"]): one for one in collector.get("/api/sampling/effective").json()["data"]}
    assert (rows["shop", "GET /cart"]["source"], rows["shop", "GET /healthz"]["source"]) == ("override", "class")
    done = run_command("sampling", "show", "--server", collector.url("query_http"))
    assert done.returncode == 0 and "GET /cart" in done.stdout and "override" in done.stdout, done


ADAPTIVE = {"sampling.head.mode": "adaptive", "sampling.head.calculation_interval": "1s", "sampling.head.initial_sampling_probability": 0.25,
            "sampling.head.min_sampling_probability": 0.01}


@row("sampling.head.{mode,initial_sampling_probability,min_samples_per_second}")
def test_adaptive_begins_with_the_initial_probability(make):
    for p, least in ((0.25, 0.5), (0.5, 2)):
        answer = told(make(ADAPTIVE | {"sampling.head.initial_sampling_probability": p, "sampling.head.min_samples_per_second": least}, name=str(p)))
        assert answer["operationSampling"]["defaultSamplingProbability"] == answer["probabilisticSampling"]["samplingRate"] == p
        assert answer["operationSampling"]["defaultLowerBoundTracesPerSecond"] == least


@row("sampling.head.{target_samples_per_second,calculation_interval,min_sampling_probability}")
def test_adaptive_follows_the_traffic_and_survives_a_kill(make):
    def come_to(collector, low, high):
        def is_there():
            roots(collector, "GET /cart", n=20)
            return low <= rates(collector)[0].get("GET /cart", -1) <= high
        until(is_there, 30, f"a rate of {low} to {high}")
    collector = make(ADAPTIVE | {"sampling.head.target_samples_per_second": 1})  # far more comes: down to the least
    come_to(collector, 0.01, 0.01)
    until(lambda: '"probability":0.01' in (collector.data_dir / "sampling.json").read_text(), what="the rate in its file")  # told before it is written
    collector.kill()
    collector = collector.again().start()
    assert rates(collector)[0]["GET /cart"] == 0.01
    collector.stop()
    collector = collector.again(**{"sampling.head.target_samples_per_second": 1_000_000}).start()  # far less comes: doubled each time
    come_to(collector, 0.5, 1)


@row("sampling.head.operations_max")
def test_operations_beyond_the_limit_are_told_the_default(make):
    for most, known in ((1, 1), (10, 3)):
        collector = make(ADAPTIVE | {"sampling.head.operations_max": most}, name=str(most))
        told(collector)
        roots(collector, "a", "b", "c")
        until(lambda: len(rates(collector)[0]) >= known, what="the operations")
        assert collector.metric("meshglass_sampling_operations") == known
        assert (collector.metric("meshglass_sampling_roots_beyond_total") > 0) == (most == 1)


@pytest.mark.core
@pytest.mark.parametrize("path, status", [("/?service=a", 200), ("/api/sampling?service=a", 200), ("/anything/else?service=a", 200), ("/sampling", 400),
                                          ("/sampling?service=a&service=b", 400), ("/baggageRestrictions?service=a", 200)])
def test_paths(collector, path, status):
    answer = collector.get(path, "sampling_http")
    assert answer.status == status, answer
    if status == 400:
        assert "'service' parameter must be provided once" in answer.body.decode()
    assert collector.get("/api/sampling?service=a", "jaeger_thrift_http").json() == {"strategyType": "PROBABILISTIC",
                                                                                      "probabilisticSampling": {"samplingRate": 1}}


def test_check_sees_what_run_would_refuse(tmp_path):
    file = tmp_path / "meshglass.yaml"
    for mode, status in (("static", 1), ("adaptive", 0)):
        file.write_text(json.dumps({"sampling": {"head": {"mode": mode, "overrides": [{"service": "shop", "target_samples_per_second": 5}]}}}))
        done = run_command("check", file)
        assert done.returncode == status and (status == 0 or "sampling.head.overrides 1 (line 1)" in done.stderr), done
