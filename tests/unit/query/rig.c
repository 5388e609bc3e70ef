#include "rig.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "conf/yaml.h"
#include "kv/kv.h"
#include "sample/rules.h"

const struct span_filter any_span = { .start_max_ns = UINT64_MAX, .duration_max_ns = UINT64_MAX };

/* --- clocks ----------------------------------------------------------------------------------- */

static _Atomic uint64_t clock_ns;

uint64_t rig_clock(void)
{
    uint64_t now = clock_ns;

    return now ? now : clock_mono_ns();
}

void rig_clock_set(uint64_t mono_ns)
{
    clock_ns = mono_ns;
}

static _Atomic uint64_t store_ns = 1000000000;

static uint64_t store_clock(void)
{
    return store_ns;
}

void rig_store_clock_move(uint64_t ns)
{
    store_ns += ns;
}

/* --- life ------------------------------------------------------------------------------------- */

static void must(enum mg_err err, const struct mg_why *why)
{
    if (err != MG_OK)
        fail_msg("%s: %s", mg_err_name(err), why->text);
}

static void on_ready(void *owner, enum mg_err err, const struct mg_why *why)
{
    struct rig *rig = owner;

    (void)why;
    pthread_mutex_lock(&rig->lock);
    rig->is_ready = true;
    rig->start_err = err;
    pthread_cond_signal(&rig->ready);
    pthread_mutex_unlock(&rig->lock);
}

static struct sample_rules *rules_of(struct rig *rig)
{
    struct sample_conf conf = { .enabled = true, .verdicts_bytes = 1 << 20 };
    struct yaml_docs *policies = NULL, *classes = NULL;
    struct sample_rules *rules = NULL;
    struct mg_why why = { "" };

    if (!rig->policies)
        return NULL;
    must(yaml_parse(&policies, str_of(rig->policies), "policies", &why), &why);
    must(yaml_parse(&classes, STR("[]"), "classes", &why), &why);
    conf.policies = yaml_doc(policies, 0);
    conf.classes = yaml_doc(classes, 0);
    must(sample_rules_new(&rules, &conf, &why), &why);
    yaml_docs_free(&policies);
    yaml_docs_free(&classes);
    must(store_rules_put(rig->store, sample_rules_text(rules), &rig->generation, &why), &why);
    return rules;
}

static void start_live(struct rig *rig, struct sample_rules *rules)
{
    static const struct sample_conf sampling = { .enabled = true, .verdicts_bytes = 1 << 20 };
    const struct live_options options = { .conf = &rig->live_conf,
                                          .decisions = &rig->decisions,
                                          .journal = rig->journal,
                                          .store = rig->store,
                                          .sampling = &sampling,
                                          .rules = rules,
                                          .rules_generation = rig->generation,
                                          .credit = &rig->credit,
                                          .metrics = rig->metrics,
                                          .ready = on_ready,
                                          .owner = rig };

    struct mg_why why = { "" };

    rig->is_ready = false;
    rig->live = live_new(&options); /* reads the store's verdicts, so before its thread runs */
    must(store_start(rig->store, &why), &why);
    live_start(rig->live);
    pthread_mutex_lock(&rig->lock);
    while (!rig->is_ready)
        pthread_cond_wait(&rig->ready, &rig->lock);
    pthread_mutex_unlock(&rig->lock);
    assert_int_equal(rig->start_err, MG_OK);
}

static void start(struct rig *rig)
{
    struct mg_why why = { "" };
    struct journal_options journal = { .dir = rig->journal_dir,
                                       .segment_bytes = 8 << 20,
                                       .os_durability = true };
    const struct store_options store = {
        .dir = rig->store_dir,
        .conf = &rig->store_conf,
        .metrics = rig->metrics,
        .mono_ns = store_clock
    };

    must(store_open(&rig->store, &store, &why), &why);
    journal.floor_position = store_recovered(rig->store)->watermark;
    must(journal_open(&rig->journal, &journal, &why), &why);
    struct sample_rules *rules = rules_of(rig); /* known to the store before live names them */
    start_live(rig, rules);
    sample_rules_unref(&rules);
    const struct query_options query = { .conf = &rig->query_conf,
                                         .live = rig->live,
                                         .store = rig->store,
                                         .metrics = rig->metrics,
                                         .idle_ns = rig->idle_ns,
                                         .mono_ns = rig_clock };
    rig->pool = query_pool_new(&query);
}

