/* head.c - see head.h.
 *
 *   live ──head_count──▶ throughput (counters of slots)
 *                             │ head_tick, main thread: new slots become operations; after an interval what was counted becomes a
 *                             ▼ measure and, in mode adaptive, the next probability
 *                        operations ──▶ head_table, immutable ──▶ head_strategy, head_effective: any thread
 *
 * The table is made anew when anything in it has changed, and swapped under a lock that is held for a pointer. A service that asks before
 * anything was seen of it is remembered by its name, at most EARLY_MAX of them: else a new service counted as not asking
 * for the whole of its first poll. */
#include "sample/head.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/vec.h"
#include "sample/adaptive.h"
#include "sample/head_file.h"
#include "sample/head_state.h"
#include "sample/throughput.h"

#define EARLY_MAX 1024
#define NO_SLOT   SIZE_MAX

enum {
#define METRIC_ID(id) HEAD_##id
#define METRIC        METRIC_ENUM
#include "sample/metrics.def"
#undef METRIC
};

static const struct metric_row metric_rows[] = {
#define METRIC METRIC_TABLE
#include "sample/metrics.def"
#undef METRIC
};

struct service;
struct operation {
    struct head_seen seen;
    struct service *service;
    size_t slot;                   /* NO_SLOT: a default that nothing was counted under */
    struct throughput_sums read;   /* as of the last interval */
    struct adaptive adaptive;
};
struct service {
    struct operation defaults;
    char *name;
    size_t n_slots;                /* its operations with one; without any the service goes */
    struct follower *follower;
};

struct head {
    struct {                       /* main thread */
        struct head_rules *rules;
        struct strategies *strategies; /* NULL: no file */
        struct file_stamp stamp;   /* of the file as last read, also when it was bad */
        uint64_t looked_ns, began_ns;  /* at the file; this interval */
        struct adaptive_round round;   /* the running one's factors */
        struct adaptive_rounds rounds;
        struct map services;       /* struct service */
        VEC(struct operation *) by_slot; /* NULL: none */
        VEC(struct head_seen *) seen;    /* sorted; scratch of make_table */
        uint64_t beyond;
        bool is_changed;           /* the table must be made anew */
    } own;
    struct {                       /* any thread, under the lock */
        pthread_mutex_t lock;
        struct head_table *table;
        struct map early;          /* service -> when it asked, in ns + 1 */
    } shared;
    _Atomic uint64_t factor;       /* bits of a double */
    struct throughput *throughput; /* has rules of its own */
    struct metric_set *metrics;
    const char *state_path;
    uint64_t (*mono_ns)(void);
};

/* --- what is followed ----------------------------------------------------------------------------- */

static void find_rules(const struct head *head, struct head_subject *subject)
{
    subject->class = subject->operation.len ? class_of_operation(head->own.rules->classes, subject->operation) : CLASS_NONE;
    subject->override = head_override_of(head->own.rules, subject);
}

static struct service *service_of(struct head *head, struct str name)
{
    bool is_new;
    void **place = map_put(&head->own.services, name, &is_new);
    struct service *service;

    if (!is_new)
        return *place;
    service = *place = MEM_NEW(struct service);
    service->name = str_text(name);
    service->follower = follower_new();
    service->defaults.service = service;
    service->defaults.slot = NO_SLOT;
    service->defaults.seen.follower = service->follower;
    service->defaults.seen.subject = (struct head_subject){ .service = str_n(service->name, name.len) };
    find_rules(head, &service->defaults.seen.subject);
    return service;
}

/* As the next table will say it: it may not be made before the interval ends. */
static void rule_first(const struct head *head, struct operation *operation)
{
    struct head_subject subject = operation->seen.subject;

    subject.has_default = operation->service->defaults.seen.subject.has_result && subject.operation.len > 0;
    subject.result_default = operation->service->defaults.seen.subject.result;
    head_rule(head->own.rules, head->own.strategies, &subject, &operation->seen.ruling);
}

