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

/* A wall clock for ages, which whoever drops by age goes by. One that is set forward makes everything old at once, and what is dropped does
 * not come back when that was a mistake. A step forward of more than ten minutes, or a sleep of the machine, is therefore believed only
 * when it has stood for an hour; until then time goes on by the monotonic clock. One that is set back only keeps things longer. */
struct clock_age {
    uint64_t wall_ns, mono_ns; /* both clocks when the wall clock was last believed */
    uint64_t ahead_mono_ns;    /* since when it is ahead of what is believed; 0: it is not */
};
void clock_age_begin(struct clock_age *age, uint64_t wall_ns, uint64_t mono_ns); /* believes it, whatever it says */
/* step_ns: of a step that is seen for the first time; else 0. */
uint64_t clock_age_now(struct clock_age *age, uint64_t wall_ns, uint64_t mono_ns, uint64_t *step_ns);

/* A condition whose waits go by the monotonic clock: a step of the wall clock neither ends nor prolongs them. */
void clock_cond_init(pthread_cond_t *cond);
/* Under the lock; false: the time has come. As ever, a true may be for nothing. */
bool clock_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t mono_ns);

/* RFC 3339 in UTC with milliseconds: "2026-11-25T15:10:16.123Z" (24 bytes and a NUL). */
#define CLOCK_TEXT_BYTES 25
void clock_text(uint64_t wall_ns, char out[CLOCK_TEXT_BYTES]);
