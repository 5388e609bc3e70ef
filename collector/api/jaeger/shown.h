/* shown.h - a span, its resource and its scope as gRPC shows them: OTLP in wire form, adjusted
 * unless raw as the JSON of both APIs is (adjust.h, tags.h), so that lib/model's writers of api_v2
 * and OTLP can write them as they are.
 *
 * Every text is UTF-8, raw or not, because a client's decoder refuses a whole message for one that
 * is not: tags as in tags.h, others with U+FFFD. Adjusted, what there is to say about a span
 * is its attribute `@jaeger@warnings`. Unknown fields are not shown, and values deeper than
 * SHOWN_DEPTH are shown empty. One thread. Private to api/jaeger. */
#pragma once
#include "api/jaeger/adjust.h"

#define SHOWN_DEPTH 64

struct shown {
    bool raw;
    struct arena scratch; /* one span's, one resource's or one scope's */
    struct tag_list tags;
    struct span span;
    struct buf events, links, resource, scope;
    struct str last_resource, last_scope; /* what `resource` and `scope` were made from */
    bool has_resource, has_scope;
};
void shown_init(struct shown *shown, bool raw, size_t limit); /* bytes of each part */
void shown_fini(struct shown *shown);

/* Each lives until the next call of the same function. */
struct str shown_resource(struct shown *shown, struct str resource);
struct str shown_scope(struct shown *shown, struct str scope);
/* With the ids as shown; resource and scope are left empty. */
struct span *shown_span(struct shown *shown, const struct adjusted_span *a);
enum mg_err shown_err(const struct shown *shown) MG_MUST_USE; /* E_TOO_BIG: a part is cut */
