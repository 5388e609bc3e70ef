/* doors.c - listeners: what each serves, who may come in, and how it says that it is open. */
#include "program/private.h"
#include <stdio.h>
#include <string.h>
#include "codec/json_write.h"
#include "net/udp.h"

enum { DRAIN_MS = 2500 };

/* --- routes ----------------------------------------------------------------------------------------- */

struct part { const struct http_route *routes; size_t n; void *owner; bool without_root; };

static struct door_routes join_routes(const struct part *parts, size_t n)
{
    struct door_routes all = { 0 };
    size_t room = 0;

    for (size_t i = 0; i < n; i++)
        room += parts[i].n;
    all.at = mem_zero(room, sizeof *all.at);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < parts[i].n; k++) {
            if (parts[i].without_root && strcmp(parts[i].routes[k].path, "/") == 0)
                continue;
            all.at[all.n] = parts[i].routes[k];
            if (!all.at[all.n].owner) /* health has its own */
                all.at[all.n].owner = parts[i].owner;
            all.n++;
        }
    return all;
}

void doors_init(struct program *program)
{
    struct part query[5] = { { .owner = program->jaeger }, { .owner = &program->admin }, { .owner = &program->admin, .without_root = true },
                             { .owner = program->head }, { .owner = &program->ui } };
    struct part zipkin[2] = { { .owner = NULL /* its loop's ingest */ }, { .owner = program->zipkin } };
    struct part jaeger_grpc[2] = { { .owner = NULL }, { .owner = program->head } }, jaeger_http[2] = { { .owner = NULL }, { .owner = program->head } };

    query[0].routes = jaeger_routes(&query[0].n);
    query[1].routes = admin_query_routes(&query[1].n);
    query[2].routes = console_routes(&query[2].n); /* "/" is the UI's, which leads to the console without one */
    query[3].routes = sampling_query_routes(&query[3].n);
    query[4].routes = ui_routes(&query[4].n);
    program->query_routes = join_routes(query, MG_COUNT(query));
    zipkin[0].routes = ingest_zipkin_routes(&zipkin[0].n);
    zipkin[1].routes = zipkin_api_routes(&zipkin[1].n);
    program->zipkin_routes = join_routes(zipkin, MG_COUNT(zipkin));
    jaeger_grpc[0].routes = ingest_jaeger_grpc_routes(&jaeger_grpc[0].n);
    jaeger_grpc[1].routes = sampling_grpc_routes(&jaeger_grpc[1].n);
    program->jaeger_grpc_routes = join_routes(jaeger_grpc, MG_COUNT(jaeger_grpc));
    jaeger_http[0].routes = ingest_jaeger_http_routes(&jaeger_http[0].n);
    jaeger_http[1].routes = sampling_thrift_http_routes(&jaeger_http[1].n);
    program->jaeger_http_routes = join_routes(jaeger_http, MG_COUNT(jaeger_http));
}

void doors_fini(struct program *program)
{
    mem_free(program->query_routes.at);
    mem_free(program->zipkin_routes.at);
    mem_free(program->jaeger_grpc_routes.at);
    mem_free(program->jaeger_http_routes.at);
    tls_source_free(&program->tls);
}

static void serve_ingest(struct http_options *options, struct worker *worker, const struct http_route *(*routes)(size_t *n))
{
    options->owner = worker->ingest;
    options->routes = routes(&options->n_routes);
    options->scope = HTTP_SCOPE_INGEST;
}

static void serve_joined(struct http_options *options, struct worker *worker, const struct door_routes *routes)
{
    options->owner = worker->ingest;
    options->routes = routes->at;
    options->n_routes = routes->n;
}

static struct http_options door_options(struct worker *worker, enum door door)
{
    struct program *program = worker->program;
    const struct settings *settings = program->settings;
    struct http_options options = {
        .conf = &settings->http, .owner = &program->admin, .metrics = program->http_metrics, .metric_door = door,
        .is_otlp = door == DOOR_OTLP_GRPC || door == DOOR_OTLP_HTTP, .scope = HTTP_SCOPE_QUERY, .cors = &settings->cors,
        .client_names = &settings->tls.client_names,
        .auth = door_is_listed(door, &settings->open_doors, false) ? NULL : settings->callers };

