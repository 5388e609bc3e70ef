/* print.c - the dump and the reference page. Both walk the rows; nothing here knows a key. */
#include "conf/conf.h"

#include "base/mem.h"
#include "conf/entry.h"
#include "conf/scalar.h"

/* False: the value holds no password and *out is as it was. */
static bool hide_passwords(const struct conf_field *field, const struct conf_value *value,
                           struct arena *arena, struct conf_value *out)
{
    struct conf_value hidden = *value;

    if (field->type == CONF_STR) {
        hidden.str = scalar_hide_password(value->str, arena);
    } else if (field->type == CONF_LIST) {
        hidden.list.at = arena_alloc(arena, (value->list.n + 1) * sizeof *value->list.at);
        for (size_t i = 0; i < value->list.n; i++)
            hidden.list.at[i] = scalar_hide_password(value->list.at[i], arena);
    }
    if (conf_value_eq(field, value, &hidden))
        return false;
    *out = hidden;
    return true;
}

/* A comment: what is shown would be loaded as another password. */
static bool dump_hidden(const struct conf_entry *entry, const struct conf_value *now,
                        struct buf *out)
{
    struct arena arena = {0};
    struct conf_value hidden;
    bool is_hidden = hide_passwords(entry->field, now, &arena, &hidden);

    if (is_hidden) {
        buf_printf(out, "# %s: ", entry->key);
        conf_value_print(entry->field, &hidden, out);
        buf_printf(out, " (password not shown)  # %s\n", entry->origin);
    }
    arena_fini(&arena);
    return is_hidden;
}

static void dump_entry(const struct conf_entry *entry, struct buf *out)
{
    struct conf_value now;

    conf_value_read(entry->field, entry->section->target, &now);
    if (!entry->field->def && conf_value_is_zero(entry->field, &now) &&
        conf_value_eq(entry->field, &now, &entry->value) && !strcmp(entry->origin, "default")) {
        buf_printf(out, "# %s:  # default, none\n", entry->key);
        return;
    }
    if (entry->field->is_secret) {
        buf_printf(out, "# %s: (set, not shown)  # %s\n", entry->key, entry->origin);
        return;
    }
    if (dump_hidden(entry, &now, out))
        return;
    buf_printf(out, "%s: ", entry->key);
    conf_value_print(entry->field, &now, out);
    bool is_computed = !conf_value_eq(entry->field, &now, &entry->value);
    buf_printf(out, "  # %s%s\n", entry->origin, is_computed ? ", computed" : "");
}

void conf_dump(const struct conf *conf, struct buf *out)
{
    for (size_t i = 0; i < conf->n; i++)
        dump_entry(&conf->entries[i], out);
}

static const char *type_name(enum conf_type type)
{
    switch (type) {
    case CONF_BOOL: return "true or false";
    case CONF_U64: return "whole number";
    case CONF_BYTES: return "size";
    case CONF_DURATION: return "duration";
    case CONF_NUMBER: return "number";
    case CONF_STR: return "text";
    case CONF_CHOICE: return "choice";
    case CONF_ADDRESS: return "address or off";
    case CONF_LIST: return "list";
    case CONF_TREE: return "list or map";
    }
    return "";
}

/* A bar would end the cell. */
static void put_cell(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '|')
            buf_put_char(out, '\\');
        buf_put_char(out, text.ptr[i] == '\n' ? ' ' : text.ptr[i]);
    }
}

static void put_range(const struct conf_field *field, struct buf *out)
{
    if (field->type == CONF_CHOICE)
        put_cell(str_of(field->choices), out);
    else if (field->min && field->max)
        buf_printf(out, "%s to %s", field->min, field->max);
    else if (field->min || field->max)
        buf_printf(out, "at %s %s", field->min ? "least" : "most",
                   field->min ? field->min : field->max);
}

static void put_row(const struct conf_entry *entry, struct buf *out)
{
    const struct conf_field *field = entry->field;

    buf_printf(out, "| `%s` | %s | ", entry->key, type_name(field->type));
    if (field->def && *field->def) {
        buf_put_char(out, '`');
        put_cell(str_of(field->def), out);
        buf_put_char(out, '`');
    }
    buf_put_text(out, " | ");
    put_range(field, out);
    buf_put_text(out, " | ");
    put_cell(str_of(field->help), out);
    buf_put_text(out, field->needs_restart ? " Needs a restart. |\n" : " |\n");
}

void conf_reference(const struct conf_section *sections, size_t n_sections, struct buf *out)
{
    struct conf conf = { 0 };
    const char *open = NULL; /* prefix of the table */

    conf_entries_init(&conf, sections, n_sections);
    for (size_t i = 0; i < conf.n; i++) {
        const char *prefix = conf.entries[i].section->prefix;

        if (!open || strcmp(prefix, open) != 0) {
            buf_printf(
                out,
                "%s## %s\n\n| key | value | default | range | meaning |\n|---|---|---|---|---|\n",
                open ? "\n" : "", *prefix ? prefix : "Top level");
            open = prefix;
        }
        put_row(&conf.entries[i], out);
    }
    mem_free(conf.entries);
    arena_fini(&conf.arena);
}
