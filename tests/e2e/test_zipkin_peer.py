"""The Zipkin door beside a real Zipkin: the same bodies and the same questions to both, and every answer the same but for what the tables below name.
The Zipkin exporter towards it, also when it is killed. And its page, Lens, in a browser in front of our door."""

import io
import json
import mimetypes
import re
import time
import urllib.parse
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import zipkin_cases
from conversions import SHOWN_BY_ZIPKIN, through
from harness import Collector, Connection, until
from peers import Zipkin, jars
from same_trace import CLIENTS, assert_equal, by_id, from_otlp, from_zipkin, run_client, same_trace, send, wanted
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from test_console import WAIT, body, browser, find  # noqa: F401
from test_exporters import Receiver, sent, towards
from test_peers import Load

KEYS = ["env", "zone"]
NOW = time.time_ns() // 10**9 * 10**6 - 120 * 10**6
BASE = NOW - 2400 * 10**6  # of the world that is searched
OF_ZIPKIN = [client for client, (_, door, _) in CLIENTS.items() if door == "zipkin"]


@pytest.fixture(scope="module")
def zipkin():
    with Zipkin(jars("Zipkin"), AUTOCOMPLETE_KEYS=",".join(KEYS)) as it:
        yield it


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "keys.yaml").write_text(json.dumps({"zipkin": {"autocomplete_keys": KEYS}}))
    with Collector(folder / "data", {"sampling.enabled": "false"}, folder / "keys.yaml") as it:
        yield it


@pytest.fixture
def doors(zipkin, collector):
    with Connection(f"127.0.0.1:{zipkin.port}") as theirs, collector.connect("zipkin") as ours:
        yield theirs, ours


