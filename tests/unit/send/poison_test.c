/* Batches that never succeed, among others that do: what they cost the others, and what a dead peer costs. */
#include "scene.h"

/* One batch that always fails, and nothing else to do, is not a dead peer. */
static void a_poisonous_batch_holds_up_no_other(void **state)
{
    (void)state;
    rig.peer.poison_id = 3;
    rig_start(&rig);
    rig_give(&rig, 1, 20, 100);
    AWAIT(peer_taken(&rig.peer) == 19);
    for (uint64_t id = 21; id < 61; id++) { /* the clock moves on, and the poison is tried again and again */
        rig_move(5 * SECOND);
        rig_settle(&rig);
        rig_give(&rig, id, 1, 100);
        AWAIT(peer_times(&rig.peer, id) == 1);
    }
    assert_true(rig_stat(&rig).retries >= 5);
    AWAIT(rig_stat(&rig).queued_batches == 1);
    rig_crash(&rig); /* and a crash makes it no second time of the others */
    rig.peer.poison_id = 0;
    rig_start(&rig);
    AWAIT(peer_times(&rig.peer, 3) == 1);
    AWAIT(rig_is_drained(&rig));
    rig_settle(&rig);
    assert_in_range(peer_taken(&rig.peer), 60, 62); /* the last one or two were not noted yet */
}

/* Moves the clock, a second at a time, until so many batches were taken; answers how many seconds. */
static unsigned taken_after(size_t taken, unsigned most)
{
    for (unsigned seconds = 0;; seconds++) {
        rig_settle(&rig);
        if (peer_taken(&rig.peer) >= taken || seconds >= most)
            return seconds;
        rig_move(SECOND);
    }
}

/* At the head of the queue they look like a dead peer; once others were taken they never do again. */
static void a_few_poisonous_batches_starve_no_other(void **state)
{
    (void)state;
    enum { N = 400, MORE = 12 };
    static const struct {
        uint64_t poisons, in_flight;
        bool answers_at_once;
    } cases[] = {{2, 4, true}, {4, 4, true}, {8, 4, false}, {8, 1, true}, {8, 64, true}};
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t poisons = cases[i].poisons, id = N + 1;
        rig_fini(&rig);
        rig_init(&rig);
        rig.conf.in_flight = cases[i].in_flight;
        rig.peer.answers_at_once = cases[i].answers_at_once;
        rig.peer.poison_to = poisons;
        rig_start(&rig);
        rig_give(&rig, 1, N, 200);
        assert_in_range(taken_after(N - poisons, 300), 0, 120); /* probes: 1 + 2 + 4 + 8 + 16 + 30 + 30 s */
        assert_in_range(peer_attempts(&rig.peer) - (N - poisons), poisons, 12 * poisons);
        rig_give(&rig, id++, 1, 200);
        taken_after(SIZE_MAX, 40); /* by now each of them failed after another was taken */
        assert_int_equal(peer_times(&rig.peer, N + 1), 1);
        for (; id <= N + MORE; id++) { /* no clock has to move for it */
            rig_move(5 * SECOND);
            rig_settle(&rig);
            rig_give(&rig, id, 1, 200);
            AWAIT(peer_times(&rig.peer, id) == 1);
        }
        assert_int_equal(peer_taken(&rig.peer), N - poisons + MORE);
        AWAIT(rig_stat(&rig).queued_batches >= poisons && rig_stat(&rig).queued_batches <= poisons + 1);
        assert_int_equal(rig_stat(&rig).dropped_old_spans, 0);
        rig.peer.poison_to = 0;
        rig_clock_runs(true);
        AWAIT(rig_is_drained(&rig));
        rig_clock_runs(false);
        assert_int_equal(peer_taken(&rig.peer), N + MORE);
    }
}

/* A doubtful batch may be at the wire for the whole timeout: the others still have half of the places. */
static void poison_has_half_of_the_places(void **state)
{
    (void)state;
    rig.peer.answers_at_once = true;
    rig.peer.poison_to = 8;
    rig_start(&rig);
    rig_give(&rig, 1, 20, 100);
    assert_in_range(taken_after(12, 300), 0, 120);
    taken_after(SIZE_MAX, 40);
    rig.peer.poison_to = 0;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_move(60 * SECOND); /* all eight are due */
    rig_settle(&rig);
    assert_int_equal(rig.peer.at_wire, 2);
    rig_give(&rig, 21, 10, 100);
    AWAIT(rig.peer.at_wire == 4);
    peer_mode(&rig.peer, PEER_TAKES);
    AWAIT(rig_is_drained(&rig));
    assert_int_equal(peer_taken(&rig.peer), 30);
}

