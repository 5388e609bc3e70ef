/* clock.c - reading the clocks, and a calendar that needs neither time zone data nor static state.
 *
 * The day number becomes a date by counting from 1 March of year 0: leap days then fall on the end
 * of a year, and every 400-year era has the same 146,097 days. */
#include "base/clock.h"
#include <errno.h>

#include <assert.h>
#include <time.h>

#define NS_PER_S     1000000000u
#define STEP_NS      (600 * UINT64_C(1000000000)) /* more than a clock is ever slewed between two looks */
#define STAND_NS     (3600 * UINT64_C(1000000000))
#define DAYS_PER_ERA 146097u
#define DAYS_TO_1970 719468u /* from 0000-03-01 */

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    int status = clock_gettime(id, &now);

    assert(status == 0); /* These clocks exist on every kernel that is served. */
    (void)status;
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t clock_thread_cpu_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void clock_age_begin(struct clock_age *age, uint64_t wall_ns, uint64_t mono_ns)
{
    *age = (struct clock_age){ .wall_ns = wall_ns, .mono_ns = mono_ns };
}

uint64_t clock_age_now(struct clock_age *age, uint64_t wall_ns, uint64_t mono_ns, uint64_t *step_ns)
{
    uint64_t expected = age->wall_ns + (mono_ns - age->mono_ns);

    *step_ns = 0;
    if (wall_ns <= expected + STEP_NS || (age->ahead_mono_ns && mono_ns - age->ahead_mono_ns >= STAND_NS)) {
        clock_age_begin(age, wall_ns, mono_ns);
        return wall_ns;
    }
    if (!age->ahead_mono_ns) {
        *step_ns = wall_ns - expected;
        age->ahead_mono_ns = mono_ns ? mono_ns : 1;
    }
    return expected;
}

struct date { unsigned year, month, day; };

static struct date date_of_days(unsigned days_since_1970)
{
    unsigned days = days_since_1970 + DAYS_TO_1970;
    unsigned era = days / DAYS_PER_ERA, of_era = days % DAYS_PER_ERA;
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100); /* 0 is 1 March */
    unsigned month = (5 * of_year + 2) / 153;                         /* 0 is March */
    unsigned day = of_year - (153 * month + 2) / 5 + 1;

    return (struct date){
        .year = era * 400 + year + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = day,
    };
}

/* Writes `digits` digits and the character behind them; returns the place after both. */
static char *put_number(char *p, unsigned value, unsigned digits, char behind)
{
    for (unsigned i = digits; i > 0; i--) {
        p[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    p[digits] = behind;
    return p + digits + 1;
}

void clock_text(uint64_t wall_ns, char out[CLOCK_TEXT_BYTES])
{
    uint64_t seconds = wall_ns / NS_PER_S;
    unsigned of_day = (unsigned)(seconds % 86400);
    struct date date = date_of_days((unsigned)(seconds / 86400));
    char *p = out;

    p = put_number(p, date.year, 4, '-');
    p = put_number(p, date.month, 2, '-');
    p = put_number(p, date.day, 2, 'T');
    p = put_number(p, of_day / 3600, 2, ':');
    p = put_number(p, of_day / 60 % 60, 2, ':');
    p = put_number(p, of_day % 60, 2, '.');
    p = put_number(p, (unsigned)(wall_ns % NS_PER_S / 1000000), 3, 'Z');
    *p = '\0';
}

void clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

bool clock_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t mono_ns)
{
    const struct timespec at = { (time_t)(mono_ns / 1000000000), (long)(mono_ns % 1000000000) };

    return pthread_cond_timedwait(cond, lock, &at) != ETIMEDOUT;
}
