/* by_trace_test.c - a batch taken apart by trace: every span comes out once, as it was, under its resource and scope. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/random.h"
#include "base/vec.h"
#include "kafka/by_trace.h"
#include "model/otlp_scan.h"
#include "model/otlp_write.h"

enum { SPANS_MAX = 600 };

/* --- making --- */

struct made { struct span spans[SPANS_MAX]; const struct span *pointers[SPANS_MAX]; size_t n; char names[SPANS_MAX][200]; };

static struct str resources[] = { STR_INIT("\x0a\x00"), STR_INIT("\x0a\x0d\x0a\x0b\x0a\x01s\x12\x06\x0a\x04shop\x1a\x01u"), STR_INIT("") };
static struct str scopes[] = { STR_INIT(""), STR_INIT("\x0a\x05\x0a\x03lib"), STR_INIT("\x1a\x03url") };

static void make(struct made *made, size_t n, unsigned traces, size_t name_bytes, uint64_t seed)
{
    struct random random;

    random_init(&random, seed);
    made->n = n;
    for (size_t i = 0; i < n; i++) {
        struct span *span = &made->spans[i];
        *span = (struct span){ .kind = 2, .start_ns = 1, .end_ns = 2 };
        span->trace_id[0] = (uint8_t)(1 + random_below(&random, traces));
        span->trace_id[15] = 0xab;
        span->span_id[0] = (uint8_t)(i & 255);
        span->span_id[1] = (uint8_t)(1 + (i >> 8));
        memset(made->names[i], 'n', sizeof made->names[i]);
        span->name = str_n(made->names[i], name_bytes);
        span->resource = resources[random_below(&random, MG_COUNT(resources))];
        span->scope = scopes[random_below(&random, MG_COUNT(scopes))];
        made->pointers[i] = span;
    }
}

/* --- reading back --- */

struct seen { const struct made *made; char key[BY_TRACE_KEY_BYTES]; bool was_seen[SPANS_MAX]; size_t n, last; struct str resource, scope; };

static void on_resource(void *owner, struct str resource)
{
    ((struct seen *)owner)->resource = resource;
}

static void on_scope(void *owner, struct str scope)
{
    ((struct seen *)owner)->scope = scope;
}

static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct seen *seen = owner;
    size_t number = span->span_id[0] + ((size_t)(span->span_id[1] - 1) << 8);
    char hex[BY_TRACE_KEY_BYTES];

    assert_true(number < seen->made->n);
    assert_false(seen->was_seen[number]);
    seen->was_seen[number] = true;
    seen->n++;
    hex_encode(span->trace_id, 16, hex);
    assert_memory_equal(hex, seen->key, BY_TRACE_KEY_BYTES);
    assert_true(span_equal(span, &seen->made->spans[number]));
    if (ordinal > 0)
        assert_true(number > seen->last); /* the order of the batch */
    seen->last = number;
}

static void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)ordinal;
    fail_msg("%s", span_refusal_text(why));
}

static const struct span_visitor visitor = { on_resource, on_scope, on_span, on_refused };

static size_t take_apart(const struct made *made, size_t bytes_max, size_t *largest)
{
    struct by_trace *by = by_trace_new();
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct by_trace_message message;
    struct seen seen = { .made = made };
    struct mg_why why = { "" };
    struct buf request;
    size_t messages = 0, before;

    buf_init(&request, 64 << 20);
    otlp_write_request(&request, made->pointers, made->n);
    for (unsigned round = 0; round < 2; round++) { /* memory is used again */
        seen = (struct seen){ .made = made };
        messages = *largest = 0;
        assert_int_equal(by_trace_read(by, buf_str(&request), &why), MG_OK);
        for (; by_trace_next(by, bytes_max, &message); messages++) {
            before = seen.n;
            memcpy(seen.key, message.key, BY_TRACE_KEY_BYTES);
            assert_int_equal(otlp_scan(scanner, message.value, &visitor, &seen, &why), MG_OK);
            assert_int_equal(seen.n - before, message.spans);
            assert_true(message.spans > 0);
            assert_true(message.value.len <= bytes_max || message.spans == 1);
            *largest = MG_MAX(*largest, message.value.len);
        }
        assert_int_equal(seen.n, made->n);
        assert_false(by_trace_next(by, bytes_max, &message));
    }
    buf_fini(&request);
    otlp_scanner_free(&scanner);
    by_trace_free(&by);
    return messages;
}

static void every_span_comes_out_once(void **state)
{
    static const struct { size_t n; unsigned traces; size_t messages; } rows[] = { { 1, 1, 1 }, { 50, 1, 1 }, { 500, 7, 7 }, { 600, 200, 0 } };
    static struct made made;
    size_t largest;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        make(&made, rows[i].n, rows[i].traces, 3, i);
        size_t messages = take_apart(&made, SIZE_MAX, &largest);
        if (rows[i].messages)
            assert_int_equal(messages, rows[i].messages);
        else
            assert_in_range(messages, 2, rows[i].traces);
    }
}

