/* Runs into one: the same decisions in the same order, whatever the fan-in, whatever fails. MGTEST_BENCH=1 tells how long a large one takes. */
#include "unit/store/store_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "unit/store/files.h"

enum { NUMBER = 7 };

struct model { VEC(struct decision) all; };

static void begin(struct rig *rig, struct decisions *decisions)
{
    rig_abandon(rig);
    decisions_init(decisions, rig->store_dir, NUMBER);
}

static void end(struct rig *rig, struct decisions *decisions)
{
    decisions_unlink(decisions);
    decisions_fini(decisions);
    rig_open(rig);
}

/* Runs of random lengths with hashes that often repeat; `word` tells them apart. */
static void append_runs(struct decisions *decisions, struct model *model, unsigned runs, uint32_t most, uint64_t hashes)
{
    struct decision *entries = mem_zero(most, sizeof *entries);
    struct random random;
    struct mg_why why;

    random_init(&random, runs);
    for (unsigned i = 0; i < runs; i++) {
        uint32_t n = 1 + (uint32_t)random_below(&random, most);
        for (uint32_t k = 0; k < n; k++) {
            entries[k] = (struct decision){ .hash = random_below(&random, hashes), .time_s = i, .order = k };
            entries[k].word = model->all.n + 1;
            VEC_PUSH(&model->all, entries[k]);
        }
        const struct decision_run run = { .at = decisions->length, .commit = i + 1, .n = n };
        if (decisions_append(decisions, entries, &run, &why) != MG_OK)
            fail_msg("%s", why.text);
        decisions_added(decisions, &run);
    }
    mem_free(entries);
}

static int by_hash_and_word(const void *a, const void *b)
{
    const struct decision *left = a, *right = b;

    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return left->word < right->word ? -1 : left->word > right->word;
}

static enum mg_err merge(struct rig *rig, struct decisions *decisions, size_t fan_in, const _Atomic bool *stop, unsigned *damaged)
{
    const struct decisions_merge_options options = { .dir = rig->store_dir, .fan_in = fan_in, .stop = stop };
    struct decision_run run;
    enum mg_err err = decisions_merge(decisions, &options, &run, damaged, &rig->why);

    if (err == MG_OK)
        decisions_merged(decisions, &run);
    return err;
}

/* The file, read by itself, is one sound run with all of the model. */
static void expect_merged(struct rig *rig, struct model *model, uint64_t commit)
{
    struct decisions decisions;
    struct decision *got = mem_zero(model->all.n, sizeof *got);
    struct decision_run merged;
    int fd;

    decisions_init(&decisions, rig->store_dir, NUMBER);
    decisions_read(&decisions, 12345); /* whatever tag 10 says */
    assert_true(decisions.is_merged && decisions.damaged == 0);
    assert_int_equal(decisions.entries, model->all.n);
    assert_int_equal(decisions.length, rig_why_bytes(rig, NUMBER));
    assert_int_equal(decisions.runs.at[0].commit, commit);
    assert_int_equal(decisions_open(decisions.path, &fd, &merged, &rig->why), MG_OK);
    assert_int_equal(merged.n, model->all.n);
    if (decisions_verify(fd, &merged, &rig->why) != MG_OK)
        fail_msg("%s", rig->why.text);
    assert_int_equal(decisions_load(fd, &merged, 0, merged.n, got, &rig->why), MG_OK);
    qsort(model->all.at, model->all.n, sizeof *model->all.at, by_hash_and_word);
    for (size_t i = 0; i < model->all.n; i++) {
        assert_int_equal(got[i].hash, model->all.at[i].hash);
        assert_int_equal(got[i].word, model->all.at[i].word);
        assert_int_equal(got[i].time_s, model->all.at[i].time_s);
    }
    close(fd);
    mem_free(got);
    decisions_fini(&decisions);
}

static bool temporary_exists(const struct rig *rig)
{
    char path[160];

    (void)snprintf(path, sizeof path, "%s/%06u.why.tmp", rig->store_dir, NUMBER);
    return access(path, F_OK) == 0;
}

