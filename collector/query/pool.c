/* pool.c - threads that come and go, and what every query carries with it.
 *
 * Not base's queue, which has one receiver: here several threads wait for the same list. A lock and
 * a condition are enough, because a query costs a hundred times more than its hand-over.
 *
 *   n_idle counts threads that wait or were just started, n_takers those of them whose turn it is, so
 * that query.threads work at a time. `waiting - n_takers` is how many jobs really queue: that number is
 * held against queue_max, and a thread is started when it would rise above zero.
 *
 * A thread that ends by itself cannot be joined by itself. Its place says WORKER_ENDED, and whoever
 * takes the place next, or query_pool_free, joins it, which takes no longer than a thread's last
 * instructions. */
#define _GNU_SOURCE /* pthread_setname_np */
#include "query/private.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>
#include "base/clock.h"
#include "base/log.h"

/* Of them query.threads work; the others wait for readers of their answers, each with a megabyte of it at most ahead. */
enum { WORKERS_MAX = 256 };
#define STACK_BYTES ((size_t)512 << 10)
#define SECOND_NS   UINT64_C(1000000000)
#define TEXT_MAX    ((size_t)64 << 20)

static const struct metric_row query_metric_rows[] = {
#define METRIC(...) METRIC_TABLE(__VA_ARGS__)
#include "query/metrics.def"
#undef METRIC
};

enum worker_state { WORKER_NONE, WORKER_RUNS, WORKER_ENDED };
struct worker {
    struct query_pool *pool;
    pthread_t thread;
    enum worker_state state;
};

struct query_pool {
    struct query_options options; /* constant */
    struct metric_set *metrics;
    size_t n_workers; /* queries that run at a time; constant */
    struct {
        pthread_mutex_t lock;
        pthread_cond_t changed; /* a job, or closing */
        struct query_conf conf; /* as of the last reload */
        struct queue_item *first, **last;
        size_t n_waiting, n_idle, n_threads, n_paused;
        bool is_closing;
        struct worker workers[WORKERS_MAX];
    } shared; /* any thread, under the lock */
};

static void must(int status)
{
    assert(status == 0); /* these fail only for a misused lock */
    (void)status;
}

/* --- one query -------------------------------------------------------------------------------- */

static enum mg_err stop(struct query *query, enum query_stop reason, enum mg_err err)
{
    if (!query->is_stopped)
        metric_add(query->metrics, QUERY_stopped, (unsigned)reason, 0, 1);
    query->is_stopped = true;
    return err;
}

enum mg_err query_step(struct query *query, struct mg_why *why)
{
    if (query->job->is_gone && query->job->is_gone(query->job))
        return stop(query, STOP_GONE, mg_fail(why, MG_E_IO, "the asker has gone"));
    if (query->options->mono_ns() >= query->deadline_ns)
        return stop(query, STOP_TIMEOUT,
                    mg_fail(why, MG_E_TIMEOUT,
                            "the query took longer than %llu ms (query.timeout): ask for less time "
                            "or fewer traces",
                            (unsigned long long)(query->conf->timeout_ns / 1000000)));
    return query_room(query, 0, why);
}

enum mg_err query_room(struct query *query, size_t more, struct mg_why *why)
{
    uint64_t most = query->conf->memory_max;
    size_t used = query->own.bytes + query->trace.bytes;

    if (used <= most && more <= most - used)
        return MG_OK;
    return stop(query, STOP_MEMORY,
                mg_fail(why, MG_E_TOO_BIG,
                        "the answer needs more than %llu bytes of memory (query.memory_max)",
                        (unsigned long long)most));
}

void query_damaged(struct query *query, const struct mg_why *why)
{
    metric_add(query->metrics, QUERY_damaged, 0, 0, 1);
    LOG_EVERY(10, WARN, "damaged block left out of an answer", F_WHY(why));
}

struct arena *query_arena(struct query *query)
{
    return &query->own;
}

static unsigned label_of(const struct query_job *job)
{
    static const char *const names[] = { "trace", "search", "services", "operations", "edges", "archive", "backup", "why" };
    unsigned i = 0;

    while (i < MG_COUNT(names) && strcmp(names[i], job->name) != 0)
        i++;
    assert(i < MG_COUNT(names));
    return i;
}

