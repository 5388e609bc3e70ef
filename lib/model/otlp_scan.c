/* otlp_scan.c - one walk over an export request, from the outside in.
 *
 * A span is read in a single pass: scalars into the struct, attributes into an array the scanner
 * keeps, events, links and unknown fields as the run of bytes they stand in. Senders write all
 * events one after the other, so the run is nearly always the whole part; when something stands
 * between, the span is marked scattered and its parts are put together in a second pass into the
 * arena. The same holds for what a group has beside its spans. Every byte of the body is copied
 * there at most once, so the arena needs no limit of its own.
 *
 * Nested values, events, links and resources are checked by wire_check against their shapes; only
 * an attribute in the usual form (attr_read) needs no second look.
 *
 * Status may hold fields we do not know, old senders' deprecated code among them. They go to
 * span.unknown as a status field of their own: protobuf merges it back when the span is written. */
#include "model/otlp_scan.h"

#include <assert.h>
#include "base/mem.h"
#include "base/vec.h"
#include "model/attr_read.h"
#include "model/otlp_schema.h"

#define ATTRS_MAX          4096
#define AHEAD_BYTES        4096
#define LINE_BYTES         64
#define SCRATCH_KEEP_BYTES (64 * 1024)

/* Messages around the one in question, itself included. */
enum { AT_RESOURCE_SPANS = 2, AT_SCOPE_SPANS = 3, AT_SPAN = 4, AT_VALUE = 6 };
enum { FIELD_EVENTS = 11, FIELD_LINKS = 13, FIELD_STATUS = 15 };
#define SPAN_FIELDS 16        /* numbers 1 … 16 are known */
#define LIBRARY_SPANS 1000    /* instrumentation_library_spans, gone since proto 0.15 */

struct otlp_scanner {
    struct otlp_limits limits;
    VEC(struct attr) attrs;   /* of the current span; reused */
    struct arena gathered;    /* parts put together; lives until the next scan */
    struct buf scratch;       /* where they are put together */
    /* the current scan */
    const struct span_visitor *visitor;
    void *owner;
    struct mg_why *why;
    const char *body;
    uint32_t ordinal;         /* of the next span */
    uint64_t unread;
    /* the current span */
    struct span span;
    uint32_t n_attrs;         /* seen, also those beyond the limit */
    size_t trace_id_len, span_id_len, parent_id_len;
    bool is_scattered;
};

const char *span_refusal_text(enum span_refusal refusal)
{
    static const char *const texts[SPAN_REFUSALS] = {
        [SPAN_BAD_TRACE_ID] = "trace_id must be 16 bytes and not all zero",
        [SPAN_BAD_SPAN_ID] = "span_id must be 8 bytes and not all zero",
        [SPAN_BAD_PARENT_ID] = "parent_span_id must be empty or 8 bytes",
        [SPAN_TOO_MANY_ATTRS] = "the span has more attributes than are accepted",
        [SPAN_LIBRARY] = "instrumentation_library_spans (field 1000) is not read since OTLP 0.15 replaced it with scope_spans",
    };

    assert(refusal < SPAN_REFUSALS);
    return texts[refusal];
}

struct otlp_scanner *otlp_scanner_new(const struct otlp_limits *limits)
{
    struct otlp_scanner *s = MEM_NEW(struct otlp_scanner);

    s->limits = limits ? *limits : (struct otlp_limits){ OTLP_DEPTH_MAX, ATTRS_MAX };
    assert(s->limits.depth_max >= AT_VALUE && s->limits.depth_max <= WIRE_DEPTH_MAX);
    buf_init(&s->scratch, SIZE_MAX); /* never holds more than a body */
    return s;
}

void otlp_scanner_free(struct otlp_scanner **scanner)
{
    struct otlp_scanner *s = *scanner;

    if (!s)
        return;
    VEC_FINI(&s->attrs);
    arena_fini(&s->gathered);
    buf_fini(&s->scratch);
    mem_free(s);
    *scanner = NULL;
}

uint64_t otlp_scanner_unread(const struct otlp_scanner *scanner)
{
    return scanner->unread;
}

/* --- failures --------------------------------------------- */

static enum mg_err fail_at(struct otlp_scanner *s, struct str message, const char *what)
{
    return mg_fail(s->why, MG_E_FORMAT,
                   "protobuf: malformed %s in the message at byte %zu (span %u)", what,
                   (size_t)(message.ptr - s->body), s->ordinal);
}

