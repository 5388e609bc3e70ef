/* settings.c - see settings.h. The rows live with the modules that read them; here they get their place in the file. */
#include "command/settings.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "command/endpoints.h"

extern char **environ;
#define TOP(type, key, field, def, min, max, ...) \
    CONF_ROW(struct settings, type, key, field, def, min, max, __VA_ARGS__)

static const struct conf_field top_fields[] = {
    TOP(CONF_STR, "data_dir", top.data_dir, NULL, NULL, NULL,
        "Directory of the journal and the store; empty means $XDG_STATE_HOME/meshglass, or /var/lib/meshglass for root.",
        CONF_NEEDS_RESTART),
    TOP(CONF_U64, "threads", top.threads, "0", "0", "256", "Request loops; 0 means one for each core.", CONF_NEEDS_RESTART),
};
static const struct conf_field listen_fields[] = {
#define DOOR(id, key, def, help) TOP(CONF_ADDRESS, key, listen[DOOR_##id], def, NULL, NULL, help, CONF_NEEDS_RESTART),
    DOOR_ROWS(DOOR, DOOR, DOOR)
};
static const struct conf_field tls_door_fields[] = {
    TOP(CONF_LIST, "doors", tls_doors, NULL, NULL, NULL, "Doors that speak TLS; empty: every TCP door.", CONF_NEEDS_RESTART),
};
static const struct conf_field auth_door_fields[] = {
    TOP(CONF_LIST, "open_doors", open_doors, "health", NULL, NULL, "Doors that ask nobody, by their names in listen."),
};
static const struct conf_field journal_fields[] = {
    { .name = "durability", .type = CONF_CHOICE, .offset = offsetof(struct settings, journal.durability), .def = "commit",
      .choices = "commit|os",
      .help = "commit: an answer means the spans survive power loss. os: they survive kill -9 only; no fdatasync is made.",
      CONF_NEEDS_RESTART },
};
static const struct conf_field log_fields[] = {
    { .name = "level", .type = CONF_CHOICE, .offset = offsetof(struct settings, log.level), .def = "info",
      .choices = "debug|info|warn|error", .help = "Least important log lines that are written." },
    { .name = "format", .type = CONF_CHOICE, .offset = offsetof(struct settings, log.format), .def = "logfmt",
      .choices = "logfmt|json", .help = "Form of the log lines on stderr." },
};

static void sections_of(struct settings *s, struct conf_section out[SETTINGS_SECTIONS])
{
    const struct conf_section sections[SETTINGS_SECTIONS] = {
        { "", top_fields, MG_COUNT(top_fields), s },
        { "listen", listen_fields, MG_COUNT(listen_fields), s },
        { "tls", tls_fields, tls_fields_n, &s->tls },
        { "tls", tls_door_fields, MG_COUNT(tls_door_fields), s },
        { "auth", http_auth_fields, http_auth_fields_n, &s->auth },
        { "auth", auth_door_fields, MG_COUNT(auth_door_fields), s },
        { "cors", http_cors_fields, http_cors_fields_n, &s->cors },
        { "ingest", ingest_fields, ingest_fields_n, &s->ingest },
        { "http", http_fields, http_fields_n, &s->http },
        { "journal", journal_fields, MG_COUNT(journal_fields), s },
        { "live", live_fields, live_fields_n, &s->live },
        { "sampling", decision_fields, decision_fields_n, &s->decisions },
        { "sampling", sample_fields, sample_fields_n, &s->sampling },
        { "sampling.head", head_fields, head_fields_n, &s->head },
        { "store", store_fields, store_fields_n, &s->store },
        { "query", query_fields, query_fields_n, &s->query },
        { "ui", ui_fields, ui_fields_n, &s->ui },
        { "zipkin", zipkin_fields, zipkin_fields_n, &s->zipkin },
        { "kafka", consume_fields, consume_fields_n, &s->kafka },
        { "exporters.otlp", otlp_export_fields, otlp_export_fields_n, &s->exporters.otlp },
        { "exporters.zipkin", zipkin_export_fields, zipkin_export_fields_n, &s->exporters.zipkin },
        { "exporters.kafka", kafka_export_fields, kafka_export_fields_n, &s->exporters.kafka },
        { "exporters.elasticsearch", elasticsearch_export_fields, elasticsearch_export_fields_n, &s->exporters.elasticsearch },
        { "log", log_fields, MG_COUNT(log_fields), s },
    };

    memcpy(out, sections, sizeof sections);
}

