/* intern.c - writing rows by guessing.
 *
 * Spans of one operation repeat: the same keys in the same order, and most values too. A memo per
 * (name, resource, scope, number of attributes) remembers for every position the key and the value
 * that stood there last. A guess is confirmed by comparing bytes, which costs a third of hashing
 * and probing; when all keys and types were guessed right, the shape is the last one as well. A
 * wrong guess only costs the ordinary way through the epoch's tables, and corrects the memo.
 *
 *     memos[hash] -> guesses[0]  key "http.method"  value "GET"
 *                    guesses[1]  key "http.route"   value "/cart"     ...
 *
 * Memos are direct-mapped and bounded: with more operations than memos they fight, which is slower
 * but right. Spans with more than GUESSES_MAX attributes share one memo.
 *
 * Whether a key's values repeat is counted in the key's note (note.h) in the epoch; a raw key stays
 * raw until the epoch ends. Right guesses are counted in the guess and told to the note with the
 * next wrong one. Events have their own way (events.c).
 *
 * Room is reserved once a span, for the worst case; after that nothing is checked while writing. */
#include "row/intern.h"

#include <assert.h>
#include "base/mem.h"
#include "base/vec.h"
#include "codec/utf8.h"
#include "row/events.h"
#include "row/note.h"

#define MEMOS_LOG2      9
#define MEMOS           (1u << MEMOS_LOG2)
#define GUESSES_MAX     64 /* attributes */
#define VALUE_BYTES_MAX 1024 /* longer values stand in the row */
#define ROWS_FIRST      ((size_t)16 << 10)
#define POOL_MAX        8 /* batches */
#define POOL_ROWS_MAX   ((size_t)1 << 20) /* bytes of rows of a batch that is kept */
#define VARINT_MAX      10
/* Header, pad, and ten varints: two texts, three counts, three parts (of events the length in wire
 * form), two wide numbers. */
#define ROW_FIXED_MAX   (sizeof(struct row) + 8 + 10 * VARINT_MAX)

#define NO_LEN          UINT32_MAX /* of a guess that must not be right */

struct guess {
    const char *key_ptr, *value_ptr; /* in the epoch */
    uint32_t key_len, value_len;
    uint32_t key, value;             /* symbols */
    uint16_t hits;                   /* values guessed right and not yet told to the note */
    uint8_t type;
};

struct memo {
    uint32_t name, resource, scope, n;
    uint32_t shape;
    uint32_t room; /* guesses */
    struct guess *guesses;
};

struct batch {
    struct row_batch face; /* first: what the caller holds */
    size_t room;           /* bytes allocated for rows */
    struct batch *next;    /* in the pool */
};

struct interner {
    struct epoch *epoch;
    struct batch *batch; /* between begin and end */
    struct batch *pool;
    unsigned n_pool;
    size_t epoch_bytes_before;
    size_t bytes_before; /* of the rows of the last batch that ended */

    struct str resource, scope;         /* of the next span, borrowed from the body */
    bool resource_is_new, scope_is_new; /* not looked up yet */
    uint32_t resource_symbol, scope_symbol;

    struct guess trace_state, status_message;
    uint32_t trace_state_note, status_message_note;
    struct event_writer events;
    VEC(struct shape_attr) shape_attrs; /* scratch */
    struct memo large;                  /* of spans with more than GUESSES_MAX attributes */
    struct memo memos[MEMOS];
};

/* --- batches -------------------------------------------------------------------------------- */

void row_batch_free(struct row_batch **batch)
{
    struct row_batch *gone = MG_STEAL(*batch);

    if (!gone)
        return;
    epoch_unref(&gone->epoch);
    mem_free(gone->rows);
    mem_free(MG_CONTAINER(gone, struct batch, face));
}

static struct batch *batch_take(struct interner *interner)
{
    struct batch *batch = interner->pool;

    if (!batch)
        return MEM_NEW(struct batch);
    interner->pool = batch->next;
    interner->n_pool--;
    batch->next = NULL;
    return batch;
}

