/* rig.h - live with a real journal and a real store in a temporary directory, and, when a test wants it, forward with one exporter
 * (unit/forward/postbox.h). A body is a line of text (`trace first spans root error more`) from which the same spans are made at the door and at replay. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include "live/live.h"
#include "store/view.h"
#include "unit/forward/postbox.h"

#define SECOND UINT64_C(1000000000)

struct rig {
    char dir[64], store_dir[96], journal_dir[96];
    struct live_conf live_conf;
    struct decision_conf decisions;
    struct store_conf store_conf;
    const char *policies;          /* YAML list for the next rig_start or rig_reload; NULL: sampling is off */
    struct sample_conf next;       /* for the same: floor and verdicts_bytes */
    uint32_t generation;           /* of the rules in force */
    struct metric_registry *registry;
    struct store *store;
    struct journal *journal;
    struct credit credit;
    struct live *live;
    struct interner *interner;
    struct head *head;             /* the test's; with it spans have a service. NULL: none */
    struct str events;             /* of every span */
    bool has_exporter;             /* from the next rig_start on */
    bool is_store_stuck;           /* the next rig_start's rules are not stored, nor is anything until rig_free_store */
    struct postbox box;
    struct metric_set *send_metrics;
    struct forward *forward;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_ready;
    enum mg_err ready_err;
};
int rig_setup(void **state);          /* without an exporter, started */
int rig_teardown(void **state);
void rig_start(struct rig *rig);
void rig_stop(struct rig *rig);       /* an orderly one */
void rig_free_store(struct rig *rig);
void rig_reload(struct rig *rig);     /* policies and next */
void rig_reload_rows(struct rig *rig); /* live_conf, decisions, store_conf */
/* Stops as a kill would: what the store, the journal and the queue hold now is what the next start finds. They must be at rest. */
void rig_crash(struct rig *rig);

/* Spans `first` … of a trace, received as one body; returns the ack's. more: so many traces after it have the same. */
struct want { uint64_t trace, first; unsigned spans; bool root, error; unsigned more; };
enum mg_err rig_send(struct rig *rig, struct want want);
struct live_ledger ledger_of(struct rig *rig);                       /* asserts that it balances */
struct live_ledger wait_stored(struct rig *rig, uint64_t stored);    /* until the ledger says so many are stored or duplicates */
struct live_ledger wait_sampled_out(struct rig *rig, uint64_t spans);
struct store_decision decision_in_store(struct rig *rig, uint64_t trace, size_t *n); /* the newest one, without votes; zeroed: none */
uint64_t word_in_store(struct rig *rig, uint64_t trace, size_t *n);  /* of the newest decision; *n of all; 0: none */
size_t in_ring(struct rig *rig, uint64_t trace);
struct live_found found_of(struct rig *rig, uint64_t trace);         /* live_found_fini */
size_t in_store(struct rig *rig, uint64_t trace);
