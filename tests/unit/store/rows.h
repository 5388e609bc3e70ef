/* rows.h - spans as decided fragments of ring rows, for tests of the store: what ingest and live do, without
 * threads, journal or credit. Two loops' interners, so that symbols of two epochs meet. */
#pragma once
#include "base/map.h"
#include "base/vec.h"
#include "model/otlp_scan.h"
#include "row/intern.h"
#include "row/segment.h"
#include "store/block.h"

struct rows {
    struct interner *loops[2];
    uint32_t wall_s;                    /* when spans are received; 0: when each starts, so that none is stray */
    unsigned loop;                      /* the one that takes the next body or span */
    struct segment *open[2];
    VEC(struct segment *) segments;
    VEC(struct fragment) traces;        /* in the order their first spans came */
    VEC(const struct row *) all;        /* in the order they came */
    struct map by_id;                   /* trace id to index + 1 */
};

void rows_init(struct rows *rows);
void rows_fini(struct rows *rows);
void rows_forget(struct rows *rows);                       /* traces and rows; not the loops */
void rows_body(struct rows *rows, struct str otlp);        /* an ExportTraceServiceRequest */
void rows_span(struct rows *rows, const struct span *span); /* with its resource and scope */

/* A random span with every kind of field and value in it, often odd ones; few different ids, so that parents,
 * repeats and equal spans come up. The trace id is one of `traces`. */
struct random;
void random_span(struct random *random, unsigned traces, struct arena *arena, struct span *out);

/* The astronomy corpus, inflated: records of a big-endian length and a body each. False, and a message printed,
 * when it is not there (MGTEST_CORPORA names the folder). Release with mem_free(corpus->ptr). */
bool corpus_load(struct str *corpus);
bool corpus_next(struct str *corpus_rest, struct str *body);