def without_order(value):
    """Spans of a trace come in the order of their arrival there, by time here."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return sorted(value, key=lambda one: json.dumps(one, sort_keys=True))
    return [without_order(one) for one in value] if isinstance(value, list) else value


def told(answer):
    """What an answer says: status, type, the caching of it, contents."""
    kind = answer.headers.get("content-type", "")
    if answer.status == 200 and kind.startswith("application/json"):
        content = without_order(json.loads(answer.body.rstrip(b"\0")))  # it counts U+2028 as larger than it writes it
        kind = "application/json"  # of files with a charset
    else:
        content = answer.body.decode().rstrip("\n")
    return answer.status, {"text/*": "text/plain; charset=utf-8"}.get(kind, kind), answer.headers.get("cache-control"), content


def apart(have, want):
    """Two answers from where they differ on."""
    have, want = repr(have), repr(want)
    at = max(next((i for i, (a, b) in enumerate(zip(have, want)) if a != b), min(len(have), len(want))) - 60, 0)
    return f"have …{have[at:at + 300]}\n    want …{want[at:at + 300]}"


# --- questions ---------------------------------------------------------------------------------------------


def failure(status, text):
    return status, "text/plain; charset=utf-8", None, text


def not_served(path, theirs, ask):
    return failure(404, f"nothing is served at {path}")


def whole_number(path, theirs, ask):
    text = theirs[3].removeprefix(NOT_A_NUMBER).strip('"')
    name = next(name for name, value in urllib.parse.parse_qsl(path.partition("?")[2]) if value == text)
    most = 2**31 - 1 if name == "limit" else 2**63 - 1
    return failure(400, f"{name} must be a whole number from {-most - 1} to {most}, not '{text}'")


def says(text):
    return lambda path, theirs, ask: failure(400, text)


def as_if(pattern, replacement):
    return lambda path, theirs, ask: told(ask(re.sub(pattern, replacement, path)))


def our_links(path, theirs, ask):
    status, kind, cache, links = theirs
    links = [link for link in links if link["parent"] != link["child"]] + [{"parent": "word", "child": "other", "callCount": 1}]
    return status, kind, cache, without_order(links)


def recent_values(path, theirs, ask):
    return 200, "application/json", None, ["prod", "test"]


NOT_A_NUMBER = "For input string: "
OTHERWISE = [  # of which answers (path, what they say), what ours is then, why
    (r"autocompleteValues\?key=env", "", recent_values, "zipkin.h: those of zipkin.lookback"),
    (r"", "^404 Not Found$", not_served, "the path is named"),
    (r"", f"^{NOT_A_NUMBER}", whole_number, "the parameter is named"),
    (r"limit=$", "^Cannot set null", as_if("limit=", "limit=10"), "as with the other numbers, an empty one is none"),
    (r"dependencies\?endTs=$", "^Cannot set null", says("Mandatory parameter/header/attribute is missing: endTs"), "the parameter is named"),
    (r"limit=2147483647", "", says("limit 2147483647 is above query.traces_max (10000)"), "everything is bounded"),
    (r"lookback=9223372036854775807", "", as_if("lookback=.*", "lookback=1000000000000"), "there endTs - lookback overflows"),
    (r"trace/%20", "", says("  should be lower-hex encoded with no prefix"), "a space is not trimmed"),
    (r"=%(zz)?$", "", says("malformed query string: a percent sign without two hex digits behind it"), "what is wrong is told"),
    (r"dependencies.*lookback=86400001", "", our_links, "zipkin.h: no link of a service with itself; a step into another service counts also without a kind"),
]


def row_of(path, theirs):
    text = theirs[3] if isinstance(theirs[3], str) else ""
    return next((row for row in OTHERWISE if re.search(row[0], path) and re.search(row[1], text)), None)


def test_every_question_is_answered_the_same(doors, collector):
    theirs, ours = doors
    requests = list(zipkin_cases.world(BASE))
    for spans in requests:
        for door in doors:
            assert door.request("POST", "/api/v2/spans", json.dumps(spans), zipkin_cases.JSON).status == 202
    timed = {json.dumps(span) for spans in requests for span in spans if "timestamp" in span}

    def ask(path):
        return theirs.request("GET", path)
    everything = f"/api/v2/traces?endTs={BASE // 1000 + 2 * 86400000}&lookback={10 * 86400000}&limit=100"
    until(lambda: sum(map(len, ask(everything).json())) == len(timed), what="all spans of the world in Zipkin")
    collector.settle()
    wrong, used = [], []
    questions = [*zipkin_cases.questions(BASE), f"/api/v2/dependencies?endTs={time.time_ns() // 10**6 + 60000}&lookback=86400001"]
    for path in questions:
        want, have = told(ask(path)), told(ours.request("GET", path))
        if row := row_of(path, want):
            assert have != want, f"{path}: there is no difference, {row[3]}"
            want = row[2](path, want, ask)
            used.append(row)
        if have != want:
            wrong.append(f"{path}\n    {apart(have, want)}")
    assert not wrong, "\n".join([f"{len(wrong)} of {len(questions)}:", *wrong[:20]])
    assert not [row for row in OTHERWISE if row not in used], "a row of OTHERWISE is about nothing"


# --- bodies ----------------------------------------------------------------------------------------------

REFUSED_THERE, REFUSED_HERE = (400, 202), (202, 400)
POSTED_OTHERWISE = {  # statuses there and here, why
    "newline before": (REFUSED_HERE, "the list must begin with [; there the newline counts as the first byte of protobuf, and any other space is refused too"),
    "span id zero": (REFUSED_HERE, "no id is zero, however it is written"),
    "encoding br": (REFUSED_HERE, "an encoding that is not read is not passed over"),
    "encoding deflate": (REFUSED_HERE, "the same"),
    "encoding GZIP": (REFUSED_HERE, "the same"),
    "encoding gzip of plain": ((500, 400), "it is the sender's mistake"),
    "gzip of nothing": (REFUSED_THERE, "it is an empty body"),
    "proto kind -1": (REFUSED_THERE, "it is a kind that is not known, as 5 is"),
    "proto is JSON": (REFUSED_HERE, "the type says what the body is"),
}


BARE = {"id": "00000000000000a1", "timestamp": NOW}
FOUND = BARE | {"name": "plain", "duration": 10, "localEndpoint": {"serviceName": "bodies"}}
SHOWN_OTHERWISE = {  # the spans here, made from the trace's id and the spans there; why
    "id padded to 20": (lambda trace, spans: [FOUND | {"traceId": trace}],
                        "zeros in front do not make it another trace; there it is stored under 32 digits and found under none"),
    "proto kind -1": (lambda trace, spans: [BARE | {"traceId": trace}], "as above"),
    "name of Turkey": (lambda trace, spans: [span | {"name": "istanbul ασ ß"} for span in spans], "zipkin_write.h: letter by letter"),
    "ip leading zero": (lambda trace, spans: [span | {"localEndpoint": {"port": 1}} for span in spans], "010.1.1.1 is no address: some read it as 8.1.1.1"),
}


def traces_of(clients, prefix):
    """The same trace for each, under an id of its own."""
    return {client: [span | {"trace_id": f"{prefix}{number:030x}"} for span in same_trace()] for number, client in enumerate(clients, 1)}


def sent_by_clients(zipkin, collector):
    """Zipkin's own clients and OpenTelemetry's exporters send to both: their names and the ids."""
    made = traces_of(OF_ZIPKIN, "c1")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: run_client(*one), [(client, address, trace) for client, trace in made.items()
                                                    for address in (f"127.0.0.1:{zipkin.port}", collector.doors["zipkin"])]))
    return [(client, trace[0]["trace_id"]) for client, trace in made.items()]


def same_posted(doors, name, body, headers):
    there, here = (door.request("POST", "/api/v2/spans", body, headers) for door in doors)
    want, _ = POSTED_OTHERWISE.get(name, ((there.status, there.status), None))
    if (there.status, here.status) != want:
        return f"{name}: there {there}, here {here}"
    if here.status == 400 and here.headers["content-type"] != "text/plain; charset=utf-8":
        return f"{name}: {here.headers}"
    return None


def same_shown(doors, name, trace):
    there, here = (told(door.request("GET", f"/api/v2/trace/{trace}")) for door in doors)
    if name in POSTED_OTHERWISE and POSTED_OTHERWISE[name][0][1] != 202:
        there = failure(404, f"{trace} not found")
    if name in SHOWN_OTHERWISE and len(trace) == 16:
        want = 200, "application/json", None, SHOWN_OTHERWISE[name][0](trace, there[3] if there[0] == 200 else [])
        if want == there:
            return f"{name}: there is no difference"
        there = want
    return None if there == here else f"{name}, {trace}\n    {apart(here, there)}"


def all_same(keys, difference):
    """Asks about each key until there is no difference any more: what comes behind a 202 is stored a moment later."""
    left = dict.fromkeys(keys)

    def are_same():
        for key in list(left):
            left[key] = difference(*key)
            if not left[key]:
                del left[key]
        return not left
    try:
        until(are_same, 5)
    except AssertionError:
        raise AssertionError("\n".join([f"{len(left)} of {len(keys)}:", *list(left.values())[:20]])) from None


def test_every_body_is_taken_the_same(doors, zipkin, collector):
    """Status, and what is shown afterwards, under the id with 16 digits and with 32."""
    by_clients = sent_by_clients(zipkin, collector)
    cases = list(zipkin_cases.bodies(NOW))
    wrong = [said for name, _, body, headers in cases if (said := same_posted(doors, name, body, headers))]
    assert not wrong, "\n".join(wrong)
    shown = [(name, id) for name, trace, *_ in cases for id in (trace, trace + trace)] + by_clients
    all_same(shown, lambda name, trace: same_shown(doors, name, trace))
    found = {name: told(answer)[3] for name, trace in shown if (answer := doors[1].request("GET", f"/api/v2/trace/{trace}")).status == 200}
    assert {client: len(found[client]) for client in OF_ZIPKIN} == dict.fromkeys(OF_ZIPKIN, 5)
    assert len(found) > 160, "the cases do not reach the doors"


# --- the exporter ------------------------------------------------------------------------------------------


def test_what_is_exported_is_shown_as_here(make, zipkin):
    """By clients of each kind of protocol, field by field; and everything that the door takes, to the letter."""
    near = make(towards("zipkin", zipkin.url) | {"sampling.enabled": "false"}, name="near")
    traces = traces_of(("otlp-grpc", "jaeger-grpc", "zipkin-json"), "e4")
    with near.connect("zipkin") as here, Connection(f"127.0.0.1:{zipkin.port}") as there:
        for _, _, body, headers in zipkin_cases.bodies(NOW, "e4e4e4"):
            here.request("POST", "/api/v2/spans", body, headers)
        for client, trace in traces.items():
            send(near, client, trace)

        def difference(trace):
            have, want = (told(door.request("GET", f"/api/v2/trace/{trace}")) for door in (there, here))
            return None if have == want else f"{trace}\n    {apart(have, want)}"
        shown = here.request("GET", "/api/v2/traces?limit=1000&lookback=10000000000000&endTs=5000000000000").json()
        ids = {(trace[0]["traceId"],) for trace in shown}
        assert len(ids) > 150 and ids >= {(trace[0]["trace_id"],) for trace in traces.values()}
        all_same(ids, difference)
        for client, trace in traces.items():
            have = there.request("GET", f"/api/v2/trace/{trace[0]['trace_id']}").json()
            assert_equal(by_id(from_zipkin(have)), wanted(trace, client, "zipkin"), client)
    assert [sent(near, "zipkin", outcome) for outcome in ("refused", "queue_full", "too_old", "disk")] == [0] * 4
    near.stop()


def test_a_server_that_was_killed_gets_what_it_has_not_acked(make, zipkin):
    """It forgets all else. Each of those spans is there once, as we show it, and no other."""
    near = make(towards("zipkin", zipkin.url, batch_spans=200), name="near")
    with Load(near) as load:
        until(lambda: sent(near, "zipkin") > 500, 30, "the first spans at the peer")
        zipkin.kill()
        until(lambda: "export fails: its batches wait" in near.log_text(), 30, "an attempt that failed")
        load.wait_for(20)
    assert not load.failed, f"{len(load.failed)} requests were not taken"
    acked_before = sent(near, "zipkin")
    accepted = near.settle()["accepted"]
    zipkin.start()
    until(lambda: near.metric("meshglass_export_queue_batches", exporter="zipkin") == 0, 30, "an empty queue")
    all_spans = by_id(span for request in load.acked for span in through(from_otlp(request), SHOWN_BY_ZIPKIN[None]))
    assert len(all_spans) == accepted
    with Connection(f"127.0.0.1:{zipkin.port}") as there:
        def held():
            return [span for trace in there.request("GET", "/api/v2/traces?limit=100000&lookback=3600000").json() for span in trace]
        until(lambda: len(held()) >= accepted - acked_before, what="what was not acked")
        have = by_id(from_zipkin(held()))
    assert len(have) == accepted - acked_before, f"{accepted} spans, {acked_before} acked before the kill, {len(have)} there"
    assert have.keys() <= all_spans.keys(), "spans that nobody sent"
    assert_equal(have, {id: all_spans[id] for id in have}, "in Zipkin")
    print(f"{accepted} spans, {acked_before} acked before the kill, {len(have)} after it")
    near.stop()


# --- its page ----------------------------------------------------------------------------------------------


def lens_files():
    """Lens as the server would serve it: path, content."""
    (server,) = jars("Zipkin").glob("*.jar")
    with zipfile.ZipFile(server) as outer:
        (name,) = [name for name in outer.namelist() if re.search(r"/zipkin-lens-[^/]*\.jar$", name)]
        with zipfile.ZipFile(io.BytesIO(outer.read(name))) as inner:
            return {"/zipkin" + name.removeprefix("zipkin-lens"): inner.read(name) for name in inner.namelist() if not name.endswith("/")}


def in_front_of(collector, asked):
    """A proxy: the page's files, and our door for what the page asks for. `asked` is told the status of each of these."""
    files = lens_files()

    def answers(path, *_):
        if path.startswith(("/zipkin/api/", "/zipkin/config.json")):
            answer = collector.get(path, "zipkin")
            asked.append((answer.status, path))
            return answer.status, {"Content-Type": answer.headers["content-type"]}, answer.body
        name = path.partition("?")[0]
        name = name if name in files else "/zipkin/index.html"
        return 200, {"Content-Type": mimetypes.guess_type(name)[0]}, files[name]
    return Receiver(answers)


