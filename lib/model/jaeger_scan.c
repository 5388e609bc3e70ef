/* jaeger_scan.c - two walks over a body: the first checks all of it and sorts its spans into
 * groups, the second visits.
 *
 * A visitor wants spans by resource and scope; Jaeger gives them in any order, each with its own
 * tags that name the scope, in protobuf also each with its own process. The first walk therefore
 * keeps where each span stands, in a list of its group:
 *
 *     resources   [batch's] [a span's own] …       groups of a resource   lib/1.2 -> other/3 -> …
 *     places      0   1   2   3   4   5            spans of a group       0 -> 3 -> 4
 *
 * The second reads each span again and makes an OTLP span of it. Reading twice costs less than
 * keeping every span: what is kept is 16 bytes a span, which takes 20 at least, and never more than
 * one span is held in full.
 *
 * Numbers of groups and places are counted from 1 where 0 says "none". */
#include "model/jaeger_read.h"

#include <assert.h>
#include "base/map.h"

struct place {
    const char *ptr;
    uint32_t len, next;
};
struct group {
    uint32_t resource;    /* number, from 0 */
    uint32_t next;        /* of that resource */
    uint32_t first, last; /* places */
    struct jaeger_scope scope;
};
struct resource {
    struct str bytes, service;
    uint32_t first, last; /* groups */
};

struct jaeger_scanner {
    struct jaeger_raw raw;
    struct arena arena; /* what the visitor gets and is not in the body; until the next scan */
    VEC(struct place) places; /* in the order of the body: a span's number is its ordinal */
    VEC(struct group) groups;
    VEC(struct resource) resources; /* [0]: of spans without a process of their own */
    struct map by_scope;            /* resource number, scope -> group */
    struct map by_process;          /* Process message -> resource, from 1 */
    struct jaeger_tags process;     /* tags of a process inside a span */
};

struct jaeger_scanner *jaeger_scanner_new(void)
{
    struct jaeger_scanner *s = MEM_NEW(struct jaeger_scanner);

    s->raw.arena = &s->arena;
    buf_init(&s->raw.events, SIZE_MAX); /* both a few times the body at most */
    buf_init(&s->raw.scratch, SIZE_MAX);
    return s;
}

static void forget(struct jaeger_scanner *s)
{
    map_fini(&s->by_scope);
    map_fini(&s->by_process);
    VEC_CLEAR(&s->places);
    VEC_CLEAR(&s->groups);
    VEC_CLEAR(&s->resources);
    arena_reset(&s->arena);
}

void jaeger_scanner_decay(struct jaeger_scanner *scanner)
{
    struct jaeger_scanner *s = scanner;

    forget(s);
    arena_fini(&s->arena);
    VEC_FINI(&s->places);
    VEC_FINI(&s->groups);
    VEC_FINI(&s->resources);
    VEC_FINI(&s->process);
    VEC_FINI(&s->raw.tags);
    VEC_FINI(&s->raw.fields);
    VEC_FINI(&s->raw.refs);
    VEC_FINI(&s->raw.warnings);
    buf_shrink(&s->raw.events, 0);
    buf_shrink(&s->raw.scratch, 0);
}

void jaeger_scanner_free(struct jaeger_scanner **scanner)
{
    struct jaeger_scanner *s = *scanner;

    if (!s)
        return;
    jaeger_scanner_decay(s);
    buf_fini(&s->raw.events);
    buf_fini(&s->raw.scratch);
    mem_free(s);
    *scanner = NULL;
}

/* --- a raw span --------------------------------------------- */

struct jaeger_raw *jaeger_scanner_raw(struct jaeger_scanner *s)
{
    return &s->raw;
}

void jaeger_raw_reset(struct jaeger_raw *raw)
{
    memset(raw->trace_id, 0, sizeof raw->trace_id);
    memset(raw->span_id, 0, sizeof raw->span_id);
    memset(raw->parent_id, 0, sizeof raw->parent_id);
    raw->name = raw->process = STR("");
    raw->has_process = false;
    raw->start_ns = raw->end_ns = 0;
    raw->dropped_refs = 0;
    VEC_CLEAR(&raw->tags);
    VEC_CLEAR(&raw->fields);
    VEC_CLEAR(&raw->refs);
    VEC_CLEAR(&raw->warnings);
    buf_clear(&raw->events);
}

