/* gather_test.c - what arrives, in which requests, and how much of it waits. */
#include "rig.h"
#include "unit/row/sample.h"

/* --- what arrives ----------------------------------------------------------------------------------- */

struct reading {
    const struct span *want; /* span ids are 1 … n */
    size_t n, resources, scopes, spans;
    bool *seen;
};

static void on_resource(void *owner, struct str resource)
{
    (void)resource;
    ((struct reading *)owner)->resources++;
}

static void on_scope(void *owner, struct str scope)
{
    (void)scope;
    ((struct reading *)owner)->scopes++;
}

static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct reading *reading = owner;
    uint64_t id = get_le64(span->span_id);

    (void)ordinal;
    assert_in_range(id, 1, reading->n);
    assert_false(reading->seen[id - 1]);
    reading->seen[id - 1] = true;
    reading->spans++;
    assert_true(span_equal(span, &reading->want[id - 1]));
}

static void read_all(struct postbox *box, struct reading *reading)
{
    static const struct span_visitor visitor = { on_resource, on_scope, on_span, on_refused };
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct mg_why why = { "" };

    reading->seen = mem_zero(reading->n, sizeof *reading->seen);
    for (size_t i = 0; i < postbox_posts(box); i++) {
        struct post post = postbox_post(box, i);
        size_t before = reading->spans;
        if (otlp_scan(scanner, buf_str(&post.body), &visitor, reading, &why) != MG_OK)
            fail_msg("%s", why.text);
        assert_int_equal(reading->spans - before, post.spans);
    }
    assert_int_equal(reading->spans, reading->n);
    mem_free(reading->seen);
    otlp_scanner_free(&scanner);
}

static void what_arrives_equals_the_rows(void **state)
{
    static const enum sample samples[] = { SAMPLE_TYPES, SAMPLE_KEYS, SAMPLE_PARTS, SAMPLE_NUMBERS, SAMPLE_KIND_254, SAMPLE_KIND_255,
                                           SAMPLE_KIND_256, SAMPLE_KIND_NEGATIVE, SAMPLE_STATUS_WIDE, SAMPLE_BOTH_WIDE,
                                           SAMPLE_VALUE_1024, SAMPLE_VALUE_1025, SAMPLE_VALUE_HUGE, SAMPLE_STATE_LONG };
    /* Neighbours always differ, so that only gathering brings equal ones together. */
    static const struct { const char *resource, *scope; } groups[] = {
        { "\x1a\x01" "A", "\x1a\x01" "x" }, { "\x1a\x01" "B", "\x1a\x01" "x" }, { "\x1a\x01" "A", "\x1a\x01" "y" }, { "", "" },
    };
    enum { N = MG_COUNT(samples) * 2 * MG_COUNT(groups) };
    struct rig *rig = *state;
    struct span *spans = arena_zero(&rig->arena, N * sizeof *spans);
    struct gift *gift = gift_new(rig, 10);
    struct reading reading = { .want = spans, .n = N };

    for (size_t i = 0; i < N; i++) {
        sample_span(&rig->arena, samples[i % MG_COUNT(samples)], &spans[i]);
        put_le64(spans[i].span_id, i + 1);
        spans[i].resource = str_of(groups[i / 4 % MG_COUNT(groups)].resource);
        spans[i].scope = str_of(groups[i / 4 % MG_COUNT(groups)].scope);
    }
    for (size_t i = 0; i < FRAGMENTS; i++) /* of two loops by turns */
        gift->fragments[i] = stock_fragment(&rig->stocks[i % 2], &spans[i * N / FRAGMENTS], N / FRAGMENTS, true);
    gift->batch.n = FRAGMENTS;
    rig_start(rig, 1);
    forward_put(rig->forward, &gift->batch);
    AWAIT(gift->rank);
    AWAIT(postbox_spans(&rig->boxes[0]) == N);
    read_all(&rig->boxes[0], &reading);
}

static void a_flush_has_each_resource_and_scope_once(void **state)
{
    struct rig *rig = *state;
    enum { N = 60 };
    struct span *spans = arena_zero(&rig->arena, N * sizeof *spans);
    struct reading reading = { .want = spans, .n = N };

    rig->boxes[0].conf.batch_wait_ns = SECOND;
    rig_start(rig, 1);
    for (size_t i = 0; i < N; i++) { /* 3 resources with 2 scopes each */
        sample_span(&rig->arena, SAMPLE_PARTS, &spans[i]);
        put_le64(spans[i].span_id, i + 1);
        spans[i].resource = arena_printf(&rig->arena, "\x1a\x01%c", (char)('A' + i % 3));
        spans[i].scope = arena_printf(&rig->arena, "\x1a\x01%c", (char)('x' + i / 3 % 2));
    }
    for (size_t i = 0; i < N / 10; i++) {
        struct gift *gift = gift_new(rig, 10 + i);
        gift->fragments[gift->batch.n++] = stock_fragment(&rig->stocks[0], &spans[i * 10], 10, true);
        forward_put(rig->forward, &gift->batch);
    }
    await_encoded(rig, N); /* else the stop could cut it in two */
    forward_stop(rig->forward);
    AWAIT(postbox_spans(&rig->boxes[0]) == N);
    assert_int_equal(postbox_posts(&rig->boxes[0]), 1);
    read_all(&rig->boxes[0], &reading);
    assert_int_equal(reading.resources, 3);
    assert_int_equal(reading.scopes, 6);
}

