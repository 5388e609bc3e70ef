/* tale.h - one trace being told: spans are begun and ended along a time that the teller moves, in
 * nanoseconds since the trace's first moment. tale_end turns offsets into times and encodes what
 * stays in wire form. Private to the module. */
#pragma once
#include "base/arena.h"
#include "command/shop.h"

enum { TALE_EVENTS_MAX = 16, TALE_EVENT_ATTRS_MAX = 4 };
struct tale_event {
    struct shop_span *span;
    uint64_t at; /* offset */
    struct str name;
    struct attr attrs[TALE_EVENT_ATTRS_MAX];
    unsigned n_attrs;
    bool is_encoded;
};
/* What went wrong, as the callee tells it. */
struct failure {
    struct str rpc_status;           /* of the callee's answer: "UNAVAILABLE" */
    bool is_server_error;            /* the callee's own span is an ERROR too */
    struct str type, message, stack; /* of the exception event at the callee */
};
struct tale {
    struct arena arena; /* of one trace */
    struct buf scratch;
    const struct cast *cast;
    struct random random;
    uint8_t trace_id[16];
    struct shop_span spans[SHOP_SPANS_MAX];
    size_t n;
    struct tale_event events[TALE_EVENTS_MAX];
    size_t n_events;
    struct failure failed; /* of the failure under way */
    bool has_error;
};
void tale_init(struct tale *tale, const struct cast *cast, uint64_t seed);
void tale_fini(struct tale *tale);
void tale_begin(struct tale *tale);                /* a new trace */
void tale_end(struct tale *tale, uint64_t end_ns); /* its last span ends then */

struct span_start {
    unsigned instance;
    enum scope scope;
    int32_t kind;
    struct str name;
    uint64_t at;
    const struct shop_span *parent; /* NULL: the root */
};
struct shop_span *span_begin(struct tale *tale, const struct span_start *start);
void span_text(struct shop_span *span, struct str key, struct str value);
void span_int(struct shop_span *span, struct str key, int64_t value);
void span_double(struct shop_span *span, struct str key, double value);
#define SPAN_TEXT(span, key, value) span_text((span), STR(key), (value))
#define SPAN_INT(span, key, value)  span_int((span), STR(key), (value))
/* Status ERROR and error.type. */
void span_error(struct tale *tale, struct shop_span *span, struct str type);
void span_exception(struct tale *tale, struct shop_span *span, uint64_t at,
                    const struct failure *failure);
struct tale_event *span_event(struct tale *tale, struct shop_span *span, uint64_t at,
                              struct str name);
void event_text(struct tale_event *event, struct str key, struct str value);
void span_link(struct tale *tale, struct shop_span *span, const struct shop_span *target);

unsigned tale_instance(struct tale *tale, enum service service); /* one of its instances */
uint64_t tale_below(struct tale *tale, uint64_t bound);
/* A time of work around the median: half to one and a half of it, and one in ten two to four times
 * longer. */
uint64_t tale_work(struct tale *tale, uint64_t median_us);
