/* decision.h - a verdict about one trace, and the body of a decisions record in the journal.
 *
 *   varint version (2) | then to the end: trace id 16 B, varint from, varint through, varint outcome (row/outcome.h), varint length and bytes of votes
 *
 * Both positions: the verdict takes the trace's rows after `from` and up to `through` (R3). `from` is where the
 * trace's decision before this one ended, as far as that was still known: so when that one was lost in a failed group,
 * this one does not take its rows along. While sampling is off the outcome tells verdict and trigger alone.
 * Version 1 had u8 verdict, u8 trigger, varint rules after `through`; it is still read. */
#pragma once
#include "base/buf.h"
#include "row/outcome.h"

struct decision {
    uint8_t trace_id[16];
    uint64_t from, through;
    struct outcome outcome;
    struct str votes;   /* read: the record's memory */
};
#define DECISION_VOTES_MAX 64
void decision_list_begin(struct buf *body);
void decision_put(struct buf *body, const struct decision *decision);
/* Reads a body, one decision at a time while at < end. Bad bytes: E_FORMAT. */
struct decision_reader { const uint8_t *at, *end; unsigned version; };
enum mg_err decision_read(struct decision_reader *reader, struct str body) MG_MUST_USE;
enum mg_err decision_next(struct decision_reader *reader, struct decision *out) MG_MUST_USE;
