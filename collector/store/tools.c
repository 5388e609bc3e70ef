/* tools.c - partitions read from outside, without a store.
 *
 * A store that starts wants to serve what it can and repairs what a crash left; a tool must show what is there. So
 * files are opened read-only, sealed or not, tables are walked by key, and one bad block or file does not hide the
 * next: every tool goes on and fails at the end. */
#include "store/tool.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/bytes.h"
#include "base/map.h"
#include "model/otlp_json.h"
#include "store/block.h"
#include "store/edges.h"
#include "store/sealed.h"
#include "store/summary.h"

void tool_say(struct tool *tool, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (n > 0)
        tool->on_line(tool->owner, str_n(line, MG_MIN((size_t)n, sizeof line - 1)));
}

void tool_fault(struct tool *tool, const struct mg_why *why)
{
    if (tool->faults++ == 0)
        mg_fail(tool->why, MG_E_FORMAT, "%s", why->text);
}

static enum mg_err read_partition(struct tool *tool, uint32_t number, partition_fn *on_partition, struct mg_why *why)
{
    MG_AUTO(partition_unref) struct partition *partition = NULL;
    MG_AUTO(kv_abort) struct kv_txn *txn = NULL;
    uint64_t errors = kv_read_errors();
    enum mg_err err;

    MG_TRY(partition_open_raw(&partition, tool->dir, number, why));
    MG_TRY(kv_begin(&txn, partition->env, false, why));
    err = partition_check_version(partition, txn, why);
    if (err == MG_OK)
        err = on_partition(tool, partition, txn, why);
    if (kv_read_errors() != errors) /* such a value looks like an absent one */
        return mg_fail(why, MG_E_FORMAT, "%s: it cannot be read to its end", partition->path);
    return err;
}

enum mg_err tool_each_partition(struct tool *tool, partition_fn *on_partition, partition_fn *on_fault)
{
    struct partition_numbers numbers = { { 0 } };
    struct mg_why why = { "" };
    enum mg_err err = partition_list(tool->dir, &numbers, tool->why);

    if (err == MG_OK)
        VEC_PUSH(&numbers.list, PINS_NUMBER); /* nothing was ever committed to one that is not there */
    for (size_t i = 0; i < numbers.list.n; i++) {
        enum mg_err failed = read_partition(tool, numbers.list.at[i], on_partition, &why);
        if (failed == MG_OK || failed == MG_E_ABSENT)
            continue;
        tool_fault(tool, &why);
        if (on_fault)
            (void)on_fault(tool, NULL, NULL, &why); /* tells it; cannot fail */
    }
    VEC_FINI(&numbers.list);
    MG_TRY(err);
    return tool->faults ? MG_E_FORMAT : MG_OK; /* why has the first */
}

enum mg_err tool_each_block(struct tool *tool, const struct partition *partition, struct kv_txn *txn, block_fn *on_block, struct mg_why *why)
{
    struct kv_cursor *cursor = NULL;
    struct str key, block;
    enum mg_err err = MG_OK;

    while (kv_next(txn, TABLE_BLK, &cursor, &key, &block)) {
        struct mg_why this = { "" };
        uint32_t number = key.len == 4 ? get_be32(key.ptr) : 0;
        enum mg_err failed = key.len == 4 ? on_block(tool, txn, number, block, &this)
                                          : mg_fail(&this, MG_E_FORMAT, "a block's key is malformed");
        if (failed == MG_OK)
            continue;
        mg_fail_in(&this, failed, "%s: block %u", partition->path, number);
        if (err == MG_OK)
            mg_fail(why, failed, "%s", this.text);
        err = MG_E_FORMAT;
    }
    return err;
}

/* --- check ------------------------------------------------------------------------------------------ */

struct check {
    struct tool tool;
    struct partition *partition; /* the one being checked; its blocks and names are noted in it */
    uint64_t commit;         /* of the partition before */
    uint64_t part_commit;
    uint64_t partitions, blocks, spans, traces;
    uint32_t last_block;
    uint64_t part_spans, part_traces, part_faults;
    uint64_t decisions;      /* bytes of them, by the state */
};