static void more_poison_than_may_wait_stops_no_other(void **state)
{
    (void)state;
    enum { N = 2600, HEALTHY = N / 2 };
    rig.peer.answers_at_once = true;
    rig.peer.poison_every = 2;
    rig_start(&rig);
    rig_give(&rig, 1, N, 100);
    assert_in_range(taken_after(HEALTHY, 300), 0, 60);
    rig_settle(&rig);
    struct send_stats stats = rig_stat(&rig);
    for (uint64_t id = 1; id <= N; id++)
        assert_int_equal(peer_times(&rig.peer, id), id % 2);
    assert_in_range(stats.queued_batches, SEND_PARKED_MAX - 4, SEND_PARKED_MAX + 4);
    assert_true(stats.dropped_old_spans > 0);
    assert_int_equal(rig_counted(&rig, "too_old"), stats.dropped_old_spans);
    assert_in_range(rig_metric(&rig, "meshglass_export_batches_total{exporter=\"otlp\",outcome=\"too_old\"}"),
                    HEALTHY - SEND_PARKED_MAX - 4, HEALTHY - SEND_PARKED_MAX + 4);
    rig.peer.poison_every = 0;
    rig_clock_runs(true);
    AWAIT(rig_is_drained(&rig));
    stats = rig_stat(&rig);
    assert_int_equal(stats.put_spans, stats.sent_spans + stats.dropped_old_spans);
}

/* A queue as an outage of hours leaves it: of n batches the first `tried` wait for a retry. */
static void queue_after_outage(uint64_t n, uint64_t tried)
{
    struct state state = {0};
    struct mg_why why = {""};
    bool is_newer;
    peer_mode(&rig.peer, PEER_HOLDS);
    rig_start(&rig);
    rig_give(&rig, 1, n, 100);
    send_stop(rig.send, 0);
    send_close(&rig.send);
    assert_int_equal(state_load(&state, &rig.fs.io, "/queue", &is_newer, &why), MG_OK);
    state.unfinished.n = 0;
    state.read_to = tried;
    for (uint64_t id = 1; id <= tried; id++) {
        struct ticket ticket = {.number = id, .spans = gift_spans(id), .bytes = 100, .wall_ns = rig_wall()};
        VEC_PUSH(&state.unfinished, ticket);
    }
    assert_int_equal(state_save(&state, &rig.fs.io, "/queue", &why), MG_OK);
    state_fini(&state);
}

static void a_long_outage_costs_no_batch(void **state)
{
    (void)state;
    enum { N = 1300, TRIED = SEND_PARKED_MAX + 100 };
    queue_after_outage(N, TRIED);
    size_t before = peer_attempts(&rig.peer);
    peer_mode(&rig.peer, PEER_RETRIES);
    rig_start(&rig);
    taken_after(SIZE_MAX, 60);
    assert_in_range(peer_attempts(&rig.peer) - before, 4, 15);
    assert_int_equal(rig_stat(&rig).queued_batches, N);
    for (int i = 0; i < 20; i++) {
        rig_move(30 * SECOND);
        rig_settle(&rig);
    }
    assert_in_range(peer_attempts(&rig.peer) - before, 20, 36);
    assert_int_equal(rig_stat(&rig).queued_batches, N);
    peer_mode(&rig.peer, PEER_TAKES);
    rig_move(30 * SECOND);
    AWAIT(rig_stat(&rig).queued_batches == 0);
    for (uint64_t id = 1; id <= N; id++)
        assert_int_equal(peer_times(&rig.peer, id), 1);
    assert_int_equal(rig_stat(&rig).dropped_old_spans, 0);
}

/* After a start nothing is known of them, and they are more than may wait. */
static void much_old_poison_stops_no_other(void **state)
{
    (void)state;
    enum { N = 1300, TRIED = SEND_PARKED_MAX + 100 };
    queue_after_outage(N, TRIED);
    rig.peer.poison_to = TRIED;
    rig.peer.answers_at_once = true;
    peer_mode(&rig.peer, PEER_TAKES);
    rig_start(&rig);
    assert_in_range(taken_after(N - TRIED, 300), 0, 120);
    for (uint64_t id = 1; id <= N; id++)
        assert_int_equal(peer_times(&rig.peer, id), id > TRIED);
    rig.peer.poison_to = 0;
    rig_clock_runs(true);
    AWAIT(rig_stat(&rig).queued_batches == 0);
}

