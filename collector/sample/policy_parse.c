/* policy_parse.c - the YAML of policies to trees, with errors that name the place.
 *
 * Each type has a row with its function, which reads one section. Sentences begin with the key; on the way out each level puts its place
 * in front: "sampling.policies 3 'slow' (line 14): and.and_sub_policy 2 (line 17): latency.threshold_ms is missing". */
#include <math.h>
#include "sample/policy.h"
#include "sample/section.h"

#define DEPTH_MAX      8
#define POLICIES_MAX   200
#define NAME_BYTES_MAX 100
#define FIELDS_MAX     16
#define COUNT_MAX      (UINT64_MAX / 4)

#define FAIL(p, ...) mg_fail((p)->why, MG_E_FORMAT, __VA_ARGS__)

struct parser {
    struct sample_rules *rules;
    struct mg_why *why;
    unsigned depth;
};

static enum mg_err parse_policy(struct parser *p, const struct yaml *node, struct policy *out);

/* --- what asks spans ------------------------------------------------------------------------------ */

static enum mg_err add_condition(struct parser *p, const struct condition *condition, struct policy *out)
{
    out->type = POLICY_CONDITION;
    out->is_lasting = !out->is_inverted;
    return condition_add(&p->rules->conditions, &p->rules->arena, condition, &out->condition, p->why);
}

static enum mg_err parse_numeric(struct parser *p, const struct section *s, struct policy *out)
{
    struct condition condition = { .type = CONDITION_NUMBER };

    MG_TRY(SECTION_KEYS(s, p->why, "key", "min_value", "max_value", "invert_match"));
    MG_TRY(section_text(s, "key", &condition.key, p->why));
    MG_TRY(section_integer(s, "min_value", &condition.min, p->why));
    MG_TRY(section_integer(s, "max_value", &condition.max, p->why));
    MG_TRY(section_bool(s, "invert_match", &out->is_inverted, p->why));
    if (condition.min == 0 && condition.max == 0)
        return FAIL(p, "numeric_attribute needs min_value or max_value (0 counts as not given)");
    if (condition.min == 0)
        condition.min = INT64_MIN;
    if (condition.max == 0)
        condition.max = INT64_MAX;
    if (condition.min > condition.max)
        return FAIL(p, "numeric_attribute.min_value is above max_value");
    return add_condition(p, &condition, out);
}

static enum mg_err parse_string(struct parser *p, const struct section *s, struct policy *out)
{
    struct condition condition = { .type = CONDITION_TEXT };
    bool is_pattern = false;
    uint64_t cache = 0; /* the Collector's; here each symbol is remembered */

    MG_TRY(SECTION_KEYS(s, p->why, "key", "values", "enabled_regex_matching", "cache_max_size", "invert_match"));
    MG_TRY(section_text(s, "key", &condition.key, p->why));
    MG_TRY(section_texts(s, "values", &p->rules->arena, &condition.values, &condition.n_values, p->why));
    MG_TRY(section_bool(s, "enabled_regex_matching", &is_pattern, p->why));
    MG_TRY(section_count(s, "cache_max_size", 0, COUNT_MAX, &cache, p->why));
    MG_TRY(section_bool(s, "invert_match", &out->is_inverted, p->why));
    if (is_pattern)
        condition.type = CONDITION_PATTERN;
    return add_condition(p, &condition, out);
}

static enum mg_err parse_boolean(struct parser *p, const struct section *s, struct policy *out)
{
    struct condition condition = { .type = CONDITION_BOOLEAN };

    MG_TRY(SECTION_KEYS(s, p->why, "key", "value", "invert_match"));
    MG_TRY(section_text(s, "key", &condition.key, p->why));
    MG_TRY(section_need(s, "value", p->why));
    MG_TRY(section_bool(s, "value", &condition.boolean, p->why));
    MG_TRY(section_bool(s, "invert_match", &out->is_inverted, p->why));
    return add_condition(p, &condition, out);
}

static enum mg_err parse_status(struct parser *p, const struct section *s, struct policy *out)
{
    static const struct { struct str name; enum span_status status; } codes[] = {
        { STR_INIT("OK"), STATUS_OK }, { STR_INIT("ERROR"), STATUS_ERROR }, { STR_INIT("UNSET"), STATUS_UNSET }
    };
    struct condition condition = { .type = CONDITION_STATUS };
    struct str *names;
    size_t n;