static enum mg_err fail_verdict(struct otlp_scanner *s, struct str message,
                                enum wire_verdict verdict)
{
    if (verdict == WIRE_TOO_DEEP)
        return mg_fail(s->why, MG_E_FORMAT,
                       "protobuf: more than %u messages inside each other at byte %zu",
                       s->limits.depth_max, (size_t)(message.ptr - s->body));
    return fail_at(s, message, "content");
}

/* --- putting parts together --------------------------------------------- */

/* Grows the run, unless something stands between. */
static inline bool part_extend(struct str *part, struct str field)
{
    if (part->len == 0)
        *part = field;
    else if (part->ptr + part->len == field.ptr)
        part->len += field.len;
    else
        return false;
    return true;
}

/* The fields of a status that are not known, as a status field; nothing when there are none. */
static void status_unknown_put(struct buf *out, struct str status)
{
    const uint8_t *at = wire_begin(status), *end = wire_end(status);
    struct wire_field field;
    size_t before = out->len, mark = wire_open(out, FIELD_STATUS);

    while (wire_next(&at, end, &field) == 1)
        if (!wire_shape_find(&otlp_status, field.number))
            buf_put_str(out, field.whole);
    if (out->len == mark)
        out->len = before;
    else
        wire_close(out, mark);
}

enum part { PART_EVENTS, PART_LINKS, PART_UNKNOWN, PART_GROUP /* all but the members, field 2 */ };

static bool part_has(enum part part, uint32_t number)
{
    switch (part) {
    case PART_EVENTS:
        return number == FIELD_EVENTS;
    case PART_LINKS:
        return number == FIELD_LINKS;
    case PART_UNKNOWN:
        return number > SPAN_FIELDS;
    default:
        return number != 2;
    }
}

static struct str part_gather(struct otlp_scanner *s, struct str message, enum part part)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;

    buf_clear(&s->scratch);
    while (wire_next(&at, end, &field) == 1) {
        if (part_has(part, field.number))
            buf_put_str(&s->scratch, field.whole);
        else if (part == PART_UNKNOWN && field.number == FIELD_STATUS)
            status_unknown_put(&s->scratch, field.bytes);
    }
    return arena_str(&s->gathered, buf_str(&s->scratch));
}

/* --- one span --------------------------------------------- */

static enum mg_err attr_take(struct otlp_scanner *s, struct str key_value)
{
    struct attr beyond, *slot = &beyond;

    if (s->n_attrs < s->limits.attrs_max) {
        VEC_RESERVE(&s->attrs, (size_t)s->n_attrs + 1);
        slot = &s->attrs.at[s->n_attrs];
    }
    s->n_attrs++;
    if (attr_read(key_value, slot))
        return MG_OK;
    enum wire_verdict verdict =
        wire_check(key_value, &otlp_key_value, s->limits.depth_max - AT_SPAN);
    if (verdict != WIRE_FINE || attr_decode(key_value, slot) < 0)
        return fail_verdict(s, key_value, verdict);
    return MG_OK;
}

/* Merges: called for every status field of the span. */
static enum mg_err status_take(struct otlp_scanner *s, struct str status)
{
    const uint8_t *at = wire_begin(status), *end = wire_end(status);
    struct wire_field field;
    int got;

    while ((got = wire_next(&at, end, &field)) == 1) {
        switch (WIRE_TAG(field.number, field.type)) {
        case WIRE_TAG(2, WIRE_BYTES):
            s->span.status_message = field.bytes;
            break;
        case WIRE_TAG(3, WIRE_VARINT):
            s->span.status_code = (int32_t)field.value;
            break;
        default:
            if (wire_shape_find(&otlp_status, field.number))
                return fail_at(s, status, "status");
            s->is_scattered = true;
        }
    }
    return got < 0 ? fail_at(s, status, "status") : MG_OK;
}

static inline void id_take(struct str id, uint8_t *out, size_t len, size_t *seen_len)
{
    *seen_len = id.len;
    if (id.len == len)
        memcpy(out, id.ptr, len);
    else
        memset(out, 0, len);
}

/* A field that is a message and kept as bytes. */
static enum mg_err part_take(struct otlp_scanner *s, const struct wire_field *field,
                             struct str *part)
{
    enum wire_verdict verdict =
        wire_check_field(field, &otlp_span, s->limits.depth_max - AT_SPAN);

