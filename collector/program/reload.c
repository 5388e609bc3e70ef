/* reload.c - SIGHUP: a whole new configuration, or nothing. */
#include "program/private.h"

/* What the program has bound, opened or sized at its start: keys that begin like this. */
static const char *const at_start[] = {
    "data_dir", "threads", "listen.", "tls.", "journal.", "live.ring_bytes", "query.threads", "http.", "kafka.",
    "exporters.otlp.endpoint", "exporters.otlp.headers", "exporters.otlp.ca", "exporters.otlp.cert", "exporters.otlp.key",
    "exporters.otlp.insecure", "exporters.otlp.timeout", "exporters.zipkin.endpoint",
    "exporters.zipkin.headers", "exporters.zipkin.ca", "exporters.zipkin.cert", "exporters.zipkin.key", "exporters.zipkin.insecure",
    "exporters.zipkin.timeout", "exporters.elasticsearch.endpoint", "exporters.elasticsearch.headers",
    "exporters.elasticsearch.ca", "exporters.elasticsearch.cert", "exporters.elasticsearch.key", "exporters.elasticsearch.insecure",
    "exporters.elasticsearch.timeout", "exporters.otlp.protocol", "exporters.otlp.compression",
    "exporters.elasticsearch.index_prefix", "exporters.elasticsearch.templates", "exporters.kafka.brokers", "exporters.kafka.topic",
    "exporters.kafka.compression", "exporters.kafka.properties", "exporters.kafka.timeout",
};

static void note_key(void *owner, const char *key)
{
    struct buf *keys = owner;

    for (size_t i = 0; i < MG_COUNT(at_start); i++)
        if (str_starts(str_of(key), str_of(at_start[i]))) {
            buf_printf(keys, "%s%s", keys->len ? ", " : "", key);
            return;
        }
}

static void warn_of_restart(const struct settings *old, const struct settings *now)
{
    struct buf keys;

    buf_init(&keys, 1 << 16);
    conf_changed(old->conf, now->conf, note_key, &keys);
    if (keys.len)
        LOG(WARN, "some changed settings take effect at the next start", F_STR("keys", buf_str(&keys)));
    buf_fini(&keys);
}

enum mg_err ui_open_for(struct ui **out, const struct settings *settings, struct mg_why *why)
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

/* The last step that can fail: the strategies, and a generation for the rules, which must be on disk before a decision names it. */
static enum mg_err take_sampling(struct program *program, const struct settings *settings, struct ui *ui, struct mg_why *why)
{
    uint32_t generation = 0;
    enum mg_err err = MG_OK;

    if (settings->sample_rules)
        err = store_rules_put(program->store, sample_rules_text(settings->sample_rules), &generation, why);
    if (err == MG_OK)
        err = head_reload(program->head, &settings->head, &settings->sampling, why);
    if (err == MG_OK)
        program->rules_generation = generation;
    else
        ui_free(&ui);
    return err;
}

void program_reload(struct program *program)
{
    struct settings *settings = MEM_NEW(struct settings);
    struct ui *ui;
    struct mg_why why = { "" };

    if (settings_load(settings, program->args.file, program->args.sets.at, program->args.sets.n, &why) != MG_OK ||
        ui_open_for(&ui, settings, &why) != MG_OK || take_sampling(program, settings, ui, &why) != MG_OK) {
        LOG(ERROR, "reload refused, nothing changed", F_WHY(&why));
        settings_fini(settings);
        mem_free(settings);
        return;
    }
    warn_of_restart(program->settings, settings);
    VEC_PUSH(&program->generations, settings);
    program->settings = settings;
    live_reload(program->live, &settings->live, &settings->decisions);
    live_reload_rules(program->live, &settings->sampling, settings->sample_rules, program->rules_generation);
    ingest_reload(program->ingest, &settings->ingest, settings->rules);
    store_reload(program->store, &settings->store);
    query_pool_reload(program->queries, &settings->query);
    jaeger_api_reload(program->jaeger, &settings->query);
    zipkin_api_reload(program->zipkin, &settings->query, &settings->zipkin);
    exports_reload(program);
    for (size_t i = 0; i < program->n_workers; i++)
        (void)worker_call(&program->workers[i], doors_reload, NULL, NULL); /* cannot fail */
    doors_warn(program);
    (void)worker_call(&program->workers[0], swap_ui, &ui, NULL);           /* cannot fail */
    ui_free(&ui);
    log_configure((enum log_level)settings->log.level, (enum log_format)settings->log.format);
    LOG(INFO, "reloaded");
}
