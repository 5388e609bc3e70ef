/* rows.h - a body to rows: inflate, transcode, scan, apply the attribute rules, intern. The part of the doors that replay shares.
 *
 * One a thread; scanners and buffers are made when the first body needs them. The batch returned belongs to the caller; spans
 * that were refused or dropped are told by ordinal, refused ones also counted by reason. */
#pragma once
#include "attribute/attribute.h"
#include "codec/zip.h"
#include "ingest/head.h"
#include "ingest/ingest.h"
#include "model/span_visitor.h"

struct rows_maker;
struct refused { uint32_t n; uint32_t by_reason[SPAN_REFUSALS]; uint32_t first_ordinal; enum span_refusal first; };
struct rows_body {
    enum ingest_protocol protocol;
    enum zip_kind encoding;
    struct str bytes;
    size_t limit;              /* bytes, before and after inflating */
};
struct rows_result {
    struct row_batch *rows;
    struct refused refused;
    uint32_t dropped;          /* spans that a rule took */
    size_t inflated;           /* bytes */
    uint64_t cpu_inflate_ns, cpu_transcode_ns, cpu_rows_ns;
};
struct rows_maker *rows_maker_new(void);
void rows_maker_free(struct rows_maker **maker);
void rows_maker_rules(struct rows_maker *maker, struct attribute_rules *rules); /* from the next body on; takes a reference; NULL: none */
/* The inflated body, in the maker's buffer until its next call; E_TOO_BIG, E_FORMAT as rows_make. */
enum mg_err rows_inflate(struct rows_maker *maker, const struct rows_body *body, struct str *out, struct mg_why *why) MG_MUST_USE;
/* `replayed`: the record's head; the spans it names become no rows, and rules that drop are passed over. NULL: at the door. Rules may
 * add as many bytes as `limit`, at most 64 MiB: more is E_TOO_BIG at the door; at replay what would add more is passed over. */
enum mg_err rows_make(struct rows_maker *maker, const struct rows_body *body, const struct body_head *replayed,
                      struct rows_result *out, struct mg_why *why) MG_MUST_USE;
/* Whether the last body, which may have failed, could be inflated. */
bool rows_was_inflated(const struct rows_maker *maker);
/* What the last rows_make refused and dropped. */
struct left_out rows_refused(struct rows_maker *maker);
struct left_out rows_dropped(struct rows_maker *maker);
void rows_recycle(struct rows_maker *maker, struct row_batch **rows);
void rows_decay(struct rows_maker *maker); /* when idle: gives buffers back */
