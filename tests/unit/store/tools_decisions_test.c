/* check, dump and stats of decisions on a stopped directory: sound, damaged, and dropped alone. */
#include "unit/store/store_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "codec/hash.h"
#include "store/tools.h"

struct lines { VEC(char *) at; };

static void on_line(void *owner, struct str line)
{
    struct lines *lines = owner;

    VEC_PUSH(&lines->at, str_text(line));
}

static void lines_fini(struct lines *lines)
{
    for (size_t i = 0; i < lines->at.n; i++)
        mem_free(lines->at.at[i]);
    VEC_FINI(&lines->at);
}

static size_t lines_with(const struct lines *lines, const char *text)
{
    size_t n = 0;

    for (size_t i = 0; i < lines->at.n; i++)
        n += strstr(lines->at.at[i], text) != NULL;
    return n;
}

/* Two partitions: 000001 sealed with five decisions of three commits, 000002 open with two runs of one; a kept trace in each. */
static void make_store(struct rig *rig)
{
    struct rig_decided three[] = { { .trace = 1, .outcome = rig_dropped(1) }, { .trace = 2, .outcome = rig_dropped(2) }, { .trace = 3, .outcome = rig_dropped(3) } };

    rig_put_decided(rig, three, 3);
    rig_keep(rig, 10, 9);
    rig_drop(rig, 1, 4);
    rig_drop(rig, 5, 5);
    rig_move_wall(rig->conf.roll_ns);
    rig_drop(rig, 6, 6);
    rig_keep(rig, 11, 8);
    rig_drop(rig, 7, 7);
    rig_retain(rig);
    rig_abandon(rig);
}

static void a_sound_store_passes(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };

    make_store(rig);
    if (store_check_dir(rig->store_dir, on_line, &lines, &rig->why) != MG_OK)
        fail_msg("%s", rig->why.text);
    assert_int_equal(lines_with(&lines, "000001.mdb: sealed, commit 3, 1 blocks, 1 traces, 1 spans, 0 faults"), 1);
    assert_int_equal(lines_with(&lines, "000001.why: merged, 5 decisions, 0 faults"), 1);
    assert_int_equal(lines_with(&lines, "000002.why: not merged, 2 decisions, 0 faults"), 1);
    assert_int_equal(lines.at.n, 5);
    lines_fini(&lines);
    rig_open(rig);
    RIG_DECIDED(rig, 7, -7); /* and it was left as it was */
}

static void what_is_beyond_the_state_is_no_fault(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };
    char path[128];

    make_store(rig);
    rig_why_path(rig, 2, path);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "torn", 4), 4);
    close(fd);
    rig_why_path(rig, 1, path);
    assert_int_equal(unlink(path), 0); /* dropped alone */
    if (store_check_dir(rig->store_dir, on_line, &lines, &rig->why) != MG_OK)
        fail_msg("%s", rig->why.text);
    assert_int_equal(lines_with(&lines, ".why"), 1);
    lines_fini(&lines);
    rig_open(rig);
}

/* A byte is changed, and the run's checksum made right again when `is_resealed`. */
static void change(const struct rig *rig, uint32_t number, uint64_t run_at, uint32_t entries, uint64_t at, uint8_t flip, bool is_resealed)
{
    uint8_t bytes[1024];
    size_t len = (size_t)decision_run_bytes(entries);
    struct hash64_stream *stream = hash64_new();
    char path[128];

    rig_why_path(rig, number, path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, bytes, len, (off_t)run_at), len);
    bytes[at] ^= flip;
    if (is_resealed) {
        hash64_begin(stream, 7);
        hash64_add(stream, bytes, 24);
        hash64_add(stream, bytes + 32, len - 32);
        put_le64(bytes + 24, hash64_end(stream));
    }
    assert_int_equal(pwrite(fd, bytes, len, (off_t)run_at), len);
    close(fd);
    hash64_free(&stream);
}

static void damage_is_found(void **state)
{
    static const struct { uint32_t number, run, entries; uint64_t at; uint8_t flip; bool is_resealed; const char *says; } cases[] = {
        { 1, 0, 5, 40, 1, false, "run at byte 0: decisions: the checksum" },
        { 1, 0, 5, 32 + 7, 0xff, true, "its hashes are not sorted" },
        { 1, 0, 5, 32 + 40, 1, true, "an outcome is none of a dropped trace" }, /* as if it were kept */
        { 1, 0, 5, 32 + 47, 0x80, true, "an outcome is none of a dropped trace" },
        { 1, 0, 5, 16, 0x40, true, "its commit 67 is not one after 0 and up to the state's 3" },
        { 1, 0, 5, 12, 1, true, "1 places before byte 196" }, /* the flag: shorter than the state says, and not merged */
        { 1, 0, 5, 0, 1, false, "places before byte" },
        { 2, 0, 1, 8, 1, false, "1 places before byte" },
        { 2, 0, 1, 14, 1, true, "1 places before byte" },
        { 2, 1, 1, 24, 1, false, "run at byte 52: decisions: the checksum" },
        { 2, 1, 1, 16, 0x10, true, "run at byte 52: its commit 22 is not one after 4" },
        { 2, 1, 1, 16, 7, true, "run at byte 52: its commit 1 is not one after 4" },
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct lines lines = { { 0 } };
        make_store(rig);
        change(rig, cases[i].number, cases[i].run * decision_run_bytes(1), cases[i].entries, cases[i].at, cases[i].flip, cases[i].is_resealed);
        assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_E_FORMAT);
        if (!strstr(rig->why.text, ".why: ") || lines_with(&lines, cases[i].says) != 1) {
            for (size_t k = 0; k < lines.at.n; k++)
                printf("%s\n", lines.at.at[k]);
            fail_msg("case %zu: %s", i, rig->why.text);
        }
        lines_fini(&lines);
        rig_anew(rig);
    }
}

