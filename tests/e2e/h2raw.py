"""h2raw.py - HTTP/2 by hand: frames are written as bytes, so that a test can send what no library would."""

import socket
import struct

import hpack
from harness import SLOW

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, \
    CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(12)
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def message(payload, flag=0):
    """A gRPC message with its prefix."""
    return struct.pack(">BI", flag, len(payload)) + payload


class Reply:
    def __init__(self):
        self.headers, self.trailers, self.data, self.reset, self.ended = {}, {}, b"", None, False

    @property
    def status(self):
        return int(self.headers.get(":status", 0))

    def grpc(self):
        """(grpc-status, grpc-message) of trailers or trailers-only."""
        where = self.trailers if "grpc-status" in self.trailers else self.headers
        return int(where.get("grpc-status", -1)), where.get("grpc-message", "")


class Peer:
    def __init__(self, address, settings=b"", preface=PREFACE, timeout=10):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout * SLOW)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.replies, self.goaway, self.closed, self.rest, self.block, self.acks, self.next_stream = {}, None, False, b"", None, 0, 1
        self.send(preface + frame(SETTINGS, 0, 0, settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """What the server has already refused to read is no failure of the test."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.closed = True

    def headers(self, pairs, end=False, stream=None, end_headers=True):
        if stream is None:
            stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.send(frame(HEADERS, (END_STREAM if end else 0) | (END_HEADERS if end_headers else 0), stream, self.encoder.encode(pairs)))
        return stream

    def data(self, stream, payload, end=True, piece=16384):
        pieces = [payload[i:i + piece] for i in range(0, len(payload), piece)] or [b""]
        for i, one in enumerate(pieces):
            self.send(frame(DATA, END_STREAM if end and i == len(pieces) - 1 else 0, stream, one))

    def grpc(self, body, path=EXPORT, method="POST", type="application/grpc", extra=(), piece=16384):
        """Sends one request; returns its stream."""
        pairs = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers")]
        pairs += [("content-type", type)] if type else []
        stream = self.headers(pairs + list(extra), end=body is None)
        if body is not None:
            self.data(stream, body, piece=piece)
        return stream

    # --- reading ---

    def step(self):
        """Reads and handles one frame; False at the end of the connection."""
        while len(self.rest) < 9 or len(self.rest) < 9 + int.from_bytes(self.rest[:3], "big"):
            try:
                got = self.socket.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                got = b""
            if not got:
                self.closed = True
                return False
            self.rest += got
        size = int.from_bytes(self.rest[:3], "big")
        kind, flags, stream = self.rest[3], self.rest[4], int.from_bytes(self.rest[5:9], "big") & 0x7FFFFFFF
        payload, self.rest = self.rest[9:9 + size], self.rest[9 + size:]
        self.handle(kind, flags, stream, payload)
        return True

    def handle(self, kind, flags, stream, payload):
        reply = self.replies.setdefault(stream, Reply()) if stream else None
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind in (SETTINGS, PING) and flags & ACK:
            self.acks += 1
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")
        elif kind == RST_STREAM:
            reply.reset = int.from_bytes(payload, "big")
        elif kind == DATA:
            reply.data += payload
            if payload:
                self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload))))
        elif kind in (HEADERS, CONTINUATION):
            self.block = payload if kind == HEADERS else self.block + payload
            if flags & END_HEADERS:
                pairs = {name.decode() if isinstance(name, bytes) else name: value.decode() if isinstance(value, bytes) else value
                         for name, value in self.decoder.decode(self.block)}
                if ":status" in pairs and int(pairs[":status"]) >= 200:
                    reply.headers = pairs
                elif ":status" not in pairs:
                    reply.trailers = pairs
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            reply.ended = True

    def reply(self, stream):
        """Reads until the stream has ended, was reset, or the connection is gone."""
        reply = self.replies.setdefault(stream, Reply())
        while not reply.ended and reply.reset is None and self.step():
            pass
        return reply

    def wait_end(self):
        """Reads until GOAWAY or the end of the connection; returns the error code, -1 for a plain close."""
        while self.goaway is None and self.step():
            pass
        return -1 if self.goaway is None else self.goaway
