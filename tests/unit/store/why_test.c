/* Dropped traces through the store: when their decisions are on disk, what a crash or a failure at any call leaves of them, how they are found,
 * merged and forgotten. */
#include "unit/store/store_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "store/tagged.h"
#include "store/tools.h"
#include "unit/store/files.h"

static struct store_stats stats_of(struct rig *rig)
{
    struct store_stats stats;

    rig_turn(rig);
    store_stat(rig->store, &stats);
    return stats;
}

static void put_dropped(struct rig *rig, uint64_t first, size_t n, unsigned policy)
{
    struct rig_decided *decided = mem_zero(n, sizeof *decided);

    for (size_t i = 0; i < n; i++)
        decided[i] = (struct rig_decided){ .trace = first + i, .outcome = rig_dropped(policy) };
    rig_put_decided(rig, decided, n);
    mem_free(decided);
}

/* --- in and out ----------------------------------------------------------------------------------------- */

static void a_dropped_trace_is_no_span_and_is_known(void **state)
{
    struct rig *rig = *state;

    rig_drop(rig, 1, 3);
    RIG_DECIDED(rig, 1, -3);
    RIG_UNDECIDED(rig, 2);
    rig_expect(rig, 1, 0);
    struct store_stats stats = stats_of(rig);
    assert_int_equal(stats.decisions, 1);
    assert_int_equal(stats.decisions_bytes, stats.disk_bytes - kv_env_disk_bytes(rig_partition(rig, 0)->env));
    assert_int_equal(stats.blocks + stats.spans + stats.waiting_rows, 0);
    assert_int_equal(rig->stored, 0);
    rig_reopen(rig);
    RIG_DECIDED(rig, 1, -3);
    assert_int_equal(store_recovered(rig->store)->c, 1);
    assert_int_equal(store_recovered(rig->store)->decisions, rig_why_bytes(rig, 1));
    assert_int_equal(rig_why_bytes(rig, 1), decision_run_bytes(1));
}

static void an_outcome_of_nothing_is_no_entry(void **state)
{
    struct rig *rig = *state;

    rig_put_decided(rig, &(struct rig_decided){ .trace = 1 }, 1);
    store_hurry(rig->store);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 1);
    assert_int_equal(rig_why_bytes(rig, 1), 0);
    RIG_UNDECIDED(rig, 1);
}

static void without_sampling_there_is_no_file(void **state)
{
    struct rig *rig = *state;
    struct buf value;
    struct str tag;

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_retain(rig);
    assert_int_equal(rig_why_bytes(rig, 1) + rig_why_bytes(rig, 2), 0);
    assert_true(rig_value(rig, 1, TABLE_META, STR("state"), &value));
    assert_false(tagged_find(buf_str(&value), 10, &tag));
    buf_fini(&value);
    assert_int_equal(stats_of(rig).decisions, 0);
}

static void decisions_come_newest_first_from_everywhere(void **state)
{
    struct rig *rig = *state;

    rig_drop(rig, 1, 1);
    rig_move(2 * RIG_SECOND);
    rig_drop(rig, 1, 2);
    rig_move(2 * RIG_SECOND);
    rig_keep(rig, 1, 3);
    rig_drop(rig, 2, 9);
    rig_move_wall(rig->conf.roll_ns);
    rig_drop(rig, 1, 4);
    rig_retain(rig);
    rig_move_wall(rig->conf.roll_ns);
    rig_keep(rig, 1, 5);
    rig_move(2 * RIG_SECOND);
    rig_drop(rig, 1, 6);
    assert_int_equal(rig_partitions(rig), 3);
    for (int i = 0; i < 2; i++) {
        RIG_DECIDED(rig, 1, -6, 5, -4, 3, -2, -1);
        RIG_DECIDED(rig, 2, -9);
        RIG_UNDECIDED(rig, 3);
        rig_reopen(rig);
    }
}

static void only_the_newest_that_fit_are_told(void **state)
{
    struct rig *rig = *state;
    struct store_decision found[10];
    struct arena arena = { 0 };
    struct outcome outcome;
    uint8_t id[16];
    size_t n;

    for (unsigned i = 1; i <= 7; i++, rig_move(RIG_SECOND))
        i % 2 ? rig_drop(rig, 1, i) : rig_keep(rig, 1, i);
    rig_trace_id(1, id);
    struct store_view *view = store_view_new(rig->store);
    for (size_t room = 0; room <= 10; room++) {
        assert_int_equal(store_view_decisions(view, id, &arena, found, room, &n, &rig->why), MG_OK);
        assert_int_equal(n, MG_MIN(room, (size_t)7));
        for (size_t i = 0; i < n; i++) {
            assert_true(outcome_unpack(found[i].outcome, &outcome));
            assert_int_equal(outcome.policy, 7 - i);
        }
    }
    store_view_free(&view);
    arena_fini(&arena);
}

