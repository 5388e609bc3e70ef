/* jaeger_write.h - a span in Jaeger's model (jaeger-idl: api_v2/model.proto): protobuf for gRPC answers, JSON documents for Elasticsearch.
 *
 * Tags stand in the order of 5.1; a derived one that is an attribute with the same value is not said twice. Sorting,
 * addresses and other adjusting is the query side's. Strings are UTF-8 on output: a tag's text that
 * is not becomes bytes, names are sanitised, with the bytes of a span's name in the tag invalid-span-name. Links without
 * a trace id are left out. The buffer's failure is the caller's to ask for (buf_err). One thread. */
#pragma once
#include "codec/json_write.h"
#include "model/span.h"

/* An api_v2.Span message with its process inside (field 10), without tag and length around it. An end before the start
 * is a negative duration. Flags are lost (5.1); the attribute @jaeger@warnings becomes the field. */
void jaeger_write_span(struct buf *out, const struct span *span);
/* Jaeger's span document of its Elasticsearch storage (indices jaeger-span-*), and of jaeger-service-*. A double that JSON
 * has no number for is a text: as a number it would keep Jaeger from answering with its trace. `scratch` is any buffer,
 * cleared here; when a text does not fit into it, w->out fails. */
void jaeger_write_document(struct json_writer *w, const struct span *span, struct buf *scratch);
void jaeger_write_service_document(struct json_writer *w, struct str service, struct str operation);
