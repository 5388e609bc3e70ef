/* find.c - scans: a scan is one question to query_search in one stretch of time, page after page.
 *
 * query_search has no cursor. A page is therefore asked for with the stretch ended at the latest
 * matching start of the page's last trace, and traces seen before are passed over; pages grow, so
 * that traces which come again and again (long ones) cannot keep it busy for ever.
 *
 * The stretches of one question, in this order:
 *
 *     [0, 0]                 spans without a timestamp
 *     (to, to + 10 s]        spans later than the window; then up to three hours
 *     [from, to]
 *     [from - 3 h, from)     only while traces are missing */
#include "api/zipkin/find.h"

#include "api/zipkin/match.h"
#include "api/zipkin/names.h"
#include "base/vec.h"

#define US_NS       UINT64_C(1000)
#define NEAR_NS     UINT64_C(10000000000)
#define FAR_NS      UINT64_C(10800000000000)
#define PAGE_MIN    64
#define PAGE_GROWTH 8

struct question { /* borrowed strings; NULL: any */
    struct str service, name;
};

struct finder {
    struct query *query;
    const struct zipkin_search *search;
    uint64_t page_max;
    struct zipkin_matcher matcher;
    struct map seen;    /* trace id -> nothing */
    struct arena arena; /* of one span */
    struct buf text;    /* filter_match's */
    struct zipkin_found *found;
    size_t n_found;
    /* what query_search is asked for */
    struct filter_tag tag;
    struct span_filter filter;
    bool by_name;
    bool is_part;     /* the condition does not find all there is */
    bool is_timeless; /* many spans have no timestamp */
    VEC(struct question) questions;
    /* the current scan */
    uint64_t page, n_given, last_ns; /* last_ns: latest matching start of the last trace given */
    uint64_t budget, n_extra;
    bool is_over, is_cut; /* cut: something is left that was not looked at */
};

/* --- one candidate ---------------------------------------------------------------------------- */

static bool is_full(const struct finder *f)
{
    return f->n_found == f->search->limit;
}

/* By time, the newest first; the oldest gives way. */
static void put_found(struct finder *f, const uint8_t id[16], uint64_t time_us)
{
    size_t at = f->n_found;

    if (is_full(f) && f->found[at - 1].time_us >= time_us)
        return;
    if (is_full(f))
        at--;
    else
        f->n_found++;
    for (; at > 0 && f->found[at - 1].time_us < time_us; at--)
        f->found[at] = f->found[at - 1];
    f->found[at].time_us = time_us;
    memcpy(f->found[at].id, id, sizeof f->found[at].id);
}

static void look_at(struct finder *f, const struct query_trace *trace)
{
    struct zipkin_span view;
    uint64_t time_us;

    zipkin_match_begin(&f->matcher, f->search);
    for (size_t i = 0; i < trace->n; i++) {
        zipkin_view(trace->spans[i], &f->arena, &view);
        zipkin_match_span(&f->matcher, &view);
        arena_reset(&f->arena);
    }
    if (zipkin_match_end(&f->matcher, &time_us))
        put_found(f, trace->id, time_us);
}

static uint64_t latest_start(struct finder *f, const struct query_trace *trace)
{
    uint64_t latest = 0;

    for (size_t i = 0; i < trace->n; i++)
        if (trace->spans[i]->start_ns > latest &&
            filter_match(&f->filter, trace->spans[i], &f->text))
            latest = trace->spans[i]->start_ns;
    return latest;
}

/* Are enough found, and this trace and all further ones older than them? */
static bool is_settled(struct finder *f)
{
    if (!is_full(f) || f->filter.start_max_ns == 0)
        return false;
    return f->last_ns / US_NS + 1 < f->found[f->n_found - 1].time_us ||
           f->n_extra++ >= EXTRA_TRACES;
}

/* The code is nobody's: scan_page looks at is_over first. */
static enum mg_err stop(struct finder *f, bool is_cut)
{
    f->is_over = true;
    f->is_cut = is_cut;
    return MG_E_ABSENT;
}

static enum mg_err on_candidate(void *owner, const struct query_trace *trace)
{
    struct finder *f = owner;
    bool is_new;

    f->n_given++;
    if (is_full(f) || f->n_given == f->page)
        f->last_ns = latest_start(f, trace);
    if (is_settled(f))
        return stop(f, false);
    (void)map_put(&f->seen, str_n(trace->id, sizeof trace->id), &is_new); /* only the key counts */
    if (!is_new)
        return MG_OK;
    if (f->budget-- == 0)
        return stop(f, true);
    look_at(f, trace);
    return MG_OK;
}

