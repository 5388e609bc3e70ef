/* condition.c - see condition.h.
 *
 * Nothing here is fast or remembers anything: memo.c asks once for every symbol. What stands in a row itself is asked about each time, but
 * such values are those that do not repeat. */
#include "sample/condition.h"
#include <stdlib.h>

#define MEMBERS_MAX      32  /* of a trace state, W3C */
#define MEMBER_TEXT_MAX  256 /* of a member's key, and of its value */

void condition_set_fini(struct condition_set *set)
{
    for (size_t i = 0; i < set->all.n; i++)
        for (size_t k = 0; set->all.at[i].finders && k < set->all.at[i].n_values; k++)
            finder_free(&set->all.at[i].finders[k]);
    for (size_t i = 0; i < set->keys.n; i++)
        VEC_FINI(&set->keys.at[i].conditions);
    VEC_FINI(&set->all);
    VEC_FINI(&set->keys);
    VEC_FINI(&set->fields);
    VEC_FINI(&set->trace_states);
}

/* --- building ------------------------------------------------------------------------------------- */

static int compare_values(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static bool is_same(const struct condition *a, const struct condition *b)
{
    if (a->type != b->type || !str_eq(a->key, b->key) || a->min != b->min || a->max != b->max || a->boolean != b->boolean ||
        a->statuses != b->statuses || a->n_values != b->n_values)
        return false;
    for (size_t i = 0; i < a->n_values; i++)
        if (!str_eq(a->values[i], b->values[i]))
            return false;
    return true;
}

static struct condition copy(struct arena *arena, const struct condition *from)
{
    struct condition to = *from;

    to.key = arena_str(arena, from->key);
    to.values = arena_alloc(arena, from->n_values * sizeof *to.values);
    for (size_t i = 0; i < from->n_values; i++)
        to.values[i] = arena_str(arena, from->values[i]);
    if (from->type != CONDITION_PATTERN)
        qsort(to.values, to.n_values, sizeof *to.values, compare_values);
    return to;
}

static enum mg_err compile(struct arena *arena, struct condition *condition, struct mg_why *why)
{
    condition->finders = arena_zero(arena, condition->n_values * sizeof *condition->finders);
    for (size_t i = 0; i < condition->n_values; i++) {
        enum mg_err err = finder_compile(&condition->finders[i], condition->values[i], why);
        if (err != MG_OK)
            return mg_fail_in(why, err, "string_attribute.values %zu", i + 1);
    }
    return MG_OK;
}

static struct condition_key *key_of(struct condition_set *set, struct str name)
{
    struct condition_key *key;

    for (size_t i = 0; i < set->keys.n; i++)
        if (str_eq(set->keys.at[i].name, name))
            return &set->keys.at[i];
    key = VEC_ADD(&set->keys);
    key->name = name;
    return key;
}

/* What is looked up by a span finds the condition. */
static void make_known(struct condition_set *set, const struct condition *condition, unsigned number)
{
    struct condition_key *key;

    switch (condition->type) {
    case CONDITION_STATUS:
        for (unsigned i = 0; i < MG_COUNT(set->by_status); i++)
            if (condition->statuses >> i & 1)
                bits_set(set->by_status[i], number);
        return;
    case CONDITION_TRACE_FLAGS:
        bits_set(set->by_sampled_flag, number);
        return;
    case CONDITION_TRACE_STATE:
        VEC_PUSH(&set->trace_states, (uint8_t)number);
        return;
    case CONDITION_NUMBER:
    case CONDITION_TEXT:
    case CONDITION_PATTERN:
    case CONDITION_BOOLEAN:
        break;
    }
    key = key_of(set, condition->key);
    VEC_PUSH(&key->conditions, (uint8_t)number);
    key->asks_number |= condition->type == CONDITION_NUMBER;
    key->asks_boolean |= condition->type == CONDITION_BOOLEAN;
    key->asks_text |= condition->type == CONDITION_TEXT || condition->type == CONDITION_PATTERN;
}

enum mg_err condition_add(struct condition_set *set, struct arena *arena, const struct condition *condition, unsigned *number,
                          struct mg_why *why)
{
    struct condition own = copy(arena, condition);

    for (size_t i = 0; i < set->all.n; i++) {
        if (is_same(&set->all.at[i], &own)) {
            *number = (unsigned)i;
            return MG_OK;
        }
    }
    if (set->all.n == CONDITIONS_MAX)
        return mg_fail(why, MG_E_FORMAT, "more than %d different conditions on spans", CONDITIONS_MAX);
    *number = (unsigned)set->all.n;
    VEC_PUSH(&set->all, own);
    if (own.type == CONDITION_PATTERN)
        MG_TRY(compile(arena, &set->all.at[*number], why));
    make_known(set, &set->all.at[*number], *number);
    return MG_OK;
}

size_t condition_field_add(struct condition_set *set, struct arena *arena, struct str name)
{
    for (size_t i = 0; i < set->fields.n; i++)
        if (str_eq(set->fields.at[i], name))
            return i;
    VEC_PUSH(&set->fields, arena_str(arena, name));
    return set->fields.n - 1;
}

/* --- values --------------------------------------------------------------------------------------- */

static bool has_value(const struct condition *condition, struct str text)
{
    return bsearch(&text, condition->values, condition->n_values, sizeof text, compare_values);
}

/* A text that takes more work than its length allows counts as no match. */
static bool has_pattern(const struct condition *condition, struct finder_scratch *scratch, struct str text)
{
    for (size_t i = 0; i < condition->n_values; i++)
        if (finder_search(condition->finders[i], scratch, text) == FINDER_FOUND)
            return true;
    return false;
}

void condition_match_number(const struct condition_set *set, const struct condition_key *key, int64_t number, uint64_t bits[2])
{
    for (size_t i = 0; i < key->conditions.n; i++) {
        const struct condition *condition = &set->all.at[key->conditions.at[i]];
        if (condition->type == CONDITION_NUMBER && number >= condition->min && number <= condition->max)
            bits_set(bits, key->conditions.at[i]);
    }
}

void condition_match_boolean(const struct condition_set *set, const struct condition_key *key, bool boolean, uint64_t bits[2])
{
    for (size_t i = 0; i < key->conditions.n; i++) {
        const struct condition *condition = &set->all.at[key->conditions.at[i]];
        if (condition->type == CONDITION_BOOLEAN && boolean == condition->boolean)
            bits_set(bits, key->conditions.at[i]);
    }
}

void condition_match_text(const struct condition_set *set, const struct condition_key *key, struct finder_scratch *scratch,
                          struct str text, uint64_t bits[2])
{
    for (size_t i = 0; i < key->conditions.n; i++) {
        const struct condition *condition = &set->all.at[key->conditions.at[i]];
        if ((condition->type == CONDITION_TEXT && has_value(condition, text)) ||
            (condition->type == CONDITION_PATTERN && has_pattern(condition, scratch, text)))
            bits_set(bits, key->conditions.at[i]);
    }
}

void condition_match_value(const struct condition_set *set, const struct condition_key *key, struct finder_scratch *scratch,
                           const struct value *value, uint64_t bits[2])
{
    if (value->type == VALUE_STRING)
        condition_match_text(set, key, scratch, value->str, bits);
    else if (value->type == VALUE_INT)
        condition_match_number(set, key, value->i, bits);
    else if (value->type == VALUE_BOOL)
        condition_match_boolean(set, key, value->b, bits);
}

/* --- trace state ---------------------------------------------------------------------------------- */

/* W3C Trace Context Level 2, 3.3.1.3.1: lower case, digits and _-*@/, the first a letter or a digit. */
static bool is_member_key(struct str key)
{
    if (key.len == 0 || key.len > MEMBER_TEXT_MAX)
        return false;
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_plain && (i == 0 || !c || !strchr("_-*/@", c)))
            return false;
    }
    return true;
}

