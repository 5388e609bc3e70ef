/* program.c - the life of the collector, from top to bottom; see program.h. */
#include "program/private.h"
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/clock.h"
#include "program/program.h"

enum { CONSUME_STOP_MS = 2000 };
#define TICK_NS UINT64_C(1000000000)

static int complain(const char *what, const struct mg_why *why, int status)
{
    command_error(what, why->text);
    return status;
}

/* --- what others tell the main thread --------------------------------------------------------------- */

static void on_committed(void *owner, uint64_t watermark) /* block thread */
{
    struct program *program = owner;

    if (watermark > 0)
        journal_trim(program->journal, watermark - 1);
}

static uint64_t wanted_by_journal(void *owner) /* block thread; its next segment, which also a start begins */
{
    struct program *program = owner;
    struct journal_stats stats;

    journal_stat(program->journal, &stats);
    return stats.next_bytes;
}

static enum mg_err on_replay(void *owner, struct live *live, struct mg_why *why) /* live's thread */
{
    struct program *program = owner;

    return ingest_replay(&program->replay, live, why);
}

static void on_ready(void *owner, enum mg_err err, const struct mg_why *why) /* live's thread */
{
    struct program *program = owner;

    pthread_mutex_lock(&program->wait.lock);
    program->wait.is_ready = true;
    program->wait.ready_err = err;
    program->wait.ready_why = *why;
    pthread_cond_broadcast(&program->wait.changed);
    pthread_mutex_unlock(&program->wait.lock);
}

/* The doors say it with every refusal, and health as long as it lasts; here it is said once. */
static void watch_journal(struct program *program)
{
    bool is_refusing = journal_refusing(program->journal);
    struct statvfs disk = { 0 };

    if (is_refusing == program->is_refusing)
        return;
    program->is_refusing = is_refusing;
    (void)statvfs(program->journal_dir, &disk); /* then there are 0 bytes */
    if (is_refusing)
        LOG(WARN, "spans are refused: the journal cannot be written; it is tried again each second", F_TEXT("folder", program->journal_dir),
            F_U64("free_bytes", (uint64_t)disk.f_bavail * disk.f_frsize));
    else
        LOG(INFO, "spans are taken again: the journal can be written", F_TEXT("folder", program->journal_dir));
}

/* About once a second. */
static void tick(struct program *program)
{
    watch_journal(program);
    admin_tick(&program->admin, clock_mono_ns());
    head_tick(program->head);
    if (program->tls)
        (void)tls_source_check(program->tls);
    workers_tick(program);
    trim_tick(&program->trim);
}

/* --- start ------------------------------------------------------------------------------------------ */

static enum mg_err open_storage(struct program *program, struct mg_why *why)
{
    struct settings *settings = program->settings;
    const struct store_options store = { .dir = program->store_dir, .conf = &settings->store, .metrics = program->registry,
                                         .committed = on_committed, .wanted = wanted_by_journal, .owner = program };
    const struct store_state *state;

    MG_TRY(store_open(&program->store, &store, why));
    MG_TRY(exports_open(program, why));
    if (settings->sample_rules)
        MG_TRY(store_rules_put(program->store, sample_rules_text(settings->sample_rules), &program->rules_generation, why));
    state = store_recovered(program->store);
    /* Queues are synced by themselves: after a lost log one may know a later position than the store. */
    uint64_t newest = MG_MAX(state->p, state->c);
    if (program->forward)
        newest = MG_MAX(newest, forward_newest(program->forward));
    const struct journal_options journal = {
        .dir = program->journal_dir, .os_durability = settings->journal.durability == DURABILITY_OS,
        .floor_position = newest,
        .floor_log_ns = state->log_ns,
        .may_start_refusing = true }; /* R11: reads go on, and retention may make room */
    program->replay.after = state->watermark ? state->watermark - 1 : 0;
    return journal_open(&program->journal, &journal, why);
}

static size_t count_workers(const struct settings *settings)
{
    uint64_t cores = (uint64_t)MG_MAX(1L, sysconf(_SC_NPROCESSORS_ONLN));

    return (size_t)MG_MIN((uint64_t)LOOPS_MAX, settings->top.threads ? settings->top.threads : cores);
}

