/* jaeger_scan.c - one walk over a body: each span is visited as soon as it was read.
 *
 * A visitor wants to hear of resource and scope before their spans; Jaeger gives spans in any order, each with its own tags
 * that name the scope, in protobuf also each with its own process. A scope is told whenever it differs from the span before. A
 * resource is told once, because it may be large and cost its hearers much: spans of another one than the first are left for later, in a
 * list of their resource, and read again. Clients send one process a batch. */
#include "model/jaeger_read.h"

#include <assert.h>
#include "base/map.h"

#define NONE UINT32_MAX

struct place { struct str whole; uint32_t ordinal, next; /* number of a place, from 1; 0: none */ };
struct resource { struct str bytes, service; uint32_t first, last; /* places */ };

struct jaeger_scanner {
    struct jaeger_raw raw;
    struct arena arena; /* what the visitor gets and is not in the body; until the next scan */
    VEC(struct resource) resources; /* [0]: of spans without a process of their own */
    VEC(struct place) places;       /* spans that are left for later */
    struct map by_scope;            /* scope -> struct str *, in the arena */
    struct map by_process;          /* Process message -> resource, from 1 */
    struct jaeger_tags process;     /* tags of a process inside a span */
    struct str last_process;        /* the one inside the span before, and which resource that is */
    uint32_t last_resource;
    const struct span_visitor *visitor; /* of this scan, with its owner */
    void *owner;
    uint32_t told_resource;         /* NONE: nothing told yet */
    struct jaeger_scope told_scope;
    struct str told_scope_bytes;
    bool has_told_scope;
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
    VEC_CLEAR(&s->resources);
    VEC_CLEAR(&s->places);
    arena_reset(&s->arena);
}

void jaeger_scanner_decay(struct jaeger_scanner *scanner)
{
    struct jaeger_scanner *s = scanner;

    forget(s);
    arena_fini(&s->arena);
    VEC_FINI(&s->resources);
    VEC_FINI(&s->places);
    VEC_FINI(&s->process);
    VEC_FINI(&s->raw.tags);
    VEC_FINI(&s->raw.fields);
    VEC_FINI(&s->raw.refs);
    VEC_FINI(&s->raw.warnings);
    VEC_FINI(&s->raw.meant);
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

struct attr *jaeger_tag_grow(struct jaeger_raw *raw, struct jaeger_tags *tags, const char *whose)
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

/* --- resources and scopes --------------------------------------------- */

void jaeger_found_process(struct jaeger_scanner *s, struct str whole, struct str service, const struct jaeger_tags *tags)
{
    bool is_new;

    s->resources.at[0].service = service;
    s->resources.at[0].bytes = jaeger_resource_bytes(service, tags, &s->arena);
    s->told_resource = NONE; /* of one that came before */
    if (whole.len)
        *map_put(&s->by_process, whole, &is_new) = (void *)(uintptr_t)1;
}

static enum mg_err resource_find(struct jaeger_scanner *s, uint32_t *out)
{
    struct resource resource;
    bool is_new;

    *out = s->last_resource;
    if (!s->raw.has_process)
        *out = 0;
    if (!s->raw.has_process || (s->last_resource != NONE && str_eq(s->raw.process, s->last_process)))
        return MG_OK;
    void **number = map_put(&s->by_process, s->raw.process, &is_new);
    if (is_new) {
        resource = (struct resource){ .first = 0 };
        MG_TRY(jaeger_proto_process(&s->raw, s->raw.process, &resource.service, &s->process));
        resource.bytes = jaeger_resource_bytes(resource.service, &s->process, &s->arena);
        VEC_PUSH(&s->resources, resource);
        *number = (void *)(uintptr_t)s->resources.n;
    }
    *out = s->last_resource = (uint32_t)(uintptr_t)*number - 1;
    s->last_process = s->raw.process;
    return MG_OK;
}

static struct str scope_find(struct jaeger_scanner *s, const struct jaeger_scope *scope)
{
    struct buf *key = &s->raw.scratch;
    struct str *bytes;
    bool is_new;

    buf_clear(key);
    buf_put_varint(key, scope->name.len);
    buf_put_str(key, scope->name);
    buf_put_str(key, scope->version);
    void **known = map_put(&s->by_scope, buf_str(key), &is_new);
    if (is_new) {
        bytes = ARENA_NEW(&s->arena, struct str);
        *bytes = jaeger_scope_bytes(scope, &s->arena);
        *known = bytes;
    }
    return *(struct str *)*known;
}

static void tell_scope(struct jaeger_scanner *s, const struct jaeger_scope *scope)
{
    if (s->has_told_scope && str_eq(s->told_scope.name, scope->name) && str_eq(s->told_scope.version, scope->version))
        return;
    s->has_told_scope = true;
    s->told_scope = *scope;
    s->told_scope_bytes = scope_find(s, scope);
    s->visitor->on_scope(s->owner, s->told_scope_bytes);
}

/* --- spans --------------------------------------------- */

static void tell_resource(struct jaeger_scanner *s, uint32_t number)
{
    s->visitor->on_resource(s->owner, s->resources.at[number].bytes);
    s->told_resource = number;
    s->has_told_scope = false;
}

/* The raw one, of the resource told last. */
static void visit(struct jaeger_scanner *s, uint32_t ordinal)
{
    const struct resource *resource = &s->resources.at[s->told_resource];
    struct jaeger_scope scope;
    struct span span;

    jaeger_span_of(&s->raw, resource->service, &span, &scope);
    tell_scope(s, &scope);
    span.resource = resource->bytes;
    span.scope = s->told_scope_bytes;
    s->visitor->on_span(s->owner, &span, ordinal);
}

static void leave(struct jaeger_scanner *s, uint32_t number, struct str whole)
{
    struct resource *resource = &s->resources.at[number];

    VEC_PUSH(&s->places, ((struct place){ whole, s->raw.ordinal, 0 }));
    if (resource->last)
        s->places.at[resource->last - 1].next = (uint32_t)s->places.n;
    else
        resource->first = (uint32_t)s->places.n;
    resource->last = (uint32_t)s->places.n;
}

enum mg_err jaeger_found_span(struct jaeger_scanner *s, struct str whole)
{
    uint32_t number;

    MG_TRY(resource_find(s, &number));
    if (s->told_resource == NONE)
        tell_resource(s, number);
    if (number == s->told_resource)
        visit(s, s->raw.ordinal);
    else
        leave(s, number, whole);
    s->raw.ordinal++;
    return MG_OK;
}

/* Those that were left. */
static void visit_left(struct jaeger_scanner *s)
{
    for (uint32_t i = 0; s->places.n && i < s->resources.n; i++) {
        if (!s->resources.at[i].first)
            continue;
        tell_resource(s, i);
        for (uint32_t number = s->resources.at[i].first; number; number = s->places.at[number - 1].next) {
            enum mg_err err = jaeger_proto_span(&s->raw, s->places.at[number - 1].whole);
            assert(err == MG_OK); /* the same bytes were fine a moment ago */
            (void)err;
            visit(s, s->places.at[number - 1].ordinal);
        }
    }
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

enum mg_err jaeger_scan(struct jaeger_scanner *scanner, enum jaeger_wire wire, struct str body, const struct span_visitor *visitor,
                        void *owner, struct mg_why *why)
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
    s->visitor = visitor;
    s->owner = owner;
    s->told_resource = s->last_resource = NONE;
    enum mg_err err = walk(s, wire, body);
    if (err == MG_OK)
        visit_left(s);
    s->raw.why = NULL;
    return err;
}
