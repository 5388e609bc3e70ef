/* zipkin_write.h - a span as Zipkin v2 shows it: for the Zipkin query API and the
 * Zipkin exporter.
 *
 * A span that came from Zipkin (its resource has Zipkin's schema_url) is given back as it came, but
 * for key order and the lower case of names; any other is converted
 * as the OpenTelemetry specification says ("OpenTelemetry to Zipkin Transformation"). A span
 * without service.name gets otlpresourcenoservicename there. One thread; slices
 * borrow from the span or the arena. */
#pragma once
#include "base/arena.h"
#include "codec/json_write.h"
#include "model/span.h"

struct zipkin_endpoint {
    struct str service;      /* lower case; empty: none */
    uint8_t ip[16];
    uint8_t ip_bytes;        /* 0, 4, 16 */
    uint16_t port;           /* 0: none */
    bool has_ipv6;           /* ip is an IPv4 address, and there is an IPv6 one as well */
    uint8_t ipv6[16];
};
struct zipkin_tag { struct str key, value; };
struct zipkin_annotation {
    int64_t timestamp_us; /* 0 and negative ones are legal */
    struct str value;
};
struct zipkin_span { /* the v2 model: what dependency links and answers are made from */
    uint8_t trace_id[16];
    bool trace_id_is_short;         /* 64-bit: shown with 16 digits */
    uint8_t id[8], parent_id[8];    /* zero parent: none */
    const char *kind;               /* "CLIENT" …; NULL: none */
    struct str name;                /* lower case; empty: none */
    uint64_t timestamp_us, duration_us; /* 0: none */
    struct zipkin_endpoint local, remote;
    struct zipkin_annotation *annotations; /* by time, then value; none twice */
    size_t n_annotations;
    struct zipkin_tag *tags;               /* by key, each once */
    size_t n_tags;
    bool is_debug, is_shared;
};
/* All strings of the view are valid UTF-8. */
void zipkin_view(const struct span *span, struct arena *arena, struct zipkin_span *out);
void zipkin_write_span(struct json_writer *w, const struct zipkin_span *span);
/* Lower case as names have it in Zipkin, also beyond ASCII, but letter by letter (a Σ at the end and
 * İ differ); for what a query compares with them. Valid UTF-8 only. */
struct str zipkin_lower(struct arena *arena, struct str text);
