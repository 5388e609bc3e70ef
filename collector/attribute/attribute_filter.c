/* attribute_filter.c - the rules between a scanner and its visitor.
 *
 * The rules run twice, each time in their order: over the attributes of a resource when a group begins, over a span when it
 * comes. What a span's rule asks about its resource is answered in the first run, at the rule's place in the order, so
 * that a change by a later rule is not seen; and it costs nothing per span:
 *
 *     resource run   holds[i]     do the terms of rule i about the resource hold?
 *                    captured[s]  the value of a resource key that a span's rule copies or compares
 *     span run       the terms about the span, then the action
 *
 * Senders repeat their resource from request to request. The last one is kept, as it came and as it was made, and a
 * repetition costs one comparison. */
#include "attribute/attribute_apply.h"

#include <assert.h>
#include "model/otlp_write.h"

#define GROUP_KEEP         65536
#define RESOURCE_ATTRS_MAX 65536 /* 2 MiB of struct attr */

struct group {
    bool is_set, is_changed;
    size_t added;               /* by rules, to this resource */
    struct buf original;        /* span.resource as it came */
    struct buf rewritten;       /* when is_changed */
    VEC(struct attr) attrs;     /* of the original; borrow from it */
    struct target target;
    bool *holds;                /* a rule each */
    struct captured *captured;  /* a slot each; borrow from the original and the target's arena */
};

struct attribute_filter {
    struct attribute_rules *rules;
    struct bench bench;
    struct group group;
    struct target span;
    /* the current scan */
    const struct span_visitor *next;
    void *owner;
    void (*on_dropped)(void *owner, uint32_t ordinal);
    bool has_resource;
};

struct attribute_filter *attribute_filter_new(struct attribute_rules *rules)
{
    struct attribute_filter *filter = MEM_NEW(struct attribute_filter);

    filter->rules = attribute_rules_ref(rules);
    bench_init(&filter->bench, rules);
    buf_init(&filter->group.original, SIZE_MAX); /* a part of a request */
    buf_init(&filter->group.rewritten, SIZE_MAX);
    filter->group.holds = mem_alloc(rules->rules.n * sizeof *filter->group.holds);
    filter->group.captured = mem_zero(rules->n_slots, sizeof *filter->group.captured);
    for (size_t i = 0; i < rules->rules.n; i++)
        filter->group.holds[i] = true;
    return filter;
}

void attribute_filter_free(struct attribute_filter **pointer)
{
    struct attribute_filter *filter = *pointer;

    if (!filter)
        return;
    mem_free(filter->group.captured);
    mem_free(filter->group.holds);
    attribute_target_fini(&filter->group.target);
    VEC_FINI(&filter->group.attrs);
    buf_fini(&filter->group.original);
    buf_fini(&filter->group.rewritten);
    attribute_target_fini(&filter->span);
    bench_fini(&filter->bench);
    attribute_rules_unref(&filter->rules);
    mem_free(filter);
    *pointer = NULL;
}

void attribute_filter_begin(struct attribute_filter *filter, const struct span_visitor *next, void *owner,
                            void (*on_dropped)(void *owner, uint32_t ordinal), size_t added_max)
{
    struct group *group = &filter->group;

    filter->next = next;
    filter->owner = owner;
    filter->on_dropped = on_dropped;
    filter->has_resource = false;
    bench_begin(&filter->bench, added_max);
    if (group->original.room <= GROUP_KEEP && group->rewritten.room <= GROUP_KEEP)
        return;
    group->is_set = false;
    buf_shrink(&group->original, GROUP_KEEP);
    buf_shrink(&group->rewritten, GROUP_KEEP);
    VEC_FINI(&group->attrs);
    attribute_target_fini(&group->target);
}

bool attribute_filter_is_over(const struct attribute_filter *filter)
{
    return filter->bench.is_over;
}

/* --- resources ---------------------------------------------------------------------------------- */

/* Attributes of all `resource` messages, which protobuf merges. False: malformed, which no scanner lets through. */
static bool group_read(struct group *group)
{
    struct str resource = buf_str(&group->original);
    const uint8_t *at = wire_begin(resource), *end = wire_end(resource);
    struct wire_field field;
    struct attr attr;
    int got;

    VEC_CLEAR(&group->attrs);
    while ((got = wire_next(&at, end, &field)) == 1) {
        if (field.number != 1 || field.type != WIRE_BYTES)
            continue;
        const uint8_t *p = wire_begin(field.bytes), *stop = wire_end(field.bytes);
        while ((got = attr_next(&p, stop, 1, &attr)) == 1)
            if (group->attrs.n <= RESOURCE_ATTRS_MAX)
                VEC_PUSH(&group->attrs, attr);
        if (got < 0)
            return false;
    }
    return got == 0;
}

/* All there is in `resource` messages, as one: the attributes as they are now, the other fields as they were. */
static void resource_put(struct buf *out, struct str resource, const struct attr_list *list)
{
    const uint8_t *at = wire_begin(resource), *end = wire_end(resource);
    struct wire_field field, inner;
    size_t mark = wire_open(out, 1);

    for (size_t i = 0; i < list->n; i++)
        otlp_put_attr(out, 1, &list->at[i]);
    while (wire_next(&at, end, &field) == 1) {
        if (field.number != 1)
            continue;
        const uint8_t *p = wire_begin(field.bytes), *stop = wire_end(field.bytes);
        while (wire_next(&p, stop, &inner) == 1)
            if (inner.number != 1)
                buf_put_str(out, inner.whole);
    }
    wire_close(out, mark);
}

