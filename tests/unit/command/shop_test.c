#include "unit/command/test.h"
#include "base/map.h"
#include "command/batch.h"
#include "model/otlp_scan.h"

static const uint64_t end_ns = 1795619416000000000, hour_ns = UINT64_C(3600) * 1000000000;

static const struct span *parent_of(const struct shop_trace *trace, size_t of)
{
    for (size_t i = 0; i < of; i++) /* parents come first */
        if (memcmp(trace->spans[i].span.span_id, trace->spans[of].span.parent_id, 8) == 0)
            return &trace->spans[i].span;
    return NULL;
}

static bool has_attr(const struct span *span, const char *key)
{
    for (uint32_t i = 0; i < span->n_attrs; i++)
        if (str_eq(span->attrs[i].key, str_of(key)))
            return true;
    return false;
}

static void check_ids(const struct shop_trace *trace, size_t i)
{
    const struct span *span = &trace->spans[i].span;

    assert_memory_equal(span->trace_id, trace->spans[0].span.trace_id, 16);
    assert_true(get_le64(span->span_id) != 0);
    for (size_t j = 0; j < i; j++)
        assert_memory_not_equal(span->span_id, trace->spans[j].span.span_id, 8);
    assert_int_equal(span_is_root(span), i == 0);
    assert_true(i == 0 || parent_of(trace, i));
}

static void check_times(const struct shop_trace *trace, size_t i)
{
    const struct span *span = &trace->spans[i].span, *parent = i ? parent_of(trace, i) : NULL;

    assert_true(span->start_ns < span->end_ns);
    assert_true(span->start_ns > end_ns - hour_ns && span->end_ns <= end_ns);
    if (!parent)
        return;
    if (span->kind == SPAN_CONSUMER)
        assert_true(span->start_ns > parent->end_ns);
    else
        assert_true(span->start_ns >= parent->start_ns && span->end_ns <= parent->end_ns);
}

/* The pairs that trace views and service graphs live on. */
static void check_kinds(const struct shop_trace *trace, size_t i)
{
    const struct span *span = &trace->spans[i].span, *parent = i ? parent_of(trace, i) : NULL;

    if (span->kind == SPAN_SERVER && parent) {
        assert_int_equal(parent->kind, SPAN_CLIENT);
        assert_true(str_eq(span->name, parent->name));
        assert_true(trace->spans[i].span.flags & 0x200);
    }
    if (span->kind == SPAN_CONSUMER) {
        assert_int_equal(parent->kind, SPAN_PRODUCER);
        const uint8_t *at = wire_begin(span->links), *end = wire_end(span->links);
        struct link_view link;
        assert_int_equal(link_next(&at, end, &link), 1);
        assert_memory_equal(link.span_id, parent->span_id, 8);
        assert_memory_equal(link.trace_id, parent->trace_id, 16);
        assert_int_equal(link_next(&at, end, &link), 0);
    }
    if (span->kind != SPAN_CLIENT && parent && span->kind != SPAN_CONSUMER &&
        span->kind != SPAN_SERVER)
        assert_true(str_eq(span->resource, parent->resource));
}

static void check_content(const struct shop_span *shop_span)
{
    const struct span *span = &shop_span->span;
    struct resource_view resource;
    struct event_view event;
    const uint8_t *at = wire_begin(span->events), *end = wire_end(span->events);
    int more;

    assert_true(span->name.len > 0);
    assert_true(span->kind >= SPAN_INTERNAL && span->kind <= SPAN_CONSUMER);
    assert_int_equal(has_attr(span, "error.type"), span->status_code == STATUS_ERROR);
    for (uint32_t i = 0; i < span->n_attrs; i++)
        for (uint32_t j = 0; j < i; j++)
            assert_false(str_eq(span->attrs[i].key, span->attrs[j].key));
    resource_view(span->resource, &resource);
    assert_true(resource.has_service_name);
    while ((more = event_next(&at, end, &event)) == 1)
        assert_true(event.time_ns >= span->start_ns && event.time_ns <= span->end_ns);
    assert_int_equal(more, 0);
}

static void test_traces_are_sound(void **state)
{
    struct shop *shop = shop_new(1);

    (void)state;
    for (int n = 0; n < 3000; n++) {
        const struct shop_trace *trace = shop_visit(shop, end_ns);
        uint64_t last = 0;
        assert_in_range(trace->n, SHOP_SPANS_MIN, SHOP_SPANS_MAX);
        for (size_t i = 0; i < trace->n; i++) {
            check_ids(trace, i);
            check_times(trace, i);
            check_kinds(trace, i);
            check_content(&trace->spans[i]);
            last = MG_MAX(last, trace->spans[i].span.end_ns);
        }
        assert_int_equal(last, end_ns);
    }
    shop_free(&shop);
}

static void test_shares(void **state)
{
    struct shop *shop = shop_new(2);
    unsigned errors = 0, slow = 0, services = 0, links = 0, exceptions = 0;
    enum { TRACES = 20000 };

    (void)state;
    for (int n = 0; n < TRACES; n++) {
        const struct shop_trace *trace = shop_visit(shop, end_ns);
        bool has_error = false;
        for (size_t i = 0; i < trace->n; i++) {
            const struct span *span = &trace->spans[i].span;
            has_error |= span->status_code == STATUS_ERROR;
            services |= 1u << shop_cast(shop)->instances[trace->spans[i].instance].service;
            links += span->links.len > 0;
            exceptions += span->status_message.len > 0;
        }
        assert_int_equal(has_error, trace->has_error);
        errors += has_error;
        slow += trace->is_slow;
    }
    assert_in_range(errors, TRACES * 15 / 1000, TRACES * 25 / 1000);
    assert_in_range(slow, TRACES * 20 / 1000, TRACES * 35 / 1000);
    assert_int_equal(services, (1u << SERVICES) - 1);
    assert_true(links > 100);
    assert_true(exceptions >= errors);
    shop_free(&shop);
}

