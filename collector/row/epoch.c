/* epoch.c - two numbered, append-only lists (symbols, shapes), each with a lookup table.
 *
 * A number leads to its entry through a directory whose levels double, so that no entry ever moves
 * and the directory itself has a fixed size for every 32-bit number:
 *
 *     level[0] -> entries 0-255      level[1] -> 256-767      level[2] -> 768-1791      ...
 *
 * Entry 0 is the empty string (the empty shape), which spares every reader a branch. The bytes
 * stand in storage chunks of 4 KiB doubling to 256 KiB; what is larger than an eighth of the next
 * chunk gets an allocation of its own, which bounds the unused ends of chunks to that eighth (they
 * are not counted in epoch_bytes).
 *
 * Readers need no lock: the loop writes an entry (and the level's pointer) before it hands a row
 * over that names it, and the queue's mutex orders the two. Later writes go to other memory
 * locations: a new entry, another level. Only the counts are read while the loop raises them, so
 * those are atomic. The lookup tables move when they grow and are the loop's alone.
 *
 * Hashes are seeded: a peer chooses the strings and must not choose the collisions. XXH3 was not
 * measurably faster here than hash_bytes, because most strings are guessed right and not hashed. */
#include "row/epoch.h"

#include <assert.h>
#include <stdatomic.h>
#include "base/map.h"
#include "base/mem.h"
#include "codec/utf8.h"

#define BYTES_MAX    ((size_t)16 << 20)
#define SYMBOLS_MAX  ((uint32_t)1 << 20)
#define SHAPES_MAX   ((uint32_t)64 << 10)
#define AGE_MAX_NS   ((uint64_t)600 * 1000000000)
#define CHUNK_FIRST  ((size_t)4 << 10)
#define CHUNK_LAST   ((size_t)256 << 10)
#define LEVEL_0_LOG2 8 /* entries of the first level */
#define LEVELS       (32 - LEVEL_0_LOG2 + 1)
#define TABLE_FIRST  256
/* The share of a symbol or shape in its table: 8 B a slot, at least 3/8 of the slots used. */
#define TABLE_SHARE  24

#define UTF8_BIT     ((uint32_t)1 << 31)

struct symbol {
    const char *ptr;
    uint32_t len; /* the highest bit: is UTF-8 */
    uint32_t note;
};

struct slot {
    uint32_t hash;
    uint32_t number; /* 0: the slot is empty */
};

struct table {
    struct slot *slots;
    size_t room; /* power of two */
    size_t n;
};

struct chunk {
    struct chunk *next;
    char bytes[];
};

struct epoch {
    atomic_uint refs;
    uint64_t serial; /* never changes */
    _Atomic uint32_t n_symbols, n_shapes; /* highest numbers; the loop writes */
    struct symbol *symbols[LEVELS];
    const struct shape **shapes[LEVELS];
    struct {
        struct table symbols, shapes;
        struct chunk *chunks; /* all of them, for the end */
        char *at, *end;       /* the free part of the newest ordinary chunk */
        size_t chunk_bytes;   /* of the next ordinary chunk */
        size_t bytes;
        uint64_t seed, born_ns;
    } own; /* loop thread */
};

static const struct shape no_shape;
static _Atomic uint64_t last_serial;

/* --- directory and storage ------------------------------------------------------------------ */

static inline unsigned level_of(uint32_t number, uint32_t *offset)
{
    uint64_t i = (uint64_t)number + (1u << LEVEL_0_LOG2);
    unsigned log2 = 63u - (unsigned)__builtin_clzll(i);

    *offset = (uint32_t)(i - ((uint64_t)1 << log2));
    return log2 - LEVEL_0_LOG2;
}

static inline size_t level_room(unsigned level)
{
    return (size_t)1 << (level + LEVEL_0_LOG2);
}

static inline struct symbol *symbol_at(const struct epoch *epoch, uint32_t symbol)
{
    uint32_t offset;
    unsigned level = level_of(symbol, &offset);

    return &epoch->symbols[level][offset];
}

static struct symbol *symbol_place(struct epoch *epoch, uint32_t symbol)
{
    uint32_t offset;
    unsigned level = level_of(symbol, &offset);

    if (!epoch->symbols[level])
        epoch->symbols[level] = mem_alloc(level_room(level) * sizeof(struct symbol));
    return &epoch->symbols[level][offset];
}

static const struct shape **shape_place(struct epoch *epoch, uint32_t shape)
{
    uint32_t offset;
    unsigned level = level_of(shape, &offset);

    if (!epoch->shapes[level])
        epoch->shapes[level] = mem_alloc(level_room(level) * sizeof(struct shape *));
    return &epoch->shapes[level][offset];
}

static char *chunk_add(struct epoch *epoch, size_t bytes)
{
    struct chunk *chunk = mem_alloc(sizeof *chunk + bytes);

    chunk->next = epoch->own.chunks;
    epoch->own.chunks = chunk;
    return chunk->bytes;
}

