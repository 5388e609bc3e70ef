/* zipkin_json.c - one Zipkin v2 span in JSON to a draft.
 *
 * What is an error, and what is let through, is Zipkin's own reader's choice,
 * and so are the sentences; the reader of lib/codec is lenient about strings for it.
 *
 * The brackets and commas of the list are read here, so that a span can be found again by its
 * offset and what follows the list is never looked at. */
#include "model/zipkin_private.h"

#include <stdio.h>
#include "base/bytes.h"
#include "codec/utf8.h"

#define EXCERPT_BYTES 64

/* --- failures --------------------------------------------- */

/* A piece of foreign text that can stand in a sentence. */
struct excerpt { char text[EXCERPT_BYTES + 1]; };

static struct excerpt excerpt(struct str s)
{
    struct excerpt out;
    struct str head = utf8_cut(s, EXCERPT_BYTES);
    bool is_plain = utf8_valid(head.ptr, head.len);

    for (size_t i = 0; i < head.len; i++) {
        uint8_t c = (uint8_t)head.ptr[i];
        out.text[i] = c < 0x20 || c == 0x7f || (c >= 0x80 && !is_plain) ? '?' : (char)c;
    }
    out.text[head.len] = 0;
    return out;
}

struct path { char text[EXCERPT_BYTES + 64]; };

/* $[0].annotations[2].value */
static struct path path_of(const struct zipkin_source *source)
{
    struct path out;
    char within[48] = "";

    if (source->within && source->is_indexed)
        snprintf(within, sizeof within, "%s[%u].", source->within, source->index);
    else if (source->within)
        snprintf(within, sizeof within, "%s.", source->within);
    snprintf(out.text, sizeof out.text, "$[%u].%s%s", source->ordinal, within,
             excerpt(source->value.key).text);
    return out;
}

static const char *token_name(enum json_token token)
{
    switch (token) {
    case JSON_TOKEN_OBJECT:
        return "BEGIN_OBJECT";
    case JSON_TOKEN_ARRAY:
        return "BEGIN_ARRAY";
    case JSON_TOKEN_STRING:
        return "STRING";
    case JSON_TOKEN_NUMBER:
        return "NUMBER";
    case JSON_TOKEN_TRUE:
    case JSON_TOKEN_FALSE:
        return "BOOLEAN";
    default:
        return "NULL";
    }
}

/* Instead of the token that was just read. */
static enum mg_err fail_token(struct zipkin_source *source, enum json_token token,
                              const char *wanted)
{
    if (token == JSON_TOKEN_ERROR)
        return zipkin_fail(source, "Malformed (%s at %s)", json_reader_error(source->json),
                           path_of(source).text);
    return zipkin_fail(source, "%sExpected %s but was %s at %s",
                       strncmp(wanted, "BEGIN", 5) == 0 ? "Malformed: " : "", wanted,
                       token_name(token), path_of(source).text);
}

/* --- values --------------------------------------------- */

/* Instead of a value of another kind. */
static enum mg_err fail_value(struct zipkin_source *source, const char *wanted)
{
    return fail_token(source, source->value.token, wanted);
}

/* A number is as good as a string, and kept as it is written. */
static bool is_text(enum json_token token)
{
    return token == JSON_TOKEN_STRING || token == JSON_TOKEN_NUMBER;
}

static enum mg_err text_read(struct zipkin_source *source, struct str *out)
{
    if (!is_text(source->value.token))
        return fail_value(source, "a string");
    *out = source->value.text;
    return MG_OK;
}

/* Eight digits at p as a number; false: they are not all digits. Neighbours are joined three times. */
static inline bool digits8(const char *p, uint64_t *out)
{
    uint64_t word = get_le64(p) ^ 0x3030303030303030u;

    if ((word | (word + 0x7676767676767676u)) & 0x8080808080808080u)
        return false;
    word = word * 10 + (word >> 8);
    *out = ((word & 0x000000ff000000ffu) * 0x000f424000000064u +
            (word >> 16 & 0x000000ff000000ffu) * 0x0000271000000001u) >> 32;
    return true;
}

