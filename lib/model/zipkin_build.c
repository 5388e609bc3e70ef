/* zipkin_build.c - Zipkin's span as OTLP's, as the OpenTelemetry Collector's translator/zipkin makes it.
 *
 * First every tag gets a use: it stays an attribute, describes the resource, or is taken, because
 * something in OTLP's span says the same and zipkin_write.c makes the tag again from that. A tag is
 * taken only when it comes back to the letter; where OTLP says the same but not in these words, the
 * tag stays as well. An annotation's parts are judged likewise: when they would be spelled
 * differently, its text goes with the event as an attribute. */
#include "model/zipkin_private.h"

#include <stdio.h>
#include "model/otlp_write.h"

#define LINKS_MAX 128 /* as in the Collector's translator/zipkin */

enum tag_use { USE_ATTR, USE_RESOURCE, USE_TAKEN };

/* Tags that mean something here. */
enum role {
    ROLE_NONE, ROLE_RESOURCE, ROLE_SERVICE, ROLE_LIBRARY_NAME, ROLE_LIBRARY_VERSION,
    ROLE_SCOPE_NAME, ROLE_SCOPE_VERSION, ROLE_STATUS, ROLE_DESCRIPTION, ROLE_ERROR,
    ROLE_TRACE_STATE, ROLE_KIND, ROLE_HOST_IP, ROLE_PEER_IP, ROLE_PEER_SERVICE, ROLE_LINK, ROLES
};

struct known_tag {
    struct str key; /* ends in a dot: all keys that begin so */
    enum role role;
};

void zipkin_builder_fini(struct zipkin_builder *b)
{
    arena_fini(&b->kept);
    VEC_FINI(&b->attrs);
    VEC_FINI(&b->use);
    VEC_FINI(&b->told_tags);
    buf_fini(&b->scratch);
    buf_fini(&b->parts);
    buf_fini(&b->spelled);
    buf_fini(&b->wrapped);
    json_reader_free(&b->json);
}

/* --- what tags are for --------------------------------------------- */

