/* attribute_apply.c - what each action does.
 *
 * Every attribute of a key is meant, also where a sender repeats it. */
#include "attribute/attribute_apply.h"

#include "model/otlp_schema.h"
#include "model/otlp_write.h"

#define SCRATCH_KEEP 65536
#define SEARCH_STEPS 15000000 /* of a scan: some 250 ms */
#define AT_VALUE     6 /* messages around a span's value, its AnyValue included */

/* --- memory ------------------------------------------------------------------------------------- */

void bench_init(struct bench *bench, const struct attribute_rules *rules)
{
    *bench = (struct bench){ .rules = rules, .finder = finder_scratch_new() };
    /* No limits: what stands in them is a part of a request, or at most a small multiple. */
    buf_init(&bench->texts[0], SIZE_MAX);
    buf_init(&bench->texts[1], SIZE_MAX);
    buf_init(&bench->replaced, SIZE_MAX);
    buf_init(&bench->wire, SIZE_MAX);
}

void bench_fini(struct bench *bench)
{
    finder_scratch_free(&bench->finder);
    buf_fini(&bench->texts[0]);
    buf_fini(&bench->texts[1]);
    buf_fini(&bench->replaced);
    buf_fini(&bench->wire);
}

void bench_shrink(struct bench *bench)
{
    buf_shrink(&bench->texts[0], SCRATCH_KEEP);
    buf_shrink(&bench->texts[1], SCRATCH_KEEP);
    buf_shrink(&bench->replaced, SCRATCH_KEEP);
    buf_shrink(&bench->wire, SCRATCH_KEEP);
}

void bench_begin(struct bench *bench, size_t added_max)
{
    bench_shrink(bench);
    finder_scratch_budget(bench->finder, SEARCH_STEPS);
    bench->added_left = added_max;
    bench->is_over = false;
}

bool bench_may_add(struct bench *bench, size_t bytes)
{
    if (bytes == 0)
        return true;
    bench->is_over |= bytes > bench->added_left;
    if (bench->is_over)
        return false;
    bench->added_left -= bytes;
    return true;
}

static void target_reset(struct target *target)
{
    if (target->arena.bytes)
        arena_reset(&target->arena);
    target->is_counted = false;
}

void target_set_span(struct target *target, const struct attribute_rules *rules, const struct span *span,
                     const struct captured *captured)
{
    target_reset(target);
    target->span = span;
    target->captured = captured;
    attr_list_borrow(&target->list, rules, span->attrs, span->n_attrs);
}

void target_set_resource(struct target *target, const struct attribute_rules *rules, const struct attr *attrs, size_t n)
{
    target_reset(target);
    target->span = NULL;
    target->captured = NULL;
    attr_list_borrow(&target->list, rules, attrs, n);
}

struct span *target_own(struct target *target)
{
    if (target->span != &target->own)
        target->own = *target->span;
    target->span = &target->own;
    return &target->own;
}

void attribute_target_fini(struct target *target)
{
    arena_fini(&target->arena);
    attr_list_fini(&target->list);
}

/* --- insert, update, upsert --------------------------------------------------------------------- */

/* A resource's values stand one message higher than a span's: what was accepted there could be too deep here. */
bool value_fits(const struct value *value)
{
    const struct wire_shape *shape = value->type == VALUE_ARRAY ? &otlp_array_value : &otlp_kvlist_value;

    if (value->type != VALUE_ARRAY && value->type != VALUE_KVLIST)
        return true;
    return wire_check(value->raw, shape, OTLP_DEPTH_MAX - AT_VALUE) == WIRE_FINE;
}

static size_t value_bytes(const struct value *value)
{
    switch (value->type) {
    case VALUE_STRING:
        return value->str.len;
    case VALUE_BYTES:
    case VALUE_ARRAY:
    case VALUE_KVLIST:
    case VALUE_OTHER:
        return value->raw.len;
    default:
        return sizeof value->i;
    }
}

/* What all attributes of the key grow by. */
static size_t growth(const struct attr_list *list, const struct rule_key *key, const struct value *value)
{
    size_t bytes = value_bytes(value), all = 0;

    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->at[i].key, key->name))
            all += bytes - MG_MIN(bytes, value_bytes(&list->at[i].value));
    return all;
}

static void assign(struct bench *bench, const struct rule *rule, struct target *target)
{
    const struct rule_key *key = &rule->keys[0];
    bool is_there = attr_list_find(&target->list, key) != NULL;
    struct value value;

    if (rule->action == (is_there ? ACTION_INSERT : ACTION_UPDATE))
        return;
    if (!operand_read(target, &rule->value, &value) ||
        !bench_may_add(bench, is_there ? growth(&target->list, key, &value) : key->name.len + value_bytes(&value)))
        return;
    if (!is_there) {
        attr_list_append(&target->list, key, &value);
        return;
    }
    struct attr *attrs = attr_list_change(&target->list);
    for (size_t i = 0; i < target->list.n; i++)
        if (str_eq(attrs[i].key, key->name))
            attrs[i].value = value;
}

/* --- rename ------------------------------------------------------------------------------------- */

/* A value of type OTHER is the whole KeyValue, so its key is written in it once more. */
static struct str raw_renamed(struct bench *bench, struct str raw, struct str key, struct arena *arena)
{
    const uint8_t *at = wire_begin(raw), *end = wire_end(raw);
    struct wire_field field;

