/* section.c - see section.h. */
#include "sample/section.h"
#include <stdio.h>
#include "codec/utf8.h"

#define SHOWN_MAX 48 /* bytes */
#define PLACE(s) (s)->name, *(s)->name ? "." : ""
#define FAIL(...) mg_fail(why, MG_E_FORMAT, __VA_ARGS__)

struct str section_shown(struct str word)
{
    return utf8_cut(word, SHOWN_MAX);
}

enum mg_err section_fail(const struct section *s, const char *key, const struct yaml *node, const char *wanted, struct mg_why *why)
{
    static const char *const kinds[] = { [YAML_LIST] = "a list", [YAML_MAP] = "a map" };

    if (yaml_kind(node) == YAML_LIST || yaml_kind(node) == YAML_MAP)
        return FAIL("%s%s%s is %s, not %s", PLACE(s), key, kinds[yaml_kind(node)], wanted);
    return FAIL("%s%s%s is '%.*s', not %s", PLACE(s), key, STR_ARG(section_shown(yaml_str(node))), wanted);
}

const struct yaml *section_find(const struct section *s, const char *key)
{
    const struct yaml *node = yaml_get(s->map, key);

    return yaml_kind(node) == YAML_NULL ? NULL : node;
}

enum mg_err section_need(const struct section *s, const char *key, struct mg_why *why)
{
    return section_find(s, key) ? MG_OK : FAIL("%s%s%s is missing", PLACE(s), key);
}

enum mg_err section_integer(const struct section *s, const char *key, int64_t *out, struct mg_why *why)
{
    const struct yaml *node = section_find(s, key);

    if (node && (yaml_kind(node) != YAML_SCALAR || str_i64(yaml_str(node), out) != MG_OK))
        return section_fail(s, key, node, "a whole number", why);
    return MG_OK;
}

enum mg_err section_count(const struct section *s, const char *key, uint64_t min, uint64_t max, uint64_t *out, struct mg_why *why)
{
    const struct yaml *node = section_find(s, key);
    int64_t value = 0;

    if (!node)
        return MG_OK;
    MG_TRY(section_integer(s, key, &value, why));
    if (value < 0 || (uint64_t)value < min)
        return FAIL("%s%s%s is %lld, which is below %llu", PLACE(s), key, (long long)value, (unsigned long long)min);
    if ((uint64_t)value > max)
        return FAIL("%s%s%s is %lld, which is above %llu", PLACE(s), key, (long long)value, (unsigned long long)max);
    *out = (uint64_t)value;
    return MG_OK;
}

enum mg_err section_number(const struct section *s, const char *key, double min, double max, double *out, struct mg_why *why)
{
    const struct yaml *node = section_find(s, key);
    double value;

    if (!node)
        return MG_OK;
    if (yaml_kind(node) != YAML_SCALAR || str_double(yaml_str(node), &value) != MG_OK)
        return section_fail(s, key, node, "a number", why);
    if (value < min)
        return FAIL("%s%s%s is %g, which is below %g", PLACE(s), key, value, min);
    if (value > max)
        return FAIL("%s%s%s is %g, which is above %g", PLACE(s), key, value, max);
    *out = value;
    return MG_OK;
}

enum mg_err section_bool(const struct section *s, const char *key, bool *out, struct mg_why *why)
{
    const struct yaml *node = section_find(s, key);
    bool is_true = str_eq(yaml_str(node), STR("true"));

    if (!node)
        return MG_OK;
    if (yaml_kind(node) != YAML_SCALAR || yaml_is_quoted(node) || (!is_true && !str_eq(yaml_str(node), STR("false"))))
        return section_fail(s, key, node, "true or false", why);
    *out = is_true;
    return MG_OK;
}

enum mg_err section_seconds(const struct section *s, const char *key, uint64_t min_s, uint64_t max_s, uint64_t *out_ns,
                            struct mg_why *why)
{
    const struct yaml *node = section_find(s, key);
    int64_t value;

