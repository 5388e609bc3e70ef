"""broker.py - a real Apache Kafka for a test: one node in KRaft mode, its data in a temporary folder, on free ports.

The port of a broker must be known before it starts, since it tells it to its clients; a start that loses the race for one is tried
again with others.
"""

import base64
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import uuid

from harness import ROOT, SLOW, free_ports, until

JARS = pathlib.Path(os.environ.get("MGTEST_KAFKA", ROOT / "build/kafka"))


class Broker:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.process, self.port, self.lines = None, None, []
        self.id = "M" + base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()[1:]  # one that begins with "-" looks like an option

    def java(self, main, *arguments):
        return ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*", main, *map(str, arguments)]

    def _configure(self):
        self.port, controller = free_ports(2)
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = {
            "process.roles": "broker,controller", "node.id": 1, "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}", "controller.listener.names": "CONTROLLER",
            "log.dirs": self.folder / "data", "offsets.topic.replication.factor": 1, "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1, "num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0, "auto.create.topics.enable": "true",
            # After a kill: members are missed soon, and a new run need not wait long until the one before counts as gone.
            "group.min.session.timeout.ms": 1000, "broker.session.timeout.ms": 2000, "broker.heartbeat.interval.ms": 250,
        }
        path = self.folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        return path

    def start(self):
        """Starts it on the data it has, on the port it had, or on new ones."""
        for _ in range(5):
            path = self.folder / "server.properties"
            if not path.exists():
                path = self._configure()
                subprocess.run(self.java("kafka.tools.StorageTool", "format", "-t", self.id, "-c", path), check=True,
                               capture_output=True, timeout=60 * SLOW)
            self.lines = []
            self.process = subprocess.Popen(self.java("kafka.Kafka", path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            threading.Thread(target=self._read, daemon=True).start()
            until(lambda: self.process.poll() is not None or self._answers(), 60, "the broker's start")
            if self.process.poll() is None:
                return self
            if not any("Address already in use" in line for line in self.lines):
                break
            path.unlink()
            shutil.rmtree(self.folder / "data", ignore_errors=True)
        raise AssertionError("the broker did not start:\n" + "".join(self.lines[-40:]))

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def _answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return any("Kafka Server started" in line for line in self.lines)
        except OSError:
            return False

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.kill()
