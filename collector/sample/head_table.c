/* head_table.c - see head_table.h. */
#include "sample/head_table.h"
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/log.h"
#include "base/vec.h"
#include "sample/adaptive.h"

struct table_row {
    struct str operation;
    struct head_ruling ruling;
    size_t place;            /* of the override that says it, in their list; HEAD_NO_OVERRIDE: none does */
    double rate;             /* NAN: nothing was counted for it */
    bool is_followed, is_told;
    bool is_left_out;        /* there is no room for it in an answer */
};
struct table_service {
    struct str name;
    struct head_ruling ruling;
    size_t place;
    bool is_limit, is_limit_told; /* not told: operations that were written down take its place */
    int32_t max_traces_per_second;
    struct follower *follower; /* counted; NULL: nothing was seen of it */
    double rate;             /* NAN likewise */
    struct table_row *rows;  /* sorted by operation */
    size_t n_rows, n_told;
    size_t room;             /* that its operations take in an answer */
};
struct head_table {
    _Atomic unsigned refs;
    struct arena arena;
    bool is_adaptive;
    double min_probability, lower_bound;
    uint64_t asked_within_ns;
    struct table_service fallback;
    struct table_service *services; /* sorted by name */
    size_t n_services;
};

/* --- followers ------------------------------------------------------------------------------------ */

struct follower *follower_new(void)
{
    struct follower *follower = MEM_NEW(struct follower);

    atomic_init(&follower->refs, 1);
    return follower;
}

struct follower *follower_ref(struct follower *follower)
{
    atomic_fetch_add_explicit(&follower->refs, 1, memory_order_relaxed);
    return follower;
}

void follower_unref(struct follower **pointer)
{
    struct follower *follower = MG_STEAL(*pointer);

    if (follower && atomic_fetch_sub_explicit(&follower->refs, 1, memory_order_acq_rel) == 1)
        mem_free(follower);
}

void follower_note(struct follower *follower, uint64_t now_ns)
{
    atomic_store_explicit(&follower->asked_ns, now_ns + 1, memory_order_relaxed); /* so that a clock at 0 is not never */
}

bool follower_has_asked(const struct follower *follower, uint64_t now_ns, uint64_t within_ns)
{
    uint64_t asked_ns = atomic_load_explicit(&follower->asked_ns, memory_order_relaxed);

    return asked_ns && (asked_ns - 1 > now_ns || now_ns - (asked_ns - 1) <= within_ns);
}

/* --- making --------------------------------------------------------------------------------------- */

struct maker {
    struct head_table *table;
    const struct head_rules *rules;
    const struct strategies *strategies;
    struct head_seen *const *seen; /* not yet taken */
    size_t n_seen;
    VEC(struct str) names;   /* of operations, of the service being made */
    size_t room;             /* for its operations in an answer */
};

static int compare_names(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static size_t sort_names(struct str *names, size_t n)
{
    size_t kept = 0;

    if (n)
        qsort(names, n, sizeof *names, compare_names);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !str_eq(names[i], names[i - 1]))
            names[kept++] = names[i];
    return kept;
}

static struct head_subject subject_of(const struct maker *m, const struct table_service *service, struct str operation,
                                      const struct head_subject *defaults)
{
    struct head_subject subject = { .service = service->name, .operation = operation, .has_default = defaults->has_default,
                                    .result_default = defaults->result_default };

    subject.class = operation.len ? class_of_operation(m->rules->classes, operation) : CLASS_NONE;
    subject.override = head_override_of(m->rules, &subject);
    return subject;
}

static size_t place_of(const struct maker *m, const struct head_subject *subject)
{
    bool says = subject->override != HEAD_NO_OVERRIDE && m->rules->overrides[subject->override].has_probability;

    return says ? subject->override : HEAD_NO_OVERRIDE;
}

static void add_row(struct maker *m, struct table_service *service, const struct head_subject *subject, struct head_seen *seen)
{
    struct table_row *row = &service->rows[service->n_rows++];

    *row = (struct table_row){ .operation = arena_str(&m->table->arena, subject->operation), .place = place_of(m, subject), .rate = NAN };
    head_rule(m->rules, m->strategies, subject, &row->ruling);
    row->is_told = row->ruling.scope != HEAD_OF_SERVICE;
    if (seen) {
        seen->ruling = row->ruling;
        row->rate = seen->rate;
        row->is_followed = seen->is_followed;
    }
}

