/* events.c - writing and reading the events of rows.
 *
 * A table remembers rests that came lately: found by a few of their words and confirmed by
 * comparing, as intern.c does with values, because hashing all of a rest would cost three times as
 * much. Several may fight for a place, which is slower but right. The same for keys and values of
 * those that go to pieces gained nothing measurable.
 *
 * Whether rests repeat is noted by kind, and events are of one kind when what stands before their
 * first attribute, the head, is the same: usually the name. An event without attributes is all
 * head; all those are one kind, and so are those whose heads do not repeat.
 *
 * Reading goes by chunks of the wire form, slices of the row, the epoch or the reader. Copying them
 * gives it whole; comparing them tells whether two rows say the same, whatever their forms. */
#include "row/events.h"

#include "row/note.h"

#define TEXT_BYTES_MAX  4096 /* longer rests and values stand in the row */
#define VALUE_BYTES_MIN 5    /* shorter ones too: a symbol saves nothing */
#define TIME_BYTES      9    /* tag and time */
/* A small row must not become any amount of memory when it is read: events that would become more
 * than this, and more than so many times what is written, stay as received. */
#define WIRE_BYTES_MAX  4096
#define WIRE_TIMES_MAX  64

enum { ITEM_SYMBOL, ITEM_PIECES, ITEM_WIRE };
enum { PIECE_ATTRIBUTE, PIECE_BYTES, PIECE_SYMBOL };
enum {
    TAG_EVENT = WIRE_TAG(11, WIRE_BYTES),
    TAG_TIME = WIRE_TAG(1, WIRE_FIXED64),
    TAG_ATTRIBUTE = WIRE_TAG(3, WIRE_BYTES),
    TAG_KEY = WIRE_TAG(1, WIRE_BYTES),
    TAG_VALUE = WIRE_TAG(2, WIRE_BYTES)
};

/* --- writing -------------------------------------------------------------------------------- */

struct events_out {
    struct event_writer *writer;
    struct epoch *epoch;
    uint8_t *at;
    uint64_t time_ns; /* of the event before */
};

/* A field with that tag and a length as short as can be; moves *at behind it. */
static inline bool read_field(const uint8_t **at, const uint8_t *end, unsigned tag,
                              struct str *content)
{
    const uint8_t *p = *at;
    uint64_t len;

    if (end - p < 2 || *p != tag)
        return false;
    const uint8_t *after = wire_varint(p + 1, end, &len);
    if (!after || len > (uint64_t)(end - after) || (size_t)(after - p - 1) != varint_len(len))
        return false;
    *content = str_n(after, (size_t)len);
    *at = after + len;
    return true;
}

static bool read_attribute(const uint8_t **at, const uint8_t *end, struct str *key,
                           struct str *value)
{
    const uint8_t *p = *at;
    struct str field;

    if (!read_field(&p, end, TAG_ATTRIBUTE, &field))
        return false;
    const uint8_t *in = wire_begin(field), *in_end = in + field.len;
    if (!read_field(&in, in_end, TAG_KEY, key) || !read_field(&in, in_end, TAG_VALUE, value) ||
        in != in_end)
        return false;
    *at = p;
    return true;
}

static uint32_t intern_noted(struct epoch *epoch, struct str text, uint32_t *note)
{
    uint32_t before = epoch_symbols(epoch);
    uint32_t symbol = epoch_intern(epoch, text);

    note_value(note, 1, symbol > before);
    return symbol;
}

