/* dynamic_key.c - which kind of traffic a trace is to a `dynamic` policy (dynamic.h): the one decision that reads rows again.
 *
 * Of each field the smallest VALUES_MAX distinct values count, whatever the order of the rows. Values and fields are parted by control
 * characters; a key that would be long is replaced by its hash, for it stays in memory. */
#include "codec/hash.h"
#include "sample/policy.h"

#define VALUES_MAX      100
#define VALUE_BYTES_MAX 256
#define KEY_BYTES_MAX   2048
#define VALUE_END       '\x1f'
#define FIELD_END       '\x1e'
#define ABSENT          UINT32_MAX /* no symbol of a key */

struct values { struct str at[VALUES_MAX]; size_t n; };
struct gatherer {
    const struct policy *policy;
    const struct condition_set *set;
    struct arena *arena;
    struct buf *text;           /* the one that is looked at */
    struct values *values;      /* by field of the policy */
    struct row_value *own;      /* a row's, by field of the set */
    struct row_value *last;     /* that of the row before, by field of the policy */
    const struct epoch *epoch;  /* of the row before */
    uint32_t resource;
};

static void values_add(struct gatherer *g, struct values *values, const struct value *value)
{
    size_t at = 0;

    buf_clear(g->text);
    value_text(g->text, value);
    struct str text = buf_str(g->text);
    text.len = MG_MIN(text.len, (size_t)VALUE_BYTES_MAX);
    while (at < values->n && str_cmp(values->at[at], text) < 0)
        at++;
    if (at == VALUES_MAX || (at < values->n && str_eq(values->at[at], text)))
        return;
    values->n = MG_MIN(values->n, (size_t)VALUES_MAX - 1);
    memmove(&values->at[at + 1], &values->at[at], (values->n - at) * sizeof *values->at);
    values->at[at] = arena_str(g->arena, text);
    values->n++;
}

static struct value plain_value(const struct row_value *from, const struct epoch *epoch)
{
    struct value value = { .type = from->type };

    if (from->type == VALUE_INT)
        value.i = from->i;
    else if (from->type == VALUE_DOUBLE)
        value.d = from->d;
    else if (from->type == VALUE_BOOL)
        value.b = from->b;
    else if (from->type != VALUE_EMPTY)
        value.str = from->is_symbol ? epoch_text(epoch, from->symbol) : from->bytes;
    return value_plain(&value);
}

static bool find_in_resource(const struct row *row, const struct epoch *epoch, struct str name, struct value *out)
{
    struct resource_view view;
    struct attr attr;

    resource_view(epoch_text(epoch, row->resource), &view);
    for (uint32_t i = 0; i < view.n; i++) {
        const uint8_t *at = wire_begin(view.attributes_owner[i]), *end = wire_end(view.attributes_owner[i]);
        while (attr_next(&at, end, 1, &attr) == 1) {
            if (!str_eq(attr.key, name))
                continue;
            *out = value_plain(&attr.value);
            return true;
        }
    }
    return false;
}

/* Most rows have what the row before had. */
static bool is_same_symbol(const struct row_value *a, const struct row_value *b)
{
    return a->key != ABSENT && b->key != ABSENT && a->type == b->type && a->is_symbol && b->is_symbol && a->symbol == b->symbol;
}

static void gather_row(struct gatherer *g, struct memo *memo, const struct row *row, bool is_entry)
{
    const struct epoch *epoch = segment_of(row)->epoch;

    for (size_t i = 0; i < g->set->fields.n; i++)
        g->own[i] = (struct row_value){ .key = ABSENT };
    memo_fields(memo, row, g->own);
    for (size_t i = 0; i < g->policy->dynamic.n_fields; i++) {
        const struct dynamic_field *field = &g->policy->dynamic.fields[i];
        const struct row_value *own = &g->own[field->field];
        struct value value;
        if (field->is_of_root && !is_entry)
            continue;
        if (epoch == g->epoch && is_same_symbol(own, &g->last[i]))
            continue;
        if (epoch == g->epoch && row->resource == g->resource && own->key == ABSENT && g->last[i].key == ABSENT)
            continue;
        g->last[i] = *own;
        if (own->key != ABSENT)
            value = plain_value(own, epoch);
        else if (!find_in_resource(row, epoch, g->set->fields.at[field->field], &value))
            continue;
        values_add(g, &g->values[i], &value);
    }
    g->epoch = epoch;
    g->resource = row->resource;
}

static void write_key(const struct gatherer *g, uint32_t n, struct buf *key)
{
    for (size_t i = 0; i < g->policy->dynamic.n_fields; i++) {
        for (size_t k = 0; k < g->values[i].n; k++) {
            buf_put_str(key, g->values[i].at[k]);
            buf_put_char(key, VALUE_END);
        }
        buf_put_char(key, FIELD_END);
    }
    if (g->policy->dynamic.has_length)
        buf_put_u64(key, n);
    if (key->len <= KEY_BYTES_MAX)
        return;
    uint64_t hash = hash64(key->ptr, key->len, 0);
    buf_clear(key);
    buf_printf(key, "%016llx", (unsigned long long)hash);
}

void dynamic_key(const struct policy *policy, const struct question *question, const struct condition_set *set, struct arena *arena,
                 struct buf *key)
{
    struct gatherer g = { .policy = policy, .set = set, .arena = arena, .text = key };
    const struct row *row = question->trace->last;

    g.values = arena_alloc(arena, policy->dynamic.n_fields * sizeof *g.values);
    for (size_t i = 0; i < policy->dynamic.n_fields; i++)
        g.values[i].n = 0;
    g.own = arena_zero(arena, set->fields.n * sizeof *g.own);
    g.last = arena_zero(arena, policy->dynamic.n_fields * sizeof *g.last);
    for (uint32_t i = 0; i < question->trace->n; i++, row = row->prev)
        gather_row(&g, question->memo, row, row == question->trace->facts->entry);
    buf_clear(key);
    write_key(&g, question->trace->n, key);
}