/* --- scans ------------------------------------------------------------------------------------ */

static enum mg_err scan_page(struct finder *f, struct mg_why *why)
{
    const struct query_search search = {f->filter, (uint32_t)f->page};
    enum mg_err err;

    f->n_given = 0;
    err = query_search(f->query, &search, on_candidate, f, why);
    if (f->is_over)
        return MG_OK;
    MG_TRY(err);
    if (f->n_given < f->page)
        f->is_over = true;
    else if (f->last_ns >= f->filter.start_max_ns && f->page == f->page_max)
        (void)stop(f, true); /* more traces at one instant than a page has */
    else
        f->filter.start_max_ns = MG_MIN(f->filter.start_max_ns, f->last_ns);
    return MG_OK;
}

/* At most `budget` new traces. */
static enum mg_err scan(struct finder *f, uint64_t from_ns, uint64_t to_ns, uint64_t budget,
                        struct mg_why *why)
{
    uint64_t wanted = MG_MAX((uint64_t)f->search->limit * 2, (uint64_t)PAGE_MIN);

    f->filter.start_min_ns = from_ns;
    f->filter.start_max_ns = to_ns;
    f->budget = budget;
    f->n_extra = 0;
    f->is_over = f->is_cut = false;
    for (f->page = MG_MIN(wanted, f->page_max); !f->is_over;
         f->page = MG_MIN(f->page * PAGE_GROWTH, f->page_max))
        MG_TRY(scan_page(f, why));
    return MG_OK;
}

/* A trace's time is its root's, rounded to a microsecond. */
static uint64_t from_ns(const struct finder *f)
{
    uint64_t us = f->search->start_min_us;

    if (us == 0)
        return 1; /* 0 is no time */
    return us > UINT64_MAX / US_NS ? UINT64_MAX : us * US_NS - US_NS / 2;
}

static uint64_t to_ns(const struct finder *f)
{
    uint64_t us = f->search->start_max_us;

    return us >= UINT64_MAX / US_NS ? UINT64_MAX : us * US_NS + US_NS / 2;
}

static enum mg_err scan_window(struct finder *f, struct mg_why *why)
{
    MG_TRY(scan(f, from_ns(f), to_ns(f), CANDIDATES_MAX, why));
    if (f->is_cut || f->seen.n > CANDIDATES_MAX)
        return mg_fail(why, MG_E_TOO_BIG,
                       "too many traces would have to be looked at: narrow the time by endTs and "
                       "lookback, or ask for a service or a tag");
    return MG_OK;
}

/* Spans later than the window, of traces that began in it: the nearest first. */
static enum mg_err scan_after(struct finder *f, struct mg_why *why)
{
    uint64_t to = to_ns(f);
    uint64_t near = to + MG_MIN(NEAR_NS, UINT64_MAX - to),
             far = to + MG_MIN(FAR_NS, UINT64_MAX - to);

    if (near == to)
        return MG_OK;
    MG_TRY(scan(f, to + 1, near, SLACK_TRACES, why));
    if (f->is_cut || far == near)
        return MG_OK;
    return scan(f, near + 1, far, SLACK_TRACES, why);
}

static enum mg_err scan_before(struct finder *f, struct mg_why *why)
{
    uint64_t from = from_ns(f);

    if (is_full(f) || from <= 1)
        return MG_OK;
    return scan(f, from > FAR_NS ? from - FAR_NS : 1, from - 1, SLACK_TRACES, why);
}

static enum mg_err scan_all(struct finder *f, struct mg_why *why)
{
    MG_TRY(scan(f, 0, 0, TIMELESS_TRACES, why));
    f->is_timeless |= f->is_cut;
    MG_TRY(scan_after(f, why));
    MG_TRY(scan_window(f, why));
    return scan_before(f, why);
}

/* --- what to ask for -------------------------------------------------------------------------- */

static void ask_for_tag(struct finder *f, struct str key, struct str value)
{
    f->tag = (struct filter_tag){.key = key, .value = value, .op = TAG_EQUALS};
    f->filter.tags = &f->tag;
    f->filter.n_tags = 1;
}

static bool ask_for_value(struct finder *f)
{
    for (size_t i = 0; i < f->search->n_terms; i++) {
        const struct zipkin_term *term = &f->search->terms[i];
        if (!term->value.len || !zipkin_is_stored_tag(term->key))
            continue;
        ask_for_tag(f, term->key, term->value);
        return true;
    }
    return false;
}

