/* Spans, resources and scopes as gRPC shows them, read back by the readers of lib/model. */
#include "spans.h"
#include "api/jaeger/shown.h"

/* "key=text" of every attribute, each with '|' behind it. */
static void put_attr_text(struct buf *out, const struct attr *attr)
{
    buf_put_str(out, attr->key);
    buf_put_char(out, attr->value.type == VALUE_BYTES ? '#' : '=');
    value_text(out, &attr->value);
    buf_put_char(out, '|');
}

static struct str texts_of(const struct attr *attrs, size_t n)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < n; i++)
        put_attr_text(&out, &attrs[i]);
    return keep(&out);
}

static struct str texts_in(struct str message, uint32_t field)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct attr attr;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    while (attr_next(&at, end, field, &attr) == 1)
        put_attr_text(&out, &attr);
    return keep(&out);
}

static void expect_text(struct str got, const char *want)
{
    if (!str_eq(got, str_of(want)))
        fail_msg("got  %.*s\nwant %s", STR_ARG(got), want);
}

static struct span *show(struct shown *shown, const struct span *span, bool raw)
{
    struct adjusted_span a = {.span = span};

    memcpy(a.span_id, span->span_id, sizeof a.span_id);
    memcpy(a.parent_id, span->parent_id, sizeof a.parent_id);
    shown_init(shown, raw, 1 << 20);
    struct span *out = shown_span(shown, &a);
    assert_int_equal(shown_err(shown), MG_OK);
    return out;
}

#define WARNING "@jaeger@warnings"
#define NEGATIVE                                                                                   \
    WARNING "=[\"Negative duration detected, sanitizing end timestamp. Original end timestamp: "   \
            "1970-01-01T00:00:00.500000000Z, adjusted to: 1970-01-01T00:00:01.000000000Z\"]|"

/* {"\xff", {"b\xfe": "\xfd"}} and a number, nested in an array. */
#define BAD_ITEMS                                                                                  \
    "\x0a\x03\x0a\x01\xff\x0a\x0c\x32\x0a\x0a\x08\x0a\x01\xfe\x12\x03\x0a\x01\xfd\x0a\x02\x18\x07"
#define GOOD_ITEMS "[\"\xef\xbf\xbd\",{\"\xef\xbf\xbd\":\"\xef\xbf\xbd\"},7]|"

static const struct {
    struct attr attrs[3];
    size_t n;
    const char *adjusted, *raw;
} lists[] = {
    {{A_STR("a", "1")}, 1, "a=1|", "a=1|"},
    {{A_STR("b", "1"), A_INT("a", 2), A_STR("b", "1")}, 3, "a=2|b=1|", "b=1|a=2|b=1|"},
    {{A_INT("ip", 2130706433)}, 1, "ip=127.0.0.1|", "ip=2130706433|"},
    {{A_STR("k", "\xff")}, 1, "k#/w==|", "k#/w==|"},
    {{A_STR("\xff", "v"), A_STR("a", "1")},
     2,
     "a=1|invalid-tag-key-1#/zp2|",
     "invalid-tag-key-1#/zp2|a=1|"},
    {{A_BYTES("k", "\xff")}, 1, "k#/w==|", "k#/w==|"},
    {{A_ARRAY("k", BAD_ITEMS)}, 1, "k=" GOOD_ITEMS, "k=" GOOD_ITEMS},
    {{A_MAP("k", "\x0a\x08\x0a\x01\xfe\x12\x03\x0a\x01\xfd")},
     1,
     "k={\"\xef\xbf\xbd\":\"\xef\xbf\xbd\"}|",
     "k={\"\xef\xbf\xbd\":\"\xef\xbf\xbd\"}|"},
    {{A_ARRAY("k", "")}, 1, "k=[]|", "k=[]|"},
    {{A_OTHER("k", "\x0a\x01k\x12\x02\x18\x07\xa8\x01\x05")}, 1, "k=7|", "k=7|"},
    {{A_OTHER("k", "\x0a\x01k")}, 1, "k=|", "k=|"},
    {{A_BOOL("k", true), A_DOUBLE("l", 2.5), A_EMPTY("m")},
     3,
     "k=true|l=2.5|m=|",
     "k=true|l=2.5|m=|"},
    {{A_ARRAY(WARNING, "\x0a\x03\x0a\x01x"), A_STR("a", "1")},
     2,
     WARNING "=[\"x\"]|a=1|",
     WARNING "=[\"x\"]|a=1|"},
    {{A_ARRAY(WARNING, "\x0a\x03\x0a\x01\xff")},
     1,
     WARNING "=[\"\xef\xbf\xbd\"]|",
     WARNING "=[\"\xef\xbf\xbd\"]|"},
    {{A_STR(WARNING, "x")}, 1, WARNING "=x|", WARNING "=x|"}, /* no list, so it is a tag */
};

