/* config.c - `config`: every value in force with its origin, as YAML that loads back to the same;
 * or the reference page, which is made from the rows alone. Values that the program computes from
 * the machine are filled in first, so that what is shown is what `run` would use. */
#include "command/settings.h"
#include "command/table.h"
#include <stdio.h>
#include "base/mem.h"

struct config_fields {
    struct config_args config;
    bool reference;
};

static int put(struct buf *text)
{
    int status = COMMAND_FINE;

    if (buf_err(text) != MG_OK) {
        command_error("config", "the text is too long");
        status = COMMAND_NO;
    } else {
        fwrite(text->ptr, 1, text->len, stdout);
    }
    buf_fini(text);
    return command_flush(status);
}

static int dump(struct settings *settings, struct buf *out)
{
    char *data_dir = settings_data_dir(settings);
    int status;

    settings->top.data_dir = str_of(data_dir);
    settings->live.ring_bytes = live_ring_bytes(&settings->live);
    conf_dump(settings->conf, out);
    status = put(out);
    mem_free(data_dir);
    return status;
}

static int config_run(const void *fields, const struct arg_list *operands)
{
    const struct config_fields *f = fields;
    struct settings settings;
    struct mg_why why;
    struct buf out;
    enum mg_err err;
    int status;

    (void)operands;
    buf_init(&out, 4u << 20);
    if (f->reference) {
        settings_reference(&out);
        return put(&out);
    }
    err = settings_load(&settings, f->config.file, f->config.sets.at, f->config.sets.n, &why);
    if (err != MG_OK)
        command_error("config", why.text);
    /* What the user wrote is wrong: usage. What could not be read failed. */
    status = err == MG_OK ? dump(&settings, &out) : err == MG_E_FORMAT ? COMMAND_USAGE : COMMAND_NO;
    settings_fini(&settings);
    return status;
}

static const struct config_fields config_defaults;
static const struct arg_option config_options[] = {
    CONFIG_ARG_ROWS(struct config_fields, config.),
    {.name = "--reference",
     .kind = ARG_FLAG,
     .offset = offsetof(struct config_fields, reference),
     .help = "Prints the reference page of all settings instead, as Markdown."},
};
const struct command config_command = {
    .name = "config",
    .help = "Prints every setting in force and where it comes from.",
    .rules = {config_options, MG_COUNT(config_options), "", 0, 0},
    .defaults = &config_defaults,
    .fields_bytes = sizeof config_defaults,
    .run = config_run,
};
