/* column.c - the encodings of one column.
 *
 * Integers are split into byte planes: all lowest bytes, then all second bytes. The high planes of
 * near values are then runs that the compressor takes for nothing, the low planes are noise that it
 * leaves alone, and a value is still read at random without unpacking the rest.
 *
 * A plane is written with one loop per plane over the values; the compiler turns each into vector
 * code, which interleaving the planes in one loop would forbid. */
#include "store/column.h"

#include <assert.h>
#include "base/mem.h"

/* Room at the end of `out` for bytes that are written at once. The builder's limit cannot be met:
 * its input is bounded (FORMAT.md 5), so a refusal is a mistake of the caller. */
static uint8_t *put_room(struct buf *out, size_t bytes)
{
    enum mg_err err = buf_reserve(out, bytes);

    assert(err == MG_OK);
    uint8_t *at = (uint8_t *)out->ptr + out->len;
    out->len += bytes;
    return at;
}

static uint8_t width_of(uint64_t value)
{
    return value ? (uint8_t)((71 - __builtin_clzll(value)) / 8) : 0;
}

/* --- ints and ids ----------------------------------------------------------------------------- */
static void put_planes(struct buf *out, const uint64_t *values, uint32_t n, uint64_t base,
                       unsigned width)
{
    uint8_t *plane = put_room(out, (size_t)n * width);

    for (unsigned k = 0; k < width; k++, plane += n)
        for (uint32_t i = 0; i < n; i++)
            plane[i] = (uint8_t)((values[i] - base) >> (8 * k));
}

uint8_t column_put_ints(struct buf *out, const uint64_t *values, uint32_t n)
{
    uint64_t least = n ? values[0] : 0, most = least;

    for (uint32_t i = 1; i < n; i++) {
        least = MG_MIN(least, values[i]);
        most = MG_MAX(most, values[i]);
    }
    put_le64(put_room(out, 8), least);
    uint8_t width = width_of(most - least);
    put_planes(out, values, n, least, width);
    return width;
}

void column_put_planes(struct buf *out, const uint64_t *values, uint32_t n, unsigned width)
{
    put_planes(out, values, n, 0, width);
}

uint8_t column_put_ids(struct buf *out, const uint32_t *values, uint32_t n)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < n; i++)
        most |= values[i];
    uint8_t width = width_of(most);
    uint8_t *plane = put_room(out, (size_t)n * width);
    for (unsigned k = 0; k < width; k++, plane += n)
        for (uint32_t i = 0; i < n; i++)
            plane[i] = (uint8_t)(values[i] >> (8 * k));
    return width;
}

bool ids_open(struct ints *out, struct str raw, uint32_t n, unsigned width)
{
    if (width > 8 || raw.len != (uint64_t)n * width)
        return false;
    *out = (struct ints){ .planes = (const uint8_t *)raw.ptr, .n = n, .width = (uint8_t)width };
    return true;
}

bool ints_open(struct ints *out, struct str raw, uint32_t n, unsigned width)
{
    if (raw.len < 8 || !ids_open(out, str_n(raw.ptr + 8, raw.len - 8), n, width))
        return false;
    out->base = get_le64(raw.ptr);
    return true;
}

/* Planes are added a piece at a time, so that the values stay in the nearest cache until they are
 * whole. */
#define PIECE 512

static void ints_unpack_piece(const struct ints *ints, uint32_t first, uint32_t n, uint64_t *out)
{
    const uint8_t *plane = ints->planes + first;

    for (uint32_t i = 0; i < n; i++)
        out[i] = ints->base;
    for (unsigned k = 0; k < ints->width; k++, plane += ints->n)
        for (uint32_t i = 0; i < n; i++)
            out[i] += (uint64_t)plane[i] << (8 * k);
}

void ints_unpack(const struct ints *ints, uint32_t first, uint32_t n, uint64_t *out)
{
    for (uint32_t done = 0; done < n; done += PIECE)
        ints_unpack_piece(ints, first + done, MG_MIN(n - done, (uint32_t)PIECE), out + done);
}

static void ids_unpack_piece(const struct ints *ints, uint32_t first, uint32_t n, uint32_t *out)
{
    const uint8_t *plane = ints->planes + first;
    unsigned width = MG_MIN(ints->width, 4);

    memset(out, 0, (size_t)n * sizeof *out);
    for (unsigned k = 0; k < width; k++, plane += ints->n)
        for (uint32_t i = 0; i < n; i++)
            out[i] |= (uint32_t)plane[i] << (8 * k);
}

void ids_unpack(const struct ints *ints, uint32_t first, uint32_t n, uint32_t *out)
{
    for (uint32_t done = 0; done < n; done += PIECE)
        ids_unpack_piece(ints, first + done, MG_MIN(n - done, (uint32_t)PIECE), out + done);
}