/* Digits alone, as nearly all are; false: look closer. */
static inline bool digits_parse(struct str text, int64_t *out)
{
    const char *p = text.ptr, *end = p + text.len;
    uint64_t all = 0, eight;

    if (text.len == 0 || text.len > 18)
        return false;
    for (; end - p >= 8 && digits8(p, &eight); p += 8)
        all = all * 100000000 + eight;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        all = all * 10 + (uint64_t)(*p - '0');
    *out = (int64_t)all;
    return p == end;
}

/* What Java's cast does: 2^63 saturates, what has a fraction or is beyond is no long. */
static bool long_parse(struct str text, int64_t *out)
{
    double d;

    if (digits_parse(text, out) || str_i64(text, out) == MG_OK)
        return true;
    if (str_double(text, &d) != MG_OK || d < -0x1p63 || d > 0x1p63)
        return false;
    *out = d == 0x1p63 ? INT64_MAX : (int64_t)d;
    return (double)*out == d;
}

/* wanted: "a long" or "an int", for the sentence. */
static enum mg_err long_read(struct zipkin_source *source, const char *wanted, int64_t *out)
{
    struct str text = source->value.text;

    if (!is_text(source->value.token))
        return fail_value(source, wanted);
    if (!long_parse(text, out))
        return zipkin_fail(source, "Expected %s but was %s at %s", wanted, excerpt(text).text, path_of(source).text);
    return MG_OK;
}

static enum mg_err bool_read(struct zipkin_source *source, bool *out)
{
    enum json_token token = source->value.token;

    if (token != JSON_TOKEN_TRUE && token != JSON_TOKEN_FALSE)
        return fail_value(source, "a boolean");
    *out = token == JSON_TOKEN_TRUE;
    return MG_OK;
}

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint16_t pairs8 __attribute__((vector_size(16)));
typedef uint8_t bytes8 __attribute__((vector_size(8)));

/* Sixteen digits in lower case as eight bytes; false: there is another character. */
static inline bool hex16(const char *digits, uint8_t out[8])
{
    bytes16 text, is_number, is_letter, value;

    memcpy(&text, digits, sizeof text);
    is_number = (bytes16)(text - '0' < 10);
    is_letter = (bytes16)(text - 'a' < 6);
    value = (is_number & (text - '0')) | (is_letter & (text - ('a' - 10)));
    pairs8 pairs = (pairs8)value;
    bytes8 bytes = __builtin_convertvector((pairs << 4 | pairs >> 8) & 0xff, bytes8);
    memcpy(out, &bytes, sizeof bytes);
    bytes16 is_digit = is_number | is_letter;
    uint64_t halves[2];
    memcpy(halves, &is_digit, sizeof halves);
    return (halves[0] & halves[1]) == UINT64_MAX;
}

/* 1 … 2 × bytes digits in lower case, short ones padded on the left. */
static enum mg_err id_read(struct zipkin_source *source, uint8_t *out, size_t bytes, bool *is_zero)
{
    struct str key = source->value.key, text;
    char padded[32];
    uint8_t id[16];

    MG_TRY(text_read(source, &text));
    if (text.len == 0)
        return zipkin_fail(source, "%.*s is empty", STR_ARG(key));
    if (text.len > 2 * bytes)
        return zipkin_fail(source, "%.*s.length > %zu", STR_ARG(key), 2 * bytes);
    const char *digits = text.ptr;
    if (text.len < 2 * bytes) {
        memset(padded, '0', sizeof padded);
        memcpy(padded + 2 * bytes - text.len, text.ptr, text.len);
        digits = padded;
    }
    for (size_t at = 0; at < bytes; at += 8)
        if (!hex16(digits + 2 * at, id + at))
            return zipkin_fail(source, "%s should be lower-hex encoded with no prefix", excerpt(text).text);
    memcpy(out, id, bytes);
    *is_zero = get_le64(id) == 0 && get_le64(id + bytes - 8) == 0;
    return MG_OK;
}

/* --- objects --------------------------------------------- */

static enum mg_err value_expect(struct zipkin_source *source, enum json_token wanted)
{
    return source->value.token == wanted ? MG_OK : fail_value(source, token_name(wanted));
}

