/* jaeger_tags.h - what a span is in Jaeger's model (OpenTelemetry specification, "OpenTelemetry to Jaeger Transformation"),
 * for all who show one: gRPC, HTTP, documents.
 *
 * A span's tags are: those in front (the scope), its attributes, those behind (kind, status, trace state). Here are the
 * derived ones, references, the field that a log's name is, and the rules for what is not UTF-8; in what form tags are
 * written, sorted or made unique is the writer's business. Everything borrows from the span. Any thread. */
#pragma once
#include "model/span.h"

/* The tags that are not attributes, in the order of 5.1; those that say nothing are not there. */
struct jaeger_derived {
    struct attr front[2], behind[5];
    unsigned n_front, n_behind;
};
void jaeger_derive(const struct span *span, struct jaeger_derived *out);
/* A tag equal in key, type and value is among the attributes: then a derived one is not said again. Derived tags only. */
bool jaeger_tag_is_attr(const struct attr *tag, const struct attr *attrs, size_t n);
/* `invalid-span-name`: the bytes of a name that is not UTF-8. False: the name is fine. */
bool jaeger_name_tag(const struct span *span, struct attr *out);
/* The name that is shown, to be sanitised by the writer: empty-span-name when there is none. */
struct str jaeger_operation(const struct span *span);

/* 3.8, in place: a text that is not UTF-8 becomes bytes; a key that is not, bytes under invalid-tag-key-<n>. `n_hidden`
 * counts those of one list, from 0. What has to be made is the arena's. */
void jaeger_tag_sanitize(struct attr *tag, unsigned *n_hidden, struct arena *arena);

/* Is this the attribute that holds a span's warnings? Its texts one by one: 1 / 0 / -1. */
bool jaeger_attr_is_warnings(const struct attr *attr);
int jaeger_warning_next(const uint8_t **at, const uint8_t *end, struct str *out); /* over value_plain(…).raw */

/* The field `event` of a log. False: there is none, as the event has no name or an attribute called so. */
bool jaeger_event_field(const struct event_view *event, struct attr *out);

/* References: the parent's first, then the links; a link to the parent is none of its own, but sets the type of the
 * first. Links to nowhere have a zero trace id; whether they are shown is the caller's choice. */
struct jaeger_reference { uint8_t trace_id[16], span_id[8]; bool is_child_of; };
struct jaeger_references {
    const struct span *span;
    uint8_t parent_id[8];   /* as shown, which may differ from the span's; zero: a root */
    const uint8_t *at, *end;
    bool is_parent_told;
};
void jaeger_references(struct jaeger_references *r, const struct span *span, const uint8_t parent_id[8]);
bool jaeger_reference_next(struct jaeger_references *r, struct jaeger_reference *out);