/* By their first letter: every tag of every span is looked up here. */
static const struct known_tag known_a[] = {
    { STR_INIT("aws.ecs."), ROLE_RESOURCE },
    { STR_INIT("aws.eks."), ROLE_RESOURCE },
    { STR_INIT("aws.log."), ROLE_RESOURCE },
};
static const struct known_tag known_c[] = {
    { STR_INIT("cloud."), ROLE_RESOURCE },
    { STR_INIT("container."), ROLE_RESOURCE },
};
static const struct known_tag known_d[] = {
    { STR_INIT("deployment."), ROLE_RESOURCE },
    { STR_INIT("device."), ROLE_RESOURCE },
};
static const struct known_tag known_e[] = {
    { STR_INIT("error"), ROLE_ERROR },
};
static const struct known_tag known_f[] = {
    { STR_INIT("faas.id"), ROLE_RESOURCE },
    { STR_INIT("faas.instance"), ROLE_RESOURCE },
    { STR_INIT("faas.max_memory"), ROLE_RESOURCE },
    { STR_INIT("faas.name"), ROLE_RESOURCE },
    { STR_INIT("faas.version"), ROLE_RESOURCE },
};
static const struct known_tag known_g[] = {
    { STR_INIT("gcp."), ROLE_RESOURCE },
};
static const struct known_tag known_h[] = {
    { STR_INIT("heroku."), ROLE_RESOURCE },
    { STR_INIT("host."), ROLE_RESOURCE },
};
static const struct known_tag known_k[] = {
    { STR_INIT("k8s."), ROLE_RESOURCE },
};
static const struct known_tag known_n[] = {
    { STR_INIT(ATTR_HOST_IP), ROLE_HOST_IP },
    { STR_INIT(ATTR_PEER_IP), ROLE_PEER_IP },
};
static const struct known_tag known_o[] = {
    { STR_INIT("os."), ROLE_RESOURCE },
    { STR_INIT("otel.library.name"), ROLE_LIBRARY_NAME },
    { STR_INIT("otel.library.version"), ROLE_LIBRARY_VERSION },
    { STR_INIT("otel.scope.name"), ROLE_SCOPE_NAME },
    { STR_INIT("otel.scope.version"), ROLE_SCOPE_VERSION },
    { STR_INIT("otel.status_code"), ROLE_STATUS },
    { STR_INIT("otel.status_description"), ROLE_DESCRIPTION },
    { STR_INIT(TAG_LINK), ROLE_LINK },
};
static const struct known_tag known_p[] = {
    { STR_INIT(ATTR_PEER_SERVICE), ROLE_PEER_SERVICE },
    { STR_INIT("process."), ROLE_RESOURCE },
};
static const struct known_tag known_s[] = {
    { STR_INIT("service.instance.id"), ROLE_RESOURCE },
    { STR_INIT("service.name"), ROLE_SERVICE },
    { STR_INIT("service.namespace"), ROLE_RESOURCE },
    { STR_INIT("service.version"), ROLE_RESOURCE },
    { STR_INIT("span.kind"), ROLE_KIND },
};
static const struct known_tag known_t[] = {
    { STR_INIT("telemetry."), ROLE_RESOURCE },
};
static const struct known_tag known_w[] = {
    { STR_INIT("w3c.tracestate"), ROLE_TRACE_STATE },
    { STR_INIT("webengine."), ROLE_RESOURCE },
};
/* A bit for a second letter; others may have the same. */
#define SECOND(c) (UINT32_C(1) << ((c) & 31))
static const struct { const struct known_tag *rows; size_t n; uint32_t seconds; } known['z' - 'a' + 1] = {
    ['a' - 'a'] = { known_a, MG_COUNT(known_a), SECOND('w') },
    ['c' - 'a'] = { known_c, MG_COUNT(known_c), SECOND('l') | SECOND('o') },
    ['d' - 'a'] = { known_d, MG_COUNT(known_d), SECOND('e') },
    ['e' - 'a'] = { known_e, MG_COUNT(known_e), SECOND('r') },
    ['f' - 'a'] = { known_f, MG_COUNT(known_f), SECOND('a') },
    ['g' - 'a'] = { known_g, MG_COUNT(known_g), SECOND('c') },
    ['h' - 'a'] = { known_h, MG_COUNT(known_h), SECOND('e') | SECOND('o') },
    ['k' - 'a'] = { known_k, MG_COUNT(known_k), SECOND('8') },
    ['n' - 'a'] = { known_n, MG_COUNT(known_n), SECOND('e') },
    ['o' - 'a'] = { known_o, MG_COUNT(known_o), SECOND('s') | SECOND('t') },
    ['p' - 'a'] = { known_p, MG_COUNT(known_p), SECOND('e') | SECOND('r') },
    ['s' - 'a'] = { known_s, MG_COUNT(known_s), SECOND('e') | SECOND('p') },
    ['t' - 'a'] = { known_t, MG_COUNT(known_t), SECOND('e') },
    ['w' - 'a'] = { known_w, MG_COUNT(known_w), SECOND('3') | SECOND('e') },
};

static enum role role_among(const struct known_tag *rows, size_t n, struct str key)
{
    for (size_t i = 0; i < n; i++) {
        struct str row = rows[i].key;
        if (key.len < row.len || key.ptr[1] != row.ptr[1] || !zipkin_same(row, str_n(key.ptr, row.len)))
            continue;
        if (key.len == row.len ? row.ptr[row.len - 1] != '.' : row.ptr[row.len - 1] == '.')
            return rows[i].role;
    }
    return ROLE_NONE;
}

static inline enum role role_of(struct str key)
{
    size_t letter;

    if (key.len < 2 || (letter = (size_t)((uint8_t)key.ptr[0] - 'a')) >= MG_COUNT(known) ||
        !(known[letter].seconds & SECOND(key.ptr[1])))
        return ROLE_NONE;
    return role_among(known[letter].rows, known[letter].n, key);
}

struct found {
    uint32_t roles; /* a bit for each that has a tag */
    const struct zipkin_tag *at[ROLES];
};

static const struct zipkin_tag *found_tag(const struct found *found, enum role role)
{
    return found->roles >> role & 1 ? found->at[role] : NULL;
}

static void take(struct zipkin_builder *b, const struct zipkin_tag *tag, uint32_t given)
{
    b->use.at[tag - b->draft->tags.at] = USE_TAKEN;
    b->given |= given;
}

static bool has_text(const struct zipkin_tag *tag)
{
    return tag && tag->value.len > 0;
}

