"""Who may come in: TLS, client certificates, tokens, scopes and origins, on every door; what a refused caller learns, and what nobody learns."""

import base64
import hashlib
import http.client
import json
import re
import secrets
import socket
import ssl
import time

import grpc
import pytest
from certs import Authority
from grpc_client import Services
from harness import DOORS, SLOW, Collector, run_command, until
from otlp import request_of
from rows import row

# {door: what it is} by the program's own list: a new door is in every table below, where it fails until it has a probe.
LISTED = dict(re.findall(r"^\| `listen\.(\w+)` \|.*\| ([^|]+) \|$", run_command("config", "--reference").stdout, re.M))
TCP = [door for door, text in LISTED.items() if not text.startswith("UDP")]
PROBE = {"otlp_http": ("POST", "/v1/traces"), "query_http": ("GET", "/api/services"), "metrics": ("GET", "/metrics"), "health": ("GET", "/status"),
         "zipkin": ("GET", "/api/v2/services"), "jaeger_thrift_http": ("POST", "/api/traces"), "sampling_http": ("GET", "/sampling?service=a")}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
CALL = {"otlp_grpc": EXPORT, "jaeger_grpc": "/jaeger.api_v2.CollectorService/PostSpans", "query_grpc": "/jaeger.api_v2.QueryService/GetServices",
        "sampling_grpc": "/jaeger.api_v2.SamplingManager/GetSamplingStrategy"}
GRPC = tuple(CALL)


def test_no_door_is_left_out():
    assert set(LISTED) == set(DOORS) and set(LISTED) - set(TCP) == {"jaeger_compact", "jaeger_binary"}
    assert set(TCP) == set(PROBE) | set(CALL) == set(SCOPE_OF)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), "other")


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server", "DNS:localhost,IP:127.0.0.1")


def tls_sets(server, **more):
    return {"tls.cert": server[0], "tls.key": server[1]} | {f"tls.{key}": value for key, value in more.items()}


def context(authority, client=None, **limits):
    made = ssl.create_default_context(cafile=authority.cert)
    if client:
        made.load_cert_chain(*client)
    for name, value in limits.items():
        setattr(made, name, value)
    return made


def ask(address, door, made, headers=None):
    """Status and body of a small request over TLS."""
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPSConnection(host, int(port), context=made, timeout=10 * SLOW)
    try:
        method, path = PROBE[door]
        connection.request(method, path, b"" if method == "POST" else None, {"Content-Type": "application/x-protobuf"} | (headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def call(address, door, credentials=None, metadata=None):
    """The status name of an empty unary call."""
    channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
    with channel:
        try:
            channel.unary_unary(CALL[door])(b"", timeout=10 * SLOW, metadata=metadata)
            return "OK"
        except grpc.RpcError as error:
            return error.code().name


def credentials(authority, client=None):
    chain, key = (client[0].read_bytes(), client[1].read_bytes()) if client else (None, None)
    return grpc.ssl_channel_credentials(authority.cert.read_bytes(), key, chain)


# --- TLS ----------------------------------------------------------------------------------------------


@row("tls.{cert,key}")
@pytest.mark.core
@pytest.mark.parametrize("door", TCP)
def test_every_door_speaks_tls(make, authority, other_authority, server, door):
    collector = make(tls_sets(server))
    address = collector.doors[door]
    if door in GRPC:
        assert call(address, door, credentials(authority)) == "OK"
        assert call(address, door, credentials(other_authority)) == "UNAVAILABLE"
        assert call(address, door) == "UNAVAILABLE"
        return
    assert ask(address, door, context(authority))[0] in (200, 202, 400)
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(address, door, context(other_authority))
    answer = collector.request(door, *PROBE[door])
    assert answer.status == 400 and b"https" in answer.body
    old = context(authority, maximum_version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError):
        ask(address, door, old)


@row("tls.min_version")
def test_tls_1_2_by_a_row_and_alpn(make, authority, server):
    collector = make(tls_sets(server, min_version="1.2"))
    address = collector.doors["otlp_http"]
    assert ask(address, "otlp_http", context(authority, maximum_version=ssl.TLSVersion.TLSv1_2))[0] == 200
    made = context(authority)
    for offered, chosen in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (["nothing"], None)):
        made.set_alpn_protocols(offered)
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 10) as plain, made.wrap_socket(plain, server_hostname=host) as wrapped:
            assert wrapped.selected_alpn_protocol() == chosen