static void a_large_trace_is_cut(void **state)
{
    static const size_t limits[] = { 100000, 20000, 4000, 1000, 400 };
    static struct made made;
    size_t messages, before = 1, largest;

    (void)state;
    make(&made, 300, 1, 100, 5);
    for (size_t i = 0; i < MG_COUNT(limits); i++) {
        messages = take_apart(&made, limits[i], &largest);
        assert_in_range(largest, 1, limits[i]);
        assert_true(messages >= before);
        before = messages;
    }
    assert_true(before > 50);
}

static void a_span_that_is_too_large_is_given_alone(void **state)
{
    static struct made made;
    size_t largest;

    (void)state;
    make(&made, 20, 3, 150, 6);
    assert_int_equal(take_apart(&made, 10, &largest), 20);
    assert_true(largest > 150);
}

static void fields_that_are_not_known_are_kept(void **state)
{
    /* resource_spans { resource {} 99: "x"  scope_spans { 98: 5  spans { trace_id  span_id } schema_url }  schema_url } */
    static const char request[] = "\x0a\x35\x0a\x00\x9a\x06\x01x\x12\x28\x90\x06\x05\x12\x1e\x0a\x10" "0123456789abcdef" "\x12\x08" "01234567"
                                  "\x2a\x00\x1a\x03sch\x1a\x03res";
    static const char want[] = "\x0a\x35\x0a\x00\x9a\x06\x01x\x1a\x03res\x12\x28\x90\x06\x05\x1a\x03sch\x12\x1e\x0a\x10" "0123456789abcdef"
                               "\x12\x08" "01234567" "\x2a\x00";
    struct by_trace *by = by_trace_new();
    struct by_trace_message message;

    (void)state;
    assert_int_equal(by_trace_read(by, str_n(request, sizeof request - 1), NULL), MG_OK);
    assert_true(by_trace_next(by, 1000, &message));
    assert_int_equal(message.value.len, sizeof want - 1);
    assert_memory_equal(message.value.ptr, want, sizeof want - 1);
    assert_memory_equal(message.key, "30313233343536373839616263646566", BY_TRACE_KEY_BYTES);
    by_trace_free(&by);
}

static void what_is_malformed_is_refused(void **state)
{
    static const struct { struct str bytes; enum mg_err want; } rows[] = {
        { STR_INIT(""), MG_OK }, { STR_INIT("\x0a\x00"), MG_OK }, { STR_INIT("\x0a\x02\x12\x00"), MG_OK }, { STR_INIT("\x10\x01"), MG_OK },
        { STR_INIT("\x0a"), MG_E_FORMAT }, { STR_INIT("\x0a\x05"), MG_E_FORMAT }, { STR_INIT("\x0b"), MG_E_FORMAT },
        { STR_INIT("\x0a\x01\x12"), MG_E_FORMAT }, { STR_INIT("\x0a\x03\x12\x01\x12"), MG_E_FORMAT },
        { STR_INIT("\x0a\x05\x12\x03\x12\x01\x0a"), MG_E_FORMAT },
        { STR_INIT("\x0a\x04\x12\x02\x12\x00"), MG_E_FORMAT },                       /* a span without an id */
        { STR_INIT("\x0a\x09\x12\x07\x12\x05\x0a\x03" "abc"), MG_E_FORMAT },         /* one of three bytes */
        { STR_INIT("\x0a\x06\x12\x04\x12\x02\x08\x01"), MG_E_FORMAT },               /* one that is a number */
    };
    struct by_trace *by = by_trace_new();
    struct by_trace_message message;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct mg_why why = { "" };
        assert_int_equal(by_trace_read(by, rows[i].bytes, &why), rows[i].want);
        if (rows[i].want == MG_OK)
            assert_false(by_trace_next(by, 1000, &message));
        else
            assert_true(why.text[0]);
    }
    by_trace_free(&by);
}

static void every_cut_is_survived(void **state)
{
    static struct made made;
    struct by_trace *by = by_trace_new();
    struct by_trace_message message;
    struct buf request;

    (void)state;
    make(&made, 12, 4, 20, 9);
    buf_init(&request, 1 << 20);
    otlp_write_request(&request, made.pointers, made.n);
    for (size_t n = 0; n < request.len; n++) {
        char *copy = mem_copy(request.ptr, n); /* its own memory, for the sanitizer */
        if (by_trace_read(by, str_n(copy, n), NULL) == MG_OK)
            while (by_trace_next(by, 100, &message))
                assert_true(message.spans > 0);
        mem_free(copy);
    }
    buf_fini(&request);
    by_trace_free(&by);
    by_trace_free(&by);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_span_comes_out_once),
        cmocka_unit_test(a_large_trace_is_cut),
        cmocka_unit_test(a_span_that_is_too_large_is_given_alone),
        cmocka_unit_test(fields_that_are_not_known_are_kept),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(every_cut_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