/* A span with that tag has the status ERROR, whatever the tag's value. */
static bool ask_for_error(struct finder *f)
{
    for (size_t i = 0; i < f->search->n_terms; i++) {
        if (!str_eq(f->search->terms[i].key, STR("error")))
            continue;
        ask_for_tag(f, STR("error"), STR("true"));
        f->is_part = !f->search->terms[i].value.len;
        return true;
    }
    return false;
}

/* Rounded to microseconds, but never to none. */
static bool ask_for_duration(struct finder *f)
{
    uint64_t min = f->search->duration_min_us, max = f->search->duration_max_us;

    if (min == 0)
        return false;
    f->filter.duration_min_ns = min == 1 ? 1 : min * US_NS - US_NS / 2;
    if (min > UINT64_MAX / US_NS)
        f->filter.duration_min_ns = 0; /* more than nanoseconds hold */
    if (max < UINT64_MAX / US_NS)
        f->filter.duration_max_ns = max * US_NS + US_NS / 2;
    return true;
}

static void choose(struct finder *f)
{
    f->filter = (struct span_filter){.duration_max_ns = UINT64_MAX};
    if (!ask_for_value(f) && !ask_for_error(f) && !ask_for_duration(f))
        f->by_name = f->search->name.len > 0;
}

/* Everything that starts in the window. */
static void choose_any(struct finder *f)
{
    f->filter = (struct span_filter){.duration_max_ns = UINT64_MAX};
}

static enum mg_err add_questions(struct finder *f, struct str service, struct mg_why *why)
{
    struct question question = {.service = service, .name = {NULL, 0}};
    struct str *names;
    size_t n;

    if (!f->by_name) {
        VEC_PUSH(&f->questions, question);
        return MG_OK;
    }
    MG_TRY(zipkin_stored_names(f->query, service, f->search->name, &names, &n, why));
    for (size_t i = 0; i < n; i++) {
        question.name = names[i];
        VEC_PUSH(&f->questions, question);
    }
    return MG_OK;
}

static enum mg_err make_questions(struct finder *f, struct mg_why *why)
{
    struct str *services;
    size_t n;

    if (!f->search->service.len)
        return add_questions(f, (struct str){NULL, 0}, why);
    MG_TRY(zipkin_stored_services(f->query, f->search->service, &services, &n, why));
    for (size_t i = 0; i < n; i++)
        MG_TRY(add_questions(f, services[i], why));
    return MG_OK;
}

/* --- the whole -------------------------------------------------------------------------------- */

static enum mg_err ask_all(struct finder *f, struct mg_why *why)
{
    for (size_t i = 0; i < f->questions.n; i++) {
        f->filter.service = f->questions.at[i].service;
        f->filter.operation = f->questions.at[i].name;
        MG_TRY(scan_all(f, why));
    }
    return MG_OK;
}

/* The newest of all traces of these services, for what the condition cannot find. */
static enum mg_err ask_rest(struct finder *f, struct mg_why *why)
{
    choose_any(f);
    for (size_t i = 0; i < f->questions.n; i++) {
        f->filter.service = f->questions.at[i].service;
        MG_TRY(scan(f, from_ns(f), to_ns(f), REST_TRACES, why));
    }
    return MG_OK;
}

static enum mg_err find(struct finder *f, struct mg_why *why)
{
    choose(f);
    MG_TRY(make_questions(f, why));
    MG_TRY(ask_all(f, why));
    if (f->is_part)
        MG_TRY(ask_rest(f, why));
    if (!f->is_timeless)
        return MG_OK;
    choose_any(f);
    return scan_window(f, why);
}

enum mg_err zipkin_find(struct query *query, const struct zipkin_search *search,
                        uint64_t traces_max, struct zipkin_found **out, size_t *n,
                        struct mg_why *why)
{
    struct finder *f = MEM_NEW(struct finder);
    enum mg_err err;

    f->query = query;
    f->search = search;
    f->page_max = traces_max;
    f->found = arena_alloc(query_arena(query), search->limit * sizeof *f->found);
    buf_init(&f->text, SIZE_MAX); /* of one value */
    err = find(f, why);
    if (!err) {
        *out = f->found;
        *n = f->n_found;
    }
    map_fini(&f->seen);
    arena_fini(&f->arena);
    buf_fini(&f->text);
    VEC_FINI(&f->questions);
    mem_free(f);
    return err;
}
