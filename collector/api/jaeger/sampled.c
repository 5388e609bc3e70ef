/* sampled.c - resources are few and spans many, so each resource is written anew once. All writers
 * of this folder look into the wire form of resources anyway, so tags that stand there need no
 * place of their own in any of them. */
#include "api/jaeger/sampled.h"

#include "base/map.h"
#include "model/otlp_write.h"

/* --- tags
 * --------------------------------------------------------------------------------------------- */

static bool tells(const struct query_trace *trace, struct outcome *outcome)
{
    return outcome_unpack(trace->outcome, outcome) && outcome->reason != REASON_NONE;
}

size_t sampled_tags(const struct query_trace *trace, struct attr tags[SAMPLED_TAGS])
{
    struct outcome outcome;
    struct str policy = trace->policy ? str_of(trace->policy) : STR("");
    size_t n = 0;

    if (!tells(trace, &outcome))
        return 0;
    tags[n++] = (struct attr){STR("meshglass.sampling.reason"),
                              {VALUE_STRING, .str = str_of(reason_name(outcome.reason))}};
    if (policy.len)
        tags[n++] = (struct attr){STR("meshglass.sampling.policy"), {VALUE_STRING, .str = policy}};
    tags[n++] = (struct attr){STR("meshglass.sampling.probability"),
                              {VALUE_DOUBLE, .d = ot_probability_shown(outcome.threshold)}};
    tags[n++] =
        (struct attr){STR("meshglass.sampling.rules"), {VALUE_INT, .i = (int64_t)outcome.rules}};
    return n;
}

/* --- resources
 * ---------------------------------------------------------------------------------------- */

struct telling {
    struct arena *arena;
    struct buf tags;        /* as attributes of a Resource message */
    struct map by_resource; /* bytes received -> struct str in the arena */
    struct str last, last_shown;
};

/* The tags go into the first Resource message, and not into one of their own: only so many are
 * looked into. What is malformed behind it stays as it is. */
static void write_resource(struct buf *out, struct str resource, struct str tags)
{
    const uint8_t *at = wire_begin(resource), *end = wire_end(resource);
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1) {
        if (field.number != 1 || field.type != WIRE_BYTES) {
            buf_put_str(out, field.whole);
            continue;
        }
        size_t mark = wire_open(out, 1);
        buf_put_str(out, tags);
        buf_put_str(out, field.bytes);
        wire_close(out, mark);
        buf_put(out, at, (size_t)(end - at));
        return;
    }
    wire_put_bytes(out, 1, tags); /* there is none */
}

static struct str *new_resource(struct telling *t, struct str resource)
{
    struct str *shown = ARENA_NEW(t->arena, struct str);
    struct buf out;

    buf_init(&out, SIZE_MAX); /* as long as a resource, which was accepted, and the tags */
    write_resource(&out, resource, buf_str(&t->tags));
    *shown = arena_str(t->arena, buf_str(&out));
    buf_fini(&out);
    return shown;
}

static struct str shown_as(struct telling *t, struct str resource)
{
    bool is_new;

    if (t->last_shown.len && t->last.ptr == resource.ptr && t->last.len == resource.len)
        return t->last_shown;
    void **shown = map_put(&t->by_resource, resource, &is_new);
    if (is_new)
        *shown = new_resource(t, resource);
    t->last = resource;
    t->last_shown = *(struct str *)*shown;
    return t->last_shown;
}

/* --- spans
 * -------------------------------------------------------------------------------------------- */

void sampled_show(const struct query_trace *trace, struct adjusted_span *spans, size_t n,
                  struct arena *arena)
{
    struct attr tags[SAMPLED_TAGS];
    size_t n_tags = sampled_tags(trace, tags);
    struct telling t = {.arena = arena};
    struct span *copies;

    if (n_tags == 0)
        return;
    copies = arena_alloc(arena, n * sizeof *copies);
    buf_init(&t.tags, SIZE_MAX);
    for (size_t i = 0; i < n_tags; i++)
        otlp_put_attr(&t.tags, 1, &tags[i]);
    for (size_t i = 0; i < n; i++) {
        copies[i] = *spans[i].span;
        copies[i].resource = shown_as(&t, copies[i].resource);
        copies[i].trace_state = outcome_trace_state(trace->outcome, copies[i].trace_state, arena);
        spans[i].span = &copies[i];
    }
    map_fini(&t.by_resource);
    buf_fini(&t.tags);
}
