/* head_rules.c - see head_rules.h.
 *
 * The strategies file says less in mode adaptive: its rate limits are passed over, as a limit and probabilities of operations cannot be told
 * together, and its default probabilities are where the calculation begins. */
#include "sample/head_rules.h"
#include "base/mem.h"
#include "sample/section.h"

#define TARGET_MIN 0.0001 /* as the row target_samples_per_second */
#define TARGET_MAX 1e6

static const char *const override_keys[] = { "service", "operation", "class", "probability", "target_samples_per_second", NULL };

/* --- reading -------------------------------------------------------------------------------------- */

static enum mg_err read_name(const struct section *s, const char *key, struct arena *arena, bool *has, struct str *out, struct mg_why *why)
{
    if (!yaml_get(s->map, key))
        return MG_OK;
    MG_TRY(section_text(s, key, out, why));
    *out = arena_str(arena, *out);
    *has = true;
    return MG_OK;
}

static enum mg_err read_class(const struct section *s, const struct classes *classes, bool *has, size_t *out, struct mg_why *why)
{
    struct str name;

    if (!yaml_get(s->map, "class"))
        return MG_OK;
    MG_TRY(section_text(s, "class", &name, why));
    *has = true;
    for (*out = 0; *out < classes_n(classes); ++*out)
        if (str_eq(class_name(classes, *out), name))
            return MG_OK;
    return mg_fail(why, MG_E_FORMAT, "there is no class '%.*s': classes are those of sampling.classes", STR_ARG(section_shown(name)));
}

static enum mg_err read_effect(const struct section *s, const struct head_rules *rules, struct head_override *out, struct mg_why *why)
{
    bool has_target = section_find(s, "target_samples_per_second") != NULL;

    out->has_probability = section_find(s, "probability") != NULL;
    if (out->has_probability == has_target)
        return mg_fail(why, MG_E_FORMAT, "needs either probability or target_samples_per_second");
    if (has_target && rules->conf.mode != HEAD_ADAPTIVE)
        return mg_fail(why, MG_E_FORMAT, "target_samples_per_second needs sampling.head.mode adaptive");
    MG_TRY(section_number(s, "probability", 0, 1, &out->probability, why));
    return section_number(s, "target_samples_per_second", TARGET_MIN, TARGET_MAX, &out->target, why);
}

static enum mg_err read_override(const struct yaml *node, struct head_rules *rules, struct head_override *out, struct mg_why *why)
{
    struct section s = { "", node };
    bool has_class = false;

    *out = (struct head_override){ .class = CLASS_NONE };
    if (yaml_kind(node) != YAML_MAP)
        return mg_fail(why, MG_E_FORMAT, "is not a map such as {service: shop, probability: 0.5}");
    MG_TRY(section_keys(&s, why, override_keys));
    MG_TRY(read_name(&s, "service", &rules->arena, &out->has_service, &out->service, why));
    MG_TRY(read_name(&s, "operation", &rules->arena, &out->has_operation, &out->operation, why));
    MG_TRY(read_class(&s, rules->classes, &has_class, &out->class, why));
    if (has_class ? out->has_service || out->has_operation : !out->has_service && !out->has_operation)
        return mg_fail(why, MG_E_FORMAT, "needs service, operation, both of them, or class alone");
    return read_effect(&s, rules, out, why);
}

static enum mg_err read_overrides(struct head_rules *rules, const struct yaml *list, struct mg_why *why)
{
    if (yaml_kind(list) == YAML_NULL)
        return MG_OK;
    if (yaml_kind(list) != YAML_LIST)
        return mg_fail(why, MG_E_FORMAT, "sampling.head.overrides (line %u) is not a list", yaml_line(list));
    if (yaml_count(list) > HEAD_OVERRIDES_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "sampling.head.overrides (line %u) has %zu entries, at most %d are read", yaml_line(list),
                       yaml_count(list), HEAD_OVERRIDES_MAX);
    rules->overrides = arena_zero(&rules->arena, yaml_count(list) * sizeof *rules->overrides);
    for (size_t i = 0; i < yaml_count(list); i++) {
        enum mg_err err = read_override(yaml_at(list, i), rules, &rules->overrides[rules->n_overrides++], why);
        if (err != MG_OK)
            return mg_fail_in(why, err, "sampling.head.overrides %zu (line %u)", i + 1, yaml_line(yaml_at(list, i)));
    }
    return MG_OK;
}

static enum mg_err check_file(struct str file, struct mg_why *why)
{
    if (str_starts(file, STR("http://")) || str_starts(file, STR("https://")))
        return mg_fail(why, MG_E_UNSUPPORTED, "sampling.head.strategies_file '%.*s': strategies are read from files only; fetch it to a file, which "
                       "is read again when it changes", STR_ARG(section_shown(file)));
    if (memchr(file.ptr, '\0', file.len))
        return mg_fail(why, MG_E_FORMAT, "sampling.head.strategies_file: a NUL byte in the path");
    return MG_OK;
}

enum mg_err head_rules_new(struct head_rules **out, const struct head_conf *conf, const struct sample_conf *sampling, struct mg_why *why)
{
    MG_AUTO(head_rules_free) struct head_rules *rules = MEM_NEW(struct head_rules);

    rules->conf = *conf;
    if (conf->file.len)
        MG_TRY(check_file(conf->file, why));
    rules->conf.file = arena_str(&rules->arena, conf->file);
    rules->conf.overrides = NULL;
    MG_TRY(classes_new(&rules->classes, sampling->classes, why));
    MG_TRY(read_overrides(rules, conf->overrides, why));
    *out = MG_STEAL(rules);
    return MG_OK;
}