def shows(browser, *texts):
    until(lambda: all(text in body(browser) for text in texts), WAIT, f"{texts} on the page")
    return body(browser)


def search_in_lens(browser):
    find(browser, "[data-testid=add-button]").click()
    browser.switch_to.active_element.send_keys("serviceName=")
    shows(browser, "cart", "front", "mailer", "order", "stock")
    browser.switch_to.active_element.send_keys("fro")
    until(lambda: "mailer" not in body(browser), WAIT, "fewer names")
    browser.switch_to.active_element.send_keys("nt", Keys.ENTER)
    find(browser, "button", "RUN QUERY").click()
    for trace in (("front: get /", "4", "900.000μs"), ("front: post /order", "5", "800.000μs")):
        row = find(browser, "tr", trace[0]).text.splitlines()
        assert {*trace} <= {*row}, row
    assert len([row for row in browser.find_elements(By.CSS_SELECTOR, "tr") if "SHOW" in row.text]) == 2


def look_at_traces_in_lens(browser, page):
    browser.get(page + "traces/5e02")
    text = shows(browser, "Total Spans").splitlines()
    assert (text[text.index("Total Spans") + 1], text[text.index("Services") + 1]) == ("5", "3")
    assert {"front: post /order", "front: post", "order: post", "order: compute", "stock: reserve"} <= {*text}
    shows(browser, "http.method POST", "zone z1", "Server Start")
    browser.get(page + "traces/5e01")  # a client and a server that share their span's id are drawn as one
    shows(browser, "Total Spans")
    browser.find_element(By.XPATH, "//*[text()='cart: get /cart']").click()
    text = shows(browser, "retry", "boom", "Client Start", "Server Finish").splitlines()
    assert "3" == text[text.index("Total Spans") + 1] and "mysql: select" in text