    switch (door) {
    case DOOR_OTLP_GRPC:
        serve_ingest(&options, worker, ingest_otlp_grpc_routes);
        break;
    case DOOR_OTLP_HTTP:
        serve_ingest(&options, worker, ingest_otlp_http_routes);
        break;
    case DOOR_JAEGER_GRPC:
        serve_joined(&options, worker, &program->jaeger_grpc_routes);
        break;
    case DOOR_JAEGER_HTTP:
        serve_joined(&options, worker, &program->jaeger_http_routes);
        break;
    case DOOR_ZIPKIN:
        serve_joined(&options, worker, &program->zipkin_routes);
        break;
    case DOOR_QUERY_HTTP:
        serve_joined(&options, worker, &program->query_routes);
        break;
    case DOOR_QUERY_GRPC:
        options.owner = program->jaeger;
        options.routes = jaeger_grpc_routes(&options.n_routes);
        break;
    case DOOR_SAMPLING_HTTP: /* asked by SDKs, which hold a token to send spans */
        options.owner = program->head;
        options.scope = HTTP_SCOPE_INGEST;
        options.routes = sampling_http_routes(&options.n_routes);
        break;
    case DOOR_SAMPLING_GRPC:
        options.owner = program->head;
        options.scope = HTTP_SCOPE_INGEST;
        options.routes = sampling_grpc_door_routes(&options.n_routes);
        break;
    case DOOR_METRICS:
        options.routes = admin_metrics_routes(&options.n_routes);
        break;
    case DOOR_HEALTH:
    case DOOR_JAEGER_COMPACT: /* no HTTP */
    case DOOR_JAEGER_BINARY:
    case DOORS:
        options.routes = admin_health_routes(&options.n_routes);
        break;
    }
    return options;
}

/* Doors that take spans are open on every loop, the others on the first. */
#define EVERYWHERE(id, ...) [DOOR_##id] = true,
static const bool is_everywhere[DOORS] = { DOOR_ROWS(EVERYWHERE, DOOR_LEFT_OUT, EVERYWHERE) };

/* --- opening ---------------------------------------------------------------------------------------- */

enum mg_err doors_load_tls(struct program *program, struct mg_why *why)
{
    const struct tls_conf *conf = &program->settings->tls;
    const struct tls_options options = { .cert_file = conf->cert, .key_file = conf->key, .ca_file = conf->client_ca,
                                         .min_version = conf->min_version, .is_server = true, .alpn = "h2,http/1.1" };

    if (!conf->cert.len)
        return MG_OK;
    enum mg_err err = tls_source_new(&program->tls, &options, why);
    return err == MG_OK ? err : mg_fail_in(why, err, conf->client_ca.len ? "tls.cert, tls.key, tls.client_ca" : "tls.cert, tls.key");
}

static struct tls_source *tls_of(struct program *program, enum door door)
{
    return program->tls && door_is_listed(door, &program->settings->tls_doors, true) ? program->tls : NULL;
}

struct opening { enum door door; bool is_first; char address[96]; };

static void note_address(struct opening *opening, struct str address)
{
    snprintf(opening->address, sizeof opening->address, "%.*s", STR_ARG(address));
}

static enum mg_err open_udp(struct worker *worker, struct opening *opening, struct mg_why *why)
{
    const struct udp_options where = { .address = str_of(opening->address), .reuse_port = true, .must_be_free = opening->is_first };
    enum ingest_door door = opening->door == DOOR_JAEGER_COMPACT ? INGEST_DOOR_JAEGER_COMPACT : INGEST_DOOR_JAEGER_BINARY;

    MG_TRY(ingest_udp_open(worker->ingest, door, &where, why));
    note_address(opening, ingest_udp_address(worker->ingest, door));
    return MG_OK;
}

