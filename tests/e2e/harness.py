"""harness.py - runs the real collector for a test: starts it, waits for its doors, talks to it, ends it.

Nothing here sleeps as synchronisation: a start waits for ready lines, a stop for the process, everything else polls a
condition with a deadline (`until`). Every door is on port 0, or on one of `free_ports`, and every data directory is a temporary one, so
that tests run beside each other and beside a collector in use.
"""

import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MGTEST_BUILD", ROOT / "build/dev"))
PROGRAM = BUILD / "bin/meshglass-collector"
IS_SANITIZED = os.environ.get("MGTEST_PRESET", BUILD.name) in ("asan", "tsan")
SLOW = 5 if IS_SANITIZED else 1  # deadlines stretch under a sanitizer
DOORS = ("otlp_grpc", "otlp_http", "query_http", "metrics", "health", "zipkin", "jaeger_grpc", "jaeger_thrift_http", "query_grpc",
         "sampling_http", "sampling_grpc", "jaeger_compact", "jaeger_binary")
FINDINGS = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed")

# Decisions and blocks come at once instead of after seconds; a test that is about them sets its own.
QUICK = {"sampling.root_grace": "50ms", "sampling.decision_wait": "200ms", "store.block_age": "50ms"}


def until(condition, seconds=20, what="the condition"):
    """Polls until condition() is true and returns what it gave."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {seconds * SLOW} s")
        threading.Event().wait(0.01)


def free_ports(n):
    """For whoever must know a port before it listens, or listen on it again after a kill. They are none of those that the system gives to
    whoever asks for any: tests that run beside this one cannot take them in the meantime."""
    given_from = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = range(10_000, given_from) or range(1024, 65536)
    sockets = []
    while len(sockets) < n:
        one = socket.socket()
        try:
            one.bind(("127.0.0.1", random.choice(candidates)))
            sockets.append(one)
        except OSError:  # somebody's
            one.close()
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<Answer {self.status} {self.body[:300]!r}>"


class Connection:
    """One keep-alive HTTP/1.1 connection to a door, made again when the server closed it."""

    def __init__(self, address, timeout=30):
        host, _, port = address.rpartition(":")
        self.http = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout * SLOW)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def request(self, method, path, body=None, headers=None):
        self.http.request(method, path, body, headers or {})
        response = self.http.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def with_query(path, query):
    return path + "?" + urllib.parse.urlencode(query, doseq=True) if query else path


def run_command(*arguments, env=None, timeout=60, cwd=None):
    """A subcommand to its end: CompletedProcess with text output."""
    full = {k: v for k, v in os.environ.items() if not k.startswith("MESHGLASS_")} | (env or {})
    return subprocess.run([str(PROGRAM), *map(str, arguments)], capture_output=True, text=True, env=full, cwd=cwd,
                          timeout=timeout * SLOW)


class Collector:
    """One run of `meshglass-collector run`. `with` ends it, by force when the test failed."""

    def __init__(self, data_dir, sets=None, config=None, env=None):
        self.data_dir = pathlib.Path(data_dir)
        self.sets = {f"listen.{door}": "127.0.0.1:0" for door in DOORS} | {"data_dir": str(data_dir)} | QUICK | (sets or {})
        self.config, self.env = config, env or {}
        self.doors, self.process, self.lines, self.log = {}, None, [], []
        self.changed = threading.Condition()
        self.family = []  # all runs on these data, for whoever has to end them

    # --- life ---

    def start(self, wait=True):
        command = [str(PROGRAM), "run"]
        if self.config:
            command += ["--config", str(self.config)]
        for key, value in self.sets.items():
            if value is not None:
                command += ["--set", f"{key}={value}"]
        env = {k: v for k, v in os.environ.items() if not k.startswith("MESHGLASS_")} | self.env
        self.doors, self.lines, self.log = {}, [], []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env)
        self.readers = [threading.Thread(target=self._read_stdout, daemon=True), threading.Thread(target=self._read_stderr, daemon=True)]
        for reader in self.readers:
            reader.start()
        if wait:
            self.wait_ready([door for door in DOORS if self.sets.get(f"listen.{door}") != "off"])
        return self

    def _read_stdout(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.decode())
                try:
                    event = json.loads(line)
                except ValueError:
                    event = {}
                if event.get("event") == "ready":
                    self.doors[event["door"]] = event["address"]
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def _read_stderr(self):
        for line in self.process.stderr:
            self.log.append(line.decode(errors="replace"))

    def wait_ready(self, doors=DOORS, seconds=30):
        end = time.monotonic() + seconds * SLOW
        with self.changed:
            while not all(door in self.doors for door in doors):
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"not ready: {self.doors}, exit {self.process.poll()}\n{self.log_text()}")
                self.changed.wait(0.1)

    def log_text(self):
        return "".join(self.log[-200:])

    def wait_exit(self, seconds):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {seconds} s\n{self.log_text()}") from None
        for reader in self.readers:
            reader.join(5)
        return code

    def stop(self, seconds=5):
        """SIGTERM; exit 0 within 5 s is part of the contract."""
        self.process.send_signal(signal.SIGTERM)
        code = self.wait_exit(seconds * SLOW)
        assert code == 0, f"exit {code} after SIGTERM\n{self.log_text()}"
        self.check_log()

    def check_log(self):
        found = FINDINGS.search("".join(self.log))
        assert not found, f"{found.group()}\n{self.log_text()}"

    def kill(self):
        self.process.kill()
        self.wait_exit(10)
        self.check_log()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, kind, *_):
        if not self.is_running():
            if kind is None and self.process is not None:
                self.check_log()
        elif kind is None:
            self.stop()
        else:
            self.process.kill()
            self.process.wait()
            print(self.log_text())

    def again(self, **sets):
        """A new run on the same data."""
        it = Collector(self.data_dir, self.sets | sets, self.config, self.env)
        it.family = self.family
        self.family.append(it)
        return it

    # --- talk ---

    def connect(self, door, timeout=30):
        return Connection(self.doors[door], timeout)

    def request(self, door, method, path, body=None, headers=None, timeout=30):
        with self.connect(door, timeout) as connection:
            return connection.request(method, path, body, headers)

    def get(self, path, door="query_http", headers=None, **query):
        return self.request(door, "GET", with_query(path, query), headers=headers)

    def url(self, door):
        return "http://" + self.doors[door]

    def send(self, body, type="application/x-protobuf", encoding=None, path="/v1/traces", connection=None):
        headers = {"Content-Type": type} | ({"Content-Encoding": encoding} if encoding else {})
        if connection:
            return connection.request("POST", path, body, headers)
        return self.request("otlp_http", "POST", path, body, headers)

    def ledger(self):
        return self.get("/api/meshglass/v1/ledger").json()

    def status(self):
        return self.get("/api/meshglass/v1/status").json()

    def trace(self, trace_id, **query):
        return self.get(f"/api/traces/{trace_id}", **query)

    def search(self, **query):
        answer = self.get("/api/traces", **query)
        assert answer.status == 200, answer
        return answer.json()["data"]

    def metrics(self):
        """{(name, frozenset(labels.items())): value} of the text format, by an independent parser."""
        from prometheus_client.parser import text_string_to_metric_families
        text = self.get("/metrics", "metrics").body.decode()
        return {(s.name, frozenset(s.labels.items())): s.value for family in text_string_to_metric_families(text) for s in family.samples}

    def metric(self, name, **labels):
        """The sum of the samples that carry these labels."""
        want = set(labels.items())
        return sum(value for (n, have), value in self.metrics().items() if n == name and want <= have)

    def settle(self, seconds=20):
        """Waits until everything accepted is in the store; returns the ledger."""
        def is_settled():
            ledger = self.ledger()
            return ledger if ledger["pending"] == 0 else None
        return until(is_settled, seconds, "an empty ring")

    def resident_bytes(self):
        """Memory of our own: resident, less what is mapped from files."""
        fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", pathlib.Path(f"/proc/{self.process.pid}/status").read_text(), re.M))
        return int(fields["RssAnon"]) * 1024


def assert_balanced(ledger):
    parts = ledger["stored"] + ledger["sampled_out"] + ledger["duplicate"] + ledger["pending"]
    assert ledger["accepted"] == parts, f"the ledger does not balance: {ledger}"
