"""The static Jaeger UI: a small one of our own in every placeholder variant, every request that UI 2.19 makes (checked as
strictly as the UI checks it), and deploy/jaeger-ui against a local server."""

import hashlib
import http.server
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile
import threading
import time
import zipfile

import pytest
from harness import ROOT, Collector, run_command
from otlp import ExportTraceServiceRequest, add_span, new_id, to_json
from rows import row

pytestmark = pytest.mark.core
TOOL = ROOT / "deploy/jaeger-ui"
MS = 10**6
NOW = time.time_ns() // 10**9 * 10**9 - 60 * 10**9
TRACE = new_id(16)
STATIC = {"static/index-Ab3dE6gH.js": b"export {}", "static/favicon-Zz3dE6gH.ico": b"icon", "static/logo.svg": b"<svg/>"}

SCRIPTED_BASE = """<script>document.currentScript.insertAdjacentHTML('afterend',
  '<base href="' + safe + '" data-inject-target="BASE_URL" />');</script>"""
VARIANTS = {  # head, capabilities
    "2.14": ('<base href="/" data-inject-target="BASE_URL" />', "const JAEGER_STORAGE_CAPABILITIES = DEFAULT_STORAGE_CAPABILITIES;"),
    "2.19": (SCRIPTED_BASE, "const JAEGER_STORAGE_CAPABILITIES = DEFAULT_STORAGE_CAPABILITIES;"),
    "2.20": (SCRIPTED_BASE, "const JAEGER_STORAGE_CAPABILITIES = DEFAULT_STORAGE_CAPABILITIES;\n"
                            "const JAEGER_BACKEND_CAPABILITIES = DEFAULT_BACKEND_CAPABILITIES;"),
    "tight": ("", "JAEGER_BACKEND_CAPABILITIES=DEFAULT_BACKEND_CAPABILITIES;"),
}
PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    %s
    <script>
      // JAEGER_CONFIG_JS

      const DEFAULT_CONFIG = null;
      const JAEGER_CONFIG = DEFAULT_CONFIG;
      %s
      const DEFAULT_VERSION = { gitCommit: '', gitVersion: '', buildDate: '' };
      const JAEGER_VERSION  =  DEFAULT_VERSION;
    </script>
  </head>
  <body><div id="jaeger-ui-root"></div></body>