static void tell_fault(struct check *check, const struct mg_why *why)
{
    tool_fault(&check->tool, why);
    check->part_faults++;
    tool_say(&check->tool, "%s", why->text);
}

static enum mg_err check_state(struct check *check, struct kv_txn *txn, bool *is_sealed, struct mg_why *why)
{
    const char *path = check->partition->path;
    struct store_state state;
    uint64_t first_wall_ns, before = check->commit;
    struct str value;

    if (!kv_get(txn, TABLE_META, STR("state"), &value))
        return partition_without_state(check->partition, why);
    if (state_read(value, &state, &first_wall_ns, NULL) != MG_OK)
        return mg_fail(why, MG_E_FORMAT, "%s: its state is malformed", path);
    if (state.commit == 0 || first_wall_ns == 0)
        return mg_fail(why, MG_E_FORMAT, "%s: its state lacks the number or the time of a commit", path);
    check->part_commit = state.commit;
    check->decisions = state.decisions;
    if (check->partition->number == PINS_NUMBER) /* counts its own commits and starts nothing */
        return MG_OK;
    check->commit = state.commit;
    if (state.commit <= before)
        return mg_fail(why, MG_E_FORMAT, "%s: its commit %" PRIu64 " is not after %" PRIu64 " of the partition before", path, state.commit, before);
    if (state.watermark > state.p + 1)
        return mg_fail(why, MG_E_FORMAT, "%s: its watermark %" PRIu64 " is beyond its snapshot's position %" PRIu64, path, state.watermark, state.p);
    *is_sealed = kv_get(txn, TABLE_META, STR("sealed"), &value);
    if (*is_sealed && value.len != 0)
        return mg_fail(why, MG_E_FORMAT, "%s: its seal is not empty", path);
    return MG_OK;
}

static enum mg_err check_block(struct tool *tool, struct kv_txn *txn, uint32_t number, struct str block, struct mg_why *why)
{
    struct check *check = MG_CONTAINER(tool, struct check, tool);
    uint32_t expected = check->last_block + 1;
    struct str summary, run;
    struct summary said;
    uint8_t key[4];

    check->blocks++;
    check->last_block = number;
    partition_key(number, key);
    if (number != expected)
        return mg_fail(why, MG_E_FORMAT, "it follows block %u", expected - 1);
    if (!kv_get(txn, TABLE_SUM, str_n(key, 4), &summary) || summary.len == 0)
        return mg_fail(why, MG_E_FORMAT, "it has no summary");
    if (!kv_get(txn, TABLE_RUN, str_n(key, 4), &run) || run.len == 0)
        return mg_fail(why, MG_E_FORMAT, "it has no run");
    if (summary_read(summary, &said) == MG_OK)
        partition_note_block(check->partition, number, summary);
    MG_TRY(block_check(block, summary, run, why));
    MG_TRY(summary_read(summary, &said)); /* block_check has compared it with the block */
    check->part_spans += said.rows;
    check->part_traces += said.fragments;
    return MG_OK;
}

static enum mg_err tell_block_fault(struct tool *tool, struct kv_txn *txn, uint32_t number, struct str block, struct mg_why *why)
{
    struct check *check = MG_CONTAINER(tool, struct check, tool);

    if (check_block(tool, txn, number, block, why) == MG_OK)
        return MG_OK;
    mg_fail_in(why, MG_E_FORMAT, "%s: block %u", check->partition->path, number);
    tell_fault(check, why);
    return MG_OK; /* told */
}

static void no_edge(void *owner, struct str parent, struct str child, uint64_t calls, uint64_t errors)
{
    (void)owner;
    (void)parent;
    (void)child;
    (void)calls;
    (void)errors;
}

