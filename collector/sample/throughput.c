/* throughput.c - see throughput.h.
 *
 * A root of a known pair of symbols costs a look into the epoch's memory, two stores, and nothing more for spans whose shape has
 * no sampler tags. Epochs are known by their serial, as a pointer comes back; the least recently used are forgotten. All memories are forgotten
 * when slots were taken back or more are allowed: then what is remembered may be wrong, or there is room for what had none. */
#include "sample/throughput.h"
#include <assert.h>
#include <stdatomic.h>
#include "base/map.h"
#include "base/vec.h"
#include "codec/utf8.h"
#include "model/ot.h"
#include "sample/epoch_memory.h"

#define CHUNK_SLOTS  256
#define CHUNKS       ((THROUGHPUT_SLOTS_MAX + CHUNK_SLOTS - 1) / CHUNK_SLOTS)
#define NO_SLOT      UINT32_MAX       /* names that are not followed */
#define NOT_COUNTED  (UINT32_MAX - 1) /* no service, or no name */

enum slot_state { SLOT_FREE, SLOT_USED, SLOT_RETIRED };
struct values { _Atomic uint64_t interval; _Atomic uint32_t n; _Atomic uint64_t at[ADAPTIVE_VALUES_MAX]; };
struct slot {
    _Atomic int state;
    char *service, *operation;      /* live's unless USED, then nobody's */
    size_t service_len, operation_len; /* operation 0: the service's default */
    _Atomic uint64_t roots, sampled; /* live alone writes */
    struct values values[2];         /* by the interval's lowest bit; live alone writes */
};
static const struct symbol_table_size pairs_size = { sizeof(uint32_t), 64, 8192 };
struct memory {
    struct symbol_table pairs;       /* slots by name and resource */
    uint8_t *shapes;                 /* enum shape_has, by shape */
    size_t n_shapes;
};
enum shape_has { SHAPE_UNKNOWN, SHAPE_PLAIN, SHAPE_TAGGED };

struct throughput {
    struct {
        _Atomic(struct slot *) chunks[CHUNKS];
        _Atomic size_t n;
        _Atomic uint64_t interval, beyond;
        _Atomic size_t operations_max;
        _Atomic uint32_t changes;    /* retired slots and new limits, so far */
    } shared;
    struct {                         /* live's */
        struct map by_name;          /* slot's number + 1 */
        struct buf key;
        VEC(uint32_t) free;
        size_t n_operations, n_defaults;
        uint32_t changes_seen;
        struct epoch_memory epochs;
        struct memory memories[EPOCH_MEMORIES];
    } own;
};

struct throughput *throughput_new(size_t operations_max)
{
    struct throughput *t = MEM_NEW(struct throughput);

    buf_init(&t->own.key, 4 + 2 * THROUGHPUT_NAME_MAX);
    atomic_store_explicit(&t->shared.interval, 1, memory_order_relaxed);
    throughput_limit(t, operations_max);
    return t;
}

static struct slot *slot_at(const struct throughput *t, size_t i)
{
    return atomic_load_explicit(&t->shared.chunks[i / CHUNK_SLOTS], memory_order_acquire) + i % CHUNK_SLOTS;
}

static void forget(struct memory *memory)
{
    symbol_table_fini(&memory->pairs);
    mem_free(memory->shapes);
    *memory = (struct memory){ 0 };
}

void throughput_free(struct throughput **pointer)
{
    struct throughput *t = MG_STEAL(*pointer);

    if (!t)
        return;
    for (size_t i = 0; i < throughput_slots(t); i++) {
        mem_free(slot_at(t, i)->service);
        mem_free(slot_at(t, i)->operation);
    }
    for (size_t i = 0; i < CHUNKS; i++)
        mem_free(atomic_load_explicit(&t->shared.chunks[i], memory_order_relaxed));
    for (size_t i = 0; i < EPOCH_MEMORIES; i++)
        forget(&t->own.memories[i]);
    map_fini(&t->own.by_name);
    buf_fini(&t->own.key);
    VEC_FINI(&t->own.free);
    mem_free(t);
}

