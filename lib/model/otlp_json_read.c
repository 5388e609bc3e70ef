/* otlp_json_read.c - OTLP/JSON to the protobuf bytes of the same request, by the shapes of
 * otlp_schema.h.
 *
 * Keys are written as protobuf in the order they come; the tokens are pulled and nothing is kept
 * but where in the output each field of the open messages stands. That is needed for one thing: of
 * a key that comes twice the last counts, while protobuf would join lists and messages, so the
 * earlier bytes are cut out.
 *
 * Recursion follows messages and stops at OTLP_DEPTH_MAX, a few hundred bytes of stack each. JSON
 * itself may be deeper than messages are: an unknown key can hold anything. */
#include "model/otlp_json.h"

#include <assert.h>
#include <math.h>
#include "base/mem.h"
#include "codec/base64.h"
#include "codec/json_read.h"
#include "model/otlp_schema.h"

#define JSON_DEPTH_MAX 256 /* the reader's own maximum; 64 messages need less than half */
#define FIELDS_MAX     16  /* of the largest message, Span */

struct otlp_json {
    struct json_reader *json;
    struct buf value; /* decoded bytes of one string */
    struct buf *out;
    struct mg_why *why;
};

struct otlp_json *otlp_json_new(void)
{
    struct otlp_json *r = MEM_NEW(struct otlp_json);

    r->json = json_reader_new(JSON_DEPTH_MAX);
    buf_init(&r->value, SIZE_MAX); /* smaller than the text it is decoded from */
    return r;
}

void otlp_json_free(struct otlp_json **reader)
{
    struct otlp_json *r = *reader;

    if (!r)
        return;
    json_reader_free(&r->json);
    buf_fini(&r->value);
    mem_free(r);
    *reader = NULL;
}

static enum mg_err fail(struct otlp_json *r, const char *name, const char *what)
{
    return mg_fail(r->why, MG_E_FORMAT, "JSON byte %zu: %s: %s", json_offset(r->json), name, what);
}

static enum mg_err fail_json(struct otlp_json *r)
{
    return mg_fail(r->why, MG_E_FORMAT, "JSON byte %zu: %s", json_offset(r->json),
                   json_reader_error(r->json));
}

/* The token is none the field can be read from: say so, or what is wrong with the JSON itself. */
static enum mg_err fail_token(struct otlp_json *r, enum json_token token, const char *name,
                              const char *wanted)
{
    return token == JSON_TOKEN_ERROR ? fail_json(r) : fail(r, name, wanted);
}

/* --- numbers --------------------------------------------- */

struct integer { bool is_negative; uint64_t magnitude; };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* An exponent, saturated far beyond what any integer here can need. */
static bool exponent_read(struct str text, int64_t *out)
{
    bool is_negative = text.len && text.ptr[0] == '-';
    int64_t value = 0;

    if (text.len && (text.ptr[0] == '-' || text.ptr[0] == '+'))
        text = str_n(text.ptr + 1, text.len - 1);
    if (!text.len)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.ptr[i]))
            return false;
        value = MG_MIN(value * 10 + (text.ptr[i] - '0'), INT64_C(1) << 40);
    }
    *out = is_negative ? -value : value;
    return true;
}

/* Digits and at most one point -> magnitude * 10^exponent; zeros at the end go to the exponent. */
static bool digits_read(struct str text, uint64_t *magnitude, int64_t *exponent)
{
    bool seen_point = false, seen_digit = false;
    uint64_t zeros = 0, value = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && !seen_point && seen_digit) {
            seen_point = true;
            continue;
        }
        if (!is_digit(c))
            return false;
        seen_digit = true;
        *exponent -= seen_point;
        zeros++;
        if (c == '0')
            continue;
        for (; zeros && value; zeros--)
            if (__builtin_mul_overflow(value, UINT64_C(10), &value))
                return false;
        zeros = 0;
        if (__builtin_add_overflow(value, (uint64_t)(c - '0'), &value))
            return false;
    }
    *magnitude = value;
    *exponent += (int64_t)zeros;
    return seen_digit && text.ptr[text.len - 1] != '.';
}

/* Exact: "15", "-3", "1.5e3", "9007199254740993", "10.0"; false: no integer of 64 bits. */
static bool integer_read(struct str text, struct integer *out)
{
    struct str mantissa = text, tail;
    int64_t exponent = 0;
    size_t e = 0;

    out->is_negative = text.len && text.ptr[0] == '-';
    if (out->is_negative)
        text = str_n(text.ptr + 1, text.len - 1);
    mantissa = text;
    while (e < text.len && text.ptr[e] != 'e' && text.ptr[e] != 'E')
        e++;
    if (e < text.len) {
        mantissa.len = e;
        tail = str_n(text.ptr + e + 1, text.len - e - 1);
        if (!exponent_read(tail, &exponent))
            return false;
    }
    if (!digits_read(mantissa, &out->magnitude, &exponent))
        return false;
    if (out->magnitude == 0)
        return true;
    for (; exponent > 0; exponent--)
        if (__builtin_mul_overflow(out->magnitude, UINT64_C(10), &out->magnitude))
            return false;
    return exponent == 0;
}

