/* group_arena.h - `arena`, for what the tests of a program make; it goes when the last has run, by
 * cmocka_run_group_tests(tests, NULL, group_arena_fini). */
#pragma once
#include "base/arena.h"

static struct arena arena;

static inline int group_arena_fini(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}