void interner_recycle(struct interner *interner, struct row_batch **batch)
{
    if (!*batch)
        return;
    struct batch *back = MG_CONTAINER(*batch, struct batch, face);
    if (interner->n_pool == POOL_MAX || back->room > POOL_ROWS_MAX) {
        row_batch_free(batch);
        return;
    }
    *batch = NULL;
    epoch_unref(&back->face.epoch);
    back->face = (struct row_batch){ .rows = back->face.rows };
    back->next = interner->pool;
    interner->pool = back;
    interner->n_pool++;
}

static void pool_free(struct interner *interner)
{
    while (interner->pool) {
        struct row_batch *face = &batch_take(interner)->face;
        row_batch_free(&face);
    }
}

/* A new one begins with the room that the one before took, since bodies of one sender are alike; beyond that it grows by a quarter, so
 * that what waits for the log is rows and not room. */
static __attribute__((noinline)) void rows_grow(struct batch *batch, size_t need, size_t bytes_before)
{
    size_t room = need + need / 4, first = MG_MAX(ROWS_FIRST, bytes_before + bytes_before / 16);

    if (batch->room == 0)
        room = MG_MAX(room, first);
    batch->face.rows = mem_grow(batch->face.rows, room);
    batch->room = room;
}

/* Where the next row begins, with room for `bytes`. */
static inline struct row *row_reserve(struct interner *interner, size_t bytes)
{
    struct batch *batch = interner->batch;

    if (bytes > batch->room - batch->face.bytes)
        rows_grow(batch, batch->face.bytes + bytes, interner->bytes_before);
    return (struct row *)(batch->face.rows + batch->face.bytes);
}

/* --- life ----------------------------------------------------------------------------------- */

struct interner *interner_new(void)
{
    return MEM_NEW(struct interner);
}

/* Everything that names symbols of the epoch goes with it. */
static void epoch_leave(struct interner *interner)
{
    for (unsigned i = 0; i < MEMOS; i++)
        mem_free(interner->memos[i].guesses);
    memset(interner->memos, 0, sizeof interner->memos);
    mem_free(interner->large.guesses);
    interner->large = (struct memo){ 0 };
    interner->trace_state = interner->status_message = (struct guess){ 0 };
    interner->trace_state_note = interner->status_message_note = 0;
    memset(&interner->events, 0, sizeof interner->events);
    interner->resource_symbol = interner->scope_symbol = 0;
    epoch_unref(&interner->epoch);
}

void interner_decay(struct interner *interner)
{
    pool_free(interner);
    VEC_FINI(&interner->shape_attrs);
    if (!interner->batch)
        epoch_leave(interner);
}

void interner_free(struct interner **interner)
{
    struct interner *gone = MG_STEAL(*interner);

    if (!gone)
        return;
    if (gone->batch)
        interner_abort(gone);
    interner_decay(gone);
    mem_free(gone);
}

void interner_begin(struct interner *interner, uint64_t now_mono_ns)
{
    assert(!interner->batch);
    if (interner->epoch && epoch_is_full(interner->epoch, now_mono_ns))
        epoch_leave(interner);
    if (!interner->epoch)
        interner->epoch = epoch_new(now_mono_ns);
    interner->batch = batch_take(interner);
    interner->batch->face.epoch = epoch_ref(interner->epoch);
    interner->epoch_bytes_before = epoch_bytes(interner->epoch);
    interner_resource(interner, (struct str){ "", 0 });
    interner_scope(interner, (struct str){ "", 0 });
}

struct row_batch *interner_end(struct interner *interner)
{
    assert(interner->batch);
    struct batch *batch = MG_STEAL(interner->batch);

    batch->face.epoch_growth = epoch_bytes(interner->epoch) - interner->epoch_bytes_before;
    interner->bytes_before = batch->face.bytes;
    return &batch->face;
}

void interner_abort(struct interner *interner)
{
    assert(interner->batch);
    struct row_batch *batch = &MG_STEAL(interner->batch)->face;

    interner_recycle(interner, &batch);
}

/* A group without spans must not cost a symbol, so the look-up waits for the first span. */
void interner_resource(struct interner *interner, struct str resource)
{
    interner->resource = resource;
    interner->resource_is_new = true;
}

void interner_scope(struct interner *interner, struct str scope)
{
    interner->scope = scope;
    interner->scope_is_new = true;
}

/* --- symbols -------------------------------------------------------------------------------- */