def look_at_dependencies_in_lens(browser, page):
    minute = time.time_ns() // 10**6
    browser.get(f"{page}dependency?startTime={minute - 3600000}&endTime={minute + 60000}")
    find(browser, "input[placeholder='Select...']").send_keys("order")
    find(browser, "[role=option]", "order").click()
    canvas = find(browser, "canvas")

    def click_on_the_middle():
        ActionChains(browser).move_to_element_with_offset(canvas, 0, -20).pause(0.2).click().perform()
        return "Used (traced requests)" in body(browser)
    until(click_on_the_middle, WAIT, "the links of the service")
    text = body(browser)
    for link in ("kafka 1 0", "stock 1 0", "This service is used by 1 service", "front 1 1"):
        assert link in text, text


def test_lens_works_in_front_of_our_door(make, browser):
    near, asked = make({"sampling.enabled": "false"}, name="near"), []
    for spans in zipkin_cases.world(time.time_ns() // 1000 - 60 * 10**6)[:4]:
        assert near.request("zipkin", "POST", "/api/v2/spans", json.dumps(spans), zipkin_cases.JSON).status == 202
    near.settle()
    with in_front_of(near, asked) as front:
        page = front.url + "/zipkin/"
        browser.get(page)
        search_in_lens(browser)
        look_at_traces_in_lens(browser, page)
        look_at_dependencies_in_lens(browser, page)
        wrong = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]  # its warnings are its own
        browser.get("about:blank")
    assert not wrong, wrong
    assert {path.partition("?")[0].removeprefix("/zipkin") for status, path in asked if status == 200} == {
        "/config.json", "/api/v2/services", "/api/v2/spans", "/api/v2/remoteServices", "/api/v2/autocompleteKeys", "/api/v2/traces", "/api/v2/dependencies",
        "/api/v2/trace/5e01", "/api/v2/trace/5e02"}
    assert not [one for one in asked if one[0] != 200], asked