static inline uint8_t *copy_str(uint8_t *at, struct str bytes)
{
    memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

static inline uint8_t *put_bytes(uint8_t *at, uint64_t word, struct str bytes)
{
    return copy_str(put_varint(at, word), bytes);
}

static void put_time(struct events_out *out, uint64_t time_ns)
{
    out->at = put_varint(out->at, zigzag((int64_t)(time_ns - out->time_ns)));
    out->time_ns = time_ns;
}

static void put_attribute(struct events_out *out, struct str key, struct str value)
{
    uint32_t symbol = epoch_intern(out->epoch, key);
    uint32_t *note = epoch_note(out->epoch, symbol);

    out->at = put_varint(out->at, (uint64_t)symbol << 2 | PIECE_ATTRIBUTE);
    if (value.len < VALUE_BYTES_MIN || value.len > TEXT_BYTES_MAX || *note & NOTE_RAW)
        out->at = put_bytes(out->at, (uint64_t)value.len << 1 | 1, value);
    else
        out->at = put_varint(out->at, (uint64_t)intern_noted(out->epoch, value, note) << 1);
}

/* What stands between attributes, and before the first. */
static void put_between(struct events_out *out, struct str bytes, bool is_head)
{
    uint32_t *note = &out->writer->heads_note;

    if (bytes.len == 0)
        return;
    if (!is_head || bytes.len > TEXT_BYTES_MAX || *note & NOTE_RAW)
        out->at = put_bytes(out->at, (uint64_t)bytes.len << 2 | PIECE_BYTES, bytes);
    else
        out->at = put_varint(out->at,
                             (uint64_t)intern_noted(out->epoch, bytes, note) << 2 | PIECE_SYMBOL);
}

static void put_pieces(struct events_out *out, struct str rest)
{
    const uint8_t *at = wire_begin(rest), *end = wire_end(rest), *from = at;
    struct wire_field field;
    struct str key, value;

    while (at < end) {
        const uint8_t *attribute = at;
        if (read_attribute(&at, end, &key, &value)) {
            put_between(out, str_n(from, (size_t)(attribute - from)), from == wire_begin(rest));
            put_attribute(out, key, value);
            from = at;
        } else if (wire_next(&at, end, &field) != 1) {
            at = end; /* Not a message, which is nothing to us. */
        }
    }
    put_between(out, str_n(from, (size_t)(end - from)), from == wire_begin(rest));
}

/* Where the first attribute begins. */
static size_t head_len(struct str rest)
{
    const uint8_t *at = wire_begin(rest), *end = wire_end(rest), *field_at = at;
    struct wire_field field;

    for (; wire_next(&at, end, &field) == 1; field_at = at)
        if (field.number == 3)
            return (size_t)(field_at - wire_begin(rest));
    return rest.len;
}

/* The note of the kind. A head that is known keeps its kind when heads do not repeat any more. */
static uint32_t *kind_note(struct events_out *out, struct str rest)
{
    struct event_writer *writer = out->writer;
    struct str head = str_n(rest.ptr, head_len(rest));
    uint32_t symbol = 0;

    if (head.len == rest.len)
        return &writer->heads_note;
    if (head.len > TEXT_BYTES_MAX)
        return &writer->other_note;
    if (writer->heads_note & NOTE_RAW)
        symbol = epoch_find(out->epoch, head);
    else
        symbol = intern_noted(out->epoch, head, &writer->heads_note);
    return symbol ? epoch_note(out->epoch, symbol) : &writer->other_note;
}

/* By words that the time, which stands before the rest, makes safe to read. */
static inline struct event_guess *guess_of(struct event_writer *writer, struct str rest)
{
    uint64_t last = get_le64(rest.ptr + rest.len - 8), mix = rest.len;

    if (rest.len >= 16)
        mix ^= get_le64(rest.ptr + 2) * 0xd6e8feb86659fd93 ^ get_le64(rest.ptr + rest.len / 2);
    else if (rest.len < 8)
        last >>= 8 * (8 - rest.len);
    mix = (mix ^ last * 0xa0761d6478bd642f) * 0x9e3779b97f4a7c15;
    return &writer->guesses[mix >> 32 & (EVENT_GUESSES - 1)];
}

static __attribute__((noinline)) void put_unguessed(struct events_out *out,
                                                    struct event_guess *guess, struct str rest,
                                                    uint64_t time_ns)
{
    uint32_t *note = kind_note(out, rest);

    if (rest.len > TEXT_BYTES_MAX || *note & NOTE_RAW) {
        out->at = put_varint(out->at, (uint64_t)rest.len << 2 | ITEM_PIECES);
        put_time(out, time_ns);
        put_pieces(out, rest);
        return;
    }
    guess->symbol = intern_noted(out->epoch, rest, note);
    guess->ptr = epoch_text(out->epoch, guess->symbol).ptr;
    guess->len = (uint32_t)rest.len;
    guess->note = note;
    out->at = put_varint(out->at, (uint64_t)guess->symbol << 2 | ITEM_SYMBOL);
    put_time(out, time_ns);
}

static inline void put_event(struct events_out *out, struct str event)
{
    struct str rest = str_n(event.ptr + TIME_BYTES, event.len - TIME_BYTES);
    uint64_t time_ns = get_le64(event.ptr + 1);
    struct event_guess *guess = guess_of(out->writer, rest);

    if (rest.len != guess->len || memcmp(rest.ptr, guess->ptr, rest.len) != 0) {
        put_unguessed(out, guess, rest, time_ns);
        return;
    }
    note_value(guess->note, 1, false);
    out->at = put_varint(out->at, (uint64_t)guess->symbol << 2 | ITEM_SYMBOL);
    put_time(out, time_ns);
}

static void put_wire(struct events_out *out, const uint8_t *from, const uint8_t *to)
{
    if (from < to)
        out->at = put_bytes(out->at, (uint64_t)(to - from) << 2 | ITEM_WIRE,
                            str_n(from, (size_t)(to - from)));
}

/* An event that begins with its time, and has a rest. */
static inline bool is_split(struct str event)
{
    return event.len > TIME_BYTES && (uint8_t)event.ptr[0] == TAG_TIME;
}

uint8_t *events_put(struct event_writer *writer, struct epoch *epoch, const struct span *span,
                    uint8_t *start)
{
    struct events_out out = { writer, epoch, start, span->start_ns };
    const uint8_t *at = wire_begin(span->events), *end = wire_end(span->events), *wire = at;
    struct wire_field field;
    struct str event;

    while (at < end) {
        const uint8_t *before = at;
        if (read_field(&at, end, TAG_EVENT, &event)) {
            if (!is_split(event))
                continue;
            put_wire(&out, wire, before);
            put_event(&out, event);
            wire = at;
        } else if (wire_next(&at, end, &field) != 1) {
            at = end;
        }
    }
    put_wire(&out, wire, end);
    size_t coded = (size_t)(out.at - start), bytes = span->events.len;
    if (coded > bytes || (bytes > WIRE_BYTES_MAX && bytes / WIRE_TIMES_MAX > coded)) {
        out.at = start;
        put_wire(&out, wire_begin(span->events), end);
    }
    return out.at;
}

/* --- reading -------------------------------------------------------------------------------- */

struct event_reader {
    const struct epoch *epoch;
    const uint8_t *at, *end;
    uint64_t time_ns;
    size_t bytes;  /* of the wire form, not read yet */
    size_t pieces; /* of the current event, the same */
    unsigned n, next;
    struct str chunks[4];
    uint8_t scratch[32]; /* what is in no slice: a field's head takes at most 15 bytes */
};

static void reader_init(struct event_reader *r, const struct row_events *events)
{
    r->epoch = events->epoch;
    r->at = events->at;
    r->end = row_end(events->row);
    r->time_ns = events->row->start_ns;
    r->bytes = events->bytes;
    r->pieces = 0;
    r->n = r->next = 0;
}

static inline void add_chunk(struct event_reader *r, struct str chunk)
{
    r->chunks[r->n++] = chunk;
}

/* Takes the time; writes what an event with a rest so long has before it. */
static inline uint8_t *read_head(struct event_reader *r, size_t rest, uint8_t *p)
{
    r->time_ns += (uint64_t)unzigzag(take_varint(&r->at, r->end));
    *p++ = TAG_EVENT;
    p = put_varint(p, TIME_BYTES + rest);
    *p++ = TAG_TIME;
    put_le64(p, r->time_ns);
    return p + 8;
}

static size_t add_head(struct event_reader *r, size_t rest)
{
    size_t bytes = (size_t)(read_head(r, rest, r->scratch) - r->scratch);

    add_chunk(r, str_n(r->scratch, bytes));
    return bytes + rest;
}

static size_t read_item(struct event_reader *r)
{
    uint64_t word = take_varint(&r->at, r->end);
    struct str text;

    switch (word & 3) {
    case ITEM_SYMBOL:
        text = epoch_text(r->epoch, (uint32_t)(word >> 2));
        size_t bytes = add_head(r, text.len);
        add_chunk(r, text);
        return bytes;
    case ITEM_PIECES:
        r->pieces = (size_t)(word >> 2);
        return add_head(r, r->pieces);
    default:
        add_chunk(r, take_bytes(&r->at, (size_t)(word >> 2)));
        return (size_t)(word >> 2);
    }
}

static size_t attribute_inside(size_t key, size_t value)
{
    return 2 + varint_len(key) + key + varint_len(value) + value;
}

static size_t read_attribute_piece(struct event_reader *r, uint32_t key_symbol)
{
    struct str key = epoch_text(r->epoch, key_symbol), value;
    uint64_t word = take_varint(&r->at, r->end);
    uint8_t *p = r->scratch;

    value = word & 1 ? take_bytes(&r->at, (size_t)(word >> 1))
                     : epoch_text(r->epoch, (uint32_t)(word >> 1));
    size_t inside = attribute_inside(key.len, value.len);
    *p++ = TAG_ATTRIBUTE;
    p = put_varint(p, inside);
    *p++ = TAG_KEY;
    p = put_varint(p, key.len);
    uint8_t *between = p;
    *p++ = TAG_VALUE;
    p = put_varint(p, value.len);
    add_chunk(r, str_n(r->scratch, (size_t)(between - r->scratch)));
    add_chunk(r, key);
    add_chunk(r, str_n(between, (size_t)(p - between)));
    add_chunk(r, value);
    return 1 + varint_len(inside) + inside;
}

static size_t read_piece(struct event_reader *r)
{
    uint64_t word = take_varint(&r->at, r->end);

    switch (word & 3) {
    case PIECE_ATTRIBUTE:
        return read_attribute_piece(r, (uint32_t)(word >> 2));
    case PIECE_BYTES:
        add_chunk(r, take_bytes(&r->at, (size_t)(word >> 2)));
        break;
    default:
        add_chunk(r, epoch_text(r->epoch, (uint32_t)(word >> 2)));
    }
    return r->chunks[0].len;
}

/* The next chunks, of what belongs together; false at the end. */
static bool read_chunks(struct event_reader *r)
{
    r->n = r->next = 0;
    if (r->pieces)
        r->pieces -= read_piece(r);
    else if (r->bytes)
        r->bytes -= read_item(r);
    else
        return false;
    return true;
}

/* Events whose rest is a symbol, as nearly all are, straight to where they shall stand: half the
 * time of chunks. */
static uint8_t *copy_symbols(struct event_reader *r, uint8_t *at)
{
    while (r->bytes && !r->pieces && (*r->at & 3) == ITEM_SYMBOL) {
        struct str rest = epoch_text(r->epoch, (uint32_t)(take_varint(&r->at, r->end) >> 2));
        uint8_t *before = at;
        at = copy_str(read_head(r, rest.len, at), rest);
        r->bytes -= (size_t)(at - before);
    }
    return at;
}

/* The whole is one item as received. */
static bool is_wire(const struct row_events *events, struct str *wire)
{
    const uint8_t *at = events->at;
    uint64_t word = take_varint(&at, row_end(events->row));

    if ((word & 3) != ITEM_WIRE || word >> 2 != events->bytes)
        return false;
    *wire = take_bytes(&at, events->bytes);
    return true;
}

struct str row_events(const struct row_events *events, struct arena *arena)
{
    struct event_reader reader;
    struct str wire;

    if (events->bytes == 0)
        return STR("");
    if (is_wire(events, &wire))
        return wire;
    uint8_t *start = arena_alloc(arena, events->bytes), *at = start;
    reader_init(&reader, events);
    for (;;) {
        at = copy_symbols(&reader, at);
        if (!read_chunks(&reader))
            break;
        for (unsigned i = 0; i < reader.n; i++)
            at = copy_str(at, reader.chunks[i]);
    }
    assert(at == start + events->bytes);
    return str_n(start, events->bytes);
}

static bool next_chunk(struct event_reader *r, struct str *chunk)
{
    for (;;) {
        if (r->next == r->n && !read_chunks(r))
            return false;
        while (r->next < r->n) {
            *chunk = r->chunks[r->next++];
            if (chunk->len)
                return true;
        }
    }
}

bool events_equal(const struct row_events *a, const struct row_events *b)
{
    struct event_reader reader_a, reader_b;
    struct str chunk_a = { "", 0 }, chunk_b = { "", 0 };

    if (a->bytes != b->bytes)
        return false;
    reader_init(&reader_a, a);
    reader_init(&reader_b, b);
    for (size_t left = a->bytes; left > 0;) {
        bool is_there = (chunk_a.len || next_chunk(&reader_a, &chunk_a)) &&
                        (chunk_b.len || next_chunk(&reader_b, &chunk_b));
        assert(is_there); /* Both have as many bytes. */
        size_t n = MG_MIN(chunk_a.len, chunk_b.len);
        if (chunk_a.ptr != chunk_b.ptr && memcmp(chunk_a.ptr, chunk_b.ptr, n) != 0)
            return false;
        chunk_a = str_n(chunk_a.ptr + n, chunk_a.len - n);
        chunk_b = str_n(chunk_b.ptr + n, chunk_b.len - n);
        left -= n;
    }
    return true;
}

/* --- soundness ------------------------------------------------------------------------------ */

static size_t check_text(struct checker *c, uint64_t symbol, const struct epoch *epoch)
{
    return epoch_text(epoch, check_symbol(c, symbol)).len;
}

/* Takes what a part becomes off what is left. */
static void check_off(struct checker *c, uint64_t *left, uint64_t bytes)
{
    c->failed |= bytes == 0 || bytes > *left;
    if (!c->failed)
        *left -= bytes;
}

static uint64_t check_attribute(struct checker *c, uint64_t symbol, const struct epoch *epoch)
{
    size_t key = check_text(c, symbol, epoch);
    uint64_t word = check_varint(c);

    if (!(word & 1)) {
        word = attribute_inside(key, check_text(c, word >> 1, epoch));
    } else {
        check_bytes(c, word >> 1);
        word = c->failed ? 0 : attribute_inside(key, (size_t)(word >> 1));
    }
    return 1 + varint_len(word) + word;
}

static void check_pieces(struct checker *c, uint64_t bytes, const struct epoch *epoch)
{
    while (bytes > 0 && !c->failed) {
        uint64_t word = check_varint(c);
        switch (word & 3) {
        case PIECE_ATTRIBUTE:
            check_off(c, &bytes, check_attribute(c, word >> 2, epoch));
            break;
        case PIECE_BYTES:
            check_bytes(c, word >> 2);
            check_off(c, &bytes, word >> 2);
            break;
        case PIECE_SYMBOL:
            check_off(c, &bytes, check_text(c, word >> 2, epoch));
            break;
        default:
            c->failed = true;
        }
    }
}

static void check_event(struct checker *c, uint64_t *left, uint64_t rest)
{
    uint64_t event = TIME_BYTES + rest;

    (void)check_varint(c); /* Every time is one. */
    check_off(c, left, 1 + varint_len(event) + event);
}

void events_check(struct checker *c, uint64_t bytes, const struct epoch *epoch)
{
    while (bytes > 0 && !c->failed) {
        uint64_t word = check_varint(c);
        switch (word & 3) {
        case ITEM_SYMBOL:
            check_event(c, &bytes, check_text(c, word >> 2, epoch));
            break;
        case ITEM_PIECES:
            check_event(c, &bytes, word >> 2);
            check_pieces(c, word >> 2, epoch);
            break;
        case ITEM_WIRE:
            check_bytes(c, word >> 2);
            check_off(c, &bytes, word >> 2);
            break;
        default:
            c->failed = true;
        }
    }
}
