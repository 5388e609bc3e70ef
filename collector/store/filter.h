/* filter.h - what a search asks of a span, the same for ring rows and block columns.
 *
 * A span matches when it satisfies every part : service and operation as a person sees
 * them (sanitised), duration and start inclusive, and all tags. A tag compares the text form of a value
 * (value_text) with span, resource, scope, event and link attributes, and with the derived tags:
 *   error=true|false       status ERROR, or not     span.kind=server …   span.status=ok|error|unset (any case)
 *   otel.status_code=OK|ERROR   otel.status_description   otel.scope.name, scope.name   otel.scope.version, scope.version
 *   w3c.tracestate   and the prefix resource.<key> for resource attributes only; service.name is a resource attribute. */
#pragma once
#include "model/span.h"
#include "row/segment.h"

enum filter_op {
    TAG_EQUALS, /* text forms are equal: `tag`, `tags` */
    TAG_EXISTS, /* the attribute is there, whatever its value */
    TAG_LESS, TAG_AT_MOST, TAG_MORE, TAG_AT_LEAST, TAG_IS /* numbers: of ints, doubles and text that is a number */
};
struct filter_tag {
    struct str key, value; /* value: TAG_EQUALS */
    enum filter_op op;     /* all but TAG_EQUALS look at attributes only, not at derived tags */
    double number;
};
/* A `where` condition: "http.status_code>=500", "retries = 3", "db.system exists"; < <= > >= =. Slices of text. */
enum mg_err filter_where_parse(struct str text, struct filter_tag *out, struct mg_why *why) MG_MUST_USE;
struct span_filter {
    struct str service, operation;         /* empty ptr (NULL): any */
    uint64_t start_min_ns, start_max_ns;   /* inclusive */
    uint64_t duration_min_ns, duration_max_ns; /* inclusive; max UINT64_MAX: any */
    const struct filter_tag *tags;
    size_t n_tags;
};
bool filter_match(const struct span_filter *filter, const struct span *span, struct buf *scratch);
/* Cheap tests on the header first, the rest on the decoded row. The arena is reset by the caller. */
bool filter_match_row(const struct span_filter *filter, const struct row *row, const struct epoch *epoch, struct arena *arena, struct buf *scratch);
/* The view's sanitising (collector/README.md R15), used for index keys too: bad UTF-8 replaced; an empty span name
 * becomes empty-span-name. Returns s itself when nothing changes, else a copy in the arena. */
struct str view_operation(struct str name, struct arena *arena);
struct str view_service(struct str resource, struct arena *arena);
