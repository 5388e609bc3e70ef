/* The n-th file call fails, for n = 1, 2, … until a run meets no failure. Nothing may hang or leak,
 * and nothing that was reported durable may be missing afterwards, whatever the failing call was.
 */
#include "harness.h"

enum { RECORDS = 30 };

static struct journal_options options_of(struct memfs *fs)
{
    return (struct journal_options){
        .dir = "/log", .segment_bytes = 32 << 10, .io = &fs->io, .group_ns = 1, .retry_ns = 1000};
}

static void run(struct memfs *fs, uint64_t first_id, struct shots *shots)
{
    struct journal_options o = options_of(fs);
    struct journal *journal = NULL;

    shots_make(shots, first_id, RECORDS, 5000, true);
    if (journal_open(&journal, &o, NULL) != MG_OK)
        return;
    if (journal_start(journal, NULL) == MG_OK) {
        for (size_t i = 0; i < shots->n; i++) {
            enum mg_err err = shot_append(journal, &shots->at[i]);
            if (err == MG_OK)
                shot_wait(&shots->at[i]);
            if (i == 20 && shots->at[4].err == MG_OK)
                journal_trim(journal, shots->at[4].record.position);
        }
    }
    journal_close(&journal);
}

static void expect_durable(const struct shots *shots, const struct replayed *met, uint64_t trimmed)
{
    for (size_t i = 0; i < shots->n; i++) {
        const struct shot *shot = &shots->at[i];
        if (shot->is_done && shot->err == MG_OK && shot->record.position > trimmed)
            assert_true(replayed_has(met, shot->id));
        else if (shot->is_done && shot->err != MG_OK)
            assert_int_equal(shot->err, MG_E_IO);
    }
}

/* One run with the n-th call failing, after one without; true: the failure was met. */
static bool run_with_fault(uint64_t nth, bool then_cut)
{
    struct memfs fs;
    struct shots before, shots;
    struct random random;
    memfs_init(&fs);
    random_init(&random, nth);
    run(&fs, 1, &before);
    for (size_t i = 0; i < before.n; i++)
        assert_int_equal(before.at[i].err, MG_OK);

    memfs_faults(&fs, nth, 0);
    run(&fs, 1000, &shots);
    bool was_met = fs.calls >= nth;
    if (!was_met)
        for (size_t i = 0; i < shots.n; i++)
            assert_true(shots.at[i].is_done && shots.at[i].err == MG_OK);
    assert_int_equal(fs.open_handles, 0);
    memfs_faults(&fs, 0, 0);
    if (then_cut)
        memfs_power_cut(&fs, &random);

    struct journal_options o = options_of(&fs);
    struct replayed met;
    struct journal_stats stats;
    reread(&o, &met, &stats);
    assert_int_equal(stats.corrupt_places, 0);
    uint64_t trimmed = shots.at[4].is_done ? shots.at[4].record.position : 0;
    expect_durable(&before, &met, MG_MAX(trimmed, before.at[4].record.position));
    expect_durable(&shots, &met, trimmed);
    VEC_FINI(&met);
    shots_free(&before);
    shots_free(&shots);
    memfs_fini(&fs);
    return was_met;
}

static void every_call_may_fail(void **state)
{
    (void)state;
    uint64_t nth = 1;
    while (run_with_fault(nth, false))
        nth++;
    assert_true(nth > 60);
}

static void a_failed_call_and_a_power_cut(void **state)
{
    (void)state;
    uint64_t nth = 1;
    while (run_with_fault(nth, true))
        nth++;
    assert_true(nth > 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(a_failed_call_and_a_power_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