static void adopt(struct head *head, size_t slot)
{
    struct str name = throughput_operation(head->throughput, slot);
    struct service *service = service_of(head, throughput_service(head->throughput, slot));
    struct operation *operation = name.len ? MEM_NEW(struct operation) : &service->defaults;

    operation->service = service;
    operation->slot = slot;
    operation->read = (struct throughput_sums){ 0 };
    operation->seen.follower = service->follower;
    operation->seen.subject = (struct head_subject){ .service = service->defaults.seen.subject.service, .operation = name };
    find_rules(head, &operation->seen.subject);
    rule_first(head, operation);
    service->n_slots++;
    head->own.by_slot.at[slot] = operation;
    head->own.is_changed = true;
}

static void take_slot(struct head *head, size_t slot)
{
    while (head->own.by_slot.n <= slot)
        VEC_PUSH(&head->own.by_slot, NULL);
    if (!head->own.by_slot.at[slot] && throughput_is_used(head->throughput, slot))
        adopt(head, slot);
}

static void take_slots(struct head *head)
{
    for (size_t i = 0; i < throughput_slots(head->throughput); i++)
        take_slot(head, i);
}

static void service_free(struct service *service)
{
    adaptive_fini(&service->defaults.adaptive);
    follower_unref(&service->follower);
    mem_free(service->name);
    mem_free(service);
}

static void operation_free(struct operation *operation)
{
    adaptive_fini(&operation->adaptive);
    if (operation != &operation->service->defaults)
        mem_free(operation);
}

static void forget(struct head *head, struct operation *operation)
{
    struct service *service = operation->service;

    head->own.by_slot.at[operation->slot] = NULL;
    throughput_retire(head->throughput, operation->slot); /* its name is gone from here on */
    head->own.is_changed = true;
    operation->slot = NO_SLOT;
    operation->seen.subject.has_result = false;
    operation->seen.rate = 0;
    operation_free(operation);
    if (--service->n_slots == 0) {
        (void)map_remove(&head->own.services, service->defaults.seen.subject.service, NULL);
        service_free(service);
    }
}

/* --- the table ------------------------------------------------------------------------------------ */

static int compare_seen(const void *a, const void *b)
{
    const struct head_subject *x = &(*(struct head_seen *const *)a)->subject, *y = &(*(struct head_seen *const *)b)->subject;
    int by_service = str_cmp(x->service, y->service);

    return by_service ? by_service : str_cmp(x->operation, y->operation);
}

static void collect_seen(struct head *head)
{
    void *service;
    struct str name;

    VEC_CLEAR(&head->own.seen);
    for (size_t i = 0; map_next(&head->own.services, &i, &name, &service);)
        VEC_PUSH(&head->own.seen, &((struct service *)service)->defaults.seen);
    for (size_t i = 0; i < head->own.by_slot.n; i++) {
        struct operation *operation = head->own.by_slot.at[i];
        if (operation && operation != &operation->service->defaults)
            VEC_PUSH(&head->own.seen, &operation->seen);
    }
    if (head->own.seen.n)
        qsort(head->own.seen.at, head->own.seen.n, sizeof *head->own.seen.at, compare_seen);
}

static void set_gauges(struct head *head)
{
    static const double bands[] = { 1, 0.1, 0.01, 0.001, 0.0001, 0 };
    size_t counts[MG_COUNT(bands)] = { 0 }, n = 0, followed = 0;

    for (size_t i = 0; i < head->own.seen.n; i++) {
        const struct head_seen *seen = head->own.seen.at[i];
        size_t band = 0;
        if (seen->subject.operation.len == 0)
            continue;
        while (seen->ruling.probability < bands[band])
            band++;
        counts[band]++;
        followed += seen->is_followed;
        n++;
    }
    for (unsigned i = 0; i < MG_COUNT(bands); i++)
        metric_set_gauge(head->metrics, HEAD_by_probability, i, 0, (double)counts[i]);
    metric_set_gauge(head->metrics, HEAD_operations, 0, 0, (double)n);
    metric_set_gauge(head->metrics, HEAD_followed, 0, 0, (double)followed);
    metric_set_gauge(head->metrics, HEAD_services, 0, 0, (double)head->own.services.n);
}