    MG_TRY(SECTION_KEYS(s, p->why, "status_codes"));
    MG_TRY(section_texts(s, "status_codes", &p->rules->arena, &names, &n, p->why));
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < MG_COUNT(codes) && !str_eq(codes[k].name, names[i]))
            k++;
        if (k == MG_COUNT(codes))
            return FAIL(p, "status_code.status_codes %zu is '%.*s', not OK, ERROR or UNSET", i + 1, STR_ARG(section_shown(names[i])));
        condition.statuses |= 1u << codes[k].status;
    }
    return add_condition(p, &condition, out);
}

static enum mg_err parse_trace_state(struct parser *p, const struct section *s, struct policy *out)
{
    struct condition condition = { .type = CONDITION_TRACE_STATE };

    MG_TRY(SECTION_KEYS(s, p->why, "key", "values"));
    MG_TRY(section_text(s, "key", &condition.key, p->why));
    MG_TRY(section_texts(s, "values", &p->rules->arena, &condition.values, &condition.n_values, p->why));
    return add_condition(p, &condition, out);
}

static enum mg_err parse_trace_flags(struct parser *p, const struct section *s, struct policy *out)
{
    const struct condition condition = { .type = CONDITION_TRACE_FLAGS };

    (void)s; /* it has none */
    return add_condition(p, &condition, out);
}

/* --- what asks traces ----------------------------------------------------------------------------- */

static enum mg_err parse_always(struct parser *p, const struct section *s, struct policy *out)
{
    (void)p;
    (void)s;
    out->type = POLICY_ALWAYS;
    out->is_lasting = true;
    return MG_OK;
}

static enum mg_err parse_latency(struct parser *p, const struct section *s, struct policy *out)
{
    out->type = POLICY_LATENCY;
    MG_TRY(SECTION_KEYS(s, p->why, "threshold_ms", "upper_threshold_ms"));
    MG_TRY(section_need(s, "threshold_ms", p->why));
    MG_TRY(section_count(s, "threshold_ms", 0, COUNT_MAX, &out->latency.min_ms, p->why));
    MG_TRY(section_count(s, "upper_threshold_ms", 0, COUNT_MAX, &out->latency.max_ms, p->why));
    if (out->latency.max_ms && out->latency.max_ms <= out->latency.min_ms)
        return FAIL(p, "latency.upper_threshold_ms is not above threshold_ms");
    out->is_lasting = out->latency.max_ms == 0;
    return MG_OK;
}

static enum mg_err parse_span_count(struct parser *p, const struct section *s, struct policy *out)
{
    out->type = POLICY_SPAN_COUNT;
    MG_TRY(SECTION_KEYS(s, p->why, "min_spans", "max_spans"));
    MG_TRY(section_count(s, "min_spans", 0, COUNT_MAX, &out->span_count.min, p->why));
    MG_TRY(section_count(s, "max_spans", 0, COUNT_MAX, &out->span_count.max, p->why));
    if (out->span_count.min == 0 && out->span_count.max == 0)
        return FAIL(p, "span_count needs min_spans or max_spans");
    if (out->span_count.max && out->span_count.max < out->span_count.min)
        return FAIL(p, "span_count.max_spans is below min_spans");
    out->is_lasting = out->span_count.max == 0;
    return MG_OK;
}

static enum mg_err parse_probabilistic(struct parser *p, const struct section *s, struct policy *out)
{
    const struct yaml *salt = yaml_get(s->map, "hash_salt");
    double percentage = 0;

    MG_TRY(SECTION_KEYS(s, p->why, "sampling_percentage", "hash_salt"));
    MG_TRY(section_need(s, "sampling_percentage", p->why));
    MG_TRY(section_number(s, "sampling_percentage", 0, INFINITY, &percentage, p->why));
    if (salt && yaml_kind(salt) != YAML_SCALAR)
        return section_fail(s, "hash_salt", salt, "a text", p->why);
    if (percentage >= 100)
        return parse_always(p, s, out);
    out->type = salt ? POLICY_HASHED : POLICY_PROBABILISTIC;
    if (!salt) {
        out->threshold = ot_threshold(percentage / 100);
        return MG_OK;
    }
    out->hashed.salt = yaml_str(salt).len ? arena_str(&p->rules->arena, yaml_str(salt)) : STR("default-hash-seed");
    out->hashed.threshold = hashed_threshold(percentage / 100);
    out->hashed.probability = percentage / 100;
    return MG_OK;
}