/* False: an error. */
static bool value_skip(struct zipkin_source *source)
{
    enum json_token token = source->value.token;

    if (token == JSON_TOKEN_OBJECT || token == JSON_TOKEN_ARRAY)
        return json_leave(source->json);
    return token != JSON_TOKEN_ERROR;
}

struct member {
    struct str key;
    bool is_null_skipped;
    enum mg_err (*read)(struct zipkin_source *source, void *into);
};

/* Senders keep to an order: the search begins behind the member found last. */
static const struct member *member_find(const struct member *members, size_t n, struct str key, size_t *from)
{
    for (size_t k = 0; k < n; k++) {
        size_t i = *from + k < n ? *from + k : *from + k - n;
        if (zipkin_same(members[i].key, key)) {
            *from = i + 1 < n ? i + 1 : 0;
            return &members[i];
        }
    }
    return NULL;
}

/* From behind the { to the }. `read` finds the value's token in source->value. */
static enum mg_err members_read(struct zipkin_source *source, const struct member *members,
                                size_t n, void *into)
{
    enum json_token token;
    size_t from = 0;

    while ((token = json_next_member(source->json, &source->value)) == JSON_TOKEN_KEY) {
        const struct member *member = member_find(members, n, source->value.key, &from);
        if (member && (!member->is_null_skipped || source->value.token != JSON_TOKEN_NULL))
            MG_TRY(member->read(source, into));
        else if (!value_skip(source))
            return fail_token(source, JSON_TOKEN_ERROR, "");
    }
    return token == JSON_TOKEN_OBJECT_END ? MG_OK : fail_token(source, token, "");
}

static enum mg_err expect(struct zipkin_source *source, enum json_token wanted)
{
    enum json_token token = json_next(source->json);

    return token == wanted ? MG_OK : fail_token(source, token, token_name(wanted));
}

/* --- endpoints --------------------------------------------- */

static enum mg_err read_service(struct zipkin_source *source, void *into)
{
    return text_read(source, &((struct zipkin_endpoint *)into)->service);
}

static enum mg_err read_ip(struct zipkin_source *source, void *into)
{
    struct str text;

    MG_TRY(text_read(source, &text));
    (void)zipkin_endpoint_parse(into, text); /* bad text is ignored there */
    return MG_OK;
}

static enum mg_err read_port(struct zipkin_source *source, void *into)
{
    int64_t port;

    MG_TRY(long_read(source, "an int", &port));
    if (port > UINT16_MAX)
        return zipkin_fail(source, "invalid port %lld", (long long)port);
    ((struct zipkin_endpoint *)into)->port = (uint16_t)MG_MAX(port, (int64_t)0);
    return MG_OK;
}

/* A second endpoint replaces the first. */
static enum mg_err endpoint_read(struct zipkin_source *source, const char *name,
                                 struct zipkin_endpoint *out)
{
    static const struct member members[] = {
        { STR_INIT("serviceName"), true, read_service },
        { STR_INIT("ipv4"), true, read_ip },
        { STR_INIT("ipv6"), true, read_ip },
        { STR_INIT("port"), true, read_port },
    };

    zipkin_endpoint_clear(out);
    MG_TRY(value_expect(source, JSON_TOKEN_OBJECT));
    source->within = name;
    MG_TRY(members_read(source, members, MG_COUNT(members), out));
    source->within = NULL;
    return MG_OK;
}

/* --- annotations --------------------------------------------- */

struct annotation_draft {
    struct zipkin_annotation annotation;
    bool has_timestamp, has_value;
};

static enum mg_err read_annotation_timestamp(struct zipkin_source *source, void *into)
{
    struct annotation_draft *draft = into;

    draft->has_timestamp = true;
    return long_read(source, "a long", &draft->annotation.timestamp_us);
}

static enum mg_err read_annotation_value(struct zipkin_source *source, void *into)
{
    struct annotation_draft *draft = into;

    draft->has_value = true;
    return text_read(source, &draft->annotation.value);
}

static enum mg_err annotation_read(struct zipkin_source *source, struct zipkin_annotation *out)
{
    static const struct member members[] = {
        { STR_INIT("timestamp"), false, read_annotation_timestamp },
        { STR_INIT("value"), false, read_annotation_value },
    };
    struct annotation_draft draft = { .annotation.value = STR("") };

