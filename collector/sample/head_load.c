/* head_load.c - the strategies file of head sampling, at the start and when it changes: see head_private.h. */
#include "base/log.h"
#include "sample/head_private.h"

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

enum mg_err head_load_first(const struct head_rules *rules, struct strategies **out, struct file_stamp *stamp, struct mg_why *why)
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

static bool names_operations_of_all(const struct head_rules *rules)
{
    for (size_t i = 0; i < rules->n_overrides; i++)
        if (rules->overrides[i].has_operation && !rules->overrides[i].has_service)
            return true;
    return false;
}

void head_log_warnings(const struct head_rules *rules, const struct strategies *strategies)
{
    size_t n = strategies ? MG_MIN(strategies->n_warnings, (size_t)STRATEGIES_WARNINGS_MAX) : 0;

    for (size_t i = 0; i < n; i++)
        LOG(WARN, "strategies file", F_STR("path", rules->conf.file), F_STR("what", strategies->warnings[i]));
    if (strategies && strategies->n_warnings > n)
        LOG(WARN, "strategies file", F_STR("path", rules->conf.file), F_TEXT("what", "more of the same"), F_U64("warnings", strategies->n_warnings));
    if (strategies && rules->conf.mode == HEAD_STATIC && has_limit(strategies) && names_operations_of_all(rules))
        LOG(WARN, "strategies file", F_STR("path", rules->conf.file),
            F_TEXT("what", "an override of an operation without a service takes the place of every rate limit: clients are told probabilities, "
                           "and 1 where nothing else is said"));
    if (strategies && rules->conf.mode == HEAD_ADAPTIVE && has_limit(strategies))
        LOG(WARN, "strategies file", F_STR("path", rules->conf.file), F_TEXT("what", "rate limits are passed over in mode adaptive"));
}

void head_look_at_file(struct head *head, uint64_t now_ns)
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
    head_log_warnings(rules, strategies);
}
