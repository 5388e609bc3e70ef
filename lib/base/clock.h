/* clock.h - the two clocks, in nanoseconds. Any thread. Code with time rules takes the time as a
 * parameter or a `struct clock`, so that a test can move it; only the outermost callers read these. */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ns(void);       /* CLOCK_MONOTONIC */
uint64_t clock_wall_ns(void);       /* CLOCK_REALTIME, since 1970 */
uint64_t clock_thread_cpu_ns(void); /* CPU time of the calling thread */

/* A condition whose waits go by the monotonic clock: a step of the wall clock neither ends nor prolongs them. */
void clock_cond_init(pthread_cond_t *cond);
/* Under the lock; false: the time has come. As ever, a true may be for nothing. */
bool clock_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t mono_ns);

/* RFC 3339 in UTC with milliseconds: "2026-11-25T15:10:16.123Z" (24 bytes and a NUL). */
#define CLOCK_TEXT_BYTES 25
void clock_text(uint64_t wall_ns, char out[CLOCK_TEXT_BYTES]);