static void check_edges(struct check *check, struct kv_txn *txn)
{
    struct kv_cursor *cursor = NULL;
    struct str key, value;
    struct mg_why why;

    while (kv_next(txn, TABLE_DEP, &cursor, &key, &value)) {
        if (key.len == 4 && edges_read(value, no_edge, NULL) == MG_OK)
            continue;
        mg_fail(&why, MG_E_FORMAT, "%s: edges of minute %u are malformed", check->partition->path, key.len == 4 ? get_be32(key.ptr) : 0);
        tell_fault(check, &why);
    }
}

/* Summaries and runs that belong to no block. */
static void check_counts(struct check *check, struct kv_txn *txn)
{
    uint64_t blocks = kv_entries(txn, TABLE_BLK), summaries = kv_entries(txn, TABLE_SUM), runs = kv_entries(txn, TABLE_RUN);
    struct mg_why why;
    struct str value;
    uint8_t key[4];

    partition_key(RUN_MERGED, key);
    runs -= kv_get(txn, TABLE_RUN, str_n(key, 4), &value);
    if (blocks == summaries && blocks == runs)
        return;
    mg_fail(&why, MG_E_FORMAT, "%s: %" PRIu64 " blocks, %" PRIu64 " summaries and %" PRIu64 " runs are not one each",
            check->partition->path, blocks, summaries, runs);
    tell_fault(check, &why);
}

/* Where a block is damaged already, only what they say of themselves: the rest would tell of the same damage again. */
static enum mg_err check_merged(struct check *check, struct kv_txn *txn, struct mg_why *why)
{
    struct str value;
    uint8_t key[4];

    partition_key(RUN_MERGED, key);
    if (!kv_get(txn, TABLE_RUN, str_n(key, 4), &value))
        return mg_fail(why, MG_E_FORMAT, "it is sealed and has no merged run");
    return merged_run_check(value, check->part_faults ? NULL : txn, why);
}

static enum mg_err check_index(struct check *check, struct kv_txn *txn, struct mg_why *why)
{
    struct partition scratch = { .names = catalog_new() };
    struct str value = STR("");
    struct buf made;
    bool is_equal;
    enum mg_err err = MG_OK;

    if (!kv_get(txn, TABLE_META, STR("index"), &value))
        err = mg_fail(why, MG_E_FORMAT, "it is sealed and has no index");
    else if (sealed_index_read(value, &scratch) != MG_OK)
        err = mg_fail(why, MG_E_FORMAT, "index: it is malformed or its checksum is wrong");
    VEC_FINI(&scratch.blocks);
    catalog_free(&scratch.names);
    if (err != MG_OK || check->part_faults)
        return err;
    buf_init(&made, SIZE_MAX / 2);
    sealed_index_make(check->partition, &made);
    is_equal = str_eq(buf_str(&made), value);
    buf_fini(&made);
    return is_equal ? MG_OK : mg_fail(why, MG_E_FORMAT, "index: it is not that of the blocks");
}

static void check_sealed(struct check *check, struct kv_txn *txn)
{
    enum mg_err (*const checks[])(struct check *, struct kv_txn *, struct mg_why *) = { check_merged, check_index };
    struct mg_why why = { "" };

    for (size_t i = 0; i < MG_COUNT(checks); i++) {
        if (checks[i](check, txn, &why) == MG_OK)
            continue;
        mg_fail_in(&why, MG_E_FORMAT, "%s", check->partition->path);
        tell_fault(check, &why);
    }
}

static void check_rules(struct check *check, struct kv_txn *txn)
{
    struct kv_cursor *cursor = NULL;
    struct str key, text;
    struct mg_why why;

    while (!check->partition->lacks_rules && kv_next(txn, TABLE_GEN, &cursor, &key, &text)) {
        if (key.len == 4 && get_be32(key.ptr) > 0 && get_be32(key.ptr) < 1u << 24 && text.len <= 1u << 20)
            continue;
        mg_fail(&why, MG_E_FORMAT, "%s: generation %u of sampling rules is malformed", check->partition->path, key.len == 4 ? get_be32(key.ptr) : 0);
        tell_fault(check, &why);
    }
}

static void on_decisions_fault(void *owner, const struct mg_why *why)
{
    tell_fault(owner, why);
}

