/* decision.h - a verdict about one trace, and the body of a decisions record in the journal.
 *
 *   varint version (1) | then to the end: trace id 16 B, varint from, varint through, u8 verdict,
 *   u8 reason, varint rules
 *
 * Both are positions: the verdict takes the trace's rows after `from` and up to `through` (R3). `from` is where the
 * trace's decision before this one ended, as far as that was still known: so when that one was lost in a failed group,
 * this one does not take its rows along. */
#pragma once
#include "base/buf.h"

enum verdict { VERDICT_KEPT = 1, VERDICT_DROPPED = 2 };
enum reason {
    REASON_ROOT = 1,    /* the root was seen and the grace has passed */
    REASON_DEADLINE = 2,/* decision_wait after its first row */
    REASON_EARLY = 3    /* too many spans, or the ring was nearly full */
};

struct decision {
    uint8_t trace_id[16];
    uint64_t from, through;
    enum verdict verdict;
    enum reason reason;
    uint32_t rules;     /* generation of the sampling rules; 0: none */
};
void decision_list_begin(struct buf *body);
void decision_put(struct buf *body, const struct decision *decision);
/* Reads a body, one decision at a time while at < end. Bad bytes: E_FORMAT. */
struct decision_reader { const uint8_t *at, *end; };
enum mg_err decision_read(struct decision_reader *reader, struct str body) MG_MUST_USE;
enum mg_err decision_next(struct decision_reader *reader, struct decision *out) MG_MUST_USE;
const char *reason_name(enum reason reason); /* "root", "deadline", "early" */
