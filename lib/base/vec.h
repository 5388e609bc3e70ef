/* vec.h - typed growing arrays: `VEC(struct thing) things = {0}; VEC_PUSH(&things, thing);`
 * `.at` is the array, `.n` the count; zeroed memory is empty. VEC_FINI releases. One thread. */
#pragma once
#include <stddef.h>
#include <string.h>

#define VEC(type) struct { type *at; size_t n, room; }

void vec_grow(void **at, size_t *room, size_t need, size_t item_bytes);

#define VEC_RESERVE(v, need) \
    ((need) > (v)->room ? vec_grow((void **)&(v)->at, &(v)->room, (need), sizeof *(v)->at) : (void)0)
#define VEC_PUSH(v, item) (VEC_RESERVE(v, (v)->n + 1), (v)->at[(v)->n++] = (item))
#define VEC_ADD(v) (VEC_RESERVE(v, (v)->n + 1), memset(&(v)->at[(v)->n], 0, sizeof *(v)->at), &(v)->at[(v)->n++])
#define VEC_POP(v) ((v)->at[--(v)->n])
#define VEC_REMOVE(v, i) /* keeps the order */ \
    (memmove(&(v)->at[i], &(v)->at[(i) + 1], ((v)->n - (i) - 1) * sizeof *(v)->at), (v)->n--)
#define VEC_CLEAR(v) ((v)->n = 0)
#define VEC_FINI(v) (mem_free((v)->at), memset((v), 0, sizeof *(v)))
#include "base/mem.h"