/* Thousands of late parts of one trace are sorted in little memory. */
static void a_trace_of_many_decisions_is_answered(void **state)
{
    struct rig *rig = *state;
    struct store_decision found[4];
    struct arena arena = { 0 };
    uint8_t id[16];
    size_t n;

    for (int i = 0; i < 5; i++, rig_move(RIG_SECOND)) {
        struct rig_decided *decided = mem_zero(3000, sizeof *decided);
        for (size_t k = 0; k < 3000; k++)
            decided[k] = (struct rig_decided){ .trace = 1, .outcome = k % 2 ? rig_dropped(1) : rig_kept(2), .is_kept = k % 2 == 0 };
        rig_put_decided(rig, decided, 3000);
        store_hurry(rig->store);
        rig_turn(rig);
        mem_free(decided);
    }
    rig_trace_id(1, id);
    struct store_view *view = store_view_new(rig->store);
    assert_int_equal(store_view_decisions(view, id, &arena, found, 4, &n, &rig->why), MG_OK);
    assert_int_equal(n, 4);
    for (size_t i = 1; i < n; i++)
        assert_true(found[i - 1].wall_ns >= found[i].wall_ns);
    assert_true(found[0].is_kept && found[0].rows == 1500); /* fragments of one decision: one position, one commit */
    store_view_free(&view);
    arena_fini(&arena);
}

static void a_kept_trace_says_all_of_its_decision(void **state)
{
    struct rig *rig = *state;
    struct rig_decided decided[] = { { .trace = 1, .outcome = rig_kept(4), .is_kept = true, .votes = STR("\x26\x01") },
                                     { .trace = 2, .outcome = 0, .is_kept = true }, { .trace = 3, .outcome = rig_kept(5), .is_kept = true } };
    struct store_decision found[4];
    struct arena arena = { 0 };
    uint8_t id[16];
    size_t n;

    rig_put_decided(rig, decided, 3);
    store_hurry(rig->store);
    rig_turn(rig);
    struct store_view *view = store_view_new(rig->store);
    for (size_t i = 0; i < MG_COUNT(decided); i++) {
        rig_trace_id(decided[i].trace, id);
        assert_int_equal(store_view_decisions(view, id, &arena, found, 4, &n, &rig->why), MG_OK);
        assert_int_equal(n, 1);
        assert_true(found[0].is_kept);
        assert_int_equal(found[0].outcome, decided[i].outcome);
        assert_int_equal(found[0].wall_ns, rig_wall_ns());
        assert_int_equal(found[0].position, rig->position);
        assert_int_equal(found[0].rows, 1);
        assert_true(str_eq(found[0].votes, decided[i].votes));
    }
    store_view_free(&view);
    arena_fini(&arena);
}

static void the_archive_is_asked_last(void **state)
{
    struct rig *rig = *state;
    struct span span;
    const struct span *at = &span;
    struct store_decision found[4];
    struct arena arena = { 0 };
    uint8_t id[16];
    size_t n;

    rig_keep(rig, 1, 2);
    rig_span(1, 1, &span);
    assert_int_equal(store_pin(rig->store, &at, 1, 0, &rig->why), MG_OK);
    RIG_DECIDED(rig, 1, 2);
    rig_span(50, 50, &span); /* only the archive has it any more */
    assert_int_equal(store_pin(rig->store, &at, 1, 0, &rig->why), MG_OK);
    rig_trace_id(50, id);
    struct store_view *view = store_view_new(rig->store);
    assert_int_equal(store_view_decisions(view, id, &arena, found, 4, &n, &rig->why), MG_OK);
    assert_int_equal(n, 1);
    assert_true(found[0].is_kept && found[0].outcome == 0);
    store_view_free(&view);
    arena_fini(&arena);
}

/* --- edges, and when a commit is due -------------------------------------------------------------------- */

static void on_edge(void *owner, struct str parent, struct str child, uint64_t calls, uint64_t errors)
{
    (void)parent;
    (void)child;
    (void)errors;
    *(uint64_t *)owner += calls;
}

static uint64_t calls_of(struct rig *rig)
{
    struct store_view *view = store_view_new(rig->store);
    uint64_t calls = 0;

    assert_int_equal(store_view_edges(view, 0, UINT32_MAX, on_edge, &calls, &rig->why), MG_OK);
    store_view_free(&view);
    return calls;
}

static void dropped_traces_have_edges(void **state)
{
    struct rig *rig = *state;

    rig_drop(rig, 1, 1);
    assert_int_equal(calls_of(rig), 1);
    rig_put_decided(rig, &(struct rig_decided){ .trace = 2 }, 1); /* without an outcome too */
    put_dropped(rig, 3, 5, 1);
    kv_fault_at(3);
    store_hurry(rig->store);
    rig_turn(rig);
    kv_fault_at(0);
    rig_move_mono(30 * RIG_SECOND);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 3);
    assert_int_equal(calls_of(rig), 7);
}

static void dropped_traces_wait_as_long_as_kept_ones(void **state)
{
    struct rig *rig = *state;

    put_dropped(rig, 1, 150, 1); /* more than a block's rows, which they are not */
    rig_turn(rig);
    assert_int_equal(rig->n_done, 0);
    rig_move_mono(rig->conf.block_age_ns - 1);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 0);
    rig_move_mono(1);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 1);
    put_dropped(rig, 1, 10, 1);
    rig_put(rig, 100, 5); /* a block's */
    rig_turn(rig);
    assert_int_equal(rig->n_done, 3);
}