static void all_decisions_in_order(void **state)
{
    static const struct { unsigned runs; uint32_t most; uint64_t hashes; size_t fan_in; } cases[] = {
        { 1, 5, 100, 2 },       { 2, 1, 1, 1024 },    { 2, 1000, UINT64_MAX, 2 }, { 3, 1500, 3, 2 },     { 17, 100, 50, 2 },
        { 17, 100, 50, 1024 },  { 64, 30, 10, 3 },    { 65, 700, UINT64_MAX, 8 }, { 9, 40000, 1 << 20, 4 },
    };
    struct rig *rig = *state;
    struct decisions decisions;
    unsigned damaged;

    begin(rig, &decisions);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct model model = { { 0 } };
        append_runs(&decisions, &model, cases[i].runs, cases[i].most, cases[i].hashes);
        if (merge(rig, &decisions, cases[i].fan_in, NULL, &damaged) != MG_OK)
            fail_msg("%s", rig->why.text);
        assert_int_equal(damaged, 0);
        assert_int_equal(decisions.entries, model.all.n);
        expect_merged(rig, &model, cases[i].runs);
        assert_false(temporary_exists(rig));
        struct decision_run run = decisions.runs.at[0];
        assert_int_equal(merge(rig, &decisions, 2, NULL, &damaged), MG_OK); /* again: nothing to do */
        assert_memory_equal(&run, &decisions.runs.at[0], sizeof run);
        VEC_FINI(&model.all);
        decisions_unlink(&decisions);
        decisions_forget(&decisions);
    }
    end(rig, &decisions);
}

