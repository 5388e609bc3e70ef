/* Between scanner and visitor: resources, ordinals, what is passed on as it is. */
#include "spans.h"

#include "model/otlp_scan.h"
#include "model/otlp_write.h"

static void expect_told(const char *lines, const char *before, bool with_drops, const char *after)
{
    struct arena arena = { 0 };
    struct attribute_rules *rules = rules_make(lines, NULL);
    struct attribute_filter *filter = attribute_filter_new(rules);
    struct buf out;

    attribute_rules_unref(&rules);
    buf_init(&out, SIZE_MAX);
    request_tell(filter, request_make(&arena, before), with_drops, &out);
    if (!str_eq(buf_str(&out), str_of(after)))
        fail_msg("%s\n  wanted: %s\n  got:    %.*s", before, after, STR_ARG(buf_str(&out)));
    buf_fini(&out);
    attribute_filter_free(&filter);
    arena_fini(&arena);
}

static void drops_are_told_by_ordinal_and_passed_over_at_replay(void **state)
{
    static const char rules[] = "drop if span.a exists\nupsert b = 1";
    static const char before[] = "R | S a:e | S | S a:e | S a:e | R | S | S a:e";

    (void)state;
    expect_told(rules, before, true, "R | D0 | S b:i:1 | D2 | D3 | R | S b:i:1 | D5");
    expect_told(rules, before, false, "R | S a:e b:i:1 | S b:i:1 | S a:e b:i:1 | S a:e b:i:1 | R | S b:i:1 | S a:e b:i:1");
}

/* One filter, many groups: what was kept of one resource never shows in another. */
static void resources_do_not_mix(void **state)
{
    static const char rules[] = "upsert resource seen = 1 if resource.env = \"a\"\ninsert env = resource.env\n"
                                "drop if resource.env = \"c\"\ninsert x = 1 if span.k = resource.env";

    (void)state;
    expect_told(rules, "R env:s:a | S k:s:a | S k:s:b | R env:s:b | S k:s:a | S k:s:b | R env:s:b | S | R env:s:a | S | R | S | R env:s:c | S | R | S",
                true,
                "R env:s:a seen:i:1 | S k:s:a env:s:a x:i:1 | S k:s:b env:s:a | R env:s:b | S k:s:a env:s:b | S k:s:b env:s:b x:i:1 | "
                "R env:s:b | S env:s:b | R env:s:a seen:i:1 | S env:s:a | R | S | R env:s:c | D7 | R | S");
}

static void refused_spans_and_scopes_pass(void **state)
{
    (void)state;
    struct arena arena = { 0 };
    struct attribute_rules *rules = rules_make("insert a = 1", NULL);
    struct attribute_filter *filter = attribute_filter_new(rules);
    struct buf request, out;

    buf_init(&request, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    size_t group = wire_open(&request, 1), scope = wire_open(&request, 2);
    wire_put_bytes(&request, 2, STR("")); /* a span without ids */
    wire_close(&request, scope);
    wire_close(&request, group);
    request_tell(filter, buf_str(&request), true, &out);
    assert_true(str_eq(buf_str(&out), STR("R | X0")));
    buf_fini(&request);
    buf_fini(&out);
    attribute_filter_free(&filter);
    attribute_rules_unref(&rules);
    arena_fini(&arena);
}

/* --- bytes and pointers ------------------------------------------------------------------------- */

struct sight {
    struct str resource, scope;
    const char *resource_ptr;
    unsigned n_resources, n_spans;
    const struct span *span;
    const struct attr *attrs;
};

static void see_resource(void *owner, struct str resource)
{
    struct sight *sight = owner;

    sight->resource_ptr = resource.ptr;
    if (sight->resource.ptr) {
        assert_int_equal(resource.len, sight->resource.len);
        assert_memory_equal(resource.ptr, sight->resource.ptr, resource.len);
    }
    sight->n_resources++;
}

static void see_scope(void *owner, struct str scope)
{
    struct sight *sight = owner;

    assert_true(str_eq(scope, sight->scope));
}

static void see_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct sight *sight = owner;

    (void)ordinal;
    assert_ptr_equal(span->resource.ptr, sight->resource_ptr);
    sight->span = span;
    sight->attrs = span->attrs;
    sight->n_spans++;
}

static void see_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)why;
    fail_msg("span %u refused", ordinal);
}

static const struct span_visitor seeing = { see_resource, see_scope, see_span, see_refused };

