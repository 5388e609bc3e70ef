/* tale.c - see tale.h. Events are encoded at the end, because only then their absolute time is
 * known. */
#include "command/tale.h"
#include <assert.h>
#include "base/mem.h"
#include "model/otlp_write.h"

enum { FLAGS_SAMPLED = 0x001, FLAGS_REMOTE_KNOWN = 0x100, FLAGS_REMOTE = 0x200 }; /* SpanFlags of trace.proto */

void tale_init(struct tale *tale, const struct cast *cast, uint64_t seed)
{
    random_init(&tale->random, seed);
    arena_init(&tale->arena);
    buf_init(&tale->scratch, 1u << 20);
    tale->cast = cast;
}

void tale_fini(struct tale *tale)
{
    arena_fini(&tale->arena);
    buf_fini(&tale->scratch);
}

static void fill_id(struct tale *tale, uint8_t *out)
{
    uint64_t id;

    do
        id = random_u64(&tale->random);
    while (id == 0);
    put_le64(out, id);
}

void tale_begin(struct tale *tale)
{
    arena_reset(&tale->arena);
    tale->n = tale->n_events = 0;
    tale->has_error = false;
    fill_id(tale, tale->trace_id);
    fill_id(tale, tale->trace_id + 8);
}

struct shop_span *span_begin(struct tale *tale, const struct span_start *start)
{
    const struct instance *instance = &tale->cast->instances[start->instance];
    bool is_remote = start->parent && (start->kind == SPAN_SERVER || start->kind == SPAN_CONSUMER);
    struct shop_span *span;

    assert(tale->n < SHOP_SPANS_MAX);
    span = &tale->spans[tale->n++];
    span->instance = start->instance;
    span->scope = start->scope;
    span->span = (struct span){
        .name = start->name,
        .kind = start->kind,
        .start_ns = start->at,
        .flags = FLAGS_SAMPLED | FLAGS_REMOTE_KNOWN | (is_remote ? FLAGS_REMOTE : 0),
        .attrs = span->attrs,
        .resource = instance->resource,
        .scope = tale->cast->scopes[instance->service][start->scope],
    };
    memcpy(span->span.trace_id, tale->trace_id, sizeof tale->trace_id);
    fill_id(tale, span->span.span_id);
    if (start->parent)
        memcpy(span->span.parent_id, start->parent->span.span_id, sizeof span->span.parent_id);
    return span;
}

static struct value *attr_add(struct shop_span *span, struct str key)
{
    struct attr *attr;

    assert(span->span.n_attrs < SHOP_ATTRS_MAX);
    attr = &span->attrs[span->span.n_attrs++];
    attr->key = key;
    return &attr->value;
}

void span_text(struct shop_span *span, struct str key, struct str value)
{
    *attr_add(span, key) = (struct value){.type = VALUE_STRING, .str = value};
}

void span_int(struct shop_span *span, struct str key, int64_t value)
{
    *attr_add(span, key) = (struct value){.type = VALUE_INT, .i = value};
}

void span_double(struct shop_span *span, struct str key, double value)
{
    *attr_add(span, key) = (struct value){.type = VALUE_DOUBLE, .d = value};
}

void span_error(struct tale *tale, struct shop_span *span, struct str type)
{
    span->span.status_code = STATUS_ERROR;
    SPAN_TEXT(span, "error.type", type);
    tale->has_error = true;
}

struct tale_event *span_event(struct tale *tale, struct shop_span *span, uint64_t at,
                              struct str name)
{
    struct tale_event *event;

    assert(tale->n_events < TALE_EVENTS_MAX);
    event = &tale->events[tale->n_events++];
    *event = (struct tale_event){.span = span, .at = at, .name = name};
    return event;
}

void event_text(struct tale_event *event, struct str key, struct str value)
{
    assert(event->n_attrs < TALE_EVENT_ATTRS_MAX);
    event->attrs[event->n_attrs++] = (struct attr){key, {.type = VALUE_STRING, .str = value}};
}

void span_exception(struct tale *tale, struct shop_span *span, uint64_t at,
                    const struct failure *failure)
{
    struct tale_event *event = span_event(tale, span, at, STR("exception"));

    event_text(event, STR("exception.type"), failure->type);
    event_text(event, STR("exception.message"), failure->message);
    event_text(event, STR("exception.stacktrace"), failure->stack);
    span->span.status_message = failure->message;
}

void span_link(struct tale *tale, struct shop_span *span, const struct shop_span *target)
{
    size_t link;

    buf_clear(&tale->scratch);
    link = wire_open(&tale->scratch, 13);
    wire_put_bytes(&tale->scratch, 1, str_n(target->span.trace_id, sizeof target->span.trace_id));
    wire_put_bytes(&tale->scratch, 2, str_n(target->span.span_id, sizeof target->span.span_id));
    wire_put_fixed32(&tale->scratch, 6, FLAGS_SAMPLED | FLAGS_REMOTE_KNOWN | FLAGS_REMOTE);
    wire_close(&tale->scratch, link);
    span->span.links = arena_str(&tale->arena, buf_str(&tale->scratch));
}

static void encode_event(struct buf *out, const struct tale_event *event, uint64_t base_ns)
{
    size_t mark = wire_open(out, 11);

    wire_put_fixed64(out, 1, base_ns + event->at);
    wire_put_bytes(out, 2, event->name);
    for (unsigned i = 0; i < event->n_attrs; i++)
        otlp_put_attr(out, 3, &event->attrs[i]);
    wire_close(out, mark);
}

/* All events of the span that has event `first`. */
static void encode_events(struct tale *tale, size_t first, uint64_t base_ns)
{
    struct shop_span *span = tale->events[first].span;

    buf_clear(&tale->scratch);
    for (size_t i = first; i < tale->n_events; i++) {
        if (tale->events[i].span != span)
            continue;
        encode_event(&tale->scratch, &tale->events[i], base_ns);
        tale->events[i].is_encoded = true;
    }
    span->span.events = arena_str(&tale->arena, buf_str(&tale->scratch));
}

void tale_end(struct tale *tale, uint64_t end_ns)
{
    uint64_t last = 0, base_ns;

    for (size_t i = 0; i < tale->n; i++)
        last = MG_MAX(last, tale->spans[i].span.end_ns);
    assert(end_ns >= last);
    base_ns = end_ns - last;
    for (size_t i = 0; i < tale->n; i++) {
        tale->spans[i].span.start_ns += base_ns;
        tale->spans[i].span.end_ns += base_ns;
    }
    for (size_t i = 0; i < tale->n_events; i++)
        if (!tale->events[i].is_encoded)
            encode_events(tale, i, base_ns);
}

unsigned tale_instance(struct tale *tale, enum service service)
{
    return tale->cast->first[service] + (unsigned)tale_below(tale, tale->cast->count[service]);
}

uint64_t tale_below(struct tale *tale, uint64_t bound)
{
    return random_below(&tale->random, bound);
}

uint64_t tale_work(struct tale *tale, uint64_t median_us)
{
    uint64_t ns = median_us * 500 + tale_below(tale, median_us * 1000 + 1);

    return tale_below(tale, 10) == 0 ? ns * (2 + tale_below(tale, 3)) : ns;
}