/* Services that asked before they were known; those that asked too long ago are forgotten. Under the lock. */
static void sweep_early(struct head *head, uint64_t now_ns)
{
    struct map kept = { 0 };
    struct str name;
    void *asked;

    for (size_t i = 0; map_next(&head->shared.early, &i, &name, &asked);) {
        struct follower *follower = head_table_follower(head->shared.table, name);
        uint64_t asked_ns = (uint64_t)(uintptr_t)asked - 1;
        if (follower)
            follower_note(follower, asked_ns);
        else if (now_ns < asked_ns + 2 * head->own.rules->conf.interval_ns)
            *map_put(&kept, name, NULL) = asked;
    }
    map_fini(&head->shared.early);
    head->shared.early = kept;
}

static void make_table(struct head *head, uint64_t now_ns)
{
    struct head_table *table, *old;

    collect_seen(head);
    table = head_table_new(head->own.rules, head->own.strategies, head->own.seen.at, head->own.seen.n);
    pthread_mutex_lock(&head->shared.lock);
    old = head->shared.table;
    head->shared.table = table;
    if (head->shared.early.n)
        sweep_early(head, now_ns);
    pthread_mutex_unlock(&head->shared.lock);
    head_table_unref(&old);
    head->own.is_changed = false;
    set_gauges(head);
}

static struct head_table *table_ref(struct head *head)
{
    struct head_table *table;

    pthread_mutex_lock(&head->shared.lock);
    table = head_table_ref(head->shared.table);
    pthread_mutex_unlock(&head->shared.lock);
    return table;
}

/* --- the strategies file -------------------------------------------------------------------------- */

static enum mg_err load(const struct head_rules *rules, struct strategies **out, struct file_stamp *stamp, struct mg_why *why)
{
    const char *path = rules->conf.file.ptr; /* the arena's, NUL-terminated */
    struct buf text;

    *out = NULL;
    *stamp = (struct file_stamp){ 0 };
    if (rules->conf.file.len == 0)
        return MG_OK;
    buf_init(&text, STRATEGIES_BYTES_MAX);
    enum mg_err err = head_file_read(path, &text, stamp, why);
    if (err == MG_OK && (err = strategies_parse(out, buf_str(&text), why)) != MG_OK)
        err = mg_fail_in(why, err, "%s", path);
    buf_fini(&text);
    return err;
}

static enum mg_err load_first(const struct head_rules *rules, struct strategies **out, struct file_stamp *stamp, struct mg_why *why)
{
    enum mg_err err = load(rules, out, stamp, why);

    return err == MG_OK ? MG_OK : mg_fail_in(why, err, "sampling.head.strategies_file");
}

static bool has_limit(const struct strategies *strategies)
{
    for (size_t i = 0; i < strategies->n_services; i++)
        if (strategies->services[i].type == STRATEGY_RATE_LIMITING)
            return true;
    return strategies->fallback.type == STRATEGY_RATE_LIMITING;
}

static void log_warnings(const struct head_rules *rules, const struct strategies *strategies)
{
    size_t n = strategies ? MG_MIN(strategies->n_warnings, (size_t)STRATEGIES_WARNINGS_MAX) : 0;

    for (size_t i = 0; i < n; i++)
        LOG(WARN, "strategies file", F_STR("path", rules->conf.file), F_STR("what", strategies->warnings[i]));
    if (strategies && strategies->n_warnings > n)
        LOG(WARN, "strategies file", F_STR("path", rules->conf.file), F_TEXT("what", "more of the same"), F_U64("warnings", strategies->n_warnings));
    if (strategies && rules->conf.mode == HEAD_ADAPTIVE && has_limit(strategies))
        LOG(WARN, "strategies file", F_STR("path", rules->conf.file), F_TEXT("what", "rate limits are passed over in mode adaptive"));
}

