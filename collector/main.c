/* main.c - meshglass-collector: the one place that wires modules together.
 *
 * The main thread opens what is on disk, starts the threads of DESIGN 3, and then only waits: for the log to be
 * read, for a signal, for everything to come to rest. What concerns a loop is done on that loop, by a call that the main
 * thread waits for; so start and shutdown read from top to bottom here. */
#include <assert.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "api/admin/admin.h"
#include "api/console/console.h"
#include "api/jaeger/jaeger.h"
#include "api/ui/ui.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "codec/json_write.h"
#include "command/command.h"
#include "command/settings.h"
#include "ingest/ingest.h"
#include "journal/journal.h"
#include "live/live.h"
#include "net/loop.h"
#include "query/query.h"
#include "store/store.h"

enum { DRAIN_MS = 2500, LOOPS_MAX = 256 };
enum door { DOOR_GRPC, DOOR_HTTP, DOOR_QUERY, DOOR_METRICS, DOOR_HEALTH, DOORS }; /* order of http's "door" label */

static const char *const door_names[DOORS] = { "otlp_grpc", "otlp_http", "query_http", "metrics", "health" };

struct program;
struct worker {
    struct program *program;
    pthread_t thread;
    struct loop *loop;
    struct mailbox *orders;
    uint64_t counted_cpu_ns;
    struct signal_watch *signals[3];
    struct ingest_loop *ingest;
    struct http_server *servers[DOORS];
};

struct program {
    struct settings *settings;          /* in force */
    VEC(struct settings *) generations; /* all there were: modules may still read an old one */
    struct config_args args;
    char *data_dir, *store_dir, *journal_dir;
    int lock_fd;
    struct metric_registry *registry;
    struct metric_set *http_metrics;
    struct store *store;
    struct journal *journal;
    struct credit credit;
    struct live *live;
    struct ingest *ingest;
    struct ingest_replay replay;
    struct query_pool *queries;
    struct jaeger_api *jaeger;
    struct ui *ui;                      /* loop 0 looks at it */
    struct http_route *query_routes;    /* of three modules, each with its owner */
    size_t n_query_routes;
    struct admin admin;
    struct worker workers[LOOPS_MAX];
    size_t n_workers;
    struct {                            /* what the main thread waits for */
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool is_replaying, is_ready, is_stopping, is_reloading;
        enum mg_err ready_err;
        struct mg_why ready_why;
        size_t busy;                    /* servers and ingest loops that have not come to rest */
    } wait;
};

static int complain(const char *what, const struct mg_why *why, int status)
{
    command_error(what, why->text);
    return status;
}

/* --- calls onto a loop ------------------------------------------------------------------------------ */

struct order {
    struct message message;
    enum mg_err (*run)(struct worker *worker, void *argument, struct mg_why *why);
    void *argument;
    struct mg_why *why;
    enum mg_err err;
    bool is_done;
};

static void on_order(void *owner, struct message *message)
{
    struct worker *worker = owner;
    struct order *order = MG_CONTAINER(message, struct order, message);
    struct program *program = worker->program;
    enum mg_err err = order->run(worker, order->argument, order->why);

    pthread_mutex_lock(&program->wait.lock);
    order->err = err;
    order->is_done = true;
    pthread_cond_broadcast(&program->wait.changed);
    pthread_mutex_unlock(&program->wait.lock);
}

static enum mg_err call(struct worker *worker, enum mg_err (*run)(struct worker *, void *, struct mg_why *), void *argument, struct mg_why *why)
{
    struct program *program = worker->program;
    struct order order = { .run = run, .argument = argument, .why = why };

    mailbox_post(worker->orders, &order.message);
    pthread_mutex_lock(&program->wait.lock);
    while (!order.is_done)
        pthread_cond_wait(&program->wait.changed, &program->wait.lock);
    pthread_mutex_unlock(&program->wait.lock);
    return order.err;
}

static void *worker_main(void *argument)
{
    loop_run(((struct worker *)argument)->loop);
    return NULL;
}

/* --- doors ------------------------------------------------------------------------------------------ */

