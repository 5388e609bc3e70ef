/* span_test.c - attributes in every form, the views into wire-form parts, text of values, equality.
 */
#include "model_help.h"

#include <math.h>

static void attributes_in_every_form(void **state)
{
    static const struct { const char *in, *want; } rows[] = {
        { "", " :empty" },
        { "0a0161 1202 1805", " a:int:5" },
        { "1202 1805 0a0161", " a:int:5" },
        { "0a0161 1203 0a0162", " a:string:b" },
        { "0a0161 1202 0a00", " a:string:" },
        { "0a0161 1202 3a00", " a:bytes:" },
        { "0a0161 1204 1805 0a00", " a:string:" },
        { "0a0161 1204 4001 1805", " a:other:0a0161120440011805" },
        { "0a0161 1805", " a:other:0a01611805" },
        { "0a0161 1206 2a00 1801 2a00", " a:array:" }, /* not twice in a row: nothing to join */
        { "0a0161 1204 3200 3200", " a:other:0a01611204320 03200" },
        { "0a0161 1203 188001", " a:int:128" },
        { "0a80010161", NULL },
        { "0a0161 1201", NULL },
        { "0a0161 1801 08", NULL },
        { "0801", NULL },
        { "1001", NULL },
        { "1a00", NULL },
        { "0a0161 1202 0801", NULL },
        { "0a0161 1202 1a00", NULL },
        { "0a0161 1202 2801", NULL },
        { "0a0161 1202 4200", NULL },
        { "0a0161 1203 1a8080", NULL },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct attr attr;
        struct buf told;
        int got = attr_decode(hex(rows[i].in), &attr);
        if (got != (rows[i].want ? 0 : -1))
            fail_msg("%s: %d", rows[i].in, got);
        if (got < 0)
            continue;
        buf_init(&told, SIZE_MAX);
        put_attr(&told, &attr);
        struct buf want;
        buf_init(&want, SIZE_MAX);
        for (const char *c = rows[i].want; *c; c++) /* spaces behind the first are for the reader */
            if (*c != ' ' || c == rows[i].want)
                buf_put_char(&want, *c);
        if (!str_eq(buf_str(&told), buf_str(&want)))
            fail_msg("%s: %.*s", rows[i].in, (int)told.len, told.ptr);
        buf_fini(&want);
        buf_fini(&told);
    }
}

static void plain_values(void **state)
{
    static const struct { const char *in; enum value_type want; } rows[] = {
        { "0a0161 1202 1805", VALUE_INT },
        { "0a0161 1202 1805 1801", VALUE_INT },          /* key index beside */
        { "0a0161 1205 1805 a00601", VALUE_INT },        /* unknown in the value */
        { "0a0161 1204 1805 4001", VALUE_EMPTY },        /* string-table index */
        { "0a0161 1204 2a00 2a00", VALUE_ARRAY },
        { "0a0161 1801", VALUE_EMPTY },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct attr attr;
        assert_int_equal(attr_decode(hex(rows[i].in), &attr), 0);
        assert_int_equal(value_plain(&attr.value).type, rows[i].want);
    }
    const struct value damaged = { .type = VALUE_OTHER, .raw = STR("\x0a") };
    assert_int_equal(value_plain(&damaged).type, VALUE_EMPTY);
}

static void attributes_are_iterated(void **state)
{
    struct str message = hex("0801 1a07 0a0161 12021801 2205 0a0162 1200 1a03 0a0163");
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct attr attr;

    (void)state;
    assert_int_equal(attr_next(&at, end, 3, &attr), 1);
    assert_true(str_eq(attr.key, STR("a")));
    assert_int_equal(attr_next(&at, end, 3, &attr), 1);
    assert_true(str_eq(attr.key, STR("c")));
    assert_int_equal(attr_next(&at, end, 3, &attr), 0);
    static const char *const bad[] = { "1801", "1a0108", "1a05", "1a020801" };
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        message = hex(bad[i]);
        at = wire_begin(message);
        assert_int_equal(attr_next(&at, wire_end(message), 3, &attr), -1);
    }
}

#define SERVICE_KEY "0a0c 736572766963652e6e616d65"