static void check_decisions(struct check *check, bool is_sealed, struct decisions_found *found)
{
    struct mg_why why;

    tool_check_decisions(check->partition, check->decisions, check->part_commit, on_decisions_fault, check, found);
    if (!is_sealed || found->is_merged || !found->is_there)
        return;
    mg_fail(&why, MG_E_FORMAT, "%s: its partition is sealed, and its runs are not merged", check->partition->decisions.path);
    found->faults++;
    tell_fault(check, &why);
}

static void tell_decisions(struct check *check, const struct decisions_found *found)
{
    if (found->is_there)
        tool_say(&check->tool, "%s: %s, %" PRIu64 " decisions, %" PRIu64 " faults", check->partition->decisions.path,
                 found->is_merged ? "merged" : "not merged", found->decisions, found->faults);
}

static void tell_partition(struct check *check, bool is_sealed)
{
    const char *what = check->partition->number == PINS_NUMBER ? "archive" : is_sealed ? "sealed" : "not sealed";

    tool_say(&check->tool, "%s: %s, commit %" PRIu64 ", %u blocks, %" PRIu64 " traces, %" PRIu64 " spans, %" PRIu64 " faults",
        check->partition->path, what, check->part_commit, check->last_block, check->part_traces, check->part_spans, check->part_faults);
}

static enum mg_err check_partition(struct tool *tool, struct partition *partition, struct kv_txn *txn, struct mg_why *why)
{
    struct check *check = MG_CONTAINER(tool, struct check, tool);
    struct decisions_found decisions;
    bool is_sealed = false;
    enum mg_err err;

    check->partition = partition;
    check->last_block = 0;
    check->part_spans = check->part_traces = check->part_faults = check->part_commit = check->decisions = 0;
    err = check_state(check, txn, &is_sealed, why);
    if (err == MG_E_ABSENT && kv_entries(txn, TABLE_BLK) == 0) {
        tool_say(tool, "%s: nothing was ever committed to it", partition->path);
        return MG_OK;
    }
    if (err != MG_OK)
        tell_fault(check, why);
    if (tool_each_block(tool, partition, txn, tell_block_fault, why) != MG_OK) /* a key; the others are told */
        tell_fault(check, why);
    check_counts(check, txn);
    check_edges(check, txn);
    check_rules(check, txn);
    if (is_sealed)
        check_sealed(check, txn);
    check_decisions(check, is_sealed, &decisions);
    check->partitions++;
    check->spans += check->part_spans;
    check->traces += check->part_traces;
    tell_partition(check, is_sealed);
    tell_decisions(check, &decisions);
    return MG_OK;
}

static enum mg_err tell_partition_fault(struct tool *tool, struct partition *partition, struct kv_txn *txn, struct mg_why *why)
{
    (void)partition;
    (void)txn;
    tool_say(tool, "%s", why->text);
    return MG_OK;
}

enum mg_err store_check_dir(const char *dir, store_line_fn *on_line, void *owner, struct mg_why *why)
{
    struct check check = { .tool = { .on_line = on_line, .owner = owner, .why = why, .dir = dir } };
    enum mg_err err = tool_each_partition(&check.tool, check_partition, tell_partition_fault);

    if (err != MG_OK && check.tool.faults == 0)
        return err;
    tool_say(&check.tool, "%" PRIu64 " partitions, %" PRIu64 " blocks, %" PRIu64 " traces, %" PRIu64 " spans, %" PRIu64 " faults",
        check.partitions, check.blocks, check.traces, check.spans, check.tool.faults);
    return err;
}

/* --- dump ------------------------------------------------------------------------------------------- */

struct dump {
    struct tool tool;
    const uint8_t *trace_id; /* NULL: everything */
    struct arena arena;
    struct buf line;
};

static enum mg_err dump_fragment(struct dump *dump, struct block_reader *reader, uint32_t fragment, struct mg_why *why)
{
    struct json_writer writer;
    struct span *spans;
    uint32_t n;

