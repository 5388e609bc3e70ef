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

    attribute_filter_begin(filter, &seeing, &sight, NULL);
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
    attribute_filter_begin(filter, &seeing, &sight, NULL);
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
    attribute_filter_begin(filter, &seeing, &sight, NULL);
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
        attribute_filter_begin(filter, &seeing, &sight, NULL);
        attribute_visitor.on_resource(filter, buf_str(&resource));
        assert_int_equal(sight.resource_ptr == resource.ptr, over == 0);
        attribute_filter_begin(filter, &seeing, &sight, NULL); /* lets the large memory go */
        attribute_visitor.on_resource(filter, buf_str(&resource));
        buf_fini(&resource);
        buf_fini(&wanted);
    }
    assert_int_equal(sight.n_resources, 4);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