</html>
"""


def make_ui(folder, variant="2.19"):
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(PAGE % VARIANTS[variant])
    for name, content in STATIC.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "asset-manifest.json").write_text("not to be seen")
    return folder


def assigned(page, name):
    """What the page assigns to that name, as JSON."""
    return json.loads(re.search(rf"{name} = (.*);", page).group(1))


# --- a known world, and a collector with a UI ----------------------------------------------------------


def world():
    request = ExportTraceServiceRequest()
    root = add_span(request, "front", trace_id=TRACE, span_id=new_id(8), name="GET /", kind=2, start_time_unix_nano=NOW,
                    end_time_unix_nano=NOW + 50 * MS, attributes={"http.status_code": 500})
    root.status.code = 2
    child = add_span(request, "cart", trace_id=TRACE, span_id=new_id(8), parent_span_id=root.span_id, name="load", kind=0,
                     start_time_unix_nano=NOW + MS, end_time_unix_nano=NOW + 60 * MS, attributes={"user": "ann"})
    add_span(request, "cart", trace_id=TRACE, span_id=new_id(8), parent_span_id=new_id(8), name="lost", kind=3,
             start_time_unix_nano=NOW + 2 * MS, end_time_unix_nano=NOW + 3 * MS)
    # a Zipkin pair: client and server share one id, so that adjusted and stored spans differ
    shared = new_id(8)
    for kind, service in ((3, "front"), (2, "cart")):
        add_span(request, service, trace_id=TRACE, span_id=shared, parent_span_id=child.span_id, name="shared", kind=kind,
                 start_time_unix_nano=NOW + 4 * MS, end_time_unix_nano=NOW + 5 * MS)
    return request


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    ui = make_ui(tmp_path_factory.mktemp("ui") / "ui")
    with Collector(tmp_path_factory.mktemp("data") / "data", {"ui.dir": ui}) as it:
        assert it.send(world().SerializeToString()).status == 200
        it.settle()
        yield it


# --- the page and its files ----------------------------------------------------------------------------


@row("ui.{dir,config}")
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_placeholder_variant_is_filled_in(make, tmp_path, variant):
    ui = make_ui(tmp_path / "ui", variant)
    config = tmp_path / "ui.json"
    config.write_text('{"menu": [{"label": "</script><b>&"}]}')
    it = make({"ui.dir": ui, "ui.config": config})
    answer = it.get("/")
    page = answer.body.decode()
    assert answer.status == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "no-cache" in answer.headers["cache-control"]
    assert assigned(page, "JAEGER_CONFIG") == {"menu": [{"label": "</script><b>&"}]} and "</script><b>" not in page
    assert isinstance(assigned(page, "JAEGER_VERSION")["gitCommit"], str), "the UI stays blank without it"
    for line in VARIANTS[variant][1].split("\n"):
        name = re.search(r"JAEGER_\w+", line).group()
        capabilities = assigned(page, name)
        assert isinstance(capabilities["archiveStorage"], bool) and capabilities["metricsStorage"] is False
        if "BACKEND" in name:
            assert capabilities["searchWithoutServiceName"] is True and capabilities["aiAssistant"] is False
    assert "= DEFAULT" not in page
    # The first base of the markup is ours, before anything that refers to a file.
    assert page.index('<base href="/" data-inject-target="BASE_URL"') < page.index("<script>")
    it.stop()


@row("ui.base_path")
def test_a_script_configures_the_ui(make, tmp_path):
    script = tmp_path / "ui.js"
    script.write_text("function UIConfig() { return {}; }")
    it = make({"ui.dir": make_ui(tmp_path / "ui"), "ui.config": script, "ui.base_path": "/jaeger"})
    page = it.get("/search").body.decode()
    assert "function UIConfig() { return {}; }\n      const DEFAULT_CONFIG" in page
    assert "JAEGER_CONFIG = DEFAULT_CONFIG;" in page and '<base href="/jaeger/"' in page
    it.stop()


@pytest.mark.parametrize("path", ["/", "/search", "/search?service=a", "/trace/abc", "/trace/a...b", "/trace/a%2Fb%3D", "/dependencies",
                                  "/deep-dependencies", "/quality-metrics", "/monitor", "/asset-manifest.json", "/no/such/path"])
def test_paths_of_the_ui_open_the_page(collector, path):
    answer = collector.get(path)
    assert answer.status == 200 and b"jaeger-ui-root" in answer.body and b"not to be seen" not in answer.body


def test_files_are_served_with_type_tag_and_caching(collector):
    types = {".js": "text/javascript; charset=utf-8", ".ico": "image/x-icon", ".svg": "image/svg+xml"}
    for name, content in STATIC.items():
        answer = collector.get("/" + name)
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, content, types[pathlib.Path(name).suffix])
        assert ("immutable" in answer.headers["cache-control"]) == ("-" in name)
        again = collector.get("/" + name, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", ["/static", "/static/", "/static/none.js", "/static/../index.html", "/static/%2e%2e/index.html",
                                  "/static/..%2f..%2f..%2f..%2fetc%2fpasswd", "/static//etc/passwd", "/static/../../../../etc/passwd",
                                  "/api/unknown", "/api/", "/api/../static/logo.svg"])
def test_nothing_else_can_be_reached(collector, path):
    answer = collector.get(path)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


def test_the_console_stays(collector):
    assert b"jaeger-ui-root" not in collector.get("/console/").body and collector.get("/console/").status == 200


def test_without_a_ui_the_console_is_the_front_page(make):
    it = make()
    answer = it.get("/")
    assert (answer.status, answer.headers["location"]) == (302, "/console/")
    assert it.get("/search").status == 404
    it.stop()


@row("ui.bytes_max")
@pytest.mark.parametrize("case", ["missing", "no page", "no static", "link", "linked page", "device", "too large", "bad config", "bad base"])
def test_what_is_no_ui_is_told_at_the_start(tmp_path, case):
    ui, more = make_ui(tmp_path / "ui"), []
    if case == "missing":
        ui = tmp_path / "none"
    elif case == "no page":
        (ui / "index.html").unlink()
    elif case == "no static":
        (ui / "static").rename(ui / "other")
    elif case == "link":
        (ui / "static/passwd").symlink_to("/etc/passwd")
    elif case == "linked page":
        (ui / "index.html").unlink()
        (ui / "index.html").symlink_to("/etc/passwd")
    elif case == "device":
        os.mkfifo(ui / "static/pipe")
    elif case == "too large":
        (ui / "static/large.js").write_bytes(bytes(1024))
        more = ["--set", "ui.bytes_max=1KiB"]
    elif case == "bad config":
        (tmp_path / "c.json").write_text("[]")
        more = ["--set", f"ui.config={tmp_path / 'c.json'}"]
    else:
        more = ["--set", "ui.base_path=x"]
    doors = [part for door in ("otlp_grpc", "otlp_http", "query_http", "metrics", "health") for part in ("--set", f"listen.{door}=127.0.0.1:0")]
    done = run_command("run", *doors, "--set", f"data_dir={tmp_path / 'data'}", "--set", f"ui.dir={ui}", *more)
    assert done.returncode == 1 and "ui.dir" in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    word = {"too large": "ui.bytes_max", "bad config": "ui.config", "bad base": "ui.base_path", "no page": "index.html", "no static": "static"}
    assert word.get(case, "") in done.stderr


# --- what UI 2.19 asks, judged as its schemas judge it -------------------------------------


def checked(value, required, optional=()):
    assert isinstance(value, dict) and set(required) <= set(value) <= set(required) | set(optional), value
    return value


def window(**more):
    def text(ns):
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns // MS % 1000:03}Z"
    return {"query.startTimeMin": text(NOW - 3600 * 10**9), "query.startTimeMax": text(NOW + 3600 * 10**9), "query.searchDepth": 20} | more


def test_services(collector):
    answer = collector.get("/api/v3/services")
    assert answer.headers["content-type"] == "application/json"
    assert checked(answer.json(), ["services"])["services"] == ["cart", "front"]


def test_operations(collector):
    items = checked(collector.get("/api/v3/operations", service="cart").json(), ["operations"])["operations"]
    assert [(checked(i, ["name", "spanKind"])["name"], i["spanKind"]) for i in items] == [("load", "internal"), ("lost", "client"), ("shared", "server")]
    assert collector.get("/api/v3/operations", service="nobody").json() == {"operations": []}
    assert collector.get("/api/v3/operations").json() == {"operations": []}


def judge_summary(item):
    checked(item, ["traceId"], ["rootServiceName", "rootOperationName", "minStartTimeUnixNano", "maxEndTimeUnixNano", "spanCount",
                                "errorSpanCount", "orphanSpanCount", "services"])
    assert re.fullmatch("[0-9a-f]{32}", item["traceId"])
    assert all(re.fullmatch(r"\d+", item[key]) for key in ("minStartTimeUnixNano", "maxEndTimeUnixNano"))
    assert all(type(item.get(key, 0)) is int and item.get(key, 0) >= 0 for key in ("spanCount", "errorSpanCount", "orphanSpanCount"))
    for service in item["services"]:
        checked(service, ["name"], ["spanCount", "errorSpanCount"])


def test_summaries(collector):
    answer = collector.get("/api/v3/trace-summaries", **window(**{"query.serviceName": "cart"}))
    (item,) = checked(answer.json(), ["summaries"])["summaries"]
    judge_summary(item)
    assert item == {
        "traceId": TRACE.hex(), "rootServiceName": "front", "rootOperationName": "GET /", "minStartTimeUnixNano": str(NOW),
        "maxEndTimeUnixNano": str(NOW + 60 * MS), "spanCount": 5, "errorSpanCount": 1, "orphanSpanCount": 1,
        "services": [{"name": "cart", "spanCount": 3}, {"name": "front", "spanCount": 2, "errorSpanCount": 1}]}


FOUND = [  # what the search form adds, found or not
    ({}, True), ({"query.serviceName": "front", "query.operationName": "GET /"}, True), ({"query.serviceName": "nobody"}, False),
    ({"query.operationName": "none"}, False), ({"query.durationMin": "50ms", "query.durationMax": "60ms"}, True),
    ({"query.durationMin": "61ms"}, False), ({"query.attributes": '{"error":"true","http.status_code":"500"}'}, True),
    ({"query.attributes": '{"user":"bob"}'}, False), ({"query.startTimeMax": "2001-01-01T00:00:00Z", "query.startTimeMin": "2000-01-01T00:00:00Z"}, False),
]


@pytest.mark.parametrize("more,is_found", FOUND)
def test_searches(collector, more, is_found):
    answer = collector.get("/api/v3/trace-summaries", **window(**more))
    assert answer.status == 200 and len(answer.json()["summaries"]) == is_found
    snake = {re.sub("([A-Z])", lambda m: "_" + m.group().lower(), key): value for key, value in window(**more).items()}
    answer = collector.get("/api/v3/traces", **snake)
    if is_found:
        assert answer.status == 200 and len(answer.json()["result"]["resourceSpans"]) > 0
    else:
        assert (answer.status, answer.json()) == (404, {"error": {"httpCode": 404, "message": "No traces found"}})


def test_a_trace_in_v3_is_the_one_of_the_legacy_api(collector):
    legacy = collector.trace(TRACE.hex()).json()["data"][0]["spans"]
    answer = collector.get(f"/api/v3/traces/{TRACE.hex()}")
    spans = {span["spanId"]: (span.get("parentSpanId", ""), span["name"], int(span["startTimeUnixNano"]) // 1000)
             for group in answer.json()["result"]["resourceSpans"] for scope in group["scopeSpans"] for span in scope["spans"]}
    assert spans == {s["spanID"]: (s["references"][0]["spanID"] if s["references"] else "", s["operationName"], s["startTime"]) for s in legacy}
    assert len(spans) == 5, "the shared id was split"
    raw = collector.get(f"/api/v3/traces/{TRACE.hex()}", rawTraces="true").json()["result"]["resourceSpans"]
    assert len({s["spanId"] for g in raw for scope in g["scopeSpans"] for s in scope["spans"]}) == 4


ERRORS = [
    ("/api/v3/trace-summaries", 400, "query.startTimeMin and query.startTimeMax are required"),
    ("/api/v3/traces?query.startTimeMin=x&query.startTimeMax=y", 400, "malformed parameter query.startTimeMin: "),
    ("/api/v3/traces/xyz", 400, "malformed parameter trace_id: "), ("/api/v3/traces/123", 404, "No traces found"),
]


@pytest.mark.parametrize("path,status,message", ERRORS)
def test_v3_errors(collector, path, status, message):
    answer = collector.get(path)
    error = checked(checked(answer.json(), ["error"])["error"], ["httpCode", "message"])
    assert answer.status == error["httpCode"] == status and error["message"].startswith(message)


def test_the_trace_page(collector):
    for query in ({}, {"prettyPrint": "true"}, {"raw": "true", "prettyPrint": "true"}):
        answer = collector.trace(TRACE.hex(), **query)
        assert answer.status == 200 and len(answer.json()["data"]) == 1 and len(answer.json()["data"][0]["spans"]) == 5
        assert answer.body.startswith(b"{\n    ") == bool(query)
    unknown = collector.trace(new_id(16).hex())
    assert unknown.status == 404 and unknown.json()["errors"][0]["msg"] == "trace not found"


def test_an_uploaded_file(collector):
    before = collector.ledger()["accepted"]
    answer = collector.request("query_http", "POST", "/api/transform", to_json(world()), {"Content-Type": "text/plain;charset=UTF-8"})
    (trace,) = checked(answer.json(), ["data", "total", "limit", "offset", "errors"])["data"]
    assert answer.status == 200 and trace["traceID"] == TRACE.hex() and len(trace["spans"]) == 5
    assert {p["serviceName"] for p in trace["processes"].values()} == {"front", "cart"}
    bad = collector.request("query_http", "POST", "/api/transform", b"not otlp", {"Content-Type": "text/plain;charset=UTF-8"})
    assert bad.status == 400 and bad.json()["errors"][0]["msg"].startswith("cannot unmarshal OTLP : ")
    assert collector.ledger()["accepted"] == before, "nothing is stored"


def test_the_dependency_graph(collector):
    """A week back, as the UI asks. A span whose parent is unknown calls nobody, and of the spans that share an id the client is called by the
    parent and calls the server."""
    query = {"endTs": time.time_ns() // MS, "lookback": 604800000}
    answer = collector.get("/api/dependencies", **query)
    body = checked(answer.json(), ["data", "total", "limit", "offset", "errors"])
    assert answer.status == 200 and answer.headers["content-type"] == "application/json" and body["errors"] is None
    assert body["data"] == [{"parent": "cart", "child": "front", "callCount": 1}, {"parent": "front", "child": "cart", "callCount": 2}]
    assert collector.get("/api/dependencies", **(query | {"lookback": 0, "endTs": 1})).json()["data"] == []


def test_the_archive_button(collector):
    """No body and no content type. Stored spans are archived, so that raw and adjusted reads stay as they are."""
    page = collector.get("/").body.decode()
    assert assigned(page, "JAEGER_STORAGE_CAPABILITIES")["archiveStorage"] is True, "the button is shown"
    before = [collector.trace(TRACE.hex(), **query).json() for query in ({}, {"raw": "true"})]
    for _ in range(2):
        answer = collector.request("query_http", "POST", f"/api/archive/{TRACE.hex()}")
        assert (answer.status, answer.json()) == (200, {"data": [], "total": 0, "limit": 0, "offset": 0, "errors": []})
        assert [collector.trace(TRACE.hex(), **query).json() for query in ({}, {"raw": "true"})] == before
    unknown = collector.request("query_http", "POST", f"/api/archive/{new_id(16).hex()}")
    assert unknown.status == 404 and checked(unknown.json(), ["data", "total", "limit", "offset", "errors"])["errors"] == [{"code": 404, "msg": "trace not found"}]


# --- deploy/jaeger-ui ----------------------------------------------------------------------------------


def tool(*arguments, home):
    env = os.environ | {"XDG_DATA_HOME": str(home / "share"), "HOME": str(home), "no_proxy": "*"}
    return subprocess.run([str(TOOL), *map(str, arguments)], capture_output=True, text=True, env=env, timeout=120)


def release(extra=(), prefix="packages/jaeger-ui/build/", ui=True):
    """The bytes of a tar.gz as releases have it; `extra` are TarInfos with their content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        files = {"index.html": (PAGE % VARIANTS["2.19"]).encode(), "LICENSE": b"text"} | STATIC if ui else {}
        for name, content in files.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info, content in extra:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def entry(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.fixture
def server():
    files = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = files.get(self.path)
            if isinstance(found, str):
                self.send_response(302)
                self.send_header("Location", found)
                self.end_headers()
                return
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_):
            pass

    door = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=door.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{door.server_port}", files
    door.shutdown()
    thread.join()
    door.server_close()


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_version_is_fetched_checked_installed_and_served(server, make, tmp_path):
    url, files = server
    archive = release()
    files["/v2.19.0/assets.tar.gz"], files["/moved"] = "/moved", archive
    config = tmp_path / "meshglass.yaml"
    config.write_text("# mine\nstore:\n  retention: 3d  # kept\n")
    done = tool("v2.19.0", "--base-url", url, "--sha256", hashlib.sha256(archive).hexdigest().upper(), "--config", config, home=tmp_path)
    assert done.returncode == 0, done.stderr
    to = tmp_path / "share/meshglass/jaeger-ui/2.19.0"
    assert done.stdout.splitlines()[-1] == f'ui.dir: "{to}"'
    assert files_below(to) == {"index.html", *STATIC}
    assert config.read_text() == f'# mine\nstore:\n  retention: 3d  # kept\nui.dir: "{to}"\n'
    it = make(config=config)
    assert b"jaeger-ui-root" in it.get("/trace/1").body
    it.stop()


