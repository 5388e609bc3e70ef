/* strategies.c - see strategies.h.
 *
 * The lists are sorted and not kept in maps: they are read whole when a table is made, and merged with others by name. */
#include "sample/strategies.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "codec/json.h"
#include "codec/utf8.h"

#define SHOWN_MAX 64 /* bytes of a name in a sentence */

/* Where the parser stands, for its sentences. */
struct place {
    const char *list;          /* "default_strategy", "service_strategies" */
    size_t service;            /* from 1; 0: no list */
    struct str name;           /* the service's, once it is known */
    size_t operation;          /* from 1; 0: the entry itself */
};
struct parser {
    struct strategies *out;
    struct place place;
    struct mg_why *why;
};

static struct str place_text(struct parser *p)
{
    struct place *place = &p->place;
    struct str text = str_of(place->list);

    if (place->service)
        text = arena_printf(&p->out->arena, "%.*s %zu", STR_ARG(text), place->service);
    if (place->name.len)
        text = arena_printf(&p->out->arena, "%.*s '%.*s'", STR_ARG(text), STR_ARG(utf8_cut(place->name, SHOWN_MAX)));
    if (place->operation)
        text = arena_printf(&p->out->arena, "%.*s, operation_strategies %zu", STR_ARG(text), place->operation);
    return text;
}

#define FAIL(p, ...) (mg_fail((p)->why, MG_E_FORMAT, __VA_ARGS__), mg_fail_in((p)->why, MG_E_FORMAT, "%.*s", STR_ARG(place_text(p))))

