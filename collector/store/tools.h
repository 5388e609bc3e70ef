/* tools.h - what `store check|dump|stats DIR` do, on a stopped store directory (read-only): nobody may write meanwhile,
 * which is for the caller to see to.
 *
 * Each goes through all partitions, the archive last, and all blocks, past damaged ones. E_FORMAT: something is damaged, *why names the
 * first; what is sound was given nevertheless. Files that were never committed to are no damage. One thread. */
#pragma once
#include "store/store.h"
typedef void store_line_fn(void *owner, struct str line); /* without its newline; good during the call */
/* A line for each fault, one for each partition, and one with the sums. */
enum mg_err store_check_dir(const char *dir, store_line_fn *on_line, void *owner, struct mg_why *why) MG_MUST_USE;
/* OTLP/JSON, one ExportTraceServiceRequest with one span a line; trace_id NULL: everything, partition by partition. A span
 * that was pinned comes again with the archive. */
enum mg_err store_dump_dir(const char *dir, const uint8_t *trace_id, store_line_fn *on_line, void *owner, struct mg_why *why) MG_MUST_USE;
/* One JSON object a decision, partition by partition: those about dropped traces by hash, those about kept ones with the trace id; trace_id
 * NULL: all. Kept while sampling was off: no line. */
enum mg_err store_dump_decisions_dir(const char *dir, const uint8_t *trace_id, store_line_fn *on_line, void *owner, struct mg_why *why) MG_MUST_USE;
/* Bytes by column, largest first, with bytes a span; then totals. */
enum mg_err store_stats_dir(const char *dir, store_line_fn *on_line, void *owner, struct mg_why *why) MG_MUST_USE;