static void kept_and_everything_get_what_they_take(void **state)
{
    struct rig *rig = *state;
    struct gift *gift = gift_new(rig, 10), *none;

    rig->boxes[1].conf.take = SEND_EVERYTHING;
    rig_start(rig, 2);
    add_trace(rig, gift, 3, 0, true);
    add_trace(rig, gift, 5, 0, false);
    add_trace(rig, gift, 2, 0, true);
    forward_put(rig->forward, &gift->batch);
    none = gift_new(rig, 20);
    add_trace(rig, none, 7, 0, false);
    forward_put(rig->forward, &none->batch);
    AWAIT(gift->rank && none->rank);
    AWAIT(postbox_spans(&rig->boxes[0]) == 5 && postbox_spans(&rig->boxes[1]) == 17);
    assert_int_equal(metric_of(rig, "meshglass_forward_spans_total{take=\"kept\"}"), 5);
    assert_int_equal(metric_of(rig, "meshglass_forward_spans_total{take=\"everything\"}"), 17);
    assert_int_equal(metric_of(rig, "meshglass_forward_encoded_spans_total"), 17);
    rig_end(rig, false); /* nothing was sent for position 20, and still it has moved */
    rig_start(rig, 2);
    assert_int_equal(forward_recovered(rig->forward), 20);
}

static void equal_rows_share_one_encoding(void **state)
{
    struct rig *rig = *state;

    rig->boxes[2].conf.take = SEND_EVERYTHING;
    rig_start(rig, 3);
    give_done(rig, 10, 100);
    for (size_t i = 0; i < 3; i++)
        AWAIT(postbox_spans(&rig->boxes[i]) == 100);
    struct post a = postbox_post(&rig->boxes[0], 0), b = postbox_post(&rig->boxes[1], 0);
    assert_int_equal(a.body.len, b.body.len);
    assert_memory_equal(a.body.ptr, b.body.ptr, a.body.len);
    assert_int_equal(metric_of(rig, "meshglass_forward_encoded_spans_total"), 100);
    assert_int_equal(metric_of(rig, "meshglass_forward_spans_total{take=\"kept\"}"), 200);
    assert_int_equal(metric_of(rig, "meshglass_forward_spans_total{take=\"everything\"}"), 100);
}

/* --- limits ----------------------------------------------------------------------------------------- */

