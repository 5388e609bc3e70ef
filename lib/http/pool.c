/* pool.c - see pool.h. The list is short and sorted: a body takes the smallest buffer that fits. */
#include "http/pool.h"
#include <assert.h>
#include "base/mem.h"

#define BODY_BYTES_MIN 4096u

void pool_fini(struct pool *pool)
{
    for (size_t i = 0; i < pool->n; i++)
        buf_fini(&pool->at[i]);
    *pool = (struct pool){0};
}

static struct buf remove_at(struct pool *pool, size_t i)
{
    struct buf taken = pool->at[i];
    pool->n--;
    memmove(&pool->at[i], &pool->at[i + 1], (pool->n - i) * sizeof pool->at[0]);
    pool->bytes -= taken.room;
    pool->n_idle = MG_MIN(pool->n_idle, pool->n);
    return taken;
}

/* The smallest kept buffer with that room, or none: a small body must not be charged with a large
 * buffer. */
static bool find_kept(struct pool *pool, size_t room, struct buf *out)
{
    size_t i = 0;
    while (i < pool->n && pool->at[i].room < room)
        i++;
    if (i == pool->n || pool->at[i].room - room > room)
        return false;
    *out = remove_at(pool, i);
    return true;
}

static size_t wanted_room(size_t need, uint64_t length_hint, size_t limit)
{
    size_t doubled = need > SIZE_MAX / 2 ? need : need * 2;
    size_t room = MG_MAX(doubled, (size_t)BODY_BYTES_MIN);
    if (length_hint >= need && length_hint <= room)
        room = (size_t)length_hint; /* exactly what comes */
    return MG_MAX(MG_MIN(room, limit), need);
}

size_t pool_room(const struct buf *body, size_t more, uint64_t length_hint)
{
    size_t need = body->len + more;
    return need <= body->room ? body->room : wanted_room(need, length_hint, body->limit);
}

/* Exactly that much: a buffer doubles by itself. */
static void enlarge(struct buf *body, size_t room)
{
    size_t limit = body->limit;
    body->limit = room;
    (void)!buf_reserve(body, room - body->len); /* within the limit: cannot be refused */
    body->limit = limit;
}

void pool_grow(struct pool *pool, struct buf *body, size_t more, uint64_t length_hint)
{
    assert(body->len <= body->limit && more <= body->limit - body->len);
    size_t room = pool_room(body, more, length_hint);
    if (room <= body->room)
        return;
    struct buf kept;
    if (find_kept(pool, room, &kept)) {
        if (body->len)
            memcpy(kept.ptr, body->ptr, body->len);
        kept.len = body->len;
        kept.limit = body->limit;
        kept.failed = false;
        pool_give(pool, body);
        *body = kept;
        return;
    }
    enlarge(body, room);
}

void pool_give(struct pool *pool, struct buf *body)
{
    if (body->room < BODY_BYTES_MIN || pool->n == POOL_BUFS_MAX ||
        body->room > POOL_BYTES_MAX - pool->bytes) {
        buf_fini(body);
        return;
    }
    size_t i = pool->n;
    for (; i > 0 && pool->at[i - 1].room > body->room; i--)
        pool->at[i] = pool->at[i - 1];
    pool->at[i] = *body;
    pool->n++;
    pool->bytes += body->room;
    *body = (struct buf){0};
}

bool pool_decay(struct pool *pool)
{
    for (size_t drop = (pool->n_idle + 1) / 2; drop > 0 && pool->n > 0; drop--) {
        struct buf largest = remove_at(pool, pool->n - 1);
        buf_fini(&largest);
    }
    pool->n_idle = pool->n;
    return pool->n > 0;
}