/* 3.3.1.3.2: printable ASCII without comma and equals sign, not ending in a space. */
static bool is_member_value(struct str value)
{
    if (value.len == 0 || value.len > MEMBER_TEXT_MAX || value.ptr[value.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] < 0x20 || value.ptr[i] > 0x7e || value.ptr[i] == '=')
            return false;
    return true;
}

/* False: a trace state must be discarded as a whole when one member is malformed, there are too many, or a key comes twice. */
static bool read_members(struct str trace_state, struct str keys[], struct str values[], size_t *n)
{
    struct str member;

    for (*n = 0; str_cut(&trace_state, ',', &member);) {
        member = str_trim(member);
        if (member.len == 0)
            continue;
        if (*n == MEMBERS_MAX || !str_split_at(member, '=', &keys[*n], &values[*n]) || !is_member_key(keys[*n]) ||
            !is_member_value(values[*n]))
            return false;
        for (size_t i = 0; i < *n; i++)
            if (str_eq(keys[i], keys[*n]))
                return false;
        (*n)++;
    }
    return true;
}

void condition_match_trace_state(const struct condition_set *set, struct str trace_state, uint64_t bits[2])
{
    struct str keys[MEMBERS_MAX], values[MEMBERS_MAX];
    size_t n;

    if (!read_members(trace_state, keys, values, &n))
        return;
    for (size_t i = 0; i < set->trace_states.n; i++) {
        unsigned number = set->trace_states.at[i];
        const struct condition *condition = &set->all.at[number];
        for (size_t k = 0; k < n; k++)
            if (str_eq(keys[k], condition->key) && has_value(condition, values[k]))
                bits_set(bits, number);
    }
}

/* --- resources ------------------------------------------------------------------------------------ */

void condition_match_resource(const struct condition_set *set, struct finder_scratch *scratch, struct str resource, uint64_t bits[2])
{
    uint64_t seen[2] = { 0 }; /* keys; there are no more of them than conditions */
    struct resource_view view;
    struct attr attr;

    resource_view(resource, &view);
    for (uint32_t i = 0; i < view.n; i++) {
        const uint8_t *at = wire_begin(view.attributes_owner[i]), *end = wire_end(view.attributes_owner[i]);
        while (attr_next(&at, end, 1, &attr) == 1) {
            for (unsigned k = 0; k < set->keys.n; k++) {
                if (bits_have(seen, k) || !str_eq(set->keys.at[k].name, attr.key))
                    continue;
                struct value value = value_plain(&attr.value);
                bits_set(seen, k);
                condition_match_value(set, &set->keys.at[k], scratch, &value, bits);
            }
        }
    }
}