static void use_service(struct zipkin_builder *b, const struct found *found)
{
    const struct zipkin_tag *tag = found_tag(found, ROLE_SERVICE);

    b->service = b->draft->span.local.service;
    if (!has_text(tag))
        return;
    if (b->service.len == 0) {
        b->service = tag->value;
        b->given |= GIVEN_NO_LOCAL_SERVICE;
    }
    if (str_eq(b->service, tag->value))
        take(b, tag, GIVEN_SERVICE);
}

/* The newer name of the tag counts, and each that says the same is taken. */
static struct str use_scope_part(struct zipkin_builder *b, const struct zipkin_tag *newer,
                                 uint32_t newer_given, const struct zipkin_tag *older,
                                 uint32_t older_given)
{
    struct str value = has_text(newer) ? newer->value : has_text(older) ? older->value : STR("");

    if (has_text(newer))
        take(b, newer, newer_given);
    if (has_text(older) && str_eq(older->value, value))
        take(b, older, older_given);
    return value;
}

static void use_status(struct zipkin_builder *b, const struct found *found)
{
    static const struct { struct str text; int32_t code; uint32_t given; } codes[] = {
        { STR_INIT("OK"), STATUS_OK, GIVEN_STATUS },
        { STR_INIT("ERROR"), STATUS_ERROR, GIVEN_STATUS },
        { STR_INIT("Ok"), STATUS_OK, GIVEN_STATUS_TITLE },
        { STR_INIT("Error"), STATUS_ERROR, GIVEN_STATUS_TITLE },
        { STR_INIT("STATUS_CODE_OK"), STATUS_OK, GIVEN_STATUS_LONG },
        { STR_INIT("STATUS_CODE_ERROR"), STATUS_ERROR, GIVEN_STATUS_LONG },
    };
    const struct zipkin_tag *code = found_tag(found, ROLE_STATUS), *error = found_tag(found, ROLE_ERROR);
    const struct zipkin_tag *description = found_tag(found, ROLE_DESCRIPTION);

    b->status = error ? STATUS_ERROR : STATUS_UNSET; /* whatever the tag says */
    for (size_t i = 0; code && i < MG_COUNT(codes); i++) {
        if (!str_eq(code->value, codes[i].text))
            continue;
        if (!error)
            b->status = codes[i].code;
        if (b->status == codes[i].code)
            take(b, code, codes[i].given);
    }
    b->status_message = STR("");
    if (description) {
        b->status_message = description->value;
        take(b, description, GIVEN_DESCRIPTION);
    } else if (error && !str_eq(error->value, STR("true")) &&
               !str_eq(error->value, STR("false"))) {
        b->status_message = error->value;
    }
}

static void use_kind(struct zipkin_builder *b, const struct found *found)
{
    const struct zipkin_tag *tag = found_tag(found, ROLE_KIND);

    b->kind = SPAN_UNSPECIFIED;
    for (int32_t i = 0; i < (int32_t)MG_COUNT(zipkin_kinds); i++)
        if (b->draft->span.kind && b->draft->span.kind == zipkin_kinds[i])
            b->kind = i;
    if (!b->draft->span.kind && tag && str_eq(tag->value, STR("internal"))) {
        b->kind = SPAN_INTERNAL;
        take(b, tag, 0);
    }
}

/* Tags that could be taken for an endpoint's. */
static void use_endpoint_tags(struct zipkin_builder *b, const struct found *found)
{
    if (found_tag(found, ROLE_HOST_IP))
        b->given |= GIVEN_HOST_IP;
    if (found_tag(found, ROLE_PEER_IP))
        b->given |= GIVEN_PEER_IP;
    if (found_tag(found, ROLE_PEER_SERVICE))
        b->given |= GIVEN_PEER_SERVICE;
}

/* Spans of one service follow each other: a tag that was told with the resource needs no other look,
 * and the resource's tags are compared on the way. */