static void make_modules(struct program *program)
{
    struct settings *settings = program->settings;

    credit_init(&program->credit, live_ring_bytes(&settings->live));
    program->n_workers = count_workers(settings);
    program->live = live_new(&(struct live_options){
        .conf = &settings->live, .decisions = &settings->decisions, .journal = program->journal, .store = program->store,
        .forward = program->forward, .sampling = &settings->sampling, .rules = settings->sample_rules, .rules_generation = program->rules_generation,
        .head = program->head, .credit = &program->credit, .loops = program->n_workers, .metrics = program->registry,
        .replay = on_replay, .ready = on_ready, .owner = program });
    program->ingest = ingest_new(&(struct ingest_options){
        .conf = &settings->ingest, .rules = settings->rules, .live = program->live, .journal = program->journal, .store = program->store,
        .credit = &program->credit, .metrics = program->registry });
    program->replay.conf = &settings->ingest;
    program->replay.rules = settings->rules;
    program->replay.journal = program->journal;
    program->replay.metrics = ingest_metrics(program->ingest);
    program->queries = query_pool_new(&(struct query_options){
        .conf = &settings->query, .live = program->live, .store = program->store, .metrics = program->registry });
    program->jaeger = jaeger_api_new(program->queries, &settings->query);
    program->zipkin = zipkin_api_new(program->queries, &settings->query, &settings->zipkin, MESHGLASS_VERSION);
    program->admin = (struct admin){
        .live = program->live, .store = program->store, .journal = program->journal, .credit = &program->credit,
        .queries = program->queries, .registry = program->registry, .data_dir = program->data_dir, .version = MESHGLASS_VERSION,
        .started_wall_ns = clock_wall_ns(), .started_mono_ns = clock_mono_ns(),
        .replay_done = &program->replay.done, .replay_total = &program->replay.total };
    admin_init(&program->admin);
    doors_init(program);
}

static enum mg_err open_consume(struct program *program, struct mg_why *why)
{
    if (program->settings->kafka.brokers.n == 0)
        return MG_OK;
    return consume_new(&program->consume, &(struct consume_options){ .conf = &program->settings->kafka, .metrics = program->registry }, why);
}

static void start_consuming(struct program *program)
{
    struct ingest_loop *loops[LOOPS_MAX];

    if (!program->consume)
        return;
    for (size_t i = 0; i < program->n_workers; i++)
        loops[i] = program->workers[i].ingest;
    consume_start(program->consume, loops, program->n_workers);
}

/* --- stop ------------------------------------------------------------------------------------------- */

static void wait_for_rest(struct program *program)
{
    pthread_mutex_lock(&program->wait.lock);
    while (program->wait.busy > 0)
        pthread_cond_wait(&program->wait.changed, &program->wait.lock);
    pthread_mutex_unlock(&program->wait.lock);
}

/* The journal is started by live's thread at the end of the replay: nothing is stopped before that is over. */
static void wait_for_replay(struct program *program)
{
    pthread_mutex_lock(&program->wait.lock);
    if (program->wait.is_replaying && !program->wait.is_ready)
        live_cancel(program->live);
    while (program->wait.is_replaying && !program->wait.is_ready)
        pthread_cond_wait(&program->wait.changed, &program->wait.lock);
    pthread_mutex_unlock(&program->wait.lock);
}

/* R16: stop accepting, finish what runs, make it durable, commit. Undecided traces stay in the journal. Doors, Kafka's consumer and the
 * exporters end side by side, so that all is over in 5 s. */
static void shut_down(struct program *program)
{
    struct mg_why why = { "" };
    enum mg_err err;

    atomic_store(&program->admin.state, ADMIN_STOPPING);
    wait_for_replay(program);
    if (program->consume)
        consume_ask_stop(program->consume, CONSUME_STOP_MS);
    for (size_t i = 0; i < program->n_workers; i++)
        (void)worker_call(&program->workers[i], doors_drain, NULL, NULL); /* cannot fail */
    if (program->consume)
        consume_stop(program->consume, CONSUME_STOP_MS);
    wait_for_rest(program);
    query_pool_free(&program->queries);
    journal_stop(program->journal);
    live_stop(program->live);
    exports_stop(program);
    err = store_stop(program->store, &why);
    workers_stop(program);
    if (err != MG_OK)
        LOG(ERROR, "last commit failed; its spans are in the journal", F_WHY(&why));
    live_free(&program->live);
    consume_free(&program->consume);
    jaeger_api_free(&program->jaeger);
    zipkin_api_free(&program->zipkin);
    ingest_free(&program->ingest);
    admin_fini(&program->admin);
    LOG(INFO, "stopped");
}

static void free_program(struct program *program)
{
    consume_free(&program->consume); /* when it did not come to a start */
    exports_close(program);
    ui_free(&program->ui);
    head_free(&program->head);
    store_close(&program->store);
    journal_close(&program->journal);
    doors_fini(program);
    metric_registry_free(&program->registry);
    mem_free(program->data_dir);
    mem_free(program->store_dir);
    mem_free(program->journal_dir);
    mem_free(program->head_state);
    if (program->lock_fd >= 0)
        close(program->lock_fd);
    if (program->settings == program->started)
        program->settings = NULL;
    settings_free(&program->settings);
    settings_free(&program->started);
}

/* --- run -------------------------------------------------------------------------------------------- */

static bool wait_until_ready(struct program *program)
{
    bool is_ready;

    pthread_mutex_lock(&program->wait.lock);
    while (!program->wait.is_ready && !program->wait.is_stopping)
        pthread_cond_wait(&program->wait.changed, &program->wait.lock);
    is_ready = program->wait.is_ready && !program->wait.is_stopping;
    pthread_mutex_unlock(&program->wait.lock);
    return is_ready;
}

enum event { EVENT_TICK, EVENT_RELOAD, EVENT_STOP };

static enum event next_event(struct program *program)
{
    enum event event = EVENT_TICK;

