"""zipkin_cases.py - what test_zipkin_peer.py sends to our door and to Zipkin: bodies good and bad, and questions.

In a text @T is the case's own trace id (16 digits), and @N a time in microseconds."""

import gzip
import struct

ID = '"traceId":"@T","id":"00000000000000a1"'
PLAIN = '[{' + ID + ',"name":"plain","timestamp":@N,"duration":10,"localEndpoint":{"serviceName":"bodies"}}]'


def one(more):
    """A list of one span with these members more."""
    return "[{" + ID + ',"timestamp":@N,' + more + "}]"


def with_trace(text):
    return PLAIN.replace("@T", text)


def with_id(text):
    return PLAIN.replace("00000000000000a1", text)


def at_time(text):
    return PLAIN.replace("@N", text)


# --- protobuf by hand ------------------------------------------------------------------------------------


def number(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def length(field, data):
    data = data.encode() if isinstance(data, str) else data
    return number(field << 3 | 2) + number(len(data)) + data


def varint(field, value):
    return number(field << 3) + number(value & 2**64 - 1)


def fixed(field, value):
    return number(field << 3 | 1) + struct.pack("<Q", value)


A1 = bytes(7) + b"\xa1"


def proto_span(*more, trace_id=None, id=A1):
    def build(trace, now):
        head = length(1, trace if trace_id is None else trace_id(trace)) + (length(3, id) if id is not None else b"")
        return length(1, head + fixed(6, now) + b"".join(more))
    return build


# --- bodies ----------------------------------------------------------------------------------------------

JSON_BODIES = {
    "plain": PLAIN,
    "minimal": "[{" + ID + "}]",
    "every field": one('"parentId":"b1","kind":"SERVER","name":"Get /Ünïcode ☃","duration":26000,'
                       '"localEndpoint":{"serviceName":"Bodies","ipv4":"10.57.50.83","port":8080},'
                       '"remoteEndpoint":{"serviceName":"Peer","ipv6":"2001:DB8::c001","port":4200},'
                       '"annotations":[{"timestamp":@N,"value":"wr"},{"timestamp":1,"value":"a"}],'
                       '"tags":{"http.method":"GET","käse":"☃ \\u2028 \\" \\u0001 \\ud83d\\ude00","":"empty key","empty":""},"debug":true,"shared":true'),
    "empty list": "[]", "empty list with spaces": "[ \n ]", "empty body": "", "behind the list": PLAIN + " garbage",
    "spaces before": " " + PLAIN, "newline before": "\n" + PLAIN, "byte order mark": "\ufeff" + PLAIN,
    "object": PLAIN[1:-1], "null": "null", "text": "hello", "number": "1", "list of null": "[null]", "list of list": "[[]]", "list of numbers": "[1]",
    "cut": PLAIN[:-9],
    "no end": PLAIN[:-1], "trailing comma": PLAIN[:-1] + ",]", "comment": PLAIN[:-1] + "/* */]", "NaN": one('"duration":NaN'),
    "single quotes": PLAIN.replace('"', "'"),
    "two spans": PLAIN[:-1] + "," + PLAIN[1:].replace("a1", "a2"), "one good one bad": PLAIN[:-1] + ',{"traceId":"@T"}]',
    "one bad one good": '[{"traceId":"@T"},' + PLAIN[1:],
    "v1 in v2": '[{' + ID + ',"name":"v1","annotations":[{"timestamp":@N,"value":"sr","endpoint":{"serviceName":"v1"}}],'
                '"binaryAnnotations":[{"key":"k","value":"v"}]}]',
    "v1 without binary annotations": '[{' + ID + ',"name":"v1","annotations":[{"timestamp":@N,"value":"sr","endpoint":{"serviceName":"v1"}}]}]',
    # ids
    "wide id": with_trace("@T@T"), "id padded to 32": with_trace("0000000000000000@T"), "id padded to 20": with_trace("0000@T"),
    "id of 31": with_trace("abcdef012345678@T"), "id of 33": with_trace("0@T@T"), "id of 33 zeros before": with_trace("00000000000000000@T"),
    "id upper case": with_trace("ABCDEF@T"), "id prefix": with_trace("0x@T"), "id not hex": with_trace("xyz"), "id zero": with_trace("0"),
    "id of 16 zeros": with_trace("0" * 16), "id of 32 zeros": with_trace("0" * 32), "id empty": with_trace(""), "id null": PLAIN.replace('"@T"', "null"),
    "id number": PLAIN.replace('"id":"00000000000000a1"', '"id":12345'), "id bool": PLAIN.replace('"@T"', "true"), "id absent": '[{"id":"a1","timestamp":@N}]',
    "span id short": with_id("a1"), "span id of 17": with_id("000000000000000a1"), "span id of 16 zeros": with_id("0" * 16),
    "span id zero": with_id("0"), "span id upper case": with_id("00000000000000A1"), "span id empty": with_id(""),
    "span id null": PLAIN.replace('"00000000000000a1"', "null"), "span id absent": '[{"traceId":"@T","timestamp":@N}]',
    "parent short": one('"parentId":"b1"'), "parent zero": one('"parentId":"0000000000000000"'), "parent one zero": one('"parentId":"0"'),
    "parent itself": one('"parentId":"a1"'),
    "parent empty": one('"parentId":""'), "parent of 17": one('"parentId":"000000000000000b1"'), "parent upper case": one('"parentId":"B1"'),
    "parent null": one('"parentId":null'), "parent number": one('"parentId":12'),
    # kind and name
    "kind client": one('"kind":"CLIENT"'), "kind producer": one('"kind":"PRODUCER"'), "kind consumer": one('"kind":"CONSUMER"'),
    "kind lower case": one('"kind":"client"'), "kind empty": one('"kind":""'),
    "kind unknown": one('"kind":"INTERNAL"'), "kind number": one('"kind":1'), "kind null": one('"kind":null'),
    "name empty": one('"name":""'), "name null": one('"name":null'), "name number": one('"name":5.0'), "name object": one('"name":{}'),
    "name bool": one('"name":true'),
    "name of Turkey": one('"name":"İSTANBUL ΑΣ ẞ"'),
    # times
    "timestamp zero": at_time("0"), "timestamp negative": at_time("-1"), "timestamp text": at_time('"@N"'), "timestamp .0": at_time("@N.0"),
    "timestamp exponent": at_time("1.7E15"), "timestamp fraction": at_time("@N.5"), "timestamp fraction as text": at_time('"@N.5"'),
    "timestamp null": at_time("null"),
    "timestamp empty": at_time('""'), "timestamp word": at_time('"x"'), "timestamp bool": at_time("true"), "timestamp too large": at_time("9223372036854775808"),
    "timestamp of nanoseconds": at_time("@N000"), "timestamp far away": at_time("4102444800000000"), "timestamp one": at_time("1"),
    "duration zero": one('"duration":0'), "duration negative": one('"duration":-5'), "duration text": one('"duration":"12"'), "duration .0": one('"duration":80.0'),
    "duration fraction": one('"duration":1.5'),
    "duration null": one('"duration":null'), "duration long": one('"duration":9223372036854775807'), "duration twice": one('"duration":1,"duration":2'),
    "duration alone": "[{" + ID + ',"duration":7}]',
    # endpoints
    "endpoint empty": one('"localEndpoint":{},"remoteEndpoint":{}'), "endpoint null": one('"localEndpoint":null,"remoteEndpoint":null'),
    "endpoint list": one('"localEndpoint":[]'), "endpoint text": one('"localEndpoint":"x"'),
    "service empty": one('"localEndpoint":{"serviceName":"","ipv4":"1.2.3.4"}'), "service null": one('"localEndpoint":{"serviceName":null,"port":1}'),
    "service upper case": one('"localEndpoint":{"serviceName":"UPPER Ä"}'),
    "service number": one('"localEndpoint":{"serviceName":7}'), "remote alone": one('"remoteEndpoint":{"serviceName":"Alone","port":99}'),
    "port zero": one('"localEndpoint":{"serviceName":"bodies","port":0}'), "port alone": one('"localEndpoint":{"port":80}'),
    "port zero alone": one('"localEndpoint":{"port":0}'), "port negative": one('"localEndpoint":{"port":-1}'),
    "port 65535": one('"localEndpoint":{"port":65535}'), "port 65536": one('"localEndpoint":{"port":65536}'), "port text": one('"localEndpoint":{"port":"80"}'),
    "port null": one('"localEndpoint":{"port":null}'), "port .0": one('"localEndpoint":{"port":80.0}'),
    "ip mapped": one('"localEndpoint":{"ipv6":"::ffff:1.2.3.4"}'), "ip mapped in hex": one('"localEndpoint":{"ipv6":"::ffff:102:304"}'),
    "ip compatible": one('"localEndpoint":{"ipv6":"::1.2.3.4"}'), "ip v6 in v4": one('"localEndpoint":{"ipv4":"2001:db8::1"}'),
    "ip v4 in v6": one('"localEndpoint":{"ipv6":"1.2.3.4"}'), "ip bad": one('"localEndpoint":{"serviceName":"bodies","ipv4":"300.1.1.1","ipv6":"xyz"}'),
    "ip zone": one('"localEndpoint":{"ipv6":"fe80::1%eth0","port":1}'),
    "ip long form": one('"localEndpoint":{"ipv6":"2001:0DB8:0000:0000:0001:0000:0000:0001"}'), "ip loopback": one('"localEndpoint":{"ipv6":"::1"}'),
    "ip any": one('"localEndpoint":{"ipv6":"::","ipv4":"0.0.0.0"}'),
    "ip both": one('"localEndpoint":{"ipv4":"1.2.3.4","ipv6":"2001:db8::2"},'
                    '"remoteEndpoint":{"ipv4":"1.2.3.5","ipv6":"2001:db8::3"}'), "ip null": one('"localEndpoint":{"serviceName":"bodies","ipv4":null,"ipv6":null}'),
    "ip leading zero": one('"localEndpoint":{"ipv4":"010.1.1.1","port":1}'), "ip short": one('"localEndpoint":{"ipv4":"10.1","port":1}'),
    "ip empty": one('"localEndpoint":{"ipv4":"","ipv6":"","port":1}'),
    "endpoint twice": one('"localEndpoint":{"serviceName":"a","port":1},"localEndpoint":{"ipv4":"1.2.3.4"}'),
    "endpoint unknown member": one('"localEndpoint":{"serviceName":"bodies","host":{"a":[1]}}'),
    # annotations
    "annotations unsorted": one('"annotations":[{"timestamp":3,"value":"b"},{"timestamp":2,"value":"c"},{"timestamp":2,"value":"a"}]'),
    "annotations twice": one('"annotations":[{"timestamp":2,"value":"a"},{"timestamp":2,"value":"a"}]'),
    "annotations empty": one('"annotations":[]'), "annotations null": one('"annotations":null'), "annotations object": one('"annotations":{}'),
    "annotation empty": one('"annotations":[{}]'), "annotation null": one('"annotations":[null]'),
    "annotation without time": one('"annotations":[{"value":"x"}]'), "annotation without value": one('"annotations":[{"timestamp":1}]'),
    "annotation time zero": one('"annotations":[{"timestamp":0,"value":"x"}]'), "annotation time negative": one('"annotations":[{"timestamp":-5,"value":"x"}]'),
    "annotation value empty": one('"annotations":[{"timestamp":@N,"value":""}]'), "annotation value null": one('"annotations":[{"timestamp":1,"value":null}]'),
    "annotation time null": one('"annotations":[{"timestamp":null,"value":"x"}]'),
    "annotation value number": one('"annotations":[{"timestamp":@N,"value":1.50}]'), "annotation time text": one('"annotations":[{"timestamp":"@N","value":"x"}]'),
    "annotation unknown member": one('"annotations":[{"timestamp":@N,"value":"x","y":[{}]}]'),
    "annotations repeated": one('"annotations":[{"timestamp":1,"value":"x"}],"annotations":[{"timestamp":2,"value":"y"}]'),
    "annotation of ours": one('"annotations":[{"timestamp":@N,"value":"name|{\\"k\\":1}|0"},'
                              '{"timestamp":@N,"value":"{\\"ev\\": {\\"k\\": 1}}"}]'),
    # tags
    "tags empty": one('"tags":{}'), "tags null": one('"tags":null'), "tags list": one('"tags":[]'), "tag null": one('"tags":{"a":null}'),
    "tag bool": one('"tags":{"a":true}'), "tag object": one('"tags":{"a":{}}'), "tag list": one('"tags":{"a":[]}'),
    "tag number": one('"tags":{"a":5,"b":1000.0,"c":-1e3,"d":12345678901234567890123}'), "tag twice": one('"tags":{"a":"1","b":"x","a":"2"}'),
    "tags repeated": one('"tags":{"a":"1","b":"x"},"tags":{"a":"2"}'), "tags unsorted": one('"tags":{"b":"1","a":"2","B":"3","ä":"4"}'),
    "tag error": one('"tags":{"error":""}'), "tag error false": one('"tags":{"error":"false"}'), "tag error true": one('"tags":{"error":"true"}'),
    "tags of OpenTelemetry": one('"kind":"SERVER","tags":{"otel.status_code":"ERROR","otel.status_description":"boom",'
                                 '"error":"boom","otel.library.name":"lib","otel.library.version":"1","otel.scope.name":"lib",'
                                 '"otel.scope.version":"1",'
                                 '"service.version":"3","host.name":"h","telemetry.sdk.language":"go","w3c.tracestate":"a=b",'
                                 '"span.kind":"internal","otlp.link.0":"463ac35c9f6413ad48485a3953bb6124|00f067aa0ba902b7||{}|0",'
                                 '"net.host.ip":"9.9.9.9","peer.service":"tagged"}'),
    "tags of OpenTelemetry, bad": one('"tags":{"otel.status_code":"ok","otlp.link.0":"x|y",'
                                      '"otlp.link.7":"463ac35c9f6413ad48485a3953bb6124|00f067aa0ba902b7||{}|0",'
                                      '"w3c.tracestate":"not a state ;","otel.library.version":"2","span.kind":"CLIENT",'
                                      '"zipkin.shared":"true","zipkin.debug":"x","meshglass.x":"y"}'),
    "tag long": one('"tags":{"long":"' + "x" * 70000 + '"}'),
    # flags
    "debug true": one('"debug":true'), "debug false": one('"debug":false'), "debug null": one('"debug":null'), "debug text": one('"debug":"true"'),
    "debug number": one('"debug":1'),
    "shared client": one('"kind":"CLIENT","shared":true'), "shared server": one('"kind":"SERVER","shared":true'), "shared without kind": one('"shared":true'),
    "shared false": one('"kind":"SERVER","shared":false'), "shared text": one('"shared":"true"'),
    # form
    "unknown members": one('"x":1,"y":[{"z":null}],"w":{"localEndpoint":{}}'), "upper case member": one('"Name":"x"'),
    "raw control character": one('"name":"a\nb\tc"'), "lone surrogate": one('"name":"a\\ud800b"'), "bad escape": one('"name":"\\x"'),
    "member twice": one('"name":"a","name":"b","kind":"CLIENT","kind":"SERVER"'), "deep": one('"x":' + "[" * 100 + "]" * 100), "no colon": one('"name" "a"'),
    "spaces between": PLAIN.replace(",", " ,\n").replace(":", " :\t"),
    "same span twice": PLAIN[:-1] + "," + PLAIN[1:],
    "pieces of one span": '[{' + ID + ',"kind":"CLIENT","timestamp":@N,"localEndpoint":{"serviceName":"bodies"}},'
                          '{' + ID + ',"kind":"CLIENT","duration":5,"localEndpoint":{"serviceName":"bodies"},"tags":{"late":"1"}}]',
    "client and shared server": '[{' + ID + ',"kind":"CLIENT","timestamp":@N,"duration":50,"localEndpoint":{"serviceName":"bodies"}},'
                                '{' + ID + ',"kind":"SERVER","shared":true,"timestamp":@N,"duration":40,"localEndpoint":{"serviceName":"other"}},'
                                '{"traceId":"@T","parentId":"00000000000000a1","id":"00000000000000a2","timestamp":@N,"localEndpoint":{"serviceName":"other"}}]',
}
RAW_BODIES = {
    "not UTF-8": one('"name":"a@@b"').encode().replace(b"@@", b"\xff\xfe"), "cut UTF-8": one('"name":"a@@"').encode().replace(b"@@", b"\xe2\x98"),
    "NUL": one('"name":"a@@b"').encode().replace(b"@@", b"\0"),
}
JSON = {"Content-Type": "application/json"}
PROTO = {"Content-Type": "application/x-protobuf"}
TYPES = {  # headers of a plain list
    "no type": {}, "type with charset": {"Content-Type": "application/json; charset=utf-8"}, "type text": {"Content-Type": "text/plain"},
    "type upper case": {"Content-Type": "APPLICATION/JSON"},
    "type protobuf": PROTO, "type thrift": {"Content-Type": "application/x-thrift"}, "type bad": {"Content-Type": "/"},
    "type form": {"Content-Type": "application/x-www-form-urlencoded"},
    "encoding identity": {"Content-Encoding": "identity"}, "encoding br": {"Content-Encoding": "br"}, "encoding deflate": {"Content-Encoding": "deflate"},
    "encoding GZIP": {"Content-Encoding": "GZIP"}, "encoding gzip of plain": {"Content-Encoding": "gzip"},
}


def packed(data):
    return gzip.compress(data, mtime=0)


PACKED = {  # of a plain list: how, headers
    "gzip": (packed, {"Content-Encoding": "gzip"}), "x-gzip": (packed, {"Content-Encoding": "x-gzip"}),
    "gzip cut": (lambda data: packed(data)[:-12], {"Content-Encoding": "gzip"}),
    "gzip without the header": (packed, {}), "gzip of nothing": (lambda _: packed(b""), {"Content-Encoding": "gzip"}),
    "gzip empty": (lambda _: b"", {"Content-Encoding": "gzip"}),
    "gzip in two members": (lambda data: packed(data[:20]) + packed(data[20:]), {"Content-Encoding": "gzip"}),
}
LOCAL = length(8, length(1, "Bodies") + length(2, b"\1\2\3\4") + varint(4, 8080))
PROTO_BODIES = {
    "proto plain": proto_span(length(5, "Plain"), varint(7, 10), LOCAL),
    "proto every field": proto_span(length(2, bytes(7) + b"\xb1"), varint(4, 2), length(5, "Get"), varint(7, 26000), LOCAL,
                                    length(9, length(1, "Peer") + length(3, bytes.fromhex("20010db8000000000000000000000001")) + varint(4, 1)),
                                    length(10, fixed(1, 5) + length(2, "b")), length(10, fixed(1, 4) + length(2, "a")), length(11, length(1, "k") + length(2, "v")),
                                    varint(12, 1), varint(13, 1)),
    "proto wide id": proto_span(trace_id=lambda trace: trace + trace), "proto id of 9": proto_span(trace_id=lambda trace: b"\x01" + trace),
    "proto id of 17": proto_span(trace_id=lambda trace: b"\x01" + trace + trace),
    "proto id padded": proto_span(trace_id=lambda trace: bytes(8) + trace), "proto id zero": proto_span(trace_id=lambda _: bytes(8)),
    "proto id empty": proto_span(trace_id=lambda _: b""), "proto id short": proto_span(trace_id=lambda trace: trace[-7:]),
    "proto span id absent": proto_span(id=None), "proto span id short": proto_span(id=b"\xa1"), "proto span id of 9": proto_span(id=bytes(8) + b"\xa1"),
    "proto span id zero": proto_span(id=bytes(8)),
    "proto parent zero": proto_span(length(2, bytes(8))), "proto parent itself": proto_span(length(2, A1)), "proto parent short": proto_span(length(2, b"\xb1")),
    "proto parent empty": proto_span(length(2, b"")), "proto parent of 9": proto_span(length(2, bytes(8) + b"\xb1")),
    "proto kind 0": proto_span(varint(4, 0)), "proto kind 4": proto_span(varint(4, 4)), "proto kind 5": proto_span(varint(4, 5)),
    "proto kind -1": proto_span(varint(4, -1)),
    "proto duration zero": proto_span(varint(7, 0)), "proto duration huge": proto_span(varint(7, 2**64 - 1)),
    "proto timestamp huge": proto_span(fixed(6, 2**64 - 1)), "proto timestamp zero": proto_span(fixed(6, 0)),
    "proto ip of 3": proto_span(length(8, length(2, b"\1\2\3") + varint(4, 1))),
    "proto ip mapped": proto_span(length(8, length(3, bytes(10) + b"\xff\xff\1\2\3\4"))),
    "proto ip in both": proto_span(length(8, length(2, b"\1\2\3\4") + length(3, bytes(15) + b"\1"))),
    "proto port 70000": proto_span(length(8, varint(4, 70000))), "proto port -1": proto_span(length(8, varint(4, -1))),
    "proto port zero": proto_span(length(8, length(1, "bodies") + varint(4, 0))), "proto endpoint empty": proto_span(length(8, b"")),
    "proto endpoint twice": proto_span(length(8, length(1, "a") + varint(4, 1)), length(8, length(2, b"\1\2\3\4"))),
    "proto annotation incomplete": proto_span(length(10, fixed(1, 5)), length(10, length(2, "x")), length(10, b"")),
    "proto tag without value": proto_span(length(11, length(1, "k"))), "proto tag without key": proto_span(length(11, length(2, "v"))),
    "proto tag twice": proto_span(length(11, length(1, "k") + length(2, "1")), length(11, length(1, "k") + length(2, "2"))),
    "proto tag empty": proto_span(length(11, b"")),
    "proto wrong wire type": proto_span(varint(5, 1)), "proto unknown field": proto_span(length(99, "x"), varint(98, 1)),
    "proto group": proto_span(b"\x9b\x06\x9c\x06"), "proto not UTF-8": proto_span(length(5, b"a\xffb")),
    "proto shared client": proto_span(varint(4, 1), varint(13, 1)), "proto two spans": lambda trace,
    now: proto_span()(trace, now) + proto_span(id=bytes(7) + b"\xa2")(trace, now),
    "proto bare span": lambda trace, now: length(1, trace) + length(3, A1), "proto other field": lambda trace, now: proto_span()(trace, now) + varint(2, 1),
    "proto cut": lambda trace, now: proto_span(length(5, "name"))(trace, now)[:-2],
    "proto behind": lambda trace, now: proto_span()(trace, now) + b"\0", "proto empty": lambda trace, now: b"", "proto empty span": lambda trace,
    now: length(1, b""), "proto is JSON": lambda trace, now: b"[]",
}


def bodies(now_us, prefix="c0ffee"):
    """Name, the trace id that @T was, body, headers; every case has an id of its own."""
    def fill(text, trace_id):
        return text.replace(b"@T", trace_id.encode()).replace(b"@N", str(now_us).encode())
    plain = PLAIN.encode()
    cases = [(name, lambda id, text=text: fill(text.encode(), id), JSON) for name, text in JSON_BODIES.items()]
    cases += [(name, lambda id, data=data: fill(data, id), JSON) for name, data in RAW_BODIES.items()]
    cases += [(name, lambda id: fill(plain, id), headers) for name, headers in TYPES.items()]
    cases += [(name, lambda id, pack=pack: pack(fill(plain, id)), headers) for name, (pack, headers) in PACKED.items()]
    cases += [(name, lambda id, build=build: build(bytes.fromhex(id), now_us), PROTO) for name, build in PROTO_BODIES.items()]
    for number, (name, build, headers) in enumerate(cases):
        trace_id = f"{prefix}{number + 1:010x}"
        yield name, trace_id, build(trace_id), headers


# --- a world to search -----------------------------------------------------------------------------------


def span(trace_id, id, at, duration=None, service=None, *, parent=None, kind=None, name=None, remote=None, tags=None, annotations=(), shared=False):
    """As it is sent; `at` in microseconds, None: without a timestamp."""
    members = {"traceId": trace_id, "parentId": parent, "id": id, "kind": kind, "name": name, "timestamp": at, "duration": duration,
               "localEndpoint": service and {"serviceName": service}, "remoteEndpoint": remote and {"serviceName": remote}, "tags": tags,
               "annotations": [{"timestamp": at or 1, "value": value} for value in annotations] or None, "shared": shared or None}
    return {key: value for key, value in members.items() if value is not None}


def world(base):
    """Lists of spans, each one request; `base` in microseconds. The traces are a second apart, the first one is the oldest."""
    at = [base + second * 10**6 for second in range(20)]
    shop = [  # a shared pair, a called service that reports nothing, an error in the pair
        span("5e01", "a1", at[1], 900, "front", kind="SERVER", name="GET /", tags={"http.method": "GET", "env": "prod"}),
        span("5e01", "a2", at[1] + 100, 500, "front", parent="a1", kind="CLIENT", name="get /cart", tags={"error": "boom"}, annotations=["retry", "ws"]),
        span("5e01", "a2", at[1] + 150, 300, "cart", parent="a1", kind="SERVER", name="get /cart", shared=True, tags={"http.method": "GET"}),
        span("5e01", "a3", at[1] + 200, 100, "cart", parent="a2", kind="CLIENT", name="select", remote="mysql"),
    ]
    chain = [  # parent and child of two ids, an error at the server
        span("5e02", "b1", at[2], 800, "front", kind="SERVER", name="POST /Order", tags={"http.method": "POST", "env": "test", "zone": "z1"}),
        span("5e02", "b2", at[2] + 100, 600, "front", parent="b1", kind="CLIENT", name="post", remote="order"),
        span("5e02", "b3", at[2] + 200, 400, "order", parent="b2", kind="SERVER", name="post", tags={"error": ""}),
        span("5e02", "b4", at[2] + 250, 200, "order", parent="b3", name="compute"),
        span("5e02", "b5", at[2] + 260, 100, "stock", parent="b4", kind="SERVER", name="reserve"),
    ]
    mail = [
        span("5e03", "c1", at[3], 100, "order", kind="PRODUCER", name="send", remote="kafka", annotations=["ms"]),
        span("5e03", "c2", at[3] + 500, 200, "mailer", parent="c1", kind="CONSUMER", name="receive", remote="kafka", annotations=["mr"]),
        span("5e03", "c3", at[3] + 700, 50, "mailer", parent="c2", name="render"),
    ]
    return [
        shop, chain, mail[:1], mail[1:], shop[1:2],  # a piece that comes again
        [span("5e04", "d1", None, None, "timeless", name="never", kind="SERVER", tags={"env": "none"})],
        [span("5e05", "e2", at[5], 20, "orphan", parent="e1", kind="SERVER", name="lost")],
        [span("5e06", "f2", at[6] - 3 * 10**6, 20, "skewed", parent="f1", name="early"), span("5e06", "f1", at[6], 10, "skewed", name="root")],
        [span("5e07", "71", at[7], 100, "Mixed", name="GET /X"), span("5e07", "72", at[7], 200, "mixed", parent="71", name="get /x")],
        # two traces with one lower half: storage in memory finds them as one, so only where both are found
        [span("0000000000005e08", "81", base - 2 * 86400 * 10**6 + 1, 100, "half", name="narrow")],
        [span("ab00000000000000" + "0000000000005e08", "81", base - 2 * 86400 * 10**6, 100, "half", name="wide")],
        [span("5e09", "91", at[9], 300, None, name="nobody", kind="SERVER"), span("5e09", "92", at[9] + 1, 200, "known", parent="91", kind="SERVER", name="x")],
        [span("5e10", "a1", at[10], 100, "word", name="annotated", annotations=["error", "two words"])],
        [span("5e11", "b1", at[11], 100, "word", name="tagged", tags={"error": "false", "k": "v", "spaced": "a b", "eq": "a=b", "and": "x and y", "Case": "Value"})],
        [span("5e12", "c1", at[12], 100, "word", name="both", tags={"k": "w"}, annotations=["k"]),
         span("5e12", "c2", at[12], 100, "other", parent="c1", name="both", tags={"other": "1"})],
        [span("5e13", "d1", at[13], 100, "loop", kind="CLIENT", name="self", remote="loop"),
         span("5e13", "d2", at[13] + 1, 50, "loop", parent="d1", kind="SERVER", name="self")],
        [span("5e14", "e1", at[14], 100, "direct", kind="CLIENT", name="call", remote="outside", tags={"error": "x"})],
        [span("5e15", "f1", at[15], 100, "served", kind="SERVER", name="from", remote="browser"),
         span("5e15", "f2", at[15] + 5, 10, "served", parent="f1", name="step", remote="cache")],
        [span("5e19", "21", at[17], 100, "blank", tags={"": "x"}, annotations=[""])],
        [span("5e16", "11", at[16], 100, "käse", name="ünï", tags={"ä": "ö"})],
        [span("5e17", "21", base - 3 * 86400 * 10**6, 100, "old", name="old", tags={"env": "old"})],
        [span("5e18", "31", base + 86400 * 10**6, 100, "future", name="future")],
    ]


def questions(base):
    """Paths; the windows end a minute after `base` unless they say otherwise."""
    ms = base // 1000

    def traces(query="", end=ms + 60000, lookback=3600000):
        return f"/api/v2/traces?endTs={end}&lookback={lookback}&limit=100" + ("&" + query if query else "")
    yield from ("/api/v2/services", "/api/v2/autocompleteKeys", "/zipkin/api/v2/services", "/zipkin/api/v2/autocompleteKeys", "/zipkin/config.json", "/config.json",
                "/api/v2/nothing", "/api/v2", "/api/v1/services",
                "/api/v2/services/", "/api/v2/trace", "/api/v2/trace/", "/api/v2/trace/5e01/", "/api/v2/traces/5e01")
    for path in ("spans", "remoteServices"):
        yield f"/api/v2/{path}"
        for service in ("", "front", "FRONT", "cart", "order", "mixed", "unknown", "all", "k%C3%A4se", "K%C3%84SE", "timeless", "direct", "served", "%20front",
                        "front&serviceName=cart", "loop", "mailer", "word", "half", "old"):
            yield f"/api/v2/{path}?serviceName={service}"
        yield f"/zipkin/api/v2/{path}?serviceName=front"
    yield "/api/v2/autocompleteValues"
    for key in ("", "env", "zone", "ENV", "http.method", "unknown", "env&key=zone"):
        yield f"/api/v2/autocompleteValues?key={key}"
    for text in ("5e01", "0000000000005e01", "00000000000000000000000000005e01", "5E01", "0x5e01", "xyz", "0", "0000000000000000", "5e99", "5e08",
                 "ab000000000000000000000000005e08", "1" * 33, "%35e01", "5e01?raw=true",
                 "5e02", "5e03", "5e04", "5e05", "5e06", "5e07", "5e09", "5e10", "5e11", "5e12", "5e13", "5e14", "5e15", "5e16", "5e17", "5e18", "%20", "%C3%A4",
                 "5e01,5e02"):
        yield f"/api/v2/trace/{text}"
    yield "/zipkin/api/v2/trace/5e02"
    yield "/api/v2/traceMany"
    for text in ("", "5e01", "5e01,5e02", "5e02,5e01", "5e01,5e01", "5e01,0000000000005e01", "5e01,5e99", "5e98,5e99", "5e01,", ",5e01", "5e01,,5e02", "5e01,xyz",
                 "5E01,5e02", "5e01,%205e02", "5e01%2C5e02", "5e01,0", "5e01&traceIds=5e02",
                 "5e08,ab000000000000000000000000005e08", "1" * 33 + ",5e01"):
        yield f"/api/v2/traceMany?traceIds={text}"
    yield traces()
    yield f"/api/v2/traces?endTs={ms + 60000}&lookback=3600000"  # the default limit
    yield f"/api/v2/traces?endTs={ms + 60000}&lookback=3600000&limit=3"
    for query in ("serviceName=front", "serviceName=FRONT", "serviceName=", "serviceName=all", "serviceName=unknown", "serviceName=timeless", "serviceName=orphan",
                  "serviceName=skewed", "serviceName=mixed", "serviceName=MIXED&spanName=GET%20/X", "serviceName=k%C3%A4se",
                  "serviceName=half", "serviceName=future", "serviceName=old", "serviceName=order&spanName=compute", "spanName=compute", "spanName=COMPUTE",
                  "spanName=all", "spanName=ALL", "spanName=", "spanName=nothing", "serviceName=front&spanName=compute",
                  "spanName=%C3%9Cn%C3%AF", "remoteServiceName=mysql", "remoteServiceName=MySQL", "remoteServiceName=kafka",
                  "remoteServiceName=kafka&serviceName=mailer", "remoteServiceName=kafka&serviceName=front", "remoteServiceName=", "remoteServiceName=all",
                  "remoteServiceName=cache",
                  "spanName=both&serviceName=other"):
        yield traces(query)
    for terms in ("error", "error=boom", "error=", "error=false", "Error", "http.method=GET", "http.method=get", "http.method", "http.method=GET+and+error",
                  "error+and+http.method=GET", "http.method=GET+and+http.method=POST", "retry", "retry+and+error", "retry+and+nothing", "retry=x", "ws", "ms+and+mr",
                  "k", "k=v", "k=w", "k+and+k=w", "k=w+and+k", "%20k=v%20", "k%20=%20v", "k=v++and++spaced=a+b", "spaced=a+b", "eq=a=b", "and=x+and+y", "two+words",
                  "=x", "=", "+and+", "error+and+", "+and+error", "+", "k+and+=", "=x+and+k", "and", "error+AND+retry", "Case=Value", "case=Value", "Case=value",
                  "nothing", "%C3%A4=%C3%B6", "env", "env=prod",
                  "error+and+other=1", "error+and+and"):
        yield traces(f"annotationQuery={terms}")
    for query in ("serviceName=front&annotationQuery=error", "serviceName=cart&annotationQuery=error",
                  "serviceName=front&annotationQuery=http.method=GET+and+error&spanName=get+/cart", "serviceName=word&annotationQuery=other=1",
                  "serviceName=other&annotationQuery=k", "annotationQuery=k=w+and+other=1", "annotationQuery="):
        yield traces(query)
    for query in ("minDuration=500", "minDuration=500&maxDuration=500", "minDuration=501&maxDuration=899", "minDuration=900", "minDuration=901",
                  "serviceName=cart&minDuration=300", "serviceName=cart&minDuration=301", "serviceName=front&minDuration=1", "minDuration=1&maxDuration=10",
                  "minDuration=0", "minDuration=-1", "minDuration=x",
                  "minDuration=1.5", "minDuration=+5", "minDuration=%2B5", "minDuration=", "maxDuration=5", "maxDuration=", "minDuration=5&maxDuration=4",
                  "minDuration=5&maxDuration=x", "minDuration=5&maxDuration=", "minDuration=9223372036854775807", "minDuration=9223372036854775808",
                  "minDuration=5&maxDuration=0"):
        yield traces(query)
    for more in ("limit=0", "limit=-1", "limit=x", "limit=", "limit=1.5", "limit=2147483648", "limit=2147483647", "endTs=0", "endTs=-1", "endTs=x", "endTs=1.5",
                 "endTs=9223372036854775807", "endTs=9223372036854775808", "lookback=0", "lookback=-1", "lookback=x", "lookback=9223372036854775807",
                 "limit=0&endTs=0", "limit=x&endTs=0", "lookback=0&limit=0&minDuration=0", "maxDuration=1&limit=0", "unknown=1&limit=x", "annotationQuery=%",
                 "annotationQuery=%zz", "serviceName=%FF&endTs=1"):
        yield f"/api/v2/traces?{more}"
    for second in (0, 1, 2, 3, 6, 8):  # edges of the window, in ms
        yield traces(end=ms + second * 1000, lookback=1)
        yield traces(end=ms + second * 1000 - 1, lookback=1000)
        yield traces(end=ms + second * 1000 + 1, lookback=1)
        yield traces(end=ms + second * 1000 + 1, lookback=2000)
    yield traces(lookback=7 * 86400000)
    yield from (traces(f"serviceName={service}", lookback=7 * 86400000) for service in ("old", "half"))
    yield traces("annotationQuery=env=old", lookback=7 * 86400000)
    yield traces("serviceName=future", end=ms + 2 * 86400000, lookback=3 * 86400000)
    yield traces(end=ms + 2 * 86400000, lookback=3 * 86400000)
    for more in ("", "endTs=", "endTs=x", "endTs=0", "endTs=-5", "endTs=1", f"endTs={ms}&lookback=0", f"endTs={ms}&lookback=x", f"endTs={ms}&lookback=-1",
                 f"endTs={ms}&limit=x", f"endTs={ms - 86400000}&lookback=1000", f"endTs={ms}&lookback="):
        yield f"/api/v2/dependencies?{more}"
