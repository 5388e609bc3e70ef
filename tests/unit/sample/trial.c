/* trial.c - see trial.h. */
#include "unit/sample/trial.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/mem.h"
#include "base/vec.h"
#include "model/otlp_write.h"

/* --- rules ---------------------------------------------------------------------------------------- */

enum mg_err trial_rules_try(struct sample_rules **out, const struct trial_rules *from, struct mg_why *why)
{
    struct sample_conf conf = { .enabled = true, .sample_on_first_match = from->is_first_match, .overload = true,
                                .floor_traces_per_second = from->floor_per_second, .floor_bytes_per_day = 1 << 30 };
    struct yaml_docs *policies = NULL, *classes = NULL;
    enum mg_err err = MG_OK;

    if (from->policies)
        err = yaml_parse(&policies, str_of(from->policies), "policies", why);
    if (err == MG_OK)
        err = yaml_parse(&classes, str_of(from->classes ? from->classes : "[]"), "classes", why);
    if (err == MG_OK) {
        conf.policies = from->policies ? yaml_doc(policies, 0) : NULL;
        conf.classes = yaml_kind(yaml_doc(classes, 0)) == YAML_NULL ? NULL : yaml_doc(classes, 0);
        err = sample_rules_new(out, &conf, why);
    }
    yaml_docs_free(&policies);
    yaml_docs_free(&classes);
    return err;
}

struct sample_rules *trial_rules_new(const struct trial_rules *from)
{
    struct sample_rules *rules = NULL;
    struct mg_why why = { "" };

    if (trial_rules_try(&rules, from, &why) != MG_OK)
        fail_msg("%s\n%s", from->policies, why.text);
    return rules;
}

/* --- spans ---------------------------------------------------------------------------------------- */

static struct value value_of(char type, struct str text, struct arena *arena)
{
    struct value value = { .type = VALUE_STRING, .str = text };

    switch (type) {
    case 's':
        break;
    case 'i':
        value.type = VALUE_INT;
        assert_int_equal(str_i64(text, &value.i), MG_OK);
        break;
    case 'd':
        value.type = VALUE_DOUBLE;
        assert_int_equal(str_double(text, &value.d), MG_OK);
        break;
    case 'b':
        value.type = VALUE_BOOL;
        value.b = str_eq(text, STR("true"));
        break;
    case 'y':
        value.type = VALUE_BYTES;
        break;
    case 'l':
        value.type = VALUE_ARRAY;
        value.raw = arena_printf(arena, "\n%c\n%c%.*s", (int)text.len + 2, (int)text.len, STR_ARG(text));
        break;
    default:
        fail_msg("unknown type '%c'", type);
    }
    return value;
}

struct maker { struct span *span; struct arena *arena; VEC(struct attr) own, resource; uint64_t r; };

static void take_number(struct maker *m, struct str key, struct str value)
{
    char *text = str_text(value);
    uint64_t number = strtoull(text, NULL, str_eq(key, STR("r")) ? 16 : 10);

    mem_free(text);
    if (str_eq(key, STR("status")))
        m->span->status_code = (int32_t)number;
    else if (str_eq(key, STR("kind")))
        m->span->kind = (int32_t)number;
    else if (str_eq(key, STR("flags")))
        m->span->flags = (uint32_t)number;
    else if (str_eq(key, STR("span")))
        put_be64(m->span->span_id, number);
    else if (str_eq(key, STR("r")))
        m->r = number;
    else
        fail_msg("unknown word '%.*s'", STR_ARG(key));
}

static void take_times(struct maker *m, struct str word)
{
    struct str start, end;
    uint64_t start_ms, end_ms;

    assert_true(str_split_at(str_n(word.ptr + 1, word.len - 1), '-', &start, &end));
    assert_int_equal(str_u64(start, &start_ms), MG_OK);
    assert_int_equal(str_u64(end, &end_ms), MG_OK);
    m->span->start_ns = TRIAL_BEGIN + start_ms * 1000000;
    m->span->end_ns = TRIAL_BEGIN + end_ms * 1000000;
}

