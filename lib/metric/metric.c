/* metric.c - one block of plain cells per thread and set; a scrape adds the blocks up.
 *
 *   set ── blocks ──▶ block of thread A: [row 0 cells][row 1 cells]…    one writer each, relaxed
 *       │         └─▶ block of thread B: [row 0 cells][row 1 cells]…
 *       ├─ retired:  sums of threads that have ended                    under the lock
 *       └─ gauges:   one atomic per cell, anybody writes
 *
 * A histogram's series takes one cell per bucket (not cumulative), one for +Inf and one for the sum
 * in ns; its count is the sum of its buckets, so that +Inf and _count agree also in a scrape during
 * an observation.
 *
 * A thread finds its block by the set's slot in a small thread-local table. Slots are reused, and a
 * thread cannot see that a registry was freed; so each set has a serial number that is never
 * reused, and an entry counts only when its serial agrees. One process-wide lock covers slots,
 * block lists and retired sums: it is taken once per thread and set, at the end of a thread, and by
 * scrapes while they add, never by an add. */
#include "metric/metric.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "base/vec.h"
#include "metric/text.h"

#define LABELS_MAX 2
#define CACHE_LINE 64

struct label {
    struct str name; /* empty: the row does not have it */
    struct str *values;
    size_t n; /* 1 when there is no label */
};

struct family {
    struct metric_row row;
    struct label labels[LABELS_MAX];
    double *bounds; /* METRIC_HISTOGRAM: seconds, as in the row */
    uint64_t *bounds_ns;
    size_t n_bounds;
    size_t first; /* cell, in the blocks or (METRIC_GAUGE) in the gauges */
    size_t per_series;
};

struct block {
    struct block *next; /* set->blocks; under the lock */
    char pad[CACHE_LINE - sizeof(struct block *)];
    _Atomic uint64_t cells[];
};

struct metric_set {
    struct metric_registry *registry;
    struct family *families;
    size_t n;
    size_t n_cells;
    _Atomic uint64_t *gauges; /* bits of a double */
    uint64_t serial;          /* never reused */
    unsigned slot;            /* in shared.sets and in each thread's table; reused */
    struct block *blocks;     /* under the lock */
    uint64_t *retired;        /* n_cells; under the lock */
};

struct metric_registry {
    VEC(struct metric_set *) sets;
    VEC(struct {
        metric_collect_fn *collect;
        void *owner;
    })
    collectors;
    VEC(struct {
        metric_append_fn *append;
        void *owner;
    })
    appenders;
    pthread_mutex_t scrape; /* one scrape at a time: collectors need not be reentrant */
};

static struct {
    pthread_mutex_t lock;
    struct metric_set *sets[METRIC_SETS_MAX];
    uint64_t last_serial;
    pthread_once_t once;
    pthread_key_t key; /* its destructor is how we learn that a thread ends */
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

static __thread struct {
    uint64_t serial;
    struct block *block;
} mine[METRIC_SETS_MAX];

static void add_relaxed(_Atomic uint64_t *cell, uint64_t by)
{
    /* One writer: no read-modify-write, and so no locked instruction. */
    uint64_t now = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, now + by, memory_order_relaxed);
}

static void merge(struct metric_set *set, struct block *block)
{
    struct block **link = &set->blocks;

    for (size_t i = 0; i < set->n_cells; i++)
        set->retired[i] += atomic_load_explicit(&block->cells[i], memory_order_relaxed);
    while (*link != block)
        link = &(*link)->next;
    *link = block->next;
    mem_free(block);
}

static void on_thread_end(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&shared.lock);
    for (unsigned i = 0; i < METRIC_SETS_MAX; i++) {
        struct metric_set *set = shared.sets[i];

        if (set && set->serial == mine[i].serial)
            merge(set, mine[i].block);
        mine[i].serial = 0;
        mine[i].block = NULL;
    }
    pthread_mutex_unlock(&shared.lock);
}

static void make_key(void)
{
    int failed = pthread_key_create(&shared.key, on_thread_end);

    assert(!failed);
}

static struct block *block_new(struct metric_set *set)
{
    /* A line of padding at both ends, so that neighbours in the heap do not share a line with the
     * cells. */
    size_t bytes = sizeof(struct block) + set->n_cells * sizeof(uint64_t) + CACHE_LINE;
    struct block *block = mem_zero(1, bytes);

    pthread_once(&shared.once, make_key);
    int failed =
        pthread_setspecific(shared.key, mine); /* any value but NULL calls the destructor */
    assert(!failed);
    pthread_mutex_lock(&shared.lock);
    block->next = set->blocks;
    set->blocks = block;
    pthread_mutex_unlock(&shared.lock);
    mine[set->slot].serial = set->serial;
    mine[set->slot].block = block;
    return block;
}