static void stop(struct rig *rig)
{
    struct mg_why why = { "" };

    query_pool_free(&rig->pool);
    journal_stop(rig->journal);
    live_stop(rig->live);
    must(store_stop(rig->store, &why), &why);
    live_free(&rig->live);
    store_close(&rig->store);
    journal_close(&rig->journal);
}

static void set_default(uint64_t *value, uint64_t def)
{
    if (!*value)
        *value = def;
}

void rig_open(struct rig *rig)
{
    snprintf(rig->dir, sizeof rig->dir, "query_test.XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    snprintf(rig->journal_dir, sizeof rig->journal_dir, "%s/journal", rig->dir);
    snprintf(rig->store_dir, sizeof rig->store_dir, "%s/store", rig->dir);
    rig->live_conf = (struct live_conf){ .ring_bytes = 256 << 20, .trace_spans_max = 60000 };
    rig->decisions =
        (struct decision_conf){ .root_grace_ns = 0, .decision_wait_ns = UINT64_C(3600000000000) };
    rig->store_conf = (struct store_conf){ .retention_ns = UINT64_MAX / 4,
                                           .roll_ns = UINT64_C(3600000000000),
                                           .disk_max = UINT64_C(1) << 40,
                                           .pins_max = 1 << 30,
                                           .block_rows = 200000,
                                           .block_age_ns = UINT64_C(3600000000000) };
    set_default(&rig->query_conf.threads, 4);
    set_default(&rig->query_conf.queue_max, 64);
    set_default(&rig->query_conf.timeout_ns, UINT64_C(60000000000));
    set_default(&rig->query_conf.memory_max, 512 << 20);
    set_default(&rig->query_conf.traces_max, 10000);
    set_default(&rig->query_conf.scan_bytes_max, UINT64_C(64) << 30);
    credit_init(&rig->credit, rig->live_conf.ring_bytes);
    pthread_mutex_init(&rig->lock, NULL);
    pthread_cond_init(&rig->ready, NULL);
    rig->metrics = metric_registry_new();
    rig->interner = interner_new();
    start(rig);
}

static void remove_dir(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char name[512];

    if (!dir)
        return;
    while ((entry = readdir(dir))) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            (void)unlink(name); /* what is left makes rmdir fail, and that is seen */
    }
    closedir(dir);
    assert_int_equal(rmdir(path), 0);
}

void rig_close(struct rig *rig)
{
    stop(rig);
    interner_free(&rig->interner);
    metric_registry_free(&rig->metrics);
    pthread_cond_destroy(&rig->ready);
    pthread_mutex_destroy(&rig->lock);
    remove_dir(rig->journal_dir);
    remove_dir(rig->store_dir);
    remove_dir(rig->dir);
}

/* A registry cannot take a table twice. */
static void renew_metrics(struct rig *rig)
{
    metric_registry_free(&rig->metrics);
    rig->metrics = metric_registry_new();
    credit_init(&rig->credit, rig->live_conf.ring_bytes);
}

void rig_restart(struct rig *rig)
{
    stop(rig);
    renew_metrics(rig);
    start(rig);
}

static struct kv_env *open_partition(struct rig *rig)
{
    static const char *const tables[] = { "blk", "sum", "run", "meta", "dep" };
    char path[128];
    struct mg_why why = { "" };
    struct kv_env *env;

    snprintf(path, sizeof path, "%s/000001.mdb", rig->store_dir);
    const struct kv_options options = {
        .path = path, .map_bytes = 64 << 20, .tables = tables, .n_tables = MG_COUNT(tables)
    };
    must(kv_env_open(&env, &options, &why), &why);
    return env;
}

static void damage(struct rig *rig, uint32_t block, size_t from)
{
    const uint8_t key[4] = { 0, 0, 0, (uint8_t)block };
    char *copy;
    struct mg_why why = { "" };
    struct kv_env *env = open_partition(rig);
    struct kv_txn *txn;
    struct str value;

    must(kv_begin(&txn, env, true, &why), &why);
    assert_true(kv_get(txn, 0, str_n(key, 4), &value) && value.len > from);
    copy = mem_copy(value.ptr, value.len);
    for (size_t i = from; i < value.len; i += 7)
        copy[i] ^= 0x55;
    must(kv_put(txn, 0, str_n(key, 4), str_n(copy, value.len), &why), &why);
    mem_free(copy);
    must(kv_commit(&txn, &why), &why);
    kv_env_unref(&env);
}