/* --- what has state ------------------------------------------------------------------------------- */

static void take_states(struct parser *p, struct policy *out, size_t n)
{
    out->has_state = true;
    out->state = p->rules->n_states;
    p->rules->n_states += (uint32_t)n;
}

static enum mg_err parse_limit(struct parser *p, const struct section *s, const char *rate, struct policy *out)
{
    uint64_t per_second = 0, burst = 0;

    MG_TRY(SECTION_KEYS(s, p->why, rate, "burst_capacity"));
    MG_TRY(section_need(s, rate, p->why));
    MG_TRY(section_count(s, rate, 1, COUNT_MAX, &per_second, p->why));
    burst = 2 * per_second;
    MG_TRY(section_count(s, "burst_capacity", 1, COUNT_MAX, &burst, p->why));
    out->limit.per_second = (double)per_second;
    out->limit.burst = (double)burst;
    take_states(p, out, 1);
    return MG_OK;
}

static enum mg_err parse_rate(struct parser *p, const struct section *s, struct policy *out)
{
    out->type = POLICY_RATE;
    return parse_limit(p, s, "spans_per_second", out);
}

static enum mg_err parse_bytes(struct parser *p, const struct section *s, struct policy *out)
{
    out->type = POLICY_BYTES;
    return parse_limit(p, s, "bytes_per_second", out);
}

static enum mg_err parse_fields(struct parser *p, const struct section *s, struct policy *out)
{
    struct str *names, root = STR("root.");
    size_t n;

    MG_TRY(section_texts(s, "field_list", &p->rules->arena, &names, &n, p->why));
    if (n > FIELDS_MAX)
        return FAIL(p, "dynamic.field_list has more than %d fields", FIELDS_MAX);
    out->dynamic.n_fields = n;
    out->dynamic.fields = arena_alloc(&p->rules->arena, n * sizeof *out->dynamic.fields);
    for (size_t i = 0; i < n; i++) {
        bool is_of_root = str_starts(names[i], root);
        struct str name = is_of_root ? str_n(names[i].ptr + root.len, names[i].len - root.len) : names[i];
        if (name.len == 0)
            return FAIL(p, "dynamic.field_list %zu is 'root.' without a key behind it", i + 1);
        out->dynamic.fields[i] = (struct dynamic_field){ condition_field_add(&p->rules->conditions, &p->rules->arena, name), is_of_root };
    }
    return MG_OK;
}

static enum mg_err parse_dynamic(struct parser *p, const struct section *s, struct policy *out)
{
    struct dynamic_conf *conf = &out->dynamic.conf;
    uint64_t keys = 500, delay = 3;

    out->type = POLICY_DYNAMIC;
    *conf = (struct dynamic_conf){ .initial_rate = 10, .interval_ns = UINT64_C(15000000000), .weight = 0.5, .age_out = 0.5,
                                   .burst_multiple = 2 };
    MG_TRY(SECTION_KEYS(s, p->why, "goal_throughput_per_sec", "initial_sampling_rate", "adjustment_interval", "weight", "max_keys",
                      "age_out_value", "burst_multiple", "burst_detection_delay", "field_list", "use_trace_length"));
    MG_TRY(section_need(s, "goal_throughput_per_sec", p->why));
    MG_TRY(section_number(s, "goal_throughput_per_sec", 0.001, 1e9, &conf->goal, p->why));
    MG_TRY(section_number(s, "initial_sampling_rate", 1, 1e9, &conf->initial_rate, p->why));
    MG_TRY(section_seconds(s, "adjustment_interval", 1, 3600, &conf->interval_ns, p->why));
    MG_TRY(section_number(s, "weight", 0.001, 1, &conf->weight, p->why));
    MG_TRY(section_count(s, "max_keys", 1, 100000, &keys, p->why));
    MG_TRY(section_number(s, "age_out_value", 0, 1, &conf->age_out, p->why));
    MG_TRY(section_number(s, "burst_multiple", 0, 1e6, &conf->burst_multiple, p->why));
    MG_TRY(section_count(s, "burst_detection_delay", 0, 1000, &delay, p->why));
    MG_TRY(section_bool(s, "use_trace_length", &out->dynamic.has_length, p->why));
    conf->max_keys = (uint32_t)keys;
    conf->burst_delay = (uint32_t)delay;
    take_states(p, out, 1);
    return parse_fields(p, s, out);
}

