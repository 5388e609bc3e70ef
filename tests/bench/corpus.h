/* corpus.h - the astronomy corpus as sustained load: each use of a request gets fresh ids and times that end now, because
 * repeats would flatter compressors and de-duplication. */
#pragma once
#include "base/buf.h"

struct corpus_request {
    struct buf body;                    /* ExportTraceServiceRequest */
    uint32_t spans;
    /* Offsets of 8-byte halves of ids; of fixed64 times; of the trace id of each span. */
    struct { uint32_t *at; size_t n, room; } ids, times, traces;
};
struct corpus { struct corpus_request *requests; size_t n; uint64_t spans, bytes, newest_ns; };

/* Requests are cut anew, as an SDK would: after the resource that brings one to `spans_a_request` spans. Ends the program with a sentence when the file is no corpus. */
void corpus_load(struct corpus *corpus, const char *path, uint32_t spans_a_request);
/* Rewrites ids by xor with a value made from `seed` (apply the same seed again to undo) and moves all times by shift_ns. */
void corpus_freshen(struct corpus_request *request, uint64_t seed, int64_t shift_ns);
