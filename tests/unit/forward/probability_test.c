/* probability_test.c - who takes kept traces learns at which probability they were kept; who takes everything gets what was received. */
#include "rig.h"
#include "unit/row/sample.h"

static void on_state(void *owner, const struct span *span, uint32_t ordinal)
{
    struct buf *states = owner;

    (void)ordinal;
    buf_printf(states, "%s%.*s", states->len ? "|" : "", STR_ARG(span->trace_state));
}

static void on_part(void *owner, struct str part)
{
    (void)owner, (void)part;
}

/* Trace states of the spans of the last request. */
static void assert_states(struct postbox *box, const char *want)
{
    static const struct span_visitor visitor = { on_part, on_part, on_state, on_refused };
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct post post = postbox_post(box, postbox_posts(box) - 1);
    struct mg_why why = { "" };
    struct buf states;

    buf_init(&states, 65536);
    if (otlp_scan(scanner, buf_str(&post.body), &visitor, &states, &why) != MG_OK)
        fail_msg("%s", why.text);
    buf_put_char(&states, '\0');
    assert_string_equal(states.ptr, want);
    buf_fini(&states);
    otlp_scanner_free(&scanner);
}

/* A trace of one span. */
static void give_state(struct rig *rig, uint64_t position, const char *state, const struct outcome *outcome)
{
    struct gift *gift = gift_new(rig, position);
    bool is_kept = !outcome || outcome->verdict == VERDICT_KEPT;
    struct span span;

    sample_span(&rig->arena, SAMPLE_TYPES, &span);
    span.trace_state = str_of(state);
    put_le64(span.span_id, ++rig->ids);
    gift->fragments[0] = stock_fragment(&rig->stocks[0], &span, 1, is_kept);
    gift->fragments[0].outcome = outcome ? outcome_pack(outcome) : 0;
    gift->batch.n = 1;
    forward_put(rig->forward, &gift->batch);
    AWAIT(gift->rank);
}

#define TENTH UINT64_C(0xe6660000000000)
#define HALF  (UINT64_C(1) << 55)

static void who_takes_kept_traces_learns_what_each_stands_for(void **state)
{
    static const struct outcome certain = { .verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT, .reason = REASON_NO_RULES, .rules = 1 };
    static const struct outcome tenth = { .verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT, .reason = REASON_POLICY, .policy = 1,
                                          .threshold = TENTH, .rules = 1 };
    static const struct outcome measured = { .verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT, .reason = REASON_POLICY, .policy = 1,
                                             .is_estimate = true, .threshold = HALF, .rules = 1 };
    static const struct outcome dropped = { .verdict = VERDICT_DROPPED, .trigger = TRIGGER_ROOT, .reason = REASON_POLICY, .policy = 1,
                                            .threshold = TENTH, .rules = 1 };
    static const struct {
        const struct outcome *outcome;
        const char *received, *kept; /* kept NULL: it gets nothing */
        unsigned encoded;
    } rows[] = {
        { &tenth, "", "ot=th:e666", 2 },
        { &tenth, "a=b", "ot=th:e666,a=b", 2 },
        { &tenth, "ot=th:c", "ot=th:e666", 2 },
        { &tenth, "ot=th:fd", "ot=th:fd", 1 }, /* sampled harder before it came */
        { &certain, "", "", 1 },
        { &certain, "a=b", "a=b", 1 },
        { &certain, "ot=th:c", "ot=th:c", 1 },
        { &measured, "a=b", "a=b", 1 },
        { NULL, "", "", 1 }, /* sampling is off */
        { NULL, "ot=th:c", "ot=th:c", 1 },
        { &dropped, "a=b", NULL, 1 },
        { &dropped, "ot=th:c", NULL, 1 },
    };
    struct rig *rig = *state;
    uint64_t encoded = 0, kept = 0;

    rig->boxes[2].conf.take = SEND_EVERYTHING;
    rig_start(rig, 3);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        give_state(rig, 10 * (i + 1), rows[i].received, rows[i].outcome);
        encoded += rows[i].encoded;
        kept += rows[i].kept != NULL;
        AWAIT(postbox_spans(&rig->boxes[2]) == i + 1);
        assert_states(&rig->boxes[2], rows[i].received);
        for (size_t k = 0; k < 2; k++) {
            AWAIT(postbox_spans(&rig->boxes[k]) == kept);
            if (rows[i].kept)
                assert_states(&rig->boxes[k], rows[i].kept);
        }
        await_encoded(rig, encoded);
    }
}

/* Each needs one of the two forms only. */
static void who_is_alone_is_encoded_for_once(void **state)
{
    static const struct outcome tenth = { .verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT, .reason = REASON_POLICY, .policy = 1,
                                          .threshold = TENTH, .rules = 1 };
    struct rig *rig = *state;

    rig_start(rig, 2);
    give_state(rig, 10, "a=b", &tenth);
    await_encoded(rig, 1);
    for (size_t i = 0; i < 2; i++) {
        AWAIT(postbox_spans(&rig->boxes[i]) == 1);
        assert_states(&rig->boxes[i], "ot=th:e666,a=b");
    }
    rig_end(rig, false);
    for (size_t i = 0; i < 2; i++)
        rig->boxes[i].conf.take = SEND_EVERYTHING;
    rig_start(rig, 2);
    give_state(rig, 20, "a=b", &tenth);
    await_encoded(rig, 1);
    for (size_t i = 0; i < 2; i++) {
        AWAIT(postbox_spans(&rig->boxes[i]) == 2);
        assert_states(&rig->boxes[i], "a=b");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(who_takes_kept_traces_learns_what_each_stands_for),
        RIG_TEST(who_is_alone_is_encoded_for_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