/* --- what is made of others ----------------------------------------------------------------------- */

/* "and.and_sub_policy 2 'slow' (line 17)" in front of what was said. */
static enum mg_err fail_at(struct parser *p, enum mg_err err, const char *list, size_t i, const struct yaml *node)
{
    struct str name = section_shown(yaml_str(yaml_get(node, "name")));

    if (name.len)
        return mg_fail_in(p->why, err, "%s %zu '%.*s' (line %u)", list, i + 1, STR_ARG(name), yaml_line(node));
    return mg_fail_in(p->why, err, "%s %zu (line %u)", list, i + 1, yaml_line(node));
}

static enum mg_err parse_part(struct parser *p, const char *place, size_t i, const struct yaml *node, struct policy *whole)
{
    enum mg_err err;

    if (++p->depth >= DEPTH_MAX)
        err = FAIL(p, "policies are more than %d deep", DEPTH_MAX);
    else
        err = parse_policy(p, node, &whole->parts[i]);
    p->depth--;
    if (err == MG_OK && whole->parts[i].type == POLICY_DROP)
        err = FAIL(p, "'drop' stands at top level only");
    whole->has_state |= whole->parts[i].has_state;
    whole->is_lasting &= whole->parts[i].is_lasting;
    return err == MG_OK ? MG_OK : fail_at(p, err, place, i, node);
}

static enum mg_err parse_parts(struct parser *p, const struct section *s, const char *key, struct policy *out)
{
    struct section_items list;
    struct str place = arena_printf(&p->rules->arena, "%s.%s", s->name, key);

    MG_TRY(section_list(s, key, &list, p->why));
    out->n_parts = list.n;
    out->parts = arena_zero(&p->rules->arena, list.n * sizeof *out->parts);
    out->is_lasting = true;
    for (size_t i = 0; i < list.n; i++)
        MG_TRY(parse_part(p, place.ptr, i, yaml_at(list.node, i), out));
    return MG_OK;
}

static enum mg_err parse_and(struct parser *p, const struct section *s, struct policy *out)
{
    out->type = POLICY_AND;
    MG_TRY(SECTION_KEYS(s, p->why, "and_sub_policy"));
    return parse_parts(p, s, "and_sub_policy", out);
}

static enum mg_err parse_drop(struct parser *p, const struct section *s, struct policy *out)
{
    out->type = POLICY_DROP;
    MG_TRY(SECTION_KEYS(s, p->why, "drop_sub_policy"));
    return parse_parts(p, s, "drop_sub_policy", out);
}

static enum mg_err parse_not(struct parser *p, const struct section *s, struct policy *out)
{
    out->type = POLICY_NOT;
    MG_TRY(SECTION_KEYS(s, p->why, "not_sub_policy"));
    MG_TRY(section_need(s, "not_sub_policy", p->why));
    out->n_parts = 1;
    out->parts = arena_zero(&p->rules->arena, sizeof *out->parts);
    MG_TRY(parse_part(p, "not.not_sub_policy", 0, section_find(s, "not_sub_policy"), out));
    out->is_lasting = false; /* its part's yes comes, if it does, with further rows */
    return MG_OK;
}

static enum mg_err find_part(struct parser *p, const struct policy *whole, const char *key, struct str name, size_t *out)
{
    for (*out = 0; *out < whole->n_parts; (*out)++)
        if (str_eq(whole->parts[*out].name, name))
            return MG_OK;
    return FAIL(p, "%s names '%.*s', which is no composite_sub_policy", key, STR_ARG(section_shown(name)));
}

static enum mg_err check_part_names(struct parser *p, const struct policy *whole)
{
    for (size_t i = 0; i < whole->n_parts; i++) {
        if (whole->parts[i].name.len == 0)
            return FAIL(p, "composite.composite_sub_policy %zu has no name", i + 1);
        for (size_t k = 0; k < i; k++)
            if (str_eq(whole->parts[k].name, whole->parts[i].name))
                return FAIL(p, "composite.composite_sub_policy %zu and %zu are both called '%.*s'", k + 1, i + 1,
                            STR_ARG(section_shown(whole->parts[i].name)));
    }
    return MG_OK;
}

/* Without policy_order the parts are asked as they stand. */
static enum mg_err order_parts(struct parser *p, const struct section *s, struct policy *out)
{
    struct policy *ordered = arena_alloc(&p->rules->arena, out->n_parts * sizeof *ordered);
    struct str *names;
    size_t n, from;

