/* store.c - `store check|dump|stats DIR`: the store's own tools (store/tools.h) on a stopped
 * data_dir. */
#include <stdio.h>
#include "command/offline.h"
#include "command/table.h"
#include "model/span.h"
#include "store/tools.h"

struct store_fields {
    const char *trace;
    bool is_about_decisions;
};
typedef enum mg_err store_tool_fn(const char *dir, const uint8_t *trace_id, store_line_fn *on_line,
                                  void *owner, struct mg_why *why);

static void on_line(void *owner, struct str line)
{
    offline_line(owner, line);
}

static int work(const char *command, const char *dir, store_tool_fn *tool, const uint8_t *trace_id)
{
    struct offline offline;
    struct mg_why why;
    enum mg_err err;

    if (offline_open(&offline, command, dir, "store", ".mdb", &why) != MG_OK) {
        command_error(command, why.text);
        return COMMAND_NO;
    }
    fprintf(stderr, "%s: reading %s\n", command, offline.dir);
    err = tool(offline.dir, trace_id, on_line, &offline, &why);
    if (err == MG_OK && trace_id && offline.lines == 0)
        err = mg_fail(&why, MG_E_ABSENT, "nothing about this trace is stored");
    if (err != MG_OK)
        command_error(command, why.text);
    offline_close(&offline);
    return command_flush(err == MG_OK ? COMMAND_FINE : COMMAND_NO);
}

static enum mg_err check(const char *dir, const uint8_t *trace_id, store_line_fn *line_fn,
                         void *owner, struct mg_why *why)
{
    (void)trace_id;
    return store_check_dir(dir, line_fn, owner, why);
}

static enum mg_err stats(const char *dir, const uint8_t *trace_id, store_line_fn *line_fn,
                         void *owner, struct mg_why *why)
{
    (void)trace_id;
    return store_stats_dir(dir, line_fn, owner, why);
}

static int store_check_run(const void *fields, const struct arg_list *operands)
{
    (void)fields;
    return work("store check", operands->at[0], check, NULL);
}

static int store_stats_run(const void *fields, const struct arg_list *operands)
{
    (void)fields;
    return work("store stats", operands->at[0], stats, NULL);
}

static int store_dump_run(const void *fields, const struct arg_list *operands)
{
    const struct store_fields *f = fields;
    store_tool_fn *tool = f->is_about_decisions ? store_dump_decisions_dir : store_dump_dir;
    uint8_t trace_id[16];

    if (!f->trace)
        return work("store dump", operands->at[0], tool, NULL);
    if (!trace_id_parse(str_of(f->trace), trace_id)) {
        command_error("store dump", "--trace: not a trace id of 1 to 32 hex digits");
        return COMMAND_USAGE;
    }
    return work("store dump", operands->at[0], tool, trace_id);
}

static const struct store_fields store_defaults;
static const struct arg_option dump_options[] = {
    {.name = "--trace",
     .kind = ARG_TEXT,
     .offset = offsetof(struct store_fields, trace),
     .value = "ID",
     .help = "Only the spans, or decisions, of this trace; exit status 1 when there are none."},
    {.name = "--decisions",
     .kind = ARG_FLAG,
     .offset = offsetof(struct store_fields, is_about_decisions),
     .help = "What was decided instead of spans: a JSON object for each dropped or kept trace."},
};
const struct command store_check_command = {
    .name = "store check",
    .help =
        "Verifies every partition of a stopped data_dir; exit status 1 when something is damaged.",
    .rules = {NULL, 0, "DIR", 1, 1},
    .run = store_check_run,
};
const struct command store_dump_command = {
    .name = "store dump",
    .help = "Prints every stored span of a stopped data_dir, one OTLP/JSON request a line.",
    .rules = {dump_options, MG_COUNT(dump_options), "DIR", 1, 1},
    .defaults = &store_defaults,
    .fields_bytes = sizeof store_defaults,
    .run = store_dump_run,
};
const struct command store_stats_command = {
    .name = "store stats",
    .help = "Prints where the bytes of a stopped data_dir's store go, by column.",
    .rules = {NULL, 0, "DIR", 1, 1},
    .run = store_stats_run,
};
