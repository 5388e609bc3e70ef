"""What the benchmarks share: a collector of their own on port 0 in a temporary directory, and the load generator."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = str(ROOT / "../shared/corpora/astronomy-oteltraces.zst")
BIN = ROOT / "build/release/bin"
DOORS = ["otlp_grpc", "otlp_http", "query_http", "metrics", "health"]
ALL_DOORS = DOORS + ["zipkin", "jaeger_grpc", "jaeger_thrift_http", "query_grpc", "sampling_http", "sampling_grpc", "jaeger_compact", "jaeger_binary"]


def fetch(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


class Collector:
    def __init__(self, binary, *settings, doors=(), pin=()):
        """doors: open beside DOORS. pin: a command before the collector's, such as taskset."""
        self.binary, self.open, self.pin = binary, DOORS + list(doors), list(pin)
        self.dir = tempfile.mkdtemp(prefix="mgbench-", dir=os.environ.get("MGTEST_BENCH_DIR"))
        self.start(*settings)

    def start(self, *settings):
        """Runs it on its directory; seconds from the exec to the last ready line."""
        args = self.pin + [str(self.binary / "meshglass-collector"), "run", "--set", f"data_dir={self.dir}/data"]
        for setting in [f"listen.{door}={'127.0.0.1:0' if door in self.open else 'off'}" for door in ALL_DOORS] + list(settings):
            args += ["--set", setting]
        begin = time.monotonic()
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        env={key: value for key, value in os.environ.items() if not key.startswith("MESHGLASS_")})
        self.doors = {}
        while len(self.doors) < len(self.open):
            line = self.process.stdout.readline()
            if not line:
                sys.exit("bench: the collector did not start")
            ready = json.loads(line)
            self.doors[ready["door"]] = ready["address"]
        return time.monotonic() - begin

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.process.stdout.close()

    def end(self):
        self.stop()
        shutil.rmtree(self.dir)

    def url(self, door):
        return "http://" + self.doors[door]

    def api(self, what):
        return json.loads(fetch(self.url("query_http") + "/api/meshglass/v1/" + what))

    def cpu(self):
        """Seconds on a CPU of all its threads, in nanosecond resolution."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return {key: int(re.search(key + r":\s+(\d+)", status).group(1)) / 1024 for key in ("VmRSS", "RssAnon", "VmHWM")}

    def metric(self, name):
        """The sum over its labels."""
        values = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", fetch(self.url("metrics") + "/metrics"), re.M)
        return sum(float(value) for value in values)

    def stages(self):
        found = re.findall(r'meshglass_stage_cpu_seconds_total\{stage="(\w+)"\} (\S+)', fetch(self.url("metrics") + "/metrics"))
        return {stage: float(value) for stage, value in found}

    def wait_until_stored(self, seconds=120):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.api("ledger")["pending"] == 0:
                return
            time.sleep(0.2)
        sys.exit(f"bench: spans are still pending after {seconds} seconds")

    def balanced(self):
        ledger = self.api("ledger")
        if ledger["accepted"] != ledger["stored"] + ledger["duplicate"] + ledger["sampled_out"]:
            sys.exit(f"bench: the ledger does not balance: {ledger}")

    def disk(self, what="store/*.mdb"):
        return sum(file.stat().st_blocks * 512 for file in pathlib.Path(self.dir, "data").glob(what) if file.is_file())


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Peer:
    """The OpenTelemetry Collector of peer/, with OTLP in over HTTP. config: processors, exporters and the pipeline's names of them."""

    def __init__(self, binary, processors, exporters):
        self.dir = tempfile.mkdtemp(prefix="mgbench-", dir=os.environ.get("MGTEST_BENCH_DIR"))
        self.otlp_port, self.metrics_port = free_port(), free_port()
        config = {"receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{self.otlp_port}"}}}},
                  "processors": processors, "exporters": exporters,
                  "service": {"telemetry": {"logs": {"level": "error"}, "metrics": {"readers": [{"pull": {"exporter": {"prometheus": {
                      "host": "127.0.0.1", "port": self.metrics_port}}}}]}},
                      "pipelines": {"traces": {"receivers": ["otlp"], "processors": list(processors), "exporters": list(exporters)}}}}
        pathlib.Path(self.dir, "peer.yaml").write_text(json.dumps(config))
        self.process = subprocess.Popen([str(binary), "--config", f"file:{self.dir}/peer.yaml"], stdout=subprocess.DEVNULL,
                                        stderr=open(f"{self.dir}/log", "w"))
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.otlp_port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("bench: the peer did not start: " + pathlib.Path(self.dir, "log").read_text()[-2000:])

    cpu, memory = Collector.cpu, Collector.memory

    def url(self):
        return f"http://127.0.0.1:{self.otlp_port}"

    def metrics(self):
        return fetch(f"http://127.0.0.1:{self.metrics_port}/metrics")

    def end(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.dir)


def find_peer(given):
    """given: its binary, "none", or None: built from its Go modules, when there is a Go."""
    if given == "none":
        return None
    if given:
        return given
    if not shutil.which("go"):
        print("no Go: without the OpenTelemetry Collector")
        return None
    built = ROOT / "build/peer/peer"
    built.parent.mkdir(parents=True, exist_ok=True)
    print("building the OpenTelemetry Collector from its Go modules …", flush=True)
    if subprocess.run(["go", "build", "-o", str(built), "."], cwd=ROOT / "tests/bench/peer").returncode != 0:
        print("could not be built: without the OpenTelemetry Collector")
        return None
    return built


def load(binary, corpus, url, *args, pin=(), may_refuse=False):
    """pin: a command before the sender's. Refused requests end the run unless they are expected."""
    answer = subprocess.run([*pin, str(binary / "bench_load"), corpus, url, *args], capture_output=True, text=True)
    if answer.returncode != 0 and not (may_refuse and answer.stdout.startswith("{")):
        sys.exit(f"bench: load failed: {answer.stdout}{answer.stderr}")
    return json.loads(answer.stdout)