static void look_at_file(struct head *head, uint64_t now_ns)
{
    const struct head_rules *rules = head->own.rules;
    struct file_stamp looked, stamp;
    struct strategies *strategies;
    struct mg_why why;

    if (rules->conf.file.len == 0 || rules->conf.reload_ns == 0 || now_ns - head->own.looked_ns < rules->conf.reload_ns)
        return;
    head->own.looked_ns = now_ns;
    file_look(rules->conf.file.ptr, &looked);
    if (file_stamp_eq(&looked, &head->own.stamp))
        return;
    if (load(rules, &strategies, &stamp, &why) != MG_OK) {
        head->own.stamp = looked; /* once for each change */
        metric_add(head->metrics, HEAD_reloads, 1, 0, 1);
        LOG(WARN, "strategies file not taken, the old strategies stay", F_WHY(&why));
        return;
    }
    head->own.stamp = stamp;
    strategies_free(&head->own.strategies);
    head->own.strategies = strategies;
    head->own.is_changed = true;
    metric_add(head->metrics, HEAD_reloads, 0, 0, 1);
    LOG(INFO, "strategies file taken", F_STR("path", rules->conf.file), F_U64("services", strategies->n_services));
    log_warnings(rules, strategies);
}

/* --- the calculation ------------------------------------------------------------------------------ */

static double factor_of(const struct head *head)
{
    uint64_t bits = atomic_load_explicit(&head->factor, memory_order_relaxed);
    double factor;

    memcpy(&factor, &bits, sizeof factor);
    return factor;
}

static void begin_interval(struct head *head, uint64_t now_ns)
{
    head->own.began_ns = now_ns;
    head->own.round = (struct adaptive_round){ .factor_min = factor_of(head), .factor_max = factor_of(head) };
}

/* The probability comes from the calculation: no override names one, and no class has the operation, save for an override's target. */
static bool is_calculated(const struct head *head, const struct head_subject *subject)
{
    const struct head_rules *rules = head->own.rules;

    if (rules->conf.mode != HEAD_ADAPTIVE)
        return false;
    return subject->override == HEAD_NO_OVERRIDE ? subject->class == CLASS_NONE : !rules->overrides[subject->override].has_probability;
}

static void measure(struct head *head, struct operation *operation, uint64_t now_ns)
{
    const struct head_conf *conf = &head->own.rules->conf;
    struct head_seen *seen = &operation->seen;
    struct adaptive *adaptive = &operation->adaptive;
    struct throughput_sums sums = throughput_read(head->throughput, operation->slot);
    struct adaptive_sample sample = { sums.sampled - operation->read.sampled, seen->ruling.probability, sums.roots != operation->read.roots };
    uint64_t values[ADAPTIVE_VALUES_MAX];

    adaptive_add(adaptive, &sample, values, throughput_values(head->throughput, operation->slot, values), conf->buckets);
    adaptive_measure(adaptive, conf, &head->own.rounds, follower_has_asked(seen->follower, now_ns, 2 * conf->interval_ns));
    operation->read = sums;
    seen->rate = (double)sample.count / head->own.rounds.at[0].seconds;
    seen->is_followed = adaptive->is_followed;
    if (!seen->subject.has_result) /* the calculation begins with what clients are told without it */
        adaptive->probability = MG_MAX(seen->ruling.probability, conf->min_probability);
    seen->subject.has_result = is_calculated(head, &seen->subject);
    if (seen->subject.has_result)
        adaptive->probability = adaptive_next(adaptive, conf, &head->own.rounds, head_target(head->own.rules, seen->subject.override));
    seen->subject.result = adaptive->probability;
}

static void save(struct head *head)
{
    struct mg_why why;

    if (!head->state_path || head->own.rules->conf.mode != HEAD_ADAPTIVE)
        return;
    if (head_state_write(head->state_path, head->own.seen.at, head->own.seen.n, &why) == MG_OK)
        return;
    metric_add(head->metrics, HEAD_state_failures, 0, 0, 1);
    LOG_EVERY(600, ERROR, "sampling probabilities not written, a restart begins with older ones", F_WHY(&why));
}