    arena_reset(&dump->arena);
    MG_TRY(block_decode(reader, fragment, &dump->arena, &spans, &n, why));
    for (uint32_t i = 0; i < n; i++) {
        buf_clear(&dump->line);
        json_writer_init(&writer, &dump->line, 0);
        otlp_json_span(&writer, &spans[i]);
        if (buf_err(&dump->line) != MG_OK)
            return mg_fail(why, MG_E_TOO_BIG, "a span of fragment %u is too large for a line", fragment);
        dump->tool.on_line(dump->tool.owner, buf_str(&dump->line));
    }
    return MG_OK;
}

/* Whether the block may hold the trace that is asked for, without opening it. */
static bool is_wanted(const struct dump *dump, struct kv_txn *txn, uint32_t number)
{
    struct str run;
    uint8_t key[4];

    partition_key(number, key);
    return !dump->trace_id || !kv_get(txn, TABLE_RUN, str_n(key, 4), &run) || run_may_hold(run, trace_fingerprint(dump->trace_id));
}

static enum mg_err dump_block(struct tool *tool, struct kv_txn *txn, uint32_t number, struct str block, struct mg_why *why)
{
    struct dump *dump = MG_CONTAINER(tool, struct dump, tool);
    MG_AUTO(block_close) struct block_reader *reader = NULL;
    uint32_t first = 0, n;

    if (!is_wanted(dump, txn, number))
        return MG_OK;
    MG_TRY(block_open(&reader, block, why));
    n = dump->trace_id ? block_find(reader, dump->trace_id, &first) : block_n_fragments(reader);
    for (uint32_t i = 0; i < n; i++)
        MG_TRY(dump_fragment(dump, reader, first + i, why));
    return MG_OK;
}

static enum mg_err dump_partition(struct tool *tool, struct partition *partition, struct kv_txn *txn, struct mg_why *why)
{
    return tool_each_block(tool, partition, txn, dump_block, why);
}

enum mg_err store_dump_dir(const char *dir, const uint8_t *trace_id, store_line_fn *on_line, void *owner, struct mg_why *why)
{
    struct dump dump = { .tool = { .on_line = on_line, .owner = owner, .why = why, .dir = dir }, .trace_id = trace_id };
    enum mg_err err;

    buf_init(&dump.line, (size_t)1 << 30);
    err = tool_each_partition(&dump.tool, dump_partition, NULL);
    buf_fini(&dump.line);
    arena_fini(&dump.arena);
    return err;
}

/* --- stats ------------------------------------------------------------------------------------------ */

struct column_sum { char *name; uint64_t packed, raw; };
struct stats {
    struct tool tool;
    struct map by_name;      /* name to index + 1 in sums */
    VEC(struct column_sum) sums;
    uint64_t partitions, blocks, strays, spans, traces, file_bytes, decisions;
};

static void add(struct stats *stats, struct str name, uint64_t packed, uint64_t raw)
{
    bool is_new;
    void **at = map_put(&stats->by_name, name, &is_new);
    struct column_sum *sum;

    if (is_new) {
        VEC_PUSH(&stats->sums, ((struct column_sum){ .name = str_text(name) }));
        *at = (void *)(uintptr_t)stats->sums.n;
    }
    sum = &stats->sums.at[(uintptr_t)*at - 1];
    sum->packed += packed;
    sum->raw += raw;
}

static void on_segment(void *owner, const char *name, uint64_t packed, uint64_t raw)
{
    add(owner, str_of(name), packed, raw);
}

static enum mg_err stats_block(struct tool *tool, struct kv_txn *txn, uint32_t number, struct str block, struct mg_why *why)
{
    struct stats *stats = MG_CONTAINER(tool, struct stats, tool);
    MG_AUTO(block_close) struct block_reader *reader = NULL;

    (void)txn;
    (void)number;
    MG_TRY(block_open(&reader, block, why));
    MG_TRY(block_stats(block, on_segment, stats, why));
    stats->blocks++;
    stats->strays += (block_flags(reader) & BLOCK_FLAG_STRAY) != 0;
    stats->spans += block_n_rows(reader);
    stats->traces += block_n_fragments(reader);
    return MG_OK;
}

