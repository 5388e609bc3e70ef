/* check, dump and stats on a stopped directory: sound, damaged, and half made. */
#include "unit/store/store_rig.h"

#include <stdio.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "model/otlp_json.h"
#include "model/otlp_scan.h"
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

static const char *last_line(const struct lines *lines)
{
    return lines->at.n ? lines->at.at[lines->at.n - 1] : "";
}

static size_t lines_with(const struct lines *lines, const char *text)
{
    size_t n = 0;

    for (size_t i = 0; i < lines->at.n; i++)
        n += strstr(lines->at.at[i], text) != NULL;
    return n;
}

/* Spans 1 to 30 in two partitions, three blocks; the store is closed. */
static void make_store(struct rig *rig)
{
    rig_commit(rig, 10);
    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_retain(rig);
    rig_abandon(rig);
}

/* --- check ------------------------------------------------------------------------------------------ */

static void a_sound_store_passes(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };

    make_store(rig);
    assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_OK);
    assert_int_equal(lines.at.n, 3);
    assert_non_null(strstr(lines.at.at[0], "000001.mdb: sealed, commit 2, 2 blocks, 4 traces, 20 spans, 0 faults"));
    assert_non_null(strstr(lines.at.at[1], "000002.mdb: not sealed, commit 3, 1 blocks, 2 traces, 10 spans, 0 faults"));
    assert_string_equal(lines.at.at[2], "2 partitions, 3 blocks, 6 traces, 30 spans, 0 faults");
    lines_fini(&lines);
    rig_open(rig);
    rig_expect(rig, 1, 30); /* and it was left as it was */
}

static void a_file_never_committed_to_is_no_fault(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };

    rig_abandon(rig); /* 000001.mdb, a version and nothing else */
    assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_OK);
    assert_string_equal(last_line(&lines), "0 partitions, 0 blocks, 0 traces, 0 spans, 0 faults");
    rig_truncate(rig, 1, 0);
    assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_OK);
    assert_int_equal(store_dump_dir(rig->store_dir, NULL, on_line, &lines, &rig->why), MG_OK);
    assert_int_equal(store_stats_dir(rig->store_dir, on_line, &lines, &rig->why), MG_OK);
    lines_fini(&lines);
    rig_open(rig);
}

static void a_directory_that_is_not_there_is_told(void **state)
{
    struct lines lines = { { 0 } };
    struct mg_why why;

    (void)state;
    assert_int_equal(store_check_dir("/nowhere/at/all", on_line, &lines, &why), MG_E_IO);
    assert_non_null(strstr(why.text, "/nowhere/at/all"));
    assert_int_equal(store_dump_dir("/nowhere/at/all", NULL, on_line, &lines, &why), MG_E_IO);
    assert_int_equal(store_stats_dir("/nowhere/at/all", on_line, &lines, &why), MG_E_IO);
    assert_int_equal(lines.at.n, 0);
}

static void flip_last(struct buf *value) { value->ptr[value->len - 9] ^= 1; }
static void flip_first(struct buf *value) { value->ptr[0] ^= 1; }
static void cut(struct buf *value) { value->len -= 1; }
static void empty(struct buf *value) { value->len = 0; }

static void damage_is_found_and_the_rest_is_checked(void **state)
{
    static const struct { unsigned table; void (*damage)(struct buf *value); const char *says; } cases[] = {
        { TABLE_BLK, flip_last, "000001.mdb: block 1: " }, { TABLE_BLK, flip_first, "000001.mdb: block 1: " },
        { TABLE_BLK, cut, "000001.mdb: block 1: " },       { TABLE_BLK, empty, "000001.mdb: block 1: " },
        { TABLE_SUM, flip_first, "block 1: summary" },     { TABLE_SUM, cut, "block 1: summary" },
        { TABLE_SUM, empty, "block 1: it has no summary" }, { TABLE_RUN, flip_first, "block 1: run" },
        { TABLE_RUN, cut, "block 1: run" },                { TABLE_RUN, empty, "block 1: it has no run" },
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct lines lines = { { 0 } };
        make_store(rig);
        rig_change_block(rig, 1, cases[i].table, 1, cases[i].damage);
        assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_E_FORMAT);
        if (!strstr(rig->why.text, cases[i].says) || lines_with(&lines, cases[i].says) != 1)
            fail_msg("case %zu: %s", i, rig->why.text);
        assert_int_equal(lines_with(&lines, "000001.mdb: sealed, commit 2, 2 blocks, 2 traces, 10 spans, 1 faults"), 1);
        assert_string_equal(last_line(&lines), "2 partitions, 3 blocks, 4 traces, 20 spans, 1 faults");
        lines_fini(&lines);
        rig_anew(rig);
    }
}