    if (!section_find(s, "policy_order"))
        return MG_OK;
    MG_TRY(section_texts(s, "policy_order", &p->rules->arena, &names, &n, p->why));
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            if (str_eq(names[k], names[i]))
                return FAIL(p, "composite.policy_order names '%.*s' twice", STR_ARG(section_shown(names[i])));
        MG_TRY(find_part(p, out, "composite.policy_order", names[i], &from));
        ordered[i] = out->parts[from];
    }
    if (n < out->n_parts)
        return FAIL(p, "composite.policy_order names %zu of %zu policies; it must name all", n, out->n_parts);
    out->parts = ordered;
    return MG_OK;
}

static enum mg_err parse_allocation(struct parser *p, const struct yaml *node, struct policy *out)
{
    const struct section s = { "", node };
    struct str name;
    uint64_t percent = 0;
    size_t part;

    if (yaml_kind(node) != YAML_MAP)
        return FAIL(p, "is not a map");
    MG_TRY(SECTION_KEYS(&s, p->why, "policy", "percent"));
    MG_TRY(section_text(&s, "policy", &name, p->why));
    MG_TRY(section_count(&s, "percent", 0, 100, &percent, p->why));
    MG_TRY(find_part(p, out, "policy", name, &part));
    if (percent > 0)
        out->composite.shares[part] = (uint64_t)((double)percent / 100 * (double)out->composite.total);
    return MG_OK;
}

static enum mg_err parse_composite(struct parser *p, const struct section *s, struct policy *out)
{
    struct section_items allocations = { 0 };

    out->type = POLICY_COMPOSITE;
    MG_TRY(SECTION_KEYS(s, p->why, "max_total_spans_per_second", "policy_order", "composite_sub_policy", "rate_allocation"));
    MG_TRY(section_need(s, "max_total_spans_per_second", p->why));
    MG_TRY(section_count(s, "max_total_spans_per_second", 1, COUNT_MAX, &out->composite.total, p->why));
    MG_TRY(parse_parts(p, s, "composite_sub_policy", out));
    MG_TRY(check_part_names(p, out));
    MG_TRY(order_parts(p, s, out));
    out->is_lasting = false;
    out->composite.shares = arena_alloc(&p->rules->arena, out->n_parts * sizeof *out->composite.shares);
    for (size_t i = 0; i < out->n_parts; i++)
        out->composite.shares[i] = out->composite.total / out->n_parts;
    if (section_find(s, "rate_allocation"))
        MG_TRY(section_list(s, "rate_allocation", &allocations, p->why));
    for (size_t i = 0; i < allocations.n; i++) {
        enum mg_err err = parse_allocation(p, yaml_at(allocations.node, i), out);
        if (err != MG_OK)
            return fail_at(p, err, "composite.rate_allocation", i, yaml_at(allocations.node, i));
    }
    take_states(p, out, out->n_parts + 1);
    return MG_OK;
}

/* --- policies ------------------------------------------------------------------------------------- */

static const struct kind {
    const char *name;
    enum mg_err (*parse)(struct parser *p, const struct section *s, struct policy *out);
    bool has_section;
} kinds[] = {
    { "always_sample", parse_always, false },       { "latency", parse_latency, true },
    { "numeric_attribute", parse_numeric, true },   { "string_attribute", parse_string, true },
    { "boolean_attribute", parse_boolean, true },   { "status_code", parse_status, true },
    { "probabilistic", parse_probabilistic, true }, { "rate_limiting", parse_rate, true },
    { "bytes_limiting", parse_bytes, true },        { "span_count", parse_span_count, true },
    { "trace_state", parse_trace_state, true },     { "trace_flags", parse_trace_flags, false },
    { "and", parse_and, true },                     { "not", parse_not, true },
    { "drop", parse_drop, true },                   { "composite", parse_composite, true },
    { "dynamic", parse_dynamic, true },
};

static const struct kind *find_kind(struct str name)
{
    for (size_t i = 0; i < MG_COUNT(kinds); i++)
        if (str_eq(str_of(kinds[i].name), name))
            return &kinds[i];
    return NULL;
}

static enum mg_err fail_type(struct parser *p, struct str type)
{
    const char *names[MG_COUNT(kinds) + 1] = { NULL };