static void *storage_alloc(struct epoch *epoch, size_t bytes, size_t alignment)
{
    size_t pad = -(uintptr_t)epoch->own.at & (alignment - 1);

    if (pad + bytes > (size_t)(epoch->own.end - epoch->own.at)) {
        if (bytes > epoch->own.chunk_bytes / 8)
            return chunk_add(epoch, bytes);
        epoch->own.at = chunk_add(epoch, epoch->own.chunk_bytes);
        epoch->own.end = epoch->own.at + epoch->own.chunk_bytes;
        epoch->own.chunk_bytes = MG_MIN(epoch->own.chunk_bytes * 2, CHUNK_LAST);
        pad = 0;
    }
    char *memory = epoch->own.at + pad;
    epoch->own.at = memory + bytes;
    return memory;
}

/* --- lookup tables -------------------------------------------------------------------------- */

static void table_grow(struct table *table)
{
    struct table grown = { .room = table->room ? table->room * 2 : TABLE_FIRST, .n = table->n };

    grown.slots = mem_zero(grown.room, sizeof *grown.slots);
    for (size_t i = 0; i < table->room; i++) {
        if (!table->slots[i].number)
            continue;
        size_t to = table->slots[i].hash & (grown.room - 1);
        while (grown.slots[to].number)
            to = (to + 1) & (grown.room - 1);
        grown.slots[to] = table->slots[i];
    }
    mem_free(table->slots);
    *table = grown;
}

static void table_add(struct table *table, uint32_t hash, uint32_t number)
{
    if ((table->n + 1) * 4 > table->room * 3)
        table_grow(table);
    size_t at = hash & (table->room - 1);
    while (table->slots[at].number)
        at = (at + 1) & (table->room - 1);
    table->slots[at] = (struct slot){ hash, number };
    table->n++;
}

static uint32_t symbol_hash(const struct epoch *epoch, struct str bytes)
{
    return (uint32_t)hash_bytes(bytes.ptr, bytes.len, epoch->own.seed);
}

static uint32_t symbol_find(const struct epoch *epoch, struct str bytes, uint32_t hash)
{
    const struct table *table = &epoch->own.symbols;

    if (!table->room)
        return 0;
    for (size_t i = hash & (table->room - 1);; i = (i + 1) & (table->room - 1)) {
        const struct slot *slot = &table->slots[i];
        if (!slot->number)
            return 0;
        if (slot->hash != hash)
            continue;
        const struct symbol *symbol = symbol_at(epoch, slot->number);
        if ((symbol->len & ~UTF8_BIT) == bytes.len && !memcmp(symbol->ptr, bytes.ptr, bytes.len))
            return slot->number;
    }
}