/* Operations that somebody wrote down for this service; for all services when it is the fallback. */
static void collect_names(struct maker *m, const struct table_service *service)
{
    const struct strategies_entry *entry = service->name.len ? strategies_service(m->strategies, service->name) :
                                           m->strategies ? &m->strategies->fallback : NULL;

    VEC_CLEAR(&m->names);
    for (size_t i = 0; entry && i < entry->n_operations; i++)
        if (entry->operations[i].name.len)
            VEC_PUSH(&m->names, entry->operations[i].name);
    for (size_t i = 0; i < m->rules->n_overrides; i++) {
        const struct head_override *override = &m->rules->overrides[i];
        if (override->has_operation && str_eq(override->service, service->name)) /* without a service it is empty */
            VEC_PUSH(&m->names, override->operation);
    }
    m->names.n = sort_names(m->names.at, m->names.n);
}

/* Two sorted lists become one; of equal names the seen one is taken. */
static void add_rows(struct maker *m, struct table_service *service, struct head_seen *const *seen, size_t n_seen,
                     const struct head_subject *defaults)
{
    size_t i = 0, k = 0;

    service->rows = arena_alloc(&m->table->arena, (n_seen + m->names.n) * sizeof *service->rows);
    while (i < n_seen || k < m->names.n) {
        int order = i == n_seen ? 1 : k == m->names.n ? -1 : str_cmp(seen[i]->subject.operation, m->names.at[k]);
        struct head_subject named;
        if (order <= 0) {
            seen[i]->subject.has_default = defaults->has_default;
            seen[i]->subject.result_default = defaults->result_default;
            add_row(m, service, &seen[i]->subject, seen[i]);
        } else {
            named = subject_of(m, service, m->names.at[k], defaults);
            add_row(m, service, &named, NULL);
        }
        i += order <= 0;
        k += order >= 0;
    }
}

/* Classes say nothing about a rate limit, which could not be told with them; only operations that were written down take its place. */
static void settle_limit(struct table_service *service, const struct table_service *fallback, const struct strategies_entry *limit)
{
    bool has_named = fallback->n_rows > 0;

    service->is_limit = limit != NULL;
    service->max_traces_per_second = limit ? limit->max_traces_per_second : 0;
    for (size_t i = 0; i < service->n_rows; i++)
        has_named |= service->rows[i].ruling.scope == HEAD_OF_OPERATION;
    service->is_limit_told = limit && !has_named;
    for (size_t i = 0; i < service->n_rows; i++) {
        struct table_row *row = &service->rows[i];
        row->is_told &= !limit || has_named;
        service->n_told += row->is_told;
    }
}

/* --- room in an answer ------------------------------------------------------------------------------ */

/* Of an operation in an answer: {"operation":"","probabilisticSampling":{"samplingRate":0.016666666666666666}}, and the name, of which JSON
 * makes at most six bytes of one. Protobuf and Thrift are smaller. */
static size_t room_of(const struct table_row *row)
{
    size_t room = 96 + row->operation.len;

    for (size_t i = 0; i < row->operation.len; i++) {
        uint8_t byte = (uint8_t)row->operation.ptr[i];
        room += byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\' ? 5 : 0;
    }
    return room;
}

/* Roots a second. Of one whose clients follow, only those are counted that its probability let through. */
static double frequency_of(const struct table_row *row)
{
    double rate = isnan(row->rate) ? 0 : row->rate;

    return row->is_followed && row->ruling.probability > 0 ? rate / row->ruling.probability : rate;
}

struct wish { struct table_row *row; unsigned rank; double frequency; };

/* Somebody named it; it is told something else than the service; it is not, and is so without being told. */
static unsigned rank_of(const struct table_service *service, const struct table_row *row)
{
    if (row->ruling.probability == service->ruling.probability)
        return 2;
    return str_eq(str_of(row->ruling.source), STR("override")) || str_eq(str_of(row->ruling.source), STR("file")) ? 0 : 1;
}

static int compare_wishes(const void *a, const void *b)
{
    const struct wish *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->frequency != y->frequency)
        return x->frequency > y->frequency ? -1 : 1;
    return str_cmp(x->row->operation, y->row->operation);
}

static void leave_out(const struct table_service *service, size_t room)
{
    struct wish *wishes = mem_alloc(service->n_rows * sizeof *wishes);
    size_t n = 0, used = 0, told = 0;

    for (size_t i = 0; i < service->n_rows; i++)
        if (service->rows[i].is_told)
            wishes[n++] = (struct wish){ &service->rows[i], rank_of(service, &service->rows[i]), frequency_of(&service->rows[i]) };
    qsort(wishes, n, sizeof *wishes, compare_wishes);
    for (size_t i = 0; i < n; i++) {
        used += room_of(wishes[i].row);
        wishes[i].row->is_left_out = used > room;
        told += used <= room;
    }
    mem_free(wishes);
    LOG_EVERY(600, WARN, "a service has more operations than an answer holds, some are told as its default", F_STR("service", service->name),
              F_U64("told", told), F_U64("left_out", n - told));
}