    if (str_eq(type, STR("ottl_condition")))
        return FAIL(p, "type 'ottl_condition' is not supported: there is no OTTL here; string_attribute, numeric_attribute, and, not do "
                       "most of it");
    for (size_t i = 0; i < MG_COUNT(kinds); i++)
        names[i] = kinds[i].name;
    return FAIL(p, "unknown type '%.*s', and extensions are not supported%s", STR_ARG(section_shown(type)),
                section_hint(type, names).text);
}

static enum mg_err check_policy_keys(struct parser *p, const struct yaml *node, const struct kind *kind)
{
    const char *const known[] = { "name", "type", kind->has_section ? kind->name : NULL, NULL };

    for (size_t i = 0; i < yaml_count(node); i++) {
        struct str key = yaml_key(node, i);
        if (str_eq(key, STR("name")) || str_eq(key, STR("type")) || (kind->has_section && str_eq(key, str_of(kind->name))))
            continue;
        if (find_kind(key))
            return FAIL(p, "'%.*s' does not belong to a policy of type '%s'", STR_ARG(key), kind->name);
        return FAIL(p, "unknown key '%.*s'%s", STR_ARG(section_shown(key)), section_hint(key, known).text);
    }
    return MG_OK;
}

static enum mg_err parse_name(struct parser *p, const struct yaml *node, struct policy *out)
{
    const struct yaml *name = yaml_get(node, "name");

    if (yaml_kind(name) == YAML_LIST || yaml_kind(name) == YAML_MAP)
        return FAIL(p, "name is not a text");
    if (yaml_str(name).len > NAME_BYTES_MAX)
        return FAIL(p, "name is longer than %d bytes", NAME_BYTES_MAX);
    out->name = arena_str(&p->rules->arena, yaml_str(name));
    return MG_OK;
}

static enum mg_err parse_policy(struct parser *p, const struct yaml *node, struct policy *out)
{
    const struct yaml *type = yaml_get(node, "type");
    const struct kind *kind = find_kind(yaml_str(type));

    *out = (struct policy){ .state = UINT32_MAX };
    if (yaml_kind(node) != YAML_MAP)
        return FAIL(p, "is not a map");
    MG_TRY(parse_name(p, node, out));
    if (yaml_str(type).len == 0)
        return FAIL(p, "type is missing");
    if (!kind)
        return fail_type(p, yaml_str(type));
    MG_TRY(check_policy_keys(p, node, kind));
    const struct section section = { kind->name, yaml_get(node, kind->name) };
    if (kind->has_section && yaml_kind(section.map) == YAML_NULL)
        return FAIL(p, "%s is missing", kind->name);
    if (kind->has_section && yaml_kind(section.map) != YAML_MAP)
        return FAIL(p, "%s is not a map", kind->name);
    return kind->parse(p, &section, out);
}

static enum mg_err parse_top(struct parser *p, size_t i, const struct yaml *node, struct policy *out)
{
    struct buf text;

    MG_TRY(parse_policy(p, node, out));
    if (out->name.len == 0)
        return FAIL(p, "name is missing");
    for (size_t k = 0; k < i; k++)
        if (str_eq(p->rules->policies[k].name, out->name))
            return FAIL(p, "policy %zu has that name already", k + 1);
    buf_init(&text, 4u << 20);
    yaml_print(node, &text);
    out->text = arena_str(&p->rules->arena, buf_str(&text));
    buf_fini(&text);
    return MG_OK;
}

enum mg_err policies_parse(struct sample_rules *rules, const struct yaml *list, struct mg_why *why)
{
    struct parser p = { .rules = rules, .why = why };
    size_t n = yaml_count(list);

    if (yaml_kind(list) == YAML_NULL)
        return MG_OK;
    if (yaml_kind(list) != YAML_LIST)
        return mg_fail(why, MG_E_FORMAT, "sampling.policies (line %u) is not a list", yaml_line(list));
    if (n > POLICIES_MAX)
        return mg_fail(why, MG_E_FORMAT, "sampling.policies (line %u) has %zu policies; at most %d are possible", yaml_line(list), n,
                       POLICIES_MAX);
    rules->policies = arena_zero(&rules->arena, n * sizeof *rules->policies);
    for (size_t i = 0; i < n; i++) {
        enum mg_err err = parse_top(&p, i, yaml_at(list, i), &rules->policies[i]);
        if (err != MG_OK)
            return fail_at(&p, err, "sampling.policies", i, yaml_at(list, i));
        rules->n_policies++;
    }
    return MG_OK;
}
