"""conversions.py - what becomes of a span on its way: CLIENT has what a client cannot say or says in its own way, DOOR what the collector makes of
a protocol's spans, SHOWN and SHOWN_BY_ZIPKIN what a query door has no place for. A row is a function that changes a span (a dict of plain values,
same_trace.py) and the reason. What no row names must come back as it was sent, and nothing else with it.
"""

import base64
import copy
import json

SCHEMA = "https://zipkin.io/zipkin-api/"  # what tells that a stored span came from Zipkin


class SomeText(str):
    """Equal to every text that begins so and goes on: what a client makes up."""

    def __eq__(self, other):
        return isinstance(other, str) and other.startswith(str(self)) and len(other) > len(self)

    def __ne__(self, other):
        return not self == other

    __hash__ = str.__hash__


# --- times and values ----------------------------------------------------------------------------------


def for_all(values, change):
    return {key: change(value) for key, value in values.items()}


def each_value(span, change):
    """Of the span, its events and its resource; not of links."""
    for one in (span, *span["events"]):
        one["attributes"] = for_all(one["attributes"], change)
    span["resource"] = for_all(span["resource"], change)


def retime(span, change, duration=None):
    """Changes all times. The end is that of the changed duration, or changed as the others."""
    length = span["end"] - span["start"]
    span["end"] = change(span["start"]) + duration(length) if duration else change(span["end"])
    span["start"] = change(span["start"])
    for event in span["events"]:
        event["time"] = change(event["time"])


def nearest_us(ns):
    return (ns + 500) // 1000 * 1000


def floor_us(ns):
    return ns // 1000 * 1000


def round_micros(span):
    retime(span, nearest_us, nearest_us)


def cut_micros(span):
    retime(span, floor_us, floor_us)


def cut_micros_ends(span):
    retime(span, floor_us)


def cut_micros_at_least_one(span):
    retime(span, floor_us)
    span["end"] = max(span["end"], span["start"] + 1000)


def round_micros_at_least_one(span):
    retime(span, nearest_us, lambda ns: max(nearest_us(ns), 1000) if ns else 0)


def seconds_as_double(span):
    def change(ns):
        seconds = ns / 1e9
        return int(seconds) * 10**9 + int((seconds - int(seconds)) * 1e9)
    retime(span, change)


def micros_of_double_seconds(span):
    begin, end = span["start"] / 1e9, span["end"] / 1e9
    retime(span, lambda ns: int(ns / 1e9 * 1e6) * 1000)
    span["end"] = span["start"] + int((end - begin) * 1e6) * 1000


def numbers_as_double(span):
    each_value(span, lambda value: float(value) if type(value) is int else value)


def lists_as_tuple_text(span):
    each_value(span, lambda value: str(tuple(value)) if isinstance(value, list) else value)


def nested_as_json(span):
    each_value(span, lambda value: compact(value) if isinstance(value, (list, dict)) else value)


def no_link_attributes(span):
    for link in span["links"]:
        link["attributes"] = {}


def links_as_follows_from(span):
    for link in span["links"]:
        link["attributes"] = {"opentracing.ref_type": "follows_from"}


def no_links(span):
    span["links"] = []


def no_trace_state(span):
    span["trace_state"] = ""


def no_scope(span):
    span["scope"] = ["", ""]


def no_ok(span):
    if span["status"][0] == "OK":
        span["status"] = ["UNSET", ""]


def service_only(span):
    span["resource"] = {"service.name": span["resource"]["service.name"]}


def resource_as_attributes(span):
    resource_as_attributes_too(span)
    service_only(span)


def service_as_attribute_too(span):
    span["attributes"]["service.name"] = span["resource"]["service.name"]


def resource_as_attributes_too(span):
    span["attributes"] |= {key: value for key, value in span["resource"].items() if key != "service.name"}


def sampler_tags(span):
    if not span["parent_id"]:
        span["attributes"] |= {"sampler.type": "const", "sampler.param": True}


def jaeger_client_process(span):
    span["resource"] |= {"jaeger.version": SomeText("Node-"), "hostname": "js", "ip": "10.9.8.7", "client-uuid": SomeText("")}


def jaeger_version(span):
    if "jaeger.version" in span["resource"]:
        span["resource"]["opencensus.exporterversion"] = SomeText("Jaeger-Node-")
        del span["resource"]["jaeger.version"]


