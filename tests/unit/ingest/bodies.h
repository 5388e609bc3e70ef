/* bodies.h - request bodies for the tests of this folder. */
#pragma once
#include "base/buf.h"
#include "ingest/ingest.h"

/* OTLP: n spans "op" of the trace 07 00 … in the ring; those whose bit is set in `bad` have no span id. */
void otlp_body(struct buf *out, unsigned n, uint32_t bad);
/* The same with names op0, op1, … and a trace id that begins with `trace`; no root among them. */
void otlp_named_body(struct buf *out, uint8_t trace, unsigned n, uint32_t bad);
void gzip_body(struct buf *out, struct str body);
/* One span each, as clients sent it; bodies.c tells which. */
enum captured { CAPTURED_ZIPKIN_MIN, CAPTURED_ZIPKIN_FULL, CAPTURED_THRIFT_MIN, CAPTURED_COMPACT_MIN, CAPTURED_COMPACT_FULL };
void captured_body(struct buf *out, enum captured which);