static void what_is_between_blocks_is_checked(void **state)
{
    static const struct { uint32_t partition; unsigned table; struct str key, value; const char *says; } cases[] = {
        { 1, TABLE_META, STR_INIT("format"), STR_INIT("\x02\x00\x00\x00"), "format 2" },
        { 1, TABLE_META, STR_INIT("state"), STR_INIT("\x01"), "its state is malformed" },
        { 1, TABLE_META, STR_INIT("state"), STR_INIT("\x09\x01\x01"), "lacks the number" },
        { 2, TABLE_META, STR_INIT("state"), STR_INIT("\x01\x01\x02\x09\x01\x01"), "its commit 2 is not after 2" },
        { 2, TABLE_META, STR_INIT("state"), STR_INIT("\x01\x01\x03\x09\x01\x01\x03\x01\x05\x04\x01\x07"), "its watermark 7 is beyond" },
        { 1, TABLE_META, STR_INIT("sealed"), STR_INIT("x"), "its seal is not empty" },
        { 1, TABLE_BLK, STR_INIT("\x00\x00\x00\x05"), STR_INIT("x"), "block 5: it follows block 2" },
        { 1, TABLE_BLK, STR_INIT("\x00\x00\x00\x01\x00"), STR_INIT("x"), "a block's key is malformed" },
        { 1, TABLE_SUM, STR_INIT("\x00\x00\x00\x07"), STR_INIT("x"), "2 blocks, 3 summaries and 2 runs" },
        { 1, TABLE_RUN, STR_INIT("\x00\x00\x00\x07"), STR_INIT("x"), "2 blocks, 2 summaries and 3 runs" },
        { 2, TABLE_DEP, STR_INIT("\x00\x00\x00\x07"), STR_INIT("x"), "edges of minute 7 are malformed" },
        { 2, TABLE_DEP, STR_INIT("\x00\x00\x00\x07\x00"), STR_INIT("\x01"), "edges of minute 0 are malformed" },
        { 2, TABLE_RUN, STR_INIT("\xff\xff\xff\xff"), STR_INIT("x"), NULL }, /* reserved: no fault */
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct lines lines = { { 0 } };
        make_store(rig);
        rig_change(rig, cases[i].partition, cases[i].table, cases[i].key, cases[i].value);
        enum mg_err err = store_check_dir(rig->store_dir, on_line, &lines, &rig->why);
        assert_int_equal(err, cases[i].says ? MG_E_FORMAT : MG_OK);
        if (cases[i].says && (!strstr(rig->why.text, cases[i].says) || lines_with(&lines, cases[i].says) < 1))
            fail_msg("case %zu: %s", i, rig->why.text);
        lines_fini(&lines);
        rig_anew(rig);
    }
}

static void rubbish_is_told_and_the_rest_is_read(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };
    char path[128];

    make_store(rig);
    rig_path(rig, 1, path);
    FILE *file = fopen(path, "r+b");
    for (int i = 0; i < 10000; i++)
        fputc('x', file);
    fclose(file);
    assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_E_FORMAT);
    assert_non_null(strstr(rig->why.text, "000001.mdb"));
    assert_string_equal(last_line(&lines), "1 partitions, 1 blocks, 2 traces, 10 spans, 1 faults");
    lines_fini(&lines);
    assert_int_equal(store_dump_dir(rig->store_dir, NULL, on_line, &lines, &rig->why), MG_E_FORMAT);
    assert_int_equal(lines.at.n, 10);
    lines_fini(&lines);
    assert_int_equal(store_stats_dir(rig->store_dir, on_line, &lines, &rig->why), MG_E_FORMAT);
    assert_string_equal(last_line(&lines), "1 partitions, 1 blocks (0 stray), 2 traces, 10 spans");
    lines_fini(&lines);
    rig_open(rig);
}

