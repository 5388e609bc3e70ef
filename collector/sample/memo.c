/* memo.c - see memo.h.
 *
 * Of an epoch two things are remembered. Of a shape: which of its attributes matter, as steps "pass over so many values, then look at this
 * one for that key"; most shapes of most policies have none, and their rows' payload is not touched. Of a symbol, together with what it was
 * seen as (the value of a key, a resource, a trace state): the conditions it meets, so that each text is compared or searched once.
 *
 *   row -> epoch's memory -> plan[shape] -> steps  -> facts[(key, symbol)] -> bits
 *                         -> facts[(RESOURCE, symbol)] -> bits
 *
 * A value is passed over here and not by a row_cursor: that writes a row_value for each, which costs as much as all the rest. */
#include "sample/memo.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/hash.h"

#define EPOCHS_MAX     64
#define FACTS_FIRST    256
#define FACTS_MAX      32768  /* beyond: forgotten all, and found out anew */
#define STEPS_MAX      65536  /* of an epoch; the same */
#define LOAD_HALVES    1      /* at most half of the slots are taken */

/* What a symbol was seen as. Keys of conditions come after these. */
enum { AS_RESOURCE = 1, AS_TRACE_STATE, AS_SERVICE, AS_KEY };

struct fact { uint64_t as_symbol; /* 0: the slot is empty */ uint64_t bits[2]; };
struct step { uint32_t pass; uint32_t key; };
struct plan { uint32_t first; uint16_t n; bool is_known; };

/* The steps of an epoch's shapes for one list of names. */
struct planner {
    struct plan *plans; /* by shape */
    size_t n_plans;
    VEC(struct step) steps;
};
struct memory {
    struct planner conditions, fields;
    struct fact *facts; /* open addressing */
    size_t n_facts, room;
    uint32_t resource;  /* the last one, and what it meets; 0: none yet */
    uint64_t resource_bits[2];
};
struct memo {
    const struct condition_set *set;
    struct finder_scratch *scratch;
    uint64_t serials[EPOCHS_MAX]; /* 0: free */
    uint64_t used[EPOCHS_MAX];
    uint64_t clock;
    size_t last;
    struct memory memories[EPOCHS_MAX];
};

struct memo *memo_new(const struct condition_set *set)
{
    struct memo *memo = MEM_NEW(struct memo);

    memo->set = set;
    memo->scratch = finder_scratch_new();
    return memo;
}

static void memory_fini(struct memory *memory)
{
    mem_free(memory->conditions.plans);
    mem_free(memory->fields.plans);
    VEC_FINI(&memory->conditions.steps);
    VEC_FINI(&memory->fields.steps);
    mem_free(memory->facts);
    *memory = (struct memory){ 0 };
}

void memo_free(struct memo **pointer)
{
    struct memo *memo = MG_STEAL(*pointer);

    if (!memo)
        return;
    for (size_t i = 0; i < EPOCHS_MAX; i++)
        memory_fini(&memo->memories[i]);
    finder_scratch_free(&memo->scratch);
    mem_free(memo);
}

/* --- epochs --------------------------------------------------------------------------------------- */

static struct memory *find_or_replace(struct memo *memo, uint64_t serial)
{
    size_t oldest = 0;

    for (size_t i = 0; i < EPOCHS_MAX; i++) {
        if (memo->serials[i] == serial) {
            oldest = i;
            break;
        }
        if (memo->used[i] < memo->used[oldest])
            oldest = i;
    }
    if (memo->serials[oldest] != serial) {
        memory_fini(&memo->memories[oldest]);
        memo->serials[oldest] = serial;
    }
    memo->used[oldest] = ++memo->clock;
    memo->last = oldest;
    return &memo->memories[oldest];
}

static inline struct memory *memory_of(struct memo *memo, const struct epoch *epoch)
{
    uint64_t serial = epoch_serial(epoch);

    if (memo->serials[memo->last] == serial)
        return &memo->memories[memo->last];
    return find_or_replace(memo, serial);
}

/* --- symbols -------------------------------------------------------------------------------------- */

static inline size_t slot_of(const struct memory *memory, uint64_t as_symbol)
{
    uint64_t product = as_symbol * UINT64_C(0x9e3779b97f4a7c15);

    return (size_t)(product >> 32) & (memory->room - 1);
}

static struct fact *fact_place(struct memory *memory, uint64_t as_symbol)
{
    size_t at = slot_of(memory, as_symbol);

    while (memory->facts[at].as_symbol && memory->facts[at].as_symbol != as_symbol)
        at = (at + 1) & (memory->room - 1);
    return &memory->facts[at];
}

