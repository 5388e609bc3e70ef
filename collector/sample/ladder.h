/* ladder.h - what is given up first when more comes than can be kept: head rates, then traces by their id, then requests.
 *
 * A small controller over one number, the pressure: the share of the ring that is taken, 0..1. A step is entered when the pressure has been at or
 * above its mark for `hold_ns`, and left when it has been below mark - 0.15 for as long as the calm asks for, 2 * hold_ns at first. Within step 1
 * and 2 the factor is halved every hold_ns that the pressure stays above the mark (down to 1/64), and doubled every 2 * hold_ns below.
 *
 * Leaving a step may bring back what it was entered for: steps are all or nothing, the pressure follows with a delay, clients of head sampling with a
 * minute's, and the smaller the ring the sooner it is full again. So a step that is entered within 64 holds of one that was left
 * doubles the calm, up to 32 holds; it is 2 holds again for an overload that comes later than that. With a hold of 2 s: never two steps
 * within 2 s, in an overload that lasts about 20 steps in ten minutes at most, and once it has ended a step is left every 64 s at the latest.
 *
 * Marks. A quarter of the ring is always made free by early decisions, so less than that free means that the store does not keep up: 0.80. The doors
 * refuse requests while less than 1/16 of the ring is free, so the pressure stays about 0.9375 then, and little comes that could take it
 * higher: step 3, which tells of these refusals and is decided there, stands just below, at 0.93. Step 2 has its mark between the two.
 *
 * Pure: time is given. One thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum ladder_step { LADDER_NONE, LADDER_HEAD, LADDER_TAIL, LADDER_REFUSE, LADDER_STEPS };
struct ladder {
    uint64_t hold_ns;
    enum ladder_step step;
    unsigned head_shift, tail_shift; /* rates are divided by 2^shift, 0..6 */
    uint64_t above_ns, below_ns;     /* since when; 0: not */
    uint64_t high_ns;                /* since when the pressure is at its own step's mark or above; 0: not */
    uint64_t changed_ns;             /* when a shift last changed */
    uint64_t calm_ns;                /* below, before a step is left */
    uint64_t left_ns;                /* when one was last left; 0: never */
};
extern const double ladder_marks[LADDER_STEPS];  /* 0, 0.80, 0.90, 0.93 */
void ladder_init(struct ladder *ladder, uint64_t hold_ns); /* 2 s as a rule */
/* True when the step changed: the caller logs and counts it. now_ns: monotonic. At most one step at a time. */
bool ladder_observe(struct ladder *ladder, double pressure, uint64_t now_ns);
double ladder_head_factor(const struct ladder *ladder);    /* 1, 1/2 … 1/64 */
uint64_t ladder_threshold(const struct ladder *ladder);    /* ot.h threshold of step 2; 0 below it */
const char *ladder_name(enum ladder_step step);            /* "none", "head", "tail", "refuse" */
