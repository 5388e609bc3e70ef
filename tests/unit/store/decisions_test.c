/* The file of decisions by itself: its bytes, what is found in it, and what damage takes with it. */
#include "unit/store/store_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "codec/hash.h"
#include "unit/store/files.h"

enum { NUMBER = 7 };

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

static void append(struct decisions *decisions, struct decision *entries, uint32_t n, uint64_t commit)
{
    const struct decision_run run = { .at = decisions->length, .commit = commit, .n = n };
    struct mg_why why;

    for (uint32_t i = 0; i < n; i++)
        entries[i].order = i;
    if (decisions_append(decisions, entries, &run, &why) != MG_OK)
        fail_msg("%s", why.text);
    decisions_added(decisions, &run);
}

/* Run `commit` of n entries: hashes from 1000 * commit on, all with the time commit. */
static void append_some(struct decisions *decisions, uint64_t commit, uint32_t n)
{
    struct decision *entries = mem_zero(n, sizeof *entries);

    for (uint32_t i = 0; i < n; i++)
        entries[i] = (struct decision){ .hash = commit * 1000 + i, .word = rig_dropped((unsigned)commit), .time_s = (uint32_t)commit };
    append(decisions, entries, n, commit);
    mem_free(entries);
}

static size_t find(const struct decisions *decisions, uint64_t hash, struct decision *out, size_t room)
{
    struct decision_run merged;
    struct mg_why why;
    size_t n, sum = 0;
    int fd;

    assert_int_equal(decisions_open(decisions->path, &fd, &merged, &why), MG_OK);
    for (size_t i = decisions->runs.n; fd >= 0 && i-- > 0;) {
        if (decisions_find(fd, &decisions->runs.at[i], hash, out + sum, room - sum, &n, &why) != MG_OK)
            fail_msg("%s", why.text);
        sum += n;
    }
    if (fd >= 0)
        close(fd);
    return sum;
}

static bool has(const struct decisions *decisions, uint64_t commit)
{
    struct decision found[4];

    return find(decisions, commit * 1000, found, 4) == 1 && found[0].time_s == commit;
}

static void read_again(struct rig *rig, struct decisions *decisions, uint64_t length)
{
    decisions_fini(decisions);
    decisions_init(decisions, rig->store_dir, NUMBER);
    decisions_read(decisions, length);
}

/* --- bytes ---------------------------------------------------------------------------------------------- */