static void group_write(struct group *group)
{
    struct str resource = buf_str(&group->original);
    const uint8_t *at = wire_begin(resource), *end = wire_end(resource);
    struct wire_field field;
    bool is_put = false;

    buf_clear(&group->rewritten);
    while (wire_next(&at, end, &field) == 1) {
        if (field.number != 1) {
            buf_put_str(&group->rewritten, field.whole);
        } else if (!is_put) {
            resource_put(&group->rewritten, resource, &group->target.list);
            is_put = true;
        }
    }
    if (!is_put)
        resource_put(&group->rewritten, resource, &group->target.list);
}

static void capture(struct group *group, const struct operand *operand)
{
    struct captured *captured = &group->captured[operand->slot];

    captured->is_there = operand_read(&group->target, operand, &captured->value);
}

/* Looked at here, once, and not for every span that takes it. */
static void capture_value(struct group *group, const struct operand *operand)
{
    struct captured *captured = &group->captured[operand->slot];

    capture(group, operand);
    captured->is_there = captured->is_there && value_fits(&captured->value);
}

static bool resource_terms_hold(struct attribute_filter *filter, const struct rule *rule)
{
    struct group *group = &filter->group;
    bool holds = true;

    for (size_t i = 0; i < rule->n_terms; i++) {
        const struct term *term = &rule->terms[i];
        if (term->is_of_resource) {
            holds = holds && term_holds(&filter->bench, &group->target, term);
            continue;
        }
        if (term->left.source == FROM_RESOURCE)
            capture(group, &term->left);
        if (term->right.source == FROM_RESOURCE)
            capture(group, &term->right);
    }
    return holds;
}

static void group_run(struct attribute_filter *filter)
{
    struct group *group = &filter->group;

    for (size_t i = 0; i < filter->rules->rules.n; i++) {
        const struct rule *rule = &filter->rules->rules.at[i];
        group->holds[i] = resource_terms_hold(filter, rule);
        if (rule->value.source == FROM_RESOURCE)
            capture_value(group, &rule->value);
        if (group->holds[i] && (rule->where & ON_RESOURCE) && rule_may_touch(rule, &group->target))
            rule_apply(&filter->bench, rule, &group->target);
    }
}

static void group_enter(struct attribute_filter *filter, struct str resource)
{
    struct group *group = &filter->group;

    buf_clear(&group->original);
    buf_put_str(&group->original, resource);
    bool is_sound = group_read(group);
    bool is_cut = group->attrs.n > RESOURCE_ATTRS_MAX;
    target_set_resource(&group->target, filter->rules, group->attrs.at, group->attrs.n - is_cut);
    size_t before = filter->bench.added_left;
    group_run(filter);
    group->added = before - filter->bench.added_left;
    /* What a budget kept from being done is done again, by the next scan's. */
    group->is_set = !filter->bench.is_over && !finder_scratch_is_spent(filter->bench.finder);
    group->is_changed = is_sound && (is_cut || group->target.list.is_changed);
    if (group->is_changed)
        group_write(group);
}

/* True: the resource is the one before, and what it was given is added once more. */
static bool group_is_again(struct attribute_filter *filter, struct str resource)
{
    struct group *group = &filter->group;

    return group->is_set && str_eq(resource, buf_str(&group->original)) && !filter->bench.is_over &&
           group->added <= filter->bench.added_left && bench_may_add(&filter->bench, group->added);
}

static void on_resource(void *owner, struct str resource)
{
    struct attribute_filter *filter = owner;
    struct group *group = &filter->group;

    filter->has_resource = true;
    if (filter->rules->needs_resource && !group_is_again(filter, resource))
        group_enter(filter, resource);
    filter->next->on_resource(filter->owner, group->is_changed ? buf_str(&group->rewritten) : resource);
}

static void on_scope(void *owner, struct str scope)
{
    struct attribute_filter *filter = owner;

    filter->next->on_scope(filter->owner, scope);
}

/* --- spans -------------------------------------------------------------------------------------- */

static bool span_terms_hold(struct attribute_filter *filter, const struct rule *rule)
{
    for (size_t i = 0; i < rule->n_terms; i++)
        if (!rule->terms[i].is_of_resource && !term_holds(&filter->bench, &filter->span, &rule->terms[i]))
            return false;
    return true;
}

/* False: the span is dropped. */
static bool span_run(struct attribute_filter *filter)
{
    for (size_t i = 0; i < filter->rules->rules.n; i++) {
        const struct rule *rule = &filter->rules->rules.at[i];
        bool is_drop = rule->action == ACTION_DROP;
        if (!(rule->where & ON_SPAN) || !filter->group.holds[i] || (is_drop && !filter->on_dropped))
            continue;
        if (!rule_may_touch(rule, &filter->span) || !span_terms_hold(filter, rule))
            continue;
        if (is_drop)
            return false;
        rule_apply(&filter->bench, rule, &filter->span);
    }
    return true;
}

static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct attribute_filter *filter = owner;
    struct target *target = &filter->span;

    assert(filter->has_resource); /* span_visitor.h: a resource comes first */
    if (filter->rules->needs_span) {
        target_set_span(target, filter->rules, span, filter->group.captured);
        if (!span_run(filter)) {
            filter->on_dropped(filter->owner, ordinal);
            return;
        }
        if (target->list.is_changed) {
            target_own(target)->attrs = target->list.at;
            target->own.n_attrs = (uint32_t)target->list.n;
        }
    } else {
        target->span = span;
    }
    if (filter->group.is_changed)
        target_own(target)->resource = buf_str(&filter->group.rewritten);
    filter->next->on_span(filter->owner, target->span, ordinal);
}

static void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    struct attribute_filter *filter = owner;

    filter->next->on_refused(filter->owner, why, ordinal);
}

const struct span_visitor attribute_visitor = { on_resource, on_scope, on_span, on_refused };
