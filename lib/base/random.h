/* random.h - getrandom for secrets and ids, and a small seeded generator for everything that a test
 * must be able to repeat. */
#pragma once
#include <stddef.h>
#include <stdint.h>

void random_bytes(void *out, size_t bytes); /* from the kernel; aborts when it has none. Any thread */

struct random { uint64_t state[4]; };       /* xoshiro256**, one thread */
void random_init(struct random *random, uint64_t seed);
uint64_t random_u64(struct random *random);
uint64_t random_below(struct random *random, uint64_t bound); /* 0 ≤ result < bound; bound > 0 */
double random_unit(struct random *random);                    /* [0, 1) */