/* One writer: no locked instruction. */
static void add_one(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* --- the main thread's side ----------------------------------------------------------------------- */

void throughput_limit(struct throughput *t, size_t operations_max)
{
    atomic_store_explicit(&t->shared.operations_max, MG_MIN(operations_max, (size_t)THROUGHPUT_SLOTS_MAX / 2), memory_order_relaxed);
    atomic_fetch_add_explicit(&t->shared.changes, 1, memory_order_release);
}

size_t throughput_slots(const struct throughput *t)
{
    return atomic_load_explicit(&t->shared.n, memory_order_acquire);
}

bool throughput_is_used(const struct throughput *t, size_t i)
{
    return atomic_load_explicit(&slot_at(t, i)->state, memory_order_acquire) == SLOT_USED;
}

struct str throughput_service(const struct throughput *t, size_t i)
{
    return str_n(slot_at(t, i)->service, slot_at(t, i)->service_len);
}

struct str throughput_operation(const struct throughput *t, size_t i)
{
    return str_n(slot_at(t, i)->operation, slot_at(t, i)->operation_len);
}

struct throughput_sums throughput_read(const struct throughput *t, size_t i)
{
    const struct slot *slot = slot_at(t, i);

    return (struct throughput_sums){ atomic_load_explicit(&slot->roots, memory_order_relaxed),
                                     atomic_load_explicit(&slot->sampled, memory_order_relaxed) };
}

void throughput_turn(struct throughput *t)
{
    atomic_fetch_add_explicit(&t->shared.interval, 1, memory_order_relaxed);
}

size_t throughput_values(const struct throughput *t, size_t i, uint64_t out[ADAPTIVE_VALUES_MAX])
{
    uint64_t interval = atomic_load_explicit(&t->shared.interval, memory_order_relaxed) - 1;
    const struct values *values = &slot_at(t, i)->values[interval & 1];
    size_t n = 0;

    if (atomic_load_explicit(&values->interval, memory_order_acquire) == interval)
        n = atomic_load_explicit(&values->n, memory_order_acquire);
    for (size_t k = 0; k < n; k++)
        out[k] = atomic_load_explicit(&values->at[k], memory_order_relaxed);
    return n;
}

void throughput_retire(struct throughput *t, size_t i)
{
    atomic_store_explicit(&slot_at(t, i)->state, SLOT_RETIRED, memory_order_release);
    atomic_fetch_add_explicit(&t->shared.changes, 1, memory_order_release);
}

uint64_t throughput_beyond(const struct throughput *t)
{
    return atomic_load_explicit(&t->shared.beyond, memory_order_relaxed);
}

/* --- slots ---------------------------------------------------------------------------------------- */

static struct str key_of(struct throughput *t, struct str service, struct str operation)
{
    uint8_t length[4];

    put_le32(length, (uint32_t)service.len); /* a name may hold any byte */
    buf_clear(&t->own.key);
    buf_put(&t->own.key, length, sizeof length);
    buf_put_str(&t->own.key, service);
    buf_put_str(&t->own.key, operation);
    return buf_str(&t->own.key);
}

static void reclaim_slot(struct throughput *t, uint32_t i)
{
    struct slot *slot = slot_at(t, i);

    (void)map_remove(&t->own.by_name, key_of(t, str_n(slot->service, slot->service_len), str_n(slot->operation, slot->operation_len)), NULL);
    *(slot->operation_len ? &t->own.n_operations : &t->own.n_defaults) -= 1;
    mem_free(MG_STEAL(slot->service));
    mem_free(MG_STEAL(slot->operation));
    atomic_store_explicit(&slot->state, SLOT_FREE, memory_order_relaxed);
    VEC_PUSH(&t->own.free, i);
}

static void take_changes(struct throughput *t)
{
    uint32_t changes = atomic_load_explicit(&t->shared.changes, memory_order_acquire);

    if (changes == t->own.changes_seen)
        return;
    t->own.changes_seen = changes;
    for (uint32_t i = 0; i < throughput_slots(t); i++)
        if (atomic_load_explicit(&slot_at(t, i)->state, memory_order_acquire) == SLOT_RETIRED)
            reclaim_slot(t, i);
    for (size_t i = 0; i < EPOCH_MEMORIES; i++)
        forget(&t->own.memories[i]);
    t->own.epochs = (struct epoch_memory){ 0 };
}

static uint32_t new_slot(struct throughput *t)
{
    size_t n = throughput_slots(t);

    if (t->own.free.n)
        return VEC_POP(&t->own.free);
    assert(n < THROUGHPUT_SLOTS_MAX); /* or n_operations or n_defaults had been at its limit */
    if (n % CHUNK_SLOTS == 0)
        atomic_store_explicit(&t->shared.chunks[n / CHUNK_SLOTS], mem_zero(CHUNK_SLOTS, sizeof(struct slot)), memory_order_release);
    atomic_store_explicit(&t->shared.n, n + 1, memory_order_release);
    return (uint32_t)n;
}

static void name_slot(struct slot *slot, struct str service, struct str operation)
{
    slot->service = str_text(service);
    slot->service_len = service.len;
    slot->operation = str_text(operation);
    slot->operation_len = operation.len;
    atomic_store_explicit(&slot->roots, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->sampled, 0, memory_order_relaxed);
    for (size_t k = 0; k < 2; k++)
        atomic_store_explicit(&slot->values[k].interval, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->state, SLOT_USED, memory_order_release);
}

size_t throughput_slot(struct throughput *t, struct str service, struct str operation)
{
    size_t *n = operation.len ? &t->own.n_operations : &t->own.n_defaults;
    struct str key = key_of(t, service, operation);
    void **known = map_find(&t->own.by_name, key);
    uint32_t i;

    if (known)
        return (size_t)(uintptr_t)*known - 1;
    if (*n >= atomic_load_explicit(&t->shared.operations_max, memory_order_relaxed))
        return SIZE_MAX;
    ++*n;
    i = new_slot(t);
    *map_put(&t->own.by_name, key, NULL) = (void *)((uintptr_t)i + 1);
    name_slot(slot_at(t, i), service, operation);
    return i;
}

/* --- memories of epochs --------------------------------------------------------------------------- */

static struct memory *memory_of(struct throughput *t, const struct epoch *epoch)
{
    bool is_new;
    struct memory *memory = &t->own.memories[epoch_memory_place(&t->own.epochs, epoch, &is_new)];

    if (is_new)
        forget(memory);
    return memory;
}

static bool is_name(struct str name)
{
    return name.len > 0 && utf8_valid(name.ptr, name.len);
}

static uint32_t find_slot(struct throughput *t, const struct row *root, const struct epoch *epoch)
{
    struct str name = epoch_text(epoch, root->name);
    struct resource_view view;
    size_t slot = SIZE_MAX;

    resource_view(epoch_text(epoch, root->resource), &view);
    if (!is_name(view.service_name) || !is_name(name))
        return NOT_COUNTED;
    if (view.service_name.len <= THROUGHPUT_NAME_MAX && name.len <= THROUGHPUT_NAME_MAX)
        slot = throughput_slot(t, view.service_name, name);
    if (slot == SIZE_MAX && view.service_name.len <= THROUGHPUT_NAME_MAX)
        slot = throughput_slot(t, view.service_name, STR(""));
    return slot == SIZE_MAX ? NO_SLOT : (uint32_t)slot;
}

static uint32_t slot_of_root(struct throughput *t, const struct row *root, const struct epoch *epoch)
{
    uint64_t symbols = (uint64_t)root->name << 32 | root->resource;
    struct memory *memory = memory_of(t, epoch);
    const uint32_t *known;
    uint32_t slot;

    if (symbols == 0) /* neither a name nor a resource */
        return NOT_COUNTED;
    if ((known = symbol_table_find(&memory->pairs, symbols, sizeof *known)))
        return *known;
    slot = find_slot(t, root, epoch);
    *(uint32_t *)symbol_table_add(&memory->pairs, symbols, &pairs_size) = slot;
    return slot;
}

/* --- what a root says ----------------------------------------------------------------------------- */

/* In the two spellings: Jaeger's clients write the first, OpenTelemetry's Go sampler the second. */
enum { TAG_NONE, TAG_TYPE, TAG_PARAM };

static int tag_of(struct str key)
{
    static const struct str prefix = STR_INIT("jaeger.");

    if (str_starts(key, prefix))
        key = str_n(key.ptr + prefix.len, key.len - prefix.len);
    return str_eq(key, STR("sampler.type")) ? TAG_TYPE : str_eq(key, STR("sampler.param")) ? TAG_PARAM : TAG_NONE;
}

static bool find_tags(const struct row *root, const struct epoch *epoch)
{
    const struct shape *shape = epoch_shape(epoch, root->shape);

    for (uint32_t i = 0; i < shape->n; i++)
        if (tag_of(epoch_text(epoch, shape->attrs[i].key)) == TAG_TYPE)
            return true;
    return false;
}

static bool has_tags(struct memory *memory, const struct row *root, const struct epoch *epoch)
{
    if (root->shape >= memory->n_shapes) {
        size_t n = MG_MAX((size_t)root->shape + 1, MG_MIN(memory->n_shapes * 2, (size_t)epoch_shapes(epoch) + 1));
        memory->shapes = mem_grow(memory->shapes, n);
        memset(memory->shapes + memory->n_shapes, SHAPE_UNKNOWN, n - memory->n_shapes);
        memory->n_shapes = n;
    }
    if (memory->shapes[root->shape] == SHAPE_UNKNOWN)
        memory->shapes[root->shape] = find_tags(root, epoch) ? SHAPE_TAGGED : SHAPE_PLAIN;
    return memory->shapes[root->shape] == SHAPE_TAGGED;
}

static struct str text_of(const struct row_value *value, const struct epoch *epoch)
{
    if (value->type != VALUE_STRING)
        return STR("");
    return value->is_symbol ? epoch_text(epoch, value->symbol) : value->bytes;
}

static bool number_of(const struct row_value *value, const struct epoch *epoch, double *out)
{
    switch (value->type) {
    case VALUE_DOUBLE:
        *out = value->d;
        break;
    case VALUE_INT:
        *out = (double)value->i;
        break;
    case VALUE_BOOL: /* the constant sampler's */
        *out = value->b;
        break;
    default:
        if (str_double(text_of(value, epoch), out) != MG_OK)
            return false;
    }
    return *out >= 0 && *out <= 1e9;
}

struct said { bool is_sampled, has_value; uint64_t value; };

/* What Jaeger makes of the types; of one that is not among them nothing is known. */
static bool read_type(struct str type, double param, struct said *out)
{
    static const struct { struct str type; bool is_sampled, has_value; } types[] = {
        { STR_INIT("probabilistic"), true, true },
        { STR_INIT("lowerbound"), false, true },    /* its param is the probability beside it */
        { STR_INIT("const"), false, true },
        { STR_INIT("ratelimiting"), false, false }, /* its param is a rate; also OpenTelemetry's name for the lower bound */
    };

    for (size_t i = 0; i < MG_COUNT(types); i++)
        if (str_eq(type, types[i].type)) {
            *out = (struct said){ types[i].is_sampled, types[i].has_value, adaptive_value(param) };
            return true;
        }
    return false;
}

/* False: no tags that say anything. */
static bool read_tags(const struct row *root, const struct epoch *epoch, struct said *out)
{
    struct row_cursor cursor;
    struct row_value value;
    struct str type = STR("");
    double param = -1;

    row_values(root, epoch, &cursor);
    while (row_next_value(&cursor, &value)) {
        int tag = tag_of(epoch_text(epoch, value.key));
        if (tag == TAG_TYPE && type.len == 0)
            type = text_of(&value, epoch);
        else if (tag == TAG_PARAM && param < 0 && !number_of(&value, epoch, &param))
            param = -1;
    }
    return param >= 0 && read_type(type, param, out);
}

static bool read_trace_state(const struct row *root, const struct epoch *epoch, struct said *out)
{
    struct row_cursor cursor;
    struct row_rest rest;
    struct ot_state state;

    if (!(root->has & ROW_HAS_TRACE_STATE))
        return false;
    row_values(root, epoch, &cursor);
    row_skip_values(&cursor);
    row_read_rest(&cursor, &rest);
    ot_read(text_of(&rest.trace_state, epoch), &state);
    *out = (struct said){ true, true, adaptive_threshold(state.th) };
    return state.has_th;
}

/* --- counting ------------------------------------------------------------------------------------- */

static void add_value(struct throughput *t, struct slot *slot, uint64_t value)
{
    uint64_t interval = atomic_load_explicit(&t->shared.interval, memory_order_relaxed);
    struct values *values = &slot->values[interval & 1];
    uint32_t n = atomic_load_explicit(&values->n, memory_order_relaxed);

    if (atomic_load_explicit(&values->interval, memory_order_relaxed) != interval) {
        n = 0;
        atomic_store_explicit(&values->n, 0, memory_order_relaxed);
        atomic_store_explicit(&values->interval, interval, memory_order_release);
    }
    for (uint32_t k = 0; k < n; k++)
        if (adaptive_value_eq(atomic_load_explicit(&values->at[k], memory_order_relaxed), value))
            return;
    if (n == ADAPTIVE_VALUES_MAX)
        return;
    atomic_store_explicit(&values->at[n], value, memory_order_relaxed);
    atomic_store_explicit(&values->n, n + 1, memory_order_release);
}

void throughput_count(struct throughput *t, const struct row *root, const struct epoch *epoch)
{
    struct said said = { .is_sampled = true };

    take_changes(t);
    uint32_t i = slot_of_root(t, root, epoch);
    if (i == NOT_COUNTED)
        return;
    struct slot *slot = i == NO_SLOT ? NULL : slot_at(t, i);
    if (!slot || slot->operation_len == 0)
        add_one(&t->shared.beyond);
    if (!slot)
        return;
    if (!has_tags(memory_of(t, epoch), root, epoch) || !read_tags(root, epoch, &said))
        if (!read_trace_state(root, epoch, &said))
            said = (struct said){ .is_sampled = true };
    add_one(&slot->roots);
    if (said.is_sampled)
        add_one(&slot->sampled);
    if (said.has_value)
        add_value(t, slot, said.value);
}