static void two_hundred_thousand_wait_no_longer(void **state)
{
    struct rig *rig = *state;

    for (unsigned i = 0; i < 10; i++)
        put_dropped(rig, 20000 * i, 20000 - (i == 9), 1 + i);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 0); /* one below */
    put_dropped(rig, 1000000, 1, 11);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 11);
    assert_int_equal(stats_of(rig).decisions, 200000);
    RIG_DECIDED(rig, 20005, -2);
    RIG_DECIDED(rig, 1000000, -11);
}

static void an_idle_store_of_decisions_rolls_too(void **state)
{
    struct rig *rig = *state;

    rig_drop(rig, 1, 1);
    rig_move(rig->conf.roll_ns);
    rig_turn(rig);
    assert_int_equal(rig_partitions(rig), 2);
    RIG_DECIDED(rig, 1, -1);
    rig_move(rig->conf.roll_ns);
    rig_turn(rig);
    assert_int_equal(rig_partitions(rig), 2);
}

/* --- failures and crashes ------------------------------------------------------------------------------- */

static void a_crash_between_append_and_commit(void **state)
{
    struct rig *rig = *state;
    uint64_t calls, bytes;

    rig_drop(rig, 1, 1);
    kv_fault_at(0);
    rig_drop(rig, 2, 2);
    calls = kv_fault_calls();
    bytes = rig_why_bytes(rig, 1);
    put_dropped(rig, 3, 40, 3);
    store_hurry(rig->store);
    kv_fault_at(calls); /* the commit itself */
    rig_turn(rig);
    kv_fault_at(0);
    assert_int_equal(rig->n_done, 2);
    assert_int_equal(rig_why_bytes(rig, 1), bytes + decision_run_bytes(40)); /* written, and not counted */
    RIG_UNDECIDED(rig, 3);
    rig_reopen(rig);
    assert_int_equal(rig_why_bytes(rig, 1), bytes);
    RIG_UNDECIDED(rig, 3);
    RIG_DECIDED(rig, 2, -2);
    put_dropped(rig, 3, 2, 4); /* the journal brings others */
    store_hurry(rig->store);
    rig_turn(rig);
    RIG_DECIDED(rig, 3, -4);
    RIG_UNDECIDED(rig, 5);
    rig_reopen(rig);
    RIG_DECIDED(rig, 1, -1);
    RIG_DECIDED(rig, 3, -4);
    assert_int_equal(stats_of(rig).decisions, 4);
}

static void a_failed_commit_s_tail_is_written_over(void **state)
{
    struct rig *rig = *state;
    uint64_t calls;

    rig_drop(rig, 1, 1);
    kv_fault_at(0);
    rig_drop(rig, 2, 2);
    calls = kv_fault_calls();
    put_dropped(rig, 3, 5, 3);
    store_hurry(rig->store);
    kv_fault_at(calls);
    rig_turn(rig);
    kv_fault_at(0);
    put_dropped(rig, 10, 1, 4);
    rig_move_mono(30 * RIG_SECOND);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 4);
    RIG_DECIDED(rig, 3, -3); /* once */
    RIG_DECIDED(rig, 10, -4);
    assert_int_equal(rig_why_bytes(rig, 1), 2 * decision_run_bytes(1) + decision_run_bytes(6));
    rig_reopen(rig);
    RIG_DECIDED(rig, 7, -3);
    RIG_DECIDED(rig, 10, -4);
}

/* A real short write: a file may not grow beyond a limit. */
static void a_full_disk_is_waited_out(void **state)
{
    struct rig *rig = *state;
    struct rlimit limit, before;

    rig_drop(rig, 1, 1);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){ rig_why_bytes(rig, 1) + 100, before.rlim_max };
    put_dropped(rig, 2, 50, 2);
    store_hurry(rig->store);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    rig_turn(rig);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rig->n_done, 1);
    assert_int_equal(metric_get(rig->store->metrics, STORE_failed_commits, 0, 0), 1);
    RIG_UNDECIDED(rig, 2);
    rig_move_mono(30 * RIG_SECOND);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 2);
    RIG_DECIDED(rig, 2, -2);
    RIG_DECIDED(rig, 51, -2);
    rig_reopen(rig);
    RIG_DECIDED(rig, 51, -2);
}

/* Spans, dropped traces, rolls, merges, retention: three partitions in the end, the first having been dropped. Trace 2k is
 * dropped by policy k, trace 2k + 1 kept by it. */
enum { STEPS = 8 };
static void step(struct rig *rig, unsigned k)
{
    struct rig_decided decided[] = { { .trace = 2 * k, .outcome = rig_dropped(k) }, { .trace = 2 * k + 1, .outcome = rig_kept(k), .is_kept = true },
                                     { .trace = 1, .outcome = rig_dropped(k) } };

    if (k % 3 == 0)
        rig_move_wall(rig->conf.roll_ns);
    rig_put_decided(rig, decided, 3);
    store_hurry(rig->store);
    rig_turn(rig);
    rig_move(60 * RIG_SECOND);
    rig_turn(rig);
}

