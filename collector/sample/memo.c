/* memo.c - see memo.h.
 *
 * Of an epoch two things are remembered. Of a shape: which of its attributes matter, as steps "pass over so many values, then look at this
 * one for that key"; most shapes of most policies have none, and their rows' payload is not touched. Of a symbol, together with what it was
 * seen as (the value of a key, a resource, a trace state): the conditions it meets, or the class it is of, so that each text is compared or
 * searched once.
 *
 *   row -> epoch's memory -> plan[shape] -> steps  -> facts[(key, symbol)] -> bits
 *                         -> facts[(RESOURCE, symbol)] -> bits
 *
 * A value is passed over here and not by a row_cursor: that writes a row_value for each, which costs as much as all the rest. */
#include "sample/memo.h"
#include "base/mem.h"
#include "codec/hash.h"
#include "sample/epoch_memory.h"

#define STEPS_MAX 65536 /* of an epoch; beyond: forgotten all, and found out anew */

/* What a symbol was seen as. Texts that classes look at, and keys of conditions, come after these. */
enum { AS_RESOURCE = 1, AS_TRACE_STATE, AS_SERVICE, AS_CLASS_TEXT, AS_KEY = AS_CLASS_TEXT + CLASS_NAME + 1 };

/* Attributes are looked for by three lists of names. */
enum names { CONDITION_KEYS, FIELDS, CLASS_TEXTS, NAMES };
struct step { uint32_t pass; uint32_t key; /* in the list */ };
struct plan { uint32_t first; uint16_t n; bool is_known; };

/* The steps of an epoch's shapes for one list of names. */
struct planner {
    struct plan *plans; /* by shape */
    size_t n_plans;
    VEC(struct step) steps;
};
struct fact { uint64_t bits[2]; };
static const struct symbol_table_size facts_size = { sizeof(struct fact), 256, 32768 };
struct memory {
    struct planner planners[NAMES];
    struct symbol_table facts; /* by seen_as */
    uint32_t resource;  /* the last one, and what it meets; 0: none yet */
    uint64_t resource_bits[2];
};
struct memo {
    const struct condition_set *set;
    const struct classes *classes;
    struct finder_scratch *scratch;
    struct epoch_memory epochs;
    struct memory memories[EPOCH_MEMORIES];
};

struct memo *memo_new(const struct condition_set *set, const struct classes *classes)
{
    struct memo *memo = MEM_NEW(struct memo);

    memo->set = set;
    memo->classes = classes;
    memo->scratch = finder_scratch_new();
    return memo;
}

static void memory_fini(struct memory *memory)
{
    for (size_t i = 0; i < NAMES; i++) {
        mem_free(memory->planners[i].plans);
        VEC_FINI(&memory->planners[i].steps);
    }
    symbol_table_fini(&memory->facts);
    *memory = (struct memory){ 0 };
}

void memo_free(struct memo **pointer)
{
    struct memo *memo = MG_STEAL(*pointer);

    if (!memo)
        return;
    for (size_t i = 0; i < EPOCH_MEMORIES; i++)
        memory_fini(&memo->memories[i]);
    finder_scratch_free(&memo->scratch);
    mem_free(memo);
}

/* --- symbols -------------------------------------------------------------------------------------- */

static inline struct memory *memory_of(struct memo *memo, const struct epoch *epoch)
{
    bool is_new;
    struct memory *memory = &memo->memories[epoch_memory_place(&memo->epochs, epoch, &is_new)];

    if (is_new)
        memory_fini(memory);
    return memory;
}

/* NULL: not known yet. */
static inline const struct fact *fact_find(const struct memory *memory, uint64_t as_symbol)
{
    return symbol_table_find(&memory->facts, as_symbol, sizeof(struct fact));
}

static void fact_add(struct memory *memory, uint64_t as_symbol, const uint64_t bits[2])
{
    *(struct fact *)symbol_table_add(&memory->facts, as_symbol, &facts_size) = (struct fact){ { bits[0], bits[1] } };
}

static inline uint64_t seen_as(uint32_t as, uint32_t symbol)
{
    return (uint64_t)as << 32 | symbol;
}

/* --- resources ------------------------------------------------------------------------------------ */

