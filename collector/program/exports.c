/* exports.c - the exporters that are switched on: their wires, their queues, and forward in front of them. */
#include "program/private.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEND_GRACE_MS = 500 };

/* One row an exporter, in the order of SEND_NAMES. */
struct kind {
    const char *name;
    const struct send_conf *(*conf)(const struct settings *settings);
    bool (*is_on)(const struct settings *settings);
    enum mg_err (*create)(const struct settings *settings, void **object, struct send_wire *wire, struct mg_why *why);
    void (*destroy)(void **object);
};

#define KIND(name, type, switched_on)                                                                        \
    static const struct send_conf *name##_conf(const struct settings *settings)                              \
    {                                                                                                        \
        return &settings->exporters.name.send;                                                               \
    }                                                                                                        \
    static bool name##_is_on(const struct settings *settings)                                                \
    {                                                                                                        \
        return settings->exporters.name.switched_on;                                                         \
    }                                                                                                        \
    static enum mg_err name##_create(const struct settings *settings, void **object, struct send_wire *wire, \
                                     struct mg_why *why)                                                     \
    {                                                                                                        \
        struct type *made = NULL;                                                                            \
        MG_TRY(type##_new(&made, &settings->exporters.name, why));                                           \
        type##_wire(made, wire);                                                                             \
        *object = made;                                                                                      \
        return MG_OK;                                                                                        \
    }                                                                                                        \
    static void name##_destroy(void **object)                                                                \
    {                                                                                                        \
        struct type *made = *object;                                                                         \
        type##_free(&made);                                                                                  \
        *object = NULL;                                                                                      \
    }
KIND(otlp, otlp_export, peer.endpoint.len > 0)
KIND(zipkin, zipkin_export, peer.endpoint.len > 0)
KIND(kafka, kafka_export, brokers.n > 0)
KIND(elasticsearch, elasticsearch_export, peer.endpoint.len > 0)

static const struct kind kinds[EXPORTERS] = {
#define ROW(name) { #name, name##_conf, name##_is_on, name##_create, name##_destroy }
    ROW(otlp), ROW(zipkin), ROW(kafka), ROW(elasticsearch)
#undef ROW
};

static void folder_of(const struct program *program, const char *name, struct buf *path)
{
    buf_init(path, 8192);
    buf_printf(path, "%s/exporters%s%s", program->data_dir, *name ? "/" : "", name);
    buf_put_char(path, '\0');
}

static enum mg_err make_folder(const struct program *program, struct mg_why *why)
{
    enum mg_err err = MG_OK;
    struct buf path;

    folder_of(program, "", &path);
    if (mkdir(path.ptr, 0700) != 0 && errno != EEXIST)
        err = mg_fail_os(why, errno, "cannot create %s", path.ptr);
    buf_fini(&path);
    return err;
}

/* What waits in the queue of an exporter that is off now is neither sent nor removed. */
static void warn_when_left(const struct program *program, const char *name)
{
    struct buf path;

    folder_of(program, name, &path);
    if (access(path.ptr, F_OK) == 0)
        LOG(WARN, "an exporter is switched off and its queue is still there: remove the folder, or switch it on to send the rest",
            F_TEXT("exporter", name), F_TEXT("folder", path.ptr));
    buf_fini(&path);
}

static enum mg_err open_one(struct program *program, size_t i, struct mg_why *why)
{
    struct exporter *exporter = &program->exporters[i];
    struct send_options options = { .conf = kinds[i].conf(program->settings), .metrics = program->send_metrics,
                                    .label = (unsigned)i };
    struct buf path;
    enum mg_err err = kinds[i].create(program->settings, &exporter->object, &options.wire, why);

    if (err != MG_OK)
        return err; /* its sentence names the row */
    folder_of(program, kinds[i].name, &path);
    options.dir = path.ptr;
    err = send_open(&exporter->send, &options, why);
    buf_fini(&path);
    return err == MG_OK ? MG_OK : mg_fail_in(why, err, "exporters.%s", kinds[i].name);
}

enum mg_err exports_open(struct program *program, struct mg_why *why)
{
    struct forward_target targets[EXPORTERS];
    size_t n = 0;

    program->send_metrics = send_metrics_register(program->registry);
    for (size_t i = 0; i < EXPORTERS; i++) {
        if (!kinds[i].is_on(program->settings)) {
            warn_when_left(program, kinds[i].name);
            continue;
        }
        MG_TRY(make_folder(program, why));
        MG_TRY(open_one(program, i, why));
        targets[n++] = (struct forward_target){ program->exporters[i].send, kinds[i].conf(program->settings) };
    }
    if (n)
        program->forward = forward_new(&(struct forward_options){ .targets = targets, .n = n, .metrics = program->registry });
    return MG_OK;
}

enum mg_err exports_start(struct program *program, struct mg_why *why)
{
    for (size_t i = 0; i < EXPORTERS; i++)
        if (program->exporters[i].send) {
            enum mg_err err = send_start(program->exporters[i].send, why);
            if (err != MG_OK)
                return mg_fail_in(why, err, "exporters.%s", kinds[i].name);
        }
    if (program->forward)
        forward_start(program->forward);
    return MG_OK;
}

void exports_reload(struct program *program)
{
    const struct send_conf *confs[EXPORTERS];
    size_t n = 0;

    for (size_t i = 0; i < EXPORTERS; i++)
        if (program->exporters[i].send) {
            confs[n++] = kinds[i].conf(program->settings);
            send_reload(program->exporters[i].send, confs[n - 1]);
        }
    if (program->forward)
        forward_reload(program->forward, confs);
}

/* After live: nothing more is decided. */
void exports_stop(struct program *program)
{
    if (program->forward)
        forward_stop(program->forward);
    for (size_t i = 0; i < EXPORTERS; i++)
        if (program->exporters[i].send)
            send_ask_stop(program->exporters[i].send, SEND_GRACE_MS);
    for (size_t i = 0; i < EXPORTERS; i++)
        if (program->exporters[i].send)
            send_stop(program->exporters[i].send, SEND_GRACE_MS);
}

void exports_close(struct program *program)
{
    forward_free(&program->forward);
    for (size_t i = 0; i < EXPORTERS; i++) {
        send_close(&program->exporters[i].send);
        if (program->exporters[i].object)
            kinds[i].destroy(&program->exporters[i].object);
    }
}
