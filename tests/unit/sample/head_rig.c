/* head_rig.c - see head_rig.h. */
#include "unit/sample/head_rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/mem.h"

const char rig_full_file[] =
    "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":0.5,"
    "\"operation_strategies\":[{\"operation\":\"/all\",\"type\":\"probabilistic\",\"param\":0.25},"
    "{\"operation\":\"GET /health\",\"type\":\"probabilistic\",\"param\":0.9}]},"
    "\"service_strategies\":["
    "{\"service\":\"plain\",\"type\":\"probabilistic\",\"param\":0.8},"
    "{\"service\":\"ops\",\"type\":\"probabilistic\",\"param\":0.7,\"operation_strategies\":["
    "{\"operation\":\"/all\",\"type\":\"probabilistic\",\"param\":0.1},{\"operation\":\"/own\",\"type\":\"probabilistic\",\"param\":0.2}]},"
    "{\"service\":\"odd\",\"type\":\"const\",\"param\":1},"
    "{\"service\":\"limit\",\"type\":\"ratelimiting\",\"param\":8}]}";
const char rig_limit_file[] = "{\"default_strategy\":{\"type\":\"ratelimiting\",\"param\":8},"
                                 "\"service_strategies\":[{\"service\":\"low\",\"type\":\"ratelimiting\",\"param\":0.5}]}";

static _Atomic uint64_t now_ns = 1000 * RIG_SECOND;

uint64_t rig_now_ns(void)
{
    return atomic_load(&now_ns);
}

void rig_move(uint64_t ns)
{
    atomic_fetch_add(&now_ns, ns);
}