static bool signed_read(struct str text, int64_t min, int64_t max, int64_t *out)
{
    struct integer n;

    if (!integer_read(text, &n))
        return false;
    if (n.magnitude > (uint64_t)INT64_MAX + n.is_negative)
        return false;
    *out = n.is_negative ? (int64_t)-n.magnitude : (int64_t)n.magnitude;
    return *out >= min && *out <= max;
}

static bool unsigned_read(struct str text, uint64_t max, uint64_t *out)
{
    struct integer n;

    if (!integer_read(text, &n) || (n.is_negative && n.magnitude) || n.magnitude > max)
        return false;
    *out = n.magnitude;
    return true;
}

/* Numbers JSON cannot write, in strings; names as Go's parser takes them. */
static bool double_name_read(struct str text, double *out)
{
    bool is_negative = str_starts(text, STR("-"));

    if (is_negative || str_starts(text, STR("+")))
        text = str_n(text.ptr + 1, text.len - 1);
    if (str_eq_nocase(text, STR("infinity")) || str_eq_nocase(text, STR("inf")))
        *out = is_negative ? -INFINITY : INFINITY;
    else if (str_eq_nocase(text, STR("nan")))
        *out = NAN;
    else
        return false;
    return true;
}

/* --- scalars --------------------------------------------- */

static enum mg_err integer_put(struct otlp_json *r, const struct wire_shape_field *field,
                               uint32_t number)
{
    struct str text = json_text(r->json);
    int64_t i = 0;
    uint64_t u = 0;
    bool ok;

    switch (field->kind) {
    case WIRE_KIND_INT64:
        ok = signed_read(text, INT64_MIN, INT64_MAX, &i);
        break;
    case WIRE_KIND_INT32:
    case WIRE_KIND_ENUM:
        ok = signed_read(text, INT32_MIN, INT32_MAX, &i);
        break;
    case WIRE_KIND_FIXED64:
        ok = unsigned_read(text, UINT64_MAX, &u);
        break;
    default:
        ok = unsigned_read(text, UINT32_MAX, &u);
    }
    if (!ok)
        return fail(r, field->name, "is not an integer, or out of range");
    if (field->kind == WIRE_KIND_FIXED64)
        wire_put_fixed64(r->out, number, u);
    else if (field->kind == WIRE_KIND_FIXED32)
        wire_put_fixed32(r->out, number, (uint32_t)u);
    else
        wire_put_varint(r->out, number, field->kind == WIRE_KIND_UINT32 ? u : (uint64_t)i);
    return MG_OK;
}

static enum mg_err number_read(struct otlp_json *r, enum json_token token,
                               const struct wire_shape_field *field, uint32_t number)
{
    if (token != JSON_TOKEN_NUMBER && token != JSON_TOKEN_STRING)
        return fail_token(r, token, field->name, "must be a number, or a string of one");
    return integer_put(r, field, number);
}

static enum mg_err enum_read(struct otlp_json *r, enum json_token token,
                             const struct wire_shape_field *field, uint32_t number)
{
    if (token == JSON_TOKEN_STRING)
        for (uint32_t i = 0; i < field->constants->n; i++)
            if (str_eq(json_text(r->json), str_of(field->constants->names[i]))) {
                wire_put_varint(r->out, number, i);
                return MG_OK;
            }
    return number_read(r, token, field, number);
}

static enum mg_err double_read(struct otlp_json *r, enum json_token token,
                               const struct wire_shape_field *field, uint32_t number)
{
    struct str text = json_text(r->json);
    uint64_t bits;
    double d;

    if (token != JSON_TOKEN_NUMBER && token != JSON_TOKEN_STRING)
        return fail_token(r, token, field->name, "must be a number, or a string of one");
    if (str_double(text, &d) != MG_OK &&
        (token == JSON_TOKEN_NUMBER || !double_name_read(text, &d)))
        return fail(r, field->name, "is not a number, or out of range");
    memcpy(&bits, &d, sizeof bits);
    wire_put_fixed64(r->out, number, bits);
    return MG_OK;
}