static void run(struct query_pool *pool, const struct query_conf *conf, struct query_job *job)
{
    struct query query = { .pool = pool,
                           .options = &pool->options,
                           .conf = conf,
                           .metrics = pool->metrics,
                           .job = job,
                           .deadline_ns = job->deadline_ns };
    uint64_t begun_ns = job->begun_ns;
    uint64_t cpu_ns = clock_thread_cpu_ns();
    unsigned label = label_of(job);

    buf_init(&query.text, TEXT_MAX);
    job->run(job, &query); /* from here on the job may be gone */
    query_let_go(&query);
    VEC_FINI(&query.spans);
    arena_fini(&query.trace);
    arena_fini(&query.scratch);
    map_fini(&query.policies.by_number);
    buf_fini(&query.policies.text);
    arena_fini(&query.own);
    buf_fini(&query.text);
    metric_observe(pool->metrics, QUERY_seconds, label, 0, pool->options.mono_ns() - begun_ns);
    metric_add(pool->metrics, QUERY_cpu, label, 0, clock_thread_cpu_ns() - cpu_ns);
}

/* --- threads ---------------------------------------------------------------------------------- */

static struct timespec idle_until(const struct query_pool *pool)
{
    uint64_t ns = clock_mono_ns() + pool->options.idle_ns;

    return (struct timespec){ .tv_sec = (time_t)(ns / SECOND_NS),
                              .tv_nsec = (long)(ns % SECOND_NS) };
}

/* Under the lock: how many idle threads may take a job. Paused queries that come back work on beside the others. */
static size_t n_takers(const struct query_pool *pool)
{
    size_t n_working = pool->shared.n_threads - pool->shared.n_idle - pool->shared.n_paused;

    return n_working < pool->n_workers ? MG_MIN(pool->n_workers - n_working, pool->shared.n_idle) : 0;
}

/* Under the lock, by an idle thread. What it leaves is taken by whoever works when he has done. */
static bool has_turn(const struct query_pool *pool)
{
    return pool->shared.first && (n_takers(pool) > 0 || pool->shared.is_closing);
}

/* Under the lock. NULL: idle for too long, or closing with nothing left to do. */
static struct query_job *next_job(struct query_pool *pool)
{
    struct timespec until = idle_until(pool);
    struct queue_item *item;
    bool is_late = false;

    while (!has_turn(pool) && !pool->shared.is_closing && !is_late)
        is_late =
            pthread_cond_timedwait(&pool->shared.changed, &pool->shared.lock, &until) == ETIMEDOUT;
    item = has_turn(pool) ? pool->shared.first : NULL;
    pool->shared.n_idle--;
    if (!item)
        return NULL;
    pool->shared.first = item->next;
    if (!item->next)
        pool->shared.last = &pool->shared.first;
    pool->shared.n_waiting--;
    return MG_CONTAINER(item, struct query_job, link);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct query_pool *pool = worker->pool;
    struct query_conf conf;
    struct query_job *job;

    pthread_setname_np(pthread_self(), "query");
    must(pthread_mutex_lock(&pool->shared.lock));
    while ((job = next_job(pool))) {
        conf = pool->shared.conf;
        must(pthread_mutex_unlock(&pool->shared.lock));
        run(pool, &conf, job);
        must(pthread_mutex_lock(&pool->shared.lock));
        pool->shared.n_idle++;
    }
    worker->state = WORKER_ENDED;
    pool->shared.n_threads--;
    must(pthread_mutex_unlock(&pool->shared.lock));
    return NULL;
}

static bool thread_start(struct worker *worker)
{
    pthread_attr_t attributes;
    int failed;

    must(pthread_attr_init(&attributes));
    must(pthread_attr_setstacksize(&attributes, STACK_BYTES));
    failed = pthread_create(&worker->thread, &attributes, worker_main, worker);
    must(pthread_attr_destroy(&attributes));
    return !failed;
}

/* Under the lock, with a free place. */
static void worker_start(struct query_pool *pool)
{
    struct worker *worker = pool->shared.workers;

    while (worker->state == WORKER_RUNS)
        worker++;
    if (worker->state == WORKER_ENDED)
        must(pthread_join(worker->thread, NULL)); /* it needs the lock no more */
    worker->state = WORKER_NONE;
    if (!thread_start(worker))
        return;
    worker->state = WORKER_RUNS;
    pool->shared.n_threads++;
    pool->shared.n_idle++;
}

/* Under the lock: may one more thread run? Paused ones do not count, but there is an end to them too. */
static bool has_place(const struct query_pool *pool)
{
    return pool->shared.n_threads - pool->shared.n_paused < pool->n_workers &&
           pool->shared.n_threads < WORKERS_MAX;
}

void query_pause(struct query *query)
{
    struct query_pool *pool = query->pool;

    must(pthread_mutex_lock(&pool->shared.lock));
    pool->shared.n_paused++;
    if (!pool->shared.is_closing && pool->shared.n_waiting > n_takers(pool) && has_place(pool))
        worker_start(pool);
    else
        must(pthread_cond_signal(&pool->shared.changed)); /* its turn is another's */
    must(pthread_mutex_unlock(&pool->shared.lock));
}

void query_resume(struct query *query)
{
    must(pthread_mutex_lock(&query->pool->shared.lock));
    query->pool->shared.n_paused--;
    must(pthread_mutex_unlock(&query->pool->shared.lock));
}