static void read_resource(struct memo *memo, struct memory *memory, const struct epoch *epoch, uint32_t symbol)
{
    const struct fact *known = fact_find(memory, seen_as(AS_RESOURCE, symbol));
    uint64_t bits[2] = { 0 };

    if (!known) {
        condition_match_resource(memo->set, memo->scratch, epoch_text(epoch, symbol), bits);
        fact_add(memory, seen_as(AS_RESOURCE, symbol), bits);
    }
    memcpy(memory->resource_bits, known ? known->bits : bits, sizeof bits);
    memory->resource = symbol;
}

static uint64_t service_number(struct str service)
{
    return hash64(service.ptr, service.len, 0);
}

uint64_t operation_number(struct str service, struct str name)
{
    return hash64(name.ptr, name.len, service_number(service));
}

uint64_t memo_operation(struct memo *memo, const struct row *row)
{
    const struct epoch *epoch = segment_of(row)->epoch;
    struct memory *memory = memory_of(memo, epoch);
    const struct fact *known = fact_find(memory, seen_as(AS_SERVICE, row->resource));
    struct str name = epoch_text(epoch, row->name);
    struct resource_view view;

    if (known)
        return hash64(name.ptr, name.len, known->bits[0]);
    resource_view(epoch_text(epoch, row->resource), &view);
    const uint64_t bits[2] = { service_number(resource_service(&view)), 0 };
    fact_add(memory, seen_as(AS_SERVICE, row->resource), bits);
    return hash64(name.ptr, name.len, bits[0]);
}

/* --- shapes --------------------------------------------------------------------------------------- */

static bool may_meet(const struct condition_key *key, enum value_type type)
{
    return (type == VALUE_STRING && key->asks_text) || (type == VALUE_INT && key->asks_number) ||
           (type == VALUE_BOOL && key->asks_boolean) || type == VALUE_OTHER;
}

/* The place of an attribute's key in the list, or SIZE_MAX when it is not asked about. */
static size_t asked_about(const struct memo *memo, enum names names, struct str name, const struct shape_attr *attr)
{
    const struct condition_set *set = memo->set;
    enum class_text text;

    if (names == CLASS_TEXTS)
        return attr->type == VALUE_STRING && class_key(name, &text) ? text : SIZE_MAX;
    for (size_t i = 0; names == FIELDS && i < set->fields.n; i++)
        if (str_eq(set->fields.at[i], name))
            return i;
    for (size_t i = 0; names == CONDITION_KEYS && i < set->keys.n; i++)
        if (str_eq(set->keys.at[i].name, name))
            return may_meet(&set->keys.at[i], (enum value_type)attr->type) ? i : SIZE_MAX;
    return SIZE_MAX;
}

static bool is_first_of_key(const struct shape *shape, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (shape->attrs[k].key == shape->attrs[i].key)
            return false;
    return true;
}

static void planner_room(struct planner *planner, uint32_t shape)
{
    size_t n = planner->n_plans ? planner->n_plans : 64;

    while (n <= shape)
        n *= 2;
    if (n != planner->n_plans) {
        planner->plans = mem_grow(planner->plans, n * sizeof *planner->plans);
        memset(planner->plans + planner->n_plans, 0, (n - planner->n_plans) * sizeof *planner->plans);
        planner->n_plans = n;
    }
    if (planner->steps.n > STEPS_MAX) {
        VEC_CLEAR(&planner->steps);
        memset(planner->plans, 0, planner->n_plans * sizeof *planner->plans);
    }
}

/* Of a key that comes twice the first counts; classes see all. */
static struct plan make_plan(const struct memo *memo, struct memory *memory, enum names names, const struct epoch *epoch, uint32_t number)
{
    struct planner *planner = &memory->planners[names];
    const struct shape *shape = epoch_shape(epoch, number);
    uint32_t passed = 0;

    planner_room(planner, number);
    struct plan plan = { .first = (uint32_t)planner->steps.n, .is_known = true };
    for (uint32_t i = 0; i < shape->n; i++, passed++) {
        size_t key = asked_about(memo, names, epoch_text(epoch, shape->attrs[i].key), &shape->attrs[i]);
        if (key == SIZE_MAX || (names != CLASS_TEXTS && !is_first_of_key(shape, i)))
            continue;
        VEC_PUSH(&planner->steps, ((struct step){ passed, (uint32_t)key }));
        passed = UINT32_MAX; /* 0 after the loop's step */
        plan.n++;
    }
    planner->plans[number] = plan;
    return plan;
}

