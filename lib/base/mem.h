/* mem.h - allocation. malloc and free appear only in lib/base; running out of memory aborts, so a
 * size that a peer controls is compared with a configured limit before it gets here. Any thread. */
#pragma once
#include <stddef.h>

void *mem_alloc(size_t bytes);                    /* uninitialised; 0 bytes gives a valid pointer */
void *mem_zero(size_t count, size_t size);        /* zeroed; aborts on overflow */
void *mem_grow(void *memory, size_t bytes);       /* like realloc */
void *mem_copy(const void *source, size_t bytes); /* returns a new copy */
char *mem_text(const char *text);                 /* returns a new NUL-terminated copy */
void mem_free(void *memory);                      /* NULL is fine */
#define MEM_NEW(type) ((type *)mem_zero(1, sizeof(type)))

/* Anonymous pages from the kernel, zeroed, counted apart from the heap; for ring segments and pools. */
void *mem_map(size_t bytes);
void mem_unmap(void *memory, size_t bytes);