    if (verdict != WIRE_FINE)
        return fail_verdict(s, field->bytes, verdict);
    if (!part_extend(part, field->whole))
        s->is_scattered = true;
    return MG_OK;
}

/* The fields off the common way. */
static enum mg_err rare_take(struct otlp_scanner *s, struct str message,
                             const struct wire_field *field)
{
    struct span *span = &s->span;

    switch (WIRE_TAG(field->number, field->type)) {
    case WIRE_TAG(3, WIRE_BYTES):
        span->trace_state = field->bytes;
        return MG_OK;
    case WIRE_TAG(10, WIRE_VARINT):
        span->dropped_attrs = (uint32_t)field->value;
        return MG_OK;
    case WIRE_TAG(FIELD_EVENTS, WIRE_BYTES):
        return part_take(s, field, &span->events);
    case WIRE_TAG(12, WIRE_VARINT):
        span->dropped_events = (uint32_t)field->value;
        return MG_OK;
    case WIRE_TAG(FIELD_LINKS, WIRE_BYTES):
        return part_take(s, field, &span->links);
    case WIRE_TAG(14, WIRE_VARINT):
        span->dropped_links = (uint32_t)field->value;
        return MG_OK;
    case WIRE_TAG(FIELD_STATUS, WIRE_BYTES):
        return status_take(s, field->bytes);
    }
    if (field->number <= SPAN_FIELDS)
        return fail_at(s, message, "field (wrong wire type)");
    if (!part_extend(&span->unknown, field->whole))
        s->is_scattered = true;
    return MG_OK;
}

static enum mg_err span_read(struct otlp_scanner *s, struct str message)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct span *span = &s->span;
    struct wire_field field;
    int got;

    while ((got = wire_next(&at, end, &field)) == 1) {
        switch (WIRE_TAG(field.number, field.type)) {
        case WIRE_TAG(1, WIRE_BYTES):
            id_take(field.bytes, span->trace_id, 16, &s->trace_id_len);
            break;
        case WIRE_TAG(2, WIRE_BYTES):
            id_take(field.bytes, span->span_id, 8, &s->span_id_len);
            break;
        case WIRE_TAG(4, WIRE_BYTES):
            id_take(field.bytes, span->parent_id, 8, &s->parent_id_len);
            break;
        case WIRE_TAG(5, WIRE_BYTES):
            span->name = field.bytes;
            break;
        case WIRE_TAG(6, WIRE_VARINT):
            span->kind = (int32_t)field.value;
            break;
        case WIRE_TAG(7, WIRE_FIXED64):
            span->start_ns = field.value;
            break;
        case WIRE_TAG(8, WIRE_FIXED64):
            span->end_ns = field.value;
            break;
        case WIRE_TAG(9, WIRE_BYTES):
            MG_TRY(attr_take(s, field.bytes));
            break;
        case WIRE_TAG(16, WIRE_FIXED32):
            span->flags = (uint32_t)field.value;
            break;
        default:
            MG_TRY(rare_take(s, message, &field));
        }
    }
    return got < 0 ? fail_at(s, message, "span") : MG_OK;
}

static int span_refusal(const struct otlp_scanner *s)
{
    const struct span *span = &s->span;

    if (s->trace_id_len != 16 || (get_le64(span->trace_id) | get_le64(span->trace_id + 8)) == 0)
        return SPAN_BAD_TRACE_ID;
    if (s->span_id_len != 8 || get_le64(span->span_id) == 0)
        return SPAN_BAD_SPAN_ID;
    if (s->parent_id_len != 8 && s->parent_id_len != 0)
        return SPAN_BAD_PARENT_ID;
    if (s->n_attrs > s->limits.attrs_max)
        return SPAN_TOO_MANY_ATTRS;
    return -1;
}

static enum mg_err span_take(struct otlp_scanner *s, struct str message)
{
    struct span *span = &s->span;

    *span = (struct span){
        .name = STR(""), .trace_state = STR(""), .status_message = STR(""), .events = STR(""),
        .links = STR(""), .unknown = STR(""), .resource = span->resource, .scope = span->scope,
    };
    s->n_attrs = 0;
    s->trace_id_len = s->span_id_len = s->parent_id_len = 0;
    s->is_scattered = false;
    MG_TRY(span_read(s, message));