static void calculate(struct head *head, uint64_t now_ns)
{
    const struct head_conf *conf = &head->own.rules->conf;
    uint64_t started_ns = clock_mono_ns();

    head->own.round.seconds = (double)(now_ns - head->own.began_ns) / 1e9;
    adaptive_round_add(&head->own.rounds, &head->own.round, conf->buckets);
    begin_interval(head, now_ns);
    throughput_turn(head->throughput);
    for (size_t i = 0; i < head->own.by_slot.n; i++) {
        struct operation *operation = head->own.by_slot.at[i];
        if (!operation)
            continue;
        measure(head, operation, now_ns);
        if (operation->adaptive.silent >= conf->buckets)
            forget(head, operation);
    }
    make_table(head, now_ns);
    save(head);
    metric_observe(head->metrics, HEAD_calculation, 0, 0, clock_mono_ns() - started_ns);
}

void head_tick(struct head *head)
{
    uint64_t now_ns = head->mono_ns(), beyond = throughput_beyond(head->throughput);
    double factor = factor_of(head);

    head->own.round.factor_min = MG_MIN(head->own.round.factor_min, factor);
    head->own.round.factor_max = MG_MAX(head->own.round.factor_max, factor);
    metric_set_gauge(head->metrics, HEAD_factor, 0, 0, factor);
    metric_add(head->metrics, HEAD_beyond, 0, 0, beyond - head->own.beyond);
    head->own.beyond = beyond;
    take_slots(head);
    look_at_file(head, now_ns);
    if (now_ns - head->own.began_ns >= head->own.rules->conf.interval_ns)
        calculate(head, now_ns);
    if (head->own.is_changed)
        make_table(head, now_ns);
}

/* --- life ----------------------------------------------------------------------------------------- */

static void restore(void *owner, struct str service, struct str operation, double probability)
{
    struct head *head = owner;
    size_t slot = SIZE_MAX;

    if (service.len > 0 && service.len <= THROUGHPUT_NAME_MAX && operation.len <= THROUGHPUT_NAME_MAX)
        slot = throughput_slot(head->throughput, service, operation);
    if (slot == SIZE_MAX) /* operations_max is lower than it was */
        return;
    take_slot(head, slot);
    struct operation *restored = head->own.by_slot.at[slot];
    restored->adaptive.probability = MG_MAX(probability, head->own.rules->conf.min_probability);
    restored->seen.subject.has_result = true;
    restored->seen.subject.result = restored->adaptive.probability;
}

static void restore_state(struct head *head)
{
    struct mg_why why;

    if (!head->state_path || head->own.rules->conf.mode != HEAD_ADAPTIVE)
        return;
    if (head_state_read(head->state_path, restore, head, &why) != MG_OK)
        LOG(WARN, "sampling probabilities not restored, they begin anew", F_WHY(&why));
}

enum mg_err head_new(struct head **out, const struct head_options *options, struct mg_why *why)
{
    MG_AUTO(head_rules_free) struct head_rules *rules = NULL;
    struct strategies *strategies;
    struct file_stamp stamp;
    struct head *head;

    MG_TRY(head_rules_new(&rules, options->conf, options->sampling, why));
    MG_TRY(load_first(rules, &strategies, &stamp, why));
    head = MEM_NEW(struct head);
    head->own.strategies = strategies;
    head->own.stamp = stamp;
    head->state_path = options->state_path;
    head->mono_ns = options->mono_ns ? options->mono_ns : clock_mono_ns;
    head->metrics = metric_register(options->metrics, metric_rows, MG_COUNT(metric_rows));
    head->throughput = throughput_new(rules->conf.operations_max);
    head->own.rules = MG_STEAL(rules);
    pthread_mutex_init(&head->shared.lock, NULL);
    head_overload(head, 1);
    head->own.looked_ns = head->mono_ns();
    begin_interval(head, head->own.looked_ns);
    log_warnings(head->own.rules, strategies);
    restore_state(head);
    make_table(head, head->own.looked_ns);
    *out = head;
    return MG_OK;
}