static inline struct plan plan_of(const struct memo *memo, struct memory *memory, enum names names, const struct epoch *epoch, uint32_t shape)
{
    const struct planner *planner = &memory->planners[names];

    if (shape < planner->n_plans && planner->plans[shape].is_known)
        return planner->plans[shape];
    return make_plan(memo, memory, names, epoch, shape);
}

/* --- walking a row -------------------------------------------------------------------------------- */

/* Rows are written by this process: the end is there because the varint reader wants one. */
static inline const uint8_t *pass_over(const uint8_t *at, const uint8_t *end, unsigned type)
{
    uint64_t word = 0;

    switch ((enum value_type)type) {
    case VALUE_EMPTY:
        return at;
    case VALUE_BOOL:
        return at + 1;
    case VALUE_DOUBLE:
        return at + 8;
    case VALUE_INT:
        return wire_varint(at, end, &word);
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_ARRAY:
    case VALUE_KVLIST:
    case VALUE_OTHER:
        break;
    }
    at = wire_varint(at, end, &word);
    return word & 1 ? at + (word >> 1) : at;
}

/* The value under the cursor, which row_next_value would give. */
static struct row_value value_at(struct row_cursor *cursor)
{
    struct row_value value;

    (void)row_next_value(cursor, &value); /* there is one: a step leads to an attribute of the shape */
    return value;
}

static inline void pass_to(struct row_cursor *cursor, uint32_t pass)
{
    const uint8_t *end = (const uint8_t *)cursor->row + cursor->row->bytes;

    for (; pass > 0; pass--)
        cursor->at = pass_over(cursor->at, end, cursor->shape->attrs[cursor->i++].type);
}

/* A text, or a value of a kind of its own, which may be a symbol. */
static void look_at_text(struct memo *memo, struct memory *memory, const struct epoch *epoch, uint32_t number,
                         const struct row_value *value, uint64_t bits[2])
{
    const struct condition_key *key = &memo->set->keys.at[number];
    uint64_t as_symbol = seen_as(AS_KEY + number, value->symbol), own[2] = { 0 };
    const struct fact *known = value->is_symbol ? fact_find(memory, as_symbol) : NULL;
    struct value text = { .type = value->type };

    if (known) {
        bits_add(bits, known->bits);
        return;
    }
    text.str = value->is_symbol ? epoch_text(epoch, value->symbol) : value->bytes;
    text = value_plain(&text);
    if (text.type != VALUE_STRING || text.str.len > 0)
        condition_match_value(memo->set, key, memo->scratch, &text, own);
    if (value->is_symbol)
        fact_add(memory, as_symbol, own);
    bits_add(bits, own);
}

static void look_at(struct memo *memo, struct memory *memory, const struct epoch *epoch, uint32_t number, const struct row_value *value,
                    uint64_t bits[2])
{
    const struct condition_key *key = &memo->set->keys.at[number];

    if (value->type == VALUE_INT)
        condition_match_number(memo->set, key, value->i, bits);
    else if (value->type == VALUE_BOOL)
        condition_match_boolean(memo->set, key, value->b, bits);
    else
        look_at_text(memo, memory, epoch, number, value, bits);
}

static void walk(struct memo *memo, struct memory *memory, const struct row *row, const struct epoch *epoch, struct plan plan,
                 uint64_t bits[2])
{
    const struct step *steps = memory->planners[CONDITION_KEYS].steps.at + plan.first;
    struct row_cursor cursor;

    row_values(row, epoch, &cursor);
    for (uint32_t i = 0; i < plan.n; i++) {
        pass_to(&cursor, steps[i].pass);
        struct row_value value = value_at(&cursor);
        look_at(memo, memory, epoch, steps[i].key, &value, bits);
    }
}