/* By fields: the padding behind the types is nobody's. */
static uint32_t shape_hash(const struct epoch *epoch, const struct shape_attr *attrs, uint32_t n)
{
    uint64_t hash = epoch->own.seed ^ n;

    for (uint32_t i = 0; i < n; i++) {
        unsigned __int128 product = (unsigned __int128)(hash ^ attrs[i].key) *
                                    (0x9e3779b97f4a7c15 ^ (uint64_t)attrs[i].type << 32);
        hash = ((uint64_t)product ^ (uint64_t)(product >> 64)) + epoch->own.seed;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

static bool shape_is(const struct shape *shape, const struct shape_attr *attrs, uint32_t n)
{
    if (shape->n != n)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (shape->attrs[i].key != attrs[i].key || shape->attrs[i].type != attrs[i].type)
            return false;
    return true;
}

static uint32_t shape_find(const struct epoch *epoch, const struct shape_attr *attrs, uint32_t n,
                           uint32_t hash)
{
    const struct table *table = &epoch->own.shapes;

    if (!table->room)
        return 0;
    for (size_t i = hash & (table->room - 1);; i = (i + 1) & (table->room - 1)) {
        const struct slot *slot = &table->slots[i];
        if (!slot->number)
            return 0;
        if (slot->hash == hash && shape_is(epoch_shape(epoch, slot->number), attrs, n))
            return slot->number;
    }
}

/* --- life ----------------------------------------------------------------------------------- */

struct epoch *epoch_new(uint64_t now_mono_ns)
{
    struct epoch *epoch = MEM_NEW(struct epoch);

    atomic_init(&epoch->refs, 1);
    epoch->serial = atomic_fetch_add_explicit(&last_serial, 1, memory_order_relaxed) + 1;
    epoch->own.seed = hash_seed();
    epoch->own.born_ns = now_mono_ns;
    epoch->own.chunk_bytes = CHUNK_FIRST;
    *symbol_place(epoch, 0) = (struct symbol){ .ptr = "", .len = UTF8_BIT };
    *shape_place(epoch, 0) = &no_shape;
    epoch->own.bytes = sizeof *epoch;
    return epoch;
}

struct epoch *epoch_ref(struct epoch *epoch)
{
    unsigned before = atomic_fetch_add_explicit(&epoch->refs, 1, memory_order_relaxed);

    assert(before > 0);
    (void)before;
    return epoch;
}

static void epoch_free(struct epoch *epoch)
{
    for (struct chunk *chunk = epoch->own.chunks; chunk;) {
        struct chunk *next = chunk->next;
        mem_free(chunk);
        chunk = next;
    }
    for (unsigned i = 0; i < LEVELS; i++) {
        mem_free(epoch->symbols[i]);
        mem_free(epoch->shapes[i]);
    }
    mem_free(epoch->own.symbols.slots);
    mem_free(epoch->own.shapes.slots);
    mem_free(epoch);
}

void epoch_unref(struct epoch **epoch)
{
    struct epoch *gone = MG_STEAL(*epoch);

    if (!gone)
        return;
    unsigned before = atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        epoch_free(gone);
}

bool epoch_is_full(const struct epoch *epoch, uint64_t now_mono_ns)
{
    return epoch->own.bytes >= BYTES_MAX || epoch_symbols(epoch) >= SYMBOLS_MAX ||
           epoch_shapes(epoch) >= SHAPES_MAX ||
           (now_mono_ns > epoch->own.born_ns && now_mono_ns - epoch->own.born_ns >= AGE_MAX_NS);
}

size_t epoch_bytes(const struct epoch *epoch)
{
    return epoch->own.bytes;
}

uint64_t epoch_serial(const struct epoch *epoch)
{
    return epoch->serial;
}

uint32_t epoch_symbols(const struct epoch *epoch)
{
    return atomic_load_explicit(&epoch->n_symbols, memory_order_relaxed);
}

uint32_t epoch_shapes(const struct epoch *epoch)
{
    return atomic_load_explicit(&epoch->n_shapes, memory_order_relaxed);
}

/* --- interning ------------------------------------------------------------------------------ */

static uint32_t symbol_add(struct epoch *epoch, struct str bytes, uint32_t hash)
{
    uint32_t number = epoch_symbols(epoch) + 1;
    char *copy = storage_alloc(epoch, bytes.len, 1);

    assert(number != 0 && bytes.len < UTF8_BIT);
    memcpy(copy, bytes.ptr, bytes.len);
    *symbol_place(epoch, number) = (struct symbol){
        .ptr = copy,
        .len = (uint32_t)bytes.len | (utf8_valid(copy, bytes.len) ? UTF8_BIT : 0),
    };
    table_add(&epoch->own.symbols, hash, number);
    epoch->own.bytes += bytes.len + sizeof(struct symbol) + TABLE_SHARE;
    atomic_store_explicit(&epoch->n_symbols, number, memory_order_relaxed);
    return number;
}

uint32_t epoch_intern(struct epoch *epoch, struct str bytes)
{
    if (bytes.len == 0)
        return 0;
    uint32_t hash = symbol_hash(epoch, bytes);
    uint32_t found = symbol_find(epoch, bytes, hash);

    return found ? found : symbol_add(epoch, bytes, hash);
}

uint32_t epoch_find(const struct epoch *epoch, struct str bytes)
{
    return bytes.len ? symbol_find(epoch, bytes, symbol_hash(epoch, bytes)) : 0;
}

static uint32_t shape_add(struct epoch *epoch, const struct shape_attr *attrs, uint32_t n,
                          uint32_t hash)
{
    uint32_t number = epoch_shapes(epoch) + 1;
    size_t bytes = sizeof(struct shape) + (size_t)n * sizeof *attrs;
    struct shape *shape = storage_alloc(epoch, bytes, _Alignof(struct shape));

    assert(number != 0);
    shape->n = n;
    memcpy(shape->attrs, attrs, (size_t)n * sizeof *attrs);
    *shape_place(epoch, number) = shape;
    table_add(&epoch->own.shapes, hash, number);
    epoch->own.bytes += bytes + sizeof shape + TABLE_SHARE;
    atomic_store_explicit(&epoch->n_shapes, number, memory_order_relaxed);
    return number;
}

uint32_t epoch_intern_shape(struct epoch *epoch, const struct shape_attr *attrs, uint32_t n)
{
    if (n == 0)
        return 0;
    uint32_t hash = shape_hash(epoch, attrs, n);
    uint32_t found = shape_find(epoch, attrs, n, hash);

    return found ? found : shape_add(epoch, attrs, n, hash);
}

uint32_t *epoch_note(struct epoch *epoch, uint32_t symbol)
{
    return &symbol_at(epoch, symbol)->note;
}

/* --- reading -------------------------------------------------------------------------------- */

struct str epoch_text(const struct epoch *epoch, uint32_t symbol)
{
    const struct symbol *entry = symbol_at(epoch, symbol);

    return (struct str){ entry->ptr, entry->len & ~UTF8_BIT };
}

bool epoch_is_utf8(const struct epoch *epoch, uint32_t symbol)
{
    return symbol_at(epoch, symbol)->len & UTF8_BIT;
}

const struct shape *epoch_shape(const struct epoch *epoch, uint32_t shape)
{
    uint32_t offset;
    unsigned level = level_of(shape, &offset);

    return epoch->shapes[level][offset];
}