static void a_value_that_cannot_be_read_is_a_fault(void **state)
{
    struct rig *rig = *state;
    bool is_over = false;

    make_store(rig);
    for (uint64_t n = 1; !is_over; n++) {
        struct lines lines = { { 0 } };
        kv_fault_at(n);
        enum mg_err err = store_check_dir(rig->store_dir, on_line, &lines, &rig->why);
        is_over = kv_fault_calls() < n;
        kv_fault_at(0);
        assert_int_equal(err, is_over ? MG_OK : MG_E_FORMAT);
        assert_int_equal(kv_env_count(), 0);
        lines_fini(&lines);
    }
    rig_open(rig);
}

/* --- dump ------------------------------------------------------------------------------------------- */

static void keep_resource(void *owner, struct str resource) { ((struct span *)owner)->resource = resource; }
static void keep_scope(void *owner, struct str scope) { ((struct span *)owner)->scope = scope; }
static void keep_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct span *out = owner, with = *span;

    (void)ordinal;
    with.resource = out->resource;
    with.scope = out->scope;
    *out = with;
}
static void keep_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)ordinal;
    fail_msg("a dumped span is refused: %d", why);
}

/* The number of the span in a line, which is read as a door would. */
static uint64_t number_in(const char *line)
{
    static const struct span_visitor visitor = { keep_resource, keep_scope, keep_span, keep_refused };
    struct otlp_json *reader = otlp_json_new();
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct span span = { 0 };
    struct buf proto;
    struct mg_why why;

    buf_init(&proto, 64 << 20);
    if (otlp_json_to_proto(reader, str_of(line), &proto, &why) != MG_OK)
        fail_msg("%s", why.text);
    assert_int_equal(otlp_scan(scanner, buf_str(&proto), &visitor, &span, &why), MG_OK);
    uint64_t number = get_be64(span.span_id);
    buf_fini(&proto);
    otlp_scanner_free(&scanner);
    otlp_json_free(&reader);
    return number;
}

static void a_dump_holds_each_span_once_in_order(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };

    make_store(rig);
    assert_int_equal(store_dump_dir(rig->store_dir, NULL, on_line, &lines, &rig->why), MG_OK);
    assert_int_equal(lines.at.n, 30);
    for (size_t i = 0; i < lines.at.n; i++)
        assert_int_equal(number_in(lines.at.at[i]), i + 1);
    lines_fini(&lines);
    rig_open(rig);
}

static void a_dump_of_one_trace(void **state)
{
    static const struct { uint64_t trace; size_t spans; } cases[] = { { 1, 5 }, { 4, 5 }, { 6, 5 }, { 7, 0 }, { 0, 0 } };
    struct rig *rig = *state;
    uint8_t id[16] = { 0 };

    make_store(rig);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct lines lines = { { 0 } };
        put_be64(id + 8, cases[i].trace);
        assert_int_equal(store_dump_dir(rig->store_dir, id, on_line, &lines, &rig->why), MG_OK);
        assert_int_equal(lines.at.n, cases[i].spans);
        for (size_t k = 0; k < lines.at.n; k++)
            assert_int_equal(number_in(lines.at.at[k]), (cases[i].trace - 1) * 5 + k + 1);
        lines_fini(&lines);
    }
    rig_open(rig);
}

/* What was put and what the dump says, both as OTLP/JSON, line for line: every kind of field and value. */
static void a_dump_loses_nothing(void **state)
{
    enum { SPANS = 300 };
    struct rig *rig = *state;
    struct random random;
    struct arena arena = { 0 };
    struct span *spans = arena_alloc(&arena, SPANS * sizeof *spans);
    struct lines lines = { { 0 } };
    struct json_writer writer;
    struct buf text;

    random_init(&random, 7);
    buf_init(&text, 64 << 20);
    for (unsigned i = 0; i < SPANS; i++) {
        random_span(&random, 9, &arena, &spans[i]);
        put_be64(spans[i].span_id, i + 1);
    }
    rig_put_spans(rig, spans, SPANS);
    rig_turn(rig);
    rig_abandon(rig);
    assert_int_equal(store_dump_dir(rig->store_dir, NULL, on_line, &lines, &rig->why), MG_OK);
    assert_int_equal(lines.at.n, SPANS);
    for (unsigned i = 0; i < SPANS; i++) {
        size_t same = 0;
        buf_clear(&text);
        json_writer_init(&writer, &text, 0);
        otlp_json_span(&writer, &spans[i]);
        for (size_t k = 0; k < lines.at.n; k++)
            same += str_eq(str_of(lines.at.at[k]), buf_str(&text));
        if (same != 1)
            fail_msg("span %u is there %zu times: %.*s", i + 1, same, STR_ARG(buf_str(&text)));
    }
    lines_fini(&lines);
    buf_fini(&text);
    arena_fini(&arena);
    rig_open(rig);
}

