/* span.h - the span as everybody between the doors and the views sees it.
 *
 * One shape for all protocols: what OTLP carries (opentelemetry-proto 1.11, trace.v1), every field, unknown
 * ones as bytes. Scanners fill it from the wire, rows and blocks are decoded into it, views read it.
 * All slices are borrowed from the body, the row, the block or the arena it was made with.
 *
 * Strings are as received, also when they are not UTF-8; sanitising happens in the view.
 *
 * Parts that are not looked into on the hot path stay in wire form:
 *   resource  the ResourceSpans message without its scope_spans (field 2): resource, schema_url, unknown
 *   scope     the ScopeSpans message without its spans (field 2): scope, schema_url, unknown
 *   events    all `events` fields (11) of the span, each with tag and length, in their order
 *   links     all `links` fields (13), the same
 *   unknown   all fields of the span whose number is not known, the same; and what the status has of
 *             unknown fields, as a status field (15) of its own, which merges back when written */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/str.h"
#include "model/wire.h"

enum value_type {
    VALUE_EMPTY, VALUE_STRING, VALUE_BOOL, VALUE_INT, VALUE_DOUBLE, VALUE_BYTES,
    VALUE_ARRAY,  /* raw: the ArrayValue message */
    VALUE_KVLIST, /* raw: the KeyValueList message */
    VALUE_OTHER   /* raw: the whole KeyValue message, which holds something this version does not know
                     (unknown fields in KeyValue or AnyValue, string-table indexes), or an array or map
                     member given twice in a row, which protobuf joins; value_plain() reads it */
};
struct value {
    enum value_type type;
    union {
        struct str str;    /* STRING, BYTES */
        struct str raw;    /* ARRAY, KVLIST, OTHER */
        int64_t i;         /* INT */
        double d;          /* DOUBLE; the bit pattern is kept, NaN payloads included */
        bool b;            /* BOOL */
    };
};
struct attr { struct str key; struct value value; };

enum span_kind { SPAN_UNSPECIFIED, SPAN_INTERNAL, SPAN_SERVER, SPAN_CLIENT, SPAN_PRODUCER, SPAN_CONSUMER };
enum span_status { STATUS_UNSET, STATUS_OK, STATUS_ERROR };

struct span {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_id[8];        /* all zero: a root */
    uint64_t start_ns, end_ns;   /* since 1970; end may be before start */
    struct str name, trace_state, status_message;
    int32_t kind, status_code;   /* open enums: numbers out of range are kept */
    uint32_t flags;
    uint32_t dropped_attrs, dropped_events, dropped_links;
    const struct attr *attrs;    /* in the order received, duplicate keys included */
    uint32_t n_attrs;
    struct str events, links, unknown;
    struct str resource, scope;
};

static inline bool span_is_root(const struct span *span)
{
    return get_le64(span->parent_id) == 0;
}
static inline uint64_t span_duration_ns(const struct span *span) /* 0 when end is before start */
{
    return span->end_ns > span->start_ns ? span->end_ns - span->start_ns : 0;
}

/* Equal in every field: bytes of strings and raw parts, order of attributes included. */
bool span_equal(const struct span *a, const struct span *b);

/* --- looking into the wire-form parts ------------------------------------------------------------- */
/* One KeyValue message -> attr (last oneof member wins, as on the wire). -1: malformed. */
int attr_decode(struct str key_value, struct attr *out);
/* The value with VALUE_OTHER replaced by what of it is known (EMPTY when nothing is). */
struct value value_plain(const struct value *value);
/* Iterates the KeyValue fields with number `field` of a message. 1 / 0 end / -1 malformed. */
int attr_next(const uint8_t **at, const uint8_t *end, uint32_t field, struct attr *out);

struct resource_view { /* of span.resource; attributes are iterated: attr_next(&at, end, 1, …) over each `resource` message */
    struct str attributes_owner[4]; /* the `resource` messages (field 1; merged when repeated), at most 4 looked into */
    uint32_t n;
    uint32_t dropped_attrs;
    struct str schema_url;
    struct str service_name;        /* `service.name` when a string, else empty; the last one counts */
    bool has_service_name;          /* the attribute is there */
    bool service_name_wrong_type;
};
void resource_view(struct str resource, struct resource_view *out); /* malformed parts are skipped */
struct scope_view {
    struct str name, version, schema_url;
    struct str message;             /* the InstrumentationScope message: attributes are field 3 of it */
    uint32_t dropped_attrs;
};
void scope_view(struct str scope, struct scope_view *out);
struct event_view { uint64_t time_ns; struct str name; uint32_t dropped_attrs; struct str message; /* attributes: field 3 */ };
/* at/end over span.events: 1 / 0 / -1 */
int event_next(const uint8_t **at, const uint8_t *end, struct event_view *out);
struct link_view { uint8_t trace_id[16], span_id[8]; /* zero: absent, or of another length */ struct str trace_state; uint32_t flags, dropped_attrs; struct str message; /* attributes: field 4 */ };
int link_next(const uint8_t **at, const uint8_t *end, struct link_view *out);

/* The service name a person sees, as in Jaeger's sanitizer: the name, or missing-service-name,
 * empty-service-name, service-name-wrong-type. Used by views and index keys alike. */
struct str resource_service(const struct resource_view *view);
bool resource_service_is_stand_in(struct str service); /* one of the three */
#define SPAN_NO_NAME "empty-span-name" /* shown for a span without a name */
/* The text form by which tags are compared and shown: true, 42, 3.14, JSON text for arrays and maps, hex never:
 * bytes as base64. Appends; bad UTF-8 is replaced. Nesting beyond 64 is cut with null. */
void value_text(struct buf *out, const struct value *value);
const char *span_kind_name(int32_t kind);     /* "server"…; "" for unspecified and unknown numbers */

/* Trace ids: 1-32 hex digits, either case, short ones padded on the left.
 * False: no id; all zero is none. */
bool trace_id_parse(struct str text, uint8_t out[16]);
