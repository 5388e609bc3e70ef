"""peers.py - servers of others that exporters send to: the OpenTelemetry Collector, OpenSearch, Zipkin and Jaeger, each a process on free ports,
the same in every run of it.

They come from their registries on first use, by three tries: the Collector from its Go modules (tests/bench/peer, shared with the bench), Jaeger from
its own (jaeger/), the others as jars. What cannot be downloaded skips its tests and says why; what was downloaded and does not build or start is a
failure.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

import pytest
from harness import BUILD, ROOT, Connection, free_ports, until, with_query

HERE = pathlib.Path(__file__).resolve().parent
GO_MODULE = ROOT / "tests/bench/peer"


def download(what, command, folder):
    """Runs a command that only downloads, up to three times; the test is skipped when a registry does not give it."""
    if not shutil.which(command[0]):
        pytest.skip(f"no {what}: there is no {command[0]}")
    for wait in (5, 10, 0):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode == 0:
            return
        time.sleep(wait)  # a registry that times out usually answers the next time
    said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip() and not line.startswith("go: downloading")]
    pytest.skip(f"no {what}: " + " ".join(said)[:300])


def go_binary(what, module, package, program):
    """The program, built from its Go modules unless it is there and up to date."""
    download(what, ["go", "list", "-deps", "-f", "", package], module)
    program.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["go", "build", "-o", str(program), package], cwd=module, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


class Process:
    """A server whose output is read as it comes."""

    def __init__(self):
        self.process, self.lines = None, []

    def run(self, command, **more):
        self.lines = []
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        errors="replace", **more)
        threading.Thread(target=self._read, args=(self.process, self.lines), daemon=True).start()

    @staticmethod
    def _read(process, lines):
        for line in process.stdout:
            lines.append(line)

    def wait_for(self, pattern, seconds=60):
        def is_said():
            assert self.process.poll() is None, "it ended:\n" + "".join(self.lines[-40:])
            return any(re.search(pattern, line) for line in self.lines)
        until(is_said, seconds, f"'{pattern}' in its output")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.kill()


def jars(what):
    """The folder of a server's jars, copied by Maven unless they are there; the stamp is the list they were made from, as in tests/run."""
    pom, folder = HERE / what.lower() / "pom.xml", BUILD.parent / what.lower()
    stamp = folder / "stamp"
    if not stamp.exists() or stamp.read_bytes() != pom.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(pom, folder / "pom.xml")
        download(what, ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=."], folder)
        shutil.copy(pom, stamp)
    return folder


# --- the OpenTelemetry Collector -------------------------------------------------------------------------


def otel_binary():
    return go_binary("OpenTelemetry Collector", GO_MODULE, ".", BUILD.parent / "peer/peer")


class OtelCollector(Process):
    """OTLP in, by gRPC and HTTP, or Zipkin; out to a file a run, written before the answer: what it acknowledged outlives a kill. (Its file exporter
    collects a second's writes in memory unless it rotates.)"""

    def __init__(self, folder, binary, receiver="otlp", **limits):
        """limits: more keys of a protocol, grpc={…}."""
        super().__init__()
        self.folder, self.binary, self.receiver, self.limits, self.runs = pathlib.Path(folder), binary, receiver, limits, 0
        kinds = ("grpc", "http") if receiver == "otlp" else (receiver,)
        self.ports = dict(zip(kinds, free_ports(len(kinds)), strict=True))

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.runs += 1
        listen = {kind: {"endpoint": f"127.0.0.1:{port}"} | self.limits.get(kind, {}) for kind, port in self.ports.items()}
        config = {"receivers": {self.receiver: {"protocols": listen} if self.receiver == "otlp" else listen[self.receiver]},
                  "exporters": {"file": {"path": str(self.folder / f"run-{self.runs}.json"), "rotation": {"max_megabytes": 1000}}},
                  "service": {"telemetry": {"metrics": {"level": "none"}},
                              "pipelines": {"traces": {"receivers": [self.receiver], "exporters": ["file"]}}}}
        path = self.folder / "peer.yaml"
        path.write_text(json.dumps(config))
        self.run([self.binary, "--config", f"file:{path}"])
        self.wait_for("Everything is ready")
        return self

    def url(self, kind):
        return f"http://127.0.0.1:{self.ports[kind]}"

    def requests(self):
        """Every request that is in its files, as JSON; the last line of a run that was killed may be half of one."""
        for path in sorted(self.folder.glob("run-*.json")):
            for line in path.read_text().splitlines(keepends=True):
                if line.endswith("\n"):
                    yield line


# --- Jaeger ----------------------------------------------------------------------------------------------


def jaeger_binary():
    """Building it takes minutes the first time."""
    return go_binary("Jaeger", HERE / "jaeger", "github.com/jaegertracing/jaeger/cmd/jaeger", BUILD.parent / "jaeger/jaeger")


class Jaeger(Process):
    """Jaeger 2, all of it in one process: what it receives goes to its memory, what it answers comes from there, or from an Elasticsearch that others
    have filled. Its doors have our names, so that whatever sends to a collector or reads from it (same_trace.py) does so with this."""

    DOORS = ("otlp_grpc", "otlp_http", "jaeger_grpc", "jaeger_thrift_http", "jaeger_compact", "jaeger_binary", "zipkin", "query_http", "query_grpc")

    def __init__(self, folder, binary, elasticsearch=None):
        super().__init__()
        self.folder, self.binary, self.elasticsearch, self.doors = pathlib.Path(folder), binary, elasticsearch, {}

    def _config(self):
        at = {door: {"endpoint": address} for door, address in self.doors.items()}
        memory = {"memory": {"max_traces": 10_000}}
        jaeger = {"grpc": at["jaeger_grpc"], "thrift_http": at["jaeger_thrift_http"], "thrift_compact": at["jaeger_compact"],
                  "thrift_binary": at["jaeger_binary"]}
        return {
            "extensions": {
                "jaeger_storage": {"backends": {"written": memory} | ({"read": {"elasticsearch": self.elasticsearch}} if self.elasticsearch else {})},
                "jaeger_query": {"storage": {"traces": "read" if self.elasticsearch else "written"},
                                 "http": at["query_http"], "grpc": at["query_grpc"]}},
            "receivers": {"otlp": {"protocols": {"grpc": at["otlp_grpc"], "http": at["otlp_http"]}}, "jaeger": {"protocols": jaeger},
                          "zipkin": at["zipkin"]},
            "exporters": {"jaeger_storage_exporter": {"trace_storage": "written"}},
            "service": {"extensions": ["jaeger_storage", "jaeger_query"], "telemetry": {"metrics": {"level": "none"}},
                        "pipelines": {"traces": {"receivers": ["otlp", "jaeger", "zipkin"], "exporters": ["jaeger_storage_exporter"]}}},
        }

    def start(self):
        """With an empty memory, on the ports it had, or on new ones; a start that loses the race for one of them is tried again with others."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "jaeger.yaml"
        for _ in range(5):
            self.doors = self.doors or {door: f"127.0.0.1:{port}" for door, port in zip(self.DOORS, free_ports(len(self.DOORS)))}
            path.write_text(json.dumps(self._config()))
            self.run([self.binary, "--config", f"file:{path}"])
            until(lambda: self.process.poll() is not None or self._said("Everything is ready", "address already in use"), 60, "its start")
            if self._said("Everything is ready"):
                return self
            self.kill()  # it may hang in ending itself
            self.doors = {}
        raise AssertionError("Jaeger ended:\n" + "".join(self.lines[-40:]))

    def _said(self, *texts):
        return any(text in line for line in self.lines for text in texts)

    def url(self, door):
        return "http://" + self.doors[door]

    def get(self, path, door="query_http", **query):
        with Connection(self.doors[door]) as connection:
            return connection.request("GET", with_query(path, query))


# --- OpenSearch ------------------------------------------------------------------------------------------

DESCRIPTOR = """name={name}
description=HTTP
version={version}
opensearch.version={version}
java.version=11
classname=org.opensearch.transport.Netty4Plugin
"""
POLICY = """grant {
  permission java.net.SocketPermission "*", "accept,connect,resolve,listen";
  permission java.lang.RuntimePermission "accessDeclaredMembers";
  permission java.lang.RuntimePermission "getClassLoader";
};
"""
LOGGING = """appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%level] %c %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