/* Steps up to `last` are there, each once; the one after it may be, whole. */
static unsigned expect_steps(struct rig *rig, unsigned last)
{
    struct store_view *view = store_view_new(rig->store);
    struct store_decision found[64];
    struct arena arena = { 0 };
    uint8_t id[16];
    size_t n;
    unsigned steps = 0;

    for (unsigned k = 1; k <= STEPS; k++) {
        size_t sum = 0;
        for (unsigned is_kept = 0; is_kept < 2; is_kept++) {
            rig_trace_id(2 * k + is_kept, id);
            assert_int_equal(store_view_decisions(view, id, &arena, found, MG_COUNT(found), &n, &rig->why), MG_OK);
            assert_true(n <= 1);
            sum += n;
        }
        if (sum == 1 || (sum == 0) != (k > last + (sum != 0)))
            fail_msg("step %u of %u: %zu decisions", k, last, sum);
        steps += sum == 2;
    }
    rig_trace_id(1, id);
    assert_int_equal(store_view_decisions(view, id, &arena, found, MG_COUNT(found), &n, &rig->why), MG_OK);
    assert_int_equal(n, steps);
    store_view_free(&view);
    arena_fini(&arena);
    return steps;
}

static void no_line(void *owner, struct str line)
{
    (void)owner;
    (void)line;
}

static void one_failed_call_loses_nothing(void **state)
{
    static const int errors[] = { EIO, ENOSPC, FILES_SHORT };
    struct rig *rig = *state;

    for (size_t i = 0; i < MG_COUNT(errors); i++) {
        bool is_over = false;
        for (uint64_t n = 1; !is_over; n++) {
            files_fail_at(n, errors[i]);
            for (unsigned k = 1; k <= STEPS; k++)
                step(rig, k);
            is_over = files_calls() < n;
            files_fail_at(0, 0);
            for (int turns = 0; turns < 8; turns++) {
                rig_move_mono(60 * RIG_SECOND);
                rig_turn(rig);
            }
            assert_int_equal(rig->n_done, STEPS);
            assert_int_equal(expect_steps(rig, STEPS), STEPS);
            assert_int_equal(calls_of(rig), 2 * STEPS);
            for (size_t p = 0; p + 1 < rig_partitions(rig); p++)
                assert_true(rig_partition(rig, p)->is_sealed && rig_partition(rig, p)->decisions.is_merged);
            rig_abandon(rig);
            if (store_check_dir(rig->store_dir, no_line, NULL, &rig->why) != MG_OK)
                fail_msg("call %llu: %s", (unsigned long long)n, rig->why.text);
            rig_open(rig);
            assert_int_equal(expect_steps(rig, STEPS), STEPS);
            assert_int_equal(stats_of(rig).decisions, 2 * STEPS);
            rig_abandon(rig);
            rig_anew(rig);
            assert_true(!is_over || n > 25);
        }
    }
}

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t n;

    if (in < 0 || out < 0)
        fail_msg("%s to %s", from, to);
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        assert_int_equal(write(out, bytes, (size_t)n), n);
    close(in);
    close(out);
}

struct crash { struct rig *rig; char dir[80]; size_t n_done; bool is_taken; };

static void copy_dir(const char *from, const char *to)
{
    DIR *files = opendir(from);
    struct dirent *entry;
    char source[512], target[512];

    (void)mkdir(to, 0700);
    while ((entry = readdir(files))) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        (void)snprintf(target, sizeof target, "%s/%s", to, entry->d_name);
        copy_file(source, target);
    }
    closedir(files);
}

static void take_copy(void *owner)
{
    struct crash *crash = owner;

    crash->n_done = crash->rig->n_done;
    crash->is_taken = true;
    copy_dir(crash->rig->store_dir, crash->dir);
}

static void empty_dir(const char *dir)
{
    DIR *files = opendir(dir);
    struct dirent *entry;
    char path[512];

    while (files && (entry = readdir(files))) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        (void)unlink(path);
    }
    if (files)
        closedir(files);
    (void)rmdir(dir);
}

/* The files as they are at each call, half done, are what a killed process leaves: a start goes on from there. */
static void a_crash_at_any_call_loses_nothing(void **state)
{
    struct rig *rig = *state;
    struct crash crash = { .rig = rig };
    bool is_over = false;

    (void)snprintf(crash.dir, sizeof crash.dir, "%s/copy", rig->dir);
    for (uint64_t n = 1; !is_over; n++) {
        crash.is_taken = false;
        files_look_at(n, take_copy, &crash);
        for (unsigned k = 1; k <= STEPS; k++)
            step(rig, k);
        files_look_at(0, NULL, NULL);
        is_over = !crash.is_taken;
        assert_int_equal(expect_steps(rig, STEPS), STEPS);
        rig_abandon(rig);
        empty_dir(rig->store_dir);
        if (is_over) {
            assert_true(n > 25);
            rig_anew(rig);
            break;
        }
        copy_dir(crash.dir, rig->store_dir);
        empty_dir(crash.dir);
        rig_open(rig);
        unsigned steps = expect_steps(rig, (unsigned)crash.n_done);
        for (unsigned k = steps + 1; k <= STEPS; k++)
            step(rig, k);
        assert_int_equal(expect_steps(rig, STEPS), STEPS);
        rig_abandon(rig);
        if (store_check_dir(rig->store_dir, no_line, NULL, &rig->why) != MG_OK)
            fail_msg("call %llu: %s", (unsigned long long)n, rig->why.text);
        rig_anew(rig);
    }
}

