/* rows.h - a body to rows: inflate, transcode, scan, intern. The part of the doors that replay shares.
 *
 * One a thread. The batch returned belongs to the caller; refused spans are told by ordinal and counted by reason. */
#pragma once
#include "base/vec.h"
#include "codec/zip.h"
#include "ingest/ingest.h"
#include "model/otlp_scan.h"

struct rows_maker;
struct refused { uint32_t n; uint32_t by_reason[OTLP_REFUSALS]; uint32_t first_ordinal; enum otlp_refusal first; };
struct rows_result {
    struct row_batch *rows;
    struct refused refused;
    size_t inflated;           /* bytes */
    uint64_t cpu_inflate_ns, cpu_transcode_ns, cpu_rows_ns;
};
struct rows_maker *rows_maker_new(void);
void rows_maker_free(struct rows_maker **maker);
/* Ordinals of spans, as rising runs without overlap: a request may hold millions of refused ones. */
struct run { uint32_t first, n; };
struct left_out { const struct run *at; size_t n; };
/* The inflated body, in the maker's buffer until its next call; E_TOO_BIG, E_FORMAT as rows_make. */
enum mg_err rows_inflate(struct rows_maker *maker, enum zip_kind encoding, struct str body, size_t limit, struct str *out, struct mg_why *why) MG_MUST_USE;
/* `left_out`: spans that are not to become rows (replay); NULL: none. */
enum mg_err rows_make(struct rows_maker *maker, enum ingest_protocol protocol, enum zip_kind encoding, struct str body,
                      size_t limit, const struct left_out *left_out, struct rows_result *out, struct mg_why *why) MG_MUST_USE;
/* What the last rows_make refused. */
struct left_out rows_refused(const struct rows_maker *maker);
void rows_recycle(struct rows_maker *maker, struct row_batch **rows);
void rows_decay(struct rows_maker *maker); /* when idle: gives buffers back */

/* The head of a body record: which spans were refused at the door.  varint version 1, varint runs, for each the distance from the end
 * of the one before and its length. */
void refused_head_write(struct buf *head, struct left_out refused);
/* *runs: mem_free; *spans: how many in all. */
enum mg_err refused_head_read(struct str head, struct run **runs, size_t *n, uint32_t *spans) MG_MUST_USE;