    source->value.key = STR("");
    MG_TRY(expect(source, JSON_TOKEN_OBJECT));
    MG_TRY(members_read(source, members, MG_COUNT(members), &draft));
    if (!draft.has_timestamp || !draft.has_value)
        return zipkin_fail(source, "Incomplete annotation at %s", path_of(source).text);
    *out = draft.annotation;
    return MG_OK;
}

static enum mg_err read_annotations(struct zipkin_source *source, void *into)
{
    struct zipkin_draft *draft = into;

    MG_TRY(value_expect(source, JSON_TOKEN_ARRAY));
    source->within = "annotations";
    source->is_indexed = true;
    for (source->index = 0; json_peek(source->json) != JSON_TOKEN_ARRAY_END; source->index++) {
        struct zipkin_annotation annotation;
        MG_TRY(annotation_read(source, &annotation));
        VEC_PUSH(&draft->annotations, annotation);
    }
    source->within = NULL;
    source->is_indexed = false;
    return expect(source, JSON_TOKEN_ARRAY_END);
}

/* --- tags --------------------------------------------- */

static enum mg_err fail_tag(struct zipkin_source *source, const struct json_read_member *member)
{
    source->value = *member;
    if (member->token == JSON_TOKEN_NULL)
        return zipkin_fail(source, "No value at %s", path_of(source).text);
    return fail_value(source, "a string");
}

static enum mg_err read_tags(struct zipkin_source *source, void *into)
{
    struct zipkin_draft *draft = into;
    struct json_read_member member = source->value;
    enum json_token token;

    MG_TRY(value_expect(source, JSON_TOKEN_OBJECT));
    source->within = "tags";
    while ((token = json_next_member(source->json, &member)) == JSON_TOKEN_KEY) {
        if (!is_text(member.token))
            return fail_tag(source, &member);
        VEC_PUSH(&draft->tags, ((struct zipkin_tag){ member.key, member.text }));
    }
    source->value = member;
    source->within = NULL;
    return token == JSON_TOKEN_OBJECT_END ? MG_OK : fail_token(source, token, "");
}

/* --- spans --------------------------------------------- */

static enum mg_err read_trace_id(struct zipkin_source *source, void *into)
{
    struct zipkin_draft *draft = into;
    bool is_zero;

    MG_TRY(id_read(source, draft->span.trace_id, 16, &is_zero));
    draft->has_trace_id = true;
    return is_zero ? zipkin_fail(source, "traceId is all zeros") : MG_OK;
}

static enum mg_err read_id(struct zipkin_source *source, void *into)
{
    struct zipkin_draft *draft = into;
    bool is_zero;

    MG_TRY(id_read(source, draft->span.id, 8, &is_zero));
    draft->has_id = true;
    return is_zero ? zipkin_fail(source, "id is all zeros") : MG_OK;
}

static enum mg_err read_parent_id(struct zipkin_source *source, void *into)
{
    bool is_zero; /* no parent */

    return id_read(source, ((struct zipkin_draft *)into)->span.parent_id, 8, &is_zero);
}

static enum mg_err read_kind(struct zipkin_source *source, void *into)
{
    static const struct { struct str text; enum span_kind kind; } kinds[] = {
        { STR_INIT("CLIENT"), SPAN_CLIENT }, { STR_INIT("SERVER"), SPAN_SERVER },
        { STR_INIT("PRODUCER"), SPAN_PRODUCER }, { STR_INIT("CONSUMER"), SPAN_CONSUMER },
    };
    struct str text;

    MG_TRY(text_read(source, &text));
    for (size_t i = 0; i < MG_COUNT(kinds); i++) {
        if (zipkin_same(text, kinds[i].text)) {
            ((struct zipkin_draft *)into)->span.kind = zipkin_kinds[kinds[i].kind];
            return MG_OK;
        }
    }
    return zipkin_fail(source, "No enum constant zipkin2.Span.Kind.%s", excerpt(text).text);
}

static enum mg_err read_name(struct zipkin_source *source, void *into)
{
    return text_read(source, &((struct zipkin_draft *)into)->span.name);
}