static void resources(void **state)
{
    static const struct { const char *in, *service, *schema; uint32_t n, dropped; } rows[] = {
        { "", "missing-service-name", "", 0, 0 },
        { "0a00", "missing-service-name", "", 1, 0 },
        { "1a0175", "missing-service-name", "u", 0, 0 },
        { "0a18 0a16" SERVICE_KEY "1206 0a0463617274 1a0175", "cart", "u", 1, 0 },
        { "0a1a 0a16" SERVICE_KEY "1206 0a0463617274 1003", "cart", "", 1, 3 },
        { "0a18 0a16" SERVICE_KEY "1206 0a0463617274 0a021004", "cart", "", 2, 4 }, /* merged */
        { "0a14 0a12" SERVICE_KEY "1202 0a00", "empty-service-name", "", 1, 0 },
        { "0a14 0a12" SERVICE_KEY "1202 1801", "service-name-wrong-type", "", 1, 0 },
        { "0a12 0a10" SERVICE_KEY "1200", "service-name-wrong-type", "", 1, 0 },
        { "0a14 0a12" SERVICE_KEY "1202 1801 0a15 0a13" SERVICE_KEY "1203 0a0162", "b", "", 2, 0 },
        { "0a17 0a15" SERVICE_KEY "1203 0a0162 1801", "b", "", 1, 0 }, /* a key index beside it */
        { "0a07 0a05 0a0161 1200", "missing-service-name", "", 1, 0 },
        { "0a05 0a03 0a0261", "missing-service-name", "", 1, 0 },      /* malformed */
        { "0a02 1001 0a021002 0a021003 0a021004 0a021005", "missing-service-name", "", 4, 4 },
        { "0a05", "missing-service-name", "", 0, 0 },
        { "0801 1801", "missing-service-name", "", 0, 0 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct resource_view view;
        resource_view(hex(rows[i].in), &view);
        if (!str_eq(resource_service(&view), str_of(rows[i].service)) || view.n != rows[i].n ||
            !str_eq(view.schema_url, str_of(rows[i].schema)) ||
            view.dropped_attrs != rows[i].dropped)
            fail_msg("%s: %.*s n %u dropped %u", rows[i].in, STR_ARG(resource_service(&view)),
                     view.n, view.dropped_attrs);
        assert_int_equal(resource_service_is_stand_in(str_of(rows[i].service)), view.service_name.len == 0);
    }
}

static void scopes(void **state)
{
    static const struct { const char *in, *name, *version, *schema; uint32_t dropped; } rows[] = {
        { "", "", "", "", 0 },
        { "0a03 0a016e", "n", "", "", 0 },
        { "0a08 0a016e 120176 2002 1a0175", "n", "v", "u", 2 },
        { "0a03 0a016e 0a03 120176", "n", "v", "", 0 },
        { "0a02 0801", "", "", "", 0 },
        { "0a03 0a0561", "", "", "", 0 },
        { "0a", "", "", "", 0 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct scope_view view;
        scope_view(hex(rows[i].in), &view);
        assert_true(str_eq(view.name, str_of(rows[i].name)));
        assert_true(str_eq(view.version, str_of(rows[i].version)));
        assert_true(str_eq(view.schema_url, str_of(rows[i].schema)));
        assert_int_equal(view.dropped_attrs, rows[i].dropped);
    }
}

static void events(void **state)
{
    struct str part = hex("5a12 090500000000000000 120165 2003 1a02 0a00 5a00");
    const uint8_t *at = wire_begin(part), *end = wire_end(part);
    struct event_view event;

    (void)state;
    assert_int_equal(event_next(&at, end, &event), 1);
    assert_int_equal(event.time_ns, 5);
    assert_true(str_eq(event.name, STR("e")));
    assert_int_equal(event.dropped_attrs, 3);
    assert_int_equal(event.message.len, 18);
    assert_int_equal(event_next(&at, end, &event), 1);
    assert_int_equal(event.time_ns + event.name.len + event.dropped_attrs, 0);
    assert_int_equal(event_next(&at, end, &event), 0);
    static const char *const bad[] = { "5801", "5a05", "5a0108", "5a0209" };
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        part = hex(bad[i]);
        at = wire_begin(part);
        assert_int_equal(event_next(&at, wire_end(part), &event), -1);
    }
}

static void links(void **state)
{
    static const struct { const char *in; int got; bool has_ids; } rows[] = {
        { "6a1c" IDS_HEX, 1, true },
        { "6a0a" SPAN_HEX, 1, false },
        { "6a12" TRACE_HEX, 1, false },
        { "6a1c 0a10 00000000000000000000000000000000" SPAN_HEX, 1, false },
        { "6a1c" TRACE_HEX "1208 0000000000000000", 1, false },
        { "6a14" TRACE_HEX "1200", 1, false },
        { "6a00", 1, false },
        { "", 0, false },
        { "6801", -1, false },
        { "6a0108", -1, false },
        { "6a05", -1, false },
    };
    static const uint8_t zero[16];
    struct link_view link;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct str part = hex(rows[i].in);
        const uint8_t *at = wire_begin(part);
        int got = link_next(&at, wire_end(part), &link);
        assert_int_equal(got, rows[i].got);
        if (got == 1)
            assert_int_equal(memcmp(link.trace_id, zero, 16) != 0 && memcmp(link.span_id, zero, 8) != 0, rows[i].has_ids);
    }
    struct str full = field_bytes(13, join(hex(IDS_HEX), hex("1a03613d31 2802 3502010000")));
    const uint8_t *at = wire_begin(full);
    assert_int_equal(link_next(&at, wire_end(full), &link), 1);
    assert_true(link.trace_id[0] == 1 && link.span_id[7] == 0x18);
    assert_true(str_eq(link.trace_state, STR("a=1")));
    assert_int_equal(link.dropped_attrs, 2);
    assert_int_equal(link.flags, 258);
}