static void runs_of_a_sealed_partition_must_be_merged(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };

    rig_drop(rig, 1, 1);
    rig_abandon(rig);
    rig_change(rig, 1, TABLE_META, STR("sealed"), STR(""));
    assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_E_FORMAT);
    assert_int_equal(lines_with(&lines, "its partition is sealed, and its runs are not merged"), 1);
    lines_fini(&lines);
    rig_open(rig); /* they are read all the same */
    RIG_DECIDED(rig, 1, -1);
}

static void malformed_rules_are_a_fault(void **state)
{
    static const struct { struct str key; const char *says; } cases[] = { { STR_INIT("\0\0\0\0"), "generation 0 of" }, { STR_INIT("\1\0\0\0"), "generation 16777216 of" },
                                                                         { STR_INIT("x"), "generation 0 of" } };
    struct rig *rig = *state;
    struct kv_txn *txn;

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct lines lines = { { 0 } };
        rig_commit(rig, 10);
        assert_int_equal(kv_begin(&txn, rig_partition(rig, 0)->env, true, NULL), MG_OK);
        assert_int_equal(kv_put(txn, TABLE_GEN, cases[i].key, STR("text"), NULL), MG_OK);
        assert_int_equal(kv_commit(&txn, NULL), MG_OK);
        rig_abandon(rig);
        assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_E_FORMAT);
        assert_int_equal(lines_with(&lines, cases[i].says), 1);
        lines_fini(&lines);
        rig_anew(rig);
    }
}

static void a_dump_has_every_decision(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };
    char want[400];
    uint8_t id[16];

    make_store(rig);
    assert_int_equal(store_dump_decisions_dir(rig->store_dir, NULL, on_line, &lines, &rig->why), MG_OK);
    assert_int_equal(lines.at.n, 9);
    assert_int_equal(lines_with(&lines, "\"verdict\":\"dropped\""), 7);
    assert_int_equal(lines_with(&lines, "\"verdict\":\"kept\""), 2);
    rig_trace_id(7, id);
    (void)snprintf(want, sizeof want,
                   "{\"hash\":\"%016llx\",\"verdict\":\"dropped\",\"reason\":\"drop\",\"trigger\":\"root\",\"policy\":7,\"probability\":0,\"rules\":1,\"time\":1700003600}",
                   (unsigned long long)trace_hash(id));
    assert_int_equal(lines_with(&lines, want), 1);
    rig_trace_id(10, id);
    (void)snprintf(want, sizeof want,
                   "{\"hash\":\"%016llx\",\"trace_id\":\"0000000000000000000000000000000a\",\"verdict\":\"kept\",\"reason\":\"policy\",\"trigger\":\"root\","
                   "\"policy\":9,\"probability\":1,\"rules\":1,\"time\":1700000000}",
                   (unsigned long long)trace_hash(id));
    assert_int_equal(lines_with(&lines, want), 1);
    lines_fini(&lines);
    static const struct { uint64_t trace; size_t n; } cases[] = { { 1, 2 }, { 6, 1 }, { 10, 1 }, { 99, 0 } };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig_trace_id(cases[i].trace, id);
        assert_int_equal(store_dump_decisions_dir(rig->store_dir, id, on_line, &lines, &rig->why), MG_OK);
        assert_int_equal(lines.at.n, cases[i].n);
        lines_fini(&lines);
    }
    rig_open(rig);
}

static void a_dump_goes_past_damage(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };

    make_store(rig);
    change(rig, 2, 0, 1, 33, 1, false);
    assert_int_equal(store_dump_decisions_dir(rig->store_dir, NULL, on_line, &lines, &rig->why), MG_E_FORMAT);
    assert_non_null(strstr(rig->why.text, "000002.why"));
    assert_int_equal(lines.at.n, 8);
    lines_fini(&lines);
    assert_int_equal(store_dump_decisions_dir("/nowhere/at/all", NULL, on_line, &lines, &rig->why), MG_E_IO);
    assert_int_equal(lines.at.n, 0);
    rig_open(rig);
}

static void stats_have_a_line_for_them(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };
    char want[64];

    rig_commit(rig, 10);
    rig_abandon(rig);
    assert_int_equal(store_stats_dir(rig->store_dir, on_line, &lines, &rig->why), MG_OK);
    assert_int_equal(lines_with(&lines, "decisions"), 0);
    lines_fini(&lines);
    rig_anew(rig);
    make_store(rig);
    assert_int_equal(store_stats_dir(rig->store_dir, on_line, &lines, &rig->why), MG_OK);
    assert_int_equal(lines_with(&lines, "7 decisions about dropped traces"), 1);
    (void)snprintf(want, sizeof want, "%14llu %14llu", (unsigned long long)(decision_run_bytes(5) + 2 * decision_run_bytes(1)),
                   (unsigned long long)(decision_run_bytes(5) + 2 * decision_run_bytes(1)));
    assert_int_equal(lines_with(&lines, want), 1);
    lines_fini(&lines);
    rig_open(rig);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_sound_store_passes), T(what_is_beyond_the_state_is_no_fault), T(damage_is_found), T(runs_of_a_sealed_partition_must_be_merged),
        T(malformed_rules_are_a_fault), T(a_dump_has_every_decision), T(a_dump_goes_past_damage), T(stats_have_a_line_for_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
