#include "spans.h"
#include "api/jaeger/adjust.h"

/* "id<parent" for each span that is shown. */
static struct str shown(struct span **spans, size_t n, bool raw)
{
    struct query_trace trace = {.spans = spans, .n = n};
    struct adjusted_span *out;
    struct buf text;

    buf_init(&text, SIZE_MAX);
    size_t n_shown = trace_adjust(&trace, raw, &spans_arena, &out);
    for (size_t i = 0; i < n_shown; i++)
        buf_printf(&text, "%s%llx<%llx", i ? " " : "", (unsigned long long)get_be64(out[i].span_id),
                   (unsigned long long)get_be64(out[i].parent_id));
    return keep(&text);
}

enum { C = SPAN_CLIENT, S = SPAN_SERVER, I = SPAN_INTERNAL, P = SPAN_PRODUCER };

static const struct {
    struct {
        uint64_t id, parent;
        int32_t kind;
    } spans[6];
    size_t n;
    const char *want;
} shared_ids[] = {
    {{{0xa, 0, I}}, 1, "a<0"},
    {{{0xa, 0, C}, {0xa, 0, S}}, 2, "a<0 1<a"},
    {{{0xa, 0, S}, {0xa, 0, C}}, 2, "1<a a<0"},
    {{{0xa, 9, C}, {0xa, 9, S}, {0xb, 0xa, I}}, 3, "a<9 1<a b<1"},
    {{{0xb, 0xa, I}, {0xa, 9, S}, {0xa, 9, C}}, 3, "b<1 1<a a<9"},
    {{{0xa, 0, C}, {0xa, 0, S}, {0xb, 0xa, C}, {0xb, 0xa, S}}, 4, "a<0 1<a b<1 2<b"},
    /* used numbers are passed over */
    {{{1, 0, I}, {2, 1, I}, {4, 1, I}, {0xa, 1, C}, {0xa, 1, S}}, 5, "1<0 2<1 4<1 a<1 3<a"},
    {{{1, 0, C}, {1, 0, S}}, 2, "1<0 2<1"},
    {{{2, 0, C}, {2, 0, S}, {1, 2, C}, {1, 2, S}}, 4, "2<0 3<2 1<3 4<1"},
    /* several servers: children go to the last one, each server keeps the client */
    {{{0xa, 0, C}, {0xa, 0, S}, {0xa, 0, S}, {0xb, 0xa, I}}, 4, "a<0 1<a 2<a b<2"},
    /* not shared */
    {{{0xa, 0, S}, {0xa, 0, S}}, 2, "a<0 a<0"},
    {{{0xa, 0, C}, {0xa, 0, C}}, 2, "a<0 a<0"},
    {{{0xa, 0, C}, {0xb, 0xa, S}}, 2, "a<0 b<a"},
    {{{0xa, 0, P}, {0xa, 0, S}}, 2, "a<0 a<0"},
    {{{0xa, 0, I}, {0xa, 0, S}}, 2, "a<0 a<0"},
    /* a span that is its own parent is left alone */
    {{{0xa, 0xa, I}}, 1, "a<a"},
};

static void servers_with_a_shared_id(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(shared_ids); i++) {
        struct span *spans[6];
        for (size_t k = 0; k < shared_ids[i].n; k++) {
            spans[k] = span_of(shared_ids[i].spans[k].id, shared_ids[i].spans[k].parent,
                               shared_ids[i].spans[k].kind);
            spans[k]->end_ns += k; /* no two are one span */
        }
        struct str got = shown(spans, shared_ids[i].n, false);
        if (!str_eq(got, str_of(shared_ids[i].want)))
            fail_msg("%zu: %.*s", i, STR_ARG(got));
    }
}

static void raw_changes_nothing(void **state)
{
    struct span *spans[] = {span_of(10, 0, C), span_of(10, 0, S), span_of(10, 0, S),
                            span_of(11, 10, I)};

    (void)state;
    assert_true(str_eq(shown(spans, 4, true), STR("a<0 a<0 a<0 b<a")));
    assert_true(str_eq(shown(spans, 4, false), STR("a<0 1<a b<1")));
    assert_int_equal(get_be64(spans[1]->span_id), 10);
    assert_int_equal(get_be64(spans[3]->parent_id), 10);
}

static void set_attrs(struct span *span, const struct attr *attrs, size_t n)
{
    span->attrs = attrs;
    span->n_attrs = (uint32_t)n;
}

static size_t n_shown(struct span *a, struct span *b)
{
    struct query_trace trace = {.spans = (struct span *[]){a, b}, .n = 2};
    struct adjusted_span *out;

    return trace_adjust(&trace, false, &spans_arena, &out);
}

/* Jaeger sorts attributes before it compares spans. */
static void order_of_attributes_makes_no_difference(void **state)
{
    static const struct attr ab[] = {A_INT("a", 1), A_STR("b", "x")},
                             ba[] = {A_STR("b", "x"), A_INT("a", 1)};
    struct span *one = span_of(1, 0, I), *two = span_of(1, 0, I);

    (void)state;
    set_attrs(one, ab, 2);
    set_attrs(two, ba, 2);
    assert_int_equal(n_shown(one, two), 1);
    one->resource = resource_of(ATTRS(A_STR("service.name", "s"), A_STR("h", "1")));
    two->resource = resource_of(ATTRS(A_STR("h", "1"), A_STR("service.name", "s")));
    assert_int_equal(n_shown(one, two), 1);
}

