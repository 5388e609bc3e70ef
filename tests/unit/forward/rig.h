/* rig.h - forward in front of real queues (postbox.h), and decided traces to give to it, for the tests of this folder. One rig a test. */
#pragma once
#include "postbox.h"
#include <stdatomic.h>
#include "forward/forward.h"
#include "model/otlp_scan.h"
#include "stock.h"

#define SECOND UINT64_C(1000000000)
enum { BOXES = 3, GIFTS = 64, FRAGMENTS = 8 };

extern _Atomic uint64_t now_ns;  /* forward's clock: it stands until a test moves it, */
extern _Atomic uint64_t step_ns; /* or goes on by so much whenever it is read */

struct gift {
    struct forward_batch batch;
    struct fragment fragments[FRAGMENTS];
    _Atomic unsigned rank; /* 1, 2, … in the order of done; 0: not yet */
};
extern atomic_uint ranks; /* how many are done */

struct rig {
    struct metric_registry *registry;
    struct postbox boxes[BOXES];
    size_t n;
    struct forward *forward;
    struct stock stocks[2];
    struct gift gifts[GIFTS];
    size_t n_gifts;
    struct arena arena;
    uint64_t ids;
};
int rig_setup(void **state);
int rig_teardown(void **state);
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

void rig_start(struct rig *rig, size_t n); /* opens all and starts the first n boxes' forward */
void rig_end(struct rig *rig, bool is_crash);

struct gift *gift_new(struct rig *rig, uint64_t position);
/* A trace of n spans, each with a value of so many bytes. */
void add_trace(struct rig *rig, struct gift *gift, uint32_t n, size_t bytes, bool is_kept);
struct gift *give(struct rig *rig, uint64_t position, uint32_t n); /* one batch with one kept trace, and off it goes */
void give_done(struct rig *rig, uint64_t position, uint32_t n);

uint64_t metric_of(struct rig *rig, const char *line); /* value of a line of the exposition */
void await_encoded(struct rig *rig, uint64_t spans);
void on_refused(void *owner, enum span_refusal why, uint32_t ordinal); /* of a span_visitor: fails the test */