    buf_clear(&bench->wire);
    wire_put_bytes(&bench->wire, 1, key);
    while (wire_next(&at, end, &field) == 1)
        if (field.number != 1)
            buf_put_str(&bench->wire, field.whole);
    return arena_str(arena, buf_str(&bench->wire));
}

static void rename_key(struct bench *bench, const struct rule *rule, struct target *target)
{
    const struct rule_key *old = &rule->keys[0], *renamed = &rule->renamed;

    if (!attr_list_find(&target->list, old))
        return;
    attr_list_remove(&target->list, renamed);
    struct attr *attrs = attr_list_change(&target->list);
    for (size_t i = 0; i < target->list.n; i++) {
        if (!str_eq(attrs[i].key, old->name))
            continue;
        (void)bench_may_add(bench, renamed->name.len - MG_MIN(renamed->name.len, old->name.len));
        attrs[i].key = renamed->name;
        if (attrs[i].value.type == VALUE_OTHER)
            attrs[i].value.raw = raw_renamed(bench, attrs[i].value.raw, renamed->name, &target->arena);
    }
    target->list.bits |= renamed->bit;
}

/* --- hash, redact ------------------------------------------------------------------------------- */

static void hash_key(struct bench *bench, const struct rule_key *key, struct target *target)
{
    if (!attr_list_find(&target->list, key))
        return;
    struct attr *attrs = attr_list_change(&target->list);
    for (size_t i = 0; i < target->list.n; i++)
        if (str_eq(attrs[i].key, key->name))
            attrs[i].value = (struct value){ .type = VALUE_STRING,
                                             .str = value_hash(bench, &attrs[i].value, &target->arena) };
}

/* True: *out is what the rule makes of the attribute's value. */
static bool value_redact(struct bench *bench, const struct rule *rule, const struct attr *attr, struct arena *arena,
                         struct value *out)
{
    const struct value *value = &attr->value;

    *out = (struct value){ .type = VALUE_STRING, .str = REDACTED };
    if (needles_match(rule, attr->key))
        return value->type != VALUE_STRING || !str_eq(value->str, REDACTED);
    if (value->type == VALUE_STRING) {
        struct str text;
        if (rule->action != ACTION_REDACT_PATTERN || !text_redact(bench, rule, value->str, &text))
            return false;
        out->str = arena_str(arena, text);
        return true;
    }
    if (value->type != VALUE_ARRAY && value->type != VALUE_KVLIST && value->type != VALUE_OTHER)
        return false;
    out->type = value->type;
    return raw_redact(bench, rule, value, arena, &out->raw);
}

static void redact_values(struct bench *bench, const struct rule *rule, struct target *target)
{
    struct value value;

    for (size_t i = 0; i < target->list.n; i++)
        if (value_redact(bench, rule, &target->list.at[i], &target->arena, &value))
            attr_list_change(&target->list)[i].value = value;
}

static void redact_texts(struct bench *bench, const struct rule *rule, struct target *target)
{
    struct str text;

    if (text_redact(bench, rule, target->span->name, &text))
        target_own(target)->name = arena_str(&target->arena, text);
    if (text_redact(bench, rule, target->span->status_message, &text))
        target_own(target)->status_message = arena_str(&target->arena, text);
}

/* --- events and links --------------------------------------------------------------------------- */

static void change_parts(struct bench *bench, const struct rule *rule, struct target *target)
{
    struct str bytes;

    if (rule->bits) {
        if (!target->is_counted)
            target->part_bits = part_bits(bench->rules, PART_EVENTS, target->span->events) |
                                part_bits(bench->rules, PART_LINKS, target->span->links);
        target->is_counted = true;
        if (!(rule->bits & target->part_bits))
            return;
    }
    if (part_change(bench, rule, PART_EVENTS, target->span->events, &target->arena, &bytes))
        target_own(target)->events = bytes;
    if (part_change(bench, rule, PART_LINKS, target->span->links, &target->arena, &bytes))
        target_own(target)->links = bytes;
}

/* --- all ---------------------------------------------------------------------------------------- */

bool rule_may_touch(const struct rule *rule, const struct target *target)
{
    switch (rule->action) {
    case ACTION_UPDATE:
    case ACTION_RENAME:
        return (rule->bits & target->list.bits) != 0;
    case ACTION_DELETE:
    case ACTION_HASH:
        return (rule->bits & target->list.bits) || (target->span && (target->span->events.len || target->span->links.len));
    default:
        return true;
    }
}

void rule_apply(struct bench *bench, const struct rule *rule, struct target *target)
{
    switch (rule->action) {
    case ACTION_INSERT:
    case ACTION_UPDATE:
    case ACTION_UPSERT:
        assign(bench, rule, target);
        return;
    case ACTION_RENAME:
        rename_key(bench, rule, target);
        return;
    case ACTION_DELETE:
        for (size_t i = 0; i < rule->n_keys; i++)
            attr_list_remove(&target->list, &rule->keys[i]);
        break;
    case ACTION_HASH:
        for (size_t i = 0; i < rule->n_keys; i++)
            hash_key(bench, &rule->keys[i], target);
        break;
    case ACTION_REDACT_KEYS:
        redact_values(bench, rule, target);
        break;
    case ACTION_REDACT_PATTERN:
        redact_values(bench, rule, target);
        if (target->span)
            redact_texts(bench, rule, target);
        break;
    case ACTION_DROP: /* the filter's */
        return;
    }
    if (target->span)
        change_parts(bench, rule, target);
}
