"""Who may come in: TLS, client certificates, tokens, scopes and origins, on every door; what a refused caller learns, and what nobody learns."""

import base64
import hashlib
import http.client
import json
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

TCP = [door for door in DOORS if door not in ("jaeger_compact", "jaeger_binary")]
GRPC = ("otlp_grpc", "jaeger_grpc", "query_grpc", "sampling_grpc")
PROBE = {"otlp_http": ("POST", "/v1/traces"), "query_http": ("GET", "/api/services"), "metrics": ("GET", "/metrics"), "health": ("GET", "/status"),
         "zipkin": ("GET", "/api/v2/services"), "jaeger_thrift_http": ("POST", "/api/traces"), "sampling_http": ("GET", "/sampling?service=a")}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
CALL = {"otlp_grpc": EXPORT, "jaeger_grpc": "/jaeger.api_v2.CollectorService/PostSpans", "query_grpc": "/jaeger.api_v2.QueryService/GetServices",
        "sampling_grpc": "/jaeger.api_v2.SamplingManager/GetSamplingStrategy"}


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
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        collector.request(door, *PROBE[door])
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
@pytest.mark.parametrize("door", ["otlp_http", "query_http", "zipkin", "metrics", "jaeger_thrift_http", *GRPC])
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


SCOPE_OF = {"otlp_http": "ingest", "jaeger_thrift_http": "ingest", "query_http": "query", "zipkin": "query", "metrics": "query", "sampling_http": "ingest"}


@row("auth.{tokens,users}")
@pytest.mark.core
@pytest.mark.parametrize("door", SCOPE_OF)
def test_scopes_over_http(guarded, door):
    method, path = PROBE[door]
    body = b"" if method == "POST" else None
    kind = {"Content-Type": "application/x-protobuf" if door == "otlp_http" else "application/x-thrift"}

    def status(headers):
        return guarded.request(door, method, path, body, kind | headers)

    for name in TOKENS:
        answer = status(bearer(name))
        allowed = name == SCOPE_OF[door] or (name == "admin" and SCOPE_OF[door] == "query")
        assert (answer.status not in (401, 403)) == allowed, (name, answer)
        assert allowed or (answer.status == 403 and SCOPE_OF[door] in answer.body.decode(errors="replace"))
    wrong = [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}, {"Authorization": TOKENS["query"]},
             {"Authorization": "Basic " + base64.b64encode(b"person:wrong").decode()}, {"Authorization": "Basic !!!"},
             {"Authorization": "Digest " + TOKENS["query"]}, {"Authorization": f"Bearer {TOKENS['query']}x"}]
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
    scope = "query" if door == "query_grpc" else "ingest"
    other = "ingest" if door == "query_grpc" else "query"
    address = guarded.doors[door]
    assert call(address, door) == "UNAUTHENTICATED"
    assert call(address, door, metadata=[("authorization", "Bearer wrong")]) == "UNAUTHENTICATED"
    assert call(address, door, metadata=[("authorization", f"Bearer {TOKENS[other]}")]) == "PERMISSION_DENIED"
    assert call(address, door, metadata=[("authorization", f"Bearer {TOKENS[scope]}")]) == "OK"


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
    ({"tls.client_ca": "/nowhere.pem"}, "tls"), ({"tls.cert": "/nowhere.pem", "tls.key": "/nowhere.key"}, "/nowhere"),
])
def test_wrong_rows_are_named(tmp_path, rows, words):
    sets = [word for key, value in rows.items() for word in ("--set", f"{key}={value}")]
    done = run_command("run", "--set", f"data_dir={tmp_path}/data", *sets)
    assert done.returncode in (1, 2) and words in done.stderr, done.stderr


def test_an_open_door_is_a_warning(make):
    collector = make({"listen.otlp_http": "0.0.0.0:0"})
    until(lambda: "listen.otlp_http" in collector.log_text())
    token = {"auth.tokens": f"a ingest {digest('x')}"}
    guarded = make({"listen.otlp_http": "0.0.0.0:0"} | token, name="guarded")
    assert "listen.otlp_http" not in guarded.log_text()


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
