/* ladder.c - see ladder.h. */
#include "sample/ladder.h"
#include "model/ot.h"

#define SLACK 0.15
enum { SHIFT_MAX = 6 };
enum { CALM_FIRST = 2, CALM_MAX = 32, RELAPSE = 64 }; /* holds */

const double ladder_marks[LADDER_STEPS] = { 0, 0.80, 0.90, 0.93 };

void ladder_init(struct ladder *ladder, uint64_t hold_ns)
{
    *ladder = (struct ladder){ .hold_ns = hold_ns, .calm_ns = CALM_FIRST * hold_ns };
}

/* Since when a condition holds; 0: it does not. */
static void note_since(uint64_t *since_ns, bool holds, uint64_t now_ns)
{
    if (!holds)
        *since_ns = 0;
    else if (*since_ns == 0)
        *since_ns = now_ns;
}

static bool has_held(uint64_t since_ns, uint64_t span_ns, uint64_t now_ns)
{
    return since_ns && now_ns - since_ns >= span_ns;
}

/* A rate that has just changed gets time to show. */
static void shift_rates(struct ladder *ladder, double pressure, uint64_t now_ns)
{
    /* The last step has no rate of its own: what brings it below its mark is the tail's. */
    bool is_up = pressure >= ladder_marks[ladder->step < LADDER_TAIL ? ladder->step : LADDER_TAIL];
    uint64_t wait_ns = is_up ? ladder->hold_ns : 2 * ladder->hold_ns;

    note_since(&ladder->high_ns, is_up, now_ns);
    if (now_ns - ladder->changed_ns < wait_ns || (is_up && !has_held(ladder->high_ns, ladder->hold_ns, now_ns)))
        return;
    ladder->changed_ns = now_ns;
    if (is_up) {
        ladder->head_shift += ladder->head_shift < SHIFT_MAX;
        if (ladder->step >= LADDER_TAIL)
            ladder->tail_shift += ladder->tail_shift < SHIFT_MAX;
    } else {
        ladder->head_shift -= ladder->head_shift > 1;
        if (ladder->step >= LADDER_TAIL)
            ladder->tail_shift -= ladder->tail_shift > 1;
    }
}

/* Was the last step left too soon? Asked before the next one is entered. */
static void note_relapse(struct ladder *ladder, uint64_t now_ns)
{
    if (ladder->left_ns && now_ns - ladder->left_ns < RELAPSE * ladder->hold_ns)
        ladder->calm_ns = MG_MIN(2 * ladder->calm_ns, CALM_MAX * ladder->hold_ns);
    else if (ladder->step == LADDER_NONE)
        ladder->calm_ns = CALM_FIRST * ladder->hold_ns;
}

static void enter(struct ladder *ladder, enum ladder_step step, uint64_t now_ns)
{
    ladder->high_ns = step > ladder->step ? now_ns : 0;
    ladder->step = step;
    ladder->above_ns = ladder->below_ns = 0;
    ladder->changed_ns = now_ns;
    if (step == LADDER_NONE)
        ladder->head_shift = 0;
    else if (ladder->head_shift == 0)
        ladder->head_shift = 1;
    if (step < LADDER_TAIL)
        ladder->tail_shift = 0;
    else if (ladder->tail_shift == 0)
        ladder->tail_shift = 1;
}

bool ladder_observe(struct ladder *ladder, double pressure, uint64_t now_ns)
{
    enum ladder_step next = ladder->step + 1;

    note_since(&ladder->above_ns, next < LADDER_STEPS && pressure >= ladder_marks[next], now_ns);
    note_since(&ladder->below_ns, ladder->step != LADDER_NONE && pressure < ladder_marks[ladder->step] - SLACK, now_ns);
    if (has_held(ladder->above_ns, ladder->hold_ns, now_ns)) {
        note_relapse(ladder, now_ns);
        enter(ladder, next, now_ns);
        return true;
    }
    if (has_held(ladder->below_ns, ladder->calm_ns, now_ns)) {
        ladder->left_ns = now_ns;
        enter(ladder, ladder->step - 1, now_ns);
        return true;
    }
    if (ladder->step != LADDER_NONE)
        shift_rates(ladder, pressure, now_ns);
    return false;
}

double ladder_head_factor(const struct ladder *ladder)
{
    return 1.0 / (double)(1u << ladder->head_shift);
}

uint64_t ladder_threshold(const struct ladder *ladder)
{
    return ladder->tail_shift ? ot_threshold(1.0 / (double)(1u << ladder->tail_shift)) : 0;
}

const char *ladder_name(enum ladder_step step)
{
    static const char *const names[LADDER_STEPS] = { "none", "head", "tail", "refuse" };

    return names[step];
}