static struct block *block_of(struct metric_set *set)
{
    if (mine[set->slot].serial == set->serial)
        return mine[set->slot].block;
    return block_new(set);
}

/* First cell of a series. */
static size_t cell_of(const struct metric_set *set, unsigned row, unsigned i, unsigned j)
{
    assert(row < set->n);
    const struct family *family = &set->families[row];
    assert(i < family->labels[0].n && j < family->labels[1].n);
    return family->first + (i * family->labels[1].n + j) * family->per_series;
}

static enum metric_kind kind_of(const struct metric_set *set, unsigned row)
{
    assert(row < set->n);
    return set->families[row].row.kind;
}

void metric_add(struct metric_set *set, unsigned row, unsigned i, unsigned j, uint64_t by)
{
    assert(kind_of(set, row) == METRIC_COUNTER || kind_of(set, row) == METRIC_SECONDS);
    add_relaxed(&block_of(set)->cells[cell_of(set, row, i, j)], by);
}

void metric_observe(struct metric_set *set, unsigned row, unsigned i, unsigned j, uint64_t ns)
{
    assert(kind_of(set, row) == METRIC_HISTOGRAM);
    const struct family *family = &set->families[row];
    _Atomic uint64_t *cells = &block_of(set)->cells[cell_of(set, row, i, j)];
    size_t bucket = 0;

    while (bucket < family->n_bounds && ns > family->bounds_ns[bucket])
        bucket++;
    add_relaxed(&cells[bucket], 1);
    add_relaxed(&cells[family->n_bounds + 1], ns);
}

void metric_set_gauge(struct metric_set *set, unsigned row, unsigned i, unsigned j, double value)
{
    uint64_t bits;

    assert(kind_of(set, row) == METRIC_GAUGE);
    memcpy(&bits, &value, sizeof bits);
    atomic_store_explicit(&set->gauges[cell_of(set, row, i, j)], bits, memory_order_relaxed);
}

void metric_move_gauge(struct metric_set *set, unsigned row, unsigned i, unsigned j, double by)
{
    assert(kind_of(set, row) == METRIC_GAUGE);
    _Atomic uint64_t *gauge = &set->gauges[cell_of(set, row, i, j)];
    uint64_t old = atomic_load_explicit(gauge, memory_order_relaxed), bits;
    double value;

    do {
        memcpy(&value, &old, sizeof value);
        value += by;
        memcpy(&bits, &value, sizeof bits);
    } while (!atomic_compare_exchange_weak_explicit(gauge, &old, bits, memory_order_relaxed,
                                                    memory_order_relaxed));
}

/* Sum of one cell; under the lock. */
static uint64_t sum_cell(const struct metric_set *set, size_t cell)
{
    uint64_t sum = set->retired[cell];

    for (struct block *block = set->blocks; block; block = block->next)
        sum += atomic_load_explicit(&block->cells[cell], memory_order_relaxed);
    return sum;
}

uint64_t metric_get(struct metric_set *set, unsigned row, unsigned i, unsigned j)
{
    assert(kind_of(set, row) != METRIC_GAUGE);
    const struct family *family = &set->families[row];
    size_t cell = cell_of(set, row, i, j);
    size_t n = family->row.kind == METRIC_HISTOGRAM ? family->n_bounds + 1 : 1;
    uint64_t sum = 0;

    pthread_mutex_lock(&shared.lock);
    for (size_t k = 0; k < n; k++)
        sum += sum_cell(set, cell + k);
    pthread_mutex_unlock(&shared.lock);
    return sum;
}

static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

        if (!is_letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return name.len > 0;
}

static void parse_label(struct label *label, const char *text)
{
    VEC(struct str) values = { 0 };
    struct str rest, value;

    label->n = 1;
    if (!text)
        return;
    bool is_pair = str_split_at(str_of(text), '=', &label->name, &rest);
    assert(is_pair && is_name(label->name) && !str_eq(label->name, STR("le")));
    while (str_cut(&rest, '|', &value))
        VEC_PUSH(&values, value);
    assert(values.n > 0);
    label->values = values.at;
    label->n = values.n;
}

static void parse_bounds(struct family *family, const char *text)
{
    VEC(double) bounds = { 0 };
    VEC(uint64_t) bounds_ns = { 0 };
    struct str rest = str_of(text), word;

    while (str_cut(&rest, ' ', &word)) {
        double bound = 0;
        enum mg_err err = str_double(word, &bound);

        assert(err == MG_OK && bound > 0 && bound < 1e9);
        assert(bounds.n == 0 || bound > bounds.at[bounds.n - 1]);
        VEC_PUSH(&bounds, bound);
        VEC_PUSH(&bounds_ns, (uint64_t)llround(bound * 1e9));
    }
    assert(bounds.n > 0);
    family->bounds = bounds.at;
    family->bounds_ns = bounds_ns.at;
    family->n_bounds = bounds.n;
}

