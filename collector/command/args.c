/* args.c - see args.h. getopt_long would do the splitting, but knows no types, no ranges and no
 * nearest name, and keeps its state in globals. */
#include "command/args.h"
#include <inttypes.h>
#include "base/mem.h"
#include "base/vec.h"

struct parse {
    const struct arg_rules *rules;
    void *fields;
    struct arg_list *operands;
    uint64_t given; /* bit i: options[i] was seen */
    struct mg_why *why;
};

static const struct arg_option *option_find(const struct arg_rules *rules, struct str name)
{
    for (size_t i = 0; i < rules->n_options; i++)
        if (str_eq(name, str_of(rules->options[i].name)))
            return &rules->options[i];
    return NULL;
}

static enum mg_err fail_unknown(const struct parse *p, struct str name)
{
    const char *best = "--help";
    size_t best_distance = str_distance(name, str_of(best), STR_DISTANCE_MAX);

    for (size_t i = 0; i < p->rules->n_options; i++) {
        size_t distance = str_distance(name, str_of(p->rules->options[i].name), best_distance);
        if (distance < best_distance) {
            best_distance = distance;
            best = p->rules->options[i].name;
        }
    }
    return mg_fail(p->why, MG_E_FORMAT, "unknown option '%.*s'; did you mean '%s'?", STR_ARG(name),
                   best);
}

static enum mg_err set_u64(const struct arg_option *option, const char *text, uint64_t *out,
                           struct mg_why *why)
{
    uint64_t value;

    if (str_u64(str_of(text), &value) != MG_OK || value < option->min || value > option->max)
        return mg_fail(why, MG_E_FORMAT,
                       "%s: '%s' is not a whole number from %" PRIu64 " to %" PRIu64, option->name,
                       text, option->min, option->max);
    *out = value;
    return MG_OK;
}

static enum mg_err set_duration(const struct arg_option *option, const char *text, uint64_t *out,
                                struct mg_why *why)
{
    int64_t value;

    if (str_duration_ns(str_of(text), &value) != MG_OK)
        return mg_fail(why, MG_E_FORMAT, "%s: '%s' is not a duration such as 90s, 10m or 1h30m",
                       option->name, text);
    if ((uint64_t)value < option->min || (uint64_t)value > option->max)
        return mg_fail(why, MG_E_FORMAT, "%s: %s is outside %" PRIu64 "s to %" PRIu64 "s",
                       option->name, text, option->min / 1000000000, option->max / 1000000000);
    *out = (uint64_t)value;
    return MG_OK;
}

static enum mg_err set_value(const struct parse *p, const struct arg_option *option,
                             const char *text)
{
    void *field = (char *)p->fields + option->offset;

    if (option->kind != ARG_FLAG && text[0] == '\0')
        return mg_fail(p->why, MG_E_FORMAT, "%s needs a value: %s", option->name, option->value);
    switch (option->kind) {
    case ARG_FLAG:
        *(bool *)field = true;
        break;
    case ARG_TEXT:
        *(const char **)field = text;
        break;
    case ARG_LIST:
        VEC_PUSH((struct arg_list *)field, text);
        break;
    case ARG_U64:
        return set_u64(option, text, field, p->why);
    case ARG_DURATION:
        return set_duration(option, text, field, p->why);
    }
    return MG_OK;
}

static enum mg_err see_once(struct parse *p, const struct arg_option *option)
{
    uint64_t bit = UINT64_C(1) << (option - p->rules->options);

    if ((p->given & bit) && option->kind != ARG_LIST)
        return mg_fail(p->why, MG_E_FORMAT, "%s is given twice", option->name);
    p->given |= bit;
    return MG_OK;
}

/* *next: the argument behind this one, NULL at the end; *took_next tells whether it was the value.
 */
static enum mg_err parse_option(struct parse *p, const char *text, const char *next,
                                bool *took_next)
{
    struct str name = str_of(text), value;
    bool has_value = str_split_at(name, '=', &name, &value);
    const struct arg_option *option = option_find(p->rules, name);

    *took_next = false;
    if (!option)
        return fail_unknown(p, name);
    MG_TRY(see_once(p, option));
    if (option->kind == ARG_FLAG && has_value)
        return mg_fail(p->why, MG_E_FORMAT, "%s takes no value", option->name);
    if (option->kind == ARG_FLAG)
        return set_value(p, option, "");
    if (has_value)
        return set_value(p, option, value.ptr); /* the end of an argument, so NUL-terminated */
    if (!next)
        return mg_fail(p->why, MG_E_FORMAT, "%s needs a value: %s", option->name, option->value);
    *took_next = true;
    return set_value(p, option, next);
}

static enum mg_err check_operands(const struct parse *p)
{
    const struct arg_rules *rules = p->rules;

    if (p->operands->n < rules->operands_min)
        return mg_fail(p->why, MG_E_FORMAT, "%s is missing", rules->operands);
    if (p->operands->n > rules->operands_max)
        return mg_fail(p->why, MG_E_FORMAT, "unexpected '%s'%s",
                       p->operands->at[rules->operands_max],
                       option_find(rules, STR("--config"))
                           ? " (a configuration file is given with --config)"
                           : "");
    return MG_OK;
}

static bool is_given(const struct parse *p, const char *name)
{
    const struct arg_option *option = option_find(p->rules, str_of(name));

    return option && (p->given & UINT64_C(1) << (option - p->rules->options));
}

static enum mg_err check_pairs(const struct parse *p)
{
    for (size_t i = 0; i < p->rules->n_options; i++) {
        const struct arg_option *option = &p->rules->options[i];
        if (option->with && is_given(p, option->name) && !is_given(p, option->with))
            return mg_fail(p->why, MG_E_FORMAT, "%s is given without %s", option->name,
                           option->with);
    }
    return MG_OK;
}

enum mg_err args_parse(const struct arg_rules *rules, int argc, char *const *argv, void *fields,
                       struct arg_list *operands, struct mg_why *why)
{
    struct parse p = {.rules = rules, .fields = fields, .operands = operands, .why = why};
    bool options_end = false, took_next;

    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (!options_end && strcmp(text, "--") == 0) {
            options_end = true;
        } else if (!options_end && text[0] == '-' && text[1] != '\0') {
            MG_TRY(parse_option(&p, text, i + 1 < argc ? argv[i + 1] : NULL, &took_next));
            i += took_next;
        } else {
            VEC_PUSH(operands, text);
        }
    }
    MG_TRY(check_pairs(&p));
    return check_operands(&p);
}

static int option_width(const struct arg_option *option)
{
    return (int)(strlen(option->name) + (option->value ? 1 + strlen(option->value) : 0));
}

void args_help(const struct arg_rules *rules, struct buf *out)
{
    int width = 0;

    for (size_t i = 0; i < rules->n_options; i++)
        width = MG_MAX(width, option_width(&rules->options[i]));
    for (size_t i = 0; i < rules->n_options; i++) {
        const struct arg_option *option = &rules->options[i];
        buf_printf(out, "  %s%s%s%*s  %s\n", option->name, option->value ? " " : "",
                   option->value ? option->value : "", width - option_width(option), "",
                   option->help);
    }
}