static void tags_look(struct zipkin_builder *b, struct found *found)
{
    const struct zipkin_draft *draft = b->draft;
    size_t told = 0;

    VEC_RESERVE(&b->use, draft->tags.n);
    b->is_resource_told = true;
    found->roles = 0;
    for (size_t i = 0; i < draft->tags.n; i++) {
        const struct zipkin_tag *tag = &draft->tags.at[i];
        bool is_told = told < b->told_tags.n && zipkin_same(tag->key, b->told_tags.at[told].key);
        enum role role = is_told ? ROLE_RESOURCE : role_of(tag->key);
        b->use.at[i] = role == ROLE_RESOURCE ? USE_RESOURCE : USE_ATTR;
        found->roles |= UINT32_C(1) << role;
        found->at[role] = tag;
        if (role != ROLE_RESOURCE)
            continue;
        b->is_resource_told = b->is_resource_told && is_told && zipkin_same(tag->value, b->told_tags.at[told].value);
        told += is_told;
    }
    b->is_resource_told = b->is_resource_told && told == b->told_tags.n;
}

void zipkin_build_begin(struct zipkin_builder *b, const struct zipkin_draft *draft)
{
    struct found found;

    b->draft = draft;
    b->given = 0;
    tags_look(b, &found);
    b->has_links = found_tag(&found, ROLE_LINK);
    use_service(b, &found);
    b->scope_name =
        use_scope_part(b, found_tag(&found, ROLE_SCOPE_NAME), GIVEN_SCOPE_NAME,
                       found_tag(&found, ROLE_LIBRARY_NAME), GIVEN_LIBRARY_NAME);
    b->scope_version =
        use_scope_part(b, found_tag(&found, ROLE_SCOPE_VERSION), GIVEN_SCOPE_VERSION,
                       found_tag(&found, ROLE_LIBRARY_VERSION), GIVEN_LIBRARY_VERSION);
    use_status(b, &found);
    use_kind(b, &found);
    use_endpoint_tags(b, &found);
    b->trace_state = STR("");
    if (has_text(found_tag(&found, ROLE_TRACE_STATE))) {
        b->trace_state = found_tag(&found, ROLE_TRACE_STATE)->value;
        take(b, found_tag(&found, ROLE_TRACE_STATE), 0);
    }
}

/* --- resource and scope --------------------------------------------- */

static void text_attr_put(struct buf *out, struct str key, struct str value)
{
    struct attr attr = { key, { .type = VALUE_STRING, .str = value } };

    otlp_put_attr(out, 1, &attr);
}

/* Unescaped strings are the reader's, which forgets them at the next span. */
static struct str keep(struct zipkin_builder *b, struct str s)
{
    if ((uintptr_t)s.ptr - (uintptr_t)b->text.ptr < b->text.len)
        return s;
    return s.len ? arena_str(&b->kept, s) : STR("");
}

bool zipkin_build_is_resource_new(const struct zipkin_builder *b)
{
    return !b->is_resource_told || !zipkin_same(b->service, b->told_service);
}

void zipkin_build_resource(const struct zipkin_builder *b, struct buf *out)
{
    size_t resource = wire_open(out, 1);

    if (b->service.len)
        text_attr_put(out, STR("service.name"), b->service);
    for (size_t i = 0; i < b->draft->tags.n; i++)
        if (b->use.at[i] == USE_RESOURCE)
            text_attr_put(out, b->draft->tags.at[i].key, b->draft->tags.at[i].value);
    wire_close(out, resource);
    wire_put_bytes(out, 3, STR(ZIPKIN_SCHEMA));
}

void zipkin_build_note_resource(struct zipkin_builder *b)
{
    VEC_CLEAR(&b->told_tags);
    b->told_service = keep(b, b->service);
    for (size_t i = 0; i < b->draft->tags.n; i++) {
        const struct zipkin_tag *tag = &b->draft->tags.at[i];
        if (b->use.at[i] == USE_RESOURCE)
            VEC_PUSH(&b->told_tags, ((struct zipkin_tag){ keep(b, tag->key), keep(b, tag->value) }));
    }
}

bool zipkin_build_is_scope_new(const struct zipkin_builder *b)
{
    return !zipkin_same(b->scope_name, b->told_scope_name) || !zipkin_same(b->scope_version, b->told_scope_version);
}

void zipkin_build_scope(struct zipkin_builder *b, struct buf *out)
{
    b->told_scope_name = keep(b, b->scope_name);
    b->told_scope_version = keep(b, b->scope_version);
    if (!b->scope_name.len && !b->scope_version.len)
        return;
    size_t scope = wire_open(out, 1);
    if (b->scope_name.len)
        wire_put_bytes(out, 1, b->scope_name);
    if (b->scope_version.len)
        wire_put_bytes(out, 2, b->scope_version);
    wire_close(out, scope);
}