void rig_restart_damaged(struct rig *rig, uint32_t block, size_t from)
{
    stop(rig);
    renew_metrics(rig);
    damage(rig, block, from);
    start(rig);
}

void rig_restart_with_edges(struct rig *rig, uint32_t minute, struct str value)
{
    struct mg_why why = { "" };
    struct kv_env *env;
    struct kv_txn *txn;
    uint8_t key[4];

    stop(rig);
    renew_metrics(rig);
    env = open_partition(rig);
    put_be32(key, minute);
    must(kv_begin(&txn, env, true, &why), &why);
    must(kv_put(txn, 4, str_n(key, 4), value, &why), &why);
    must(kv_commit(&txn, &why), &why);
    kv_env_unref(&env);
    start(rig);
}

void rig_restart_without_archive(struct rig *rig)
{
    char path[128];
    FILE *file;

    stop(rig);
    renew_metrics(rig);
    snprintf(path, sizeof path, "%s/pins.mdb", rig->store_dir);
    assert_non_null(file = fopen(path, "r+"));
    for (int i = 0; i < 8192; i++)
        assert_true(fputc('x', file) == 'x');
    assert_int_equal(fclose(file), 0);
    start(rig);
}

uint64_t rig_metric(struct rig *rig, enum query_metric row, unsigned label)
{
    struct metric_set *metrics;

    pthread_mutex_lock(&rig->lock);
    metrics = rig->query_metrics;
    pthread_mutex_unlock(&rig->lock);
    return metric_get(metrics, (unsigned)row, label, 0);
}

/* --- spans ------------------------------------------------------------------------------------ */

static struct str field(struct arena *arena, unsigned number, struct str content)
{
    struct buf out;

    buf_init(&out, 65536);
    buf_put_varint(&out, number << 3 | 2);
    buf_put_varint(&out, content.len);
    buf_put_str(&out, content);
    struct str copy = arena_str(arena, buf_str(&out));
    buf_fini(&out);
    return copy;
}

static struct str joined(struct arena *arena, struct str a, struct str b)
{
    char *both = arena_alloc(arena, a.len + b.len);

    memcpy(both, a.ptr, a.len);
    memcpy(both + a.len, b.ptr, b.len);
    return str_n(both, a.len + b.len);
}

static struct str resource_of(struct arena *arena, const char *service)
{
    struct str value = field(arena, 2, field(arena, 1, str_of(service)));
    struct str key_value = joined(arena, field(arena, 1, STR("service.name")), value);

    return field(arena, 1, field(arena, 1, key_value));
}

void rig_trace_id(uint16_t trace, uint8_t id[16])
{
    memset(id, 0xa0, 14);
    id[14] = (uint8_t)(trace >> 8);
    id[15] = (uint8_t)trace;
}

static void intern(struct interner *interner, struct arena *arena, const struct item *item)
{
    struct span span = { .start_ns = item->start,
                         .end_ns = item->start + item->duration,
                         .name = str_of(item->name),
                         .kind = item->kind,
                         .status_code = item->status };
    struct attr *attr = ARENA_NEW(arena, struct attr);

    rig_trace_id(item->trace, span.trace_id);
    span.span_id[7] = item->id;
    span.parent_id[7] = item->parent;
    if (item->key) {
        *attr = (struct attr){ str_of(item->key),
                               { .type = VALUE_STRING, .str = str_of(item->value) } };
        span.attrs = attr;
        span.n_attrs = 1;
    }
    interner_resource(interner, item->service ? resource_of(arena, item->service) : STR(""));
    interner_scope(interner, STR(""));
    interner_span(interner, &span);
}

struct shot {
    struct live_batch batch;
    pthread_mutex_t lock;
    pthread_cond_t acked;
    bool is_acked;
};