static enum mg_err open_on_loop(struct worker *worker, void *argument, struct mg_why *why)
{
    struct opening *opening = argument;

    if (door_is_udp(opening->door))
        return open_udp(worker, opening, why);
    struct http_options options = door_options(worker, opening->door);
    const struct listener_options where = { .address = str_of(opening->address), .reuse_port = true, .must_be_free = opening->is_first,
                                            .tls = tls_of(worker->program, opening->door) };
    struct http_server *server = http_server_new(worker->loop, &options);
    worker->servers[opening->door] = server;
    MG_TRY(http_server_listen(server, &where, why));
    note_address(opening, http_server_address(server));
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

static bool is_loopback(struct str address)
{
    return str_starts(address, STR("127.")) || str_starts(address, STR("[::1]:")) || str_starts(address, STR("localhost:"));
}

/* Health tells nobody anything, so it may stand open. */
static void warn_when_open(struct program *program, enum door door)
{
    const struct settings *settings = program->settings;
    bool asks = !http_auth_is_empty(settings->callers) && !door_is_listed(door, &settings->open_doors, false);
    bool verifies = tls_of(program, door) && settings->tls.client_ca.len;
    char row[64];

    if (settings->listen[door].len == 0 || is_loopback(settings->listen[door]) || door == DOOR_HEALTH || (!door_is_udp(door) && (asks || verifies)))
        return;
    snprintf(row, sizeof row, "listen.%s", door_names[door]);
    LOG(WARN, door_is_udp(door) ? "anybody who reaches this UDP door can send spans" : "anybody who reaches this door may come in: set auth.tokens or tls.client_ca",
        F_TEXT("row", row), F_STR("address", settings->listen[door]));
}

void doors_warn(struct program *program)
{
    for (enum door door = 0; door < DOORS; door++)
        warn_when_open(program, door);
}

enum mg_err door_open(struct program *program, enum door door, struct mg_why *why)
{
    struct str address = program->settings->listen[door];
    struct opening opening = { .door = door };
    size_t loops = is_everywhere[door] ? program->n_workers : 1;
    enum mg_err err = MG_OK;

    if (address.len == 0)
        return MG_OK;
    note_address(&opening, address);
    for (size_t i = 0; err == MG_OK && i < loops; i++) { /* the first one chooses the port when it is 0 */
        opening.is_first = i == 0;
        err = worker_call(&program->workers[i], open_on_loop, &opening, why);
    }
    if (err != MG_OK)
        return mg_fail_in(why, err, "listen.%s", door_names[door]);
    warn_when_open(program, door);
    admin_add_door(&program->admin, door_names[door], str_of(opening.address));
    say_ready(&opening);
    return MG_OK;
}

/* --- reload, end ------------------------------------------------------------------------------------ */

enum mg_err doors_reload(struct worker *worker, void *argument, struct mg_why *why)
{
    const struct settings *settings = worker->program->settings;

    (void)argument;
    (void)why;
    ingest_loop_reload(worker->ingest, &settings->ingest, settings->rules);
    for (enum door door = 0; door < DOORS; door++)
        if (worker->servers[door]) {
            struct http_options options = door_options(worker, door);
            http_server_reload(worker->servers[door], &options);
        }
    return MG_OK;
}

enum mg_err doors_drain(struct worker *worker, void *argument, struct mg_why *why)
{
    (void)argument;
    (void)why;
    for (enum door door = 0; door < DOORS; door++)
        if (worker->servers[door]) {
            program_busy(worker->program);
            http_server_drain(worker->servers[door], DRAIN_MS, program_rests, worker->program);
        }
    program_busy(worker->program);
    ingest_loop_close(worker->ingest, program_rests, worker->program);
    return MG_OK;
}

enum mg_err doors_close(struct worker *worker, void *argument, struct mg_why *why)
{
    (void)argument;
    (void)why;
    for (enum door door = 0; door < DOORS; door++)
        http_server_free(&worker->servers[door]);
    return MG_OK;
}
