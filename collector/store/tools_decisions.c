/* tools_decisions.c - the part of the store's tools that is about decisions: those about dropped traces in NNNNNN.why, and the outcomes of
 * kept ones in blocks. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "base/bytes.h"
#include "codec/json_write.h"
#include "store/block.h"
#include "store/summary.h"
#include "store/tool.h"

enum { LOAD = 4096 };

uint64_t tool_decisions_length(struct kv_txn *txn)
{
    struct store_state state;
    uint64_t first_wall_ns;
    struct str value;

    return kv_get(txn, TABLE_META, STR("state"), &value) && state_read(value, &state, &first_wall_ns, NULL) == MG_OK ? state.decisions : 0;
}

/* Calls back for each entry of each run that is listed; the first failure ends it. */
typedef enum mg_err entry_fn(void *owner, const struct decision *entry, struct mg_why *why);
static enum mg_err each_entry(int fd, const struct decision_run *run, entry_fn *on_entry, void *owner, struct mg_why *why)
{
    struct decision *entries = mem_alloc(LOAD * sizeof *entries);
    enum mg_err err = MG_OK;

    for (uint32_t done = 0, n; done < run->n && err == MG_OK; done += n) {
        n = MG_MIN(run->n - done, (uint32_t)LOAD);
        err = decisions_load(fd, run, done, n, entries, why);
        for (uint32_t i = 0; i < n && err == MG_OK; i++)
            err = on_entry(owner, &entries[i], why);
    }
    mem_free(entries);
    return err;
}

/* --- check ---------------------------------------------------------------------------------------------- */

struct checking { uint64_t hash; };

static enum mg_err check_entry(void *owner, const struct decision *entry, struct mg_why *why)
{
    struct checking *checking = owner;
    struct outcome outcome;

    if (entry->hash < checking->hash)
        return mg_fail(why, MG_E_FORMAT, "its hashes are not sorted");
    if (!outcome_unpack(entry->word, &outcome) || outcome.verdict != VERDICT_DROPPED)
        return mg_fail(why, MG_E_FORMAT, "an outcome is none of a dropped trace");
    checking->hash = entry->hash;
    return MG_OK;
}

static enum mg_err check_run(int fd, const struct decision_run *run, uint64_t before, uint64_t commit, struct mg_why *why)
{
    struct checking checking = { 0 };

    MG_TRY(decisions_verify(fd, run, why));
    if (run->commit <= before || run->commit > commit)
        return mg_fail(why, MG_E_FORMAT, "its commit %" PRIu64 " is not one after %" PRIu64 " and up to the state's %" PRIu64, run->commit, before, commit);
    return each_entry(fd, run, check_entry, &checking, why);
}

static void tell(const struct partition *partition, struct decisions_found *found, struct mg_why *why, tool_fault_fn *on_fault, void *owner)
{
    mg_fail_in(why, MG_E_FORMAT, "%s", partition->decisions.path);
    found->faults++;
    on_fault(owner, why);
}

static void check_runs(const struct partition *partition, int fd, uint64_t commit, tool_fault_fn *on_fault, void *owner, struct decisions_found *found)
{
    const struct decisions *decisions = &partition->decisions;
    struct mg_why why = { "" };
    uint64_t before = 0;

    for (size_t i = 0; i < decisions->runs.n; i++) {
        const struct decision_run *run = &decisions->runs.at[i];
        if (check_run(fd, run, before, commit, &why) == MG_OK) {
            found->decisions += run->n;
        } else {
            mg_fail_in(&why, MG_E_FORMAT, "run at byte %" PRIu64, run->at);
            tell(partition, found, &why, on_fault, owner);
        }
        before = MG_MAX(before, run->commit);
    }
}

void tool_check_decisions(struct partition *partition, uint64_t length, uint64_t commit, tool_fault_fn *on_fault, void *owner,
                          struct decisions_found *found)
{
    struct decision_run merged;
    struct mg_why why = { "" };
    int fd = -1;

    *found = (struct decisions_found){ 0 };
    if (!partition->decisions.path)
        return;
    if (decisions_open(partition->decisions.path, &fd, &merged, &why) != MG_OK)
        tell(partition, found, &why, on_fault, owner);
    if (fd < 0) /* it may have been dropped alone */
        return;
    decisions_read(&partition->decisions, length);
    found->is_there = partition->decisions.runs.n || partition->decisions.damaged;
    found->is_merged = partition->decisions.is_merged;
    found->bytes = partition->decisions.length;
    if (partition->decisions.damaged) {
        mg_fail(&why, MG_E_FORMAT, "%u places before byte %" PRIu64 " are no run, or are not there", partition->decisions.damaged, length);
        tell(partition, found, &why, on_fault, owner);
    }
    check_runs(partition, fd, commit, on_fault, owner, found);
    close(fd);
}

/* --- dump ----------------------------------------------------------------------------------------------- */

struct dump {
    struct tool tool;
    const uint8_t *trace_id; /* NULL: all */
    struct buf line;
    uint64_t wall_s;         /* of the block's commit */
};