static void on_ack(struct live_batch *batch)
{
    struct shot *shot = MG_CONTAINER(batch, struct shot, batch);

    pthread_mutex_lock(&shot->lock);
    shot->is_acked = true;
    pthread_cond_signal(&shot->acked);
    pthread_mutex_unlock(&shot->lock);
}

void rig_put(struct rig *rig, const struct item *items, size_t n)
{
    struct shot shot = { .lock = PTHREAD_MUTEX_INITIALIZER, .acked = PTHREAD_COND_INITIALIZER };
    struct arena arena = { 0 };

    interner_begin(rig->interner, clock_mono_ns());
    for (size_t i = 0; i < n; i++)
        intern(rig->interner, &arena, &items[i]);
    shot.batch = (struct live_batch){ .rows = interner_end(rig->interner), .ack = on_ack };
    shot.batch.record.kind = JOURNAL_BODY;
    shot.batch.record.wall_ns = rig->wall_ns;
    shot.batch.record.body = STR("not replayed");
    live_submit(rig->live, &shot.batch);
    pthread_mutex_lock(&shot.lock);
    while (!shot.is_acked)
        pthread_cond_wait(&shot.acked, &shot.lock);
    pthread_mutex_unlock(&shot.lock);
    assert_int_equal(shot.batch.err, MG_OK);
    interner_recycle(rig->interner, &shot.batch.rows);
    arena_fini(&arena);
}

uint64_t rig_pending(struct rig *rig)
{
    struct live_ledger ledger;
    struct live_found found;

    live_lookup(rig->live, NULL, 0, &found); /* behind everything that live was told */
    live_found_fini(&found);
    live_ledger(rig->live, &ledger);
    return ledger.pending;
}

void rig_flush(struct rig *rig, uint64_t pending)
{
    const struct timespec nap = { .tv_nsec = 1000000 };
    uint64_t until = clock_mono_ns() + UINT64_C(20000000000);

    while (rig_pending(rig) != pending && clock_mono_ns() < until) {
        store_hurry(rig->store);
        nanosleep(&nap, NULL); /* decisions are made by a timer; the condition is what counts */
    }
    assert_int_equal(rig_pending(rig), pending);
}

/* --- questions -------------------------------------------------------------------------------- */

static void run_ask(struct query_job *job, struct query *query)
{
    struct ask *ask = MG_CONTAINER(job, struct ask, job);

    pthread_mutex_lock(&ask->rig->lock);
    ask->rig->query_metrics = query->metrics;
    pthread_mutex_unlock(&ask->rig->lock);
    if (ask->passes_ns)
        rig_clock_set(rig_clock() + ask->passes_ns);
    ask->on_query(ask, query);
    pthread_mutex_lock(&ask->lock);
    ask->is_ended = true;
    pthread_cond_broadcast(&ask->ended);
    pthread_mutex_unlock(&ask->lock);
}

void ask_init(struct ask *ask, struct rig *rig, const char *name,
              void (*on_query)(struct ask *, struct query *))
{
    ask->rig = rig;
    ask->on_query = on_query;
    ask->job.name = name;
    ask->job.run = run_ask;
    ask->is_ended = false;
    pthread_mutex_init(&ask->lock, NULL);
    pthread_cond_init(&ask->ended, NULL);
    buf_init(&ask->text, 64 << 20);
}

void ask_wait(struct ask *ask)
{
    pthread_mutex_lock(&ask->lock);
    while (!ask->is_ended)
        pthread_cond_wait(&ask->ended, &ask->lock);
    pthread_mutex_unlock(&ask->lock);
}

void ask_fini(struct ask *ask)
{
    buf_fini(&ask->text);
    pthread_cond_destroy(&ask->ended);
    pthread_mutex_destroy(&ask->lock);
}

void rig_ask(struct rig *rig, struct ask *ask, const char *name,
             void (*on_query)(struct ask *, struct query *))
{
    ask_init(ask, rig, name, on_query);
    assert_int_equal(query_submit(rig->pool, &ask->job), MG_OK);
    ask_wait(ask);
    buf_put_char(&ask->text, '\0');
}