/* --- attributes --------------------------------------------- */

static void attr_put(struct zipkin_builder *b, struct str key, struct value value)
{
    VEC_PUSH(&b->attrs, ((struct attr){ key, value }));
}

static void attr_put_int(struct zipkin_builder *b, struct str key, int64_t i)
{
    attr_put(b, key, (struct value){ .type = VALUE_INT, .i = i });
}

static void attr_put_true(struct zipkin_builder *b, struct str key)
{
    struct value value = { .type = VALUE_BOOL, .i = 0 };

    value.b = true;
    attr_put(b, key, value);
}

static void attr_put_ip(struct zipkin_builder *b, struct str key, const uint8_t *ip, unsigned bytes)
{
    char text[ZIPKIN_IP_TEXT];
    size_t len = zipkin_ip_text(ip, bytes, text);

    attr_put(b, key, (struct value){ .type = VALUE_STRING,
                                     .str = arena_str(&b->kept, str_n(text, len)) });
}

static void endpoint_put(struct zipkin_builder *b, const struct zipkin_endpoint *endpoint,
                         struct str ip_key, struct str port_key)
{
    if (endpoint->ip_bytes)
        attr_put_ip(b, ip_key, endpoint->ip, endpoint->ip_bytes);
    if (endpoint->has_ipv6)
        attr_put_ip(b, ip_key, endpoint->ipv6, 16);
    if (endpoint->port)
        attr_put_int(b, port_key, endpoint->port);
}

static void attrs_build(struct zipkin_builder *b)
{
    const struct zipkin_span *in = &b->draft->span;

    VEC_CLEAR(&b->attrs);
    VEC_RESERVE(&b->attrs, b->draft->tags.n);
    for (size_t i = 0; i < b->draft->tags.n; i++) {
        if (b->use.at[i] != USE_ATTR)
            continue;
        struct attr *attr = &b->attrs.at[b->attrs.n++];
        attr->key = keep(b, b->draft->tags.at[i].key);
        attr->value.type = VALUE_STRING;
        attr->value.str = keep(b, b->draft->tags.at[i].value);
    }
    endpoint_put(b, &in->local, STR(ATTR_HOST_IP), STR(ATTR_HOST_PORT));
    if (in->remote.service.len)
        attr_put(b, STR(ATTR_PEER_SERVICE),
                 (struct value){ .type = VALUE_STRING, .str = keep(b, in->remote.service) });
    endpoint_put(b, &in->remote, STR(ATTR_PEER_IP), STR(ATTR_PEER_PORT));
    if (in->is_debug)
        attr_put_true(b, STR(ATTR_DEBUG));
    if (in->is_shared)
        attr_put_true(b, STR(ATTR_SHARED));
    if (b->given)
        attr_put_int(b, STR(ATTR_TAGS), b->given);
}

/* --- times --------------------------------------------- */

static void times_build(struct zipkin_builder *b, struct span *out)
{
    const struct zipkin_span *in = &b->draft->span;
    uint64_t duration_ns;

    if (__builtin_mul_overflow(in->timestamp_us, 1000u, &out->start_ns)) {
        out->start_ns = UINT64_MAX;
        attr_put_int(b, STR(ATTR_TIMESTAMP), (int64_t)in->timestamp_us);
    }
    if (!in->timestamp_us)
        attr_put_true(b, STR(ATTR_ABSENT_START));
    if (__builtin_mul_overflow(in->duration_us, 1000u, &duration_ns) ||
        __builtin_add_overflow(out->start_ns, duration_ns, &out->end_ns)) {
        out->end_ns = UINT64_MAX;
        attr_put_int(b, STR(ATTR_DURATION), (int64_t)in->duration_us);
    }
}

/* --- annotations --------------------------------------------- */

/* Whether an annotation is spelled as zipkin_event_text spells its parts. */
enum spelled { SPELLED_SO, SPELLED_OTHERWISE, SPELLED_UNKNOWN };

/* Numbers too are shortest as they are written. */
static enum spelled spelled_as(struct str value, const struct event_view *event, const struct zipkin_spelling *attrs)
{
    size_t len = event->name.len + attrs->len + strlen("||0");

