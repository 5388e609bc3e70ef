/* journal.c - `journal check|dump DIR`: reads the log of a stopped data_dir back. Nothing is
 * written: the journal is opened but its writer is never started. */
#include "command/journal.h"
#include <inttypes.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/mem.h"
#include "codec/json_write.h"
#include "codec/zip.h"
#include "command/offline.h"
#include "command/table.h"
#include "ingest/head.h"
#include "ingest/ingest.h"
#include "live/decision.h"

static const size_t line_bytes_max = (size_t)4
                                     << 30; /* decisions of one record of at most 1 GiB, as text */

/* --- one line
 * --------------------------------------------------------------------------------------- */

static const char *kind_name(enum journal_kind kind)
{
    static const char *const names[] = {
        [JOURNAL_BODY] = "body", [JOURNAL_DECISIONS] = "decisions", [JOURNAL_SERIES] = "series"};

    return (size_t)kind < MG_COUNT(names) && names[kind] ? names[kind] : "unknown";
}

static const char *protocol_name(unsigned protocol)
{
    static const char *const names[] = {
        [INGEST_OTLP_PROTO] = "otlp_proto", [INGEST_OTLP_JSON] = "otlp_json",
        [INGEST_ZIPKIN_JSON] = "zipkin_json", [INGEST_ZIPKIN_PROTO] = "zipkin_proto",
        [INGEST_JAEGER_POST_SPANS] = "jaeger_post_spans", [INGEST_JAEGER_HTTP_BINARY] = "jaeger_http_binary",
        [INGEST_JAEGER_UDP_COMPACT] = "jaeger_udp_compact", [INGEST_JAEGER_UDP_BINARY] = "jaeger_udp_binary",
        [INGEST_JAEGER_SPAN] = "jaeger_span"};

    return protocol < MG_COUNT(names) && names[protocol] ? names[protocol] : "unknown";
}

static void put_common(struct json_writer *w, const struct journal_record *record)
{
    char time[CLOCK_TEXT_BYTES];

    clock_text(record->wall_ns, time);
    json_key_text(w, "position");
    json_put_u64(w, record->position);
    json_key_text(w, "kind");
    json_put_str(w, str_of(kind_name(record->kind)));
    json_key_text(w, "log_ns");
    json_put_u64(w, record->log_ns);
    json_key_text(w, "wall_time");
    json_put_str(w, str_of(time));
    json_key_text(w, "wall_ns");
    json_put_u64(w, record->wall_ns);
}

static bool put_error(struct json_writer *w, const char *text)
{
    json_key_text(w, "error");
    json_put_str(w, str_of(text));
    return false;
}

static bool put_body(struct json_writer *w, const struct journal_record *record)
{
    struct body_head head;

    json_key_text(w, "protocol");
    json_put_str(w, str_of(protocol_name(record->protocol)));
    json_key_text(w, "encoding");
    json_put_str(
        w, str_of(record->encoding <= ZIP_ZSTD ? zip_kind_name(record->encoding) : "unknown"));
    json_key_text(w, "body_bytes");
    json_put_u64(w, record->body.len);
    if (body_head_read(record->head, &head) != MG_OK)
        return put_error(w, "the lists of refused and dropped spans cannot be read");
    json_key_text(w, "refused");
    json_put_u64(w, head.n_refused);
    json_key_text(w, "dropped");
    json_put_u64(w, head.n_dropped);
    body_head_fini(&head);
    return true;
}

static void put_decision(struct json_writer *w, const struct decision *decision)
{
    const struct outcome *outcome = &decision->outcome;

    json_object(w);
    json_key_text(w, "trace_id");
    json_put_hex(w, decision->trace_id, sizeof decision->trace_id);
    json_key_text(w, "through");
    json_put_u64(w, decision->through);
    json_key_text(w, "verdict");
    json_put_str(w, outcome->verdict == VERDICT_KEPT ? STR("kept") : STR("dropped"));
    json_key_text(w, "trigger");
    json_put_str(w, str_of(trigger_name(outcome->trigger)));
    if (outcome->reason != REASON_NONE) {
        json_key_text(w, "reason");
        json_put_str(w, str_of(reason_name(outcome->reason)));
        json_key_text(w, "policy");
        json_put_u64(w, outcome->policy);
        json_key_text(w, "probability");
        json_put_double(w, ot_probability_shown(outcome->threshold));
        json_key_text(w, "rules");
        json_put_u64(w, outcome->rules);
    }
    json_object_end(w);
}

