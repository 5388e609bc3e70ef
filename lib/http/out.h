/* out.h - bytes of one answer that wait for their turn on the wire: a list of pieces, first in
 * first out.
 *
 * Small writes are gathered, whole buffers are taken without a copy. A piece is payload or framing:
 * only payload counts when a pipe asks how much of what it wrote has left. Loop thread only. */
#pragma once
#include "base/buf.h"

struct out_piece;
struct out {
    struct out_piece *head, *last; /* owned */
    size_t bytes;                  /* of all pieces, not yet taken out */
};

void out_fini(struct out *out); /* drops everything; zeroed memory is an empty one */
void out_put(struct out *out, const void *bytes, size_t len, bool is_payload);
void out_take(struct out *out, struct buf *buf,
              bool is_payload); /* takes the memory, leaves buf empty */
/* The bytes at the front, borrowed; empty when there are none. */
struct str out_front(const struct out *out);
/* Removes n bytes of what out_front showed; returns how many of them were payload. */
size_t out_consume(struct out *out, size_t n);
/* Removes the whole front piece into *buf when that is possible without a copy; false: it was
 * begun. */
bool out_move_front(struct out *out, struct buf *buf, size_t *payload);