static void put_outcome(struct json_writer *writer, const struct outcome *outcome)
{
    json_key_text(writer, "verdict");
    json_put_str(writer, outcome->verdict == VERDICT_KEPT ? STR("kept") : STR("dropped"));
    json_key_text(writer, "reason");
    json_put_str(writer, str_of(reason_name(outcome->reason)));
    json_key_text(writer, "trigger");
    json_put_str(writer, str_of(trigger_name(outcome->trigger)));
    json_key_text(writer, "policy");
    json_put_u64(writer, outcome->policy);
    json_key_text(writer, "probability");
    json_put_double(writer, ot_probability_shown(outcome->threshold));
    json_key_text(writer, "rules");
    json_put_u64(writer, outcome->rules);
}

/* trace_id NULL: only its hash is known. */
static enum mg_err say_decision(struct dump *dump, uint64_t hash, const uint8_t *trace_id, uint64_t word, uint64_t time_s, struct mg_why *why)
{
    struct json_writer writer;
    struct outcome outcome;
    uint8_t hash_bytes[8];

    if (!outcome_unpack(word, &outcome))
        return mg_fail(why, MG_E_FORMAT, "an outcome is malformed");
    buf_clear(&dump->line);
    json_writer_init(&writer, &dump->line, 0);
    json_object(&writer);
    json_key_text(&writer, "hash");
    put_be64(hash_bytes, hash);
    json_put_hex(&writer, hash_bytes, sizeof hash_bytes);
    if (trace_id) {
        json_key_text(&writer, "trace_id");
        json_put_hex(&writer, trace_id, 16);
    }
    put_outcome(&writer, &outcome);
    json_key_text(&writer, "time");
    json_put_u64(&writer, time_s);
    json_object_end(&writer);
    dump->tool.on_line(dump->tool.owner, buf_str(&dump->line));
    return MG_OK;
}

static enum mg_err dump_entry(void *owner, const struct decision *entry, struct mg_why *why)
{
    struct dump *dump = owner;

    if (dump->trace_id && entry->hash != trace_hash(dump->trace_id))
        return MG_OK;
    return say_decision(dump, entry->hash, NULL, entry->word, entry->time_s, why);
}

static bool dump_outcome(void *owner, const uint8_t trace_id[16], uint64_t outcome)
{
    struct dump *dump = owner;

    if (outcome && (!dump->trace_id || memcmp(dump->trace_id, trace_id, 16) == 0))
        (void)say_decision(dump, trace_hash(trace_id), trace_id, outcome, dump->wall_s, NULL); /* a malformed one is for the check */
    return true;
}

static enum mg_err dump_block(struct tool *tool, struct kv_txn *txn, uint32_t number, struct str block, struct mg_why *why)
{
    struct dump *dump = MG_CONTAINER(tool, struct dump, tool);
    MG_AUTO(block_close) struct block_reader *reader = NULL;
    struct summary summary;
    struct str value;
    uint8_t key[4];

    partition_key(number, key);
    dump->wall_s = kv_get(txn, TABLE_SUM, str_n(key, 4), &value) && summary_read(value, &summary) == MG_OK ? summary.wall_ns / 1000000000u : 0;
    MG_TRY(block_open(&reader, block, why));
    return block_outcomes(reader, dump_outcome, dump, why);
}

static enum mg_err dump_runs(struct dump *dump, struct partition *partition, uint64_t length, struct mg_why *why)
{
    const struct decisions *decisions = &partition->decisions;
    struct decision_run merged;
    enum mg_err err = MG_OK;
    int fd = -1;

    if (!decisions->path)
        return MG_OK;
    MG_TRY(decisions_open(decisions->path, &fd, &merged, why));
    if (fd < 0)
        return MG_OK;
    decisions_read(&partition->decisions, length);
    for (size_t i = 0; i < decisions->runs.n; i++) {
        struct mg_why this = { "" };
        enum mg_err failed = decisions_verify(fd, &decisions->runs.at[i], &this);
        if (failed == MG_OK)
            failed = each_entry(fd, &decisions->runs.at[i], dump_entry, dump, &this);
        if (failed != MG_OK && err == MG_OK)
            err = mg_fail(why, MG_E_FORMAT, "%s: %s", decisions->path, this.text);
    }
    close(fd);
    return err == MG_OK && decisions->damaged ? mg_fail(why, MG_E_FORMAT, "%s: a part of it is damaged", decisions->path) : err;
}

static enum mg_err dump_partition(struct tool *tool, struct partition *partition, struct kv_txn *txn, struct mg_why *why)
{
    struct dump *dump = MG_CONTAINER(tool, struct dump, tool);
    struct mg_why other = { "" };
    enum mg_err err = dump_runs(dump, partition, tool_decisions_length(txn), why);
    enum mg_err failed = tool_each_block(tool, partition, txn, dump_block, &other);

    return err != MG_OK || failed == MG_OK ? err : mg_fail(why, failed, "%s", other.text);
}

enum mg_err store_dump_decisions_dir(const char *dir, const uint8_t *trace_id, store_line_fn *on_line, void *owner, struct mg_why *why)
{
    struct dump dump = { .tool = { .on_line = on_line, .owner = owner, .why = why, .dir = dir }, .trace_id = trace_id };
    enum mg_err err;

    buf_init(&dump.line, 4096);
    err = tool_each_partition(&dump.tool, dump_partition, NULL);
    buf_fini(&dump.line);
    return err;
}