static void check_name(const struct metric_registry *registry, const struct metric_row *row)
{
    bool is_counter = row->kind == METRIC_COUNTER || row->kind == METRIC_SECONDS;

    assert(is_name(str_of(row->name)) && row->help);
    assert(str_ends(str_of(row->name), STR("_total")) == is_counter);
    for (size_t i = 0; i < registry->sets.n; i++)
        for (size_t k = 0; k < registry->sets.at[i]->n; k++)
            assert(strcmp(registry->sets.at[i]->families[k].row.name, row->name) != 0);
}

static size_t n_series(const struct family *family)
{
    return family->labels[0].n * family->labels[1].n;
}

static void family_init(struct family *family, const struct metric_row *row)
{
    family->row = *row;
    assert(row->label1 || !row->label2);
    assert((row->kind == METRIC_HISTOGRAM) == (row->buckets != NULL));
    parse_label(&family->labels[0], row->label1);
    parse_label(&family->labels[1], row->label2);
    family->per_series = 1;
    if (row->kind == METRIC_HISTOGRAM) {
        parse_bounds(family, row->buckets);
        family->per_series = family->n_bounds + 2;
    }
}

static void take_slot(struct metric_set *set)
{
    unsigned slot = 0;

    pthread_mutex_lock(&shared.lock);
    while (slot < METRIC_SETS_MAX && shared.sets[slot])
        slot++;
    assert(slot < METRIC_SETS_MAX);
    set->slot = slot;
    set->serial = ++shared.last_serial;
    shared.sets[slot] = set;
    pthread_mutex_unlock(&shared.lock);
}

struct metric_set *metric_register(struct metric_registry *registry, const struct metric_row *rows,
                                   size_t n)
{
    struct metric_set *set = MEM_NEW(struct metric_set);
    size_t n_gauges = 0;

    set->registry = registry;
    set->families = mem_zero(n, sizeof *set->families);
    VEC_PUSH(&registry->sets, set);
    for (; set->n < n;
         set->n++) { /* counted up, so that a name is compared with the rows before it */
        struct family *family = &set->families[set->n];
        size_t *cells = rows[set->n].kind == METRIC_GAUGE ? &n_gauges : &set->n_cells;

        check_name(registry, &rows[set->n]);
        family_init(family, &rows[set->n]);
        family->first = *cells;
        *cells += n_series(family) * family->per_series;
    }
    set->gauges = mem_zero(n_gauges, sizeof *set->gauges);
    set->retired = mem_zero(set->n_cells, sizeof *set->retired);
    take_slot(set);
    return set;
}

static void set_free(struct metric_set *set)
{
    pthread_mutex_lock(&shared.lock);
    shared.sets[set->slot] = NULL;
    pthread_mutex_unlock(&shared.lock);
    for (struct block *block = set->blocks, *next; block; block = next) {
        next = block->next;
        mem_free(block);
    }
    for (size_t i = 0; i < set->n; i++) {
        mem_free(set->families[i].labels[0].values);
        mem_free(set->families[i].labels[1].values);
        mem_free(set->families[i].bounds);
        mem_free(set->families[i].bounds_ns);
    }
    mem_free(set->families);
    mem_free(set->gauges);
    mem_free(set->retired);
    mem_free(set);
}

struct metric_registry *metric_registry_new(void)
{
    struct metric_registry *registry = MEM_NEW(struct metric_registry);

    pthread_mutex_init(&registry->scrape, NULL);
    return registry;
}

void metric_registry_free(struct metric_registry **registry)
{
    if (!*registry)
        return;
    for (size_t i = 0; i < (*registry)->sets.n; i++)
        set_free((*registry)->sets.at[i]);
    VEC_FINI(&(*registry)->sets);
    VEC_FINI(&(*registry)->collectors);
    VEC_FINI(&(*registry)->appenders);
    pthread_mutex_destroy(&(*registry)->scrape);
    mem_free(*registry);
    *registry = NULL;
}

void metric_on_scrape(struct metric_registry *registry, metric_collect_fn *collect, void *owner)
{
    VEC_ADD(&registry->collectors)->collect = collect;
    registry->collectors.at[registry->collectors.n - 1].owner = owner;
}

void metric_on_write(struct metric_registry *registry, metric_append_fn *append, void *owner)
{
    VEC_ADD(&registry->appenders)->append = append;
    registry->appenders.at[registry->appenders.n - 1].owner = owner;
}