    if (attrs->is_unknown)
        return SPELLED_UNKNOWN;
    if (event->dropped_attrs == 0 && attrs->len == strlen("{}"))
        return SPELLED_OTHERWISE; /* it would be the name alone */
    for (uint32_t dropped = event->dropped_attrs; dropped >= 10; dropped /= 10)
        len++;
    return value.len == len ? SPELLED_SO : SPELLED_OTHERWISE;
}

/* The three forms of zipkin_text.c; attributes go to b->parts. False: it is a plain text. */
static bool annotation_split(struct zipkin_builder *b, struct str value, struct event_view *event, enum spelled *spelled)
{
    struct zipkin_spelling attrs;
    struct str rest, count, wrapped = value;
    char first = value.len ? value.ptr[0] : 0, last = value.len ? value.ptr[value.len - 1] : 0;
    uint64_t dropped;
    size_t bar;

    buf_clear(&b->parts);
    if (last == '}' && first == '"') {
        buf_clear(&b->wrapped); /* the name may be a slice of it */
        buf_put_char(&b->wrapped, '{');
        buf_put_str(&b->wrapped, value);
        buf_put_char(&b->wrapped, '}');
        wrapped = buf_str(&b->wrapped);
    }
    *spelled = SPELLED_OTHERWISE;
    if (last == '}' && (first == '"' || first == '{'))
        return zipkin_named_attrs_read(b->json, wrapped, &event->name, &b->parts, 3);
    if (last < '0' || last > '9' || !str_split_at(value, '|', &event->name, &rest))
        return false;
    for (bar = rest.len; bar > 0 && rest.ptr[bar - 1] != '|'; bar--)
        ;
    if (bar == 0)
        return false;
    count = str_n(rest.ptr + bar, rest.len - bar);
    if (str_u64(count, &dropped) != MG_OK || dropped > UINT32_MAX)
        return false;
    event->dropped_attrs = (uint32_t)dropped;
    if (!zipkin_attrs_read(b->json, str_n(rest.ptr, bar - 1), &b->parts, 3, &attrs))
        return false;
    *spelled = spelled_as(value, event, &attrs);
    return true;
}

/* Whether the parts of the event are spelled as the annotation was. */
static bool event_says(struct zipkin_builder *b, const struct event_view *event, struct str value)
{
    buf_clear(&b->spelled);
    zipkin_event_text(&b->spelled, event);
    return str_eq(buf_str(&b->spelled), value);
}

static void event_put_text(struct buf *out, const char *key, struct str value)
{
    struct attr attr = { str_of(key), { .type = VALUE_STRING, .str = value } };

    otlp_put_attr(out, 3, &attr);
}

static void event_put(struct zipkin_builder *b, const struct zipkin_annotation *annotation)
{
    struct event_view event = { .name = STR("") };
    struct buf *out = &b->scratch;
    enum spelled spelled;
    uint64_t ns = 0;
    bool is_odd = annotation->timestamp_us < 0;

    if (!is_odd && __builtin_mul_overflow((uint64_t)annotation->timestamp_us, 1000u, &ns)) {
        ns = UINT64_MAX;
        is_odd = true;
    }
    if (!annotation_split(b, annotation->value, &event, &spelled)) {
        spelled = SPELLED_SO;
        event = (struct event_view){ .name = annotation->value };
        buf_clear(&b->parts);
    }
    event.message = buf_str(&b->parts);
    size_t mark = wire_open(out, 11);
    if (ns)
        wire_put_fixed64(out, 1, ns);
    if (event.name.len)
        wire_put_bytes(out, 2, event.name);
    buf_put_str(out, event.message);
    if (is_odd) {
        struct attr time = { STR(ATTR_TIMESTAMP),
                             { .type = VALUE_INT, .i = annotation->timestamp_us } };
        otlp_put_attr(out, 3, &time);
    }
    if (spelled == SPELLED_UNKNOWN)
        spelled = event_says(b, &event, annotation->value) ? SPELLED_SO : SPELLED_OTHERWISE;
    if (spelled == SPELLED_OTHERWISE)
        event_put_text(out, ATTR_ANNOTATION, annotation->value);
    if (event.dropped_attrs)
        wire_put_varint(out, 4, event.dropped_attrs);
    wire_close(out, mark);
}