static uint64_t digest(uint64_t seed, uint64_t at_ns)
{
    struct shop *shop = shop_new(seed);
    struct batch batch;
    struct buf out;
    uint64_t sum = 0;

    batch_init(&batch);
    buf_init(&out, 16u << 20);
    for (int n = 0; n < 200; n++) {
        const struct shop_trace *trace = shop_visit(shop, at_ns);
        for (size_t i = 0; i < trace->n; i++) {
            batch_add(&batch, &trace->spans[i], 0);
            batch_write(&batch, shop_cast(shop), trace->spans[i].instance, &out);
        }
    }
    sum = hash_bytes(out.ptr, out.len, 1);
    assert_int_equal(buf_err(&out), MG_OK);
    batch_fini(&batch);
    buf_fini(&out);
    shop_free(&shop);
    return sum;
}

static void test_the_seed_decides(void **state)
{
    (void)state;
    assert_true(digest(7, end_ns) == digest(7, end_ns));
    assert_true(digest(7, end_ns) != digest(8, end_ns));
    assert_true(digest(7, end_ns) != digest(7, end_ns + 1));
}

/* --- batches are requests
 * --------------------------------------------------------------------------- */

struct seen {
    unsigned resources, scopes, spans, refused;
    const struct shop_trace *trace;
    uint64_t found;
};

static void on_resource(void *owner, struct str resource)
{
    struct resource_view view;

    resource_view(resource, &view);
    assert_true(view.has_service_name);
    assert_true(str_eq(view.schema_url, STR(CONVENTIONS_URL)));
    ((struct seen *)owner)->resources++;
}

static void on_scope(void *owner, struct str scope)
{
    struct scope_view view;

    scope_view(scope, &view);
    assert_true(view.name.len > 0 && view.version.len > 0);
    ((struct seen *)owner)->scopes++;
}

static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct seen *seen = owner;

    (void)ordinal;
    seen->spans++;
    for (size_t i = 0; i < seen->trace->n; i++)
        if (memcmp(span->span_id, seen->trace->spans[i].span.span_id, 8) == 0) {
            assert_true(span_equal(span, &seen->trace->spans[i].span));
            seen->found |= UINT64_C(1) << i;
        }
}

static void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)why;
    (void)ordinal;
    ((struct seen *)owner)->refused++;
}

static void scan_batches(struct shop *shop, struct batch *batches, struct otlp_scanner *scanner,
                         struct seen *seen)
{
    static const struct span_visitor visitor = {on_resource, on_scope, on_span, on_refused};
    struct buf out;
    struct mg_why why;

    buf_init(&out, 16u << 20);
    for (unsigned i = 0; i < shop_cast(shop)->n_instances; i++) {
        if (batches[i].n == 0)
            continue;
        buf_clear(&out);
        batch_write(&batches[i], shop_cast(shop), i, &out);
        assert_int_equal(batches[i].n, 0);
        assert_int_equal(otlp_scan(scanner, buf_str(&out), &visitor, seen, &why), MG_OK);
        assert_int_equal(otlp_scanner_unread(scanner), 0);
    }
    buf_fini(&out);
}

static void test_batches_are_scanned_back(void **state)
{
    struct shop *shop = shop_new(3);
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct batch batches[INSTANCES_MAX];

    (void)state;
    for (unsigned i = 0; i < INSTANCES_MAX; i++)
        batch_init(&batches[i]);
    for (int n = 0; n < 500; n++) {
        struct seen seen = {.trace = shop_visit(shop, end_ns)};
        for (size_t i = 0; i < seen.trace->n; i++)
            batch_add(&batches[seen.trace->spans[i].instance], &seen.trace->spans[i], 5);
        scan_batches(shop, batches, scanner, &seen);
        assert_int_equal(seen.spans, seen.trace->n);
        assert_int_equal(seen.refused, 0);
        assert_true(seen.found == (UINT64_C(1) << seen.trace->n) - 1);
        assert_true(seen.scopes >= seen.resources && seen.resources > 1);
    }
    for (unsigned i = 0; i < INSTANCES_MAX; i++)
        batch_fini(&batches[i]);
    otlp_scanner_free(&scanner);
    shop_free(&shop);
}

static void test_a_batch_is_as_old_as_its_first_span(void **state)
{
    struct shop *shop = shop_new(4);
    const struct shop_trace *trace = shop_visit(shop, end_ns);
    struct batch batch;
    struct buf out;

    (void)state;
    batch_init(&batch);
    buf_init(&out, 1u << 20);
    batch_add(&batch, &trace->spans[0], 10);
    batch_add(&batch, &trace->spans[0], 20);
    assert_int_equal(batch.first_ns, 10);
    assert_int_equal(batch.n, 2);
    batch_write(&batch, shop_cast(shop), trace->spans[0].instance, &out);
    batch_add(&batch, &trace->spans[0], 30);
    assert_int_equal(batch.first_ns, 30);
    assert_int_equal(batch.n, 1);
    batch_fini(&batch);
    buf_fini(&out);
    shop_free(&shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traces_are_sound),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_the_seed_decides),
        cmocka_unit_test(test_batches_are_scanned_back),
        cmocka_unit_test(test_a_batch_is_as_old_as_its_first_span),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