@pytest.mark.parametrize("kind", ["tar.gz", "tar", "zip", "flat", "nested"])
def test_local_files_of_every_kind(tmp_path, kind):
    path = tmp_path / f"my-ui.{'zip' if kind == 'zip' else 'tar.gz'}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in ({"index.html": b"<head>"} | STATIC).items():
                archive.writestr("build/" + name, content)
    elif kind == "tar":
        import gzip
        path.write_bytes(gzip.decompress(release()))
    else:
        path.write_bytes(release(prefix={"flat": "./", "nested": "a/b/c/d/"}.get(kind, "packages/jaeger-ui/build/")))
    for _ in range(2):  # a second run replaces the first
        done = tool(path, "--to", tmp_path / "there/ui", home=tmp_path)
        assert done.returncode == 0, done.stderr
        assert files_below(tmp_path / "there") == {"ui/index.html", *("ui/" + name for name in STATIC)}
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["ui"], "no scratch is left"


HOSTILE = {
    "parent": (entry("../evil"), "leaves its folder"), "inside": (entry("a/../../evil"), "leaves its folder"),
    "absolute": (entry("/tmp/evil"), "not a path inside"), "windows": (entry("c:\\evil"), "not a path inside"),
    "symlink": (entry("static/l", tarfile.SYMTYPE, "/etc/passwd"), "is a link"), "hard link": (entry("l", tarfile.LNKTYPE, "index.html"), "is a link"),
    "device": (entry("null", tarfile.CHRTYPE), "not a file"), "pipe": (entry("pipe", tarfile.FIFOTYPE), "not a file"),
    "twice": (entry("packages/jaeger-ui/build/index.html"), "twice"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_installs_nothing(tmp_path, case):
    info, sentence = HOSTILE[case]
    path = tmp_path / "ui.tar.gz"
    path.write_bytes(release([(info, b"")]))
    done = tool(path, "--to", tmp_path / "there/ui", home=tmp_path)
    assert done.returncode == 1 and sentence in done.stderr and done.stderr.startswith("jaeger-ui: "), done.stderr
    assert not (tmp_path / "there").exists() and not (tmp_path / "evil").exists()


@pytest.mark.parametrize("case", ["parent", "symlink", "backslash"])
def test_a_hostile_zip_installs_nothing(tmp_path, case):
    path = tmp_path / "ui.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in ({"index.html": b"<head>"} | STATIC).items():
            archive.writestr(name, content)
        info = zipfile.ZipInfo({"parent": "../evil", "symlink": "static/l", "backslash": "static\\..\\evil"}[case])
        info.external_attr = (0o120777 if case == "symlink" else 0o100644) << 16
        archive.writestr(info, b"/etc/passwd")
    done = tool(path, "--to", tmp_path / "there/ui", home=tmp_path)
    assert done.returncode == 1 and not (tmp_path / "there").exists(), done.stdout


def test_archives_that_cannot_be_used(tmp_path):
    whole = release()
    cases = {"cut": whole[:len(whole) // 2], "text": b"hello", "empty": b"", "no ui": release(ui=False, extra=[(entry("readme"), b"x")])}
    for name, content in cases.items():
        path = tmp_path / "ui.tar.gz"
        path.write_bytes(content)
        done = tool(path, "--to", tmp_path / "there/ui", home=tmp_path)
        assert done.returncode == 1 and done.stderr.startswith("jaeger-ui: ") and "Traceback" not in done.stderr, (name, done.stderr)
        assert not (tmp_path / "there").exists()
    path.write_bytes(whole)
    done = tool(path, "--sha256", "0" * 64, "--to", tmp_path / "there/ui", home=tmp_path)
    assert done.returncode == 1 and hashlib.sha256(whole).hexdigest() in done.stderr and not (tmp_path / "there").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").write_text("dear")
    done = tool(path, "--to", tmp_path / "mine", home=tmp_path)
    assert done.returncode == 1 and files_below(tmp_path / "mine") == {"letter"}


def test_without_a_network_the_console_is_named(server, tmp_path):
    url, _ = server
    missing = tool("9.9.9", "--base-url", url, "--to", tmp_path / "ui", home=tmp_path)
    closed = tool("2.19.0", "--base-url", "http://127.0.0.1:1", "--to", tmp_path / "ui", home=tmp_path)
    unknown = tool("2.19.0", "--base-url", "http://releases.invalid", "--to", tmp_path / "ui", home=tmp_path)
    for done in (missing, closed, unknown):
        assert done.returncode == 1 and "/console/" in done.stderr and not (tmp_path / "ui").exists(), done.stderr
    assert "404" in missing.stderr and "cannot be reached" in closed.stderr


@pytest.mark.parametrize("arguments", [[], ["no-such-file"], ["2.19"], ["2.19.0", "--sha256", "xyz"], ["2.19.0", "--unknown"]])
def test_wrong_usage(tmp_path, arguments):
    done = tool(*arguments, home=tmp_path)
    assert done.returncode == 2 and "usage:" in done.stderr


DIR = '"/x/\\"ui"'
CONFIGS = [  # before, after; None: refused and left alone
    ("", f"ui.dir: {DIR}\n"), ("# only words\n", f"# only words\nui.dir: {DIR}\n"), ("store.retention: 7d", f"store.retention: 7d\nui.dir: {DIR}\n"),
    ("ui.dir: /old # x\nlog: {level: info}\n", f"ui.dir: {DIR}\nlog: {{level: info}}\n"),
    ("ui:\n    config: /c\n    dir: /old\nlog:\n  level: info\n", f"ui:\n    config: /c\n    dir: {DIR}\nlog:\n  level: info\n"),
    ("ui:\n  config: /c\n\nlog.level: info\n", f"ui:\n  dir: {DIR}\n  config: /c\n\nlog.level: info\n"),
    ("---\nui: # empty\nlog.level: info\n", f"---\nui: # empty\n  dir: {DIR}\nlog.level: info\n"),
    ("log:\n  level: info\n# ui:\n#   dir: y\n", f"log:\n  level: info\n# ui:\n#   dir: y\nui.dir: {DIR}\n"),
    ("{ui: {dir: x}}\n", None), ("ui: {dir: x}\n", None), ("ui:\n  {dir: x}\n", None), ("- a\n", None), ("a: 1\n---\nb: 2\n", None),
    ("ui.dir: >\n  /old\n", None), ("ui:\n\tdir: x\n", None), ("ui:\n  dir: |\n    x\n", None),
]


@pytest.mark.parametrize("before,after", CONFIGS)
def test_the_setting_is_written_and_nothing_else_changes(tmp_path, before, after):
    archive, config = tmp_path / "ui.tar.gz", tmp_path / "real.yaml"
    archive.write_bytes(release())
    config.write_text(before)
    config.chmod(0o640)
    (tmp_path / "meshglass.yaml").symlink_to("real.yaml")
    to = tmp_path / "x" / '"ui'
    done = tool(archive, "--to", to, "--config", tmp_path / "meshglass.yaml", home=tmp_path)
    where = DIR.replace("/x/", f"{tmp_path}/x/")
    assert config.read_text() == (before if after is None else after.replace(DIR, where))
    assert config.stat().st_mode & 0o777 == 0o640 and (tmp_path / "meshglass.yaml").is_symlink()
    if after is None:
        assert done.returncode == 1 and f"ui.dir: {where}" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    shown = run_command("config", "--config", config)
    assert shown.returncode == 0 and f"{tmp_path}/x/" in shown.stdout, shown.stderr