    int refusal = span_refusal(s);
    uint32_t ordinal = s->ordinal++;
    if (refusal >= 0) {
        s->visitor->on_refused(s->owner, (enum span_refusal)refusal, ordinal);
        return MG_OK;
    }
    if (s->is_scattered) {
        span->events = part_gather(s, message, PART_EVENTS);
        span->links = part_gather(s, message, PART_LINKS);
        span->unknown = part_gather(s, message, PART_UNKNOWN);
    }
    span->attrs = s->attrs.at;
    span->n_attrs = s->n_attrs;
    s->visitor->on_span(s->owner, span, ordinal);
    return MG_OK;
}

/* --- groups --------------------------------------------- */

static uint64_t library_spans_count(struct str message)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    uint64_t n = 0;

    while (wire_next(&at, end, &field) == 1)
        n += field.number == 2 && field.type == WIRE_BYTES;
    return n;
}

/* Stepping from member to member reads one line of memory each, and where the next one is stands in
 * the line before: without help the walk would wait for memory once a span. All of it is read soon
 * anyway. */
static inline void ahead_fetch(const uint8_t **ahead, const uint8_t *at, const uint8_t *end)
{
    const uint8_t *stop = end - at > AHEAD_BYTES ? at + AHEAD_BYTES : end;

    if (*ahead < at)
        *ahead = at;
    for (; *ahead < stop; *ahead += LINE_BYTES)
        __builtin_prefetch(*ahead);
}

/* Checks a group but for its members (field 2), and gives what it has beside them. */
static enum mg_err group_read(struct otlp_scanner *s, struct str message,
                              const struct wire_shape *shape, unsigned depth, struct str *out)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    const uint8_t *ahead = at;
    bool is_scattered = false;
    int got;

    *out = STR("");
    while ((got = wire_next(&at, end, &field)) == 1) {
        if (WIRE_TAG(field.number, field.type) == WIRE_TAG(2, WIRE_BYTES)) {
            ahead_fetch(&ahead, at, end);
            continue;
        }
        enum wire_verdict verdict = wire_check_field(&field, shape, depth);
        if (verdict != WIRE_FINE)
            return fail_verdict(s, field.whole, verdict);
        is_scattered |= !part_extend(out, field.whole);
        if (shape == &otlp_resource_spans && field.number == LIBRARY_SPANS &&
            field.type == WIRE_BYTES)
            s->unread += library_spans_count(field.bytes);
    }
    if (got < 0)
        return fail_at(s, message, shape->name);
    if (is_scattered)
        *out = part_gather(s, message, PART_GROUP);
    return MG_OK;
}

static enum mg_err scope_spans_take(struct otlp_scanner *s, struct str message)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;

    MG_TRY(group_read(s, message, &otlp_scope_spans, s->limits.depth_max - AT_SCOPE_SPANS,
                      &s->span.scope));
    s->visitor->on_scope(s->owner, s->span.scope);
    while (wire_next(&at, end, &field) == 1)
        if (field.number == 2)
            MG_TRY(span_take(s, field.bytes));
    return MG_OK;
}

static enum mg_err resource_spans_take(struct otlp_scanner *s, struct str message)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;

    MG_TRY(group_read(s, message, &otlp_resource_spans, s->limits.depth_max - AT_RESOURCE_SPANS,
                      &s->span.resource));
    s->visitor->on_resource(s->owner, s->span.resource);
    while (wire_next(&at, end, &field) == 1)
        if (field.number == 2)
            MG_TRY(scope_spans_take(s, field.bytes));
    return MG_OK;
}

static enum mg_err request_walk(struct otlp_scanner *s, struct str body)
{
    const uint8_t *at = wire_begin(body), *end = wire_end(body);
    struct wire_field field;
    int got;

    while ((got = wire_next(&at, end, &field)) == 1) {
        if (field.number != 1)
            continue;
        if (field.type != WIRE_BYTES)
            return fail_at(s, body, "request (wrong wire type)");
        MG_TRY(resource_spans_take(s, field.bytes));
    }
    return got < 0 ? fail_at(s, body, "request") : MG_OK;
}

enum mg_err otlp_scan(struct otlp_scanner *scanner, struct str body,
                      const struct span_visitor *visitor, void *owner, struct mg_why *why)
{
    struct otlp_scanner *s = scanner;

    arena_reset(&s->gathered);
    s->visitor = visitor;
    s->owner = owner;
    s->why = why;
    s->body = body.ptr;
    s->ordinal = 0;
    s->unread = 0;
    enum mg_err err = request_walk(s, body);
    buf_shrink(&s->scratch, SCRATCH_KEEP_BYTES);
    s->why = NULL;
    return err;
}