static uint32_t intern_text(struct interner *interner, struct str text, bool is_string,
                            bool *is_new)
{
    uint32_t before = epoch_symbols(interner->epoch);
    uint32_t symbol = epoch_intern(interner->epoch, text);

    *is_new = symbol > before;
    if (*is_new && is_string && !epoch_is_utf8(interner->epoch, symbol))
        interner->batch->face.bad_strings++;
    return symbol;
}

/* The last group's symbol again, when the bytes are the same: most requests repeat them. */
static uint32_t intern_group(struct interner *interner, struct str bytes, uint32_t last)
{
    if (str_eq(bytes, epoch_text(interner->epoch, last)))
        return last;
    return epoch_intern(interner->epoch, bytes);
}

static void groups_look_up(struct interner *interner)
{
    if (interner->resource_is_new)
        interner->resource_symbol =
            intern_group(interner, interner->resource, interner->resource_symbol);
    if (interner->scope_is_new)
        interner->scope_symbol = intern_group(interner, interner->scope, interner->scope_symbol);
    interner->resource_is_new = interner->scope_is_new = false;
}

/* --- values --------------------------------------------------------------------------------- */

static uint8_t *put_inline(struct interner *interner, struct str text, bool is_string, uint8_t *at)
{
    if (is_string && !utf8_valid(text.ptr, text.len))
        interner->batch->face.bad_strings++;
    at = put_varint(at, (uint64_t)text.len << 1 | 1);
    if (text.len)
        memcpy(at, text.ptr, text.len);
    return at + text.len;
}

/* The guess was wrong, or the value is not one for the dictionary. */
static __attribute__((noinline)) uint8_t *put_unguessed(struct interner *interner,
                                                        struct guess *guess, uint32_t *note,
                                                        struct str text, uint8_t *at)
{
    bool is_new, is_string = guess->type == VALUE_STRING;

    if (text.len > VALUE_BYTES_MAX)
        return put_inline(interner, text, is_string, at);
    if (*note & NOTE_RAW) {
        guess->value_len = NO_LEN;
        return put_inline(interner, text, is_string, at);
    }
    guess->value = intern_text(interner, text, is_string, &is_new);
    guess->value_ptr = epoch_text(interner->epoch, guess->value).ptr;
    guess->value_len = (uint32_t)text.len;
    note_value(note, (uint32_t)guess->hits + 1, is_new);
    guess->hits = 0;
    return put_varint(at, (uint64_t)guess->value << 1);
}

static inline bool is_guessed(struct guess *guess, struct str text)
{
    if (text.len != guess->value_len || !bytes_same(text.ptr, guess->value_ptr, text.len))
        return false;
    guess->hits += guess->hits < UINT16_MAX;
    return true;
}

static inline uint8_t *put_value(struct interner *interner, struct guess *guess,
                                 const struct value *value, uint8_t *at)
{
    switch (value->type) {
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_ARRAY:
    case VALUE_KVLIST:
        if (is_guessed(guess, value->str))
            return put_varint(at, (uint64_t)guess->value << 1);
        return put_unguessed(interner, guess, epoch_note(interner->epoch, guess->key), value->str,
                             at);
    case VALUE_OTHER: /* Holds its key again, and is rare: as a symbol it would raise the bound. */
        return put_inline(interner, value->raw, false, at);
    case VALUE_INT:
        return put_varint(at, zigzag(value->i));
    case VALUE_DOUBLE:
        memcpy(at, &value->d, 8);
        return at + 8;
    case VALUE_BOOL:
        *at = value->b;
        return at + 1;
    case VALUE_EMPTY:
        break;
    }
    return at;
}

static __attribute__((noinline)) void guess_key(struct interner *interner, struct guess *guess,
                                                struct str key)
{
    bool is_new;

    *guess = (struct guess){ .key = intern_text(interner, key, true, &is_new) };
    guess->key_ptr = epoch_text(interner->epoch, guess->key).ptr;
    guess->key_len = (uint32_t)key.len;
    guess->value_len = NO_LEN;
}

/* --- shapes --------------------------------------------------------------------------------- */

static void memo_reset(struct memo *memo, uint32_t n)
{
    if (n > memo->room) {
        mem_free(memo->guesses);
        memo->guesses = mem_alloc(n * sizeof *memo->guesses);
        memo->room = n;
    }
    if (n) /* Zeroed, a guess says the empty key, symbol 0. */
        memset(memo->guesses, 0, n * sizeof *memo->guesses);
    memo->shape = 0;
    memo->n = n;
}