static enum mg_err fail_tags(const struct jaeger_raw *raw, const char *whose)
{
    return mg_fail(raw->why, MG_E_FORMAT, "span %u: a %s with more than %d tags", raw->ordinal,
                   whose, JAEGER_TAGS_MAX);
}

struct attr *jaeger_tag_add(struct jaeger_raw *raw, struct jaeger_tags *tags, const char *whose)
{
    if (tags->n < JAEGER_TAGS_MAX)
        return VEC_ADD(tags);
    (void)fail_tags(raw, whose); /* the reader answers it */
    return NULL;
}

void jaeger_ref_add(struct jaeger_raw *raw, const struct jaeger_ref *ref)
{
    bool leads_nowhere =
        (get_le64(ref->trace_id) | get_le64(ref->trace_id + 8)) == 0 || get_le64(ref->span_id) == 0;

    if (leads_nowhere)
        raw->dropped_refs++;
    else
        VEC_PUSH(&raw->refs, *ref);
}

uint64_t jaeger_time(__int128 ns)
{
    if (ns < 0)
        return 0;
    return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

enum mg_err jaeger_raw_check(const struct jaeger_raw *raw)
{
    if ((get_le64(raw->trace_id) | get_le64(raw->trace_id + 8)) == 0)
        return mg_fail(raw->why, MG_E_FORMAT, "span %u: the trace id is zero", raw->ordinal);
    if (get_le64(raw->span_id) == 0)
        return mg_fail(raw->why, MG_E_FORMAT, "span %u: the span id is zero", raw->ordinal);
    if (raw->warnings.n && raw->tags.n == JAEGER_TAGS_MAX) /* they become one tag more */
        return fail_tags(raw, "span");
    return MG_OK;
}

/* --- the first walk: groups --------------------------------------------- */

void jaeger_found_process(struct jaeger_scanner *s, struct str whole, struct str service,
                          const struct jaeger_tags *tags)
{
    bool is_new;

    s->resources.at[0].service = service;
    s->resources.at[0].bytes = jaeger_resource_bytes(service, tags, &s->arena);
    if (whole.len)
        *map_put(&s->by_process, whole, &is_new) = (void *)(uintptr_t)1;
}

static enum mg_err resource_find(struct jaeger_scanner *s, uint32_t *out)
{
    struct str service;
    bool is_new;

    *out = 0;
    if (!s->raw.has_process)
        return MG_OK;
    void **number = map_put(&s->by_process, s->raw.process, &is_new);
    if (is_new) {
        MG_TRY(jaeger_proto_process(&s->raw, s->raw.process, &service, &s->process));
        struct resource resource = { jaeger_resource_bytes(service, &s->process, &s->arena),
                                     service, 0, 0 };
        VEC_PUSH(&s->resources, resource);
        *number = (void *)(uintptr_t)s->resources.n;
    }
    *out = (uint32_t)(uintptr_t)*number - 1;
    return MG_OK;
}

static bool is_group(const struct group *group, uint32_t resource, const struct jaeger_scope *scope)
{
    return group->resource == resource && str_eq(group->scope.name, scope->name) &&
           str_eq(group->scope.version, scope->version);
}

static uint32_t group_add(struct jaeger_scanner *s, uint32_t resource,
                          const struct jaeger_scope *scope)
{
    struct resource *owner = &s->resources.at[resource];
    struct group group = { .resource = resource, .scope = *scope };

    VEC_PUSH(&s->groups, group);
    uint32_t number = (uint32_t)s->groups.n;
    if (owner->last)
        s->groups.at[owner->last - 1].next = number;
    else
        owner->first = number;
    owner->last = number;
    return number;
}

static uint32_t group_find(struct jaeger_scanner *s, uint32_t resource,
                           const struct jaeger_scope *scope)
{
    struct buf *key = &s->raw.scratch;
    bool is_new;

    if (s->groups.n && is_group(&s->groups.at[s->groups.n - 1], resource, scope))
        return (uint32_t)s->groups.n;
    buf_clear(key);
    buf_put(key, &resource, sizeof resource);
    buf_put_varint(key, scope->name.len);
    buf_put_str(key, scope->name);
    buf_put_str(key, scope->version);
    void **number = map_put(&s->by_scope, buf_str(key), &is_new);
    if (is_new)
        *number = (void *)(uintptr_t)group_add(s, resource, scope);
    return (uint32_t)(uintptr_t)*number;
}

enum mg_err jaeger_found_span(struct jaeger_scanner *s, struct str whole)
{
    struct jaeger_scope scope = jaeger_scope_of(&s->raw);
    struct place place = { whole.ptr, (uint32_t)whole.len, 0 };
    uint32_t resource;

    MG_TRY(resource_find(s, &resource));
    uint32_t found = group_find(s, resource, &scope); /* may move the groups */
    struct group *group = &s->groups.at[found - 1];
    VEC_PUSH(&s->places, place);
    uint32_t number = (uint32_t)s->places.n;
    if (group->last)
        s->places.at[group->last - 1].next = number;
    else
        group->first = number;
    group->last = number;
    s->raw.ordinal = number;
    return MG_OK;
}

static enum mg_err walk(struct jaeger_scanner *s, enum jaeger_wire wire, struct str body)
{
    switch (wire) {
    case JAEGER_POST_SPANS:
    case JAEGER_SPAN:
        return jaeger_proto_walk(s, wire, body);
    default:
        return jaeger_thrift_walk(s, wire, body);
    }
}

/* --- the second walk: visits --------------------------------------------- */

static enum mg_err read_again(struct jaeger_scanner *s, enum jaeger_wire wire,
                              const struct place *place)
{
    struct str whole = str_n(place->ptr, place->len);

    if (wire == JAEGER_POST_SPANS || wire == JAEGER_SPAN)
        return jaeger_proto_span(&s->raw, whole);
    return jaeger_thrift_span(&s->raw, wire, whole);
}

struct visit {
    enum jaeger_wire wire;
    const struct span_visitor *visitor;
    void *owner;
};

static void visit_group(struct jaeger_scanner *s, const struct group *group,
                        const struct visit *visit)
{
    const struct resource *resource = &s->resources.at[group->resource];
    struct str scope = jaeger_scope_bytes(&group->scope, &s->arena);
    struct span span;

    visit->visitor->on_scope(visit->owner, scope);
    for (uint32_t number = group->first; number; number = s->places.at[number - 1].next) {
        s->raw.ordinal = number - 1;
        enum mg_err err = read_again(s, visit->wire, &s->places.at[number - 1]);
        assert(err == MG_OK); /* the same bytes were fine a moment ago */
        (void)err;
        jaeger_span_of(&s->raw, resource->service, &span);
        span.resource = resource->bytes;
        span.scope = scope;
        visit->visitor->on_span(visit->owner, &span, number - 1);
    }
}

static void visit_all(struct jaeger_scanner *s, const struct visit *visit)
{
    for (size_t i = 0; i < s->resources.n; i++) {
        const struct resource *resource = &s->resources.at[i];
        if (!resource->first) /* a batch without spans, or whose spans all have a process of their
                                 own */
            continue;
        visit->visitor->on_resource(visit->owner, resource->bytes);
        for (uint32_t number = resource->first; number; number = s->groups.at[number - 1].next)
            visit_group(s, &s->groups.at[number - 1], visit);
    }
}

enum mg_err jaeger_scan(struct jaeger_scanner *scanner, enum jaeger_wire wire, struct str body,
                        const struct span_visitor *visitor, void *owner, struct mg_why *why)
{
    struct jaeger_scanner *s = scanner;
    struct resource batch = { STR(""), STR(""), 0, 0 };

    if (body.len > UINT32_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "a body of more than 4 GiB; send smaller batches");
    forget(s);
    VEC_PUSH(&s->resources, batch);
    jaeger_raw_reset(&s->raw);
    s->raw.ordinal = 0;
    s->raw.why = why;
    enum mg_err err = walk(s, wire, body);
    if (err == MG_OK)
        visit_all(s, &(struct visit){ wire, visitor, owner });
    s->raw.why = NULL;
    return err;
}