static void take_attribute(struct maker *m, struct str key, struct str value)
{
    bool is_resource = key.ptr[0] == '~';
    struct attr attr = { .key = str_n(key.ptr + is_resource, key.len - is_resource - 2) };

    attr.value = value_of(key.ptr[key.len - 1], value, m->arena);
    if (is_resource)
        VEC_PUSH(&m->resource, attr);
    else
        VEC_PUSH(&m->own, attr);
}

static void take_word(struct maker *m, struct str word)
{
    struct str key, value;

    if (str_eq(word, STR("child")))
        m->span->parent_id[7] = 1;
    else if (str_eq(word, STR("error")))
        m->span->status_code = STATUS_ERROR;
    else if (str_eq(word, STR("ok")))
        m->span->status_code = STATUS_OK;
    else if (word.ptr[0] == '@')
        take_times(m, word);
    else if (!str_split_at(word, '=', &key, &value))
        fail_msg("unknown word '%.*s'", STR_ARG(word));
    else if (str_eq(key, STR("name")))
        m->span->name = value;
    else if (str_eq(key, STR("ts")))
        m->span->trace_state = value;
    else if (key.len > 2 && key.ptr[key.len - 2] == ':')
        take_attribute(m, key, value);
    else
        take_number(m, key, value);
}

static void make_span(struct str words, struct arena *arena, uint64_t *r, struct span *out)
{
    struct maker m = { .span = out, .arena = arena, .r = *r };
    struct buf resource;
    struct str word;

    while (str_cut(&words, ' ', &word))
        if (word.len > 0)
            take_word(&m, word);
    out->n_attrs = (uint32_t)m.own.n;
    out->attrs = memcpy(arena_alloc(arena, (m.own.n + 1) * sizeof *m.own.at), m.own.n ? m.own.at : (void *)out, m.own.n * sizeof *m.own.at);
    buf_init(&resource, 1 << 20);
    rows_resource(&resource, m.resource.at, m.resource.n);
    out->resource = arena_str(arena, buf_str(&resource));
    *r = m.r;
    buf_fini(&resource);
    VEC_FINI(&m.own);
    VEC_FINI(&m.resource);
}

void trial_spans(const char *line, struct arena *arena, struct trial_spans *out)
{
    struct str rest = arena_str(arena, str_of(line)), words;
    uint64_t r = UINT64_C(0x80000000000000);

    out->n = 0;
    do {
        struct span *span = &out->at[out->n++];
        assert_true(out->n < TRIAL_SPANS_MAX);
        *span = (struct span){ .name = STR("GET /"), .trace_state = STR(""), .status_message = STR(""), .kind = SPAN_SERVER, .events = STR(""),
                               .links = STR(""), .unknown = STR(""), .scope = STR(""), .start_ns = TRIAL_BEGIN,
                               .end_ns = TRIAL_BEGIN + 10000000 };
        put_be64(span->span_id, out->n);
        if (!str_split_at(rest, '|', &words, &rest))
            words = rest, rest = STR("");
        make_span(words, arena, &r, span);
    } while (rest.len > 0);
    for (size_t i = 0; i < out->n; i++) {
        put_be64(out->at[i].trace_id, UINT64_C(0x0123456789abcdef));
        put_be64(out->at[i].trace_id + 8, UINT64_C(0xab) << 56 | r);
    }
}

/* --- asking --------------------------------------------------------------------------------------- */

void trial_add(struct trial *trial, struct sampler *sampler, struct rows *rows, const struct span *span)
{
    trial->last = rows_add(rows, span, trial->last);
    trial->n++;
    trial->bytes += trial->last->bytes;
    trial->is_settled |= sampler_add(sampler, &trial->facts, trial->last);
}