static struct memo *memo_for(struct interner *interner, uint32_t name, uint32_t n)
{
    uint32_t resource = interner->resource_symbol, scope = interner->scope_symbol;
    uint64_t mix = (name * 0x9e3779b97f4a7c15) ^ (resource * 0xd6e8feb86659fd93) ^
                   (scope * 0xa0761d6478bd642f) ^ (n * 0xe7037ed1a0b428db);
    struct memo *memo = n > GUESSES_MAX ? &interner->large
                                        : &interner->memos[(mix ^ mix >> 32) % MEMOS];

    if (memo->name == name && memo->n == n && memo->resource == resource && memo->scope == scope)
        return memo;
    memo_reset(memo, n);
    memo->name = name;
    memo->resource = resource;
    memo->scope = scope;
    return memo;
}

static __attribute__((noinline)) void memo_set_shape(struct interner *interner, struct memo *memo)
{
    VEC_RESERVE(&interner->shape_attrs, (size_t)memo->n);
    for (uint32_t i = 0; i < memo->n; i++)
        interner->shape_attrs.at[i] =
            (struct shape_attr){ .key = memo->guesses[i].key, .type = memo->guesses[i].type };
    memo->shape = epoch_intern_shape(interner->epoch, interner->shape_attrs.at, memo->n);
}

/* Writes the values and returns their end; memo->shape is then the span's. */
static uint8_t *put_attrs(struct interner *interner, struct memo *memo, const struct span *span,
                          uint8_t *at)
{
    bool is_same = memo->shape != 0;

    for (uint32_t i = 0; i < span->n_attrs; i++) {
        const struct attr *attr = &span->attrs[i];
        struct guess *guess = &memo->guesses[i];
        if (attr->key.len != guess->key_len ||
            !bytes_same(attr->key.ptr, guess->key_ptr, attr->key.len)) {
            guess_key(interner, guess, attr->key);
            is_same = false;
        }
        if (guess->type != attr->value.type) {
            guess->type = (uint8_t)attr->value.type;
            is_same = false;
        }
        at = put_value(interner, guess, &attr->value, at);
    }
    if (!is_same && memo->n)
        memo_set_shape(interner, memo);
    return at;
}

/* --- rows ----------------------------------------------------------------------------------- */

static inline bool is_text(enum value_type type)
{
    return type == VALUE_STRING || type >= VALUE_BYTES;
}

static size_t row_bytes_max(const struct span *span)
{
    size_t bytes = ROW_FIXED_MAX + span->n_attrs * (size_t)VARINT_MAX;

    for (uint32_t i = 0; i < span->n_attrs; i++)
        bytes += is_text(span->attrs[i].value.type) ? span->attrs[i].value.str.len : 0;
    return bytes + span->trace_state.len + span->status_message.len +
           events_room(span->events.len) + span->links.len + span->unknown.len;
}

static uint8_t *put_text_part(struct interner *interner, struct guess *guess, uint32_t *note,
                              struct str text, uint8_t *at)
{
    guess->type = VALUE_STRING;
    if (is_guessed(guess, text))
        return put_varint(at, (uint64_t)guess->value << 1);
    return put_unguessed(interner, guess, note, text, at);
}

static inline uint8_t *put_count(struct row *row, enum row_has bit, uint32_t count, uint8_t *at)
{
    if (!count)
        return at;
    row->has |= bit;
    return put_varint(at, count);
}

static inline uint8_t *put_part(struct row *row, enum row_has bit, struct str part, uint8_t *at)
{
    if (!part.len)
        return at;
    row->has |= bit;
    at = put_varint(at, part.len);
    memcpy(at, part.ptr, part.len);
    return at + part.len;
}

static uint8_t *put_wide(struct row *row, const struct span *span, uint8_t *at)
{
    bool kind_fits = span->kind >= 0 && span->kind < 255;
    bool status_fits = span->status_code >= 0 && span->status_code < 255;

    row->kind = kind_fits ? (uint8_t)span->kind : 255;
    row->status = status_fits ? (uint8_t)span->status_code : 255;
    if (kind_fits && status_fits)
        return at;
    row->has |= ROW_HAS_WIDE;
    at = put_varint(at, zigzag(span->kind));
    return put_varint(at, zigzag(span->status_code));
}

