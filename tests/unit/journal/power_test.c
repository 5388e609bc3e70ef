/* Power cuts at arbitrary calls, on a disk that keeps an arbitrary part of what was not synced. One
 * directory lives through all rounds, so that recycled segments with old bytes are met, too.
 *
 * The promise: every record whose owner heard MG_OK, and that was not trimmed, is replayed; nothing
 * is taken for damage. The model must be able to see a lie: with an fdatasync that does nothing it
 * has to find losses. */
#include "harness.h"

enum { ROUNDS = 150, RECORDS = 24 };

struct world {
    struct memfs fs;
    struct journal_options options;
    struct random random;
    VEC(struct met) durable;   /* what owners were promised */
    uint64_t next_id, trimmed; /* trimmed: a position */
    uint64_t lost, damaged, cuts;
};

static void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    memfs_init(&w->fs);
    random_init(&w->random, seed);
    w->next_id = 1;
    w->options = (struct journal_options){.dir = "/log",
                                          .segment_bytes = 48 << 10,
                                          .io = &w->fs.io,
                                          .group_ns = 1,
                                          .retry_ns = 3600000000000};
}

static void world_fini(struct world *w)
{
    VEC_FINI(&w->durable);
    memfs_fini(&w->fs);
}

/* Sends the records in bursts, so that groups hold one to many of them, and trims now and then. */
static void send(struct world *w, struct journal *journal, struct shots *shots)
{
    size_t sent = 0;
    while (sent < shots->n) {
        size_t burst = sent + 1 + random_below(&w->random, 6), from = sent;
        while (sent < MG_MIN(burst, shots->n) && shot_append(journal, &shots->at[sent]) == MG_OK)
            sent++;
        for (size_t i = from; i < sent; i++)
            shot_wait(&shots->at[i]);
        if (sent == from)
            return;
        if (random_below(&w->random, 4) == 0 && shots->at[from].err == MG_OK) {
            w->trimmed = MG_MAX(w->trimmed, shots->at[from].record.position - 1);
            journal_trim(journal, w->trimmed);
        }
    }
}

static void remember(struct world *w, const struct shots *shots)
{
    for (size_t i = 0; i < shots->n; i++) {
        struct met met = {shots->at[i].id, shots->at[i].record.position, 0};
        if (shots->at[i].is_done && shots->at[i].err == MG_OK)
            VEC_PUSH(&w->durable, met);
    }
}

static void compare(struct world *w, const struct replayed *met)
{
    size_t at = 0;
    for (size_t i = 0; i < w->durable.n; i++) {
        const struct met *want = &w->durable.at[i];
        if (want->position <= w->trimmed)
            continue;
        while (at < met->n && met->at[at].position < want->position)
            at++;
        w->lost +=
            at == met->n || met->at[at].position != want->position || met->at[at].id != want->id;
    }
}

/* The log after the cut: compared with the promises, then used on. */
static struct journal *recover(struct world *w)
{
    struct journal *journal = open_journal(&w->options);
    struct replayed met;
    struct journal_stats stats;
    replay_into(journal, w->trimmed, &met);
    journal_stat(journal, &stats);
    w->damaged += stats.corrupt_places;
    compare(w, &met);
    VEC_FINI(&met);
    return journal;
}

static void round_run(struct world *w)
{
    struct shots shots;
    struct journal *journal = recover(w);
    shots_make(&shots, w->next_id, RECORDS, 9000, false);
    w->next_id += RECORDS;
    memfs_faults(&w->fs, 0, 1 + random_below(&w->random, 30));
    if (journal_start(journal, NULL) == MG_OK)
        send(w, journal, &shots);
    journal_stop(journal);
    journal_close(&journal);
    remember(w, &shots);
    shots_free(&shots);
    w->cuts += w->fs.is_dead;
    memfs_power_cut(&w->fs, &w->random);
}

static void what_was_promised_survives_power_cuts(void **state)
{
    (void)state;
    static const uint64_t seeds[] = {1, 2, 3};
    for (size_t i = 0; i < MG_COUNT(seeds); i++) {
        struct world w;
        world_init(&w, seeds[i]);
        for (int round = 0; round < ROUNDS; round++) {
            round_run(&w);
            assert_int_equal(w.lost, 0);
            assert_int_equal(w.damaged, 0);
        }
        struct journal *journal = recover(&w);
        journal_close(&journal);
        assert_int_equal(w.lost, 0);
        assert_true(w.cuts > ROUNDS / 2);
        assert_true(w.durable.n > ROUNDS * 4);
        world_fini(&w);
    }
}

static void the_model_sees_an_fdatasync_that_does_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4);
    w.fs.drops_syncs = true;
    for (int round = 0; round < 20 && !w.lost; round++)
        round_run(&w);
    struct journal *journal = recover(&w);
    journal_close(&journal);
    assert_true(w.lost > 0);
    world_fini(&w);
}

/* --- what failed stays failed --- */

/* One record is durable, the next one's sync fails (in the same segment, or as the first of a new
 * one), and the writer has begun the segment after it. */
static void fail_one(struct world *w, struct shots *shots, bool in_new_segment)
{
    struct journal *journal = recover(w);
    assert_int_equal(journal_start(journal, NULL), MG_OK);
    assert_int_equal(shot_commit(journal, &shots->at[0]), MG_OK);
    if (in_new_segment) {
        journal_close(&journal);
        journal = recover(w);
        assert_int_equal(journal_start(journal, NULL), MG_OK);
    }
    w->fs.fail_fdatasyncs = 1;
    assert_int_equal(shot_commit(journal, &shots->at[1]), MG_E_IO);
    journal_close(&journal);
    w->fs.fail_fdatasyncs = 0;
}

/* The next start is cut at its n-th call. */
static bool failed_again_after_cut(uint64_t nth, uint64_t seed, bool in_new_segment)
{
    struct world w;
    struct shots shots;
    struct replayed met;
    world_init(&w, seed);
    shots_make(&shots, 1, 3, 2000, true);
    fail_one(&w, &shots, in_new_segment);

    struct journal *journal = recover(&w);
    memfs_faults(&w.fs, 0, nth);
    if (journal_start(journal, NULL) == MG_OK)
        (void)shot_commit(journal, &shots.at[2]); /* its fate is another test's matter */
    journal_close(&journal);
    bool was_cut = w.fs.is_dead;
    memfs_power_cut(&w.fs, &w.random);
    reread(&w.options, &met, NULL);
    assert_true(replayed_has(&met, 1));
    assert_false(replayed_has(&met, 2));
    VEC_FINI(&met);
    shots_free(&shots);
    world_fini(&w);
    return was_cut;
}

static void what_failed_stays_failed(void **state)
{
    (void)state;
    for (int in_new_segment = 0; in_new_segment < 2; in_new_segment++) {
        for (uint64_t seed = 0; seed < 24; seed++) {
            uint64_t nth = 1;
            while (failed_again_after_cut(nth, seed, in_new_segment))
                nth++;
            assert_true(nth > 6);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_failed_stays_failed),
        cmocka_unit_test(what_was_promised_survives_power_cuts),
        cmocka_unit_test(the_model_sees_an_fdatasync_that_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