/* A door without TLS never asks for the certificate that alone opens it. */
static enum mg_err check_certificate_doors(const struct settings *settings, struct mg_why *why)
{
    const struct http_auth_conf *auth = &settings->auth;
    MG_AUTO(buf_fini) struct buf shut;

    buf_init(&shut, 256); /* all names fit */
    for (enum door door = 0; door < DOORS; door++)
        if (settings->listen[door].len && !door_is_udp(door) && !door_is_listed(door, &settings->tls_doors, true) &&
            !door_is_listed(door, &settings->open_doors, false))
            buf_printf(&shut, "%s%s", shut.len ? ", " : "", door_names[door]);
    if (shut.len == 0 || auth->tokens.n || auth->users.n || !auth->client_certificates.n)
        return MG_OK;
    return mg_fail(why, MG_E_FORMAT,
                   "nobody could come in by %.*s: auth.client_certificates is the only credential, and tls.doors leaves them out; put them "
                   "into tls.doors or auth.open_doors, or set auth.tokens",
                   STR_ARG(buf_str(&shut)));
}

enum mg_err settings_check_tls(const struct settings *settings, struct mg_why *why)
{
    const struct tls_conf *tls = &settings->tls;

    if (!tls->cert.len != !tls->key.len)
        return mg_fail(why, MG_E_FORMAT, "tls.cert and tls.key go together");
    if (!tls->cert.len && (tls->client_ca.len || settings->tls_doors.n || tls->client_names.n))
        return mg_fail(why, MG_E_FORMAT, "tls: without tls.cert and tls.key no other row has a meaning");
    if (tls->client_names.n && !tls->client_ca.len)
        return mg_fail(why, MG_E_FORMAT, "tls.client_names needs tls.client_ca, which verifies what is compared");
    if (settings->auth.client_certificates.n && !tls->client_ca.len)
        return mg_fail(why, MG_E_FORMAT,
                       "auth.client_certificates needs tls.client_ca, or no certificate is ever asked for: set tls.client_ca to the file of "
                       "their authority, or take auth.client_certificates out");
    return check_certificate_doors(settings, why);
}

enum mg_err settings_load(struct settings *out, const char *path, const char *const *sets, size_t n_sets, struct mg_why *why)
{
    const struct conf_source source = { .path = path, .sets = sets, .n_sets = n_sets,
                                        .environment = (const char *const *)environ };

    *out = (struct settings){ 0 };
    sections_of(out, out->sections);
    MG_TRY(conf_load(&out->conf, out->sections, SETTINGS_SECTIONS, &source, why));
    out->http.body_bytes_max = out->ingest.body_bytes_max;
    MG_TRY(door_list_check("tls.doors", &out->tls_doors, false, why));
    MG_TRY(door_list_check("auth.open_doors", &out->open_doors, true, why));
    MG_TRY(settings_check_tls(out, why));
    MG_TRY(endpoints_check(out, why));
    if (out->kafka.brokers.n)
        MG_TRY(consume_check(&out->kafka, why));
    if (out->exporters.kafka.brokers.n)
        MG_TRY(kafka_export_check(&out->exporters.kafka, why));
    MG_TRY(http_cors_check(&out->cors, why));
    MG_TRY(http_auth_new(&out->callers, &out->auth, why));
    if (out->sampling.enabled)
        MG_TRY(sample_rules_new(&out->sample_rules, &out->sampling, why));
    MG_TRY(head_check(&out->head, &out->sampling, why));
    return attribute_rules_new(&out->rules, &out->ingest.rules, why);
}