struct sample_trace trial_ask(struct trial *trial, uint64_t log_ns)
{
    return (struct sample_trace){ .last = trial->last, .n = trial->n, .bytes = trial->bytes, .facts = &trial->facts, .trigger = TRIGGER_ROOT,
                                  .log_ns = log_ns };
}

const char *trial_says(const struct sample_rules *rules, const struct outcome *outcome)
{
    static char text[200];
    struct str name = outcome->policy ? sample_rules_name(rules, outcome->policy) : STR("-");

    snprintf(text, sizeof text, "%s %s %.*s %.4g%s", outcome->verdict == VERDICT_KEPT ? "kept" : "dropped", reason_name(outcome->reason),
             STR_ARG(name), ot_probability(outcome->threshold), outcome->is_estimate ? "~" : "");
    return text;
}

const char *trial_votes(const struct sample_rules *rules, struct str votes)
{
    static char text[256];
    size_t n = sample_rules_policies(rules);

    for (size_t i = 0; i < n; i++)
        text[i] = "-nyd"[vote_get(votes, i)];
    text[n] = '\0';
    return text;
}

const char *trial_run_in(struct sampler *sampler, const struct sample_rules *rules, const char *line, uint64_t log_ns, struct trial *trial)
{
    static char text[512];
    struct trial_spans spans;
    struct arena arena = { 0 };
    struct rows rows;
    struct outcome outcome;
    struct str votes;

    *trial = (struct trial){ 0 };
    rows_init(&rows);
    trial_spans(line, &arena, &spans);
    for (size_t i = 0; i < spans.n; i++)
        trial_add(trial, sampler, &rows, &spans.at[i]);
    struct sample_trace trace = trial_ask(trial, log_ns);
    sampler_decide(sampler, &trace, &outcome, &votes);
    snprintf(text, sizeof text, "%s %s", trial_says(rules, &outcome), trial_votes(rules, votes));
    rows_fini(&rows);
    arena_fini(&arena);
    return text;
}

const char *trial_run(const struct trial_rules *from, const char *line, struct trial *trial)
{
    struct sample_rules *rules = trial_rules_new(from);
    struct sampler *sampler = sampler_new(&(struct sampler_options){ .rules = rules, .generation = 1 });
    const char *says = trial_run_in(sampler, rules, line, TRIAL_BEGIN, trial);

    sampler_free(&sampler);
    sample_rules_unref(&rules);
    return says;
}

/* --- benches -------------------------------------------------------------------------------------- */

void bench_init(struct bench *bench, const struct trial_rules *from)
{
    *bench = (struct bench){ .rules = trial_rules_new(from) };
    bench->sampler = sampler_new(&(struct sampler_options){ .rules = bench->rules, .generation = 1 });
    rows_init(&bench->rows);
}

void bench_fini(struct bench *bench)
{
    sampler_free(&bench->sampler);
    sample_rules_unref(&bench->rules);
    rows_fini(&bench->rows);
    arena_fini(&bench->arena);
}

void bench_add(struct bench *bench, struct trial *trial, const char *line)
{
    struct trial_spans spans;

    trial_spans(line, &bench->arena, &spans);
    for (size_t i = 0; i < spans.n; i++)
        trial_add(trial, bench->sampler, &bench->rows, &spans.at[i]);
}

const char *bench_decide(struct bench *bench, struct trial *trial, const struct sample_trace *how)
{
    struct sample_trace trace = trial_ask(trial, how->log_ns ? how->log_ns : TRIAL_BEGIN);
    struct outcome outcome;
    struct str votes;

    trace.overload_threshold = how->overload_threshold;
    sampler_decide(bench->sampler, &trace, &outcome, &votes);
    return trial_says(bench->rules, &outcome);
}

void bench_reload(struct bench *bench, const struct trial_rules *from, uint32_t generation)
{
    sample_rules_unref(&bench->rules);
    bench->rules = trial_rules_new(from);
    sampler_reload(bench->sampler, bench->rules, generation);
}