/* What stands in a table beside its main thing has a row of its own. */
static void add_table(struct stats *stats, struct kv_txn *txn, unsigned table, struct str name, struct str other_key, struct str other_name)
{
    struct kv_cursor *cursor = NULL;
    struct str key, value;

    while (kv_next(txn, table, &cursor, &key, &value))
        add(stats, str_eq(key, other_key) ? other_name : name, value.len, value.len);
}

static enum mg_err stats_partition(struct tool *tool, struct partition *partition, struct kv_txn *txn, struct mg_why *why)
{
    struct stats *stats = MG_CONTAINER(tool, struct stats, tool);

    stats->partitions++;
    decisions_read(&partition->decisions, tool_decisions_length(txn));
    if (partition->decisions.entries) {
        stats->decisions += partition->decisions.entries;
        add(stats, STR("decisions about dropped traces"), partition->decisions.length, partition->decisions.length);
    }
    stats->file_bytes += partition_disk_bytes(partition);
    add_table(stats, txn, TABLE_SUM, STR("summaries"), STR(""), STR(""));
    add_table(stats, txn, TABLE_RUN, STR("runs"), STR("\xff\xff\xff\xff"), STR("merged runs"));
    add_table(stats, txn, TABLE_META, STR("state"), STR("index"), STR("indexes"));
    add_table(stats, txn, TABLE_DEP, STR("service edges"), STR(""), STR(""));
    if (!partition->lacks_rules)
        add_table(stats, txn, TABLE_GEN, STR("sampling rules"), STR(""), STR(""));
    return tool_each_block(tool, partition, txn, stats_block, why);
}

static int largest_first(const void *a, const void *b)
{
    const struct column_sum *left = a, *right = b;

    if (left->packed != right->packed)
        return left->packed > right->packed ? -1 : 1;
    return strcmp(left->name, right->name);
}

static void say_row(struct stats *stats, const char *name, uint64_t packed, uint64_t raw)
{
    tool_say(&stats->tool, "%14" PRIu64 " %14" PRIu64 " %10.3f  %s", packed, raw,
        stats->spans ? (double)packed / (double)stats->spans : 0.0, name);
}

static void say_all(struct stats *stats)
{
    uint64_t packed = 0, raw = 0;

    tool_say(&stats->tool, "%14s %14s %10s  %s", "packed B", "raw B", "B/span", "what");
    if (stats->sums.n)
        qsort(stats->sums.at, stats->sums.n, sizeof *stats->sums.at, largest_first);
    for (size_t i = 0; i < stats->sums.n; i++) {
        const struct column_sum *sum = &stats->sums.at[i];
        packed += sum->packed;
        raw += sum->raw;
        say_row(stats, sum->name, sum->packed, sum->raw);
    }
    say_row(stats, "total", packed, raw);
    say_row(stats, "files on disk", stats->file_bytes, stats->file_bytes);
    if (stats->decisions)
        tool_say(&stats->tool, "%" PRIu64 " decisions about dropped traces", stats->decisions);
    tool_say(&stats->tool, "%" PRIu64 " partitions, %" PRIu64 " blocks (%" PRIu64 " stray), %" PRIu64 " traces, %" PRIu64 " spans", stats->partitions,
        stats->blocks, stats->strays, stats->traces, stats->spans);
}

enum mg_err store_stats_dir(const char *dir, store_line_fn *on_line, void *owner, struct mg_why *why)
{
    struct stats stats = { .tool = { .on_line = on_line, .owner = owner, .why = why, .dir = dir } };
    enum mg_err err = tool_each_partition(&stats.tool, stats_partition, NULL);

    if (err == MG_OK || stats.tool.faults)
        say_all(&stats);
    for (size_t i = 0; i < stats.sums.n; i++)
        mem_free(stats.sums.at[i].name);
    VEC_FINI(&stats.sums);
    map_fini(&stats.by_name);
    return err;
}