static void text_of(const struct value *value, const char *want)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    value_text(&out, value);
    if (!str_eq(buf_str(&out), str_of(want)))
        fail_msg("%.*s instead of %s", (int)out.len, out.ptr ? out.ptr : "", want);
    buf_fini(&out);
}

static void values_as_text(void **state)
{
    static const struct { const char *any, *want; } rows[] = {
        { "", "" },
        { "0a03616263", "abc" },
        { "0a00", "" },
        { "0a03 22610a", "\"a\n" },        /* a string stands for itself */
        { "0a03 61ff62", "a\xef\xbf\xbd" "b" },
        { "1001", "true" },
        { "1000", "false" },
        { "182a", "42" },
        { "1880808080808080808001", "-9223372036854775808" },
        { "21 1f85eb51b81e0940", "3.14" },
        { "21 000000000000f87f", "NaN" },
        { "21 000000000000f07f", "Infinity" },
        { "21 000000000000f0ff", "-Infinity" },
        { "3a02 00ff", "AP8=" },
        { "2a00", "[]" },
        { "3200", "{}" },
        { "2a0f 0a03 0a0161 0a021801 0a021001 0a00", "[\"a\",1,true,null]" },
        { "2a06 0a04 3a02 00ff", "[\"AP8=\"]" },
        { "2a0b 0a09 21 000000000000f87f", "[\"NaN\"]" },
        { "320b 0a09 0a016b 1204 2a02 0a00", "{\"k\":[null]}" },
        { "320e 0a05 0a0161 1200 0a05 0a0161 1200", "{\"a\":null,\"a\":null}" },
        { "2a04 0a02 4001", "[null]" },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct attr attr;
        assert_int_equal(attr_decode(field_bytes(2, hex(rows[i].any)), &attr), 0);
        text_of(&attr.value, rows[i].want);
    }
    struct attr odd;
    assert_int_equal(attr_decode(hex("0a0161 1204 1805 4801"), &odd), 0);
    assert_int_equal(odd.value.type, VALUE_OTHER);
    text_of(&odd.value, "5");
}

static void deep_text_is_cut(void **state)
{
    char want[400];

    (void)state;
    for (unsigned levels = 63; levels <= 66; levels++) {
        struct attr attr;
        unsigned shown = MG_MIN(levels, 64u);
        assert_int_equal(attr_decode(nested_attr(levels, 0), &attr), 0);
        memset(want, '[', shown);
        int n = snprintf(want + shown, sizeof want - shown, "%s", levels > 64 ? "null" : "1");
        memset(want + shown + n, ']', shown);
        want[shown * 2 + (unsigned)n] = '\0';
        text_of(&attr.value, want);
    }
}

