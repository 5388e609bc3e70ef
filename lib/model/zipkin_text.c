/* zipkin_text.c - the small texts of Zipkin: addresses, lower case, and what the OpenTelemetry
 * exporters write into annotations and tags because Zipkin has no place for it.
 *
 * Three spellings of an event with attributes are read, and one is written:
 *     name|{"key":1}|0       OpenTelemetry Collector; the last is the count of dropped attributes
 *     "name": {"key":1}      OpenTelemetry specification
 *     {"name": {"key":1}}    OpenTelemetry for Python */
#include "model/zipkin_private.h"

#include <arpa/inet.h>
#include <assert.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <wctype.h>
#include "codec/utf8.h"

const char *const zipkin_kinds[SPAN_CONSUMER + 1] = {
    [SPAN_SERVER] = "SERVER",
    [SPAN_CLIENT] = "CLIENT",
    [SPAN_PRODUCER] = "PRODUCER",
    [SPAN_CONSUMER] = "CONSUMER",
};

/* --- addresses --------------------------------------------- */

void zipkin_endpoint_add(struct zipkin_endpoint *endpoint, const uint8_t *ip, unsigned bytes)
{
    if (bytes == 16 && endpoint->ip_bytes == 4) {
        memcpy(endpoint->ipv6, ip, 16);
        endpoint->has_ipv6 = true;
        return;
    }
    if (bytes == 4 && endpoint->ip_bytes == 16) {
        memcpy(endpoint->ipv6, endpoint->ip, 16);
        endpoint->has_ipv6 = true;
    }
    memcpy(endpoint->ip, ip, bytes);
    endpoint->ip_bytes = (uint8_t)bytes;
}

/* ::1.2.3.4 or ::ffff:1.2.3.4 */
static bool holds_ipv4(const uint8_t ip[16])
{
    static const uint8_t zero[10];

    return memcmp(ip, zero, sizeof zero) == 0 && ip[10] == ip[11] &&
           (ip[10] == 0 || ip[10] == 0xff);
}

bool zipkin_endpoint_parse(struct zipkin_endpoint *endpoint, struct str ip)
{
    char text[ZIPKIN_IP_TEXT];
    uint8_t bytes[16];

    if (ip.len == 0 || ip.len >= sizeof text || memchr(ip.ptr, 0, ip.len))
        return false;
    memcpy(text, ip.ptr, ip.len);
    text[ip.len] = 0;
    if (inet_pton(AF_INET, text, bytes) == 1) {
        zipkin_endpoint_add(endpoint, bytes, 4);
        return true;
    }
    bool is_dotted = strchr(text, '.'); /* in digits it stays what it is, as in Zipkin */
    if (inet_pton(AF_INET6, text, bytes) != 1 || (is_dotted && !holds_ipv4(bytes)))
        return false;
    zipkin_endpoint_add(endpoint, is_dotted ? bytes + 12 : bytes, is_dotted ? 4 : 16);
    return true;
}

/* RFC 5952 4.2: the longest run of two or more zero groups, the first of equals. */
static unsigned longest_zeros(const uint8_t ip[16], unsigned *from)
{
    unsigned best = 1, run = 0;

    *from = 8;
    for (unsigned i = 0; i < 8; i++) {
        run = get_be16(ip + 2 * i) ? 0 : run + 1;
        if (run > best) {
            best = run;
            *from = i + 1 - run;
        }
    }
    return best > 1 ? best : 0;
}

/* Nearly every span has one, so no printf. */
static size_t ipv4_text(const uint8_t ip[4], char *out)
{
    char *p = out;

    for (unsigned i = 0; i < 4; i++) {
        if (i > 0)
            *p++ = '.';
        if (ip[i] >= 100)
            *p++ = (char)('0' + ip[i] / 100);
        if (ip[i] >= 10)
            *p++ = (char)('0' + ip[i] / 10 % 10);
        *p++ = (char)('0' + ip[i] % 10);
    }
    return (size_t)(p - out);
}

