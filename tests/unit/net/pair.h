/* pair.h - a listener and both ends of one connection on one loop. Every end counts what it hears.
 */
#pragma once
#include "base/mem.h"
#include "net/stream.h"

struct end {
    struct pair *pair;
    struct stream *stream;
    struct buf got;
    size_t pause_at; /* pauses itself at so many bytes; 0: never */
    bool closes_on_data, closes_on_end, stops_on_drained;
    unsigned n_ends, n_drained, n_closed;
    enum mg_err err;
};

struct pair {
    struct loop *loop;
    struct listener *listener;
    struct end server, client;
    bool (*is_done)(struct pair *pair); /* asked after every event */
    struct timer *deadline;
};

void pair_open(struct pair *pair); /* connected when it returns */
void pair_run(struct pair *pair, bool (*is_done)(struct pair *pair)); /* fails after 20 s */
void pair_close(struct pair *pair);