/* 0 and below: absent. */
static enum mg_err micros_read(struct zipkin_source *source, uint64_t *out)
{
    int64_t us;

    MG_TRY(long_read(source, "a long", &us));
    *out = (uint64_t)MG_MAX(us, (int64_t)0);
    return MG_OK;
}

static enum mg_err read_timestamp(struct zipkin_source *source, void *into)
{
    return micros_read(source, &((struct zipkin_draft *)into)->span.timestamp_us);
}

static enum mg_err read_duration(struct zipkin_source *source, void *into)
{
    return micros_read(source, &((struct zipkin_draft *)into)->span.duration_us);
}

static enum mg_err read_local(struct zipkin_source *source, void *into)
{
    return endpoint_read(source, "localEndpoint", &((struct zipkin_draft *)into)->span.local);
}

static enum mg_err read_remote(struct zipkin_source *source, void *into)
{
    return endpoint_read(source, "remoteEndpoint", &((struct zipkin_draft *)into)->span.remote);
}

static enum mg_err read_debug(struct zipkin_source *source, void *into)
{
    return bool_read(source, &((struct zipkin_draft *)into)->span.is_debug);
}

static enum mg_err read_shared(struct zipkin_source *source, void *into)
{
    return bool_read(source, &((struct zipkin_draft *)into)->span.is_shared);
}

static enum mg_err read_v1(struct zipkin_source *source, void *into)
{
    (void)into;
    return mg_fail(source->why, MG_E_FORMAT,
                   "Expected a JSON_V2 encoded list, but received: JSON_V1");
}

static enum mg_err json_read(struct zipkin_source *source, size_t *at, struct zipkin_draft *draft)
{
    static const struct member members[] = {
        { STR_INIT("traceId"), false, read_trace_id },
        { STR_INIT("parentId"), true, read_parent_id },
        { STR_INIT("id"), false, read_id },
        { STR_INIT("kind"), true, read_kind },
        { STR_INIT("name"), true, read_name },
        { STR_INIT("timestamp"), true, read_timestamp },
        { STR_INIT("duration"), true, read_duration },
        { STR_INIT("localEndpoint"), true, read_local },
        { STR_INIT("remoteEndpoint"), true, read_remote },
        { STR_INIT("annotations"), true, read_annotations },
        { STR_INIT("tags"), true, read_tags },
        { STR_INIT("debug"), true, read_debug },
        { STR_INIT("shared"), true, read_shared },
        { STR_INIT("binaryAnnotations"), false, read_v1 },
    };

    zipkin_draft_begin(draft);
    source->value.key = STR(""); /* the reader forgets the last span's texts */
    json_reader_begin(source->json, str_n(source->text.ptr + *at, source->text.len - *at));
    MG_TRY(expect(source, JSON_TOKEN_OBJECT));
    MG_TRY(members_read(source, members, MG_COUNT(members), draft));
    *at += json_offset(source->json) + 1; /* behind the } */
    return zipkin_draft_end(source, draft);
}

static char space_skip(const struct zipkin_source *source, size_t *at)
{
    for (; *at < source->text.len; ++*at) {
        char c = source->text.ptr[*at];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
            return c;
    }
    return 0;
}

static enum mg_err json_seek(struct zipkin_source *source, size_t *at, bool *is_end)
{
    bool is_first = *at == 0;

    *is_end = source->text.len == 0;
    if (*is_end)
        return MG_OK;
    if (is_first) {
        if (source->text.ptr[0] != '[')
            return mg_fail(source->why, MG_E_FORMAT, "Expected a JSON_V2 encoded list");
        ++*at;
    }
    char c = space_skip(source, at);
    if (c == ']') {
        *is_end = true;
        return MG_OK;
    }
    if (!is_first) {
        if (c != ',')
            return zipkin_fail(source, "Malformed (a comma or ] was expected at byte %zu)", *at);
        ++*at;
        c = space_skip(source, at);
    }
    if (c != '{')
        return zipkin_fail(source, "Malformed (a span was expected at byte %zu)", *at);
    return MG_OK;
}

const struct zipkin_format zipkin_json = { json_seek, json_read };
