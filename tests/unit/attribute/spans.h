/* spans.h - requests as text and back, for the tests of rules. One program, one thread.
 *
 *   R env:s:prod | S name=op kind=2 code=2 msg=failed a:i:1 | E boom k:s:v | L k:b:1
 *
 * R begins a resource, S a span, E an event and L a link of it. An attribute is key:type:value; types: s text, i integer, d double, b
 * bool, x bytes, e empty, a array [s:x,i:1], m map {k=s:x,n=i:1}, o a KeyValue with a field nobody knows around such a value
 * (k:o:s:x). Bytes that are no letters of the language are %XX. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "attribute/attribute.h"
#include "base/arena.h"
#include "base/buf.h"

/* An ExportTraceServiceRequest in the arena. */
struct str request_make(struct arena *arena, const char *text);
/* Scans a request through the filter (NULL: without) and tells what the visitor was told; dropped spans as "D0". */
void request_tell(struct attribute_filter *filter, struct str request, bool with_drops, struct buf *out);
/* The same; rules may add `added_max` bytes. */
void request_tell_within(struct attribute_filter *filter, struct str request, bool with_drops, size_t added_max, struct buf *out);
/* One rule a line. NULL: refused, *why says how. */
struct attribute_rules *rules_make(const char *lines, struct mg_why *why);
/* All in one: what becomes of the request under the rules. */
void expect_change(const char *rules, const char *before, const char *after);