static void attributes(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(lists); i++)
        for (int raw = 0; raw < 2; raw++) {
            struct span *span = span_of(1, 0, SPAN_CLIENT);
            struct shown shown;
            span->attrs = lists[i].attrs;
            span->n_attrs = (uint32_t)lists[i].n;
            const struct span *out = show(&shown, span, raw);
            expect_text(texts_of(out->attrs, out->n_attrs), raw ? lists[i].raw : lists[i].adjusted);
            shown_fini(&shown);
        }
}

/* Names, times and ids. */
static void the_frame(void **state)
{
    struct span *span = span_of(1, 2, SPAN_CLIENT);
    struct adjusted_span a = {.span = span, .span_id = {9}, .parent_id = {8}};
    struct shown shown;

    (void)state;
    span->name = STR("a\xff");
    span->trace_state = STR("t\xff");
    span->status_message = STR("m\xff");
    span->status_code = STATUS_ERROR;
    span->end_ns = span->start_ns / 2;
    span->flags = 257;
    span->dropped_attrs = 3;
    span->unknown = STR("\xa0\x06\x01");
    shown_init(&shown, false, 1 << 20);
    const struct span *out = shown_span(&shown, &a);
    expect_text(out->name, "a\xef\xbf\xbd");
    expect_text(out->trace_state, "t\xef\xbf\xbd");
    expect_text(out->status_message, "m\xef\xbf\xbd");
    expect_text(texts_of(out->attrs, out->n_attrs), NEGATIVE "invalid-span-name#Yf8=|");
    assert_int_equal(out->start_ns, span->start_ns);
    assert_int_equal(out->end_ns, span->start_ns);
    assert_int_equal(out->span_id[0], 9);
    assert_int_equal(out->parent_id[0], 8);
    assert_int_equal(out->flags, 257);
    assert_int_equal(out->dropped_attrs, 3);
    assert_int_equal(out->unknown.len, 0);
    shown_fini(&shown);
    out = show(&shown, span, true);
    expect_text(out->name, "a\xef\xbf\xbd");
    assert_int_equal(out->end_ns, span->end_ns);
    assert_int_equal(out->n_attrs, 0);
    shown_fini(&shown);
    span->name = STR("");
    expect_text(show(&shown, span, false)->name, "empty-span-name");
    shown_fini(&shown);
    expect_text(show(&shown, span, true)->name, "");
    shown_fini(&shown);
}

static void events_by_time(void **state)
{
    struct span *span = span_of(1, 0, SPAN_CLIENT);
    struct shown shown;

    (void)state;
    span->events = joined(event_of(7, "late\xff", ATTRS(A_STR("b", "1"), A_INT("ip", 5))),
                          event_of(3, "", ATTRS(A_STR("\xff", "x"))));
    for (int raw = 0; raw < 2; raw++) {
        const struct span *out = show(&shown, span, raw);
        const uint8_t *at = wire_begin(out->events), *end = wire_end(out->events);
        struct event_view event[2];
        assert_int_equal(event_next(&at, end, &event[0]), 1);
        assert_int_equal(event_next(&at, end, &event[1]), 1);
        assert_int_equal(event_next(&at, end, &event[0]), 0);
        at = wire_begin(out->events);
        assert_int_equal(event_next(&at, end, &event[0]), 1);
        const struct event_view *late = &event[raw ? 0 : 1], *early = &event[raw ? 1 : 0];
        assert_int_equal(late->time_ns, 7);
        expect_text(late->name, "late\xef\xbf\xbd");
        expect_text(texts_in(late->message, 3), "b=1|ip=5|"); /* an event's number is no address */
        assert_int_equal(early->time_ns, 3);
        expect_text(texts_in(early->message, 3), "invalid-tag-key-1#/zp4|");
        shown_fini(&shown);
    }
}