# Zipkin: between client and door all is tags and annotations.


def whole(value):
    """JSON has one type of number: a double that is whole is written without a fraction."""
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def compact(value):
    return json.dumps(whole(value), separators=(",", ":"), ensure_ascii=False, default=lambda raw: base64.b64encode(raw).decode())


def zipkin_text(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if isinstance(value, str) else compact(value)


def values_as_json(span):
    each_value(span, zipkin_text)


def values_as_python(span):
    each_value(span, str)


def values_as_javascript(span):
    each_value(span, lambda value: ",".join(value) if isinstance(value, list) else zipkin_text(value))


def scope_as_tags(span):
    for key, value in zip(("name", "version"), span["scope"]):
        if value:
            span["attributes"] |= {f"otel.library.{key}": value, f"otel.scope.{key}": value}
    span["scope"] = ["", ""]


def status_as_tags(span):
    code, message = span["status"]
    if code != "UNSET":
        span["attributes"]["otel.status_code"] = code
    if code == "ERROR":
        span["attributes"]["error"] = message
    span["status"] = ["UNSET", ""]


def error_as_tag(span):
    if span["status"][0] == "ERROR":
        span["attributes"]["error"] = span["status"][1]
    span["status"] = ["UNSET", ""]


def description_as_tag(span):
    if span["status"][1]:
        span["attributes"]["otel.status_description"] = span["status"][1]


def state_as_tag(span):
    if span["trace_state"]:
        span["attributes"]["w3c.tracestate"] = span["trace_state"]
    span["trace_state"] = ""


def links_as_tags(span):
    for i, link in enumerate(span["links"]):
        span["attributes"][f"otlp.link.{i}"] = f"{link['trace_id']}|{link['span_id']}||{compact(link['attributes'])}|0"
    span["links"] = []


def internal_as_no_kind(span):
    if span["kind"] == "INTERNAL":
        span["kind"] = "UNSPECIFIED"


def internal_as_tag(span):
    if span["kind"] == "INTERNAL":
        span["kind"], span["attributes"]["span.kind"] = "UNSPECIFIED", "internal"


def names_lower(span):
    span["name"] = span["name"].lower()
    span["resource"]["service.name"] = span["resource"]["service.name"].lower()
    if span.get("remote"):
        span["remote"]["service"] = span["remote"]["service"].lower()


def events_as_python(span):
    for event in span["events"]:
        event["name"], event["attributes"] = json.dumps({event["name"]: event["attributes"]}, sort_keys=True), {}


def events_as_ours(span):
    for event in span["events"]:
        if event["attributes"]:
            event["name"], event["attributes"] = f"{event['name']}|{compact(event['attributes'])}|0", {}


def no_event_attributes(span):
    for event in span["events"]:
        event["attributes"] = {}


def local_address(span):
    span["local"] = {"ip": "10.9.8.7", "port": 8080}


def debug(span):
    span["debug"] = True


def peer_as_endpoint(span):
    """Only where the three are what an endpoint has."""
    attributes = span["attributes"]
    if isinstance(attributes.get("net.peer.port"), int):
        span["remote"] = {"service": attributes.pop("peer.service"), "ip": attributes.pop("net.peer.ip"), "port": attributes.pop("net.peer.port")}
    elif "peer.service" in attributes:
        span["remote"] = {"service": attributes.pop("peer.service"), "ip": attributes.pop("net.peer.ip"), "port": None}


# What the Zipkin door makes of them.

GIVEN = {"otel.library.name": 1, "otel.library.version": 2, "otel.scope.name": 4, "otel.scope.version": 8, "otel.status_code": 16,
         "service.name": 256}
ONLY_NAMED = {"net.peer.ip": 2048, "peer.service": 4096}


def known_tags(span):
    """Taken tags leave a mark by which they are given back."""
    attributes, marks = span["attributes"], 0
    for key in [key for key in attributes if key.startswith("host.")]:
        span["resource"][key] = attributes.pop(key)
    marks += sum(bit for key, bit in ONLY_NAMED.items() if key in attributes)
    marks += sum(bit for key, bit in GIVEN.items() if key in attributes)
    taken = {key: attributes.pop(key) for key in GIVEN if key in attributes}
    span["scope"] = [taken.get("otel.scope.name", ""), taken.get("otel.scope.version", "")]
    span["status"] = ["ERROR", attributes["error"]] if "error" in attributes else [taken.get("otel.status_code", "UNSET"), ""]
    if marks:
        attributes["zipkin.tags"] = marks


def annotations_as_events(span):
    for event in span["events"]:
        if event["name"].startswith("{"):
            text = event["name"]
            ((event["name"], event["attributes"]),) = json.loads(text).items()
            event["attributes"]["zipkin.annotation"] = text


def endpoints_as_attributes(span):
    local, remote = span.pop("local", None), span.pop("remote", None)
    if local:
        span["attributes"] |= {"net.host.ip": local["ip"], "net.host.port": local["port"]}
    if remote:
        span["attributes"] |= {"peer.service": remote["service"], "net.peer.ip": remote["ip"], "net.peer.port": remote["port"]}


def debug_as_attribute(span):
    if span.pop("debug", False):
        span["attributes"]["zipkin.debug"] = True


def schema_of_zipkin(span):
    span["schema"] = SCHEMA


def no_schema(span):
    span.pop("schema", None)


THRIFT_PYTHON = [
    (round_micros, "Thrift has microseconds; the exporter rounds start, duration and times of events"),
    (lists_as_tuple_text, "Jaeger has no lists; the exporter writes Python's text of them"),
    (no_link_attributes, "Jaeger's references have no attributes"),
    (no_trace_state, "the exporter does not send it"),
    (resource_as_attributes, "the exporter writes resource attributes as tags of every span; its process has a service only"),
]
JAEGER_JS = [
    (cut_micros, "Thrift has microseconds; the client cuts"),
    (numbers_as_double, "JavaScript has one type of number, and the client's is double"),
    (nested_as_json, "Jaeger has no lists; the client writes JSON"),
    (no_link_attributes, "Jaeger's references have no attributes"),
    (sampler_tags, "the client says how a root was sampled"),
    (jaeger_client_process, "the client names itself in its process"),
]
ZIPKIN_PYTHON = [
    (round_micros, "Zipkin has microseconds; the exporter rounds start, duration and times of annotations"),
    (events_as_python, "an annotation is a text: the exporter writes JSON"),
    (values_as_json, "Zipkin's tags are texts"),
    (resource_as_attributes, "Zipkin has no resource: the exporter writes it as tags"),
    (service_as_attribute_too, "the service as well, beside the local endpoint's"),
    (scope_as_tags, "Zipkin has no scope: the exporter writes it as tags, under its old and its new names"),
    (status_as_tags, "Zipkin has no status: the exporter writes the code and, as `error`, the message"),
    (internal_as_no_kind, "Zipkin has no such kind"),
    (no_links, "the exporter does not send them"),
    (no_trace_state, "the exporter does not send it"),
    (local_address, "the exporter was told its address"),
    (debug, "the exporter sets it on every sampled span"),
]
PLAIN_ZIPKIN = [  # of clients that know Zipkin alone
    (error_as_tag, "Zipkin has no status but the tag `error`"),
    (no_event_attributes, "an annotation is a text"),
    (no_scope, "Zipkin has none"),
    (internal_as_no_kind, "Zipkin has no such kind"),
    (no_links, "Zipkin has none"),
    (no_trace_state, "Zipkin has none"),
    (local_address, "the client was told its address"),
]
PY_ZIPKIN = [
    (micros_of_double_seconds, "the client takes seconds as a double, and cuts to microseconds"),
    (peer_as_endpoint, "the client has a field for it"),
    (values_as_python, "Zipkin's tags are texts, and these are Python's"),
    (service_only, "Zipkin has no resource"),
    *PLAIN_ZIPKIN,
]
CLIENT = {
    "otlp-grpc": [], "otlp-http": [], "otlp-json": [],
    "jaeger-compact": THRIFT_PYTHON, "jaeger-thrift-http": THRIFT_PYTHON,
    "jaeger-grpc": [
        (seconds_as_double, "the exporter takes nanoseconds through a double of seconds"),
        (lists_as_tuple_text, "Jaeger has no lists; the exporter writes Python's text of them"),
        (no_link_attributes, "Jaeger's references have no attributes"),
        (no_trace_state, "the exporter does not send it"),
        (resource_as_attributes_too, "the exporter writes resource attributes as tags of the span, and of its process"),
    ],
    "jaeger-binary": JAEGER_JS, "jaeger-http": JAEGER_JS,
    "zipkin-json": ZIPKIN_PYTHON, "zipkin-proto": ZIPKIN_PYTHON,
    "zipkin-exporter": [
        (cut_micros_ends, "the client is given whole microseconds: it would write fractions, which Zipkin refuses"),
        (values_as_javascript, "Zipkin's tags are texts, and these are JavaScript's"),
        (resource_as_attributes, "Zipkin has no resource: the exporter writes it as tags"),
        (service_as_attribute_too, "the service as well, beside the local endpoint's"),
        (status_as_tags, "Zipkin has no status: the exporter writes the code and, as `error`, the message"),
        (no_event_attributes, "the exporter writes the name only"),
        (no_scope, "the exporter does not send it"),
        (internal_as_no_kind, "Zipkin has no such kind"),
        (no_links, "the exporter does not send them"),
        (no_trace_state, "the exporter does not send it"),
    ],
    "zipkin": [
        (cut_micros_at_least_one, "Zipkin has microseconds, and no duration below one"),
        (peer_as_endpoint, "the client has an annotation for it"),
        (values_as_javascript, "Zipkin's tags are texts, and these are JavaScript's"),
        (resource_as_attributes, "what a process says of itself are tags of every span"),
        (names_lower, "names are in lower case in Zipkin, and the client sees to it"),
        *PLAIN_ZIPKIN,
    ],
    "py-zipkin": PY_ZIPKIN, "py-zipkin-proto": PY_ZIPKIN,
}
DOOR = {
    "otlp": [],
    "jaeger": [
        (links_as_follows_from, "a reference becomes a link that says of what type it was"),
        (jaeger_version, "OpenTelemetry has another name for it"),
    ],
    "zipkin": [
        (annotations_as_events, "OpenTelemetry's own texts are read; when they are spelled otherwise than ours the text stays beside"),
        (known_tags, "tags that OpenTelemetry has a place for are put there; `error` sets the status and stays"),
        (endpoints_as_attributes, "OpenTelemetry has attributes for addresses and peers"),
        (debug_as_attribute, "OpenTelemetry has no such flag"),
        (schema_of_zipkin, "it tells that a span came from Zipkin, and so is given back as it came"),
    ],
}
JAEGER_MODEL = [
    (nested_as_json, "Jaeger has no lists and maps: JSON"),
    (no_link_attributes, "Jaeger's references have no attributes"),
    (no_schema, "Jaeger has no place for it"),
]
SHOWN = {
    "dump": [], "v3 JSON": [], "v3 gRPC": [],
    "v2 JSON": [(cut_micros, "the API has microseconds, cut"), *JAEGER_MODEL],
    "v2 gRPC": JAEGER_MODEL,
}
SHOWN_BY_ZIPKIN = {
    "zipkin": [(names_lower, "names are in lower case in Zipkin")],  # nothing else: as the client sent it
    None: [
        (no_schema, "Zipkin has no place for it"),
        (peer_as_endpoint, "Zipkin has an endpoint for the peer, when the attributes have its types"),
        (round_micros_at_least_one, "Zipkin has microseconds, rounded, and no duration below one"),
        (names_lower, "names are in lower case in Zipkin"),
        (events_as_ours, "an annotation is a text: name, attributes as JSON, how many were dropped"),
        (links_as_tags, "Zipkin has no links: tags"),
        (description_as_tag, "Zipkin has no status: the message is a tag"),
        (status_as_tags, "Zipkin has no status: the code is a tag, and `error` has the message"),
        (values_as_json, "Zipkin's tags are texts"),
        (resource_as_attributes, "Zipkin has no resource: tags"),
        (scope_as_tags, "Zipkin has no scope: tags, under the old and the new names"),
        (state_as_tag, "Zipkin has no trace state: a tag"),
        (internal_as_tag, "Zipkin has no such kind: a tag"),
    ],
}


def through(spans, rows):
    out = copy.deepcopy(list(spans))
    for change, _ in rows:
        for span in out:
            change(span)
    return out
