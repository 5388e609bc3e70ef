/* arena.c - bump allocation in a chain of chunks.
 *
 * Chunks start small, because most arenas belong to a connection that says little, and double up to
 * 64 KiB. A request too large for that gets a chunk of its own, linked behind the current one so
 * that the current one's free end is not lost:
 *
 *     chunks -> [ header | used ... at | free ... end ] -> [ header | large ] -> [ older ] -> NULL
 *
 * Under the address sanitizer everything not handed out is poisoned; a pointer kept past
 * arena_reset is then found at its first use. */
#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/mem.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MG_POISON 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define MG_POISON 1
#endif
#ifdef MG_POISON
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define ALIGN       16
#define CHUNK_FIRST 1024
#define CHUNK_MAX   65536 /* also the most that survives a reset */
#define LARGE       (CHUNK_MAX / 4)

struct arena_chunk {
    _Alignas(ALIGN) struct arena_chunk *next;
    size_t bytes; /* behind this header */
};

static char *chunk_data(struct arena_chunk *chunk)
{
    return (char *)(chunk + 1);
}

static struct arena_chunk *chunk_new(size_t bytes)
{
    struct arena_chunk *chunk = mem_alloc(sizeof *chunk + bytes);

    chunk->bytes = bytes;
    chunk->next = NULL;
    POISON(chunk_data(chunk), bytes);
    return chunk;
}

static void chunks_free(struct arena_chunk *chunk)
{
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        mem_free(chunk);
        chunk = next;
    }
}

void arena_init(struct arena *arena)
{
    *arena = (struct arena){ 0 };
}

void arena_fini(struct arena *arena)
{
    chunks_free(arena->chunks);
    *arena = (struct arena){ 0 };
}

void arena_reset(struct arena *arena)
{
    struct arena_chunk *kept = arena->chunks;

    if (!kept || sizeof *kept + kept->bytes > CHUNK_MAX) {
        arena_fini(arena);
        return;
    }
    chunks_free(kept->next);
    kept->next = NULL;
    POISON(chunk_data(kept), kept->bytes);
    arena->at = chunk_data(kept);
    arena->end = arena->at + kept->bytes;
    arena->bytes = 0;
}

static void *alloc_large(struct arena *arena, size_t bytes)
{
    struct arena_chunk *chunk = chunk_new(bytes);

    if (arena->chunks) {
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
    } else {
        arena->chunks = chunk;
        arena->at = arena->end = chunk_data(chunk) + bytes;
    }
    return chunk_data(chunk);
}

static void chunk_add(struct arena *arena, size_t bytes)
{
    size_t last = arena->chunks ? sizeof *arena->chunks + arena->chunks->bytes : 0;
    size_t total = MG_MIN(MG_MAX(last * 2, (size_t)CHUNK_FIRST), (size_t)CHUNK_MAX);

    while (total - sizeof(struct arena_chunk) < bytes)
        total *= 2; /* Ends below CHUNK_MAX: `bytes` is under LARGE. */
    struct arena_chunk *chunk = chunk_new(total - sizeof *chunk);
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->at = chunk_data(chunk);
    arena->end = arena->at + chunk->bytes;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    assert(bytes < SIZE_MAX / 2); /* A size from a peer was compared with its limit before. */
    size_t rounded = bytes ? (bytes + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    void *memory;

    if (rounded > (size_t)(arena->end - arena->at) && rounded >= LARGE) {
        memory = alloc_large(arena, rounded);
    } else {
        if (rounded > (size_t)(arena->end - arena->at))
            chunk_add(arena, rounded);
        memory = arena->at;
        arena->at += rounded;
    }
    arena->bytes += rounded;
    UNPOISON(memory, bytes);
    return memory;
}

void *arena_zero(struct arena *arena, size_t bytes)
{
    void *memory = arena_alloc(arena, bytes);

    memset(memory, 0, bytes);
    return memory;
}

struct str arena_str(struct arena *arena, struct str s)
{
    char *copy = arena_alloc(arena, s.len + 1);

    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return (struct str){ copy, s.len };
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    char *text = arena_alloc(arena, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return (struct str){ text, (size_t)len };
}