class OpenSearch(Process):
    """One node. It never runs as root, so then it gets a folder of its own outside the test's, and runs as nobody."""

    def __init__(self, jars):
        super().__init__()
        self.jars, self.port, self.user = jars, free_ports(1)[0], "nobody" if os.geteuid() == 0 else None
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="mgtest-opensearch-"))
        try:
            self._lay_out()
        except BaseException:
            shutil.rmtree(self.home, ignore_errors=True)
            raise

    def _lay_out(self):
        """As in its distribution: the jars of the module that speaks HTTP stand apart from the server's."""
        module = self.home / "modules/transport-netty4"
        for folder in (self.home / "lib", module, *(self.home / name for name in ("config", "data", "logs", "plugins", "tmp"))):
            folder.mkdir(parents=True)
        for jar in self.jars.glob("*.jar"):
            shutil.copy(jar, module if jar.name.startswith(("netty-", "transport-netty4-")) else self.home / "lib")
        version = next(re.fullmatch(r"opensearch-(\d[\d.]*)\.jar", jar.name)[1] for jar in self.jars.glob("opensearch-[0-9]*.jar"))
        (module / "plugin-descriptor.properties").write_text(DESCRIPTOR.format(name=module.name, version=version))
        (module / "plugin-security.policy").write_text(POLICY)
        (self.home / "config/log4j2.properties").write_text(LOGGING)
        if self.user:
            for path in (self.home, *self.home.rglob("*")):
                shutil.chown(path, self.user)

    def start(self):
        """On the data it had."""
        settings = {"cluster.name": "test", "node.name": "one", "discovery.type": "single-node", "network.host": "127.0.0.1", "http.port": self.port,
                    "transport.port": 0, "cluster.routing.allocation.disk.threshold_enabled": "false"}
        (self.home / "config/opensearch.yml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
        self.run(["java", "-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.security.manager=allow",
                  f"-Djava.io.tmpdir={self.home}/tmp", f"-Dopensearch.path.home={self.home}", f"-Dopensearch.path.conf={self.home}/config",
                  "-Dopensearch.distribution.type=tar", "-cp", f"{self.home}/lib/*", "org.opensearch.bootstrap.OpenSearch"],
                 user=self.user, cwd=self.home)
        self.wait_for(r"org\.opensearch\.node\.Node started")
        return self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __exit__(self, *_):
        super().__exit__()
        shutil.rmtree(self.home, ignore_errors=True)


# --- Zipkin ----------------------------------------------------------------------------------------------


class Zipkin(Process):
    """Storage in memory: what it was sent before a kill is gone after it."""

    def __init__(self, folder, **env):
        super().__init__()
        (self.jar,), self.env, (self.port,) = folder.glob("zipkin-server-*.jar"), {"STORAGE_TYPE": "mem"} | env, free_ports(1)

    def start(self):
        listen = {"ip": "127.0.0.1", "port": self.port, "protocols[0]": "http"}
        self.run(["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", self.jar,
                  *(f"--armeria.ports[0].{key}={value}" for key, value in listen.items())], env=os.environ | self.env)
        self.wait_for(r"Serving HTTP at /127\.0\.0\.1:\d+")
        return self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"