/* --- what the peer refuses for good -------------------------------------------------------------- */

enum { POISONS = 20, GOOD = 10 };

/* Whatever their number and place: they say that the peer works. The clock stands, so nobody waits for anything. */
static void what_is_refused_for_good_is_no_sign_of_a_dead_peer(void **state)
{
    (void)state;
    static const uint64_t in_flight[] = {1, 4, 8, 64};
    for (size_t i = 0; i < MG_COUNT(in_flight); i++) {
        for (int at_once = 0; at_once < 2; at_once++) {
            uint64_t first = 1 + (i * 2 + (uint64_t)at_once) * (POISONS + 2 * GOOD), end = first + POISONS + 2 * GOOD;
            size_t before = peer_attempts(&rig.peer);
            rig.conf.in_flight = in_flight[i];
            rig.peer.answers_at_once = at_once;
            rig.peer.refused_from = first + GOOD;
            rig.peer.refused_to = first + GOOD + POISONS - 1;
            rig_start(&rig);
            rig_give(&rig, first, POISONS + 2 * GOOD, 100);
            AWAIT(rig_is_drained(&rig));
            for (uint64_t id = first; id < end; id++)
                assert_int_equal(peer_times(&rig.peer, id), id < rig.peer.refused_from || id > rig.peer.refused_to);
            struct send_stats stats = rig_stat(&rig);
            assert_int_equal(peer_attempts(&rig.peer) - before, POISONS + 2 * GOOD);
            assert_int_equal(stats.retries, 0);
            assert_int_equal(stats.refused_spans, gift_spans_of(first + GOOD, first + GOOD + POISONS - 1));
            assert_int_equal(stats.sent_spans + stats.refused_spans, stats.put_spans);
            assert_int_equal(stats.dropped_old_spans + stats.dropped_full_spans, 0);
            send_close(&rig.send);
        }
    }
}

/* At the start, when nothing is known of the peer yet, and with nothing good behind them. */
static void only_poison_opens_no_back_off_either(void **state)
{
    (void)state;
    rig.peer.refused_from = 1;
    rig.peer.refused_to = POISONS;
    rig_start(&rig);
    rig_give(&rig, 1, POISONS, 100);
    AWAIT(rig_is_drained(&rig));
    assert_int_equal(rig_counted(&rig, "refused"), gift_spans_of(1, POISONS));
    assert_string_equal(rig_stat(&rig).last_error, "400 malformed");
    rig_give(&rig, POISONS + 1, 1, 100);
    AWAIT(peer_taken(&rig.peer) == 1);
}

/* A peer that is dead and comes back with refusals works again: what waited is sent at once. */
static void a_refusal_ends_the_back_off(void **state)
{
    (void)state;
    peer_mode(&rig.peer, PEER_RETRIES);
    rig.conf.retry_initial_ns = rig.conf.retry_max_ns = 1000 * SECOND;
    rig_start(&rig);
    rig_give(&rig, 1, POISONS, 100);
    AWAIT(peer_attempts(&rig.peer) >= 2);
    rig_settle(&rig);
    size_t tried = peer_attempts(&rig.peer);
    assert_in_range(tried, 2, 5); /* four at the wire, and the first may have been answered before */
    peer_mode(&rig.peer, PEER_REFUSES);
    rig_move(1000 * SECOND); /* for the probe; the others need no clock any more */
    AWAIT(rig_is_drained(&rig));
    assert_int_equal(peer_attempts(&rig.peer), POISONS + tried);
    assert_int_equal(rig_counted(&rig, "refused"), gift_spans_of(1, POISONS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_poisonous_batch_holds_up_no_other),
        TEST(a_few_poisonous_batches_starve_no_other),
        TEST(poison_has_half_of_the_places),
        TEST(more_poison_than_may_wait_stops_no_other),
        TEST(a_long_outage_costs_no_batch),
        TEST(much_old_poison_stops_no_other),
        TEST(what_is_refused_for_good_is_no_sign_of_a_dead_peer),
        TEST(only_poison_opens_no_back_off_either),
        TEST(a_refusal_ends_the_back_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