static struct str events_build(struct zipkin_builder *b)
{
    if (b->draft->annotations.n == 0)
        return STR("");
    buf_clear(&b->scratch);
    for (size_t i = 0; i < b->draft->annotations.n; i++)
        event_put(b, &b->draft->annotations.at[i]);
    return arena_str(&b->kept, buf_str(&b->scratch));
}

/* --- links --------------------------------------------- */

static const struct zipkin_tag *tag_find(const struct zipkin_draft *draft, struct str key)
{
    size_t from = 0, to = draft->tags.n;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = str_cmp(draft->tags.at[middle].key, key);
        if (order == 0)
            return &draft->tags.at[middle];
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

static bool link_id_read(struct str *rest, uint8_t *out, size_t bytes)
{
    static const uint8_t zero[16];
    struct str id;

    return str_split_at(*rest, '|', &id, rest) && id.len == 2 * bytes &&
           hex_decode(id, out, bytes) && memcmp(out, zero, bytes) != 0;
}

/* trace id|span id|tracestate|JSON|dropped; attributes go to b->parts. */
static bool link_split(struct zipkin_builder *b, struct str value, struct link_view *link)
{
    struct zipkin_spelling unused;
    struct str rest = value;
    uint64_t dropped;
    size_t bar;

    *link = (struct link_view){ 0 };
    buf_clear(&b->parts);
    if (!link_id_read(&rest, link->trace_id, 16) || !link_id_read(&rest, link->span_id, 8) ||
        !str_split_at(rest, '|', &link->trace_state, &rest))
        return false;
    for (bar = rest.len; bar > 0 && rest.ptr[bar - 1] != '|'; bar--)
        ;
    if (bar == 0 || str_u64(str_n(rest.ptr + bar, rest.len - bar), &dropped) != MG_OK ||
        dropped > UINT32_MAX)
        return false;
    link->dropped_attrs = (uint32_t)dropped;
    if (!zipkin_attrs_read(b->json, str_n(rest.ptr, bar - 1), &b->parts, 4, &unused))
        return false;
    link->message = buf_str(&b->parts);
    return true;
}

static void link_put(struct buf *out, const struct link_view *link)
{
    size_t mark = wire_open(out, 13);

    wire_put_bytes(out, 1, str_n(link->trace_id, sizeof link->trace_id));
    wire_put_bytes(out, 2, str_n(link->span_id, sizeof link->span_id));
    if (link->trace_state.len)
        wire_put_bytes(out, 3, link->trace_state);
    buf_put_str(out, link->message);
    if (link->dropped_attrs)
        wire_put_varint(out, 5, link->dropped_attrs);
    wire_close(out, mark);
}

static struct str links_build(struct zipkin_builder *b)
{
    struct link_view link;

    buf_clear(&b->scratch);
    for (unsigned i = 0; b->has_links && i < LINKS_MAX; i++) {
        char key[sizeof TAG_LINK + 12];
        int len = snprintf(key, sizeof key, TAG_LINK "%u", i);
        const struct zipkin_tag *tag = tag_find(b->draft, str_n(key, (size_t)len));
        if (!tag || !link_split(b, tag->value, &link))
            break;
        link_put(&b->scratch, &link);
        buf_clear(&b->spelled);
        zipkin_link_text(&b->spelled, &link);
        if (str_eq(buf_str(&b->spelled), tag->value))
            take(b, tag, 0);
    }
    return b->scratch.len ? arena_str(&b->kept, buf_str(&b->scratch)) : STR("");
}

void zipkin_build_span(struct zipkin_builder *b, struct span *out)
{
    const struct zipkin_span *in = &b->draft->span;

    out->name = keep(b, in->name);
    out->kind = b->kind;
    out->status_code = b->status;
    out->status_message = keep(b, b->status_message);
    out->trace_state = keep(b, b->trace_state);
    memcpy(out->trace_id, in->trace_id, sizeof out->trace_id);
    memcpy(out->span_id, in->id, sizeof out->span_id);
    memcpy(out->parent_id, in->parent_id, sizeof out->parent_id);
    out->events = events_build(b);
    out->links = links_build(b); /* before the attributes: it takes tags */
    attrs_build(b);
    times_build(b, out);
    out->attrs = b->attrs.at;
    out->n_attrs = (uint32_t)b->attrs.n;
}