/* --- sealing and recovery ------------------------------------------------------------------------------- */

static void sealing_merges(void **state)
{
    struct rig *rig = *state;
    struct store_view *view;
    struct store_decision found[4];
    struct arena arena = { 0 };
    uint8_t id[16];
    size_t n;

    for (unsigned i = 1; i <= 20; i++)
        rig_drop(rig, 1 + i % 7, i);
    assert_int_equal(rig_partition(rig, 0)->decisions.runs.n, 20);
    view = store_view_new(rig->store); /* it looks before and after */
    rig_move_wall(rig->conf.roll_ns);
    rig_drop(rig, 100, 50);
    RIG_DECIDED(rig, 1, -14, -7);
    rig_retain(rig);
    assert_true(rig_partition(rig, 0)->is_sealed);
    assert_int_equal(rig_partition(rig, 0)->decisions.runs.n, 1);
    assert_int_equal(rig_why_bytes(rig, 1), decision_run_bytes(20));
    RIG_DECIDED(rig, 1, -14, -7);
    RIG_DECIDED(rig, 100, -50);
    rig_trace_id(1, id);
    assert_int_equal(store_view_decisions(view, id, &arena, found, 4, &n, &rig->why), MG_OK);
    assert_int_equal(n, 2);
    store_view_free(&view);
    arena_fini(&arena);
    rig_reopen(rig);
    RIG_DECIDED(rig, 1, -14, -7);
    assert_true(rig_partition(rig, 0)->decisions.is_merged);
    assert_int_equal(stats_of(rig).decisions, 21);
}

/* The rename was the last that happened. */
static void a_merged_file_of_an_unsealed_partition(void **state)
{
    struct rig *rig = *state;
    struct decisions_merge_options options = { .dir = rig->store_dir, .fan_in = 16 };
    struct decision_run run;
    char mdb[128], away[160];
    unsigned damaged;

    for (unsigned i = 1; i <= 5; i++)
        rig_drop(rig, i, i);
    rig_move_wall(rig->conf.roll_ns);
    rig_drop(rig, 6, 6);
    assert_int_equal(decisions_merge(&rig_partition(rig, 0)->decisions, &options, &run, &damaged, &rig->why), MG_OK);
    RIG_DECIDED(rig, 3, -3); /* by a list that is older than the file */
    rig_reopen(rig);
    assert_true(rig_partition(rig, 0)->is_sealed && rig_partition(rig, 0)->decisions.is_merged);
    RIG_DECIDED(rig, 3, -3);
    rig_abandon(rig);
    /* The partition after it is lost: it does not go on, or a run would be appended to a merged one. */
    rig_path(rig, 2, mdb);
    (void)snprintf(away, sizeof away, "%s/away", rig->dir);
    assert_int_equal(rename(mdb, away), 0);
    rig_open(rig);
    RIG_DECIDED(rig, 3, -3);
    RIG_UNDECIDED(rig, 6);
    assert_int_equal(rig_why_bytes(rig, 2), 0); /* without its partition it is swept */
    rig_drop(rig, 7, 7);
    RIG_DECIDED(rig, 7, -7);
    RIG_DECIDED(rig, 5, -5);
    assert_int_equal(unlink(away), 0);
}

static void an_unsealed_merged_newest_does_not_go_on(void **state)
{
    struct rig *rig = *state;
    struct decisions_merge_options options = { .dir = rig->store_dir, .fan_in = 16 };
    struct decision_run run;
    unsigned damaged;

    rig_drop(rig, 1, 1);
    rig_drop(rig, 2, 2);
    assert_int_equal(decisions_merge(&rig_partition(rig, 0)->decisions, &options, &run, &damaged, &rig->why), MG_OK);
    rig_reopen(rig);
    assert_int_equal(rig_partitions(rig), 2);
    assert_true(rig_partition(rig, 0)->is_sealed);
    rig_drop(rig, 3, 3);
    for (int i = 0; i < 2; i++) {
        RIG_DECIDED(rig, 1, -1);
        RIG_DECIDED(rig, 2, -2);
        RIG_DECIDED(rig, 3, -3);
        rig_reopen(rig);
    }
}