static void changed_name(struct span *span)
{
    span->name = STR("other");
}
static void changed_end(struct span *span)
{
    span->end_ns++;
}
static void changed_parent(struct span *span)
{
    span->parent_id[0] = 1;
}
static void changed_kind(struct span *span)
{
    span->kind = P;
}
static void changed_status(struct span *span)
{
    span->status_code = STATUS_ERROR;
}
static void changed_message(struct span *span)
{
    span->status_message = STR("m");
}
static void changed_state(struct span *span)
{
    span->trace_state = STR("a=b");
}
static void changed_resource(struct span *span)
{
    span->resource = resource_of(ATTRS(A_STR("service.name", "x")));
}
static void changed_scope(struct span *span)
{
    span->scope = scope_of("lib", "2");
}
static void changed_events(struct span *span)
{
    span->events = event_of(1, "e", NO_ATTRS);
}
static void changed_links(struct span *span)
{
    span->links = link_of("01", "02", NO_ATTRS);
}
static void changed_flags(struct span *span)
{
    span->flags = 1;
}
static void changed_start(struct span *span)
{
    span->start_ns++;
}
static void changed_id(struct span *span)
{
    span->span_id[0] = 9;
}
static void changed_attribute(struct span *span)
{
    static const struct attr attrs[] = {A_INT("a", 2)};
    set_attrs(span, attrs, 1);
}
static void added_attribute(struct span *span)
{
    static const struct attr attrs[] = {A_INT("a", 1), A_INT("a", 1)};
    set_attrs(span, attrs, 2);
}

static void everything_else_does(void **state)
{
    static void (*const changes[])(struct span *) = {
        changed_name,   changed_end,     changed_parent,    changed_kind,
        changed_status, changed_message, changed_state,     changed_resource,
        changed_scope,  changed_events,  changed_links,     changed_flags,
        changed_start,  changed_id,      changed_attribute, added_attribute,
    };
    static const struct attr attrs[] = {A_INT("a", 1)};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(changes); i++) {
        struct span *one = span_of(1, 0, I), *two = span_of(1, 0, I);
        set_attrs(one, attrs, 1);
        set_attrs(two, attrs, 1);
        one->scope = two->scope = scope_of("lib", "1");
        assert_int_equal(n_shown(one, two), 1);
        changes[i](two);
        if (n_shown(one, two) != 2)
            fail_msg("change %zu", i);
    }
}

/* Thousands of spans at one place: twins are found without comparing all pairs. */
static void many_at_one_place(void **state)
{
    enum { N = 20000 };
    static struct span *spans[N];
    struct query_trace trace = {.spans = spans, .n = N};
    struct adjusted_span *out;

    (void)state;
    for (size_t i = 0; i < N; i++) {
        spans[i] = span_of(1, 0, I);
        spans[i]->end_ns += i % (N / 2);
    }
    assert_int_equal(trace_adjust(&trace, false, &spans_arena, &out), N / 2);
}

/* --- warnings
 * ----------------------------------------------------------------------------------------- */

static struct str warned(const struct span *span)
{
    struct str *list;
    struct buf text;
    size_t n = span_warnings(span, &spans_arena, &list);

    buf_init(&text, SIZE_MAX);
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%.*s|", STR_ARG(list[i]));
    return keep(&text);
}

static void ends_before_starts(void **state)
{
    struct span *span = span_of(1, 0, I);

    (void)state;
    assert_int_equal(warned(span).len, 0);
    span->end_ns = span->start_ns;
    assert_int_equal(warned(span).len, 0);
    span->end_ns = span->start_ns - 1;
    assert_true(str_eq(
        warned(span),
        STR("Negative duration detected, sanitizing end timestamp. Original end timestamp: "
            "1970-01-01T00:00:00.999999999Z, adjusted to: 1970-01-01T00:00:01.000000000Z|")));
}

static void links_to_nowhere(void **state)
{
    struct span *span = span_of(1, 0, I);

    (void)state;
    span->links = link_of("00000000000000000000000000000001", "0000000000000000", NO_ATTRS);
    assert_int_equal(warned(span).len, 0);
    span->links = joined(span->links,
                         link_of("00000000000000000000000000000000", "0000000000000001", NO_ATTRS));
    assert_true(str_eq(warned(span), STR("Invalid span link removed|")));
    span->links = joined(span->links, link_of("", "0000000000000001", NO_ATTRS));
    span->links = joined(span->links, link_of("0102", "0000000000000001", NO_ATTRS));
    assert_true(str_eq(warned(span), STR("Invalid span link removed|Invalid span link removed|"
                                         "Invalid span link removed|")));
}

static void stored_warnings(void **state)
{
    static const struct attr list[] = {
        A_ARRAY("@jaeger@warnings", "\x0a\x03\x0a\x01x\x0a\x02\x18\x02\x0a\x04\x0a\x02yz")};
    static const struct attr text[] = {A_STR("@jaeger@warnings", "x")};
    static const struct attr broken[] = {A_ARRAY("@jaeger@warnings", "\x0a\x03\x0a\x01x\x0a\x7f")};
    struct span *span = span_of(1, 0, I);

    (void)state;
    set_attrs(span, list, 1);
    assert_true(str_eq(warned(span), STR("x|yz|")));
    set_attrs(span, text, 1);
    assert_int_equal(warned(span).len, 0);
    set_attrs(span, broken, 1);
    assert_true(str_eq(warned(span), STR("x|")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_with_a_shared_id),
        cmocka_unit_test(raw_changes_nothing),
        cmocka_unit_test(order_of_attributes_makes_no_difference),
        cmocka_unit_test(everything_else_does),
        cmocka_unit_test(many_at_one_place),
        cmocka_unit_test(ends_before_starts),
        cmocka_unit_test(links_to_nowhere),
        cmocka_unit_test(stored_warnings),
    };

    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
