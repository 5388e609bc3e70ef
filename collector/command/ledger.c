/* ledger.c - `ledger`: the spans' book of a running instance, and whether it balances:
 * accepted = stored + sampled_out + duplicate + pending. Refused spans are counted apart. */
#include "command/ledger.h"
#include <inttypes.h>
#include <stdlib.h>
#include "base/vec.h"
#include "codec/json.h"
#include "command/column.h"
#include "command/show.h"
#include "command/table.h"

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

static bool is_count(const struct json *value)
{
    return value && json_kind(value) == JSON_INT && json_int(value) >= 0;
}

static enum mg_err read_numbers(const struct json *root, uint64_t out[NUMBERS], struct mg_why *why)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        const struct json *value = json_get(root, numbers[i].name);
        if (!is_count(value))
            return mg_fail(why, MG_E_FORMAT, "the answer is no ledger: '%s' is missing or no count",
                           numbers[i].name);
        out[i] = (uint64_t)json_int(value);
    }
    return MG_OK;
}

/* --- by who decided ---------------------------------------------------------------------------- */

enum { KEPT, OUT, COLUMNS };
static const char *const columns[COLUMNS] = { "kept_by_policy", "sampled_out_by_policy" };
struct split {
    struct str name;
    uint64_t spans[COLUMNS];
};
struct splits { VEC(struct split) list; };

static struct split *split_named(struct splits *splits, struct str name)
{
    for (size_t i = 0; i < splits->list.n; i++)
        if (str_eq(splits->list.at[i].name, name))
            return &splits->list.at[i];
    VEC_PUSH(&splits->list, ((struct split){ .name = name }));
    return &splits->list.at[splits->list.n - 1];
}

/* Names borrow from the tree. An older collector has none. */
static enum mg_err read_splits(const struct json *root, struct splits *out, struct mg_why *why)
{
    for (size_t k = 0; k < COLUMNS; k++) {
        const struct json *object = json_get(root, columns[k]), *value;
        void *iterator = NULL;
        struct str name;
        if (object && json_kind(object) != JSON_OBJECT)
            return mg_fail(why, MG_E_FORMAT, "the answer is no ledger: '%s' is no object", columns[k]);
        while (json_member(object, &iterator, &name, &value)) {
            if (!is_count(value))
                return mg_fail(why, MG_E_FORMAT, "the answer is no ledger: '%.*s' in '%s' is no count", STR_ARG(name), columns[k]);
            split_named(out, name)->spans[k] = (uint64_t)json_int(value);
        }
    }
    return MG_OK;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct split *)a)->name, ((const struct split *)b)->name);
}

static void put_splits(struct splits *splits, struct buf *out)
{
    size_t width = strlen("DECIDED BY");

    if (splits->list.n == 0)
        return;
    qsort(splits->list.at, splits->list.n, sizeof *splits->list.at, by_name);
    for (size_t i = 0; i < splits->list.n; i++)
        width = MG_MAX(width, column_width(splits->list.at[i].name));
    buf_put_char(out, '\n');
    column_put(out, STR("DECIDED BY"), width);
    buf_printf(out, " %15s %15s\n", "KEPT", "SAMPLED OUT");
    for (size_t i = 0; i < splits->list.n; i++) {
        column_put(out, splits->list.at[i].name, width);
        buf_printf(out, " %15" PRIu64 " %15" PRIu64 "\n", splits->list.at[i].spans[KEPT], splits->list.at[i].spans[OUT]);
    }
}

/* --- the answer -------------------------------------------------------------------------------- */

static void put_numbers(const uint64_t n[NUMBERS], struct buf *out, bool *balances)
{
    for (size_t i = 0; i < NUMBERS; i++)
        buf_printf(out, "%-12s %15" PRIu64 "  %s\n", numbers[i].name, n[i], numbers[i].meaning);
    *balances = n[ACCEPTED] == n[STORED] + n[SAMPLED_OUT] + n[DUPLICATE] + n[PENDING];
    buf_printf(out,
               "\naccepted %" PRIu64 " %s stored %" PRIu64 " + sampled_out %" PRIu64
               " + duplicate %" PRIu64 " + pending %" PRIu64 ": %s\n",
               n[ACCEPTED], *balances ? "=" : "!=", n[STORED], n[SAMPLED_OUT], n[DUPLICATE],
               n[PENDING], *balances ? "the ledger balances" : "the ledger does NOT balance");
}

enum mg_err ledger_print(struct str json, struct buf *out, bool *balances, struct mg_why *why)
{
    MG_AUTO(json_free) struct json *root = NULL;
    struct splits splits = { 0 };
    uint64_t n[NUMBERS];

    MG_TRY(json_parse(&root, json, why));
    MG_TRY(read_numbers(root, n, why));
    enum mg_err err = read_splits(root, &splits, why);
    if (err == MG_OK) {
        put_numbers(n, out, balances);
        put_splits(&splits, out);
    }
    VEC_FINI(&splits.list);
    return err;
}

static int ledger_run(const void *fields, const struct arg_list *operands)
{
    (void)operands;
    return show_answer(fields, "ledger", "/api/meshglass/v1/ledger", ledger_print);
}

static const struct show_fields ledger_defaults = {.server.url = SERVER_DEFAULT};
static const struct arg_option ledger_options[] = {SHOW_ARG_ROWS};
const struct command ledger_command = {
    .name = "ledger",
    .help = "Prints what became of every span; exit status 1 when the ledger does not balance.",
    .rules = {ledger_options, MG_COUNT(ledger_options), "", 0, 0},
    .defaults = &ledger_defaults,
    .fields_bytes = sizeof ledger_defaults,
    .run = ledger_run,
};
