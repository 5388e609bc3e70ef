/* pool.h - memory of request bodies, kept for the next one. One per server, loop thread only.
 *
 * Copying into memory that the process never touched costs as much as the receive itself
 * (measured), so the buffers of finished bodies are kept. The pool starts empty and decays: at
 * every pool_decay half of what was not used since the last one is given back, so that a burst does
 * not stay resident. */
#pragma once
#include "base/buf.h"

#define POOL_BUFS_MAX  32
#define POOL_BYTES_MAX (8u * 1024 * 1024)

struct pool {
    struct buf at[POOL_BUFS_MAX]; /* ascending by room */
    size_t n;
    size_t n_idle; /* smallest n since the last decay: that many were never needed */
    size_t bytes;  /* of all */
};

void pool_fini(struct pool *pool); /* zeroed memory is an empty pool */
/* Makes room for `more` bytes in *body, whose limit was checked before. Grows at most to twice of
 * what is used then, or to the hint when that is nearer: a declared length alone never costs
 * memory. A kept buffer may have twice as much as that. */
void pool_grow(struct pool *pool, struct buf *body, size_t more, uint64_t length_hint);
/* The room that it has then without a kept buffer. */
size_t pool_room(const struct buf *body, size_t more, uint64_t length_hint);
void pool_give(struct pool *pool, struct buf *body); /* takes the memory, leaves body empty */
bool pool_decay(struct pool *pool);                  /* true: something is left to decay */