enum mg_err head_check(const struct head_conf *conf, const struct sample_conf *sampling, struct mg_why *why)
{
    struct head_rules *rules = NULL;
    enum mg_err err = head_rules_new(&rules, conf, sampling, why);

    head_rules_free(&rules);
    return err;
}

void head_rules_free(struct head_rules **pointer)
{
    struct head_rules *rules = MG_STEAL(*pointer);

    if (!rules)
        return;
    if (rules->classes)
        classes_free(&rules->classes);
    arena_fini(&rules->arena);
    mem_free(rules);
}

/* --- the last word -------------------------------------------------------------------------------- */

static bool fits(const struct head_override *override, const struct head_subject *subject)
{
    if (override->class != CLASS_NONE)
        return override->class == subject->class;
    if (override->has_operation && (subject->operation.len == 0 || !str_eq(override->operation, subject->operation)))
        return false;
    return !override->has_service || (subject->service.len > 0 && str_eq(override->service, subject->service));
}

size_t head_override_of(const struct head_rules *rules, const struct head_subject *subject)
{
    for (size_t i = 0; i < rules->n_overrides; i++)
        if (fits(&rules->overrides[i], subject))
            return i;
    return HEAD_NO_OVERRIDE;
}

double head_target(const struct head_rules *rules, size_t override)
{
    bool has_target = override != HEAD_NO_OVERRIDE && !rules->overrides[override].has_probability;

    return has_target ? rules->overrides[override].target : rules->conf.target;
}

/* The entry of the file for the service; the default strategy when it has none. */
static const struct strategies_entry *entry_of(const struct strategies *strategies, struct str service)
{
    const struct strategies_entry *entry = strategies_service(strategies, service);

    return entry ? entry : strategies && strategies->has_fallback ? &strategies->fallback : NULL;
}

/* What an entry means that does not say a probability itself. */
static double file_default(const struct head_rules *rules, const struct strategies *strategies)
{
    if (strategies && strategies->has_fallback && strategies->fallback.has_probability)
        return strategies->fallback.probability;
    return rules->conf.mode == HEAD_ADAPTIVE ? rules->conf.initial_probability : rules->conf.default_probability;
}

/* An operation of the file: the service's own before those of the default strategy. */
static bool rule_by_operation(const struct head_rules *rules, const struct strategies *strategies, const struct head_subject *subject,
                              struct head_ruling *out)
{
    const struct strategies_operation *found;

    if (!strategies || subject->operation.len == 0)
        return false;
    found = strategies_operation(strategies_service(strategies, subject->service), subject->operation);
    if (!found)
        found = strategies_operation(&strategies->fallback, subject->operation);
    if (!found)
        return false;
    *out = (struct head_ruling){ found->has_probability ? found->probability : file_default(rules, strategies), "file", HEAD_OF_OPERATION };
    return true;
}

static void rule_by_service(const struct head_rules *rules, const struct strategies *strategies, const struct head_subject *subject,
                            struct head_ruling *out)
{
    const struct strategies_entry *entry = entry_of(strategies, subject->service);
    bool is_adaptive = rules->conf.mode == HEAD_ADAPTIVE;
    bool is_told = strategies && strategies->has_fallback && strategies->fallback.has_probability;

    *out = (struct head_ruling){ file_default(rules, strategies), is_told ? "file" : is_adaptive ? "adaptive" : entry ? "file" : "default",
                                 HEAD_OF_SERVICE };
    if (is_adaptive && subject->has_default)
        *out = (struct head_ruling){ subject->result_default, "adaptive", HEAD_OF_SERVICE };
    else if (entry && entry->has_probability)
        *out = (struct head_ruling){ entry->probability, "file", HEAD_OF_SERVICE };
}

static enum head_scope scope_of(const struct head_override *override)
{
    return override->class != CLASS_NONE ? HEAD_OF_CLASS : override->has_operation ? HEAD_OF_OPERATION : HEAD_OF_SERVICE;
}

void head_rule(const struct head_rules *rules, const struct strategies *strategies, const struct head_subject *subject, struct head_ruling *out)
{
    const struct head_override *override = subject->override == HEAD_NO_OVERRIDE ? NULL : &rules->overrides[subject->override];

    if (override && override->has_probability)
        *out = (struct head_ruling){ override->probability, "override", scope_of(override) };
    else if (!override && subject->class != CLASS_NONE) /* a target asks for the calculation instead */
        *out = (struct head_ruling){ class_probability(rules->classes, subject->class), "class", HEAD_OF_CLASS };
    else if (rules->conf.mode == HEAD_ADAPTIVE && subject->has_result)
        *out = (struct head_ruling){ subject->result, "adaptive",
                                     subject->operation.len ? HEAD_OF_OPERATION : HEAD_OF_SERVICE };
    else if (!rule_by_operation(rules, strategies, subject, out))
        rule_by_service(rules, strategies, subject, out);
}

const struct strategies_entry *head_limit(const struct head_rules *rules, const struct strategies *strategies, const struct head_subject *subject)
{
    const struct strategies_entry *entry = entry_of(strategies, subject->service);
    bool is_limit = entry && entry->type == STRATEGY_RATE_LIMITING && rules->conf.mode == HEAD_STATIC;

    return is_limit && subject->override == HEAD_NO_OVERRIDE ? entry : NULL;
}
