/* otlp_json.h - OTLP/JSON in both directions.
 *
 * Reading transcodes ExportTraceServiceRequest JSON into the protobuf bytes of the same request, which then go
 * through otlp_scan like every other body: one validator, one interner. Lenient as senders need it (snake_case,
 * enum names, numbers in strings, unpadded base64 …), but refused are: text after the document,
 * BOM, bad ids' hex is E_FORMAT, not a refused span; wrong *length* of an id is left to the scanner.
 * Unknown keys are ignored (proto3 JSON mapping), but for "meshglass.unknown", which the writer below makes.
 * Messages may be as deep inside each other as for otlp_scan. E_FORMAT names byte and reason; E_TOO_BIG beyond
 * the limit of `out`.
 *
 * Writing is strict OTLP/JSON (OTLP specification, "JSON Protobuf Encoding"): hex ids, enums as integers, 64-bit integers as strings. */
#pragma once
#include "base/buf.h"
#include "codec/json_write.h"
#include "model/span.h"

struct otlp_json; /* reusable reader state of one thread */
struct otlp_json *otlp_json_new(void);
void otlp_json_free(struct otlp_json **reader);
/* Clears and fills `out` (protobuf). */
enum mg_err otlp_json_to_proto(struct otlp_json *reader, struct str json, struct buf *out, struct mg_why *why) MG_MUST_USE;

/* One ExportTraceServiceRequest with one span (`store dump` prints one a line): without loss for
 * everything protobuf names; unknown fields, which JSON cannot name, go to "meshglass.unknown" (base64 of
 * protobuf) of the message they were found in; strings that are not UTF-8 and NaNs with a payload go there too, and
 * are shown replaced at their place. Reading gives the span back. */
void otlp_json_span(struct json_writer *w, const struct span *span);