void rig_open(struct head_rig *rig)
{
    *rig = (struct head_rig){ .keeps_state = true };
    (void)snprintf(rig->dir, sizeof rig->dir, "/tmp/head_test.XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    (void)snprintf(rig->state, sizeof rig->state, "%s/sampling.json", rig->dir);
    (void)snprintf(rig->file, sizeof rig->file, "%s/strategies.json", rig->dir);
    rows_init(&rig->rows);
}

void rig_close(struct head_rig *rig)
{
    rig_stop(rig);
    rows_fini(&rig->rows);
    arena_fini(&rig->arena);
    (void)unlink(rig->state);
    (void)unlink(rig->file);
    assert_int_equal(rmdir(rig->dir), 0); /* nothing else was left there */
}

static struct conf *load_conf(struct head_rig *rig, const char *const *sets, struct head_conf *head_conf, struct sample_conf *sampling)
{
    const struct conf_section sections[] = { { "sampling", sample_fields, sample_fields_n, sampling },
                                             { "sampling.head", head_fields, head_fields_n, head_conf } };
    const char *all[RIG_SETS_MAX];
    struct mg_why why;
    struct conf *conf;
    size_t n = 0;

    for (; sets[n]; n++) {
        struct str before, after;
        bool has_file = str_split_at(str_of(sets[n]), '@', &before, &after) && str_eq(after, STR("file"));
        all[n] = has_file ? arena_printf(&rig->arena, "sampling.%.*s%s", STR_ARG(before), rig->file).ptr :
                            arena_printf(&rig->arena, "sampling.%s", sets[n]).ptr;
    }
    if (conf_load(&conf, sections, MG_COUNT(sections), &(struct conf_source){ .sets = all, .n_sets = n }, &why) != MG_OK)
        fail_msg("%s", why.text);
    return conf;
}

enum mg_err rig_try(struct head_rig *rig, const char *const *sets, struct mg_why *why)
{
    enum mg_err err;

    rig_stop(rig);
    rig->metrics = metric_registry_new();
    rig->conf = load_conf(rig, sets, &rig->head_conf, &rig->sampling);
    err = head_new(&rig->head, &(struct head_options){ &rig->head_conf, &rig->sampling, rig->metrics,
                                                         rig->keeps_state ? rig->state : NULL, rig_now_ns }, why);
    if (err != MG_OK)
        rig_stop(rig);
    return err;
}

void rig_start(struct head_rig *rig, const char *const *sets)
{
    struct mg_why why = { "" };

    if (rig_try(rig, sets, &why) != MG_OK)
        fail_msg("%s", why.text);
}

void rig_stop(struct head_rig *rig)
{
    head_free(&rig->head);
    if (rig->metrics)
        metric_registry_free(&rig->metrics);
    if (rig->conf)
        conf_free(&rig->conf);
    rig->conf = NULL;
}

enum mg_err rig_reload(struct head_rig *rig, const char *const *sets, struct mg_why *why)
{
    struct head_conf head_conf;
    struct sample_conf sampling;
    struct conf *conf = load_conf(rig, sets, &head_conf, &sampling);
    enum mg_err err = head_reload(rig->head, &head_conf, &sampling, why);

    conf_free(&conf); /* nothing of it may be needed any more */
    return err;
}

void rig_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

void rig_pass(struct head_rig *rig, uint64_t seconds)
{
    for (uint64_t i = 0; i < seconds; i++) {
        rig_move(RIG_SECOND);
        head_tick(rig->head);
    }
}

/* --- roots ---------------------------------------------------------------------------------------- */

static size_t read_says(struct head_rig *rig, struct str says, struct attr *attrs)
{
    struct str type, param, kind = STR("");
    const char *prefix = "";
    double number;

    if (str_starts(says, STR("otel ")) || str_starts(says, STR("text ")))
        (void)str_cut(&says, ' ', &kind);
    if (!str_split_at(says, ' ', &type, &param))
        return 0;
    if (str_eq(kind, STR("otel")))
        prefix = "jaeger.";
    attrs[0] = (struct attr){ arena_printf(&rig->arena, "%ssampler.type", prefix), { .type = VALUE_STRING, .str = type } };
    attrs[1] = (struct attr){ arena_printf(&rig->arena, "%ssampler.param", prefix), { .type = VALUE_STRING, .str = param } };
    if (str_eq(param, STR("true")))
        attrs[1].value = (struct value){ .type = VALUE_BOOL, .b = true };
    else if (!str_eq(kind, STR("text")) && str_double(param, &number) == MG_OK)
        attrs[1].value = (struct value){ .type = VALUE_DOUBLE, .d = number };
    return 2;
}

const struct row *rig_row(struct head_rig *rig, const char *service, const char *operation, const char *says)
{
    const struct attr name = { STR("service.name"), { .type = VALUE_STRING, .str = str_of(service) } };
    struct attr attrs[3] = { { STR("http.route"), { .type = VALUE_STRING, .str = STR("/x") } } };
    bool is_state = str_starts(str_of(says), STR("ot="));
    const struct row *row;
    struct buf resource;

    buf_init(&resource, 1 << 20);
    rows_resource(&resource, &name, 1);
    struct span span = { .trace_id = { 1 }, .span_id = { 2 }, .start_ns = 1, .end_ns = 2, .name = str_of(operation), .attrs = attrs,
                         .n_attrs = 1, .resource = buf_str(&resource) };
    if (is_state)
        span.trace_state = str_of(says);
    else
        span.n_attrs += (uint32_t)read_says(rig, str_of(says), attrs + 1);
    row = rows_add(&rig->rows, &span, NULL);
    buf_fini(&resource);
    return row;
}

void rig_count(struct head_rig *rig, const struct row *row, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        head_count(rig->head, row, segment_of(row)->epoch);
}

/* --- answers -------------------------------------------------------------------------------------- */

const char *rig_told(struct head_rig *rig, const char *service)
{
    struct strategy told;
    struct buf text;

    head_strategy(rig->head, str_of(service), &rig->arena, &told);
    buf_init(&text, 1 << 20);
    if (told.type == STRATEGY_RATE_LIMITING)
        buf_printf(&text, "L %d", told.max_traces_per_second);
    else
        buf_printf(&text, "P %.6g", told.probability);
    if (told.has_operations)
        buf_printf(&text, " | %.6g %.3g |", told.probability, told.default_lower_bound);
    else
        assert_int_equal(told.n_operations, 0);
    for (size_t i = 0; i < told.n_operations; i++)
        buf_printf(&text, "%s %.*s %.6g", i ? "," : "", STR_ARG(told.operations[i].name), told.operations[i].probability);
    const char *copy = arena_str(&rig->arena, buf_str(&text)).ptr;
    buf_fini(&text);
    return copy;
}

double rig_probability(struct head_rig *rig, const char *service, const char *operation)
{
    struct arena arena = { 0 };
    struct strategy told;

    head_strategy(rig->head, str_of(service), &arena, &told);
    double probability = told.probability;
    for (size_t i = 0; i < told.n_operations; i++)
        if (str_eq(told.operations[i].name, str_of(operation)))
            probability = told.operations[i].probability;
    arena_fini(&arena);
    return probability;
}

const struct head_row *rig_row_of(struct head_rig *rig, const char *service, const char *operation)
{
    struct head_row *rows;
    size_t n;

    head_effective(rig->head, &rig->arena, &rows, &n);
    for (size_t i = 1; i < n; i++) {
        int by_service = str_cmp(rows[i - 1].service, rows[i].service);
        assert_true(by_service < 0 || (by_service == 0 && str_cmp(rows[i - 1].operation, rows[i].operation) < 0));
    }
    for (size_t i = 0; i < n; i++)
        if (str_eq(rows[i].service, str_of(service)) && str_eq(rows[i].operation, str_of(operation)))
            return &rows[i];
    return NULL;
}

double rig_metric(struct head_rig *rig, const char *sample)
{
    struct str rest, line, name, value;
    double number = -1;
    struct buf text;

    buf_init(&text, 1 << 20);
    metric_write(rig->metrics, METRIC_TEXT_0_0_4, &text);
    rest = buf_str(&text);
    while (str_cut(&rest, '\n', &line))
        if (str_split_at(line, ' ', &name, &value) && str_eq(name, str_of(sample)))
            assert_int_equal(str_double(value, &number), MG_OK);
    buf_fini(&text);
    return number;
}