static void look_at_trace_state(struct memo *memo, struct memory *memory, const struct row *row, const struct epoch *epoch,
                                uint64_t bits[2])
{
    struct row_cursor cursor;
    struct row_rest rest;
    uint64_t own[2] = { 0 };

    row_values(row, epoch, &cursor);
    pass_to(&cursor, cursor.shape->n);
    row_read_rest(&cursor, &rest);
    uint64_t as_symbol = seen_as(AS_TRACE_STATE, rest.trace_state.symbol);
    const struct fact *known = rest.trace_state.is_symbol ? fact_find(memory, as_symbol) : NULL;
    if (known) {
        bits_add(bits, known->bits);
        return;
    }
    condition_match_trace_state(memo->set, rest.trace_state.is_symbol ? epoch_text(epoch, rest.trace_state.symbol) : rest.trace_state.bytes,
                                own);
    if (rest.trace_state.is_symbol)
        fact_add(memory, as_symbol, own);
    bits_add(bits, own);
}

void memo_row(struct memo *memo, const struct row *row, uint64_t bits[2])
{
    const struct condition_set *set = memo->set;

    if (set->all.n == 0)
        return;
    if (row->status < MG_COUNT(set->by_status))
        bits_add(bits, set->by_status[row->status]);
    if (row->flags & 1)
        bits_add(bits, set->by_sampled_flag);
    const struct epoch *epoch = segment_of(row)->epoch;
    struct memory *memory = memory_of(memo, epoch);
    if (set->trace_states.n && row->has & ROW_HAS_TRACE_STATE)
        look_at_trace_state(memo, memory, row, epoch, bits);
    if (set->keys.n == 0)
        return;
    if (row->resource != memory->resource)
        read_resource(memo, memory, epoch, row->resource);
    bits_add(bits, memory->resource_bits);
    struct plan plan = plan_of(memo, memory, CONDITION_KEYS, epoch, row->shape);
    if (plan.n)
        walk(memo, memory, row, epoch, plan, bits);
}

void memo_fields(struct memo *memo, const struct row *row, struct row_value *values)
{
    const struct epoch *epoch = segment_of(row)->epoch;
    struct memory *memory = memory_of(memo, epoch);
    struct plan plan = plan_of(memo, memory, FIELDS, epoch, row->shape);
    const struct step *steps = memory->planners[FIELDS].steps.at + plan.first;
    struct row_cursor cursor;

    row_values(row, epoch, &cursor);
    for (uint32_t i = 0; i < plan.n; i++) {
        pass_to(&cursor, steps[i].pass);
        values[steps[i].key] = value_at(&cursor);
    }
}

/* --- classes -------------------------------------------------------------------------------------- */

static struct class_said said_of_symbol(struct memo *memo, struct memory *memory, const struct epoch *epoch, enum class_text which,
                                        uint32_t symbol)
{
    uint64_t as_symbol = seen_as(AS_CLASS_TEXT + which, symbol);
    const struct fact *known = fact_find(memory, as_symbol);
    struct class_said said;

    if (known)
        return (struct class_said){ (uint8_t)known->bits[0], known->bits[1] != 0 };
    said = class_of_text(memo->classes, which, epoch_text(epoch, symbol));
    fact_add(memory, as_symbol, (const uint64_t[2]){ said.class, said.has_text });
    return said;
}

size_t memo_class(struct memo *memo, const struct row *entry)
{
    const struct epoch *epoch = segment_of(entry)->epoch;
    struct memory *memory = memory_of(memo, epoch);
    struct plan plan = plan_of(memo, memory, CLASS_TEXTS, epoch, entry->shape);
    const struct step *steps = memory->planners[CLASS_TEXTS].steps.at + plan.first;
    struct class_seen seen = CLASS_SEEN_NOTHING;
    struct row_cursor cursor;

    class_see(&seen, CLASS_NAME, said_of_symbol(memo, memory, epoch, CLASS_NAME, entry->name));
    if (plan.n)
        row_values(entry, epoch, &cursor);
    for (uint32_t i = 0; i < plan.n; i++) {
        enum class_text which = (enum class_text)steps[i].key;
        pass_to(&cursor, steps[i].pass);
        struct row_value value = value_at(&cursor);
        class_see(&seen, which, value.is_symbol ? said_of_symbol(memo, memory, epoch, which, value.symbol)
                                                : class_of_text(memo->classes, which, value.bytes));
    }
    return class_of_seen(&seen);
}
