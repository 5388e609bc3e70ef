/* sampling.c - `sampling show`: what SDKs are told to sample, by service and operation, and who says so. */
#include "command/sampling.h"
#include "codec/json.h"
#include "command/column.h"
#include "command/show.h"
#include "command/table.h"

enum { SERVICE, OPERATION, TEXTS };
struct widths { size_t of[TEXTS]; };
static const char *const keys[TEXTS] = { "service", "operation" };

/* An empty name is every name that has no row of its own. */
static struct str name_of(const struct json *row, const char *key)
{
    struct str name = json_str(json_get(row, key));

    return name.len ? name : STR("*");
}

static bool is_number(const struct json *value)
{
    return value && (json_kind(value) == JSON_INT || json_kind(value) == JSON_NUMBER);
}

static enum mg_err check(const struct json *root, struct mg_why *why)
{
    const struct json *data = json_get(root, "data");

    if (!data || json_kind(data) != JSON_ARRAY)
        return mg_fail(why, MG_E_FORMAT, "the answer is no table of sampling: 'data' is missing or no list");
    for (size_t i = 0; i < json_count(data); i++)
        if (!is_number(json_get(json_at(data, i), "probability")))
            return mg_fail(why, MG_E_FORMAT, "the answer is no table of sampling: row %zu has no probability", i);
    return MG_OK;
}

static struct widths measure(const struct json *data)
{
    struct widths widths = { { strlen("SERVICE"), strlen("OPERATION") } };

    for (size_t i = 0; i < json_count(data); i++)
        for (size_t k = 0; k < TEXTS; k++)
            widths.of[k] = MG_MAX(widths.of[k], column_width(name_of(json_at(data, i), keys[k])));
    return widths;
}

static void put_row(struct buf *out, const struct json *row, const struct widths *widths)
{
    for (size_t k = 0; k < TEXTS; k++) {
        column_put(out, name_of(row, keys[k]), widths->of[k]);
        buf_put_text(out, "  ");
    }
    if (is_number(json_get(row, "max_traces_per_second"))) /* clients are told this alone */
        buf_printf(out, "%9lld/s  ", (long long)json_int(json_get(row, "max_traces_per_second")));
    else
        buf_printf(out, "%11.6g  ", json_number(json_get(row, "probability")));
    const struct json *samples = json_get(row, "samples_per_second");
    if (is_number(samples))
        buf_printf(out, "%9.4g  ", json_number(samples));
    else
        buf_printf(out, "%9s  ", "-"); /* nothing was counted for it: a row of the file, or of an override */
    column_put(out, json_str(json_get(row, "source")), strlen("override"));
    buf_printf(out, "  %s\n", json_bool(json_get(row, "is_followed")) ? "yes" : "no");
}

enum mg_err sampling_print(struct str json, struct buf *out, bool *is_fine, struct mg_why *why)
{
    MG_AUTO(json_free) struct json *root = NULL;

    (void)is_fine;
    MG_TRY(json_parse(&root, json, why));
    MG_TRY(check(root, why));
    const struct json *data = json_get(root, "data");
    struct widths widths = measure(data);
    column_put(out, STR("SERVICE"), widths.of[SERVICE] + 2);
    column_put(out, STR("OPERATION"), widths.of[OPERATION] + 2);
    buf_put_text(out, "PROBABILITY  SAMPLES/S  SOURCE    FOLLOWED\n");
    for (size_t i = 0; i < json_count(data); i++)
        put_row(out, json_at(data, i), &widths);
    return buf_err(out);
}

static int show_run(const void *fields, const struct arg_list *operands)
{
    (void)operands;
    return show_answer(fields, "sampling show", "/api/sampling/effective", sampling_print);
}

static const struct show_fields sampling_defaults = { .server.url = SERVER_DEFAULT };
static const struct arg_option sampling_options[] = { SHOW_ARG_ROWS };
const struct command sampling_show_command = {
    .name = "sampling show",
    .help = "Prints which share of traces SDKs are told to sample, by service and operation, and why.",
    .rules = { sampling_options, MG_COUNT(sampling_options), "", 0, 0 },
    .defaults = &sampling_defaults,
    .fields_bytes = sizeof sampling_defaults,
    .run = show_run,
};
