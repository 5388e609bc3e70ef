/* out.c - see out.h. A piece that gathers small writes starts with PIECE_BYTES of room: an ordinary
 * answer with its head fits one piece and so costs one allocation. */
#include "http/out.h"
#include <assert.h>
#include "base/mem.h"

#define PIECE_BYTES 1024u

struct out_piece {
    struct out_piece *next;
    struct buf bytes;
    size_t at; /* consumed */
    bool is_payload;
    bool is_taken; /* somebody's whole buffer: nothing is added to it */
};

static struct out_piece *add_piece(struct out *out, bool is_payload)
{
    struct out_piece *piece = MEM_NEW(struct out_piece);
    piece->is_payload = is_payload;
    if (out->last)
        out->last->next = piece;
    else
        out->head = piece;
    out->last = piece;
    return piece;
}

static void drop_front(struct out *out)
{
    struct out_piece *piece = out->head;
    out->head = piece->next;
    if (!out->head)
        out->last = NULL;
    buf_fini(&piece->bytes);
    mem_free(piece);
}

void out_fini(struct out *out)
{
    while (out->head)
        drop_front(out);
    out->bytes = 0;
}

void out_put(struct out *out, const void *bytes, size_t len, bool is_payload)
{
    if (len == 0)
        return;
    struct out_piece *piece = out->last;
    if (!piece || piece->is_taken || piece->is_payload != is_payload) {
        piece = add_piece(out, is_payload);
        buf_init(&piece->bytes, SIZE_MAX);
        (void)!buf_reserve(&piece->bytes,
                           MG_MAX(len, (size_t)PIECE_BYTES)); /* no limit to refuse it */
    }
    buf_put(&piece->bytes, bytes, len);
    assert(!piece->bytes.failed);
    out->bytes += len;
}

void out_take(struct out *out, struct buf *buf, bool is_payload)
{
    size_t len = buf->len;
    if (len == 0) {
        buf_fini(buf);
        return;
    }
    struct out_piece *piece = add_piece(out, is_payload);
    piece->is_taken = true;
    piece->bytes = *buf;
    *buf = (struct buf){.limit = buf->limit};
    out->bytes += len;
}

struct str out_front(const struct out *out)
{
    const struct out_piece *piece = out->head;
    return piece ? str_n(piece->bytes.ptr + piece->at, piece->bytes.len - piece->at) : STR("");
}

size_t out_consume(struct out *out, size_t n)
{
    struct out_piece *piece = out->head;
    if (n == 0)
        return 0;
    assert(piece && n <= piece->bytes.len - piece->at);
    size_t payload = piece->is_payload ? n : 0;
    piece->at += n;
    out->bytes -= n;
    if (piece->at == piece->bytes.len)
        drop_front(out);
    return payload;
}

bool out_move_front(struct out *out, struct buf *buf, size_t *payload)
{
    struct out_piece *piece = out->head;
    if (!piece || piece->at > 0)
        return false;
    *payload = piece->is_payload ? piece->bytes.len : 0;
    out->bytes -= piece->bytes.len;
    *buf = piece->bytes;
    piece->bytes = (struct buf){0};
    drop_front(out);
    return true;
}