/* How much of the room its operations take. */
static size_t fit(const struct table_service *service, size_t room)
{
    size_t wanted = 0;

    for (size_t i = 0; i < service->n_rows; i++)
        wanted += service->rows[i].is_told ? room_of(&service->rows[i]) : 0;
    if (wanted > room)
        leave_out(service, room);
    return MG_MIN(wanted, room);
}

/* --- services --------------------------------------------------------------------------------------- */

/* seen: the default first. */
static void make_service(struct maker *m, struct table_service *service, struct str name, struct head_seen *const *seen, size_t n_seen)
{
    struct head_subject subject;

    service->name = arena_str(&m->table->arena, name);
    service->rate = NAN;
    subject = subject_of(m, service, STR(""), &(struct head_subject){ 0 });
    if (n_seen) {
        subject.has_result = subject.has_default = seen[0]->subject.has_result;
        subject.result = subject.result_default = seen[0]->subject.result;
        service->follower = follower_ref(seen[0]->follower);
        service->rate = seen[0]->rate;
    }
    head_rule(m->rules, m->strategies, &subject, &service->ruling);
    service->place = place_of(m, &subject);
    if (n_seen)
        seen[0]->ruling = service->ruling;
    collect_names(m, service);
    add_rows(m, service, seen + (n_seen > 0), n_seen - (n_seen > 0), &subject);
    settle_limit(service, &m->table->fallback, head_limit(m->rules, m->strategies, &subject));
    service->room = fit(service, m->room);
}

static size_t count_seen_of(const struct maker *m, struct str service)
{
    size_t n = 0;

    while (n < m->n_seen && str_eq(m->seen[n]->subject.service, service))
        n++;
    return n;
}

static void make_services(struct maker *m)
{
    VEC(struct str) names = { 0 };
    struct head_table *table = m->table;

    for (size_t i = 0; i < m->n_seen; i++)
        if (m->seen[i]->subject.operation.len == 0)
            VEC_PUSH(&names, m->seen[i]->subject.service);
    for (size_t i = 0; m->strategies && i < m->strategies->n_services; i++)
        if (m->strategies->services[i].service.len)
            VEC_PUSH(&names, m->strategies->services[i].service);
    for (size_t i = 0; i < m->rules->n_overrides; i++)
        if (m->rules->overrides[i].has_service)
            VEC_PUSH(&names, m->rules->overrides[i].service);
    table->n_services = sort_names(names.at, names.n);
    table->services = arena_zero(&table->arena, table->n_services * sizeof *table->services);
    for (size_t i = 0; i < table->n_services; i++) {
        size_t n = count_seen_of(m, names.at[i]);
        make_service(m, &table->services[i], names.at[i], m->seen, n);
        m->seen += n;
        m->n_seen -= n;
    }
    VEC_FINI(&names);
}

struct head_table *head_table_new(const struct head_rules *rules, const struct strategies *strategies, struct head_seen *const *seen, size_t n)
{
    static struct head_seen *const nobody[1]; /* NULL must not be counted from, not even by 0 */
    struct head_table *table = MEM_NEW(struct head_table);
    struct maker maker = { .table = table, .rules = rules, .strategies = strategies, .seen = n ? seen : nobody, .n_seen = n };

    atomic_init(&table->refs, 1);
    table->is_adaptive = rules->conf.mode == HEAD_ADAPTIVE;
    table->min_probability = rules->conf.min_probability;
    table->lower_bound = rules->conf.min_samples_per_second;
    table->asked_within_ns = 2 * rules->conf.interval_ns;
    maker.room = HEAD_OPERATIONS_BYTES_MAX / 2;
    make_service(&maker, &table->fallback, STR(""), nobody, 0);
    maker.room = HEAD_OPERATIONS_BYTES_MAX - table->fallback.room; /* both are told together */
    make_services(&maker);
    VEC_FINI(&maker.names);
    return table;
}

struct head_table *head_table_ref(struct head_table *table)
{
    atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
    return table;
}

void head_table_unref(struct head_table **pointer)
{
    struct head_table *table = MG_STEAL(*pointer);

    if (!table || atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < table->n_services; i++)
        follower_unref(&table->services[i].follower);
    arena_fini(&table->arena);
    mem_free(table);
}

/* --- answers -------------------------------------------------------------------------------------- */

static int compare_to_service(const void *key, const void *service)
{
    return str_cmp(*(const struct str *)key, ((const struct table_service *)service)->name);
}