static void a_dump_goes_past_a_damaged_block(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };

    make_store(rig);
    rig_change_block(rig, 1, TABLE_BLK, 1, flip_first);
    assert_int_equal(store_dump_dir(rig->store_dir, NULL, on_line, &lines, &rig->why), MG_E_FORMAT);
    assert_non_null(strstr(rig->why.text, "000001.mdb: block 1: "));
    assert_int_equal(lines.at.n, 20);
    assert_int_equal(number_in(lines.at.at[0]), 11);
    lines_fini(&lines);
    rig_open(rig);
}

/* --- stats ------------------------------------------------------------------------------------------ */

static void stats_add_up(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };
    unsigned long long before = UINT64_MAX, sum = 0, raw_sum = 0, total = 0, raw_total = 0, files = 0;

    make_store(rig);
    assert_int_equal(store_stats_dir(rig->store_dir, on_line, &lines, &rig->why), MG_OK);
    assert_string_equal(last_line(&lines), "2 partitions, 3 blocks (0 stray), 6 traces, 30 spans");
    for (size_t i = 1; i + 1 < lines.at.n; i++) {
        unsigned long long packed, raw;
        double each;
        int at = 0;
        assert_int_equal(sscanf(lines.at.at[i], "%llu %llu %lf %n", &packed, &raw, &each, &at), 3);
        assert_true(each * 30 > (double)packed - 0.1 && each * 30 < (double)packed + 0.1);
        if (strcmp(lines.at.at[i] + at, "total") == 0) {
            total = packed;
            raw_total = raw;
        } else if (strcmp(lines.at.at[i] + at, "files on disk") == 0) {
            files = packed;
        } else {
            assert_true(packed <= before);
            before = packed;
            sum += packed;
            raw_sum += raw;
        }
    }
    assert_int_equal(sum, total);
    assert_int_equal(raw_sum, raw_total);
    assert_true(files >= total);
    assert_int_equal(lines_with(&lines, "  span ids"), 1);
    assert_int_equal(lines_with(&lines, "  summaries"), 1);
    assert_int_equal(lines_with(&lines, "  runs"), 1);
    lines_fini(&lines);
    rig_open(rig);
}

/* --- what sealing adds, and the archive -------------------------------------------------------------- */

static void pin(struct rig *rig, uint64_t number, uint64_t trace)
{
    struct span span;
    const struct span *at = &span;

    rig_span(number, trace, &span);
    assert_int_equal(store_pin(rig->store, &at, 1, 0, &rig->why), MG_OK);
}

static void what_sealing_adds_is_checked(void **state)
{
    static const struct { unsigned table; const char *key; size_t key_len; void (*damage)(struct buf *); const char *says; } cases[] = {
        { TABLE_RUN, "\xff\xff\xff\xff", 4, flip_last, "merged run: its checksum" },
        { TABLE_RUN, "\xff\xff\xff\xff", 4, cut, "merged run: it is malformed" },
        { TABLE_META, "index", 5, flip_last, "index: it is malformed or its checksum" },
        { TABLE_META, "index", 5, cut, "index: it is malformed or its checksum" },
        { TABLE_META, "index", 5, empty, "index: it is malformed or its checksum" },
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct lines lines = { { 0 } };
        struct buf value;
        rig_commit(rig, 10);
        rig_roll(rig, 10);
        rig_retain(rig);
        assert_true(rig_value(rig, 0, cases[i].table, str_n(cases[i].key, cases[i].key_len), &value));
        rig_abandon(rig);
        cases[i].damage(&value);
        rig_change(rig, 1, cases[i].table, str_n(cases[i].key, cases[i].key_len), buf_str(&value));
        buf_fini(&value);
        assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_E_FORMAT);
        if (!strstr(rig->why.text, cases[i].says) || lines_with(&lines, cases[i].says) != 1)
            fail_msg("case %zu: %s", i, rig->why.text);
        assert_int_equal(lines_with(&lines, "000001.mdb: sealed, commit 1, 1 blocks, 2 traces, 10 spans, 1 faults"), 1);
        lines_fini(&lines);
        rig_anew(rig);
    }
}