static void see(const char *lines, struct str resource, struct str wanted)
{
    struct attribute_rules *rules = rules_make(lines, NULL);
    struct attribute_filter *filter = attribute_filter_new(rules);
    struct sight sight = { .resource = wanted, .scope = STR("\x1a\x01s") };
    struct span span = { .resource = resource, .scope = sight.scope, .name = STR("n"), .trace_state = STR(""), .status_message = STR(""),
                         .events = STR(""), .links = STR(""), .unknown = STR("") };

    attribute_filter_begin(filter, &seeing, &sight, NULL, SIZE_MAX);
    attribute_visitor.on_resource(filter, resource);
    attribute_visitor.on_scope(filter, sight.scope);
    attribute_visitor.on_span(filter, &span, 0);
    attribute_visitor.on_span(filter, &span, 1);
    assert_int_equal(sight.n_spans, 2);
    attribute_filter_free(&filter);
    attribute_rules_unref(&rules);
}

/* schema_url, unknown fields, entity_refs, dropped counts and their order; `resource` messages that protobuf merges are one then. */
static void other_fields_of_a_resource_stay(void **state)
{
    static const struct { const char *rules; struct str before, after; } rows[] = {
        { "upsert resource k = \"v\"", STR_INIT(""), STR_INIT("\x0a\x0a\x0a\x08\x0a\x01k\x12\x03\x0a\x01v") },
        { "upsert resource k = \"v\"", STR_INIT("\x1a\x01u"), STR_INIT("\x1a\x01u\x0a\x0a\x0a\x08\x0a\x01k\x12\x03\x0a\x01v") },
        { "delete resource k", STR_INIT("\xc2\x3e\x01x\x0a\x0f\x10\x03\x0a\x07\x0a\x01k\x12\x02\x10\x01\x1a\x02\x0a\x00\x1a\x01u"),
          STR_INIT("\xc2\x3e\x01x\x0a\x06\x10\x03\x1a\x02\x0a\x00\x1a\x01u") },
        { "delete resource k",
          STR_INIT("\x0a\x07\x0a\x05\x0a\x01k\x12\x00\x1a\x01u\x0a\x10\x10\x02\x0a\x05\x0a\x01k\x12\x00\x0a\x05\x0a\x01x\x12\x00"),
          STR_INIT("\x0a\x09\x0a\x05\x0a\x01x\x12\x00\x10\x02\x1a\x01u") },
        { "delete resource k", STR_INIT("\x0a\x07\x0a\x05\x0a\x01k\x12\x00"), STR_INIT("\x0a\x00") },
        { "delete resource z", STR_INIT("\x0a\x80\x00"), STR_INIT("\x0a\x80\x00") }, /* untouched: not even re-encoded */
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        see(rows[i].rules, rows[i].before, rows[i].after);
}

/* No scanner lets a malformed resource through; if one did, nothing here would make it worse. */
static void a_malformed_resource_is_left_alone(void **state)
{
    static const struct str rows[] = { STR_INIT("\x0a\x05\x0a"), STR_INIT("\x0a"), STR_INIT("\x0a\x03\x0a\x05x"), STR_INIT("\x0a\x02\x0a\x01\x00"),
                                       STR_INIT("\x0a\x04\x0a\x02\x0a\x09") };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        see("upsert resource k = 1\nredact resource keys k\nredact resource pattern \".\"\nhash resource k", rows[i], rows[i]);
}

static void an_untouched_span_is_passed_on_itself(void **state)
{
    static const struct attr attrs[] = { { { "b", 1 }, { .type = VALUE_BOOL } } };
    struct span span = { .resource = STR("\x1a\x01u"), .name = STR("n"), .attrs = attrs, .n_attrs = 1 };
    struct attribute_rules *rules = rules_make("update a = 1\ndelete c\nhash d\nredact keys token\nredact pattern \"x\"\n"
                                               "rename e -> f\ninsert b = 1\nupdate b = 1 if kind = \"server\"\ndelete resource q", NULL);
    struct attribute_filter *filter = attribute_filter_new(rules);
    struct sight sight = { .scope = STR("") };

    (void)state;
    attribute_filter_begin(filter, &seeing, &sight, NULL, SIZE_MAX);
    attribute_visitor.on_resource(filter, span.resource);
    assert_ptr_equal(sight.resource_ptr, span.resource.ptr);
    attribute_visitor.on_scope(filter, STR(""));
    attribute_visitor.on_span(filter, &span, 0);
    assert_ptr_equal(sight.span, &span);
    attribute_filter_free(&filter);

    /* what a rule changes is a copy, and the rest of the span with it; the array of attributes only when it is touched */
    attribute_rules_unref(&rules);
    rules = rules_make("redact pattern \"n\"", NULL);
    filter = attribute_filter_new(rules);
    attribute_filter_begin(filter, &seeing, &sight, NULL, SIZE_MAX);
    attribute_visitor.on_resource(filter, span.resource);
    attribute_visitor.on_span(filter, &span, 0);
    assert_ptr_not_equal(sight.span, &span);
    assert_ptr_equal(sight.attrs, attrs);
    assert_true(str_eq(span.name, STR("n")));
    attribute_filter_free(&filter);
    attribute_rules_unref(&rules);
}

/* A resource has no limit of its own at the door; here it has one. */
static void a_resource_with_too_many_attributes_is_cut(void **state)
{
    struct attribute_rules *rules = rules_make("delete resource k if service = \"x\"", NULL);
    struct attribute_filter *filter = attribute_filter_new(rules);
    struct sight sight = { .scope = STR("") };
    struct buf resource, wanted;

    (void)state;
    for (unsigned over = 0; over <= 1; over++) {
        buf_init(&resource, SIZE_MAX);
        buf_init(&wanted, SIZE_MAX);
        size_t mark = wire_open(&resource, 1), other = wire_open(&wanted, 1);
        for (unsigned i = 0; i < 65536 + over; i++)
            buf_put(&resource, "\x0a\x05\x0a\x01" "a\x12", 7);
        wire_close(&resource, mark);
        for (unsigned i = 0; i < 65536; i++)
            buf_put(&wanted, "\x0a\x05\x0a\x01" "a\x12", 7);
        wire_close(&wanted, other);
        sight.resource = buf_str(&wanted);
        attribute_filter_begin(filter, &seeing, &sight, NULL, SIZE_MAX);
        attribute_visitor.on_resource(filter, buf_str(&resource));
        assert_int_equal(sight.resource_ptr == resource.ptr, over == 0);
        attribute_filter_begin(filter, &seeing, &sight, NULL, SIZE_MAX); /* lets the large memory go */
        attribute_visitor.on_resource(filter, buf_str(&resource));
        buf_fini(&resource);
        buf_fini(&wanted);
    }
    assert_int_equal(sight.n_resources, 4);
    attribute_filter_free(&filter);
    attribute_rules_unref(&rules);
}

/* --- budgets ------------------------------------------------------------------------------------ */

/* What a scan's rules add, and what is left when that is more than `max`. Each twice with one filter, which keeps the resource. */
static void what_rules_add_is_bounded(void **state)
{
    static const struct { const char *rules, *before; size_t max; bool is_over; const char *after; } rows[] = {
        { "insert k = \"abcd\"", "R | S | S", 10, false, "R | S k:s:abcd | S k:s:abcd" },
        { "insert k = \"abcd\"", "R | S | S", 9, true, "R | S k:s:abcd | S" },
        { "insert k = \"abcd\"", "R | S", 4, true, "R | S" },
        { "insert k = 1", "R | S", 9, false, "R | S k:i:1" },
        { "insert k = 1", "R | S", 8, true, "R | S" },
        { "insert k = \"abcd\"", "R | S k:s:x", 0, false, "R | S k:s:x" },
        { "upsert k = \"abcd\"", "R | S k:s:abc | S k:s:abcde", 1, false, "R | S k:s:abcd | S k:s:abcd" },
        { "upsert k = \"abcd\"", "R | S k:s:abc k:s:abc", 1, true, "R | S k:s:abc k:s:abc" },
        { "update k = \"abcd\"", "R | S k:s:abc | S k:s:abcde", 0, true, "R | S k:s:abc | S k:s:abcd" },
        /* once over, over; what adds nothing goes on */
        { "insert k = \"abcdefgh\"\ninsert b = \"\"\ndelete x\nredact keys p\nupdate u = \"\"", "R | S x:e p:s:1 u:s:a", 5, true,
          "R | S p:s:%2a%2a%2a u:s:" },
        { "rename a -> abc\nredact keys abc", "R | S a:s:1 | S a:s:1", 2, true, "R | S abc:s:%2a%2a%2a | S abc:s:%2a%2a%2a" },
        { "rename abc -> a", "R | S abc:s:1", 0, false, "R | S a:s:1" },
        /* copies of a resource's value; a resource's own once, not for every span */
        { "insert p = resource.p", "R p:s:0123456789 | S | S | S", 33, false,
          "R p:s:0123456789 | S p:s:0123456789 | S p:s:0123456789 | S p:s:0123456789" },
        { "insert p = resource.p", "R p:s:0123456789 | S | S | S", 32, true,
          "R p:s:0123456789 | S p:s:0123456789 | S p:s:0123456789 | S" },
        { "insert p = resource.p", "R p:a:[s:0123456789] | S | S", 20, true,
          "R p:a:[s:0123456789] | S p:a:[s:0123456789] | S" },
        { "insert resource k = \"abcd\"", "R | S | S | S", 5, false, "R k:s:abcd | S | S | S" },
        { "insert resource k = \"abcd\"", "R | S", 4, true, "R | S" },
        { "insert resource k = \"abcd\"", "R | S | R | S", 9, true, "R k:s:abcd | S | R | S" },
        /* a span that is dropped has counted */
        { "insert k = \"abcd\"\ndrop if span.x exists", "R | S x:e | S", 5, true, "R | D0 | S" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct arena arena = { 0 };
        struct attribute_rules *rules = rules_make(rows[i].rules, NULL);
        struct attribute_filter *filter = attribute_filter_new(rules);
        struct str request = request_make(&arena, rows[i].before);
        struct buf out, wanted;
        buf_init(&out, SIZE_MAX);
        buf_init(&wanted, SIZE_MAX);
        request_tell(NULL, request_make(&arena, strchr(rows[i].after, 'D') ? "R | S" : rows[i].after), true, &wanted);
        for (int scan = 0; scan < 2; scan++) {
            buf_clear(&out);
            request_tell_within(filter, request, true, rows[i].max, &out);
            struct str after = strchr(rows[i].after, 'D') ? str_of(rows[i].after) : buf_str(&wanted);
            if (!str_eq(buf_str(&out), after) || attribute_filter_is_over(filter) != rows[i].is_over)
                fail_msg("%zu, scan %d: %.*s, over: %d", i, scan, STR_ARG(buf_str(&out)), attribute_filter_is_over(filter));
        }
        buf_clear(&out);
        request_tell(filter, request, true, &out); /* nothing of the scan before is left */
        assert_false(attribute_filter_is_over(filter));
        buf_fini(&out);
        buf_fini(&wanted);
        attribute_filter_free(&filter);
        attribute_rules_unref(&rules);
        arena_fini(&arena);
    }
}

struct hidden { unsigned n, whole; };

static void count_hidden(void *owner, const struct span *span, uint32_t ordinal)
{
    struct hidden *hidden = owner;

    (void)ordinal;
    hidden->n++;
    hidden->whole += str_eq(span->attrs[0].value.str, STR("***"));
}

static void any_bytes(void *owner, struct str bytes)
{
    (void)owner;
    (void)bytes;
}

/* Each text is told of alone; a hundred of them cost more than a scan has. */
static void patterns_have_a_budget_a_scan(void **state)
{
    static const struct span_visitor counting = { any_bytes, any_bytes, count_hidden, see_refused };
    static char text[20000];
    const struct attr attr = { STR("k"), { .type = VALUE_STRING, .str = str_n(text, sizeof text) } };
    const struct attr small = { STR("k"), { .type = VALUE_STRING, .str = STR("write to a@b.example, please") } };
    struct span span = { .resource = STR(""), .attrs = &attr, .n_attrs = 1 };
    struct attribute_rules *rules = rules_make("redact pattern \"(?:[a-z]|[a-f]x)+;\\d\"", NULL);
    struct attribute_filter *filter = attribute_filter_new(rules);
    struct hidden hidden = { 0 };

    (void)state;
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = ';';
    for (int scan = 0; scan < 2; scan++) {
        hidden = (struct hidden){ 0 };
        attribute_filter_begin(filter, &counting, &hidden, NULL, SIZE_MAX);
        attribute_visitor.on_resource(filter, STR(""));
        span.attrs = &attr;
        attribute_visitor.on_span(filter, &span, 0);
        assert_int_equal(hidden.whole, 0);
        for (uint32_t i = 1; i < 100; i++)
            attribute_visitor.on_span(filter, &span, i);
        assert_in_range(hidden.whole, 1, 99);
        unsigned before = hidden.whole;
        span.attrs = &small; /* the quick try still does */
        attribute_visitor.on_span(filter, &span, 100);
        assert_int_equal(hidden.whole, before);
        assert_int_equal(hidden.n, 101);
        assert_false(attribute_filter_is_over(filter));
    }
    attribute_filter_free(&filter);
    attribute_rules_unref(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drops_are_told_by_ordinal_and_passed_over_at_replay),
        cmocka_unit_test(resources_do_not_mix),
        cmocka_unit_test(refused_spans_and_scopes_pass),
        cmocka_unit_test(other_fields_of_a_resource_stay),
        cmocka_unit_test(a_malformed_resource_is_left_alone),
        cmocka_unit_test(an_untouched_span_is_passed_on_itself),
        cmocka_unit_test(a_resource_with_too_many_attributes_is_cut),
        cmocka_unit_test(what_rules_add_is_bounded),
        cmocka_unit_test(patterns_have_a_budget_a_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