static const struct table_service *find_service(const struct head_table *table, struct str name)
{
    const struct table_service *found = NULL;

    if (table->n_services && name.len)
        found = bsearch(&name, table->services, table->n_services, sizeof *table->services, compare_to_service);
    return found ? found : &table->fallback;
}

struct follower *head_table_follower(const struct head_table *table, struct str service)
{
    return find_service(table, service)->follower;
}

static double lowered(const struct head_table *table, double probability, double factor)
{
    return adaptive_lowered(probability, factor, table->min_probability);
}

static void tell(struct strategy *out, struct strategy_operation *operations, struct arena *arena, struct str name, double probability)
{
    operations[out->n_operations++] = (struct strategy_operation){ arena_str(arena, name), probability };
}

/* The service's rows and those of the fallback that it has not itself. Where an override of the whole service stands before the one that
 * made a fallback's row, or before none, the operation is as its service; likewise where that override has but a target. */
static void tell_operations(const struct head_table *table, const struct table_service *service, double factor, struct arena *arena,
                            struct strategy *out)
{
    const struct table_service *below = &table->fallback;
    size_t n_below = service == below ? 0 : below->n_rows, i = 0, k = 0;
    struct strategy_operation *operations = arena_alloc(arena, (service->n_told + n_below) * sizeof *operations);

    while (i < service->n_rows || k < n_below) {
        const struct table_row *own = i < service->n_rows ? &service->rows[i] : NULL;
        const struct table_row *other = k < n_below ? &below->rows[k] : NULL;
        int order = !own ? 1 : !other ? -1 : str_cmp(own->operation, other->operation);
        if (order <= 0 && own->is_told && !own->is_left_out)
            tell(out, operations, arena, own->operation, lowered(table, own->ruling.probability, factor));
        if (order > 0 && service->place >= other->place && other->is_told && !other->is_left_out)
            tell(out, operations, arena, other->operation, lowered(table, other->ruling.probability, factor));
        i += order <= 0;
        k += order >= 0;
    }
    out->operations = operations;
}

static int32_t lowered_limit(const struct table_service *service, double factor)
{
    if (service->max_traces_per_second <= 0) /* a limit of 0 is none to be lowered, and would stay so */
        return service->max_traces_per_second;
    return (int32_t)MG_MAX(1.0, service->max_traces_per_second * factor);
}

void head_table_answer(const struct head_table *table, struct str service_name, double factor, struct arena *arena, struct strategy *out)
{
    const struct table_service *service = find_service(table, service_name);

    *out = (struct strategy){ .type = service->is_limit ? STRATEGY_RATE_LIMITING : STRATEGY_PROBABILISTIC,
                              .probability = lowered(table, service->ruling.probability, factor),
                              .max_traces_per_second = lowered_limit(service, factor) };
    tell_operations(table, service, factor, arena, out);
    out->has_operations = table->is_adaptive || out->n_operations > 0;
    out->default_lower_bound = table->is_adaptive ? table->lower_bound : 0; /* a file's 0 % means none at all */
}

/* --- the whole ------------------------------------------------------------------------------------ */

static void put_service(const struct head_table *table, const struct table_service *service, double factor, uint64_t now_ns,
                        struct arena *arena, struct head_row *rows, size_t *n)
{
    const struct head_row all = { .service = arena_str(arena, service->name), .is_limit = service->is_limit_told,
                                  .max_traces_per_second = service->is_limit_told ? lowered_limit(service, factor) : 0 };
    struct head_row *row = &rows[(*n)++];

    *row = all;
    row->operation = STR("");
    row->probability = lowered(table, service->ruling.probability, factor);
    row->samples_per_second = service->rate;
    row->source = service->ruling.source;
    row->is_followed = service->follower && follower_has_asked(service->follower, now_ns, table->asked_within_ns);
    for (size_t i = 0; i < service->n_rows; i++) {
        const struct table_row *own = &service->rows[i];
        row = &rows[(*n)++];
        *row = all;
        row->operation = arena_str(arena, own->operation);
        row->probability = lowered(table, own->ruling.probability, factor);
        row->samples_per_second = own->rate;
        row->source = own->ruling.source;
        row->is_followed = own->is_followed;
    }
}

void head_table_rows(const struct head_table *table, double factor, uint64_t now_ns, struct arena *arena, struct head_row **rows, size_t *n)
{
    size_t most = 1 + table->fallback.n_rows;

    for (size_t i = 0; i < table->n_services; i++)
        most += 1 + table->services[i].n_rows;
    *rows = arena_alloc(arena, most * sizeof **rows);
    *n = 0;
    put_service(table, &table->fallback, factor, now_ns, arena, *rows, n);
    for (size_t i = 0; i < table->n_services; i++)
        put_service(table, &table->services[i], factor, now_ns, arena, *rows, n);
}