static void flip(const struct rig *rig, uint32_t number, uint64_t at)
{
    char path[128];
    uint8_t byte;

    rig_why_path(rig, number, path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void a_damaged_run_takes_no_other(void **state)
{
    struct rig *rig = *state;

    for (unsigned i = 1; i <= 5; i++)
        rig_drop(rig, i, i);
    rig_abandon(rig);
    flip(rig, 1, decision_run_bytes(1)); /* the second's magic */
    flip(rig, 1, 3 * decision_run_bytes(1) + 33); /* a hash of the fourth */
    rig_open(rig);
    assert_int_equal(metric_get(rig->store->metrics, STORE_decisions_damaged, 0, 0), 1);
    RIG_DECIDED(rig, 1, -1);
    RIG_UNDECIDED(rig, 2);
    RIG_DECIDED(rig, 3, -3);
    RIG_UNDECIDED(rig, 4);
    RIG_DECIDED(rig, 5, -5);
    rig_drop(rig, 6, 6);
    rig_move_wall(rig->conf.roll_ns);
    rig_drop(rig, 7, 7);
    rig_retain(rig);
    assert_int_equal(metric_get(rig->store->metrics, STORE_decisions_damaged, 0, 0), 2);
    assert_true(rig_partition(rig, 0)->is_sealed);
    assert_int_equal(rig_partition(rig, 0)->decisions.entries, 4);
    for (unsigned i = 1; i <= 7; i++) {
        if (i == 2 || i == 4)
            RIG_UNDECIDED(rig, i);
        else
            RIG_DECIDED(rig, i, -(int)i);
    }
}

static void a_lost_file_begins_anew(void **state)
{
    struct rig *rig = *state;
    char path[128];

    rig_drop(rig, 1, 1);
    rig_drop(rig, 2, 2);
    rig_abandon(rig);
    rig_why_path(rig, 1, path);
    assert_int_equal(unlink(path), 0);
    rig_open(rig);
    RIG_UNDECIDED(rig, 1);
    rig_drop(rig, 3, 3);
    assert_int_equal(rig_why_bytes(rig, 1), decision_run_bytes(1));
    rig_reopen(rig);
    RIG_DECIDED(rig, 3, -3);
    assert_int_equal(metric_get(rig->store->metrics, STORE_decisions_damaged, 0, 0), 0);
}

static void a_partition_set_aside_keeps_its_decisions(void **state)
{
    struct rig *rig = *state;

    rig_drop(rig, 1, 1);
    rig_move_wall(rig->conf.roll_ns);
    rig_drop(rig, 2, 2);
    rig_retain(rig);
    rig_abandon(rig);
    rig_change(rig, 1, TABLE_META, STR("state"), STR("\x01"));
    rig_open(rig);
    assert_int_equal(rig_why_bytes(rig, 1), decision_run_bytes(1));
    RIG_UNDECIDED(rig, 1);
    RIG_DECIDED(rig, 2, -2);
    rig_retain(rig);
    assert_int_equal(rig_why_bytes(rig, 1), decision_run_bytes(1));
}

/* One failure of the door to LMDB anywhere in the start. */
static void an_error_at_the_start_loses_no_decision(void **state)
{
    struct rig *rig = *state;
    bool is_over = false;

    for (unsigned k = 1; k <= STEPS; k++)
        step(rig, k);
    rig_move_wall(rig->conf.roll_ns);
    rig_drop(rig, 1000, 1); /* the one before is not sealed yet */
    rig_abandon(rig);
    for (uint64_t n = 1; !is_over; n++) {
        kv_fault_at(n);
        enum mg_err err = rig_try_open(rig);
        is_over = kv_fault_calls() < n;
        kv_fault_at(0);
        if (err != MG_OK)
            continue;
        assert_int_equal(expect_steps(rig, STEPS), STEPS);
        RIG_DECIDED(rig, 1000, -1);
        rig_abandon(rig);
    }
    for (uint64_t n = 1; n < 8; n++) { /* and of the files: the start goes on without sealing */
        files_fail_at(n, EIO);
        enum mg_err err = rig_try_open(rig);
        files_fail_at(0, 0);
        if (err != MG_OK)
            continue;
        assert_int_equal(expect_steps(rig, STEPS), STEPS);
        rig_retain(rig);
        rig_abandon(rig);
    }
    rig_open(rig);
    assert_int_equal(expect_steps(rig, STEPS), STEPS);
}

/* A start whose merge fails serves what is there, and seals later. */
static void a_merge_that_fails_at_the_start_is_made_later(void **state)
{
    struct rig *rig = *state;
    bool is_over = false;

    for (uint64_t n = 1; !is_over; n++) {
        for (unsigned i = 1; i <= 3; i++)
            rig_drop(rig, i, i);
        rig_move_wall(rig->conf.roll_ns);
        rig_drop(rig, 4, 4);
        rig_abandon(rig);
        files_fail_at(n, ENOSPC);
        rig_open(rig);
        is_over = files_calls() < n;
        files_fail_at(0, 0);
        assert_int_equal(rig_partition(rig, 0)->is_sealed, is_over);
        for (int k = 1; k <= 4; k++)
            RIG_DECIDED(rig, (uint64_t)k, -k);
        rig_retain(rig);
        assert_true(rig_partition(rig, 0)->is_sealed && rig_partition(rig, 0)->decisions.is_merged);
        for (int k = 1; k <= 4; k++)
            RIG_DECIDED(rig, (uint64_t)k, -k);
        rig_abandon(rig);
        rig_anew(rig);
    }
}

/* --- retention ------------------------------------------------------------------------------------------ */

static void a_dropped_partition_takes_its_decisions(void **state)
{
    struct rig *rig = *state;
    struct store_view *view;
    struct store_decision found[4];
    struct arena arena = { 0 };
    uint8_t id[16];
    size_t n;

    rig_drop(rig, 1, 1);
    rig_keep(rig, 1, 2);
    view = store_view_new(rig->store);
    rig_move(rig->conf.roll_ns);
    rig_drop(rig, 2, 3);
    rig_move(rig->conf.retention_ns - rig->conf.roll_ns);
    rig_retain(rig);
    assert_int_equal(rig_why_bytes(rig, 1), 0);
    assert_false(rig_file_exists(rig, 1, false));
    RIG_UNDECIDED(rig, 1);
    RIG_DECIDED(rig, 2, -3);
    rig_trace_id(1, id); /* who began before still has the spans, and what was decided about them */
    assert_int_equal(store_view_decisions(view, id, &arena, found, 4, &n, &rig->why), MG_OK);
    assert_int_equal(n, 1);
    assert_true(found[0].is_kept);
    store_view_free(&view);
    arena_fini(&arena);
}

static void decisions_max_drops_the_oldest_alone(void **state)
{
    struct rig *rig = *state;
    uint64_t bytes[4], sum = 0;

    for (unsigned i = 0; i < 4; i++) {
        if (i)
            rig_move_wall(rig->conf.roll_ns);
        put_dropped(rig, 1000 * (i + 1), 300, i + 1); /* traces 1 to 8 are rig_commit's */
        rig_commit(rig, 10);
    }
    rig_retain(rig);
    for (size_t i = 0; i < 4; i++)
        sum += bytes[i] = rig_partition(rig, i)->decisions.disk_bytes;
    assert_int_equal(stats_of(rig).decisions_bytes, sum);
    RIG_SET(rig, decisions_max, sum); /* at */
    store_retain(rig->store);
    assert_int_equal(stats_of(rig).decisions, 1200);
    RIG_SET(rig, decisions_max, sum - 1); /* above */
    store_retain(rig->store);
    RIG_UNDECIDED(rig, 1000);
    RIG_DECIDED(rig, 2000, -2);
    assert_int_equal(rig_why_bytes(rig, 1), 0);
    assert_int_equal(stats_of(rig).decisions, 900);
    assert_int_equal(metric_get(rig->store->metrics, STORE_decisions_unlinked, 0, 0), 1);
    RIG_SET(rig, decisions_max, bytes[3]); /* the open one's counts */
    store_retain(rig->store);
    RIG_UNDECIDED(rig, 3000);
    RIG_DECIDED(rig, 4000, -4);
    RIG_SET(rig, decisions_max, 0); /* and it is never dropped */
    store_retain(rig->store);
    RIG_DECIDED(rig, 4000, -4);
    assert_int_equal(rig_partitions(rig), 4);
    rig_expect(rig, 1, 40);
    rig_reopen(rig);
    RIG_UNDECIDED(rig, 2000);
    RIG_DECIDED(rig, 4000, -4);
    assert_int_equal(metric_get(rig->store->metrics, STORE_decisions_damaged, 0, 0), 0);
    rig_expect(rig, 1, 40);
    put_dropped(rig, 99, 1, 9);
    rig_commit(rig, 10);
    RIG_DECIDED(rig, 99, -9);
}

/* Not until the partition is an hour old: at an eighth it is closed, and the oldest goes as soon as the sum is above. */
static void decisions_max_holds_for_the_open_partition_too(void **state)
{
    enum { ROUNDS = 40, EACH = 1000, MOST = 256 << 10 };
    struct rig *rig = *state;
    uint64_t most = 0, file = 0;

    RIG_SET(rig, decisions_max, MOST);
    for (unsigned i = 1; i <= ROUNDS; i++) {
        put_dropped(rig, EACH * i, EACH, 1);
        rig_commit(rig, 5);
        uint64_t bytes = 0;
        for (size_t k = 0; k < rig_partitions(rig); k++) {
            bytes += rig_partition(rig, k)->decisions.disk_bytes;
            file = MG_MAX(file, rig_partition(rig, k)->decisions.disk_bytes);
        }
        assert_true(bytes <= MOST);
        most = MG_MAX(most, bytes);
        RIG_DECIDED(rig, EACH * i, -1);
    }
    assert_true(most > MOST / 2 && file < MOST / 8 + 32 * EACH);
    RIG_UNDECIDED(rig, EACH);
    assert_in_range(rig_partitions(rig), ROUNDS / 3, ROUNDS / 2 + 1);
    assert_true(metric_get(rig->store->metrics, STORE_decisions_unlinked, 0, 0) > 0);
    rig_expect(rig, 1, 5 * ROUNDS);
    rig_reopen(rig); /* some were dropped before they were sealed */
    RIG_UNDECIDED(rig, EACH);
    RIG_DECIDED(rig, EACH * ROUNDS, -1);
    assert_int_equal(metric_get(rig->store->metrics, STORE_decisions_damaged, 0, 0), 0);
    rig_expect(rig, 1, 5 * ROUNDS);
}

/* At an eighth the partition is closed by the next commit, below it is not. */
static void an_eighth_of_decisions_max_closes_a_partition(void **state)
{
    struct rig *rig = *state;

    put_dropped(rig, 1000, 1000, 1);
    rig_commit(rig, 5);
    RIG_SET(rig, decisions_max, (rig_partition(rig, 0)->decisions.disk_bytes + 1) * 8);
    rig_commit(rig, 5);
    assert_int_equal(rig_partitions(rig), 1);
    RIG_SET(rig, decisions_max, rig->conf.decisions_max - 8);
    rig_commit(rig, 5);
    assert_int_equal(rig_partitions(rig), 2);
    rig_commit(rig, 5); /* the new one has none */
    rig_commit(rig, 5);
    assert_int_equal(rig_partitions(rig), 2);
}

/* One commit may bring more than all that may be kept: then the partition is closed at once, without waiting for another batch. */
static void a_commit_above_decisions_max_does_not_stay(void **state)
{
    struct rig *rig = *state;

    RIG_SET(rig, decisions_max, 4096);
    put_dropped(rig, 1000, 1000, 1);
    rig_commit(rig, 5);
    RIG_DECIDED(rig, 1000, -1);
    rig_turn(rig);
    assert_int_equal(rig_partitions(rig), 2);
    RIG_UNDECIDED(rig, 1000);
    assert_int_equal(rig_why_bytes(rig, 1), 0);
    for (int i = 0; i < 3; i++)
        rig_turn(rig);
    assert_int_equal(rig_partitions(rig), 2);
    rig_expect(rig, 1, 5);
}

/* 0: those of the open partition, which is not closed for them. */
static void no_decisions_max_keeps_the_open_partitions(void **state)
{
    struct rig *rig = *state;

    RIG_SET(rig, decisions_max, 0);
    for (unsigned i = 1; i <= 3; i++) {
        put_dropped(rig, 1000 * i, 10, 1);
        rig_commit(rig, 5);
        rig_turn(rig);
    }
    assert_int_equal(rig_partitions(rig), 1);
    RIG_DECIDED(rig, 1000, -1);
    rig_roll(rig, 5);
    RIG_UNDECIDED(rig, 1000);
    assert_int_equal(rig_why_bytes(rig, 1), 0);
    rig_expect(rig, 1, 20);
}

static void disk_max_counts_decisions(void **state)
{
    struct rig *rig = *state;
    uint64_t sum = 0;

    put_dropped(rig, 100, 3000, 1);
    rig_commit(rig, 10);
    rig_move_wall(rig->conf.roll_ns);
    put_dropped(rig, 5000, 3000, 2);
    rig_commit(rig, 10);
    rig_retain(rig);
    for (size_t i = 0; i < 2; i++)
        sum += partition_disk_bytes(rig_partition(rig, i));
    assert_int_equal(stats_of(rig).disk_bytes, sum);
    assert_true(rig_partition(rig, 0)->decisions.disk_bytes >= 60000);
    RIG_SET(rig, disk_max, sum);
    store_retain(rig->store);
    assert_int_equal(rig_partitions(rig), 2);
    RIG_SET(rig, disk_max, sum - 1);
    store_retain(rig->store);
    assert_int_equal(rig_partitions(rig), 1);
    RIG_UNDECIDED(rig, 100);
    RIG_DECIDED(rig, 5000, -2);
    RIG_SET(rig, disk_max, partition_disk_bytes(rig_partition(rig, 0)) * 16); /* large enough to roll, by its decisions */
    rig_drop(rig, 9000, 3);
    assert_int_equal(rig_partitions(rig), 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_dropped_trace_is_no_span_and_is_known), T(an_outcome_of_nothing_is_no_entry), T(without_sampling_there_is_no_file),
        T(decisions_come_newest_first_from_everywhere), T(only_the_newest_that_fit_are_told), T(a_trace_of_many_decisions_is_answered),
        T(a_kept_trace_says_all_of_its_decision), T(the_archive_is_asked_last), T(dropped_traces_have_edges),
        T(dropped_traces_wait_as_long_as_kept_ones), T(two_hundred_thousand_wait_no_longer), T(an_idle_store_of_decisions_rolls_too),
        T(a_crash_between_append_and_commit), T(a_failed_commit_s_tail_is_written_over), T(a_full_disk_is_waited_out),
        T(one_failed_call_loses_nothing), T(a_crash_at_any_call_loses_nothing), T(sealing_merges), T(a_merged_file_of_an_unsealed_partition),
        T(an_unsealed_merged_newest_does_not_go_on), T(a_damaged_run_takes_no_other), T(a_lost_file_begins_anew),
        T(a_partition_set_aside_keeps_its_decisions), T(an_error_at_the_start_loses_no_decision), T(a_merge_that_fails_at_the_start_is_made_later),
        T(a_dropped_partition_takes_its_decisions), T(decisions_max_drops_the_oldest_alone), T(decisions_max_holds_for_the_open_partition_too),
        T(an_eighth_of_decisions_max_closes_a_partition), T(a_commit_above_decisions_max_does_not_stay), T(no_decisions_max_keeps_the_open_partitions), T(disk_max_counts_decisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