@row("tls.doors")
def test_tls_only_on_named_doors(make, authority, server):
    collector = make(tls_sets(server, doors="otlp_http"))
    assert ask(collector.doors["otlp_http"], "otlp_http", context(authority))[0] == 200
    assert collector.get("/api/services").status == 200


CLIENTS = [("good", True, True), ("none", True, False), ("wrong authority", True, False), ("expired", True, False), ("wrong name", True, False),
           ("wrong name", False, True)]


@row("tls.{client_ca,client_names}")
@pytest.mark.core
@pytest.mark.parametrize("door", TCP)
def test_client_certificates(make, authority, other_authority, server, door):
    clients = {"good": authority.issue("good", "DNS:agent.shop.example,URI:spiffe://shop/agent"), "none": None,
               "wrong authority": other_authority.issue("stranger", "DNS:agent.shop.example"),
               "expired": authority.issue("expired", "DNS:agent.shop.example", days=-1),
               "wrong name": authority.issue("misnamed", "DNS:agent.other.example")}
    for names in ("*.shop.example", None):
        collector = make(tls_sets(server, client_ca=authority.cert) | ({"tls.client_names": names} if names else {}), name=f"data{bool(names)}")
        for kind, has_names, is_let_in in CLIENTS:
            if has_names != bool(names):
                continue
            address = collector.doors[door]
            if door in GRPC:
                status = call(address, door, credentials(authority, clients[kind]))
                assert status == ("OK" if is_let_in else "PERMISSION_DENIED" if kind == "wrong name" else "UNAVAILABLE"), kind
            elif kind in ("good", "wrong name"):
                status, body = ask(address, door, context(authority, clients[kind]))
                assert (status in (200, 202, 400)) == is_let_in, (kind, status)
                assert is_let_in or (status == 403 and b"tls.client_names" in body)
            else:
                with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
                    ask(address, door, context(authority, clients[kind]))


def test_commands_show_a_certificate(make, authority, other_authority, server, tmp_path):
    collector = make(tls_sets(server, client_ca=authority.cert))
    own, stranger = authority.issue("operator", "DNS:operator.shop.example"), other_authority.issue("stranger", "DNS:operator.shop.example")
    url = "https://" + collector.doors["query_http"]
    demo = ["demo", "--spans-per-second", "100", "--duration", "1s"]
    commands = [["ledger"], ["sampling", "show"], ["store", "backup", tmp_path / "backup.tar"], demo, [*demo, "--grpc"], ["why", "1"]]

    def last_line(command, *options):
        done = run_command(*command, "--server", url, *options)
        return done.returncode, (done.stderr.splitlines() or [""])[-1]

    def shown(pair):
        return "--cert-file", pair[0], "--key-file", pair[1]

    trusted = ("--ca-file", authority.cert)
    for command in commands[::-1]:
        for options, words in ((trusted, "requires a client certificate; see --cert-file"), (shown(own), "not trusted here; see --ca-file"),
                               ((), "not trusted here; see --ca-file"), ((*trusted, *shown(stranger)), "refused our certificate")):
            status, line = last_line(command, *options)
            assert status == 1 and words in line, (command, line)
        status, line = last_line(command, *trusted, *shown(own))
        assert (status == 0) if command[0] != "why" else "handshake" not in line and "certificate" not in line, (command, status, line)
    done = run_command(*demo, "--grpc", "--endpoint", "https://" + collector.doors["otlp_grpc"], *trusted)  # demo's own connection
    assert done.returncode == 1 and "export fails" in done.stderr and "requires a client certificate; see --cert-file" in done.stderr, done.stderr


