/* reload.c - SIGHUP: a whole new configuration, or nothing. */
#include "program/private.h"

static void note_kept(void *owner, const char *key)
{
    struct buf *keys = owner;

    buf_printf(keys, "%s%s", keys->len ? ", " : "", key);
}

void reload_keep_started(struct settings *now, const struct settings *old, struct buf *keys)
{
    conf_keep_started(now->conf, old->conf, note_kept, keys);
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

/* What a reload makes. After next_take it has what was in force, and goes with that. */
struct next {
    struct settings *settings; /* NULL after next_take: those of the start were in force */
    struct ui *ui;             /* NULL: none is configured */
    uint32_t rules_generation; /* 0: no rules */
    struct buf for_restart;    /* keys that were changed in vain */
};

/* What is in the file goes together, or it would not have loaded; what a restart has not brought into force yet may not. */
static enum mg_err check_in_force(const struct settings *settings, struct mg_why *why)
{
    enum mg_err err = settings_check_tls(settings, why);

    return err == MG_OK ? err : mg_fail_in(why, err, "with the rows of tls as they were at the start, until a restart");
}

/* All that can fail. The running program has nothing of it but the strategies, which are taken last. The rules' generation must be
 * on disk before a decision names it. */
static enum mg_err next_make(struct next *next, struct program *program, struct mg_why *why)
{
    struct settings *settings = next->settings = MEM_NEW(struct settings);

    MG_TRY(settings_load(settings, program->args.file, program->args.sets.at, program->args.sets.n, why));
    reload_keep_started(settings, program->started, &next->for_restart);
    MG_TRY(check_in_force(settings, why));
    MG_TRY(ui_open_for(&next->ui, settings, why));
    if (settings->sample_rules)
        MG_TRY(store_rules_put(program->store, sample_rules_text(settings->sample_rules), &next->rules_generation, why));
    return head_reload(program->head, &settings->head, &settings->sampling, why);
}

static void next_fini(struct next *next)
{
    ui_free(&next->ui);
    settings_free(&next->settings);
    buf_fini(&next->for_restart);
}

/* What became of the rules of tail sampling, for the log. */
static const char *rules_news(uint32_t before, uint32_t now)
{
    if (now == 0)
        return "off";
    return now == before ? "unchanged" : "changed";
}

/* Cannot fail. When it returns nobody reads the old settings or the old UI any more. */
static void next_take(struct next *next, struct program *program)
{
    struct settings *settings = next->settings;

    next->settings = program->settings == program->started ? NULL : program->settings;
    program->settings = settings;
    program->rules_generation = next->rules_generation;
    live_reload(program->live, &settings->live, &settings->decisions);
    live_reload_rules(program->live, &settings->sampling, settings->sample_rules, program->rules_generation);
    store_reload(program->store, &settings->store);
    query_pool_reload(program->queries, &settings->query);
    jaeger_api_reload(program->jaeger, &settings->query);
    zipkin_api_reload(program->zipkin, &settings->query, &settings->zipkin);
    exports_reload(program);
    for (size_t i = 0; i < program->n_workers; i++)
        (void)worker_call(&program->workers[i], doors_reload, NULL, NULL); /* cannot fail */
    doors_warn(program);
    (void)worker_call(&program->workers[0], swap_ui, &next->ui, NULL);     /* cannot fail */
    log_configure((enum log_level)settings->log.level, (enum log_format)settings->log.format);
}

void program_reload(struct program *program)
{
    MG_AUTO(next_fini) struct next next = { 0 };
    uint32_t before = program->rules_generation;
    struct mg_why why = { "" };

    buf_init(&next.for_restart, 1 << 16);
    if (next_make(&next, program, &why) != MG_OK) {
        LOG(ERROR, "reload refused, nothing changed", F_WHY(&why));
        return;
    }
    if (next.for_restart.len)
        LOG(WARN, "some changed settings take effect at the next start", F_STR("keys", buf_str(&next.for_restart)));
    next_take(&next, program);
    LOG(INFO, "reloaded", F_U64("rules_generation", program->rules_generation),
        F_TEXT("sampling_rules", rules_news(before, program->rules_generation)));
}