    if (!node)
        return MG_OK;
    if (yaml_kind(node) != YAML_SCALAR || str_duration_ns(yaml_str(node), &value) != MG_OK)
        return section_fail(s, key, node, "a duration such as 15s", why);
    if ((uint64_t)value < min_s * 1000000000 || (uint64_t)value > max_s * 1000000000)
        return FAIL("%s%s%s is %.*s, which is not between %llus and %llus", PLACE(s), key, STR_ARG(yaml_str(node)),
                    (unsigned long long)min_s, (unsigned long long)max_s);
    *out_ns = (uint64_t)value;
    return MG_OK;
}

enum mg_err section_text(const struct section *s, const char *key, struct str *out, struct mg_why *why)
{
    const struct yaml *node = section_find(s, key);

    MG_TRY(section_need(s, key, why));
    if (yaml_kind(node) != YAML_SCALAR)
        return section_fail(s, key, node, "a text", why);
    if (yaml_str(node).len == 0)
        return FAIL("%s%s%s is empty", PLACE(s), key);
    *out = yaml_str(node);
    return MG_OK;
}

enum mg_err section_list(const struct section *s, const char *key, struct section_items *out, struct mg_why *why)
{
    const struct yaml *node = section_find(s, key);

    MG_TRY(section_need(s, key, why));
    if (yaml_kind(node) != YAML_LIST)
        return section_fail(s, key, node, "a list", why);
    if (yaml_count(node) == 0)
        return FAIL("%s%s%s is empty", PLACE(s), key);
    *out = (struct section_items){ node, yaml_count(node) };
    return MG_OK;
}

enum mg_err section_texts(const struct section *s, const char *key, struct arena *arena, struct str **texts, size_t *n, struct mg_why *why)
{
    struct section_items items;

    MG_TRY(section_list(s, key, &items, why));
    *texts = arena_alloc(arena, items.n * sizeof **texts);
    *n = items.n;
    for (size_t i = 0; i < items.n; i++) {
        const struct yaml *item = yaml_at(items.node, i);
        (*texts)[i] = yaml_str(item);
        if (yaml_kind(item) != YAML_SCALAR)
            return FAIL("%s%s%s %zu is not a text", PLACE(s), key, i + 1);
        if (yaml_str(item).len == 0)
            return FAIL("%s%s%s %zu is empty", PLACE(s), key, i + 1);
    }
    return MG_OK;
}

static struct section_hint list_of(const char *const *known)
{
    struct section_hint hint = { "" };
    size_t n = 0;

    for (size_t i = 0; known[i] && n < sizeof hint.text; i++)
        n += (size_t)snprintf(hint.text + n, sizeof hint.text - n, "%s%s", i ? ", " : " (", known[i]);
    if (n < sizeof hint.text)
        snprintf(hint.text + n, sizeof hint.text - n, ")");
    return hint;
}

struct section_hint section_hint(struct str word, const char *const *known)
{
    size_t best = str_distance_near(word) + 1; /* what is further off was not meant */
    const char *nearest = NULL;
    struct section_hint hint;

    for (size_t i = 0; known[i]; i++) {
        size_t distance = str_distance(word, str_of(known[i]), best);
        if (distance >= best)
            continue;
        best = distance;
        nearest = known[i];
    }
    if (!nearest)
        return list_of(known);
    snprintf(hint.text, sizeof hint.text, "; did you mean '%s'?", nearest);
    return hint;
}

enum mg_err section_keys(const struct section *s, struct mg_why *why, const char *const *known)
{
    for (size_t i = 0; i < yaml_count(s->map); i++) {
        struct str key = yaml_key(s->map, i);
        size_t k = 0;
        while (known[k] && !str_eq(key, str_of(known[k])))
            k++;
        if (!known[k])
            return FAIL("unknown key '%s%s%.*s'%s", PLACE(s), STR_ARG(section_shown(key)), section_hint(key, known).text);
    }
    return MG_OK;
}