    pthread_mutex_lock(&program->wait.lock);
    if (!program->wait.is_stopping && !program->wait.is_reloading)
        (void)clock_cond_wait_until(&program->wait.changed, &program->wait.lock, clock_mono_ns() + TICK_NS); /* one early tick is fine */
    if (program->wait.is_stopping)
        event = EVENT_STOP;
    else if (program->wait.is_reloading)
        event = EVENT_RELOAD;
    program->wait.is_reloading = false;
    pthread_mutex_unlock(&program->wait.lock);
    return event;
}

static void wait_until_stopping(struct program *program)
{
    for (;;) {
        switch (next_event(program)) {
        case EVENT_TICK:
            tick(program);
            break;
        case EVENT_RELOAD:
            program_reload(program);
            break;
        case EVENT_STOP:
            return;
        }
    }
}

static enum mg_err serve(struct program *program, struct mg_why *why)
{
    static const enum door after_replay[] = { DOOR_QUERY_HTTP, DOOR_QUERY_GRPC, DOOR_OTLP_HTTP, DOOR_OTLP_GRPC, DOOR_ZIPKIN, DOOR_JAEGER_GRPC,
                                              DOOR_JAEGER_HTTP, DOOR_SAMPLING_HTTP, DOOR_SAMPLING_GRPC, DOOR_JAEGER_COMPACT,
                                              DOOR_JAEGER_BINARY };

    MG_TRY(store_start(program->store, why));
    MG_TRY(exports_start(program, why));
    MG_TRY(door_open(program, DOOR_HEALTH, why));
    MG_TRY(door_open(program, DOOR_METRICS, why));
    program->wait.is_replaying = true;
    live_start(program->live);
    if (!wait_until_ready(program))
        return MG_OK;
    if (program->wait.ready_err != MG_OK) {
        *why = program->wait.ready_why;
        return program->wait.ready_err;
    }
    atomic_store(&program->admin.state, ADMIN_SERVING);
    for (size_t i = 0; i < MG_COUNT(after_replay); i++)
        MG_TRY(door_open(program, after_replay[i], why));
    start_consuming(program);
    watch_journal(program);
    LOG(INFO, "serving", F_TEXT("version", MESHGLASS_VERSION), F_TEXT("data_dir", program->data_dir),
        F_U64("replayed", program->replay.done));
    wait_until_stopping(program);
    return MG_OK;
}

static char *join(const char *dir, const char *name)
{
    struct buf path;

    buf_init(&path, 8192);
    buf_printf(&path, "%s/%s", dir, name);
    return buf_take(&path, NULL);
}

/* A collector holds a connection a client; the soft limit is a shell's default. SIGPIPE and SIGXFSZ are told by write's error: beyond the
 * largest size of a file the disk is full, which is a state and not an end. */
static void prepare_process(const struct settings *settings)
{
    struct rlimit files;

    log_configure((enum log_level)settings->log.level, (enum log_format)settings->log.format);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* the old limit still works */
    }
    (void)mallopt(M_ARENA_MAX, 4); /* threads that seldom allocate share their arenas: idle memory stays small */
}

static enum mg_err open_program(struct program *program, struct mg_why *why)
{
    program->data_dir = settings_data_dir(program->settings);
    program->store_dir = join(program->data_dir, "store");
    program->journal_dir = join(program->data_dir, "journal");
    program->head_state = join(program->data_dir, "sampling.json");
    MG_TRY(data_dir_lock(program->data_dir, true, &program->lock_fd, why));
    program->registry = metric_registry_new();
    program->http_metrics = http_metrics_register(program->registry, DOOR_HTTP_LABEL);
    MG_TRY(doors_load_tls(program, why));
    MG_TRY(ui_open_for(&program->ui, program->settings, why));
    MG_TRY(open_consume(program, why));
    MG_TRY(head_new(&program->head, &(struct head_options){ .conf = &program->settings->head, .sampling = &program->settings->sampling,
                                                            .metrics = program->registry, .state_path = program->head_state }, why));
    return open_storage(program, why);
}

static int run_with(struct program *program)
{
    struct mg_why why = { "" };
    enum mg_err err;

    prepare_process(program->settings);
    if (open_program(program, &why) != MG_OK)
        return complain("run", &why, 1);
    make_modules(program);
    workers_start(program);
    err = serve(program, &why);
    shut_down(program);
    return err == MG_OK ? 0 : complain("run", &why, 1);
}

int program_run(int argc, char **argv)
{
    struct program *program = MEM_NEW(struct program);
    struct mg_why why = { "" };
    enum mg_err err = run_args_parse(&program->args, argc, argv, &why);
    int status;

    program->lock_fd = -1;
    pthread_mutex_init(&program->wait.lock, NULL);
    clock_cond_init(&program->wait.changed);
    program->settings = program->started = MEM_NEW(struct settings);
    if (err == MG_OK)
        err = settings_load(program->settings, program->args.file, program->args.sets.at, program->args.sets.n, &why);
    status = err == MG_OK ? run_with(program) : complain("run", &why, COMMAND_USAGE);
    free_program(program);
    config_args_fini(&program->args);
    mem_free(program);
    return status;
}