/* Sound in themselves, and of another partition. */
static void what_sealing_adds_must_be_of_its_blocks(void **state)
{
    static const struct { unsigned table; struct str key; const char *says; } cases[] = {
        { TABLE_RUN, STR_INIT("\xff\xff\xff\xff"), "merged run: it is not that of the blocks' runs" },
        { TABLE_META, STR_INIT("index"), "index: it is not that of the blocks" },
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct lines lines = { { 0 } };
        struct buf value;
        rig_commit(rig, 10);
        rig_roll(rig, 20);
        rig_roll(rig, 10);
        rig_retain(rig);
        assert_true(rig_value(rig, 1, cases[i].table, cases[i].key, &value));
        rig_abandon(rig);
        rig_change(rig, 1, cases[i].table, cases[i].key, buf_str(&value));
        buf_fini(&value);
        assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_E_FORMAT);
        assert_int_equal(lines_with(&lines, cases[i].says), 1);
        lines_fini(&lines);
        rig_anew(rig);
    }
}

static void a_seal_without_what_sealing_adds_is_a_fault(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };

    rig_commit(rig, 10);
    rig_abandon(rig);
    rig_change(rig, 1, TABLE_META, STR("sealed"), STR(""));
    assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_E_FORMAT);
    assert_int_equal(lines_with(&lines, "it is sealed and has no merged run"), 1);
    assert_int_equal(lines_with(&lines, "it is sealed and has no index"), 1);
    lines_fini(&lines);
    rig_open(rig); /* it is served all the same */
    rig_expect(rig, 1, 10);
}

static void the_archive_is_one_of_them(void **state)
{
    struct rig *rig = *state;
    struct lines lines = { { 0 } };
    uint8_t id[16] = { 0 };
    char path[128];

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_retain(rig);
    pin(rig, 1, 1);
    pin(rig, 500, 77);
    rig_abandon(rig);
    assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_OK);
    assert_int_equal(lines_with(&lines, "pins.mdb: archive, commit 2, 2 blocks, 2 traces, 2 spans, 0 faults"), 1);
    assert_string_equal(last_line(&lines), "3 partitions, 4 blocks, 6 traces, 22 spans, 0 faults");
    lines_fini(&lines);
    put_be64(id + 8, 77);
    assert_int_equal(store_dump_dir(rig->store_dir, id, on_line, &lines, &rig->why), MG_OK);
    assert_int_equal(lines.at.n, 1);
    lines_fini(&lines);
    assert_int_equal(store_stats_dir(rig->store_dir, on_line, &lines, &rig->why), MG_OK);
    assert_int_equal(lines_with(&lines, "merged runs"), 1);
    assert_int_equal(lines_with(&lines, "indexes"), 1);
    lines_fini(&lines);
    (void)snprintf(path, sizeof path, "%s/pins.mdb", rig->store_dir);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    for (int i = 0; i < 8192; i++)
        assert_int_not_equal(fputc('x', file), EOF);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(store_check_dir(rig->store_dir, on_line, &lines, &rig->why), MG_E_FORMAT);
    assert_non_null(strstr(rig->why.text, "pins.mdb"));
    lines_fini(&lines);
    rig_open(rig);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_sound_store_passes), T(a_file_never_committed_to_is_no_fault), cmocka_unit_test(a_directory_that_is_not_there_is_told),
        T(damage_is_found_and_the_rest_is_checked), T(what_is_between_blocks_is_checked), T(rubbish_is_told_and_the_rest_is_read),
        T(a_value_that_cannot_be_read_is_a_fault), T(a_dump_holds_each_span_once_in_order), T(a_dump_of_one_trace), T(a_dump_loses_nothing),
        T(a_dump_goes_past_a_damaged_block), T(stats_add_up),
        T(what_sealing_adds_is_checked), T(what_sealing_adds_must_be_of_its_blocks), T(a_seal_without_what_sealing_adds_is_a_fault),
        T(the_archive_is_one_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