static void a_run_is_what_the_format_says(void **state)
{
    struct rig *rig = *state;
    struct decisions decisions;
    struct decision entries[] = { { .hash = 0x1122334455667788, .word = 5, .time_s = 9 }, { .hash = 2, .word = 3, .time_s = 8 } };
    uint8_t want[72] = "MGWHY\0\x01\0" "\x02\0\0\0" "\0\0\0\0" "\x0b\0\0\0\0\0\0\0" "????????"
                       "\x02\0\0\0\0\0\0\0" "\x88\x77\x66\x55\x44\x33\x22\x11" "\x03\0\0\0\0\0\0\0" "\x05\0\0\0\0\0\0\0" "\x08\0\0\0" "\x09\0\0\0";
    uint8_t got[100];
    struct hash64_stream *stream = hash64_new();

    begin(rig, &decisions);
    append(&decisions, entries, 2, 11);
    hash64_begin(stream, 7);
    hash64_add(stream, want, 24);
    hash64_add(stream, want + 32, 40);
    put_le64(want + 24, hash64_end(stream));
    hash64_free(&stream);
    int fd = open(decisions.path, O_RDONLY);
    assert_int_equal(read(fd, got, sizeof got), 72);
    assert_memory_equal(got, want, 72);
    struct stat file;
    assert_int_equal(fstat(fd, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    close(fd);
    end(rig, &decisions);
}

/* --- finding -------------------------------------------------------------------------------------------- */

/* Random hashes, hashes in heaps that no guess expects, and ones that stand there many times. */
static uint64_t hash_of(struct random *random, unsigned kind, uint32_t i)
{
    switch (kind) {
    case 0: return random_u64(random);
    case 1: return random_below(random, 50);
    case 2: return i % 3 ? random_below(random, 1000) << 50 : UINT64_MAX - random_below(random, 1000);
    default: return i % 2 ? 0 : UINT64_MAX;
    }
}

static int by_hash_and_order(const void *a, const void *b)
{
    const struct decision *left = a, *right = b;

    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return left->order < right->order ? -1 : left->order > right->order;
}

static void expect_found(const struct decisions *decisions, const struct decision *sorted, uint32_t n, uint64_t hash)
{
    struct decision found[4];
    size_t end = n, got = find(decisions, hash, found, MG_COUNT(found)), want = 0;

    while (end > 0 && sorted[end - 1].hash > hash)
        end--;
    while (want < MG_COUNT(found) && end > want && sorted[end - 1 - want].hash == hash)
        want++;
    assert_int_equal(got, want);
    for (size_t i = 0; i < want; i++) {
        assert_int_equal(found[i].hash, hash);
        assert_int_equal(found[i].word, sorted[end - 1 - i].word);
        assert_int_equal(found[i].time_s, sorted[end - 1 - i].time_s);
    }
}

static void every_hash_is_found_and_no_other(void **state)
{
    static const uint32_t lengths[] = { 1, 2, 511, 512, 513, 1024, 1025, 20000 };
    struct rig *rig = *state;
    struct decisions decisions;
    struct random random;

    random_init(&random, 3);
    begin(rig, &decisions);
    for (size_t k = 0; k < MG_COUNT(lengths) * 4; k++) {
        uint32_t n = lengths[k / 4];
        struct decision *entries = mem_zero(n, sizeof *entries);
        for (uint32_t i = 0; i < n; i++)
            entries[i] = (struct decision){ .hash = hash_of(&random, k % 4, i), .word = i + 1, .time_s = i / 7, .order = i };
        append(&decisions, entries, n, 1);
        qsort(entries, n, sizeof *entries, by_hash_and_order);
        for (uint32_t i = 0; i < n; i += 1 + n / 300) {
            expect_found(&decisions, entries, n, entries[i].hash);
            expect_found(&decisions, entries, n, entries[i].hash + 1);
            expect_found(&decisions, entries, n, entries[i].hash - 1);
        }
        for (int i = 0; i < 20; i++)
            expect_found(&decisions, entries, n, random_u64(&random));
        expect_found(&decisions, entries, n, 0);
        expect_found(&decisions, entries, n, UINT64_MAX);
        mem_free(entries);
        decisions_unlink(&decisions);
        decisions_forget(&decisions);
    }
    end(rig, &decisions);
}

/* --- what is read back ---------------------------------------------------------------------------------- */

static void what_was_not_committed_is_cut_off(void **state)
{
    struct rig *rig = *state;
    struct decisions decisions;

    begin(rig, &decisions);
    append_some(&decisions, 1, 10);
    append_some(&decisions, 2, 5);
    uint64_t good = decisions.length;
    append_some(&decisions, 3, 600);
    read_again(rig, &decisions, good);
    assert_int_equal(decisions.runs.n, 2);
    assert_int_equal(decisions.entries, 15);
    assert_int_equal(decisions.damaged, 0);
    assert_true(has(&decisions, 1) && has(&decisions, 2) && !has(&decisions, 3));
    assert_true(rig_why_bytes(rig, NUMBER) > good);
    decisions_cut(&decisions);
    assert_int_equal(rig_why_bytes(rig, NUMBER), good);
    append_some(&decisions, 4, 20);
    read_again(rig, &decisions, decisions.length);
    assert_int_equal(decisions.runs.n, 3);
    assert_true(has(&decisions, 1) && has(&decisions, 2) && has(&decisions, 4));
    end(rig, &decisions);
}

static void a_file_that_is_not_there_is_empty(void **state)
{
    struct rig *rig = *state;
    struct decisions decisions;
    struct decision found[1];

    begin(rig, &decisions);
    decisions_read(&decisions, 4096); /* dropped alone */
    assert_int_equal(decisions.runs.n + decisions.damaged, 0);
    assert_int_equal(decisions.length, 0);
    assert_int_equal(find(&decisions, 1, found, 1), 0);
    decisions_cut(&decisions);
    append_some(&decisions, 1, 3);
    assert_int_equal(rig_why_bytes(rig, NUMBER), DECISION_HEAD_BYTES + 3 * DECISION_BYTES);
    end(rig, &decisions);
}

static void put_byte(const struct decisions *decisions, uint64_t at, uint8_t flip)
{
    int fd = open(decisions->path, O_RDWR);
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= flip;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

/* Five runs; one byte of the head of one is wrong: the others are found. */
static void a_damaged_head_hides_no_other_run(void **state)
{
    static const struct { unsigned at; uint8_t flip; } places[] = { { 0, 1 }, { 5, 1 }, { 6, 2 }, { 8, 1 }, { 8, 8 }, { 9, 1 }, { 11, 0x80 }, { 12, 1 }, { 15, 1 } };
    struct rig *rig = *state;
    struct decisions decisions;

    begin(rig, &decisions);
    for (size_t i = 0; i < MG_COUNT(places) * 5; i++) {
        uint64_t which = i % 5, length;
        for (uint64_t run = 1; run <= 5; run++)
            append_some(&decisions, run, 40);
        length = decisions.length;
        put_byte(&decisions, which * decision_run_bytes(40) + places[i / 5].at, places[i / 5].flip);
        read_again(rig, &decisions, length);
        assert_int_equal(decisions.damaged, 1);
        for (uint64_t run = 1; run <= 5; run++)
            if (has(&decisions, run) != (run != which + 1))
                fail_msg("case %zu: run %llu is %s", i, (unsigned long long)run, run == which + 1 ? "there" : "gone");
        assert_int_equal(decisions.length, length); /* and what comes next goes behind */
        append_some(&decisions, 6, 40);
        read_again(rig, &decisions, decisions.length);
        assert_true(has(&decisions, 6));
        decisions_unlink(&decisions);
        decisions_forget(&decisions);
        decisions.damaged = 0;
    }
    end(rig, &decisions);
}

static void a_file_that_is_cut_keeps_its_whole_runs(void **state)
{
    struct rig *rig = *state;
    struct decisions decisions;

    begin(rig, &decisions);
    for (uint64_t cut = 0; cut < decision_run_bytes(3) * 3; cut += 13) {
        for (uint64_t run = 1; run <= 3; run++)
            append_some(&decisions, run, 3);
        uint64_t length = decisions.length;
        assert_int_equal(truncate(decisions.path, (off_t)cut), 0);
        read_again(rig, &decisions, length);
        assert_true(decisions.damaged >= 1);
        for (uint64_t run = 1; run <= 3; run++)
            assert_int_equal(has(&decisions, run), cut >= run * decision_run_bytes(3));
        decisions_unlink(&decisions);
        decisions_forget(&decisions);
        decisions.damaged = 0;
    }
    end(rig, &decisions);
}

/* A hash may be chosen so that it looks like a run's beginning. */
static void what_only_looks_like_a_run_is_none(void **state)
{
    struct rig *rig = *state;
    struct decisions decisions;
    struct decision trap[] = { { .hash = get_le64("MGWHY\0\x01"), .word = 3, .time_s = 1 }, { .hash = get_le64("MGWHY\0\x01") + 1, .word = 3 } };

    begin(rig, &decisions);
    append(&decisions, trap, 2, 1);
    append_some(&decisions, 2, 4);
    put_byte(&decisions, 0, 1);
    read_again(rig, &decisions, decisions.length);
    assert_int_equal(decisions.runs.n, 1);
    assert_true(has(&decisions, 2));
    end(rig, &decisions);
}

static void rubbish_is_no_run(void **state)
{
    struct rig *rig = *state;
    struct decisions decisions;
    struct random random;
    uint8_t bytes[5000];

    random_init(&random, 9);
    begin(rig, &decisions);
    for (int i = 0; i < 30; i++) {
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (uint8_t)random_u64(&random);
        memcpy(bytes + (i % 2 ? 0 : 700), "MGWHY\0\x01\0\x01\0\0\0\0\0\0\0", 16);
        int fd = open(decisions.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
        close(fd);
        read_again(rig, &decisions, sizeof bytes);
        assert_true(decisions.damaged >= 1);
        assert_true(decisions.runs.n == 0);
    }
    end(rig, &decisions);
}

/* --- failures ------------------------------------------------------------------------------------------- */

static void a_failed_append_is_made_again_at_its_place(void **state)
{
    static const int errors[] = { ENOSPC, EIO, FILES_SHORT };
    struct rig *rig = *state;
    struct decisions decisions;
    struct decision entries[50] = { { 0 } };
    struct mg_why why;

    begin(rig, &decisions);
    for (size_t i = 0; i < MG_COUNT(errors) * 2; i++) { /* the file's first run, and a later one */
        if (i % 2)
            append_some(&decisions, 1, 7);
        uint64_t n = 0, before = decisions.length;
        const struct decision_run run = { .at = before, .commit = 2, .n = 50 };
        enum mg_err err;
        do {
            for (uint32_t k = 0; k < 50; k++)
                entries[k] = (struct decision){ .hash = 2000 + k, .word = rig_dropped(2), .time_s = 2, .order = k };
            files_fail_at(++n, errors[i / 2]);
            err = decisions_append(&decisions, entries, &run, &why);
            assert_int_equal(err == MG_OK, files_calls() < n);
            files_fail_at(0, 0);
            if (err != MG_OK) {
                assert_int_equal(err, MG_E_IO);
                assert_non_null(strstr(why.text, "000007.why"));
                assert_int_equal(decisions.length, before);
                assert_int_equal(decisions.runs.n, i % 2);
            }
        } while (err != MG_OK);
        assert_true(n >= 3);
        decisions_added(&decisions, &run);
        read_again(rig, &decisions, decisions.length);
        assert_int_equal(decisions.damaged, 0);
        assert_int_equal(decisions.length, before + decision_run_bytes(50));
        assert_int_equal(has(&decisions, 1), i % 2);
        assert_true(has(&decisions, 2));
        decisions_unlink(&decisions);
        decisions_forget(&decisions);
    }
    end(rig, &decisions);
}

/* --- sweeping ------------------------------------------------------------------------------------------- */

static void only_left_overs_are_swept(void **state)
{
    static const struct { const char *name; bool stays; } files[] = {
        { "000001.why", true }, { "000002.why", false }, { "000001.why.tmp", false }, { "000009.why.tmp", false }, { "notes.why", true },
        { "pins.why", true },   { "000000.why", true },  { "000003.mdb-x", true },
    };
    struct rig *rig = *state;
    char path[160];

    rig_abandon(rig); /* 000001.mdb is there */
    for (size_t i = 0; i < MG_COUNT(files); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", rig->store_dir, files[i].name);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    decisions_sweep(rig->store_dir);
    decisions_sweep("/nowhere/at/all");
    for (size_t i = 0; i < MG_COUNT(files); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", rig->store_dir, files[i].name);
        if ((access(path, F_OK) == 0) != files[i].stays)
            fail_msg("%s", files[i].name);
    }
    rig_open(rig);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_run_is_what_the_format_says), T(every_hash_is_found_and_no_other), T(what_was_not_committed_is_cut_off),
        T(a_file_that_is_not_there_is_empty), T(a_damaged_head_hides_no_other_run), T(a_file_that_is_cut_keeps_its_whole_runs),
        T(what_only_looks_like_a_run_is_none), T(rubbish_is_no_run), T(a_failed_append_is_made_again_at_its_place), T(only_left_overs_are_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