/* inet_ntop would write a dotted tail, which reads back as an IPv4 address. */
size_t zipkin_ip_text(const uint8_t *ip, unsigned bytes, char out[ZIPKIN_IP_TEXT])
{
    unsigned from, zeros, len = 0;

    if (bytes == 4)
        return ipv4_text(ip, out);
    zeros = longest_zeros(ip, &from);
    for (unsigned i = 0; i < 8; i++) {
        if (i == from) {
            len += (unsigned)snprintf(out + len, ZIPKIN_IP_TEXT - len, "::");
            i += zeros - 1;
            continue;
        }
        const char *colon = i == 0 || i == from + zeros ? "" : ":";
        len += (unsigned)snprintf(out + len, ZIPKIN_IP_TEXT - len, "%s%x", colon,
                                  (unsigned)get_be16(ip + 2 * i));
    }
    return len;
}

/* --- lower case --------------------------------------------- */

static pthread_once_t lower_once = PTHREAD_ONCE_INIT;
static locale_t lower_locale; /* of the C library; 0: it has none, and only ASCII changes case */

static void lower_open(void)
{
    lower_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static uint32_t lower_of(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
    return lower_locale ? (uint32_t)towlower_l((wint_t)c, lower_locale) : c;
}

static uint32_t code_point(const uint8_t *p, size_t n)
{
    static const uint8_t masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    uint32_t c = p[0] & masks[n];

    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3f);
    return c;
}

static bool is_lower(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((uint8_t)text.ptr[i] >= 0x80 || (text.ptr[i] >= 'A' && text.ptr[i] <= 'Z'))
            return false;
    return true;
}

struct str zipkin_lower(struct arena *arena, struct str text)
{
    if (is_lower(text))
        return text;
    pthread_once(&lower_once, lower_open);
    /* A letter of two bytes may become one of three. */
    char *out = arena_alloc(arena, text.len + text.len / 2 + 4);
    size_t len = 0;
    for (size_t i = 0, n; i < text.len; i += n) {
        bool valid;
        n = utf8_sequence(text.ptr + i, text.len - i, &valid);
        assert(valid);
        len += utf8_encode(lower_of(code_point((const uint8_t *)text.ptr + i, n)), out + len);
    }
    return str_n(out, len);
}

/* --- tags --------------------------------------------- */

/* str_cmp(a, b) < 0, eight bytes a step: keys that follow each other often begin alike. */
static inline bool comes_before(struct str a, struct str b)
{
    size_t n = MG_MIN(a.len, b.len), at = 0;

    for (; n - at >= 8; at += 8) {
        uint64_t left = get_be64(a.ptr + at), right = get_be64(b.ptr + at);
        if (left != right)
            return left < right;
    }
    for (; at < n; at++)
        if (a.ptr[at] != b.ptr[at])
            return (uint8_t)a.ptr[at] < (uint8_t)b.ptr[at];
    return a.len < b.len;
}

static bool is_settled(const struct zipkin_tag *tags, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (!comes_before(tags[i - 1].key, tags[i].key))
            return false;
    return true;
}

/* Merges [from, middle) and [middle, to); of equal keys the left ones first. */
static void tags_merge(const struct zipkin_tag *in, struct zipkin_tag *out, size_t from,
                       size_t middle, size_t to)
{
    size_t left = from, right = middle;

    for (size_t i = from; i < to; i++) {
        bool take_left = left < middle &&
                         (right == to || str_cmp(in[left].key, in[right].key) <= 0);
        out[i] = in[take_left ? left++ : right++];
    }
}

/* Stable, or "the last one stays" would mean nothing; and never slow, since the order is a
 * stranger's. */
size_t zipkin_tags_settle(struct zipkin_tag *tags, size_t n, struct zipkin_tag *spare)
{
    struct zipkin_tag *in = tags, *out = spare;
    size_t kept = 0;

    if (is_settled(tags, n))
        return n;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t from = 0; from < n; from += 2 * width)
            tags_merge(in, out, from, MG_MIN(from + width, n), MG_MIN(from + 2 * width, n));
        struct zipkin_tag *sorted = out;
        out = in;
        in = sorted;
    }
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && str_eq(in[i].key, in[i + 1].key))
            continue;
        tags[kept++] = in[i];
    }
    return kept;
}

/* --- attributes in JSON --------------------------------------------- */

static bool is_ours(struct str key)
{
    return str_eq(key, STR(ATTR_ANNOTATION)) || str_eq(key, STR(ATTR_TIMESTAMP));
}

