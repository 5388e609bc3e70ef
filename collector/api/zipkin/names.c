/* names.c - lists are gathered in a map, which has each name once, and sorted at the end.
 *
 * What no catalogue has is read from a sample: the newest traces that a plain search finds, their
 * spans as Zipkin shows them. */
#include "api/zipkin/names.h"

#include <stdlib.h>
#include "model/zipkin_write.h"

bool zipkin_is_stored_tag(struct str key)
{
    size_t at;

    return key.len && !str_eq(key, STR("error")) && !str_starts(key, STR("otel.")) &&
           !str_starts(key, STR("otlp.")) &&
           !str_find(key, STR("\xef\xbf\xbd"), &at); /* it may have been sanitised */
}

/* --- lists ------------------------------------------------------------------------------------ */

struct name_set {
    struct map names;
    size_t bytes;
};

static void set_put(struct name_set *set, struct str name)
{
    bool is_new;

    if (name.len == 0 || set->names.n >= NAMES_MAX || set->bytes + name.len > NAMES_BYTES_MAX)
        return;
    (void)map_put(&set->names, name, &is_new); /* only the key counts */
    if (is_new)
        set->bytes += name.len;
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Sorted copies of what the list holds, which is then empty. */
static void set_take(struct name_set *set, struct arena *arena, struct str **out, size_t *n)
{
    struct str key, *names = arena_alloc(arena, (set->names.n + 1) * sizeof *names);
    size_t kept = 0;
    void *value;

    for (size_t i = 0; map_next(&set->names, &i, &key, &value);)
        names[kept++] = arena_str(arena, key);
    map_fini(&set->names);
    *set = (struct name_set){0};
    qsort(names, kept, sizeof *names, by_text);
    *out = names;
    *n = kept;
}

static enum mg_err finish(struct name_set *set, enum mg_err err, struct query *query,
                          struct zipkin_names *out)
{
    if (!err)
        set_take(set, query_arena(query), &out->at, &out->n);
    map_fini(&set->names);
    return err;
}

/* --- samples ---------------------------------------------------------------------------------- */

struct sample {
    struct name_set *set;
    struct str wanted; /* local service, or the tag's key */
    void (*take)(struct sample *sample, const struct zipkin_span *span);
    struct arena arena; /* of one span */
};

static enum mg_err on_sample(void *owner, const struct query_trace *trace)
{
    struct sample *sample = owner;
    struct zipkin_span view;

    for (size_t i = 0; i < trace->n; i++) {
        zipkin_view(trace->spans[i], &sample->arena, &view);
        sample->take(sample, &view);
        arena_reset(&sample->arena);
    }
    return MG_OK;
}

static enum mg_err sample_run(struct sample *sample, struct query *query,
                              const struct span_filter *filter, uint64_t traces_max,
                              struct mg_why *why)
{
    const struct query_search search = {
        .filter = *filter, .limit = (uint32_t)MG_MIN(traces_max, (uint64_t)SAMPLE_TRACES)};
    enum mg_err err = query_search(query, &search, on_sample, sample, why);

    arena_fini(&sample->arena);
    return err;
}

static enum mg_err sample_service(struct sample *sample, struct query *query, struct str service,
                                  uint64_t traces_max, struct mg_why *why)
{
    const struct span_filter filter = {
        .service = service, .start_max_ns = UINT64_MAX, .duration_max_ns = UINT64_MAX};

    return sample_run(sample, query, &filter, traces_max, why);
}

static void take_service(struct sample *sample, const struct zipkin_span *span)
{
    set_put(sample->set, span->local.service);
}

static void take_name(struct sample *sample, const struct zipkin_span *span)
{
    if (str_eq(span->local.service, sample->wanted))
        set_put(sample->set, span->name);
}

static void take_remote(struct sample *sample, const struct zipkin_span *span)
{
    if (str_eq(span->local.service, sample->wanted))
        set_put(sample->set, span->remote.service);
}

static void take_value(struct sample *sample, const struct zipkin_span *span)
{
    for (size_t i = 0; i < span->n_tags; i++)
        if (str_eq(span->tags[i].key, sample->wanted))
            set_put(sample->set, span->tags[i].value);
}

/* --- stored names ----------------------------------------------------------------------------- */

enum mg_err zipkin_stored_services(struct query *query, struct str wanted, struct str **out,
                                   size_t *n, struct mg_why *why)
{
    struct arena *arena = query_arena(query);
    struct str *services;
    size_t all, kept = 0;

    MG_TRY(query_services(query, &services, &all, why));
    struct str *found = arena_alloc(arena, (all + 1) * sizeof *found);
    for (size_t i = 0; i < all; i++)
        if (str_eq(zipkin_name(arena, services[i]), wanted))
            found[kept++] = services[i];
    if (kept == 0) {
        for (size_t i = 0; i < all; i++)
            if (resource_service_is_stand_in(services[i]))
                found[kept++] = services[i];
        found[kept++] = wanted;
    }
    *out = found;
    *n = kept;
    return MG_OK;
}

static enum mg_err add_names(struct name_set *set, struct query *query, struct str service,
                             struct str wanted, struct mg_why *why)
{
    struct catalog_operation *operations;
    size_t n;

    MG_TRY(query_operations(query, service, &operations, &n, why));
    for (size_t i = 0; i < n; i++)
        if (str_eq(zipkin_name(query_arena(query), operations[i].name), wanted))
            set_put(set, operations[i].name);
    return MG_OK;
}

static enum mg_err add_all_names(struct name_set *set, struct query *query, struct str wanted,
                                 struct mg_why *why)
{
    struct str *services;
    size_t n;

    MG_TRY(query_services(query, &services, &n, why));
    for (size_t i = 0; i < n; i++)
        MG_TRY(add_names(set, query, services[i], wanted, why));
    return MG_OK;
}

enum mg_err zipkin_stored_names(struct query *query, struct str service, struct str wanted,
                                struct str **out, size_t *n, struct mg_why *why)
{
    struct name_set set = {0};
    enum mg_err err = service.ptr ? add_names(&set, query, service, wanted, why)
                                  : add_all_names(&set, query, wanted, why);

    if (!err) {
        if (set.names.n == 0)
            set_put(&set, wanted);
        set_take(&set, query_arena(query), out, n);
    }
    map_fini(&set.names);
    return err;
}

/* --- the lists -------------------------------------------------------------------------------- */

static enum mg_err add_services(struct name_set *set, struct query *query, uint64_t traces_max,
                                struct mg_why *why)
{
    struct sample sample = {.set = set, .take = take_service};
    struct str *services;
    size_t n;

    MG_TRY(query_services(query, &services, &n, why));
    for (size_t i = 0; i < n; i++)
        if (!resource_service_is_stand_in(services[i]))
            set_put(set, zipkin_name(query_arena(query), services[i]));
    for (size_t i = 0; i < n; i++)
        if (resource_service_is_stand_in(services[i]))
            MG_TRY(sample_service(&sample, query, services[i], traces_max, why));
    return MG_OK;
}

enum mg_err zipkin_list_services(struct query *query, uint64_t traces_max, struct zipkin_names *out,
                                 struct mg_why *why)
{
    struct name_set set = {0};

    return finish(&set, add_services(&set, query, traces_max, why), query, out);
}

static enum mg_err add_spans(struct name_set *set, struct query *query, struct str service,
                             struct mg_why *why)
{
    struct catalog_operation *operations;
    size_t n;

    MG_TRY(query_operations(query, service, &operations, &n, why));
    for (size_t i = 0; i < n; i++)
        if (!str_eq(operations[i].name, STR(SPAN_NO_NAME)))
            set_put(set, zipkin_name(query_arena(query), operations[i].name));
    return MG_OK;
}

static enum mg_err add_wanted_spans(struct name_set *set, struct query *query, struct str wanted,
                                    uint64_t traces_max, struct mg_why *why)
{
    struct sample sample = {.set = set, .wanted = wanted, .take = take_name};
    struct str *services;
    size_t n;

    MG_TRY(zipkin_stored_services(query, wanted, &services, &n, why));
    for (size_t i = 0; i < n; i++)
        MG_TRY(resource_service_is_stand_in(services[i])
                   ? sample_service(&sample, query, services[i], traces_max, why)
                   : add_spans(set, query, services[i], why));
    return MG_OK;
}

enum mg_err zipkin_list_spans(struct query *query, struct str wanted, uint64_t traces_max,
                              struct zipkin_names *out, struct mg_why *why)
{
    struct name_set set = {0};
    enum mg_err err = wanted.len ? add_wanted_spans(&set, query, wanted, traces_max, why) : MG_OK;

    return finish(&set, err, query, out);
}

static enum mg_err add_remote(struct name_set *set, struct query *query, struct str wanted,
                              uint64_t traces_max, struct mg_why *why)
{
    struct sample sample = {.set = set, .wanted = wanted, .take = take_remote};
    struct str *services;
    size_t n;

    MG_TRY(zipkin_stored_services(query, wanted, &services, &n, why));
    for (size_t i = 0; i < n; i++)
        MG_TRY(sample_service(&sample, query, services[i], traces_max, why));
    return MG_OK;
}

enum mg_err zipkin_list_remote(struct query *query, struct str wanted, uint64_t traces_max,
                               struct zipkin_names *out, struct mg_why *why)
{
    struct name_set set = {0};
    enum mg_err err = wanted.len ? add_remote(&set, query, wanted, traces_max, why) : MG_OK;

    return finish(&set, err, query, out);
}

enum mg_err zipkin_list_values(struct query *query, struct str key,
                               const struct zipkin_window *window, uint64_t traces_max,
                               struct zipkin_names *out, struct mg_why *why)
{
    const struct filter_tag tag = {.key = key, .op = TAG_EXISTS};
    const struct span_filter filter = {.start_min_ns = window->from_ns,
                                       .start_max_ns = window->to_ns,
                                       .duration_max_ns = UINT64_MAX,
                                       .tags = &tag,
                                       .n_tags = zipkin_is_stored_tag(key)};
    struct name_set set = {0};
    struct sample sample = {.set = &set, .wanted = key, .take = take_value};

    return finish(&set, sample_run(&sample, query, &filter, traces_max, why), query, out);
}
