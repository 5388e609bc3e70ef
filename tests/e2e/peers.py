"""peers.py - servers of others that exporters send to: the OpenTelemetry Collector and OpenSearch, each a process on ports it chose itself.

Both come from their registries on first use, by three tries: the Collector from its Go modules (tests/bench/peer, shared with the bench), OpenSearch
from its jars. What cannot be downloaded skips its tests and says why; what was downloaded and does not build or start is a failure.
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
from harness import BUILD, ROOT, until

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
        """The last line that says it is ready, as a match."""
        def found():
            assert self.process.poll() is None, "it ended:\n" + "".join(self.lines[-40:])
            return next((match for line in self.lines if (match := re.search(pattern, line))), None)
        return until(found, seconds, f"'{pattern}' in its output")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.kill()


# --- the OpenTelemetry Collector -------------------------------------------------------------------------


def otel_binary():
    """The program, built from its Go modules unless it is there and up to date."""
    program = BUILD.parent / "peer/peer"
    download("OpenTelemetry Collector", ["go", "list", "-deps", "-f", "", "."], GO_MODULE)
    program.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["go", "build", "-o", str(program), "."], cwd=GO_MODULE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


class OtelCollector(Process):
    """OTLP in, by gRPC and HTTP; out to a file a run, written before the answer: what it acknowledged outlives a kill. (Its file exporter
    collects a second's writes in memory unless it rotates.)"""

    def __init__(self, folder, binary):
        super().__init__()
        self.folder, self.binary, self.runs = pathlib.Path(folder), binary, 0
        self.ports = {"grpc": 0, "http": 0}

    def start(self):
        """On the ports it had, or on new ones."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.runs += 1
        config = {"receivers": {"otlp": {"protocols": {kind: {"endpoint": f"127.0.0.1:{port}"} for kind, port in self.ports.items()}}},
                  "exporters": {"file": {"path": str(self.folder / f"run-{self.runs}.json"), "rotation": {"max_megabytes": 1000}}},
                  "service": {"telemetry": {"metrics": {"level": "none"}},
                              "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}}}}
        path = self.folder / "peer.yaml"
        path.write_text(json.dumps(config))
        self.run([self.binary, "--config", f"file:{path}"])
        self.wait_for("Everything is ready")
        for kind in self.ports:
            self.ports[kind] = int(self.wait_for(rf'Starting {kind.upper()} server.*"endpoint": "127\.0\.0\.1:(\d+)"')[1])
        return self

    def url(self, kind):
        return f"http://127.0.0.1:{self.ports[kind]}"

    def requests(self):
        """Every request that is in its files, as JSON; the last line of a run that was killed may be half of one."""
        for path in sorted(self.folder.glob("run-*.json")):
            for line in path.read_text().splitlines(keepends=True):
                if line.endswith("\n"):
                    yield line


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


def opensearch_jars():
    """The folder of its jars, copied by Maven unless they are there; the stamp is the list they were made from, as in tests/run."""
    pom, folder = HERE / "opensearch/pom.xml", BUILD.parent / "opensearch"
    stamp = folder / "stamp"
    if not stamp.exists() or stamp.read_bytes() != pom.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(pom, folder / "pom.xml")
        download("OpenSearch", ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=."], folder)
        shutil.copy(pom, stamp)
    return folder


class OpenSearch(Process):
    """One node. It never runs as root, so then it gets a folder of its own outside the test's, and runs as nobody."""

    def __init__(self, jars):
        super().__init__()
        self.jars, self.port, self.user = jars, 0, "nobody" if os.geteuid() == 0 else None
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
        """On the data and the port it had, or on a new port."""
        settings = {"cluster.name": "test", "node.name": "one", "discovery.type": "single-node", "network.host": "127.0.0.1", "http.port": self.port,
                    "transport.port": 0, "cluster.routing.allocation.disk.threshold_enabled": "false"}
        (self.home / "config/opensearch.yml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
        self.run(["java", "-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.security.manager=allow",
                  f"-Djava.io.tmpdir={self.home}/tmp", f"-Dopensearch.path.home={self.home}", f"-Dopensearch.path.conf={self.home}/config",
                  "-Dopensearch.distribution.type=tar", "-cp", f"{self.home}/lib/*", "org.opensearch.bootstrap.OpenSearch"],
                 user=self.user, cwd=self.home)
        self.wait_for(r"org\.opensearch\.node\.Node started")
        self.port = int(self.wait_for(r"HttpServerTransport publish_address \{127\.0\.0\.1:(\d+)\}")[1])
        return self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __exit__(self, *_):
        super().__exit__()
        shutil.rmtree(self.home, ignore_errors=True)
