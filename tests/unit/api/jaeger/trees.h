/* trees.h - JSON texts that mean the same. One thread. */
#pragma once
#include "base/mem.h"
#include "codec/json.h"

static inline bool tree_equal(const struct json *a, const struct json *b)
{
    const struct json *value;
    void *iterator = NULL;
    struct str key;
    bool is_equal = json_kind(a) == json_kind(b) && json_count(a) == json_count(b);

    for (size_t i = 0; is_equal && json_kind(a) == JSON_ARRAY && i < json_count(a); i++)
        is_equal = tree_equal(json_at(a, i), json_at(b, i));
    while (is_equal && json_kind(a) == JSON_OBJECT && json_member(a, &iterator, &key, &value)) {
        char *name = str_text(key);
        const struct json *other = json_get(b, name);
        is_equal = other && tree_equal(value, other);
        mem_free(name);
    }
    return is_equal && str_eq(json_str(a), json_str(b)) && json_number(a) == json_number(b) &&
           (json_kind(a) != JSON_BOOL || json_bool(a) == json_bool(b));
}

static inline void assert_same_json(struct str got, struct str want)
{
    struct json *a = NULL, *b = NULL;
    struct mg_why why;

    if (json_parse(&a, got, &why) != MG_OK)
        fail_msg("%s in: %.*s", why.text, STR_ARG(got));
    if (json_parse(&b, want, &why) != MG_OK)
        fail_msg("%s in the wanted: %.*s", why.text, STR_ARG(want));
    if (!tree_equal(a, b))
        fail_msg("got  %.*s\nwant %.*s", STR_ARG(got), STR_ARG(want));
    json_free(&a);
    json_free(&b);
}