const struct rig_delay rig_delays[RIG_DELAYS] = {
    { 0, MG_OK },
    { RIG_TIMEOUT_NS - 1, MG_OK },
    { RIG_TIMEOUT_NS, MG_E_TIMEOUT },
    { RIG_TIMEOUT_NS + 1, MG_E_TIMEOUT },
    { UINT64_C(1) << 60, MG_E_TIMEOUT },
};

void rig_ask_late(struct rig *rig, struct ask *ask, const char *name,
                  void (*on_query)(struct ask *, struct query *), uint64_t passes_ns)
{
    rig_clock_set(1000);
    ask->passes_ns = passes_ns;
    rig_ask(rig, ask, name, on_query);
    rig_clock_set(0);
}

void on_trace_query(struct ask *ask, struct query *query)
{
    struct query_trace trace;
    uint8_t id[16];

    rig_trace_id(ask->trace, id);
    if ((ask->err = query_trace(query, id, &trace, &ask->why)) != MG_OK)
        return;
    for (size_t i = 0; i < trace.n; i++)
        buf_printf(&ask->text, "%s%u:%llu:%.*s", i ? " " : "", trace.spans[i]->span_id[7],
                   (unsigned long long)trace.spans[i]->start_ns, STR_ARG(trace.spans[i]->name));
}

void on_why_query(struct ask *ask, struct query *query)
{
    static const char *const states[] = {
        [WHY_UNKNOWN] = "unknown", [WHY_PENDING] = "pending", [WHY_DROPPED] = "dropped", [WHY_KEPT] = "kept"
    };
    struct query_why why;
    uint8_t id[16];

    rig_trace_id(ask->trace, id);
    if ((ask->err = query_why(query, id, &why, &ask->why)) != MG_OK)
        return;
    buf_put_text(&ask->text, states[why.state]);
    for (size_t i = 0; i < why.n; i++) {
        const struct query_decision *decision = &why.decisions[i];
        buf_printf(&ask->text, "; %s %s %s", decision->outcome.verdict == VERDICT_KEPT ? "kept" : "dropped",
                   decision->outcome.reason ? reason_name(decision->outcome.reason) : "-", decision->policy);
        for (size_t k = 0; k < decision->n_votes; k++)
            buf_printf(&ask->text, "%s%s:%s", k ? "," : " ", decision->votes[k].policy,
                       vote_name(decision->votes[k].vote));
        buf_printf(&ask->text, " (%u)", decision->spans);
    }
}

static enum mg_err on_trace(void *owner, const struct query_trace *trace)
{
    struct ask *ask = owner;

    buf_printf(&ask->text, "%s%u:%zu", ask->text.len ? " " : "", get_be16(trace->id + 14),
               trace->n);
    return MG_OK;
}

void on_search_query(struct ask *ask, struct query *query)
{
    ask->err = query_search(query, &ask->search, on_trace, ask, &ask->why);
}

void on_services_query(struct ask *ask, struct query *query)
{
    struct str *names;
    size_t n;

    if ((ask->err = query_services(query, &names, &n, &ask->why)) != MG_OK)
        return;
    for (size_t i = 0; i < n; i++)
        buf_printf(&ask->text, "%s%.*s", i ? "," : "", STR_ARG(names[i]));
}

void on_operations_query(struct ask *ask, struct query *query)
{
    struct catalog_operation *operations;
    size_t n;

    if ((ask->err = query_operations(query, ask->service, &operations, &n, &ask->why)) != MG_OK)
        return;
    for (size_t i = 0; i < n; i++)
        buf_printf(&ask->text, "%s%.*s/%d", i ? "," : "", STR_ARG(operations[i].name),
                   operations[i].kind);
}

void assert_trace(struct rig *rig, uint16_t trace, const char *want)
{
    struct ask ask = { .trace = trace };

    rig_ask(rig, &ask, "trace", on_trace_query);
    assert_int_equal(ask.err, want ? MG_OK : MG_E_ABSENT);
    assert_string_equal(ask.text.ptr, want ? want : "");
    ask_fini(&ask);
}

void assert_search(struct rig *rig, const struct span_filter *filter, uint32_t limit,
                   const char *want)
{
    struct ask ask = { .search = { *filter, limit } };

    rig_ask(rig, &ask, "search", on_search_query);
    must(ask.err, &ask.why);
    assert_string_equal(ask.text.ptr, want);
    ask_fini(&ask);
}
