/* otlp_write.h - protobuf out: a span as Span message, a request grouped by resource and scope. Used by exporters, the
 * demo and tests of rows. Known fields in field order, defaults left out, wire-form parts as they are. */
#pragma once
#include "base/buf.h"
#include "model/span.h"
void otlp_write_span(struct buf *out, const struct span *span); /* the Span message, without tag and length */
/* Whole ExportTraceServiceRequest; spans that follow each other with equal resource (and scope) share one group. */
void otlp_write_request(struct buf *out, const struct span *const *spans, size_t n);
/* A KeyValue with a value, for composing by hand. number: below 2048. */
void otlp_put_attr(struct buf *out, uint32_t number, const struct attr *attr);