/* Whether a text is as the writer spells it is told by its length: no spelling is shorter than the
 * writer's, and none is as long and another. Where that is not so, the length is unknown: a control
 * character without a letter (\u001f, \u001F), bytes that may be no UTF-8, numbers with a fraction,
 * and, being rare, null and what is nested. */

/* With its quotes. */
static void spelling_add_string(struct zipkin_spelling *spelling, struct str s)
{
    static const bool has_letter[0x20] = { ['\b'] = true, ['\t'] = true, ['\n'] = true, ['\f'] = true, ['\r'] = true };

    spelling->len += s.len + 2;
    for (size_t i = 0; i < s.len;) {
        if (s.len - i >= 8 && json_stops8(s.ptr + i) == 0) {
            i += 8;
            continue;
        }
        uint8_t c = (uint8_t)s.ptr[i++];
        spelling->len += c < 0x20 || c == '"' || c == '\\';
        spelling->is_unknown |= c >= 0x80 || (c < 0x20 && !has_letter[c]);
    }
}

static bool number_read(struct str text, struct buf *out, struct zipkin_spelling *spelling)
{
    int64_t i;
    double d;
    uint64_t bits;

    if (str_i64(text, &i) == MG_OK) {
        spelling->len += i == 0 ? strlen("0") : text.len; /* -0 */
        wire_put_varint(out, 3, (uint64_t)i);
        return true;
    }
    if (str_double(text, &d) != MG_OK)
        return false;
    spelling->is_unknown = true;
    memcpy(&bits, &d, sizeof bits);
    wire_put_fixed64(out, 4, bits);
    return true;
}

static bool array_read(struct json_reader *json, struct buf *out, struct zipkin_spelling *spelling);
static bool object_read(struct json_reader *json, struct buf *out, struct zipkin_spelling *spelling);

/* The content of an AnyValue. Recursion ends at the reader's own depth, ZIPKIN_ATTRS_DEPTH. */
static bool any_read(struct json_reader *json, enum json_token token, struct str text, struct buf *out,
                     struct zipkin_spelling *spelling)
{
    size_t inner;

    switch (token) {
    case JSON_TOKEN_STRING:
        spelling_add_string(spelling, text);
        wire_put_bytes(out, 1, text);
        return true;
    case JSON_TOKEN_TRUE:
    case JSON_TOKEN_FALSE:
        spelling->len += token == JSON_TOKEN_TRUE ? strlen("true") : strlen("false");
        wire_put_varint(out, 2, token == JSON_TOKEN_TRUE);
        return true;
    case JSON_TOKEN_NUMBER:
        return number_read(text, out, spelling);
    case JSON_TOKEN_NULL:
        spelling->is_unknown = true;
        return true;
    case JSON_TOKEN_ARRAY:
        spelling->is_unknown = true;
        inner = wire_open(out, 5);
        if (!array_read(json, out, spelling))
            return false;
        wire_close(out, inner);
        return true;
    case JSON_TOKEN_OBJECT:
        spelling->is_unknown = true;
        inner = wire_open(out, 6);
        if (!object_read(json, out, spelling))
            return false;
        wire_close(out, inner);
        return true;
    default:
        return false;
    }
}

static bool array_read(struct json_reader *json, struct buf *out, struct zipkin_spelling *spelling)
{
    enum json_token token;

    while ((token = json_next(json)) != JSON_TOKEN_ARRAY_END) {
        size_t item = wire_open(out, 1);
        if (!any_read(json, token, json_text(json), out, spelling))
            return false;
        wire_close(out, item);
    }
    return true;
}

static bool member_read(struct json_reader *json, const struct json_read_member *member, struct buf *out, uint32_t number,
                        struct zipkin_spelling *spelling)
{
    size_t key_value = wire_open(out, number);

    spelling_add_string(spelling, member->key);
    spelling->len += strlen(":");
    wire_put_bytes(out, 1, member->key);
    size_t value = wire_open(out, 2);
    if (!any_read(json, member->token, member->text, out, spelling))
        return false;
    wire_close(out, value);
    wire_close(out, key_value);
    return true;
}

static bool object_read(struct json_reader *json, struct buf *out, struct zipkin_spelling *spelling)
{
    struct json_read_member member;
    enum json_token token;

    while ((token = json_next_member(json, &member)) == JSON_TOKEN_KEY)
        if (!member_read(json, &member, out, 1, spelling))
            return false;
    return token == JSON_TOKEN_OBJECT_END;
}