static struct str *address_of(struct settings *settings, enum door door)
{
    struct str *const addresses[DOORS] = { &settings->listen.otlp_grpc, &settings->listen.otlp_http,
                                           &settings->listen.query_http, &settings->listen.metrics, &settings->listen.health };

    return addresses[door];
}

static struct http_options door_options(struct worker *worker, enum door door)
{
    struct program *program = worker->program;
    struct http_options options = { .conf = &program->settings->http, .owner = &program->admin, .metrics = program->http_metrics,
                                    .metric_door = door, .is_otlp = door == DOOR_GRPC || door == DOOR_HTTP };

    switch (door) {
    case DOOR_GRPC:
        options.owner = worker->ingest;
        options.routes = ingest_otlp_grpc_routes(&options.n_routes);
        break;
    case DOOR_HTTP:
        options.owner = worker->ingest;
        options.routes = ingest_otlp_http_routes(&options.n_routes);
        break;
    case DOOR_QUERY:
        options.routes = program->query_routes;
        options.n_routes = program->n_query_routes;
        break;
    case DOOR_METRICS:
        options.routes = admin_metrics_routes(&options.n_routes);
        break;
    case DOOR_HEALTH:
    case DOORS:
        options.routes = admin_health_routes(&options.n_routes);
        break;
    }
    return options;
}

struct opening { enum door door; bool is_first; char address[96]; };

static enum mg_err open_on_loop(struct worker *worker, void *argument, struct mg_why *why)
{
    struct opening *opening = argument;
    struct http_options options = door_options(worker, opening->door);
    const struct listener_options where = { .address = str_of(opening->address), .reuse_port = true,
                                            .must_be_free = opening->is_first };
    struct http_server *server = http_server_new(worker->loop, &options);

    worker->servers[opening->door] = server;
    MG_TRY(http_server_listen(server, &where, why));
    snprintf(opening->address, sizeof opening->address, "%.*s", STR_ARG(http_server_address(server)));
    return MG_OK;
}

static void say_ready(const struct opening *opening)
{
    struct buf line;
    struct json_writer w;

    buf_init(&line, 1024);
    json_writer_init(&w, &line, 0);
    json_object(&w);
    json_key_text(&w, "event");
    json_put_str(&w, STR("ready"));
    json_key_text(&w, "door");
    json_put_str(&w, str_of(door_names[opening->door]));
    json_key_text(&w, "address");
    json_put_str(&w, str_of(opening->address));
    json_object_end(&w);
    buf_put_char(&line, '\n');
    (void)fwrite(line.ptr, 1, line.len, stdout); /* whoever reads it may have gone */
    fflush(stdout);
    buf_fini(&line);
}

static enum mg_err open_door(struct program *program, enum door door, struct mg_why *why)
{
    struct str address = *address_of(program->settings, door);
    struct opening opening = { .door = door };
    size_t loops = door == DOOR_GRPC || door == DOOR_HTTP ? program->n_workers : 1;
    enum mg_err err = MG_OK;

    if (address.len == 0)
        return MG_OK;
    snprintf(opening.address, sizeof opening.address, "%.*s", STR_ARG(address));
    for (size_t i = 0; err == MG_OK && i < loops; i++) { /* the first one chooses the port when it is 0 */
        opening.is_first = i == 0;
        err = call(&program->workers[i], open_on_loop, &opening, why);
    }
    if (err != MG_OK)
        return mg_fail_in(why, err, "listen.%s", door_names[door]);
    admin_add_door(&program->admin, door_names[door], str_of(opening.address));
    say_ready(&opening);
    return MG_OK;
}

/* --- what others tell the main thread --------------------------------------------------------------- */

