#include "rig.h"
#include <stdlib.h>
#include "unit/row/sample.h"

_Atomic uint64_t now_ns, step_ns;
atomic_uint ranks;

static uint64_t mono(void)
{
    return now_ns += step_ns;
}

int rig_setup(void **state)
{
    struct rig *rig = MEM_NEW(struct rig);

    now_ns = 1000 * SECOND;
    step_ns = 0;
    ranks = 0;
    for (size_t i = 0; i < BOXES; i++)
        postbox_init(&rig->boxes[i]);
    for (size_t i = 0; i < 2; i++)
        stock_init(&rig->stocks[i]);
    *state = rig;
    return 0;
}

void rig_start(struct rig *rig, size_t n)
{
    struct forward_target targets[BOXES];

    rig->registry = metric_registry_new();
    struct metric_set *metrics = send_metrics_register(rig->registry);
    rig->n = n;
    for (size_t i = 0; i < n; i++) {
        postbox_open(&rig->boxes[i], metrics, (unsigned)i);
        postbox_start(&rig->boxes[i]);
        targets[i] = (struct forward_target){ rig->boxes[i].send, &rig->boxes[i].conf };
    }
    rig->forward = forward_new(&(struct forward_options){ .targets = targets, .n = n, .metrics = rig->registry, .mono_ns = mono });
    forward_start(rig->forward);
}

void rig_end(struct rig *rig, bool is_crash)
{
    if (is_crash)
        step_ns = SECOND / 10; /* what a disk refuses is not waited for */
    forward_stop(rig->forward);
    step_ns = 0;
    for (size_t i = 0; i < rig->n; i++) {
        if (is_crash)
            postbox_crash(&rig->boxes[i]);
        else
            postbox_stop(&rig->boxes[i]);
    }
    forward_free(&rig->forward);
    for (size_t i = 0; i < rig->n; i++)
        postbox_close(&rig->boxes[i]);
    metric_registry_free(&rig->registry);
}

int rig_teardown(void **state)
{
    struct rig *rig = *state;

    if (rig->forward)
        rig_end(rig, false);
    for (size_t i = 0; i < BOXES; i++)
        postbox_fini(&rig->boxes[i]);
    for (size_t i = 0; i < 2; i++)
        stock_fini(&rig->stocks[i]);
    arena_fini(&rig->arena);
    mem_free(rig);
    return 0;
}

static void on_done(struct forward_batch *batch)
{
    struct gift *gift = MG_CONTAINER(batch, struct gift, batch);

    if (gift->rank)
        abort(); /* twice; not the test's thread */
    gift->rank = ++ranks;
}

struct gift *gift_new(struct rig *rig, uint64_t position)
{
    struct gift *gift = &rig->gifts[rig->n_gifts++];

    assert_true(rig->n_gifts <= GIFTS);
    *gift = (struct gift){ .batch = { .position = position, .fragments = gift->fragments, .done = on_done } };
    return gift;
}

void add_trace(struct rig *rig, struct gift *gift, uint32_t n, size_t bytes, bool is_kept)
{
    struct span *spans = arena_alloc(&rig->arena, n * sizeof *spans);

    assert_true(gift->batch.n < FRAGMENTS);
    for (uint32_t i = 0; i < n; i++) {
        sample_span(&rig->arena, SAMPLE_PARTS, &spans[i]);
        put_le64(spans[i].span_id, ++rig->ids);
        if (bytes)
            sample_value(&rig->arena, &spans[i], bytes);
    }
    gift->fragments[gift->batch.n++] = stock_fragment(&rig->stocks[0], spans, n, is_kept);
}

struct gift *give(struct rig *rig, uint64_t position, uint32_t n)
{
    struct gift *gift = gift_new(rig, position);

    if (n)
        add_trace(rig, gift, n, 0, true);
    forward_put(rig->forward, &gift->batch);
    return gift;
}

void give_done(struct rig *rig, uint64_t position, uint32_t n)
{
    struct gift *gift = give(rig, position, n);

    AWAIT(gift->rank);
}

uint64_t metric_of(struct rig *rig, const char *line)
{
    struct str rest, row;
    struct buf text;
    uint64_t value = UINT64_MAX;

    buf_init(&text, 1 << 20);
    metric_write(rig->registry, METRIC_TEXT_0_0_4, &text);
    rest = buf_str(&text);
    while (value == UINT64_MAX && str_cut(&rest, '\n', &row))
        if (str_starts(row, str_of(line)) && row.ptr[strlen(line)] == ' ')
            value = (uint64_t)strtod(row.ptr + strlen(line) + 1, NULL);
    buf_fini(&text);
    assert_true(value != UINT64_MAX);
    return value;
}

void await_encoded(struct rig *rig, uint64_t spans)
{
    AWAIT(metric_of(rig, "meshglass_forward_encoded_spans_total") == spans);
}

void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner, (void)ordinal;
    fail_msg("%s", span_refusal_text(why));
}
