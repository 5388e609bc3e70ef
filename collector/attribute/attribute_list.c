/* attribute_list.c - see attribute_list.h. */
#include "attribute/attribute_list.h"

void attr_list_borrow(struct attr_list *list, const struct attribute_rules *rules, const struct attr *at, size_t n)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < n; i++)
        bits |= rules_bits(rules, at[i].key);
    list->at = at;
    list->n = n;
    list->bits = bits;
    list->is_changed = false;
}

void attr_list_fini(struct attr_list *list)
{
    VEC_FINI(&list->own);
}

static void own_reserve(struct attr_list *list, size_t n)
{
    bool is_own = list->at == list->own.at;

    VEC_RESERVE(&list->own, n);
    if (!is_own && list->n)
        memcpy(list->own.at, list->at, list->n * sizeof *list->at);
    list->at = list->own.at;
}

struct attr *attr_list_change(struct attr_list *list)
{
    own_reserve(list, list->n);
    list->is_changed = true;
    return list->own.at;
}

const struct attr *attr_list_find(const struct attr_list *list, const struct rule_key *key)
{
    if (!(list->bits & key->bit))
        return NULL;
    for (size_t i = list->n; i > 0; i--)
        if (str_eq(list->at[i - 1].key, key->name))
            return &list->at[i - 1];
    return NULL;
}

void attr_list_append(struct attr_list *list, const struct rule_key *key, const struct value *value)
{
    own_reserve(list, list->n + 1);
    list->own.at[list->n++] = (struct attr){ key->name, *value };
    list->bits |= key->bit;
    list->is_changed = true;
}

void attr_list_remove(struct attr_list *list, const struct rule_key *key)
{
    size_t kept = 0;

    if (!attr_list_find(list, key))
        return;
    struct attr *attrs = attr_list_change(list);
    for (size_t i = 0; i < list->n; i++)
        if (!str_eq(attrs[i].key, key->name))
            attrs[kept++] = attrs[i];
    list->n = kept;
}