/* --- pool ------------------------------------------------------------------------------------- */

void query_stat(struct query_pool *pool, struct query_stats *out)
{
    must(pthread_mutex_lock(&pool->shared.lock));
    *out = (struct query_stats){ .threads = pool->shared.n_threads,
                                 .waiting = pool->shared.n_waiting,
                                 .running = pool->shared.n_threads - pool->shared.n_idle };
    must(pthread_mutex_unlock(&pool->shared.lock));
}

static void on_scrape(void *owner)
{
    struct query_pool *pool = owner;
    struct query_stats stats;

    query_stat(pool, &stats);
    metric_set_gauge(pool->metrics, QUERY_threads, 0, 0, (double)stats.threads);
    metric_set_gauge(pool->metrics, QUERY_running, 0, 0, (double)stats.running);
    metric_set_gauge(pool->metrics, QUERY_waiting, 0, 0, (double)stats.waiting);
}

static void condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    must(pthread_condattr_init(&attributes));
    must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
    must(pthread_cond_init(condition, &attributes));
    must(pthread_condattr_destroy(&attributes));
}

struct query_pool *query_pool_new(const struct query_options *options)
{
    struct query_pool *pool = MEM_NEW(struct query_pool);

    pool->options = *options;
    pool->shared.conf = *options->conf;
    if (!pool->options.mono_ns)
        pool->options.mono_ns = clock_mono_ns;
    if (!pool->options.idle_ns)
        pool->options.idle_ns = 60 * SECOND_NS;
    pool->n_workers =
        MG_MIN((size_t)WORKERS_MAX, MG_MAX((size_t)1, (size_t)options->conf->threads));
    pool->metrics =
        metric_register(options->metrics, query_metric_rows, MG_COUNT(query_metric_rows));
    must(pthread_mutex_init(&pool->shared.lock, NULL));
    condition_init(&pool->shared.changed);
    pool->shared.last = &pool->shared.first;
    for (size_t i = 0; i < WORKERS_MAX; i++)
        pool->shared.workers[i].pool = pool;
    metric_on_scrape(options->metrics, on_scrape, pool);
    return pool;
}

void query_pool_reload(struct query_pool *pool, const struct query_conf *conf)
{
    must(pthread_mutex_lock(&pool->shared.lock));
    pool->shared.conf = *conf;
    must(pthread_mutex_unlock(&pool->shared.lock));
}

/* Under the lock. */
static bool admit(struct query_pool *pool)
{
    size_t waiting = pool->shared.n_waiting;

    if (pool->shared.is_closing)
        return false;
    if (waiting >= n_takers(pool) && has_place(pool))
        worker_start(pool);
    return pool->shared.n_threads > 0 && waiting < n_takers(pool) + pool->shared.conf.queue_max;
}

enum mg_err query_submit(struct query_pool *pool, struct query_job *job)
{
    bool is_admitted;

    must(pthread_mutex_lock(&pool->shared.lock));
    if ((is_admitted = admit(pool))) {
        job->begun_ns = pool->options.mono_ns();
        job->deadline_ns = job->begun_ns + pool->shared.conf.timeout_ns;
        job->link.next = NULL;
        *pool->shared.last = &job->link;
        pool->shared.last = &job->link.next;
        pool->shared.n_waiting++;
        must(pthread_cond_signal(&pool->shared.changed));
    }
    must(pthread_mutex_unlock(&pool->shared.lock));
    if (is_admitted)
        return MG_OK;
    metric_add(pool->metrics, QUERY_refused, label_of(job), 0, 1);
    return MG_E_BUSY;
}

/* No more jobs; returns how many threads are to be joined. */
static size_t begin_closing(struct query_pool *pool, pthread_t threads[WORKERS_MAX])
{
    size_t n = 0;

    must(pthread_mutex_lock(&pool->shared.lock));
    pool->shared.is_closing = true;
    for (size_t i = 0; i < WORKERS_MAX; i++)
        if (pool->shared.workers[i].state != WORKER_NONE)
            threads[n++] = pool->shared.workers[i].thread;
    must(pthread_cond_broadcast(&pool->shared.changed));
    must(pthread_mutex_unlock(&pool->shared.lock));
    return n;
}

void query_pool_free(struct query_pool **pointer)
{
    struct query_pool *pool = MG_STEAL(*pointer);
    pthread_t threads[WORKERS_MAX];

    if (!pool)
        return;
    for (size_t i = begin_closing(pool, threads); i-- > 0;)
        must(pthread_join(threads[i], NULL));
    assert(!pool->shared.first);
    must(pthread_cond_destroy(&pool->shared.changed));
    must(pthread_mutex_destroy(&pool->shared.lock));
    mem_free(pool);
}