/* From behind the { to the }. */
static bool members_read(struct json_reader *json, struct buf *out, uint32_t number, struct zipkin_spelling *spelling)
{
    struct json_read_member member;
    enum json_token token;
    size_t n = 0;

    spelling->len += strlen("{}");
    for (; (token = json_next_member(json, &member)) == JSON_TOKEN_KEY; n++) {
        spelling->len += n > 0; /* a comma */
        if (is_ours(member.key) || !member_read(json, &member, out, number, spelling))
            return false;
    }
    return token == JSON_TOKEN_OBJECT_END;
}

bool zipkin_attrs_read(struct json_reader *json, struct str object, struct buf *out,
                       uint32_t number, struct zipkin_spelling *spelling)
{
    *spelling = (struct zipkin_spelling){ 0 };
    json_reader_begin(json, object);
    return json_next(json) == JSON_TOKEN_OBJECT && members_read(json, out, number, spelling) &&
           json_next(json) == JSON_TOKEN_END;
}

bool zipkin_named_attrs_read(struct json_reader *json, struct str object, struct str *name,
                             struct buf *out, uint32_t number)
{
    struct zipkin_spelling nobody_asks = { 0 };

    json_reader_begin(json, object);
    if (json_next(json) != JSON_TOKEN_OBJECT || json_next(json) != JSON_TOKEN_KEY)
        return false;
    *name = json_text(json);
    return json_next(json) == JSON_TOKEN_OBJECT && members_read(json, out, number, &nobody_asks) &&
           json_next(json) == JSON_TOKEN_OBJECT_END && json_next(json) == JSON_TOKEN_END;
}

static void value_json(struct json_writer *w, const struct value *value)
{
    struct value plain = value_plain(value);

    switch (plain.type) {
    case VALUE_EMPTY:
    case VALUE_OTHER:
        json_put_null(w);
        break;
    case VALUE_STRING:
        json_put_str(w, plain.str);
        break;
    case VALUE_BYTES:
        json_put_base64(w, plain.str.ptr, plain.str.len);
        break;
    case VALUE_DOUBLE: /* value_text has no quotes around NaN */
        json_put_double(w, plain.d);
        break;
    default:
        json_put_raw(w, STR(""));
        value_text(w->out, &plain);
    }
}

/* The attributes in these fields as a JSON object; 0 and nothing but {} when there are none. */
static size_t attrs_json(struct buf *out, struct str message, uint32_t number)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct json_writer w;
    struct attr attr;
    size_t n = 0;

    json_writer_init(&w, out, 0);
    json_object(&w);
    while (attr_next(&at, end, number, &attr) == 1) {
        if (is_ours(attr.key))
            continue;
        json_key(&w, attr.key);
        value_json(&w, &attr.value);
        n++;
    }
    json_object_end(&w);
    return n;
}

void zipkin_event_text(struct buf *out, const struct event_view *event)
{
    const uint8_t *at = wire_begin(event->message), *end = wire_end(event->message);
    struct attr attr;

    while (attr_next(&at, end, 3, &attr) == 1) {
        if (attr.value.type == VALUE_STRING && str_eq(attr.key, STR(ATTR_ANNOTATION))) {
            buf_put_str(out, attr.value.str);
            return;
        }
    }
    buf_put_str(out, event->name);
    size_t name_end = out->len;
    buf_put_char(out, '|');
    if (attrs_json(out, event->message, 3) == 0 && event->dropped_attrs == 0)
        out->len = name_end;
    else {
        buf_put_char(out, '|');
        buf_put_u64(out, event->dropped_attrs);
    }
}

void zipkin_link_text(struct buf *out, const struct link_view *link)
{
    char trace_id[32], span_id[16];

    hex_encode(link->trace_id, sizeof link->trace_id, trace_id);
    hex_encode(link->span_id, sizeof link->span_id, span_id);
    buf_printf(out, "%.32s|%.16s|", trace_id, span_id);
    buf_put_str(out, link->trace_state);
    buf_put_char(out, '|');
    attrs_json(out, link->message, 4);
    buf_printf(out, "|%u", link->dropped_attrs);
}
