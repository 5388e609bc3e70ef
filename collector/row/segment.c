/* segment.c - mapping, counting and pooling of ring segments.
 *
 * The kernel aligns mappings to pages only, so one segment more than needed is mapped and the two
 * ends are given back. What remains begins at a multiple of SEGMENT_BYTES:
 *
 *     | segment header | row | row | ... published | row not yet published | room |
 *     ^ aligned          every row begins within the first SEGMENT_BYTES
 *
 * An oversize segment has room for exactly its one row, because segment_of() would not find the
 * segment of a row that begins beyond the first SEGMENT_BYTES.
 *
 * The pool is one list for the process: live takes, live or the last reader returns. Its lock is
 * held for a few instructions, once a segment. */
#include "row/segment.h"

#include <assert.h>
#include <pthread.h>
#include "base/mem.h"

#define POOL_BYTES_MAX ((size_t)32 << 20)
#define PAGE_BYTES     ((size_t)4096)

_Static_assert(sizeof(struct segment) % 8 == 0, "rows behind the header are 8-byte aligned");

static struct {
    pthread_mutex_t lock;
    struct list *first; /* segment.live.link, linked through next only */
    size_t bytes;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct segment *map_aligned(size_t bytes)
{
    size_t around = bytes + SEGMENT_BYTES;
    char *memory = mem_map(around);
    size_t before = -(uintptr_t)memory & (SEGMENT_BYTES - 1);
    size_t after = around - before - bytes;

    if (before)
        mem_unmap(memory, before);
    if (after)
        mem_unmap(memory + before + bytes, after);
    return (struct segment *)(memory + before);
}

static struct segment *pool_take(void)
{
    pthread_mutex_lock(&pool.lock);
    struct list *link = pool.first;
    if (link) {
        pool.first = link->next;
        pool.bytes -= SEGMENT_BYTES;
    }
    pthread_mutex_unlock(&pool.lock);
    return link ? MG_CONTAINER(link, struct segment, live.link) : NULL;
}

static bool pool_give(struct segment *segment)
{
    pthread_mutex_lock(&pool.lock);
    bool fits = pool.bytes + SEGMENT_BYTES <= POOL_BYTES_MAX;
    if (fits) {
        segment->live.link.next = pool.first;
        pool.first = &segment->live.link;
        pool.bytes += SEGMENT_BYTES;
    }
    pthread_mutex_unlock(&pool.lock);
    return fits;
}

struct segment *segment_new(struct epoch *epoch, size_t row_bytes)
{
    assert(row_bytes <= UINT32_MAX); /* row->bytes has 32 bits. */
    size_t mapped = SEGMENT_BYTES, room = SEGMENT_BYTES - sizeof(struct segment);
    struct segment *segment = NULL;

    if (row_bytes > room) {
        room = row_bytes;
        mapped = (sizeof *segment + room + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    } else {
        segment = pool_take();
    }
    if (!segment)
        segment = map_aligned(mapped);
    memset(segment, 0, sizeof *segment);
    atomic_init(&segment->refs, 1);
    atomic_init(&segment->published, 0);
    atomic_init(&segment->start_min_ns, UINT64_MAX);
    atomic_init(&segment->start_max_ns, 0);
    segment->epoch = epoch_ref(epoch);
    segment->room = room;
    segment->mapped = mapped;
    return segment;
}

struct segment *segment_ref(struct segment *segment)
{
    unsigned before = atomic_fetch_add_explicit(&segment->refs, 1, memory_order_relaxed);

    assert(before > 0);
    (void)before;
    return segment;
}

void segment_unref(struct segment **segment)
{
    struct segment *gone = MG_STEAL(*segment);

    if (!gone)
        return;
    unsigned before = atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    assert(!list_linked(&gone->live.link));
    epoch_unref(&gone->epoch);
    if (gone->mapped != SEGMENT_BYTES || !pool_give(gone))
        mem_unmap(gone, gone->mapped);
}

void segment_pool_trim(size_t keep_bytes)
{
    while (segment_pool_bytes() > keep_bytes) {
        struct segment *segment = pool_take();
        if (!segment)
            return;
        mem_unmap(segment, SEGMENT_BYTES);
    }
}

size_t segment_pool_bytes(void)
{
    pthread_mutex_lock(&pool.lock);
    size_t bytes = pool.bytes;
    pthread_mutex_unlock(&pool.lock);
    return bytes;
}

/* Live is the only writer, so a load and a store suffice. */
static void widen(struct segment *segment, uint64_t start_ns)
{
    if (start_ns < atomic_load_explicit(&segment->start_min_ns, memory_order_relaxed))
        atomic_store_explicit(&segment->start_min_ns, start_ns, memory_order_relaxed);
    if (start_ns > atomic_load_explicit(&segment->start_max_ns, memory_order_relaxed))
        atomic_store_explicit(&segment->start_max_ns, start_ns, memory_order_relaxed);
}

struct row *segment_add(struct segment *segment, const struct row *row)
{
    if (row->bytes > segment->room - segment->live.used)
        return NULL;
    struct row *copy = (struct row *)(segment_rows(segment) + segment->live.used);
    memcpy(copy, row, row->bytes);
    segment->live.used += row->bytes;
    segment->live.rows++;
    segment->live.held++;
    widen(segment, row->start_ns);
    return copy;
}

void segment_publish(struct segment *segment)
{
    atomic_store_explicit(&segment->published, segment->live.used, memory_order_release);
}