/* A file of nothing but mistakes must not cost a sentence each. */
static void warn(struct parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(struct parser *p, const char *format, ...)
{
    struct strategies *out = p->out;
    char text[sizeof((struct mg_why){ 0 }.text)];
    va_list args;

    if (out->n_warnings++ >= STRATEGIES_WARNINGS_MAX)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* cut when it is longer */
    va_end(args);
    out->warnings[out->n_warnings - 1] = arena_printf(&out->arena, "%.*s: %s", STR_ARG(place_text(p)), text);
}

/* --- members -------------------------------------------------------------------------------------- */

/* NULL: absent or null. */
static const struct json *member(const struct json *object, const char *key)
{
    const struct json *value = json_get(object, key);

    return value && json_kind(value) != JSON_NULL ? value : NULL;
}

static enum mg_err read_text(struct parser *p, const struct json *object, const char *key, struct str *out)
{
    const struct json *value = member(object, key);

    *out = STR("");
    if (value && json_kind(value) != JSON_STRING)
        return FAIL(p, "%s is not a string", key);
    if (value)
        *out = arena_str(&p->out->arena, json_str(value));
    return MG_OK;
}

static enum mg_err read_param(struct parser *p, const struct json *object, double *out)
{
    const struct json *value = member(object, "param");

    *out = 0;
    if (value && json_kind(value) != JSON_INT && json_kind(value) != JSON_NUMBER)
        return FAIL(p, "param is not a number");
    if (!value)
        warn(p, "param is missing, which means 0");
    else
        *out = json_number(value);
    return MG_OK;
}

static enum mg_err read_list(struct parser *p, const struct json *object, const char *key, const struct json **list, size_t *n)
{
    *list = member(object, key);
    if (*list && json_kind(*list) != JSON_ARRAY)
        return FAIL(p, "%s is not a list", key);
    *n = *list ? json_count(*list) : 0;
    return MG_OK;
}

/* type and param, which services and operations have alike. */
static enum mg_err read_strategy(struct parser *p, const struct json *object, struct strategies_entry *out)
{
    struct str type;
    double param;

    MG_TRY(read_text(p, object, "type", &type));
    if (str_eq(type, STR("probabilistic"))) {
        MG_TRY(read_param(p, object, &param));
        if (!(param >= 0 && param <= 1))
            return FAIL(p, "param %g is no probability: it must be between 0 and 1", param);
        out->has_probability = true;
        out->probability = param;
        return MG_OK;
    }
    if (str_eq(type, STR("ratelimiting"))) {
        MG_TRY(read_param(p, object, &param));
        if (!(param >= 0 && param <= INT32_MAX))
            return FAIL(p, "param %g is no rate: it must be between 0 and %d", param, INT32_MAX);
        out->type = STRATEGY_RATE_LIMITING;
        out->max_traces_per_second = (int32_t)param;
        if (param != out->max_traces_per_second)
            warn(p, "param %g is cut to %d", param, out->max_traces_per_second);
        return MG_OK;
    }
    warn(p, "unknown type '%.*s': the default probability is used", STR_ARG(utf8_cut(type, SHOWN_MAX)));
    return MG_OK;
}

/* --- operations ----------------------------------------------------------------------------------- */

static enum mg_err read_operation(struct parser *p, const struct json *item, struct strategies_operation *all, size_t *n)
{
    struct strategies_entry own = { 0 };
    struct str name;

    if (json_kind(item) != JSON_OBJECT)
        return FAIL(p, "not an object");
    MG_TRY(read_text(p, item, "operation", &name));
    MG_TRY(read_strategy(p, item, &own));
    if (own.type == STRATEGY_RATE_LIMITING) {
        warn(p, "operation '%.*s' is left out: an operation cannot have a rate limit", STR_ARG(utf8_cut(name, SHOWN_MAX)));
        return MG_OK;
    }
    all[(*n)++] = (struct strategies_operation){ name, own.has_probability, own.probability };
    return MG_OK;
}

/* Equal names are told apart by where they stand, so that the last one is known. */
static int compare_operations(const void *a, const void *b)
{
    const struct strategies_operation *const *x = a, *const *y = b;
    int by_name = str_cmp((*x)->name, (*y)->name);

    return by_name ? by_name : (*x > *y) - (*x < *y);
}

static void sort_operations(struct parser *p, struct strategies_entry *entry, const struct strategies_operation *all, size_t n)
{
    const struct strategies_operation **order = mem_alloc(n * sizeof *order);

    for (size_t i = 0; i < n; i++)
        order[i] = &all[i];
    qsort(order, n, sizeof *order, compare_operations);
    entry->operations = arena_alloc(&p->out->arena, n * sizeof *entry->operations);
    for (size_t i = 0; i < n; i++)
        if (i + 1 == n || !str_eq(order[i]->name, order[i + 1]->name))
            entry->operations[entry->n_operations++] = *order[i];
    if (entry->n_operations < n)
        warn(p, "%zu operations are named more than once: the last one counts", n - entry->n_operations);
    mem_free(order);
}

static enum mg_err read_operations(struct parser *p, const struct json *object, struct strategies_entry *entry)
{
    const struct json *list;
    size_t n, n_read = 0;

    MG_TRY(read_list(p, object, "operation_strategies", &list, &n));
    struct strategies_operation *all = arena_alloc(&p->out->arena, n * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        p->place.operation = i + 1;
        MG_TRY(read_operation(p, json_at(list, i), all, &n_read));
    }
    p->place.operation = 0;
    sort_operations(p, entry, all, n_read);
    return MG_OK;
}

/* --- services ------------------------------------------------------------------------------------- */

static enum mg_err read_entry(struct parser *p, const struct json *object, struct strategies_entry *entry)
{
    if (json_kind(object) != JSON_OBJECT)
        return FAIL(p, "not an object");
    MG_TRY(read_strategy(p, object, entry));
    return read_operations(p, object, entry);
}

static enum mg_err read_fallback(struct parser *p, const struct json *root)
{
    const struct json *object = member(root, "default_strategy");

    if (!object)
        return MG_OK;
    p->place = (struct place){ .list = "default_strategy" };
    p->out->has_fallback = true;
    return read_entry(p, object, &p->out->fallback);
}

static enum mg_err read_service(struct parser *p, const struct json *item, struct strategies_entry *entry)
{
    if (json_kind(item) != JSON_OBJECT)
        return FAIL(p, "not an object");
    MG_TRY(read_text(p, item, "service", &entry->service));
    p->place.name = entry->service;
    if (entry->service.len == 0)
        warn(p, "service is missing, so it is for no client");
    return read_entry(p, item, entry);
}

static int compare_services(const void *a, const void *b)
{
    const struct strategies_entry *const *x = a, *const *y = b;
    int by_name = str_cmp((*x)->service, (*y)->service);

    return by_name ? by_name : (*x > *y) - (*x < *y);
}

static void sort_services(struct parser *p, const struct strategies_entry *all, size_t n)
{
    const struct strategies_entry **order = mem_alloc(n * sizeof *order);
    struct strategies *out = p->out;

    for (size_t i = 0; i < n; i++)
        order[i] = &all[i];
    qsort(order, n, sizeof *order, compare_services);
    out->services = arena_alloc(&out->arena, n * sizeof *out->services);
    for (size_t i = 0; i < n; i++)
        if (i + 1 == n || !str_eq(order[i]->service, order[i + 1]->service))
            out->services[out->n_services++] = *order[i];
    p->place = (struct place){ .list = "service_strategies" };
    if (out->n_services < n)
        warn(p, "%zu services are named more than once: the last one counts", n - out->n_services);
    mem_free(order);
}

static enum mg_err read_services(struct parser *p, const struct json *root)
{
    const struct json *list;
    size_t n;

    p->place = (struct place){ .list = "the file" };
    MG_TRY(read_list(p, root, "service_strategies", &list, &n));
    struct strategies_entry *all = arena_zero(&p->out->arena, n * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        p->place = (struct place){ .list = "service_strategies", .service = i + 1 };
        MG_TRY(read_service(p, json_at(list, i), &all[i]));
    }
    sort_services(p, all, n);
    return MG_OK;
}

static enum mg_err read_root(struct parser *p, const struct json *root)
{
    p->place = (struct place){ .list = "the file" };
    if (json_kind(root) == JSON_NULL) /* as Jaeger: no strategies */
        return MG_OK;
    if (json_kind(root) != JSON_OBJECT)
        return FAIL(p, "not an object");
    MG_TRY(read_fallback(p, root));
    return read_services(p, root);
}

enum mg_err strategies_parse(struct strategies **out, struct str text, struct mg_why *why)
{
    MG_AUTO(strategies_free) struct strategies *strategies = MEM_NEW(struct strategies);
    struct parser parser = { .out = strategies, .why = why };
    struct json *root = NULL;

    if (text.len > STRATEGIES_BYTES_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "the strategies are larger than %zu MiB", STRATEGIES_BYTES_MAX >> 20);
    MG_TRY(json_parse(&root, text, why));
    enum mg_err err = read_root(&parser, root);
    json_free(&root);
    if (err == MG_OK)
        *out = MG_STEAL(strategies);
    return err;
}

void strategies_free(struct strategies **pointer)
{
    struct strategies *strategies = MG_STEAL(*pointer);

    if (!strategies)
        return;
    arena_fini(&strategies->arena);
    mem_free(strategies);
}

/* --- looking up ----------------------------------------------------------------------------------- */

static int compare_to_service(const void *key, const void *entry)
{
    return str_cmp(*(const struct str *)key, ((const struct strategies_entry *)entry)->service);
}

const struct strategies_entry *strategies_service(const struct strategies *strategies, struct str service)
{
    if (!strategies || strategies->n_services == 0 || service.len == 0)
        return NULL;
    return bsearch(&service, strategies->services, strategies->n_services, sizeof *strategies->services, compare_to_service);
}

static int compare_to_operation(const void *key, const void *operation)
{
    return str_cmp(*(const struct str *)key, ((const struct strategies_operation *)operation)->name);
}

const struct strategies_operation *strategies_operation(const struct strategies_entry *entry, struct str operation)
{
    if (!entry || entry->n_operations == 0)
        return NULL;
    return bsearch(&operation, entry->operations, entry->n_operations, sizeof *entry->operations, compare_to_operation);
}