static enum mg_err bool_read(struct otlp_json *r, enum json_token token,
                             const struct wire_shape_field *field, uint32_t number)
{
    if (token != JSON_TOKEN_TRUE && token != JSON_TOKEN_FALSE)
        return fail_token(r, token, field->name, "must be true or false");
    wire_put_varint(r->out, number, token == JSON_TOKEN_TRUE);
    return MG_OK;
}

static enum mg_err base64_read(struct otlp_json *r, const char *name)
{
    buf_clear(&r->value);
    if (base64_decode(json_text(r->json), &r->value) != MG_OK)
        return fail(r, name, "is not base64");
    return MG_OK;
}

static enum mg_err id_read(struct otlp_json *r, const struct wire_shape_field *field)
{
    struct str hex = json_text(r->json);

    buf_clear(&r->value);
    MG_TRY(buf_reserve(&r->value, hex.len / 2));
    if (!hex_decode(hex, (uint8_t *)r->value.ptr, hex.len / 2))
        return fail(r, field->name, "is not an even number of hex digits");
    r->value.len = hex.len / 2;
    return MG_OK;
}

static enum mg_err text_read(struct otlp_json *r, enum json_token token,
                             const struct wire_shape_field *field, uint32_t number)
{
    if (token != JSON_TOKEN_STRING)
        return fail_token(r, token, field->name, "must be a string");
    if (field->kind == WIRE_KIND_STRING) {
        wire_put_bytes(r->out, number, json_text(r->json));
        return MG_OK;
    }
    if (field->kind == WIRE_KIND_BYTES)
        MG_TRY(base64_read(r, field->name));
    else
        MG_TRY(id_read(r, field));
    wire_put_bytes(r->out, number, buf_str(&r->value));
    return MG_OK;
}

static enum mg_err scalar_read(struct otlp_json *r, enum json_token token,
                               const struct wire_shape_field *field, uint32_t number)
{
    switch (field->kind) {
    case WIRE_KIND_STRING:
    case WIRE_KIND_BYTES:
    case WIRE_KIND_ID:
        return text_read(r, token, field, number);
    case WIRE_KIND_BOOL:
        return bool_read(r, token, field, number);
    case WIRE_KIND_DOUBLE:
        return double_read(r, token, field, number);
    case WIRE_KIND_ENUM:
        return enum_read(r, token, field, number);
    default:
        return number_read(r, token, field, number);
    }
}

/* --- messages --------------------------------------------- */

static enum mg_err message_read(struct otlp_json *r, const struct wire_shape *shape,
                                unsigned depth);

/* One value of the field, whose first token was taken. */
static enum mg_err item_read(struct otlp_json *r, enum json_token token,
                             const struct wire_shape_field *field, uint32_t number, unsigned depth)
{
    if (field->kind != WIRE_KIND_MESSAGE)
        return scalar_read(r, token, field, number);
    bool is_empty_value = token == JSON_TOKEN_NULL && field->message->is_oneof;
    if (token != JSON_TOKEN_OBJECT && !is_empty_value)
        return fail_token(r, token, field->name, "must be an object");
    size_t mark = wire_open(r->out, number);
    if (!is_empty_value)
        MG_TRY(message_read(r, field->message, depth - 1));
    wire_close(r->out, mark);
    return MG_OK;
}

static enum mg_err list_read(struct otlp_json *r, const struct wire_shape_field *field,
                             uint32_t number, unsigned depth)
{
    for (;;) {
        enum json_token token = json_next(r->json);
        if (token == JSON_TOKEN_ARRAY_END)
            return MG_OK;
        /* null in a list of values is an empty value; in other lists it is nothing */
        bool is_value = field->kind == WIRE_KIND_MESSAGE && field->message->is_oneof;
        if (token == JSON_TOKEN_NULL && !is_value)
            continue;
        MG_TRY(item_read(r, token, field, number, depth));
    }
}

/* The value behind a known key. null is as good as no key. */
static enum mg_err field_read(struct otlp_json *r, const struct wire_shape_field *field,
                              uint32_t number, unsigned depth)
{
    enum json_token token = json_next(r->json);

    if (token == JSON_TOKEN_NULL)
        return MG_OK;
    if (!field->is_repeated)
        return item_read(r, token, field, number, depth);
    if (token != JSON_TOKEN_ARRAY)
        return fail_token(r, token, field->name, "must be an array");
    return list_read(r, field, number, depth);
}

/* traceId also matches trace_id. */
static bool name_matches(struct str key, const char *name)
{
    size_t i = 0;

    for (; *name; name++) {
        bool is_upper = *name >= 'A' && *name <= 'Z';
        if (is_upper && i + 1 < key.len && key.ptr[i] == '_' && key.ptr[i + 1] == (*name | 0x20))
            i += 2;
        else if (i < key.len && key.ptr[i] == *name)
            i++;
        else
            return false;
    }
    return i == key.len;
}