static bool put_decisions(struct json_writer *w, const struct journal_record *record)
{
    struct decision_reader reader;
    struct decision decision;
    enum mg_err err = decision_read(&reader, record->body);

    json_key_text(w, "decisions");
    json_array(w);
    while (err == MG_OK && reader.at < reader.end)
        if ((err = decision_next(&reader, &decision)) == MG_OK)
            put_decision(w, &decision);
    json_array_end(w);
    return err == MG_OK || put_error(w, "a decision cannot be read");
}

bool journal_line(const struct journal_record *record, struct buf *out)
{
    struct json_writer w;
    bool is_good = true;

    json_writer_init(&w, out, 0);
    json_object(&w);
    put_common(&w, record);
    if (record->kind == JOURNAL_BODY)
        is_good = put_body(&w, record);
    else if (record->kind == JOURNAL_DECISIONS)
        is_good = put_decisions(&w, record);
    else {
        json_key_text(&w, "body_bytes");
        json_put_u64(&w, record->body.len);
    }
    json_object_end(&w);
    return is_good;
}

/* --- dump
 * ------------------------------------------------------------------------------------------- */

struct dump {
    struct offline offline;
    struct buf line;
    uint64_t bad_records;
};

static enum mg_err on_record(void *owner, const struct journal_record *record)
{
    struct dump *dump = owner;

    buf_clear(&dump->line);
    if (!journal_line(record, &dump->line))
        dump->bad_records++;
    offline_line(&dump->offline, buf_str(&dump->line));
    return ferror(stdout) ? MG_E_IO : MG_OK;
}

static enum mg_err dump_records(struct dump *dump, struct journal_stats *stats, struct mg_why *why)
{
    const struct journal_options options = {.dir = dump->offline.dir};
    struct journal *journal;
    enum mg_err err;

    MG_TRY(journal_open(&journal, &options, why));
    err = journal_replay(journal, 0, on_record, dump, why);
    journal_stat(journal, stats);
    journal_close(&journal);
    return err;
}

static int dump_end(const struct dump *dump, const struct journal_stats *stats)
{
    char text[160];

    if (stats->corrupt_places == 0 && dump->bad_records == 0)
        return COMMAND_FINE;
    snprintf(text, sizeof text,
             "%" PRIu64 " damaged places, %" PRIu64 " records lost, %" PRIu64
             " records not understood",
             stats->corrupt_places, stats->corrupt_records, dump->bad_records);
    command_error("journal dump", text);
    return COMMAND_NO;
}

static int journal_dump_run(const void *fields, const struct arg_list *operands)
{
    struct dump dump = {0};
    struct journal_stats stats;
    struct mg_why why = {""};
    int status = COMMAND_NO;

    (void)fields;
    if (offline_open(&dump.offline, "journal dump", operands->at[0], "journal", ".log", &why) !=
        MG_OK) {
        command_error("journal dump", why.text);
        return COMMAND_NO;
    }
    buf_init(&dump.line, line_bytes_max);
    if (dump_records(&dump, &stats, &why) == MG_OK)
        status = dump_end(&dump, &stats);
    else if (!ferror(stdout)) /* which command_flush tells */
        command_error("journal dump", why.text);
    buf_fini(&dump.line);
    offline_close(&dump.offline);
    return command_flush(status);
}

/* --- check
 * ------------------------------------------------------------------------------------------ */

static void on_line(void *owner, const char *line)
{
    offline_line(owner, str_of(line));
}

static int journal_check_run(const void *fields, const struct arg_list *operands)
{
    struct offline offline;
    struct journal_stats stats;
    struct mg_why why;
    enum mg_err err;

    (void)fields;
    if (offline_open(&offline, "journal check", operands->at[0], "journal", ".log", &why) !=
        MG_OK) {
        command_error("journal check", why.text);
        return COMMAND_NO;
    }
    err = journal_check(offline.dir, on_line, &offline, &stats, &why);
    if (err == MG_OK)
        printf("%s: fine: %" PRIu64 " records in %" PRIu64 " segments, positions below %" PRIu64
               "\n",
               offline.dir, stats.records, stats.segments, stats.next_position);
    else
        command_error("journal check", why.text);
    offline_close(&offline);
    return command_flush(err == MG_OK ? COMMAND_FINE : COMMAND_NO);
}

const struct command journal_check_command = {
    .name = "journal check",
    .help = "Verifies the log of a stopped data_dir; exit status 1 when anything but its torn end "
            "is wrong.",
    .rules = {NULL, 0, "DIR", 1, 1},
    .run = journal_check_run,
};
const struct command journal_dump_command = {
    .name = "journal dump",
    .help = "Prints the log of a stopped data_dir, a line of JSON a record.",
    .rules = {NULL, 0, "DIR", 1, 1},
    .run = journal_dump_run,
};