static uint64_t largest(const uint64_t *values, uint32_t n)
{
    uint64_t most = 0;

    for (uint32_t i = 0; i < n; i++)
        most = MG_MAX(most, values[i]);
    return most;
}

/* So many at a time that the compiler makes vector code of it. */
static uint8_t largest_byte(const uint8_t *bytes, uint32_t n)
{
    uint8_t piece[64] = { 0 }, most = 0;

    for (; n >= sizeof piece; n -= sizeof piece, bytes += sizeof piece)
        for (unsigned k = 0; k < sizeof piece; k++)
            piece[k] = MG_MAX(piece[k], bytes[k]);
    for (uint32_t i = 0; i < n; i++)
        most = MG_MAX(most, bytes[i]);
    for (unsigned k = 0; k < sizeof piece; k++)
        most = MG_MAX(most, piece[k]);
    return most;
}

/* The highest plane alone tells it, unless its largest byte is that of the limit. */
bool ids_below(const struct ints *ids, uint64_t limit)
{
    uint64_t piece[PIECE];

    if (ids->width > 0 && ids->n > 0) {
        unsigned shift = 8u * (ids->width - 1u);
        uint8_t most = largest_byte(ids->planes + (size_t)(ids->width - 1u) * ids->n, ids->n);
        if (most != limit >> shift || shift == 0)
            return most < limit >> shift;
    }
    for (uint32_t done = 0; done < ids->n; done += PIECE) {
        uint32_t n = MG_MIN(ids->n - done, (uint32_t)PIECE);
        ints_unpack_piece(ids, done, n, piece);
        if (largest(piece, n) >= limit)
            return false;
    }
    return true;
}

/* --- strings ---------------------------------------------------------------------------------- */
void column_put_strings(struct buf *out, const struct str *values, uint32_t n)
{
    size_t lengths = 0, bytes = 0;

    for (uint32_t i = 0; i < n; i++) {
        lengths += varint_len(values[i].len);
        bytes += values[i].len;
    }
    uint8_t *at = put_room(out, 4 + lengths + bytes);
    put_le32(at, (uint32_t)lengths);
    at += 4;
    for (uint32_t i = 0; i < n; i++)
        at = put_varint(at, values[i].len);
    for (uint32_t i = 0; i < n; i++) {
        if (values[i].len)
            memcpy(at, values[i].ptr, values[i].len);
        at += values[i].len;
    }
}

/* Fills offsets from the lengths in [p, end); they must use up the bytes exactly. */
static bool strings_measure(struct strings *strings, const uint8_t *p, const uint8_t *end,
                            size_t bytes)
{
    uint64_t at = 0, len;

    for (uint32_t i = 0; i < strings->n; i++) {
        strings->offsets[i] = (uint32_t)at;
        if (p < end && *p < 0x80)
            len = *p++;
        else if (!(p = get_varint(p, end, &len)))
            return false;
        if (len > bytes - at)
            return false;
        at += len;
    }
    strings->offsets[strings->n] = (uint32_t)at;
    return p == end && at == bytes;
}

bool strings_open(struct strings *out, struct str raw, uint32_t n)
{
    const uint8_t *p = (const uint8_t *)raw.ptr;

    if (raw.len < 4 || raw.len > UINT32_MAX)
        return false;
    size_t lengths = get_le32(p);
    if (lengths > raw.len - 4 || n > lengths)
        return false;
    size_t bytes = raw.len - 4 - lengths;
    struct strings strings = { .bytes = raw.ptr + 4 + lengths, .n = n };
    strings.offsets = mem_alloc(((size_t)n + 1) * sizeof *strings.offsets);
    if (!strings_measure(&strings, p + 4, p + 4 + lengths, bytes)) {
        strings_fini(&strings);
        return false;
    }
    *out = strings;
    return true;
}

void strings_fini(struct strings *strings)
{
    mem_free(strings->offsets);
    *strings = (struct strings){ 0 };
}

/* --- packed texts ----------------------------------------------------------------------------- */
#define UUID_CHARS 36
static const char hex_digits[] = "0123456789abcdef";

/* 1 + the value of a lower-case digit; 0: none. Ids are the bulk of what does not repeat, so a
 * table. */