/* The field's number, 0: not known. Writers keep the order of the fields, so `after` is tried
 * first. */
static uint32_t key_find(const struct wire_shape *shape, struct str key, uint32_t after)
{
    for (uint32_t k = 0; k < shape->n; k++) {
        uint32_t i = (after + k) % shape->n;
        if (shape->fields[i].name && name_matches(key, shape->fields[i].name))
            return i + 1;
    }
    return 0;
}

struct place { size_t begin, end; }; /* of a field in the output; empty: not seen */

/* Takes the earlier bytes of a field out again. */
static void field_drop(struct buf *out, struct place *places, uint32_t n, uint32_t number)
{
    struct place gone = places[number - 1];
    size_t len = gone.end - gone.begin;

    memmove(out->ptr + gone.begin, out->ptr + gone.end, out->len - gone.end);
    out->len -= len;
    for (uint32_t i = 0; i < n; i++)
        if (places[i].begin >= gone.end) {
            places[i].begin -= len;
            places[i].end -= len;
        }
    places[number - 1] = (struct place){ 0, 0 };
}

static enum mg_err unknown_read(struct otlp_json *r, struct str key, struct buf *unknown)
{
    if (!str_eq(key, STR("meshglass.unknown")) || json_peek(r->json) != JSON_TOKEN_STRING)
        return json_skip(r->json) ? MG_OK : fail_json(r);
    (void)json_next(r->json); /* the string peeked at */
    MG_TRY(base64_read(r, "meshglass.unknown"));
    buf_clear(unknown);
    return buf_append(unknown, r->value.ptr, r->value.len);
}

static enum mg_err members_read(struct otlp_json *r, const struct wire_shape *shape, unsigned depth,
                                struct buf *unknown)
{
    struct place places[FIELDS_MAX] = { { 0, 0 } };
    uint32_t number = 0;

    assert(shape->n <= FIELDS_MAX);
    for (;;) {
        enum json_token token = json_next(r->json);
        if (token == JSON_TOKEN_OBJECT_END)
            return MG_OK;
        if (token != JSON_TOKEN_KEY)
            return fail_json(r);
        struct str key = json_text(r->json);
        uint32_t found = key_find(shape, key, number);
        if (found == 0) {
            MG_TRY(unknown_read(r, key, unknown));
            continue;
        }
        number = found;
        if (places[number - 1].end)
            field_drop(r->out, places, shape->n, number);
        size_t begin = r->out->len;
        MG_TRY(field_read(r, &shape->fields[number - 1], number, depth));
        MG_TRY(buf_err(r->out));
        if (r->out->len > begin)
            places[number - 1] = (struct place){ begin, r->out->len };
    }
}

/* The object's content behind its brace. depth: messages left, this one included. */
static enum mg_err message_read(struct otlp_json *r, const struct wire_shape *shape, unsigned depth)
{
    MG_AUTO(buf_fini) struct buf unknown;

    buf_init(&unknown, SIZE_MAX); /* smaller than the text */
    if (depth == 0)
        return mg_fail(r->why, MG_E_FORMAT,
                       "JSON byte %zu: more than %u messages inside each other",
                       json_offset(r->json), OTLP_DEPTH_MAX);
    MG_TRY(members_read(r, shape, depth, &unknown));
    buf_put_str(r->out, buf_str(&unknown));
    return MG_OK;
}

static enum mg_err document_read(struct otlp_json *r)
{
    enum json_token token = json_next(r->json);

    if (token != JSON_TOKEN_OBJECT && token != JSON_TOKEN_NULL)
        return fail_token(r, token, "the document", "must be an object");
    if (token == JSON_TOKEN_OBJECT)
        MG_TRY(message_read(r, &otlp_request, OTLP_DEPTH_MAX));
    if (json_next(r->json) != JSON_TOKEN_END)
        return fail_json(r);
    return MG_OK;
}

enum mg_err otlp_json_to_proto(struct otlp_json *reader, struct str json, struct buf *out,
                               struct mg_why *why)
{
    buf_clear(out);
    reader->out = out;
    reader->why = why;
    json_reader_begin(reader->json, json);
    enum mg_err err = document_read(reader);
    if (err == MG_OK)
        err = buf_err(out);
    json_reader_begin(reader->json, STR("")); /* lets go of the text, and of the scratch */
    buf_shrink(&reader->value, 64 * 1024);
    reader->out = NULL;
    reader->why = NULL;
    if (err == MG_E_TOO_BIG)
        return mg_fail(why, err, "the request is larger than %zu bytes as protobuf", out->limit);
    return err;
}