void settings_fini(struct settings *settings)
{
    http_auth_unref(&settings->callers);
    attribute_rules_unref(&settings->rules);
    sample_rules_unref(&settings->sample_rules);
    conf_free(&settings->conf);
}

void settings_free(struct settings **settings)
{
    if (*settings)
        settings_fini(*settings);
    mem_free(*settings);
    *settings = NULL;
}

void settings_reference(struct buf *out)
{
    struct settings settings = { 0 };
    struct conf_section sections[SETTINGS_SECTIONS];

    sections_of(&settings, sections);
    conf_reference(sections, SETTINGS_SECTIONS, out);
}

char *settings_data_dir(const struct settings *settings)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    struct buf path;

    if (settings->top.data_dir.len)
        return str_text(settings->top.data_dir);
    if (geteuid() == 0)
        return mem_text("/var/lib/meshglass");
    buf_init(&path, 4096);
    if (state && state[0] == '/')
        buf_printf(&path, "%s/meshglass", state);
    else
        buf_printf(&path, "%s/.local/state/meshglass", home ? home : "/tmp");
    return buf_take(&path, NULL);
}

/* A new directory is only there after a power cut when the one that names it was synced. */
static enum mg_err make_dir(const char *path, struct mg_why *why)
{
    int failed;

    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? MG_OK : mg_fail_os(why, errno, "cannot create data_dir %s", path);
    failed = file_sync_parent(path);
    return failed ? mg_fail_os(why, failed, "cannot sync the directory of %s", path) : MG_OK;
}

static enum mg_err make_dirs(const char *path, struct mg_why *why)
{
    char *copy = mem_text(path);
    enum mg_err err = MG_OK;

    for (char *at = copy + 1; err == MG_OK; at++) {
        char end = *at;
        if (end != '/' && end != '\0')
            continue;
        *at = '\0';
        err = make_dir(copy, why);
        *at = end;
        if (end == '\0')
            break;
    }
    mem_free(copy);
    return err;
}

static enum mg_err in_use(int fd, const char *data_dir, struct mg_why *why)
{
    char owner[32] = "";
    ssize_t got = pread(fd, owner, sizeof owner - 1, 0);

    if (got > 0 && owner[got - 1] == '\n')
        owner[got - 1] = '\0';
    return mg_fail(why, MG_E_BUSY, "%s is in use by process %s; stop it first", data_dir, owner[0] ? owner : "(unknown)");
}

/* The lock is what counts, and is held: a disk that is full must not prevent a start. Written over the old one, it needs no new block. */
static void note_owner(int lock)
{
    char pid[32];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());

    if (pwrite(lock, pid, (size_t)n, 0) != n || ftruncate(lock, n) != 0)
        (void)!ftruncate(lock, 0); /* rather nobody than somebody else */
}

enum mg_err data_dir_lock(const char *data_dir, bool create, int *fd, struct mg_why *why)
{
    char path[4096];
    int lock;

    if (create)
        MG_TRY(make_dirs(data_dir, why));
    if ((size_t)snprintf(path, sizeof path, "%s/LOCK", data_dir) >= sizeof path)
        return mg_fail(why, MG_E_TOO_BIG, "data_dir is too long: %s", data_dir);
    if ((lock = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600)) < 0)
        return mg_fail_os(why, errno, "cannot open %s", path);
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        enum mg_err err = errno == EWOULDBLOCK ? in_use(lock, data_dir, why) : mg_fail_os(why, errno, "cannot lock %s", path);
        close(lock);
        return err;
    }
    if (create)
        note_owner(lock);
    *fd = lock;
    return MG_OK;
}