/* In the order of the ROW_HAS bits, but for the events. */
static uint8_t *put_rest(struct interner *interner, struct row *row, const struct span *span,
                         uint8_t *at)
{
    if (span->trace_state.len) {
        row->has |= ROW_HAS_TRACE_STATE;
        at = put_text_part(interner, &interner->trace_state, &interner->trace_state_note,
                           span->trace_state, at);
    }
    if (span->status_message.len) {
        row->has |= ROW_HAS_STATUS_MESSAGE;
        at = put_text_part(interner, &interner->status_message, &interner->status_message_note,
                           span->status_message, at);
    }
    at = put_count(row, ROW_HAS_DROPPED_ATTRS, span->dropped_attrs, at);
    at = put_count(row, ROW_HAS_DROPPED_EVENTS, span->dropped_events, at);
    at = put_count(row, ROW_HAS_DROPPED_LINKS, span->dropped_links, at);
    at = put_part(row, ROW_HAS_LINKS, span->links, at);
    at = put_part(row, ROW_HAS_UNKNOWN, span->unknown, at);
    at = put_wide(row, span, at);
    if (row->has & ROW_HAS_EVENTS)
        at = events_put(&interner->events, interner->epoch, span, at);
    return at;
}

static inline void put_header(const struct interner *interner, struct row *row,
                              const struct span *span)
{
    row->prev = NULL;
    row->record = row->wall_s = 0;
    memcpy(row->trace_id, span->trace_id, sizeof row->trace_id);
    memcpy(row->span_id, span->span_id, sizeof row->span_id);
    memcpy(row->parent_id, span->parent_id, sizeof row->parent_id);
    row->start_ns = span->start_ns;
    row->end_ns = span->end_ns;
    row->resource = interner->resource_symbol;
    row->scope = interner->scope_symbol;
    row->red_key = 0;
    row->flags = span->flags;
}

/* Pads to 8 bytes and says where the row ends. */
static inline void row_close(struct batch *batch, struct row *row, uint8_t *at)
{
    size_t bytes = (size_t)(at - (uint8_t *)row);
    size_t padded = (bytes + 7) & ~(size_t)7;

    assert(padded <= UINT32_MAX);
    memset(at, 0, 8); /* ROW_FIXED_MAX has room for it. */
    row->bytes = (uint32_t)padded;
    batch->face.bytes += padded;
    batch->face.n++;
}

void interner_span(struct interner *interner, const struct span *span)
{
    struct batch *batch = interner->batch;
    bool is_new;

    assert(batch);
    groups_look_up(interner);
    struct row *row = row_reserve(interner, row_bytes_max(span));
    put_header(interner, row, span);
    row->name = intern_text(interner, span->name, true, &is_new);

    struct memo *memo = memo_for(interner, row->name, span->n_attrs);
    uint8_t *at = row->payload;
    row->has = 0;
    if (span->events.len) {
        row->has = ROW_HAS_EVENTS;
        at = put_varint(at, span->events.len);
    }
    at = put_attrs(interner, memo, span, at);
    row->shape = memo->shape;
    at = put_rest(interner, row, span, at);
    row_close(batch, row, at);
}

/* The dearest bytes of OTLP are new keys of one byte: 5 bytes of body become a symbol (41) and a
 * place in a new shape (8), 9.8 times as much. New values cost less, because their fields are
 * longer. A span takes at least 30 bytes and becomes 96, or with two bytes more 104; with a new
 * name, trace state, message, resource and scope of its own it stays under 7 times its size.
 *
 * Events stand in the row with at most some bytes more than they came with. What they add to the
 * dictionary is either a rest and its head, at best 15 bytes with a head of 2 and a rest of 4
 * (42 + 44), or a head (42 for 13 bytes) and per attribute a key and a value, at best 12 bytes with
 * 1 and 5 (41 + 45), or 7 with a key alone (41): with what stands in the row under 8.5 times. */
size_t interner_bound(size_t body_bytes)
{
    size_t bytes;

    return __builtin_mul_overflow(body_bytes, (size_t)10, &bytes) ? SIZE_MAX : bytes;
}
