/* trace_table.h - every trace that has rows in the ring: what live and look-ups know about it.
 *
 * Open addressing from trace id to the newest `struct trace`; a trace that gets rows after its decision has a
 * chain of records, newest first (`older`). Records are pooled and never move. Live thread only. */
#pragma once
#include "base/list.h"
#include "sample/sampler.h"

struct trace {
    uint8_t id[16];
    const struct row *last;     /* newest row; row->prev leads to the one before */
    uint32_t n;                 /* rows of this record */
    bool is_big;                /* has reached a limit and is on the list of those decided early */
    uint64_t bytes;             /* of its rows as live_row_bytes() counts them: what bytes_limiting and the floor's budget go by */
    bool is_decided;            /* waits for the store; n and last are fixed */
    bool has_root;
    bool is_settled;            /* sample_on_first_match: is on the list of those decided now */
    bool is_late;               /* its rows came after a decision about the trace */
    uint64_t outcome;           /* once decided: outcome.h; before: that of an earlier decision, which this record follows; 0: none */
    union {
        struct trace_facts facts;                           /* while undecided */
        struct { struct decided *by; size_t at; } decision; /* once decided: its fragment there */
    };
    uint64_t first_log_ns;
    union {
        uint64_t root_log_ns;   /* while undecided and has_root */
        uint64_t through;       /* once decided: position up to which it took rows */
    };
    struct trace *older;        /* earlier record of the same trace; also links the free list */
    struct list deadline_link;  /* live.by_deadline, while undecided */
    struct list root_link;      /* live.by_root, while undecided and has_root */
};

#define TRACE_RECORD_BYTES (sizeof(struct trace) + 48) /* and what its slot takes, as the table is filled on average */

struct trace_table;
struct trace_table *trace_table_new(void);
void trace_table_free(struct trace_table **table);
struct trace *trace_find(const struct trace_table *table, const uint8_t id[16]); /* newest record or NULL */
void trace_prefetch(const struct trace_table *table, const uint8_t id[16]);
struct trace *trace_add(struct trace_table *table, const uint8_t id[16]);        /* becomes the newest record */
void trace_remove(struct trace_table *table, struct trace *trace);
size_t trace_count(const struct trace_table *table);
size_t trace_table_bytes(const struct trace_table *table);