static void kinds_have_names(void **state)
{
    static const struct { int32_t kind; const char *want; } rows[] = {
        { SPAN_UNSPECIFIED, "" }, { SPAN_INTERNAL, "internal" }, { SPAN_SERVER, "server" },
        { SPAN_CLIENT, "client" }, { SPAN_PRODUCER, "producer" }, { SPAN_CONSUMER, "consumer" },
        { 6, "" }, { -1, "" }, { INT32_MAX, "" }, { INT32_MIN, "" },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        assert_string_equal(span_kind_name(rows[i].kind), rows[i].want);
}

static void trace_ids_are_parsed(void **state)
{
    static const struct { const char *in, *want; } rows[] = {
        { "1", "00000000000000000000000000000001" },
        { "abc", "00000000000000000000000000000abc" },
        { "0102030405060708", "00000000000000000102030405060708" },
        { "5B8EFFF798038103D269B633813FC60C", "5b8efff798038103d269b633813fc60c" },
        { "05b8efff798038103d269b633813fc60c", NULL }, /* 33 digits */
        { "", NULL }, { "0", NULL }, { "00000000000000000000000000000000", NULL },
        { "xyz", NULL }, { "0x1", NULL }, { "12 ", NULL }, { "-1", NULL },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        uint8_t id[16] = { 0xee };
        char text[33] = { 0 };
        assert_int_equal(trace_id_parse(str_of(rows[i].in), id), rows[i].want != NULL);
        if (!rows[i].want) {
            assert_int_equal(id[0], 0xee); /* outputs on success only */
            continue;
        }
        hex_encode(id, sizeof id, text);
        assert_string_equal(text, rows[i].want);
    }
}

/* Spans differ when any single field does. */
static void equality_sees_every_field(void **state)
{
    const struct attr attrs[] = {
        { STR("a"), { .type = VALUE_INT, .i = 1 } },
        { STR("d"), { .type = VALUE_DOUBLE, .d = 0.0 } },
        { STR("n"), { .type = VALUE_DOUBLE, .d = NAN } },
        { STR("e"), { .type = VALUE_EMPTY, .i = 77 } },
    };
    const struct span base = {
        .name = STR("n"),
        .trace_state = STR("t"),
        .status_message = STR("m"),
        .attrs = attrs,
        .n_attrs = 4,
        .events = STR("e"),
        .links = STR("l"),
        .unknown = STR("u"),
        .resource = STR("r"),
        .scope = STR("s"),
    };
    struct attr changed[4];
    struct span other = base;

    (void)state;
    assert_true(span_equal(&base, &other));
#define DIFFERS(change)                            \
    do {                                           \
        other = base;                              \
        memcpy(changed, attrs, sizeof attrs);      \
        other.attrs = changed;                     \
        assert_true(span_equal(&base, &other));    \
        change;                                    \
        assert_false(span_equal(&base, &other));   \
        assert_false(span_equal(&other, &base));   \
    } while (0)
    DIFFERS(other.trace_id[15] = 1);
    DIFFERS(other.span_id[7] = 1);
    DIFFERS(other.parent_id[0] = 1);
    DIFFERS(other.start_ns = 1);
    DIFFERS(other.end_ns = 1);
    DIFFERS(other.name = STR("N"));
    DIFFERS(other.trace_state = STR(""));
    DIFFERS(other.status_message = STR("mm"));
    DIFFERS(other.kind = 1);
    DIFFERS(other.status_code = 1);
    DIFFERS(other.flags = 1);
    DIFFERS(other.dropped_attrs = 1);
    DIFFERS(other.dropped_events = 1);
    DIFFERS(other.dropped_links = 1);
    DIFFERS(other.events = STR("E"));
    DIFFERS(other.links = STR("L"));
    DIFFERS(other.unknown = STR("U"));
    DIFFERS(other.resource = STR("R"));
    DIFFERS(other.scope = STR("S"));
    DIFFERS(other.n_attrs = 3);
    DIFFERS(changed[0].key = STR("b"));
    DIFFERS(changed[0].value.i = 2);
    DIFFERS(changed[0].value.type = VALUE_BOOL);
    DIFFERS(changed[1].value.d = -0.0);
    DIFFERS(changed[0] = attrs[1]; changed[1] = attrs[0]);
#undef DIFFERS
    changed[3].value.i = 78; /* what an empty value does not say */
    memcpy(changed, attrs, 3 * sizeof *attrs);
    other = base;
    other.attrs = changed;
    changed[3] = (struct attr){ STR("e"), { .type = VALUE_EMPTY, .i = 78 } };
    assert_true(span_equal(&base, &other));
}

static void roots_and_durations(void **state)
{
    struct span span = { .start_ns = 5, .end_ns = 9 };

    (void)state;
    assert_true(span_is_root(&span));
    span.parent_id[7] = 1;
    assert_false(span_is_root(&span));
    assert_int_equal(span_duration_ns(&span), 4);
    span.end_ns = 5;
    assert_int_equal(span_duration_ns(&span), 0);
    span.end_ns = 4;
    assert_int_equal(span_duration_ns(&span), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_in_every_form),
        cmocka_unit_test(plain_values),
        cmocka_unit_test(attributes_are_iterated),
        cmocka_unit_test(resources),
        cmocka_unit_test(scopes),
        cmocka_unit_test(events),
        cmocka_unit_test(links),
        cmocka_unit_test(values_as_text),
        cmocka_unit_test(deep_text_is_cut),
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(trace_ids_are_parsed),
        cmocka_unit_test(equality_sees_every_field),
        cmocka_unit_test(roots_and_durations),
    };
    return cmocka_run_group_tests(tests, NULL, help_fini);
}