struct series {
    const struct family *family;
    struct str values[LABELS_MAX];
};

/* The name, then the labels, with `le` last when it is given, then the blank before the value. */
static void put_series(struct buf *out, const struct series *series, const char *suffix,
                       const double *le)
{
    bool is_first = true;

    metric_text_name(out, series->family->row.name, suffix);
    for (unsigned k = 0; k < LABELS_MAX; k++) {
        struct str name = series->family->labels[k].name;

        if (!name.len)
            continue;
        metric_text_label(out, name, series->values[k], is_first);
        is_first = false;
    }
    if (le) {
        buf_put_text(out, is_first ? "{le=\"" : ",le=\"");
        metric_text_canonical(out, *le);
        buf_put_char(out, '"');
        is_first = false;
    }
    buf_put_text(out, is_first ? " " : "} ");
}

static void put_histogram(struct buf *out, const struct series *series, const uint64_t *cells)
{
    const struct family *family = series->family;
    uint64_t count = 0;

    for (size_t i = 0; i <= family->n_bounds; i++) {
        double le = i < family->n_bounds ? family->bounds[i] : INFINITY;

        count += cells[i];
        put_series(out, series, "_bucket", &le);
        buf_put_u64(out, count);
        buf_put_char(out, '\n');
    }
    put_series(out, series, "_sum", NULL);
    metric_text_seconds(out, cells[family->n_bounds + 1]);
    buf_put_char(out, '\n');
    put_series(out, series, "_count", NULL);
    buf_put_u64(out, count);
    buf_put_char(out, '\n');
}

/* Whole numbers are written as such: people read these pages. */
static void put_gauge(struct buf *out, uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof value);
    if (value == floor(value) && fabs(value) < 9007199254740992.0)
        buf_put_i64(out, (int64_t)value);
    else
        metric_text_double(out, value);
}

static void put_one(struct buf *out, const struct series *series, const uint64_t *cells)
{
    enum metric_kind kind = series->family->row.kind;

    if (kind == METRIC_HISTOGRAM) {
        put_histogram(out, series, cells);
        return;
    }
    put_series(out, series, "", NULL);
    if (kind == METRIC_SECONDS)
        metric_text_seconds(out, *cells);
    else if (kind == METRIC_GAUGE)
        put_gauge(out, *cells);
    else
        buf_put_u64(out, *cells);
    buf_put_char(out, '\n');
}

/* `cells` are the family's, series by series. */
static void put_family(struct buf *out, enum metric_format format, const struct family *family,
                       const uint64_t *cells)
{
    metric_text_head(out, format, family->row.kind, family->row.name, family->row.help);
    for (size_t i = 0; i < family->labels[0].n; i++) {
        for (size_t j = 0; j < family->labels[1].n; j++) {
            struct series series = { .family = family };

            if (family->labels[0].name.len)
                series.values[0] = family->labels[0].values[i];
            if (family->labels[1].name.len)
                series.values[1] = family->labels[1].values[j];
            put_one(out, &series, cells);
            cells += family->per_series;
        }
    }
}

static uint64_t *sum_family(struct metric_set *set, const struct family *family)
{
    size_t n = n_series(family) * family->per_series;
    uint64_t *sums = mem_zero(n, sizeof *sums);

    if (family->row.kind == METRIC_GAUGE) {
        for (size_t i = 0; i < n; i++)
            sums[i] = atomic_load_explicit(&set->gauges[family->first + i], memory_order_relaxed);
        return sums;
    }
    pthread_mutex_lock(
        &shared.lock); /* held for the sums of one family, never while text is written */
    for (size_t i = 0; i < n; i++)
        sums[i] = sum_cell(set, family->first + i);
    pthread_mutex_unlock(&shared.lock);
    return sums;
}

static void put_set(struct buf *out, enum metric_format format, struct metric_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        uint64_t *sums = sum_family(set, &set->families[i]);

        put_family(out, format, &set->families[i], sums);
        mem_free(sums);
    }
}

void metric_write(struct metric_registry *registry, enum metric_format format, struct buf *out)
{
    pthread_mutex_lock(&registry->scrape);
    for (size_t i = 0; i < registry->collectors.n; i++)
        registry->collectors.at[i].collect(registry->collectors.at[i].owner);
    for (size_t i = 0; i < registry->sets.n; i++)
        put_set(out, format, registry->sets.at[i]);
    for (size_t i = 0; i < registry->appenders.n; i++)
        registry->appenders.at[i].append(registry->appenders.at[i].owner, format, out);
    metric_text_end(out, format);
    pthread_mutex_unlock(&registry->scrape);
}