static void facts_grow(struct memory *memory)
{
    struct memory grown = *memory;

    if (memory->room == FACTS_MAX) {
        memset(memory->facts, 0, memory->room * sizeof *memory->facts);
        memory->n_facts = 0;
        return;
    }
    grown.room = memory->room ? memory->room * 2 : FACTS_FIRST;
    grown.facts = mem_zero(grown.room, sizeof *grown.facts);
    for (size_t i = 0; i < memory->room; i++)
        if (memory->facts[i].as_symbol)
            *fact_place(&grown, memory->facts[i].as_symbol) = memory->facts[i];
    mem_free(memory->facts);
    *memory = grown;
}

/* NULL: not known yet. */
static inline const struct fact *fact_find(const struct memory *memory, uint64_t as_symbol)
{
    if (memory->room == 0)
        return NULL;
    for (size_t at = slot_of(memory, as_symbol);; at = (at + 1) & (memory->room - 1)) {
        if (memory->facts[at].as_symbol == as_symbol)
            return &memory->facts[at];
        if (memory->facts[at].as_symbol == 0)
            return NULL;
    }
}

static void fact_add(struct memory *memory, uint64_t as_symbol, const uint64_t bits[2])
{
    if ((memory->n_facts + 1) << LOAD_HALVES > memory->room)
        facts_grow(memory);
    *fact_place(memory, as_symbol) = (struct fact){ as_symbol, { bits[0], bits[1] } };
    memory->n_facts++;
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
    const uint64_t bits[2] = { service_number(resource_service(&view)) };
    fact_add(memory, seen_as(AS_SERVICE, row->resource), bits);
    return hash64(name.ptr, name.len, bits[0]);
}

/* --- shapes --------------------------------------------------------------------------------------- */

static bool may_meet(const struct condition_key *key, enum value_type type)
{
    return (type == VALUE_STRING && key->asks_text) || (type == VALUE_INT && key->asks_number) ||
           (type == VALUE_BOOL && key->asks_boolean) || type == VALUE_OTHER;
}

/* The place of an attribute's key in the list, or SIZE_MAX when it is not asked about, or has come before. */
static size_t asked_about(const struct memo *memo, bool is_fields, struct str name, const struct shape_attr *attr)
{
    const struct condition_set *set = memo->set;

    if (is_fields) {
        for (size_t i = 0; i < set->fields.n; i++)
            if (str_eq(set->fields.at[i], name))
                return i;
        return SIZE_MAX;
    }
    for (size_t i = 0; i < set->keys.n; i++)
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

static struct plan make_plan(const struct memo *memo, struct planner *planner, bool is_fields, const struct epoch *epoch, uint32_t number)
{
    const struct shape *shape = epoch_shape(epoch, number);
    uint32_t passed = 0;

    planner_room(planner, number);
    struct plan plan = { .first = (uint32_t)planner->steps.n, .is_known = true };
    for (uint32_t i = 0; i < shape->n; i++, passed++) {
        size_t key = asked_about(memo, is_fields, epoch_text(epoch, shape->attrs[i].key), &shape->attrs[i]);
        if (key == SIZE_MAX || !is_first_of_key(shape, i))
            continue;
        VEC_PUSH(&planner->steps, ((struct step){ passed, (uint32_t)key }));
        passed = UINT32_MAX; /* 0 after the loop's step */
        plan.n++;
    }
    planner->plans[number] = plan;
    return plan;
}

static inline struct plan plan_of(const struct memo *memo, struct planner *planner, bool is_fields, const struct epoch *epoch,
                                  uint32_t shape)
{
    if (shape < planner->n_plans && planner->plans[shape].is_known)
        return planner->plans[shape];
    return make_plan(memo, planner, is_fields, epoch, shape);
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
    const struct step *steps = memory->conditions.steps.at + plan.first;
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
    struct plan plan = plan_of(memo, &memory->conditions, false, epoch, row->shape);
    if (plan.n)
        walk(memo, memory, row, epoch, plan, bits);
}

void memo_fields(struct memo *memo, const struct row *row, struct row_value *values)
{
    const struct epoch *epoch = segment_of(row)->epoch;
    struct memory *memory = memory_of(memo, epoch);
    struct plan plan = plan_of(memo, &memory->fields, true, epoch, row->shape);
    const struct step *steps = memory->fields.steps.at + plan.first;
    struct row_cursor cursor;

    row_values(row, epoch, &cursor);
    for (uint32_t i = 0; i < plan.n; i++) {
        pass_to(&cursor, steps[i].pass);
        values[steps[i].key] = value_at(&cursor);
    }
}
