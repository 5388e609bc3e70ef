/* rules.c - see rules.h. Everything is copied: the YAML may go after sample_rules_new. */
#include "sample/rules.h"
#include <assert.h>
#include "base/mem.h"
#include "codec/json.h"
#include "codec/json_write.h"
#include "sample/policy.h"

#define TEXT_BYTES_MAX ((size_t)1 << 20)
#define NAMES_MAX      255 /* an outcome has a byte for the number */

static void rules_free(struct sample_rules **pointer)
{
    struct sample_rules *rules = MG_STEAL(*pointer);

    if (!rules)
        return;
    condition_set_fini(&rules->conditions);
    classes_free(&rules->classes);
    buf_fini(&rules->text);
    arena_fini(&rules->arena);
    mem_free(rules);
}

static void write_names(const struct sample_rules *rules, struct json_writer *w)
{
    size_t n = sample_rules_policies(rules);

    json_key_text(w, "policies");
    json_array(w);
    for (size_t i = 1; i <= n; i++)
        json_put_str(w, sample_rules_name(rules, i));
    json_array_end(w);
    json_key_text(w, "classes");
    json_array(w);
    for (size_t i = n + 1; i <= sample_rules_names(rules); i++)
        json_put_str(w, sample_rules_name(rules, i));
    json_array_end(w);
}

static void write_conf(const struct sample_rules *rules, const struct sample_conf *conf, struct json_writer *w)
{
    struct buf part;

    buf_init(&part, TEXT_BYTES_MAX * 4); /* a limit of its own: what does not fit into the text is told by the text */
    json_key_text(w, "text");
    json_object(w);
    json_key_text(w, "policies");
    if (conf->policies)
        yaml_print(conf->policies, &part);
    json_put_str(w, buf_str(&part));
    json_key_text(w, "classes");
    buf_clear(&part);
    classes_print(rules->classes, &part);
    json_put_raw(w, buf_str(&part));
    json_key_text(w, "sample_on_first_match");
    json_put_bool(w, conf->sample_on_first_match);
    json_key_text(w, "floor_traces_per_second");
    json_put_double(w, conf->floor_traces_per_second);
    json_key_text(w, "floor_bytes_per_day");
    json_put_u64(w, conf->floor_bytes_per_day);
    json_key_text(w, "overload");
    json_put_bool(w, conf->overload);
    json_object_end(w);
    buf_fini(&part);
}

static enum mg_err write_text(struct sample_rules *rules, const struct sample_conf *conf, struct mg_why *why)
{
    struct json_writer w;

    buf_init(&rules->text, TEXT_BYTES_MAX);
    json_writer_init(&w, &rules->text, 0);
    json_object(&w);
    write_names(rules, &w);
    write_conf(rules, conf, &w);
    json_object_end(&w);
    if (buf_err(&rules->text) != MG_OK)
        return mg_fail(why, MG_E_TOO_BIG, "sampling.policies and sampling.classes are larger than 1 MiB");
    return MG_OK;
}

enum mg_err sample_rules_new(struct sample_rules **out, const struct sample_conf *conf, struct mg_why *why)
{
    MG_AUTO(rules_free) struct sample_rules *rules = MEM_NEW(struct sample_rules);

    atomic_init(&rules->refs, 1);
    arena_init(&rules->arena);
    rules->is_first_match = conf->sample_on_first_match;
    rules->floor_traces_per_second = conf->floor_traces_per_second;
    rules->floor_bytes_per_day = conf->floor_bytes_per_day;
    MG_TRY(policies_parse(rules, conf->policies, why));
    MG_TRY(classes_new(&rules->classes, conf->classes, why));
    assert(sample_rules_names(rules) <= NAMES_MAX); /* 200 policies and 50 classes at most */
    MG_TRY(write_text(rules, conf, why));
    *out = MG_STEAL(rules);
    return MG_OK;
}

struct sample_rules *sample_rules_ref(struct sample_rules *rules)
{
    atomic_fetch_add_explicit(&rules->refs, 1, memory_order_relaxed);
    return rules;
}

void sample_rules_unref(struct sample_rules **pointer)
{
    struct sample_rules *rules = MG_STEAL(*pointer);

    if (rules && atomic_fetch_sub_explicit(&rules->refs, 1, memory_order_acq_rel) == 1)
        rules_free(&rules);
}

size_t sample_rules_policies(const struct sample_rules *rules)
{
    return rules->n_policies;
}

size_t sample_rules_names(const struct sample_rules *rules)
{
    return rules->n_policies + classes_n(rules->classes);
}

struct str sample_rules_name(const struct sample_rules *rules, size_t number)
{
    if (number == 0 || number > sample_rules_names(rules))
        return STR("");
    if (number <= rules->n_policies)
        return rules->policies[number - 1].name;
    return class_name(rules->classes, number - rules->n_policies - 1);
}

struct str sample_rules_text(const struct sample_rules *rules)
{
    return buf_str(&rules->text);
}

enum mg_err sample_text_name(struct str text, unsigned policy, struct buf *name)
{
    MG_AUTO(json_free) struct json *root = NULL;
    const char *const lists[] = { "policies", "classes" };
    size_t at = policy;

    buf_clear(name);
    MG_TRY(json_parse(&root, text, NULL));
    for (size_t i = 0; i < MG_COUNT(lists); i++) {
        const struct json *list = json_get(root, lists[i]);
        if (!list || json_kind(list) != JSON_ARRAY)
            return MG_E_FORMAT;
        if (at > 0 && at <= json_count(list)) {
            buf_put_str(name, json_str(json_at(list, at - 1)));
            return buf_err(name);
        }
        at = at > json_count(list) ? at - json_count(list) : 0;
    }
    return MG_OK;
}
