/* jaeger_read.h - what the parts of jaeger_scan share; private to model.
 *
 * A wire's reader (jaeger_thrift.c, jaeger_proto.c) walks a body once. What it reads is a jaeger_raw: a span as Jaeger has it,
 * already in units and value types of ours. jaeger_otlp.c makes a span of it, which the scanner visits.
 *
 * A raw span borrows from the body; its arrays are used again for the next one. */
#pragma once
#include "base/vec.h"
#include "model/jaeger_scan.h"

#define JAEGER_TAGS_MAX 4096 /* of a span, a process or a log each, what a span of OTLP may have; warnings too */

struct jaeger_tags { struct attr *at; size_t n, room; }; /* a VEC */
struct jaeger_ref {
    uint8_t trace_id[16], span_id[8];
    bool is_child_of;
};
struct jaeger_meant { uint16_t tag; uint8_t meaning; };
struct jaeger_raw {
    uint8_t trace_id[16], span_id[8];
    uint8_t parent_id[8];         /* Thrift's parentSpanId; zero: none told */
    struct str name;
    uint64_t start_ns, end_ns;
    struct jaeger_tags tags;
    struct jaeger_tags fields;    /* of one log, while it is read */
    VEC(struct jaeger_ref) refs;  /* without those that lead nowhere, which are counted */
    uint32_t dropped_refs;
    struct buf events;            /* the logs, as OTLP's events */
    struct buf scratch;           /* where other parts are put together */
    VEC(struct str) warnings;
    VEC(struct jaeger_meant) meant; /* jaeger_otlp.c's: the tags that mean something to it */
    struct str process;           /* protobuf: the Process message inside, with has_process */
    bool has_process;
    struct arena *arena;          /* the scanner's, for what jaeger_otlp.c makes */
    struct mg_why *why;
    uint32_t ordinal;             /* of the span being read */
    const char *message;          /* protobuf: what the body should be, for sentences */
};

/* --- the scanner, told by the readers --------------------------------------------- */

/* The process of the batch, before its spans. `whole`: the Process message of protobuf, by which the same one inside spans is
 * known; empty otherwise. */
void jaeger_found_process(struct jaeger_scanner *s, struct str whole, struct str service, const struct jaeger_tags *tags);
/* A span that was read and is fine: the scanner's raw holds it. It is visited, now or, when it is of another process than the first one, at
 * the end. `whole`: where to read it again then. */
enum mg_err jaeger_found_span(struct jaeger_scanner *s, struct str whole) MG_MUST_USE;
struct jaeger_raw *jaeger_scanner_raw(struct jaeger_scanner *s);

/* --- readers --------------------------------------------- */

enum mg_err jaeger_thrift_walk(struct jaeger_scanner *s, enum jaeger_wire wire, struct str body) MG_MUST_USE;
enum mg_err jaeger_proto_walk(struct jaeger_scanner *s, enum jaeger_wire wire, struct str body) MG_MUST_USE;
enum mg_err jaeger_proto_span(struct jaeger_raw *raw, struct str message) MG_MUST_USE;
/* A Process message; its tags go to *tags. */
enum mg_err jaeger_proto_process(struct jaeger_raw *raw, struct str message, struct str *service,
                                 struct jaeger_tags *tags) MG_MUST_USE;

/* --- for readers --------------------------------------------- */

void jaeger_raw_reset(struct jaeger_raw *raw); /* before a span; ordinal stays */
/* Room for one tag more, which the reader fills; NULL when there are too many, and raw->why says whose. */
struct attr *jaeger_tag_grow(struct jaeger_raw *raw, struct jaeger_tags *tags, const char *whose); /* jaeger_tag_add's */
static inline struct attr *jaeger_tag_add(struct jaeger_raw *raw, struct jaeger_tags *tags, const char *whose)
{
    if (tags->n < tags->room && tags->n < JAEGER_TAGS_MAX)
        return &tags->at[tags->n++];
    return jaeger_tag_grow(raw, tags, whose);
}
/* The value of a tag whose type is none of Jaeger's: what it holds cannot be known. */
#define JAEGER_UNKNOWN_VALUE ((struct value){ VALUE_STRING, .str = STR("<unknown Jaeger tag type>") })
void jaeger_ref_add(struct jaeger_raw *raw, const struct jaeger_ref *ref);
/* The log that raw->fields holds becomes an event. */
void jaeger_log_add(struct jaeger_raw *raw, uint64_t time_ns);
/* A span that was read: ids that are not zero, and no more tags than there may be. */
enum mg_err jaeger_raw_check(const struct jaeger_raw *raw) MG_MUST_USE;
/* Times before 1970 become 1970, those after 2554 the last there is. */
uint64_t jaeger_time(__int128 ns);

/* --- jaeger_otlp.c --------------------------------------------- */

struct jaeger_scope { struct str name, version; };
/* The scope as span.scope has it, in the arena. */
struct str jaeger_scope_bytes(const struct jaeger_scope *scope, struct arena *arena);
/* The process as span.resource has it, in the arena. */
struct str jaeger_resource_bytes(struct str service, const struct jaeger_tags *tags, struct arena *arena);
/* All but resource and scope, of which it tells the names. Takes the tags apart; attributes are what is left of them. `service`: the
 * process's, which some clients say again among the tags. Good until the raw is reset. */
void jaeger_span_of(struct jaeger_raw *raw, struct str service, struct span *out, struct jaeger_scope *scope);
