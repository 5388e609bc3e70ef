/* arena.h - memory that lives exactly as long as something with a name: one request, one batch, one
 * generation. Allocation cannot fail (peer-controlled sizes are checked before). Reset frees all but
 * one chunk. Never for something that grows without an end. One thread. */
#pragma once
#include "base/str.h"

struct arena {
    struct arena_chunk *chunks; /* newest first */
    char *at, *end;
    size_t bytes; /* handed out since the last reset */
};

void arena_init(struct arena *arena);  /* zeroed memory is a valid empty arena too */
void arena_fini(struct arena *arena);
void arena_reset(struct arena *arena); /* keeps at most one chunk of 64 KiB */
void *arena_alloc(struct arena *arena, size_t bytes); /* 16-byte aligned, uninitialised */
void *arena_zero(struct arena *arena, size_t bytes);
struct str arena_str(struct arena *arena, struct str s); /* a copy, also NUL-terminated */
struct str arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#define ARENA_NEW(arena, type) ((type *)arena_zero(arena, sizeof(type)))