static void on_committed(void *owner, uint64_t watermark) /* block thread */
{
    struct program *program = owner;

    if (watermark > 0)
        journal_trim(program->journal, watermark - 1);
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

static void on_signal(void *owner, int number) /* loop 0 */
{
    struct program *program = ((struct worker *)owner)->program;

    LOG(INFO, "stopping", F_TEXT("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"));
    pthread_mutex_lock(&program->wait.lock);
    program->wait.is_stopping = true;
    pthread_cond_broadcast(&program->wait.changed);
    pthread_mutex_unlock(&program->wait.lock);
}

static void on_reload_signal(void *owner, int number) /* loop 0 */
{
    struct program *program = ((struct worker *)owner)->program;

    (void)number;
    pthread_mutex_lock(&program->wait.lock);
    program->wait.is_reloading = true;
    pthread_cond_broadcast(&program->wait.changed);
    pthread_mutex_unlock(&program->wait.lock);
}

/* About once a second, on the main thread. */
static void tick(struct program *program)
{
    admin_tick(&program->admin, clock_mono_ns());
    for (size_t i = 0; i < program->n_workers; i++) {
        uint64_t cpu_ns = loop_cpu_ns(program->workers[i].loop);
        live_count_cpu(program->live, STAGE_LOOP, cpu_ns - program->workers[i].counted_cpu_ns);
        program->workers[i].counted_cpu_ns = cpu_ns;
    }
}

/* --- start ------------------------------------------------------------------------------------------ */

static enum mg_err open_storage(struct program *program, struct mg_why *why)
{
    struct settings *settings = program->settings;
    const struct store_options store = { .dir = program->store_dir, .conf = &settings->store, .metrics = program->registry,
                                         .committed = on_committed, .owner = program };
    const struct store_state *state;
    uint64_t replayed;

    MG_TRY(store_open(&program->store, &store, why));
    state = store_recovered(program->store);
    replayed = state->watermark ? state->watermark - 1 : 0;
    const struct journal_options journal = {
        .dir = program->journal_dir, .os_durability = settings->journal.durability == DURABILITY_OS,
        .floor_position = MG_MAX(state->p, state->c),
        .floor_log_ns = state->log_ns };
    program->replay.after = replayed;
    return journal_open(&program->journal, &journal, why);
}

static size_t count_workers(const struct settings *settings)
{
    uint64_t cores = (uint64_t)MG_MAX(1L, sysconf(_SC_NPROCESSORS_ONLN));

    return (size_t)MG_MIN((uint64_t)LOOPS_MAX, settings->top.threads ? settings->top.threads : cores);
}

static void make_query_routes(struct program *program)
{
    size_t n[4], room = 0;
    const struct http_route *const parts[4] = { jaeger_routes(&n[0]), admin_query_routes(&n[1]), console_routes(&n[2]), ui_routes(&n[3]) };
    void *const owners[4] = { program->jaeger, &program->admin, &program->admin, &program->ui };

    for (size_t part = 0; part < 4; part++)
        room += n[part];
    program->query_routes = mem_zero(room, sizeof *program->query_routes);
    for (size_t part = 0; part < 4; part++)
        for (size_t i = 0; i < n[part]; i++) {
            if (part == 2 && strcmp(parts[part][i].path, "/") == 0) /* the UI's, which leads here without one */
                continue;
            struct http_route *route = &program->query_routes[program->n_query_routes++];
            *route = parts[part][i];
            route->owner = owners[part];
        }
}

static void make_modules(struct program *program)
{
    struct settings *settings = program->settings;

    credit_init(&program->credit, live_ring_bytes(&settings->live));
    program->n_workers = count_workers(settings);
    program->live = live_new(&(struct live_options){
        .conf = &settings->live, .decisions = &settings->sampling, .journal = program->journal, .store = program->store,
        .credit = &program->credit, .loops = program->n_workers, .metrics = program->registry,
        .replay = on_replay, .ready = on_ready, .owner = program });
    program->ingest = ingest_new(&(struct ingest_options){
        .conf = &settings->ingest, .live = program->live, .journal = program->journal, .store = program->store, .credit = &program->credit,
        .metrics = program->registry });
    program->replay.conf = &settings->ingest;
    program->replay.journal = program->journal;
    program->replay.metrics = ingest_metrics(program->ingest);
    program->queries = query_pool_new(&(struct query_options){
        .conf = &settings->query, .live = program->live, .store = program->store, .metrics = program->registry });
    program->jaeger = jaeger_api_new(program->queries, &settings->query);
    program->admin = (struct admin){
        .live = program->live, .store = program->store, .journal = program->journal, .credit = &program->credit,
        .queries = program->queries, .registry = program->registry, .data_dir = program->data_dir, .version = MESHGLASS_VERSION,
        .started_wall_ns = clock_wall_ns(), .started_mono_ns = clock_mono_ns(),
        .replay_done = &program->replay.done, .replay_total = &program->replay.total };
    admin_init(&program->admin);
    make_query_routes(program);
}

static void make_workers(struct program *program)
{
    for (size_t i = 0; i < program->n_workers; i++) {
        struct worker *worker = &program->workers[i];
        worker->program = program;
        worker->loop = loop_new();
        worker->orders = mailbox_new(worker->loop, on_order, worker);
        worker->ingest = ingest_loop_new(program->ingest, worker->loop);
        if (i == 0) {
            worker->signals[0] = signal_watch_new(worker->loop, SIGTERM, on_signal, worker);
            worker->signals[1] = signal_watch_new(worker->loop, SIGINT, on_signal, worker);
            worker->signals[2] = signal_watch_new(worker->loop, SIGHUP, on_reload_signal, worker);
        }
        int failed = pthread_create(&worker->thread, NULL, worker_main, worker);
        assert(failed == 0);
    }
}

/* --- stop ------------------------------------------------------------------------------------------- */

static void came_to_rest(void *owner)
{
    struct program *program = owner;

    pthread_mutex_lock(&program->wait.lock);
    program->wait.busy--;
    pthread_cond_broadcast(&program->wait.changed);
    pthread_mutex_unlock(&program->wait.lock);
}

static void now_busy(struct program *program)
{
    pthread_mutex_lock(&program->wait.lock);
    program->wait.busy++;
    pthread_mutex_unlock(&program->wait.lock);
}

static void wait_for_rest(struct program *program)
{
    pthread_mutex_lock(&program->wait.lock);
    while (program->wait.busy > 0)
        pthread_cond_wait(&program->wait.changed, &program->wait.lock);
    pthread_mutex_unlock(&program->wait.lock);
}

static enum mg_err drain_on_loop(struct worker *worker, void *argument, struct mg_why *why)
{
    (void)argument;
    (void)why;
    for (size_t door = 0; door < DOORS; door++)
        if (worker->servers[door]) {
            now_busy(worker->program);
            http_server_drain(worker->servers[door], DRAIN_MS, came_to_rest, worker->program);
        }
    now_busy(worker->program);
    ingest_loop_close(worker->ingest, came_to_rest, worker->program);
    return MG_OK;
}

static enum mg_err close_on_loop(struct worker *worker, void *argument, struct mg_why *why)
{
    (void)argument;
    (void)why;
    for (size_t door = 0; door < DOORS; door++)
        http_server_free(&worker->servers[door]);
    ingest_loop_free(&worker->ingest);
    for (size_t i = 0; i < MG_COUNT(worker->signals); i++)
        signal_watch_free(&worker->signals[i]);
    return MG_OK;
}

static void stop_workers(struct program *program)
{
    for (size_t i = 0; i < program->n_workers; i++) {
        struct worker *worker = &program->workers[i];
        (void)call(worker, close_on_loop, NULL, NULL); /* cannot fail */
        loop_stop(worker->loop);
        pthread_join(worker->thread, NULL);
        mailbox_free(&worker->orders);
        loop_free(&worker->loop);
    }
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

/* R16: stop accepting, finish what runs, make it durable, commit. Undecided traces stay in the journal. */
static int shut_down(struct program *program)
{
    struct mg_why why = { "" };
    enum mg_err err;

    atomic_store(&program->admin.state, ADMIN_STOPPING);
    wait_for_replay(program);
    for (size_t i = 0; i < program->n_workers; i++)
        (void)call(&program->workers[i], drain_on_loop, NULL, NULL); /* cannot fail */
    wait_for_rest(program);
    query_pool_free(&program->queries);
    journal_stop(program->journal);
    live_stop(program->live);
    err = store_stop(program->store, &why);
    stop_workers(program);
    if (err != MG_OK)
        LOG(ERROR, "last commit failed; its spans are in the journal", F_WHY(&why));
    live_free(&program->live);
    jaeger_api_free(&program->jaeger);
    ui_free(&program->ui);
    ingest_free(&program->ingest);
    store_close(&program->store);
    journal_close(&program->journal);
    admin_fini(&program->admin);
    LOG(INFO, "stopped");
    return 0;
}

static void free_program(struct program *program)
{
    store_close(&program->store);
    journal_close(&program->journal);
    metric_registry_free(&program->registry);
    mem_free(program->query_routes);
    mem_free(program->data_dir);
    mem_free(program->store_dir);
    mem_free(program->journal_dir);
    if (program->lock_fd >= 0)
        close(program->lock_fd);
    for (size_t i = 0; i < program->generations.n; i++) {
        settings_fini(program->generations.at[i]);
        mem_free(program->generations.at[i]);
    }
    VEC_FINI(&program->generations);
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
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_mutex_lock(&program->wait.lock);
    if (!program->wait.is_stopping && !program->wait.is_reloading)
        (void)pthread_cond_timedwait(&program->wait.changed, &program->wait.lock, &until); /* one early tick is fine */
    if (program->wait.is_stopping)
        event = EVENT_STOP;
    else if (program->wait.is_reloading)
        event = EVENT_RELOAD;
    program->wait.is_reloading = false;
    pthread_mutex_unlock(&program->wait.lock);
    return event;
}

/* What the program has bound, opened or sized at its start. */
static bool needs_restart(const struct settings *old, const struct settings *new)
{
    struct buf before, after;
    bool differs = old->live.ring_bytes != new->live.ring_bytes || old->journal.durability != new->journal.durability ||
                   old->top.threads != new->top.threads || old->query.threads != new->query.threads ||
                   memcmp(&old->http, &new->http, sizeof old->http) != 0;

    buf_init(&before, 1 << 16);
    buf_init(&after, 1 << 16);
    for (enum door door = 0; door < DOORS; door++) {
        buf_put_str(&before, *address_of((struct settings *)old, door));
        buf_put_str(&after, *address_of((struct settings *)new, door));
        buf_put_char(&before, ' ');
        buf_put_char(&after, ' ');
    }
    buf_put_str(&before, old->top.data_dir);
    buf_put_str(&after, new->top.data_dir);
    differs |= !str_eq(buf_str(&before), buf_str(&after));
    buf_fini(&before);
    buf_fini(&after);
    return differs;
}

static enum mg_err open_ui(struct ui **out, const struct settings *settings, struct mg_why *why)
{
    const struct ui_options options = { .conf = &settings->ui, .version = MESHGLASS_VERSION, .has_archive = true };

    *out = NULL;
    return settings->ui.dir.len ? ui_open(out, &options, why) : MG_OK;
}

/* Loop 0 serves the UI, so there it is exchanged; *argument becomes the old one. */
static enum mg_err swap_ui(struct worker *worker, void *argument, struct mg_why *why)
{
    struct ui **other = argument, *old = worker->program->ui;

    (void)why;
    worker->program->ui = *other;
    *other = old;
    return MG_OK;
}

/* A whole new configuration, or nothing. */
static void reload(struct program *program)
{
    struct settings *settings = MEM_NEW(struct settings);
    struct ui *ui;
    struct mg_why why = { "" };

    if (settings_load(settings, program->args.file, program->args.sets.at, program->args.sets.n, &why) != MG_OK ||
        open_ui(&ui, settings, &why) != MG_OK) {
        LOG(ERROR, "reload refused, nothing changed", F_WHY(&why));
        settings_fini(settings);
        mem_free(settings);
        return;
    }
    if (needs_restart(program->settings, settings))
        LOG(WARN, "some changed settings take effect at the next start",
            F_TEXT("keys", "data_dir, threads, listen.*, journal.durability, live.ring_bytes, query.threads, http.*"));
    VEC_PUSH(&program->generations, settings);
    program->settings = settings;
    live_reload(program->live, &settings->live, &settings->sampling);
    ingest_reload(program->ingest, &settings->ingest);
    store_reload(program->store, &settings->store);
    query_pool_reload(program->queries, &settings->query);
    jaeger_api_reload(program->jaeger, &settings->query);
    (void)call(&program->workers[0], swap_ui, &ui, NULL); /* cannot fail */
    ui_free(&ui);
    log_configure((enum log_level)settings->log.level, (enum log_format)settings->log.format);
    LOG(INFO, "reloaded");
}

static void wait_until_stopping(struct program *program)
{
    for (;;) {
        switch (next_event(program)) {
        case EVENT_TICK:
            tick(program);
            break;
        case EVENT_RELOAD:
            reload(program);
            break;
        case EVENT_STOP:
            return;
        }
    }
}

static enum mg_err serve(struct program *program, struct mg_why *why)
{
    MG_TRY(store_start(program->store, why));
    MG_TRY(open_door(program, DOOR_HEALTH, why));
    MG_TRY(open_door(program, DOOR_METRICS, why));
    program->wait.is_replaying = true;
    live_start(program->live);
    if (!wait_until_ready(program))
        return MG_OK;
    if (program->wait.ready_err != MG_OK) {
        *why = program->wait.ready_why;
        return program->wait.ready_err;
    }
    atomic_store(&program->admin.state, ADMIN_SERVING);
    MG_TRY(open_door(program, DOOR_QUERY, why));
    MG_TRY(open_door(program, DOOR_HTTP, why));
    MG_TRY(open_door(program, DOOR_GRPC, why));
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

/* A collector holds a connection a client; the soft limit is a shell's default. SIGPIPE is told by write's error. */
static void prepare_process(const struct settings *settings)
{
    struct rlimit files;

    log_configure((enum log_level)settings->log.level, (enum log_format)settings->log.format);
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* the old limit still works */
    }
    (void)mallopt(M_ARENA_MAX, 4); /* threads that seldom allocate share their arenas: idle memory stays small */
}

static int run_with(struct program *program)
{
    struct mg_why why = { "" };
    enum mg_err err;
    int status;

    prepare_process(program->settings);
    program->data_dir = settings_data_dir(program->settings);
    program->store_dir = join(program->data_dir, "store");
    program->journal_dir = join(program->data_dir, "journal");
    if (data_dir_lock(program->data_dir, true, &program->lock_fd, &why) != MG_OK)
        return complain("data_dir", &why, 1);
    program->registry = metric_registry_new();
    program->http_metrics = http_metrics_register(program->registry);
    if (open_ui(&program->ui, program->settings, &why) != MG_OK)
        return complain("run", &why, 1);
    if (open_storage(program, &why) != MG_OK)
        return complain("run", &why, 1);
    make_modules(program);
    make_workers(program);
    err = serve(program, &why);
    status = shut_down(program);
    return err == MG_OK ? status : complain("run", &why, 1);
}

static int run(int argc, char **argv)
{
    struct program *program = MEM_NEW(struct program);
    struct mg_why why = { "" };
    enum mg_err err = run_args_parse(&program->args, argc, argv, &why);
    int status;

    program->lock_fd = -1;
    pthread_mutex_init(&program->wait.lock, NULL);
    pthread_cond_init(&program->wait.changed, NULL);
    program->settings = MEM_NEW(struct settings);
    VEC_PUSH(&program->generations, program->settings);
    if (err == MG_OK)
        err = settings_load(program->settings, program->args.file, program->args.sets.at, program->args.sets.n, &why);
    status = err == MG_OK ? run_with(program) : complain("run", &why, COMMAND_USAGE);
    free_program(program);
    config_args_fini(&program->args);
    mem_free(program);
    return status;
}

int main(int argc, char **argv)
{
    const struct command_hooks hooks = { .run = run };

    return command_main(argc, argv, &hooks);
}