static void a_batch_is_full_or_has_waited(void **state)
{
    struct rig *rig = *state;
    struct gift *gifts[5];

    rig->boxes[0].conf.batch_spans = 10;
    rig->boxes[0].conf.batch_wait_ns = SECOND;
    rig_start(rig, 1);
    for (size_t i = 0; i < 5; i++)
        gifts[i] = give(rig, 10 * (i + 1), 5);
    AWAIT(gifts[3]->rank && postbox_posts(&rig->boxes[0]) == 2); /* the third waits: 5 of 10 */
    assert_int_equal(gifts[4]->rank, 0);
    now_ns += SECOND - 1;
    give(rig, 60, 0); /* wakes it */
    AWAIT(metric_of(rig, "meshglass_forward_waiting_batches") == 2);
    assert_int_equal(postbox_posts(&rig->boxes[0]), 2);
    now_ns += 1;
    give_done(rig, 70, 0);
    assert_int_not_equal(gifts[4]->rank, 0);
    AWAIT(postbox_posts(&rig->boxes[0]) == 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(postbox_post(&rig->boxes[0], i).spans, i < 2 ? 10 : 5);
}

static void who_is_in_a_hurry_does_not_wait(void **state)
{
    struct rig *rig = *state;
    struct gift *gift;

    rig->boxes[0].conf.batch_wait_ns = 60 * SECOND;
    rig_start(rig, 1);
    gift = give(rig, 10, 5);
    await_encoded(rig, 5);
    assert_int_equal(gift->rank, 0);
    forward_hurry(rig->forward);
    AWAIT(gift->rank);
}

static void a_request_keeps_below_4_mb(void **state)
{
    struct rig *rig = *state;
    struct gift *gift = gift_new(rig, 10);

    rig_start(rig, 1);
    add_trace(rig, gift, 9, 900 << 10, true);
    add_trace(rig, gift, 1, 5 << 20, true); /* alone beyond it: nothing can be done */
    add_trace(rig, gift, 1, 10, true);
    forward_put(rig->forward, &gift->batch);
    AWAIT(gift->rank && postbox_spans(&rig->boxes[0]) == 11);
    for (size_t i = 0; i < postbox_posts(&rig->boxes[0]); i++) {
        struct post post = postbox_post(&rig->boxes[0], i);
        assert_true(post.body.len <= 4000000 || post.spans == 1);
    }
    assert_int_equal(postbox_posts(&rig->boxes[0]), 5); /* 4 + 4 + 1, 1, 1 */
}

static void a_request_fits_into_a_small_queue(void **state)
{
    struct rig *rig = *state;
    struct gift *gift = gift_new(rig, 10);

    rig->boxes[0].conf.queue_bytes = 1 << 20;
    rig_start(rig, 1);
    add_trace(rig, gift, 20, 100 << 10, true);
    forward_put(rig->forward, &gift->batch);
    AWAIT(gift->rank && postbox_spans(&rig->boxes[0]) == 20);
    for (size_t i = 0; i < postbox_posts(&rig->boxes[0]); i++)
        assert_true(postbox_post(&rig->boxes[0], i).body.len <= (256 << 10));
}

static void of_a_huge_trace_only_the_last_item_carries_the_position(void **state)
{
    struct rig *rig = *state;
    struct noted noted[16];
    struct gift *gift;

    rig->boxes[0].conf.batch_spans = 100;
    rig->boxes[0].is_mute = true;
    rig_start(rig, 1);
    give_done(rig, 10, 5);
    gift = give(rig, 20, 1000);
    AWAIT(gift->rank);
    rig_end(rig, true);
    assert_int_equal(postbox_noted(&rig->boxes[0], noted, 16), 11);
    assert_int_equal(noted[0].position, 10);
    for (size_t i = 1; i < 11; i++) {
        assert_int_equal(noted[i].spans, 100);
        assert_int_equal(noted[i].position, i < 10 ? 10 : 20);
    }
}

static void no_more_is_encoded_than_the_disk_takes(void **state)
{
    struct rig *rig = *state;
    struct gift *gift = gift_new(rig, 10);
    uint64_t encoded;

    rig_start(rig, 1);
    add_trace(rig, gift, 60, 900 << 10, true); /* 54 MB */
    postbox_refuse(&rig->boxes[0], true);
    forward_put(rig->forward, &gift->batch);
    AWAIT(metric_of(rig, "meshglass_forward_waiting_bytes") >= 32 << 20);
    encoded = metric_of(rig, "meshglass_forward_encoded_spans_total");
    assert_true(encoded < 45);
    now_ns += 4 * SECOND;
    forward_hurry(rig->forward);
    usleep(300000); /* it looks every tenth of a second, and must find nothing to do */
    assert_int_equal(metric_of(rig, "meshglass_forward_encoded_spans_total"), encoded);
    assert_int_equal(gift->rank, 0);
    postbox_refuse(&rig->boxes[0], false);
    AWAIT(gift->rank && postbox_spans(&rig->boxes[0]) == 60);
}

static void a_disk_that_takes_nothing_holds_up_nobody(void **state)
{
    struct rig *rig = *state;
    struct gift *gift = gift_new(rig, 10);

    rig->boxes[1].conf.batch_spans = 8191; /* a stream of its own */
    rig_start(rig, 2);
    add_trace(rig, gift, 120, 900 << 10, true); /* 108 MB: more than the queue keeps in memory */
    postbox_refuse(&rig->boxes[0], true);
    forward_put(rig->forward, &gift->batch);
    AWAIT(metric_of(rig, "meshglass_forward_waiting_bytes") >= 32 << 20);
    step_ns = SECOND / 10;
    AWAIT(postbox_spans(&rig->boxes[1]) == 120);
    AWAIT(metric_of(rig, "meshglass_export_spans_total{exporter=\"otlp\",outcome=\"disk\"}") > 0);
    assert_int_equal(gift->rank, 0); /* some of it is still in the first queue's memory */
    postbox_refuse(&rig->boxes[0], false);
    AWAIT(gift->rank);
    AWAIT(postbox_spans(&rig->boxes[0]) + metric_of(rig, "meshglass_export_spans_total{exporter=\"otlp\",outcome=\"disk\"}") == 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(what_arrives_equals_the_rows),
        RIG_TEST(a_flush_has_each_resource_and_scope_once),
        RIG_TEST(kept_and_everything_get_what_they_take),
        RIG_TEST(equal_rows_share_one_encoding),
        RIG_TEST(a_batch_is_full_or_has_waited),
        RIG_TEST(who_is_in_a_hurry_does_not_wait),
        RIG_TEST(a_request_keeps_below_4_mb),
        RIG_TEST(a_request_fits_into_a_small_queue),
        RIG_TEST(of_a_huge_trace_only_the_last_item_carries_the_position),
        RIG_TEST(no_more_is_encoded_than_the_disk_takes),
        RIG_TEST(a_disk_that_takes_nothing_holds_up_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
