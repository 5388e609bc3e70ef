"""The console in a real browser: overview, search, a trace's waterfall with attributes and events; light and dark, wide
and narrow; the browser's own log must stay empty."""

import json
import os

import pytest
from harness import SLOW, run_command, until
from otlp import add_span, new_id, request_of, set_attributes, spans_of
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

WAIT = 20


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # the sandbox refuses root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver") if os.path.exists("/usr/bin/chromedriver") else None)
    yield driver
    driver.quit()


@pytest.fixture
def clean(browser):
    browser.get_log("browser")
    yield browser
    wrong = [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert not wrong, wrong


def texts(browser, selector):
    """None when the page draws itself anew meanwhile, as it does every few seconds."""
    try:
        return [element.text for element in browser.find_elements(By.CSS_SELECTOR, selector)]
    except StaleElementReferenceException:
        return None


def find(browser, selector, text=None, seconds=WAIT):
    def look():
        try:
            for element in browser.find_elements(By.CSS_SELECTOR, selector):
                if element.is_displayed() and (text is None or text in element.text):
                    return element
        except StaleElementReferenceException:
            return None
    return until(look, seconds, f"{selector} with {text!r}")


def body(browser):
    return browser.find_element(By.TAG_NAME, "body").text


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    from harness import Collector
    overrides = [{"service": "known", "operation": "GET /known", "probability": 0.000031}]
    with Collector(tmp_path_factory.mktemp("console") / "data", {"sampling.head.overrides": json.dumps(overrides)}) as it:
        done = run_command("demo", "--spans-per-second", "300", "--duration", "2s", "--server", it.url("query_http"))
        assert done.returncode == 0, done.stderr
        request = request_of(3, service="known", name="GET /known")
        child = list(spans_of(request))[1]
        child.name = "<b>child</b>"
        child.status.code, child.status.message = 2, "boom"
        set_attributes({"customer.name": "<script>alert(1)</script>"}, child.attributes)
        event = child.events.add()
        event.name, event.time_unix_nano = "cache-miss", child.start_time_unix_nano + 1000
        add_span(request, "known-db", trace_id=child.trace_id, span_id=new_id(8), parent_span_id=child.span_id, name="SELECT", kind=3,
                 start_time_unix_nano=child.start_time_unix_nano, end_time_unix_nano=child.end_time_unix_nano)
        assert it.send(request.SerializeToString()).status == 200
        it.known = child.trace_id.hex()
        broken = request_of(1, service="probed", name="health")
        next(spans_of(broken)).status.code = 2
        assert it.send(broken.SerializeToString()).status == 200
        it.health = next(spans_of(broken)).trace_id.hex()
        it.settle()
        yield it


def test_files_and_headers(collector):
    assert collector.get("/").status == 302
    answer = collector.get("/console/")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = collector.get("/console/", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status == 304 and not again.body
    for path in ("/console/nothing.js", "/console/../console/main.js", "/console/%2e%2e/x", "/console/main.js/x"):
        assert collector.get(path).status in (400, 404), path
    assert collector.get("/console").status in (301, 302, 308, 200, 404)


def test_overview(collector, clean):
    clean.get(collector.url("query_http") + "/")
    find(clean, "#main", "otlp_grpc")
    text = body(clean)
    for door, address in collector.doors.items():
        assert door in text and address in text, door
    ledger = collector.ledger()
    digits = "".join(c for c in text if c.isdigit())
    assert str(ledger["accepted"]) in digits
    assert "serving" in text.lower()


@pytest.mark.parametrize("name", ["__proto__", "constructor", "toString", "nothing", "<b>x", "%", "/evil.example/"])
def test_an_unknown_view_is_the_overview(collector, clean, name):
    """Also for what every object of the language has."""
    clean.get("about:blank")
    clean.get(f"{collector.url('query_http')}/console/#/{name}")
    find(clean, "#main", "otlp_grpc")
    assert clean.title.startswith("Overview")


def test_search_and_waterfall_of_a_demo_trace(collector, clean):
    clean.get(collector.url("query_http") + "/console/#/search")
    find(clean, "form.search-form button[type=submit]").click()
    result = find(clean, "a.result")
    trace_id = result.get_attribute("href").rsplit("/", 1)[1]
    result.click()
    find(clean, "[role=tree] [role=treeitem]")
    rows = clean.find_elements(By.CSS_SELECTOR, "[role=treeitem]")
    spans = collector.trace(trace_id).json()["data"][0]["spans"]
    assert 1 <= len(rows) <= len(spans)
    names = body(clean)
    assert any(span["operationName"] in names for span in spans)


def test_span_with_attributes_and_events(collector, clean):
    clean.get(f"{collector.url('query_http')}/console/#/trace/{collector.known}")
    row = find(clean, "[role=treeitem]", "<b>child</b>")
    row.click()
    detail = find(clean, "aside.detail")
    if "customer.name" not in detail.text:
        find(clean, "[role=tree]").send_keys(Keys.ENTER)
    until(lambda: "customer.name" in find(clean, "aside.detail").text, WAIT, "the attributes")
    text = find(clean, "aside.detail").text
    for word in ("customer.name", "<script>alert(1)</script>", "cache-miss", "boom", "known"):
        assert word in text, (word, text)
    assert len(clean.find_elements(By.CSS_SELECTOR, "[role=treeitem]")) == 4


def row_of(browser, *words):
    return next((text for text in texts(browser, ".effective tbody tr") or [] if all(word in text for word in words)), None)


def test_sampling_tells_small_rates_apart_and_a_total(collector, clean):
    clean.get(collector.url("query_http") + "/console/#/sampling")
    row = until(lambda: row_of(clean, "known", "GET /known"), WAIT, "the row of the override")
    assert "0.0031 %" in row and "override" in row, row
    assert "100 %" in until(lambda: row_of(clean, "(every other)"), WAIT, "the row of every other")
    find(clean, ".effective .total", "Over all: ")
    heads = [head.text for head in clean.find_elements(By.CSS_SELECTOR, ".effective th")]
    assert "Samples/s" in heads and not any("races/s" in head for head in heads), heads  # as `sampling show` says it
    find(clean, ".effective input").send_keys("GET /known")
    until(lambda: len(clean.find_elements(By.CSS_SELECTOR, ".effective tbody tr")) == 1, WAIT, "the filter")
    find(clean, ".effective .total", "Over all: ")
    find(clean, ".effective input").send_keys(" nothing has this")
    find(clean, ".effective tbody", "No service has this.")


def test_sampling_is_sorted_by_value(collector, clean):
    def order():
        return until(lambda: texts(clean, ".effective tbody td:nth-child(3)"), WAIT, "the column")
    clean.get(collector.url("query_http") + "/console/#/sampling")
    clean.refresh()  # the filter of another test
    until(lambda: row_of(clean, "known", "GET /known"), WAIT, "the row of the override")
    assert find(clean, ".effective th[aria-sort]").text.startswith("Service")
    button = find(clean, ".effective th button", "Probability")
    button.send_keys(Keys.ENTER)
    assert order()[0] == "100 %" and order()[-1] == "0.0031 %", order()
    button.send_keys(Keys.ENTER)
    assert order()[0] == "0.0031 %" and order()[-1] == "100 %", order()


def test_a_class_is_not_called_a_policy(collector, clean):
    clean.get(f"{collector.url('query_http')}/console/#/trace/{collector.health}")
    find(clean, "details.why summary", "the class “health”").click()
    facts = find(clean, ".why-facts", "class_error").text.split()
    assert "Class" in facts and "Policy" not in facts, facts
    said = run_command("why", collector.health, "--server", collector.url("query_http")).stdout
    assert "\nclass        health\n" in said and "policy" not in said, said
    clean.get(f"{collector.url('query_http')}/console/#/trace/{collector.known}")
    find(clean, "details.why summary").click()
    facts = find(clean, ".why-facts").text.split()
    assert "Policy" in facts and "Class" not in facts, facts


def test_keyboard(collector, clean):
    clean.get(f"{collector.url('query_http')}/console/#/trace/{collector.known}")
    find(clean, "[role=treeitem]", "SELECT")
    tree = find(clean, "[role=tree]")
    tree.send_keys(Keys.ARROW_DOWN)
    first = tree.get_attribute("aria-activedescendant")
    tree.send_keys(Keys.ARROW_DOWN)
    assert first and tree.get_attribute("aria-activedescendant") not in (None, first)
    tree.send_keys(Keys.ENTER)
    find(clean, "aside.detail")
    tree.send_keys(Keys.ESCAPE)
    until(lambda: not any(e.is_displayed() for e in clean.find_elements(By.CSS_SELECTOR, "aside.detail")), WAIT, "closed details")


def test_search_by_tag_and_unknown_trace(collector, browser):
    browser.get(collector.url("query_http") + "/console/#/search?service=known&tags=error%3Dtrue")
    find(browser, "form.search-form button[type=submit]").click()
    find(browser, "a.result", "GET /known")
    browser.get(collector.url("query_http") + "/console/#/trace/" + "a" * 32)
    until(lambda: "no such trace" in body(browser).lower(), WAIT, "what is known of it")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_fits_the_screen_and_can_be_read(collector, clean, scheme, width):
    clean.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    clean.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False})
    try:
        for view, selector in (("overview", "#main .card"), ("search", "form.search-form"), ("sampling", ".effective .total"), (f"trace/{collector.known}", "[role=treeitem]")):
            clean.get(f"{collector.url('query_http')}/console/#/{view}")
            find(clean, selector)
            assert clean.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"), f"{view} is wider than {width}"
            assert contrast(clean) >= 4.5, f"{view} in {scheme}"
    finally:
        clean.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def contrast(browser):
    """Of the page's text on its background, by the WCAG formula."""
    colors = json.loads(browser.execute_script(
        "const c = getComputedStyle(document.body); return JSON.stringify([c.color, c.backgroundColor])"))

    def luminance(text):
        parts = [float(part) for part in text[text.index("(") + 1:-1].split(",")[:3]]
        linear = [p / 255 / 12.92 if p / 255 <= 0.04045 else ((p / 255 + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    light, dark = sorted(map(luminance, colors), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_trace_of_60_000_spans_does_not_hang(collector, clean):
    request = request_of(60_000, service="huge")
    trace_id = next(spans_of(request)).trace_id.hex()
    assert collector.send(request.SerializeToString()).status == 200
    clean.set_page_load_timeout(60 * SLOW)
    clean.get(f"{collector.url('query_http')}/console/#/trace/{trace_id}")
    find(clean, "[role=treeitem]", seconds=40)
    assert len(clean.find_elements(By.CSS_SELECTOR, "[role=treeitem]")) < 500, "only rows in sight are made"