static void links_that_lead_somewhere(void **state)
{
    static const char trace[] = "0102030405060708090a0b0c0d0e0f10";
    struct span *span = span_of(1, 0, SPAN_CLIENT);
    struct shown shown;

    (void)state;
    span->links = joined(link_of(trace, "0000000000000007", ATTRS(A_STR("k", "\xff"))),
                         link_of("", "0000000000000008", NO_ATTRS));
    for (int raw = 0; raw < 2; raw++) {
        const struct span *out = show(&shown, span, raw);
        const uint8_t *at = wire_begin(out->links), *end = wire_end(out->links);
        struct link_view link;
        assert_int_equal(link_next(&at, end, &link), 1);
        assert_int_equal(link.span_id[7], 7);
        expect_text(texts_in(link.message, 4), "k#/w==|");
        assert_int_equal(link_next(&at, end, &link), raw);
        expect_text(texts_of(out->attrs, out->n_attrs),
                    raw ? "" : WARNING "=[\"Invalid span link removed\"]|");
        shown_fini(&shown);
    }
}

static void resources_and_scopes(void **state)
{
    struct str resource = resource_of(ATTRS(A_STR("z", "\xff"), A_STR("service.name", "shop")));
    struct str nameless = resource_of(ATTRS(A_INT("service.name", 5)));
    struct str with_schema = joined(resource, STR("\x1a\x03u\xffv"));
    struct resource_view view;
    struct scope_view scope;
    struct shown shown;

    (void)state;
    for (int raw = 0; raw < 2; raw++) {
        shown_init(&shown, raw, 1 << 20);
        resource_view(shown_resource(&shown, with_schema), &view);
        expect_text(texts_in(view.attributes_owner[0], 1),
                    raw ? "z#/w==|service.name=shop|" : "service.name=shop|z#/w==|");
        expect_text(view.schema_url, "u\xef\xbf\xbdv");
        resource_view(shown_resource(&shown, nameless), &view);
        expect_text(texts_in(view.attributes_owner[0], 1),
                    raw ? "service.name=5|" : "service.name=service-name-wrong-type|");
        resource_view(shown_resource(&shown, STR("")), &view);
        expect_text(texts_in(view.attributes_owner[0], 1),
                    raw ? "" : "service.name=missing-service-name|");
        scope_view(shown_scope(&shown, scope_of("lib\xff", "1")), &scope);
        expect_text(scope.name, "lib\xef\xbf\xbd");
        expect_text(scope.version, "1");
        scope_view(shown_scope(&shown, STR("")), &scope);
        assert_int_equal(scope.name.len, 0);
        shown_fini(&shown);
    }
}

/* An array in an array in an array: the innermost is shown empty, and nothing runs out of stack. */
static void deep_values(void **state)
{
    struct span *span = span_of(1, 0, SPAN_CLIENT);
    struct str raw = STR("\x0a\x03\x0a\x01x");
    struct attr attr = A_ARRAY("k", "");
    struct shown shown;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct buf out;
        buf_init(&out, SIZE_MAX);
        size_t item = wire_open(&out, 1);
        wire_put_bytes(&out, 5, raw);
        wire_close(&out, item);
        raw = keep(&out);
    }
    attr.value.raw = raw;
    span->attrs = &attr;
    span->n_attrs = 1;
    const struct span *out = show(&shown, span, false);
    assert_int_equal(out->n_attrs, 1);
    unsigned depth = 0;
    for (struct value value = out->attrs[0].value; value.type == VALUE_ARRAY; depth++) {
        const uint8_t *at = wire_begin(value.raw);
        struct wire_field field;
        if (wire_next(&at, wire_end(value.raw), &field) != 1)
            break;
        value = any_value(field.bytes);
    }
    assert_int_equal(depth, SHOWN_DEPTH);
    shown_fini(&shown);
}

static void what_does_not_fit(void **state)
{
    static char text[5000];
    struct span *span = span_of(1, 0, SPAN_CLIENT);
    struct adjusted_span a = {.span = span};
    struct attr attr = A_STR("k", "");
    struct shown shown;

    (void)state;
    memset(text, 'x', sizeof text);
    attr.value.str = str_n(text, sizeof text);
    span->events = event_of(1, "e", &attr, 1);
    shown_init(&shown, false, 4096);
    (void)shown_span(&shown, &a);
    assert_int_equal(shown_err(&shown), MG_E_TOO_BIG);
    span->events = STR("");
    (void)shown_span(&shown, &a);
    assert_int_equal(shown_err(&shown), MG_OK);
    (void)shown_resource(&shown, resource_of(&attr, 1));
    assert_int_equal(shown_err(&shown), MG_E_TOO_BIG);
    shown_fini(&shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes),           cmocka_unit_test(the_frame),
        cmocka_unit_test(events_by_time),       cmocka_unit_test(links_that_lead_somewhere),
        cmocka_unit_test(resources_and_scopes), cmocka_unit_test(deep_values),
        cmocka_unit_test(what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