def exchange(address, sent):
    """What a door says to these bytes until it ends."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10 * SLOW) as one:
        one.sendall(sent)
        return b"".join(iter(lambda: one.recv(1000), b""))


@pytest.mark.parametrize("sent, is_told", [
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True), (b"POST /v1/traces HTTP/1.0\r\nContent-Length: 70000\r\n\r\n" + bytes(70000), True),
    (b"OPTIONS /v1/traces HTTP/1.1\r\n\r\n", True), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", False), (b"\0" * 16, False), (b"EHLO a\r\n", False),
])
def test_a_plain_request_on_a_tls_door(make, server, sent, is_told):
    collector = make(tls_sets(server, doors="otlp_http"))
    got = exchange(collector.doors["otlp_http"], sent)
    head, _, body = got.partition(b"\r\n\r\n")
    assert (head.startswith(b"HTTP/1.1 400 ") and b"https" in body) == is_told, got
    assert is_told or got[0] == 21  # an alert
    until(lambda: failures(collector) == {("otlp_http", "plain"): 1})


def failures(collector):
    """{(door, reason): failed handshakes} that are not 0."""
    return {(dict(labels)["door"], dict(labels)["reason"]): value for (name, labels), value in collector.metrics().items()
            if name == "meshglass_tls_handshake_failures_total" and value}


def test_failed_handshakes_are_counted(make, authority, other_authority, server):
    collector = make(tls_sets(server, client_ca=authority.cert, doors="query_http") | {"http.header_timeout": "500ms"})
    address = collector.doors["query_http"]
    good = authority.issue("counted", "DNS:agent.shop.example")
    assert ask(address, "query_http", context(authority, good))[0] == 200
    host, port = address.rsplit(":", 1)
    socket.create_connection((host, int(port)), 10).close()  # only looks whether the port is open
    assert collector.get("/status", "health").status == 200
    assert failures(collector) == {}
    wrong = {"no_certificate": context(authority), "certificate": context(authority, other_authority.issue("stranger", "DNS:agent.shop.example")),
             "version": context(authority, good, maximum_version=ssl.TLSVersion.TLSv1_2), "refused": context(other_authority, good)}
    want = {}
    for reason, made in wrong.items():
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            ask(address, "query_http", made)
        want["query_http", reason] = 1
        until(lambda: failures(collector) == want, what=reason)
    expired = context(authority, authority.issue("old", "DNS:agent.shop.example", days=-1))
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        ask(address, "query_http", expired)
    want["query_http", "certificate"] = 2
    until(lambda: failures(collector) == want)
    assert exchange(address, b"\x16\x03\x01\x00\xff\x01") == b""  # is cut after http.header_timeout
    want["query_http", "unfinished"] = 1
    until(lambda: failures(collector) == want)
    assert exchange(address, b"\x16\x03\x01\xff\xff\x01")[0] == 21  # a record longer than any
    want["query_http", "other"] = 1
    until(lambda: failures(collector) == want)
    assert ask(address, "query_http", context(authority, good))[0] == 200 and failures(collector) == want


def test_certificate_is_reloaded_without_dropping(make, authority, server, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(server[0].read_bytes())
    key.write_bytes(server[1].read_bytes())
    collector = make(tls_sets((cert, key)))
    host, port = collector.doors["query_http"].rsplit(":", 1)
    old = http.client.HTTPSConnection(host, int(port), context=context(authority), timeout=10 * SLOW)
    old.request("GET", "/api/services")
    assert old.getresponse().read()
    first = old.sock.getpeercert()["serialNumber"]

    def serial():
        made = http.client.HTTPSConnection(host, int(port), context=context(authority), timeout=10 * SLOW)
        made.connect()
        try:
            return made.sock.getpeercert()["serialNumber"]
        finally:
            made.close()

    cert.write_bytes(b"nothing")  # a broken file changes nothing
    until(lambda: "tls" in collector.log_text() and "cert.pem" in collector.log_text())
    assert serial() == first
    new = authority.issue("renewed", "IP:127.0.0.1")
    key.write_bytes(new[1].read_bytes())
    cert.write_bytes(new[0].read_bytes())
    until(lambda: serial() != first)
    old.request("GET", "/api/services")  # the connection of before goes on
    assert old.getresponse().status == 200
    old.close()


# --- tokens and scopes --------------------------------------------------------------------------------

TOKENS = {name: secrets.token_urlsafe(32) for name in ("ingest", "query", "admin")}
PASSWORD = secrets.token_urlsafe(32)


def digest(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    rows = {"auth": {"tokens": [f"{name} {name} {digest(token)}" for name, token in TOKENS.items()],
                     "users": [f"person query,ingest {digest('person:' + PASSWORD)}"]},
            "cors": {"origins": ["https://*.shop.example"], "headers": ["x-trace"], "max_age": "10m"}}
    (folder / "meshglass.yaml").write_text(json.dumps(rows))  # JSON is YAML
    with Collector(folder / "data", config=folder / "meshglass.yaml") as it:
        yield it


def bearer(name):
    return {"Authorization": f"Bearer {TOKENS[name]}"}


SCOPE_OF = {"otlp_http": "ingest", "jaeger_thrift_http": "ingest", "query_http": "query", "zipkin": "query", "metrics": "query", "sampling_http": "ingest",
            "otlp_grpc": "ingest", "jaeger_grpc": "ingest", "query_grpc": "query", "sampling_grpc": "ingest", "health": None}  # None: asks nobody


@row("auth.{tokens,users}")
@pytest.mark.core
@pytest.mark.parametrize("door", PROBE)
def test_scopes_over_http(guarded, door):
    method, path = PROBE[door]
    body = b"" if method == "POST" else None
    kind = {"Content-Type": "application/x-protobuf" if door == "otlp_http" else "application/x-thrift"}

    def status(headers):
        return guarded.request(door, method, path, body, kind | headers)

    wrong = [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}, {"Authorization": TOKENS["query"]},
             {"Authorization": "Basic " + base64.b64encode(b"person:wrong").decode()}, {"Authorization": "Basic !!!"},
             {"Authorization": "Digest " + TOKENS["query"]}, {"Authorization": f"Bearer {TOKENS['query']}x"}]
    if SCOPE_OF[door] is None:
        assert {status(headers).status for headers in [*map(bearer, TOKENS), *wrong]} == {200}
        return
    for name in TOKENS:
        answer = status(bearer(name))
        allowed = name == SCOPE_OF[door] or (name == "admin" and SCOPE_OF[door] == "query")
        assert (answer.status not in (401, 403)) == allowed, (name, answer)
        assert allowed or (answer.status == 403 and SCOPE_OF[door] in answer.body.decode(errors="replace"))
    for headers in wrong:
        answer = status(headers)
        assert answer.status == 401 and "Bearer" in answer.headers["www-authenticate"], (headers, answer)
    person = base64.b64encode(f"person:{PASSWORD}".encode()).decode()
    assert status({"Authorization": f"Basic {person}"}).status not in (401, 403)
    text = guarded.log_text()
    assert not any(token in text for token in TOKENS.values()) and PASSWORD not in text


@pytest.mark.core
@pytest.mark.parametrize("door", GRPC)
def test_scopes_over_grpc(guarded, door):
    scope = SCOPE_OF[door]
    other = {"query": "ingest", "ingest": "query"}[scope]
    address = guarded.doors[door]
    assert call(address, door) == "UNAUTHENTICATED"
    assert call(address, door, metadata=[("authorization", "Bearer wrong")]) == "UNAUTHENTICATED"
    assert call(address, door, metadata=[("authorization", f"Bearer {TOKENS[other]}")]) == "PERMISSION_DENIED"
    assert call(address, door, metadata=[("authorization", f"Bearer {TOKENS[scope]}")]) == "OK"


@pytest.mark.parametrize("door, options", [("otlp_http", []), ("otlp_grpc", ["--grpc"])])
def test_demo_tells_why_it_is_refused(guarded, tmp_path, door, options):
    token = tmp_path / "token"
    token.write_text(TOKENS["query"])
    demo = ["demo", "--spans-per-second", "100", "--duration", "1s", "--endpoint", guarded.url(door), *options]
    done = run_command(*demo, "--token-file", token)
    assert done.returncode == 1 and "export fails: answered with" in done.stderr and "'query' lacks the scope ingest" in done.stderr, done.stderr
    done = run_command(*demo)
    assert done.returncode == 1 and "; see --token-file" in done.stderr, done.stderr


def test_admin_and_open_routes(guarded):
    assert guarded.get("/status", "health").status == 200
    assert guarded.get("/api/meshglass/v1/backup", headers=bearer("query")).status == 403
    assert guarded.get("/api/meshglass/v1/backup", headers=bearer("admin")).status == 200
    assert guarded.get("/api/meshglass/v1/ledger", headers=bearer("query")).status == 200
    assert guarded.request("zipkin", "POST", "/api/v2/spans", b"[]", bearer("query")).status == 403
    assert guarded.request("zipkin", "POST", "/api/v2/spans", b"[]", bearer("ingest")).status == 202


def test_a_refused_body_is_not_taken(guarded):
    body = request_of(5).SerializeToString()
    before = guarded.get("/api/meshglass/v1/ledger", headers=bearer("admin")).json()["accepted"]
    assert guarded.send(body).status == 401
    assert guarded.request("otlp_http", "POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"} | bearer("ingest")).status == 200
    assert guarded.get("/api/meshglass/v1/ledger", headers=bearer("admin")).json()["accepted"] == before + 5


def test_reload_changes_tokens(make, tmp_path):
    path = tmp_path / "meshglass.yaml"
    path.write_text(json.dumps({"auth": {"tokens": [f"a query {digest('first-token')}"]}}))
    collector = make(config=path)
    first, second = {"Authorization": "Bearer first-token"}, {"Authorization": "Bearer second-token"}
    assert collector.get("/api/services", headers=first).status == 200
    path.write_text(json.dumps({"auth": {"tokens": [f"a query {digest('second-token')}"]}}))
    collector.process.send_signal(1)
    until(lambda: collector.get("/api/services", headers=second).status == 200)
    assert collector.get("/api/services", headers=first).status == 401


@pytest.mark.parametrize("rows, words", [
    ({"auth.tokens": "x"}, "auth.tokens"), ({"auth.tokens": f"a nothing {digest('x')}"}, "scopes"),
    ({"auth.tokens": "a query sha256:12"}, "auth.tokens"), ({"auth.users": "a query md5:00"}, "auth.users"),
    ({"auth.open_doors": "cellar"}, "cellar"), ({"tls.doors": "jaeger_compact"}, "UDP"), ({"tls.cert": "/nowhere.pem"}, "tls"),
    ({"tls.client_ca": "/nowhere.pem"}, "tls"), ({"auth.client_certificates": "agent.shop.example ingest"}, "tls.client_ca"),
    ({"auth.client_certificates": "agent.shop.example ingest"}, "auth.client_certificates"), ({"tls.cert": "/nowhere.pem", "tls.key": "/nowhere.key"}, "/nowhere"),
    ({"auth.client_certificates": "agent.shop.example ingest", "tls.cert": "c", "tls.key": "k", "tls.client_ca": "a", "tls.doors": "otlp_grpc"}, "tls.doors"),
])
def test_wrong_rows_are_named(tmp_path, rows, words):
    sets = [word for key, value in rows.items() for word in ("--set", f"{key}={value}")]
    done = run_command("run", "--set", f"data_dir={tmp_path}/data", *sets)
    assert done.returncode in (1, 2) and words in done.stderr, done.stderr


CERTIFICATES = {"client_certificates": ["agent.shop.example query"]}
SOME_DOORS = {"cert": "c", "key": "k", "client_ca": "a", "doors": [door for door in TCP if door not in ("metrics", "health", "zipkin")]}


@pytest.mark.parametrize("rows, words", [
    ({"auth": CERTIFICATES}, ["auth.client_certificates", "tls.client_ca"]),
    ({"auth": CERTIFICATES | {"tokens": [f"a query {digest('x')}"]}, "tls": {"cert": "c", "key": "k"}}, ["auth.client_certificates", "tls.client_ca"]),
    ({"auth": CERTIFICATES, "tls": {"client_ca": "a"}}, ["tls.cert", "tls.key"]), ({"tls": {"cert": "c"}}, ["tls.cert", "tls.key"]),
    ({"tls": {"cert": "c", "key": "k", "client_names": ["a"]}}, ["tls.client_names", "tls.client_ca"]),
    ({"auth": CERTIFICATES, "tls": {"cert": "c", "key": "k", "client_ca": "a"}}, None), ({"tls": {"cert": "c", "key": "k"}}, None),
    ({"auth": CERTIFICATES, "tls": SOME_DOORS}, ["auth.client_certificates", "tls.doors", "by metrics, zipkin", "auth.open_doors", "auth.tokens"]),
    ({"auth": CERTIFICATES | {"open_doors": ["metrics"]}, "tls": SOME_DOORS}, ["auth.client_certificates", "by health, zipkin"]),
    ({"auth": CERTIFICATES | {"open_doors": []}, "tls": SOME_DOORS}, ["by metrics, health, zipkin"]),
    ({"auth": CERTIFICATES, "tls": SOME_DOORS, "listen": {"metrics": "off"}}, ["by zipkin"]),
    ({"auth": CERTIFICATES, "tls": SOME_DOORS, "listen": {"metrics": "off", "zipkin": "off"}}, None),
    ({"auth": CERTIFICATES | {"open_doors": ["metrics", "health", "zipkin"]}, "tls": SOME_DOORS}, None),
    ({"auth": CERTIFICATES, "tls": SOME_DOORS | {"doors": SOME_DOORS["doors"] + ["metrics", "zipkin"]}}, None),
    ({"auth": CERTIFICATES | {"tokens": [f"a query {digest('x')}"]}, "tls": SOME_DOORS}, None),
    ({"auth": CERTIFICATES | {"users": [f"a query {digest('x:y')}"]}, "tls": SOME_DOORS}, None), ({"tls": SOME_DOORS}, None),
])
def test_check_finds_rows_of_tls_that_do_not_go_together(tmp_path, rows, words):
    path = tmp_path / "meshglass.yaml"
    path.write_text(json.dumps(rows))
    done = run_command("check", str(path))
    assert done.returncode == (1 if words else 0), done.stderr
    assert all(word in done.stderr for word in words or [])


def test_a_reload_does_not_lock_everybody_out(make, authority, server, tmp_path):
    path = tmp_path / "meshglass.yaml"
    refused = "reload refused, nothing changed"

    def reload(collector, rows, word):
        seen = collector.log_text().count(word)
        path.write_text(json.dumps(rows))
        collector.process.send_signal(1)
        until(lambda: collector.log_text().count(word) > seen)
        return [line for line in collector.log_text().splitlines() if word in line][-1]

    tls = {"cert": str(server[0]), "key": str(server[1]), "client_ca": str(authority.cert)}
    path.write_text("{}")
    plain = make(config=path, name="plain")
    line = reload(plain, {"auth": CERTIFICATES}, refused)
    assert "auth.client_certificates" in line and "tls.client_ca" in line
    line = reload(plain, {"auth": CERTIFICATES, "tls": tls}, refused)  # fine after a restart, and tls.* is in force only then
    assert "auth.client_certificates" in line and "restart" in line
    assert plain.get("/api/services").status == 200
    reload(plain, {"auth": {"tokens": [f"a query {digest('token')}"]}, "tls": tls}, "event=reloaded")
    assert plain.get("/api/services").status == 401
    path.write_text(json.dumps({"tls": tls}))
    secure = make(config=path, name="secure")
    client = context(authority, authority.issue("agent", "DNS:agent.shop.example"))
    reload(secure, {"auth": CERTIFICATES, "tls": tls}, "event=reloaded")
    assert ask(secure.doors["query_http"], "query_http", client)[0] == 200
    assert ask(secure.doors["otlp_http"], "otlp_http", client)[0] == 403
    reload(secure, {"auth": CERTIFICATES}, refused)
    assert ask(secure.doors["query_http"], "query_http", client)[0] == 200
    tls["doors"] = ["otlp_http"]
    path.write_text(json.dumps({"tls": tls}))
    some = make(config=path, name="some")
    line = reload(some, {"auth": CERTIFICATES, "tls": tls}, refused)
    assert "auth.client_certificates" in line and "tls.doors" in line
    assert some.get("/api/services").status == 200


def test_an_open_door_is_a_warning(make):
    collector = make({"listen.otlp_http": "0.0.0.0:0"})
    until(lambda: "listen.otlp_http" in collector.log_text())
    token = {"auth.tokens": f"a ingest {digest('x')}"}
    guarded = make({"listen.otlp_http": "0.0.0.0:0"} | token, name="guarded")
    assert "listen.otlp_http" not in guarded.log_text()
    health = make({"listen.health": "0.0.0.0:0"}, name="health")  # its row says that it is not warned about
    assert health.get("/status", "health").status == 200 and "listen.health" not in health.log_text()


# --- origins ------------------------------------------------------------------------------------------


@row("cors.{origins,headers,max_age}")
def test_cors(guarded, collector):
    asked = {"Origin": "https://ui.shop.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-trace"}
    answer = guarded.request("otlp_http", "OPTIONS", "/v1/traces", headers=asked)
    assert answer.status == 204 and answer.headers["access-control-allow-origin"] == asked["Origin"]
    assert "POST" in answer.headers["access-control-allow-methods"] and answer.headers["access-control-max-age"] == "600"
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert "content-type" in allowed and "x-trace" in allowed
    answer = guarded.request("otlp_http", "OPTIONS", "/v1/traces", headers=asked | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    asked["Access-Control-Request-Headers"] = "content-type,x-other"
    assert "access-control-allow-origin" not in guarded.request("otlp_http", "OPTIONS", "/v1/traces", headers=asked).headers
    answer = guarded.get("/api/services", headers=bearer("query") | {"Origin": asked["Origin"]})
    assert answer.status == 200 and answer.headers["access-control-allow-origin"] == asked["Origin"] and "origin" in answer.headers["vary"].lower()
    assert "access-control-allow-origin" not in collector.get("/api/services", headers={"Origin": asked["Origin"]}).headers


# --- abuse over TLS -----------------------------------------------------------------------------------


def test_handshakes_that_never_end(make, server, authority):
    collector = make(tls_sets(server) | {"http.header_timeout": "500ms"})
    host, port = collector.doors["otlp_http"].rsplit(":", 1)
    idle = [socket.create_connection((host, int(port)), 10) for _ in range(20)]
    for one in idle[::2]:
        one.sendall(b"\x16\x03\x01\x00\xff\x01")
    assert ask(collector.doors["otlp_http"], "otlp_http", context(authority))[0] == 200
    begun = time.monotonic()
    for one in idle:
        one.settimeout(10 * SLOW)
        while one.recv(1000):
            pass
    assert time.monotonic() - begun < 10 * SLOW
    with socket.create_connection((host, int(port)), 10) as one:
        one.sendall(secrets.token_bytes(4000))
        one.settimeout(10 * SLOW)
        while one.recv(1000):
            pass


def test_services_by_reflection_over_tls(make, authority, server):
    collector = make(tls_sets(server))
    with Services(collector.doors["query_grpc"], credentials(authority)) as services:
        assert "jaeger.api_v2.QueryService" in services.names()