static const uint8_t digit_values[256] = {
    ['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};
/* Where the pairs of digits of a UUID stand. */
static const uint8_t uuid_pairs[16] = { 0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34 };

static unsigned digit_value(char c) /* above 15: no digit */
{
    return digit_values[(uint8_t)c] - 1u;
}

bool text_is_uuid(struct str text)
{
    unsigned wrong = 0;

    if (text.len != UUID_CHARS || text.ptr[8] != '-' || text.ptr[13] != '-' ||
        text.ptr[18] != '-' || text.ptr[23] != '-')
        return false;
    for (size_t i = 0; i < 16; i++)
        wrong |= digit_value(text.ptr[uuid_pairs[i]]) | digit_value(text.ptr[uuid_pairs[i] + 1]);
    return wrong < 16;
}

bool text_is_hex(struct str text)
{
    if (text.len == 0 || text.len % 2 || text.len > 510)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (digit_value(text.ptr[i]) > 15)
            return false;
    return true;
}

static size_t pack_digits(struct str text, uint8_t *out)
{
    bool is_uuid = text.len == UUID_CHARS && text.ptr[8] == '-';
    size_t n = is_uuid ? 16 : text.len / 2;

    for (size_t i = 0; i < n; i++) {
        const char *pair = text.ptr + (is_uuid ? uuid_pairs[i] : 2 * i);
        out[i] = (uint8_t)(digit_value(pair[0]) << 4 | digit_value(pair[1]));
    }
    return n;
}

void text_pack(struct buf *out, struct str text)
{
    uint8_t bytes[255];

    buf_put(out, bytes, pack_digits(text, bytes));
}

static struct str unpack_digits(const uint8_t *packed, size_t bytes, bool is_uuid,
                                struct arena *arena)
{
    char *text = arena_alloc(arena, bytes * 2 + 4);
    size_t n = 0;

    for (size_t i = 0; i < bytes; i++) {
        if (is_uuid && (i == 4 || i == 6 || i == 8 || i == 10))
            text[n++] = '-';
        text[n++] = hex_digits[packed[i] >> 4];
        text[n++] = hex_digits[packed[i] & 15];
    }
    return str_n(text, n);
}

/* --- text columns ----------------------------------------------------------------------------- */
static bool dictionary_open(struct text_column *out, struct str raw, uint32_t strings)
{
    const uint8_t *p = (const uint8_t *)raw.ptr, *end = p + raw.len;
    uint64_t number;

    if (raw.len < 5)
        return false;
    uint32_t n = get_le32(p);
    if (n > raw.len - 5)
        return false;
    p += 4;
    out->dictionary.n = n;
    out->dictionary.numbers = mem_alloc((size_t)n * sizeof(uint32_t));
    for (uint32_t i = 0; i < n; i++) {
        p = get_varint(p, end, &number);
        if (!p || number > strings)
            return false;
        out->dictionary.numbers[i] = (uint32_t)number;
    }
    if (p == end)
        return false;
    unsigned width = *p++;
    return ids_open(&out->dictionary.ids, str_n(p, (size_t)(end - p)), out->n, width) &&
           ids_below(&out->dictionary.ids, n);
}

static bool packed_open(struct text_column *out, struct str raw)
{
    if (out->form == FORM_UUID) {
        out->packed = (const uint8_t *)raw.ptr;
        out->packed_bytes = 16;
        return raw.len == (uint64_t)out->n * 16;
    }
    if (raw.len == 0 || raw.ptr[0] == 0)
        return false;
    out->packed = (const uint8_t *)raw.ptr + 1;
    out->packed_bytes = (uint8_t)raw.ptr[0];
    return raw.len - 1 == (uint64_t)out->n * out->packed_bytes;
}

bool text_column_open(struct text_column *out, struct str raw, uint32_t n, unsigned form,
                      uint32_t strings)
{
    struct text_column column = { .form = (enum text_form)form, .n = n };
    bool is_fine = false;

    if (form == FORM_DICTIONARY)
        is_fine = dictionary_open(&column, raw, strings);
    else if (form == FORM_STRINGS)
        is_fine = strings_open(&column.strings, raw, n);
    else if (form == FORM_UUID || form == FORM_HEX)
        is_fine = packed_open(&column, raw);
    if (!is_fine) {
        text_column_fini(&column);
        return false;
    }
    *out = column;
    return true;
}

void text_column_fini(struct text_column *column)
{
    mem_free(column->dictionary.numbers);
    strings_fini(&column->strings);
    *column = (struct text_column){ 0 };
}

struct str text_column_get(const struct text_column *column, uint32_t i,
                           const struct strings *table, struct arena *arena)
{
    switch (column->form) {
    case FORM_DICTIONARY:
        return string_number(table,
                             column->dictionary.numbers[ints_get(&column->dictionary.ids, i)]);
    case FORM_STRINGS: return strings_get(&column->strings, i);
    case FORM_UUID:
    case FORM_HEX:
        return unpack_digits(column->packed + (size_t)i * column->packed_bytes,
                             column->packed_bytes, column->form == FORM_UUID, arena);
    }
    return STR("");
}

bool text_column_pack(const struct text_column *column, struct str wanted, uint8_t out[255])
{
    if (column->form == FORM_UUID ? !text_is_uuid(wanted) : !text_is_hex(wanted))
        return false;
    return (column->form == FORM_UUID || wanted.len == 2u * column->packed_bytes) &&
           pack_digits(wanted, out) == column->packed_bytes;
}