static void flip(const struct decisions *decisions, uint64_t at)
{
    int fd = open(decisions->path, O_RDWR);
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void a_damaged_run_is_left_out(void **state)
{
    struct rig *rig = *state;
    struct decisions decisions;
    struct model model = { { 0 } }, kept = { { 0 } };
    unsigned damaged;

    begin(rig, &decisions);
    append_runs(&decisions, &model, 5, 100, UINT64_MAX);
    flip(&decisions, decisions.runs.at[1].at + 40);
    flip(&decisions, decisions.runs.at[4].at + 20);
    for (size_t i = 0; i < model.all.n; i++)
        if (model.all.at[i].time_s != 1 && model.all.at[i].time_s != 4)
            VEC_PUSH(&kept.all, model.all.at[i]);
    assert_int_equal(merge(rig, &decisions, 2, NULL, &damaged), MG_OK);
    assert_int_equal(damaged, 2);
    expect_merged(rig, &kept, 4);
    VEC_FINI(&kept.all);
    VEC_FINI(&model.all);
    end(rig, &decisions);
}

static void a_file_of_damaged_runs_goes(void **state)
{
    struct rig *rig = *state;
    struct decisions decisions;
    struct model model = { { 0 } };
    unsigned damaged;

    begin(rig, &decisions);
    append_runs(&decisions, &model, 2, 100, UINT64_MAX);
    flip(&decisions, decisions.runs.at[0].at + 40);
    flip(&decisions, decisions.runs.at[1].at + 40);
    assert_int_equal(merge(rig, &decisions, 2, NULL, &damaged), MG_OK);
    assert_int_equal(damaged, 2);
    assert_int_equal(rig_why_bytes(rig, NUMBER), 0);
    assert_int_equal(decisions.length + decisions.entries + decisions.disk_bytes + decisions.runs.n, 0);
    VEC_FINI(&model.all);
    end(rig, &decisions);
}

static void nothing_to_merge_is_fine(void **state)
{
    struct rig *rig = *state;
    struct decisions decisions;
    unsigned damaged;

    begin(rig, &decisions);
    assert_int_equal(merge(rig, &decisions, 2, NULL, &damaged), MG_OK);
    assert_false(decisions.is_merged);
    close(open(decisions.path, O_CREAT | O_WRONLY, 0600)); /* never committed to */
    assert_int_equal(merge(rig, &decisions, 2, NULL, &damaged), MG_OK);
    assert_int_not_equal(access(decisions.path, F_OK), 0);
    end(rig, &decisions);
}

static void a_failed_merge_leaves_the_runs(void **state)
{
    static const int errors[] = { ENOSPC, FILES_SHORT };
    struct rig *rig = *state;
    struct decisions decisions;
    unsigned damaged;

    begin(rig, &decisions);
    for (size_t i = 0; i < MG_COUNT(errors); i++) {
        struct model model = { { 0 } };
        uint64_t n = 0;
        enum mg_err err;
        append_runs(&decisions, &model, 5, 100, 1000);
        do {
            files_fail_at(++n, errors[i]);
            err = merge(rig, &decisions, 2, NULL, &damaged);
            assert_int_equal(err == MG_OK, files_calls() < n);
            files_fail_at(0, 0);
            assert_false(temporary_exists(rig));
            struct decisions again;
            decisions_init(&again, rig->store_dir, NUMBER);
            decisions_read(&again, decisions.length);
            assert_int_equal(again.entries, model.all.n);
            assert_int_equal(again.damaged, 0);
            decisions_fini(&again);
        } while (err != MG_OK);
        assert_true(n >= 6); /* three columns, the head, sync, rename, directory */
        expect_merged(rig, &model, 5);
        VEC_FINI(&model.all);
        decisions_unlink(&decisions);
        decisions_forget(&decisions);
    }
    end(rig, &decisions);
}

static void a_store_that_stops_does_not_wait(void **state)
{
    struct rig *rig = *state;
    struct decisions decisions;
    struct model model = { { 0 } };
    _Atomic bool stop = true;
    unsigned damaged;

    begin(rig, &decisions);
    append_runs(&decisions, &model, 3, 100, 1000);
    assert_int_equal(merge(rig, &decisions, 2, &stop, &damaged), MG_E_BUSY);
    assert_false(temporary_exists(rig));
    stop = false;
    assert_int_equal(merge(rig, &decisions, 2, &stop, &damaged), MG_OK);
    expect_merged(rig, &model, 3);
    VEC_FINI(&model.all);
    end(rig, &decisions);
}

/* Returns the longest step, in ns: what a commit may wait for is a few of these. */
static uint64_t merge_in_steps(struct rig *rig, struct decisions *decisions)
{
    const struct decisions_merge_options options = { .dir = rig->store_dir, .fan_in = DECISIONS_FAN_IN };
    struct decisions_merging *merging;
    uint64_t longest = 0;

    assert_int_equal(decisions_merging_new(&merging, decisions, &options, &rig->why), MG_OK);
    for (bool is_done = false; !is_done;) {
        uint64_t before = clock_mono_ns();
        assert_int_equal(decisions_merging_step(merging, &is_done, &rig->why), MG_OK);
        longest = MG_MAX(longest, clock_mono_ns() - before);
    }
    struct decision_run run;
    unsigned damaged;
    decisions_merging_result(merging, &run, &damaged);
    decisions_merged(decisions, &run);
    decisions_merging_free(&merging);
    return longest;
}

static void bench(void **state)
{
    struct rig *rig = *state;
    struct decisions decisions;
    struct model model = { { 0 } };
    struct decision found[4];
    uint64_t longest = 0;
    size_t n, sum = 0;

    begin(rig, &decisions);
    append_runs(&decisions, &model, 2000, 4000, UINT64_MAX);
    for (int round = 0; round < 2; round++) {
        uint64_t before = clock_mono_ns();
        struct decision_run merged;
        int fd;
        assert_int_equal(decisions_open(decisions.path, &fd, &merged, &rig->why), MG_OK);
        for (uint64_t i = 0; i < 20; i++)
            for (size_t k = 0; k < decisions.runs.n; k++) {
                assert_int_equal(decisions_find(fd, &decisions.runs.at[k], model.all.at[i * 1000].hash, found, 4, &n, &rig->why), MG_OK);
                sum += n;
            }
        close(fd);
        printf("a look-up in %zu runs: %.3f ms\n", decisions.runs.n, (double)(clock_mono_ns() - before) / 20e6);
        before = clock_mono_ns();
        if (round == 0)
            longest = merge_in_steps(rig, &decisions);
        if (round == 0)
            printf("%zu decisions in 2000 runs merged: %.0f ms, the longest step %.0f ms\n", model.all.n,
                   (double)(clock_mono_ns() - before) / 1e6, (double)longest / 1e6);
    }
    assert_int_equal(sum, 40);
    VEC_FINI(&model.all);
    end(rig, &decisions);
}

/* --- a slice a turn --------------------------------------------------------------------------------------- */

enum { MANY = 400000, RUNS = 4, BY_TURN = 7 }; /* BY_TURN: the policy that dropped what rig_drop drops */

/* As many decisions as a turn does not merge, in the open partition, which is then closed. */
static struct partition *close_with_many(struct rig *rig)
{
    struct partition *partition = rig_partition(rig, rig_partitions(rig) - 1);
    struct decision *entries = mem_alloc(MANY / RUNS * sizeof *entries);
    struct random random;

    rig_commit(rig, 5);
    random_init(&random, 1);
    for (unsigned i = 0; i < RUNS; i++) {
        const struct decision_run run = { .at = partition->decisions.length, .commit = rig->store->own.state.commit + 1, .n = MANY / RUNS };
        for (uint32_t k = 0; k < run.n; k++)
            entries[k] = (struct decision){ .hash = random_below(&random, UINT64_MAX), .word = rig_dropped(1), .time_s = i, .order = k };
        assert_int_equal(decisions_append(&partition->decisions, entries, &run, &rig->why), MG_OK);
        decisions_added(&partition->decisions, &run);
        rig_commit(rig, 5);
    }
    mem_free(entries);
    rig_drop(rig, 1000, BY_TURN);
    rig_roll(rig, 5);
    return partition;
}

static void commits_are_made_between_the_slices_of_a_merge(void **state)
{
    struct rig *rig = *state;
    struct partition *partition = close_with_many(rig);
    unsigned turns = 0;

    rig_retain(rig);
    for (; !partition->is_sealed; turns++) {
        assert_ptr_equal(rig->store->own.merging.of, partition);
        assert_false(partition->says_sealed || partition->decisions.is_merged);
        rig_drop(rig, 2000 + turns, BY_TURN); /* commits, and turns */
        RIG_DECIDED(rig, 2000 + turns, -BY_TURN);
        RIG_DECIDED(rig, 1000, -BY_TURN); /* by the runs as long as they are not one */
    }
    assert_in_range(turns, 2, 20);
    assert_null(rig->store->own.merging.of);
    assert_true(partition->decisions.is_merged);
    assert_int_equal(partition->decisions.entries, MANY + 1);
    RIG_DECIDED(rig, 1000, -BY_TURN);
    assert_int_equal(metric_get(rig->store->metrics, STORE_decisions_damaged, 0, 0), 0);
    rig_expect(rig, 1, rig->spans);
    rig_reopen(rig);
    RIG_DECIDED(rig, 1000, -BY_TURN);
}

static bool is_writing(const struct rig *rig)
{
    char path[128], full[140];

    rig_why_path(rig, 1, path);
    (void)snprintf(full, sizeof full, "%s.tmp", path);
    return access(full, F_OK) == 0;
}

static void until_it_writes(struct rig *rig)
{
    rig_retain(rig);
    for (int i = 0; i < 20 && !is_writing(rig); i++)
        rig_turn(rig);
    assert_true(is_writing(rig));
    assert_non_null(rig->store->own.merging.of);
}

/* Whatever takes the file away under it. */
static void a_merge_is_given_up_with_its_decisions(void **state)
{
    struct rig *rig = *state;

    close_with_many(rig);
    until_it_writes(rig);
    RIG_SET(rig, decisions_max, 4096);
    store_retain_decisions(rig->store);
    assert_null(rig->store->own.merging.of);
    assert_false(is_writing(rig));
    RIG_UNDECIDED(rig, 1000);
    rig_retain(rig);
    assert_true(rig_partition(rig, 0)->is_sealed);
    assert_int_equal(rig_why_bytes(rig, 1), 0);
    rig_expect(rig, 1, rig->spans);
}

static void a_merge_is_given_up_with_its_partition(void **state)
{
    struct rig *rig = *state;
    size_t partitions;

    close_with_many(rig);
    until_it_writes(rig);
    partitions = rig_partitions(rig);
    rig_move(rig->conf.retention_ns);
    rig_commit(rig, 5); /* the newest stays */
    rig_commit(rig, 5);
    rig_retain(rig);
    assert_true(rig_partitions(rig) <= partitions);
    assert_false(is_writing(rig) || rig_file_exists(rig, 1, false));
    RIG_UNDECIDED(rig, 1000);
}

static void a_merge_is_given_up_by_a_close(void **state)
{
    struct rig *rig = *state;

    close_with_many(rig);
    until_it_writes(rig);
    rig_abandon(rig);
    assert_false(is_writing(rig));
    rig_open(rig); /* merges all at once */
    RIG_DECIDED(rig, 1000, -BY_TURN);
    assert_true(rig_partition(rig, 0)->says_sealed && rig_partition(rig, 0)->decisions.is_merged);
    rig_expect(rig, 1, rig->spans);
}

static void a_merge_that_fails_is_begun_again_by_the_next_retention(void **state)
{
    struct rig *rig = *state;
    struct partition *partition = close_with_many(rig);

    until_it_writes(rig);
    files_fail_at(1, EIO);
    rig_turn(rig);
    files_fail_at(0, 0);
    assert_null(rig->store->own.merging.of);
    assert_false(is_writing(rig));
    rig_turn(rig); /* not at once */
    assert_null(rig->store->own.merging.of);
    rig_retain(rig);
    for (int i = 0; i < 20 && !partition->is_sealed; i++)
        rig_turn(rig);
    assert_true(partition->is_sealed && partition->decisions.is_merged);
    RIG_DECIDED(rig, 1000, -BY_TURN);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(all_decisions_in_order), T(a_damaged_run_is_left_out), T(a_file_of_damaged_runs_goes), T(nothing_to_merge_is_fine),
        T(a_failed_merge_leaves_the_runs), T(a_store_that_stops_does_not_wait),
        T(commits_are_made_between_the_slices_of_a_merge), T(a_merge_is_given_up_with_its_decisions), T(a_merge_is_given_up_with_its_partition),
        T(a_merge_is_given_up_by_a_close), T(a_merge_that_fails_is_begun_again_by_the_next_retention),
    };
    const struct CMUnitTest benches[] = { T(bench) };

    if (getenv("MGTEST_BENCH"))
        return cmocka_run_group_tests(benches, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
