/* state.h - what a restart has to know beyond the journal: the file `state` in the queue's folder.
 * Module-private, one thread.
 *
 * Everything at or below read_to is finished but for the batches listed; what lies above is unfinished. The
 * file is written to `state.new`, synced and renamed, so that it is always whole: one that is not was
 * damaged later.
 *
 *   0   8  magic "MGSEND\r\n"
 *   8   4  version, 1
 *   12  4  bytes of the payload
 *   16     varints: read_to, noted, has_hole (0, 1), recovered, queued batches, spans, bytes, number of unfinished;
 *          for each, in rising order: number less the one before, spans, bytes, wall_ns
 *      8  XXH3-64 of all before */
#pragma once
#include "base/vec.h"
#include "send/send.h"

struct ticket { /* a batch of the queue; its number is its position in the journal */
    uint64_t number, wall_ns, bytes;
    uint32_t spans;
    unsigned attempts;
    uint64_t due_ns;     /* monotonic: not to be sent again before; 0: at once. Not stored */
    uint64_t failed_run; /* the run of failures it is part of (dispatch.c). Not stored */
    struct send_progress done; /* Not stored */
    bool is_doubtful;    /* it failed in two runs: others were answered between. Not stored */
};

struct state {
    uint64_t read_to;   /* see above */
    uint64_t noted;     /* what the journal holds up to here is in `recovered` and in the sums */
    bool has_hole;      /* an item that was put before one of those was not written yet */
    uint64_t recovered; /* send_item.position up to which done was called */
    uint64_t batches, spans, bytes; /* in the queue */
    VEC(struct ticket) unfinished;
};

enum { STATE_UNFINISHED_MAX = 4096 };

void state_fini(struct state *state);
/* An absent file is an empty state. E_FORMAT: damaged, or of a later version, which *is_newer tells. */
enum mg_err state_load(struct state *state, const struct journal_io *io, const char *dir, bool *is_newer,
                       struct mg_why *why) MG_MUST_USE;
/* Durable when it returns MG_OK; on failure the file is the old or the new one. */
enum mg_err state_save(const struct state *state, const struct journal_io *io, const char *dir,
                       struct mg_why *why) MG_MUST_USE;