void head_free(struct head **pointer)
{
    struct head *head = MG_STEAL(*pointer);
    struct str name;
    void *service;

    if (!head)
        return;
    for (size_t i = 0; i < head->own.by_slot.n; i++)
        if (head->own.by_slot.at[i])
            operation_free(head->own.by_slot.at[i]);
    for (size_t i = 0; map_next(&head->own.services, &i, &name, &service);)
        service_free(service);
    map_fini(&head->own.services);
    VEC_FINI(&head->own.by_slot);
    VEC_FINI(&head->own.seen);
    map_fini(&head->shared.early);
    head_table_unref(&head->shared.table);
    pthread_mutex_destroy(&head->shared.lock);
    throughput_free(&head->throughput);
    strategies_free(&head->own.strategies);
    head_rules_free(&head->own.rules);
    mem_free(head);
}

enum mg_err head_reload(struct head *head, const struct head_conf *conf, const struct sample_conf *sampling, struct mg_why *why)
{
    MG_AUTO(head_rules_free) struct head_rules *rules = NULL;
    struct strategies *strategies;
    struct file_stamp stamp;
    struct str name;
    void *service;

    MG_TRY(head_rules_new(&rules, conf, sampling, why));
    MG_TRY(load_first(rules, &strategies, &stamp, why));
    head_rules_free(&head->own.rules);
    head->own.rules = MG_STEAL(rules);
    strategies_free(&head->own.strategies);
    head->own.strategies = strategies;
    head->own.stamp = stamp;
    throughput_limit(head->throughput, head->own.rules->conf.operations_max);
    for (size_t i = 0; map_next(&head->own.services, &i, &name, &service);)
        find_rules(head, &((struct service *)service)->defaults.seen.subject);
    for (size_t i = 0; i < head->own.by_slot.n; i++)
        if (head->own.by_slot.at[i])
            find_rules(head, &head->own.by_slot.at[i]->seen.subject);
    log_warnings(head->own.rules, strategies);
    make_table(head, head->mono_ns());
    return MG_OK;
}

/* --- other threads -------------------------------------------------------------------------------- */

void head_count(struct head *head, const struct row *root, const struct epoch *epoch)
{
    if (row_is_root(root))
        throughput_count(head->throughput, root, epoch);
}

void head_overload(struct head *head, double factor)
{
    uint64_t bits;

    memcpy(&bits, &factor, sizeof bits);
    atomic_store_explicit(&head->factor, bits, memory_order_relaxed);
}

/* The table, and a note that the service asked. */
static struct head_table *ask(struct head *head, struct str service)
{
    uint64_t now_ns = head->mono_ns();
    struct head_table *table;
    struct follower *follower;
    bool is_name = service.len > 0 && service.len <= THROUGHPUT_NAME_MAX;

    pthread_mutex_lock(&head->shared.lock);
    table = head_table_ref(head->shared.table);
    follower = head_table_follower(table, service);
    if (!follower && is_name && (head->shared.early.n < EARLY_MAX || map_find(&head->shared.early, service)))
        *map_put(&head->shared.early, service, NULL) = (void *)(uintptr_t)(now_ns + 1);
    pthread_mutex_unlock(&head->shared.lock);
    if (follower)
        follower_note(follower, now_ns);
    return table;
}

void head_strategy(struct head *head, struct str service, struct arena *arena, struct strategy *out)
{
    MG_AUTO(head_table_unref) struct head_table *table = ask(head, service);

    head_table_answer(table, service, factor_of(head), arena, out);
    metric_add(head->metrics, HEAD_requests, out->has_operations ? 2 : out->type == STRATEGY_RATE_LIMITING, 0, 1);
}

void head_effective(struct head *head, struct arena *arena, struct head_row **rows, size_t *n)
{
    MG_AUTO(head_table_unref) struct head_table *table = table_ref(head);

    head_table_rows(table, factor_of(head), head->mono_ns(), arena, rows, n);
}
