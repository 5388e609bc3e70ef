/* ledger.c - `ledger`: the spans' book of a running instance, and whether it balances (DESIGN P3):
 * accepted = stored + sampled_out + duplicate + pending. Refused spans are counted apart. */
#include "command/ledger.h"
#include <inttypes.h>
#include <stdio.h>
#include "codec/json.h"
#include "command/server.h"
#include "command/table.h"

struct ledger_fields {
    struct server_args server;
    bool json;
};

enum { ACCEPTED, STORED, SAMPLED_OUT, DUPLICATE, PENDING, REFUSED, LATE, NUMBERS };
static const struct {
    const char *name, *meaning;
} numbers[NUMBERS] = {
    [ACCEPTED] = {"accepted", "spans taken in"},
    [STORED] = {"stored", "kept, in the store"},
    [SAMPLED_OUT] = {"sampled_out", "dropped by a decision"},
    [DUPLICATE] = {"duplicate", "equal to another span of their trace"},
    [PENDING] = {"pending", "waiting for a decision or for the store"},
    [REFUSED] = {"refused", "never taken in; not part of the balance"},
    [LATE] = {"late", "came after the decision; part of the above"},
};

static enum mg_err read_numbers(struct str text, uint64_t out[NUMBERS], struct mg_why *why)
{
    MG_AUTO(json_free) struct json *root = NULL;

    MG_TRY(json_parse(&root, text, why));
    for (size_t i = 0; i < NUMBERS; i++) {
        const struct json *value = json_get(root, numbers[i].name);
        if (!value || json_kind(value) != JSON_INT || json_int(value) < 0)
            return mg_fail(why, MG_E_FORMAT, "the answer is no ledger: '%s' is missing or no count",
                           numbers[i].name);
        out[i] = (uint64_t)json_int(value);
    }
    return MG_OK;
}

enum mg_err ledger_print(struct str json, struct buf *out, bool *balances, struct mg_why *why)
{
    uint64_t n[NUMBERS];

    MG_TRY(read_numbers(json, n, why));
    for (size_t i = 0; i < NUMBERS; i++)
        buf_printf(out, "%-12s %15" PRIu64 "  %s\n", numbers[i].name, n[i], numbers[i].meaning);
    *balances = n[ACCEPTED] == n[STORED] + n[SAMPLED_OUT] + n[DUPLICATE] + n[PENDING];
    buf_printf(out,
               "\naccepted %" PRIu64 " %s stored %" PRIu64 " + sampled_out %" PRIu64
               " + duplicate %" PRIu64 " + pending %" PRIu64 ": %s\n",
               n[ACCEPTED], *balances ? "=" : "!=", n[STORED], n[SAMPLED_OUT], n[DUPLICATE],
               n[PENDING], *balances ? "the ledger balances" : "the ledger does NOT balance");
    return MG_OK;
}

static int ledger_run(const void *fields, const struct arg_list *operands)
{
    const struct ledger_fields *f = fields;
    struct buf body, out;
    struct mg_why why;
    bool balances = true;
    enum mg_err err;

    (void)operands;
    if (server_get(&f->server, "/api/meshglass/v1/ledger", NULL, &body, &why) != MG_OK) {
        command_error("ledger", why.text);
        return COMMAND_NO;
    }
    buf_init(&out, 64u << 10);
    err = ledger_print(buf_str(&body), &out, &balances, &why);
    if (err != MG_OK)
        command_error("ledger", why.text);
    else if (f->json)
        printf("%.*s\n", STR_ARG(buf_str(&body)));
    else
        printf("%.*s", STR_ARG(buf_str(&out)));
    buf_fini(&body);
    buf_fini(&out);
    return command_flush(err == MG_OK && balances ? COMMAND_FINE : COMMAND_NO);
}

static const struct ledger_fields ledger_defaults = {.server.url = SERVER_DEFAULT};
static const struct arg_option ledger_options[] = {
    SERVER_ARG_ROWS(struct ledger_fields, server),
    {.name = "--json",
     .kind = ARG_FLAG,
     .offset = offsetof(struct ledger_fields, json),
     .help = "Prints the answer as it came, as JSON."},
};
const struct command ledger_command = {
    .name = "ledger",
    .help = "Prints what became of every span; exit status 1 when the ledger does not balance.",
    .rules = {ledger_options, MG_COUNT(ledger_options), "", 0, 0},
    .defaults = &ledger_defaults,
    .fields_bytes = sizeof ledger_defaults,
    .run = ledger_run,
};
