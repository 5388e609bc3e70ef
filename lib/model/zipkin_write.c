/* zipkin_write.c - OTLP's span as Zipkin's, and Zipkin's own ones back.
 *
 * There is one way for both. Tags are collected from the outside in, resource, scope, span, and of
 * those with one key the last counts. The differences are two: a span from Zipkin says itself which
 * tags were taken from it (zipkin_private.h), and nothing is guessed for it: no service, no peer. */
#include "model/zipkin_write.h"

#include <stdio.h>
#include <stdlib.h>
#include "codec/utf8.h"
#include "model/zipkin_private.h"

#define NO_SERVICE "OTLPResourceNoServiceName"

enum peer_part { PEER_IP, PEER_NAME, PEER_PORT, PEER_PARTS };

struct viewer {
    const struct span *span;
    struct arena *arena;
    struct zipkin_span *out;
    struct buf text;        /* values on their way to text */
    size_t tags_room;
    uint64_t given;         /* enum zipkin_given; what is still to be made for foreign spans too */
    bool is_zipkin;
    struct str service_key; /* of the resource attribute that is the local service; empty: none */
    struct { unsigned rank; struct str text; int64_t port; } peer[PEER_PARTS]; /* best so far */
};

/* --- texts and tags --------------------------------------------- */

static struct str clean(struct viewer *v, struct str s)
{
    if (utf8_valid(s.ptr, s.len))
        return s;
    buf_clear(&v->text);
    utf8_sanitize(&v->text, s);
    return arena_str(v->arena, buf_str(&v->text));
}

static struct str text_of(struct viewer *v, const struct value *value)
{
    if (value->type == VALUE_STRING)
        return clean(v, value->str);
    buf_clear(&v->text);
    value_text(&v->text, value);
    return arena_str(v->arena, buf_str(&v->text));
}

static void tag_put(struct viewer *v, struct str key, struct str value)
{
    struct zipkin_span *out = v->out;

    if (out->n_tags == v->tags_room) {
        size_t room = MG_MAX(v->tags_room * 2, (size_t)16);
        struct zipkin_tag *tags = arena_alloc(v->arena, room * sizeof *tags);
        if (out->n_tags)
            memcpy(tags, out->tags, out->n_tags * sizeof *tags);
        out->tags = tags;
        v->tags_room = room;
    }
    out->tags[out->n_tags++] = (struct zipkin_tag){ clean(v, key), value };
}

static void count_put(struct viewer *v, struct str key, uint32_t count)
{
    if (count)
        tag_put(v, key, arena_printf(v->arena, "%u", count));
}

static void given_put(struct viewer *v, enum zipkin_given given, struct str key, struct str value)
{
    if (v->given & given)
        tag_put(v, key, clean(v, value));
}

/* --- resource and scope --------------------------------------------- */

/* The last string attribute of the resource with that key; false: none, or an empty one. */
static bool resource_text(const struct resource_view *resource, struct str key, struct str *out)
{
    struct attr attr;

    *out = STR("");
    for (uint32_t i = 0; i < resource->n; i++) {
        const uint8_t *at = wire_begin(resource->attributes_owner[i]);
        const uint8_t *end = wire_end(resource->attributes_owner[i]);
        while (attr_next(&at, end, 1, &attr) == 1)
            if (attr.value.type == VALUE_STRING && str_eq(attr.key, key))
                *out = attr.value.str;
    }
    return out->len > 0;
}

static void local_service(struct viewer *v, const struct resource_view *resource)
{
    static const struct str keys[] = { STR_INIT("service.name"), STR_INIT("faas.name"),
                                       STR_INIT("k8s.deployment.name"),
                                       STR_INIT("process.executable.name") };
    struct str service = STR("");
    size_t i, n = v->is_zipkin ? 1 : MG_COUNT(keys);

    for (i = 0; i < n && !resource_text(resource, keys[i], &service); i++)
        ;
    v->service_key = i < n ? keys[i] : STR("");
    if (i == n && !v->is_zipkin)
        service = STR(NO_SERVICE);
    given_put(v, GIVEN_SERVICE, STR("service.name"), service);
    if (i > 0 && i < n)
        tag_put(v, STR("otlp.service.name.source"), keys[i]);
    if (!(v->given & GIVEN_NO_LOCAL_SERVICE))
        v->out->local.service = zipkin_lower(v->arena, clean(v, service));
}

static void attrs_put(struct viewer *v, struct str message, uint32_t number, struct str except)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct attr attr;

    while (attr_next(&at, end, number, &attr) == 1)
        if (!except.len || !str_eq(attr.key, except))
            tag_put(v, attr.key, text_of(v, &attr.value));
}

static void scope_put(struct viewer *v, const struct scope_view *scope)
{
    given_put(v, GIVEN_LIBRARY_NAME, STR("otel.library.name"), scope->name);
    given_put(v, GIVEN_LIBRARY_VERSION, STR("otel.library.version"), scope->version);
    given_put(v, GIVEN_SCOPE_NAME, STR("otel.scope.name"), scope->name);
    given_put(v, GIVEN_SCOPE_VERSION, STR("otel.scope.version"), scope->version);
    attrs_put(v, scope->message, 3, STR(""));
}

/* --- attributes --------------------------------------------- */

/* What the scanner has left behind, and is no tag. */
static bool marker_take(struct viewer *v, const struct attr *attr)
{
    const struct value *value = &attr->value;
    struct zipkin_span *out = v->out;

    if (value->type == VALUE_BOOL && value->b) {
        bool is_shared = str_eq(attr->key, STR(ATTR_SHARED));
        bool is_debug = str_eq(attr->key, STR(ATTR_DEBUG));
        bool is_absent = str_eq(attr->key, STR(ATTR_ABSENT_START));
        out->is_shared |= is_shared;
        out->is_debug |= is_debug;
        if (is_absent)
            out->timestamp_us = 0;
        return is_shared || is_debug || is_absent;
    }
    if (value->type == VALUE_INT && value->i > 0) {
        if (str_eq(attr->key, STR(ATTR_TAGS)))
            return true;
        if (str_eq(attr->key, STR(ATTR_TIMESTAMP)))
            out->timestamp_us = (uint64_t)value->i;
        else if (str_eq(attr->key, STR(ATTR_DURATION)))
            out->duration_us = (uint64_t)value->i;
        else
            return false;
        return true;
    }
    return false;
}

static bool port_take(const struct attr *attr, struct zipkin_endpoint *endpoint)
{
    if (attr->value.type != VALUE_INT || attr->value.i < 1 || attr->value.i > UINT16_MAX)
        return false;
    endpoint->port = (uint16_t)attr->value.i;
    return true;
}

/* A tag of the same name comes before what is the endpoint's. */
static bool is_tag_first(struct viewer *v, enum zipkin_given given)
{
    bool is_tag = v->given & given;

    v->given &= ~(uint64_t)given;
    return is_tag;
}

static bool endpoint_take(struct viewer *v, const struct attr *attr)
{
    struct zipkin_span *out = v->out;
    bool is_text = attr->value.type == VALUE_STRING;

    if (!str_starts(attr->key, STR("net.")) && !str_starts(attr->key, STR("peer.")))
        return false;
    if (str_eq(attr->key, STR(ATTR_HOST_PORT)))
        return port_take(attr, &out->local);
    if (str_eq(attr->key, STR(ATTR_PEER_PORT)))
        return port_take(attr, &out->remote);
    if (is_text && str_eq(attr->key, STR(ATTR_HOST_IP)))
        return !is_tag_first(v, GIVEN_HOST_IP) &&
               zipkin_endpoint_parse(&out->local, attr->value.str);
    if (is_text && str_eq(attr->key, STR(ATTR_PEER_IP)))
        return !is_tag_first(v, GIVEN_PEER_IP) &&
               zipkin_endpoint_parse(&out->remote, attr->value.str);
    if (is_text && str_eq(attr->key, STR(ATTR_PEER_SERVICE))) {
        if (is_tag_first(v, GIVEN_PEER_SERVICE) || !attr->value.str.len)
            return false;
        out->remote.service = zipkin_lower(v->arena, clean(v, attr->value.str));
        return true;
    }
    return false;
}

/* What else OpenTelemetry calls the peer by, best first; such an attribute stays a tag. server.* of
 * a server is itself, so some count for callers only. */
static void peer_look(struct viewer *v, const struct attr *attr)
{
    static const struct { struct str key; enum peer_part part; bool is_of_callers; } rows[] = {
        { STR_INIT("network.peer.address"), PEER_IP, false },
        { STR_INIT("net.sock.peer.addr"), PEER_IP, false },
        { STR_INIT("server.socket.address"), PEER_IP, true },
        { STR_INIT("service.peer.name"), PEER_NAME, false },
        { STR_INIT("server.address"), PEER_NAME, true },
        { STR_INIT("net.peer.name"), PEER_NAME, true },
        { STR_INIT("server.socket.domain"), PEER_NAME, true },
        { STR_INIT("net.sock.peer.name"), PEER_NAME, true },
        { STR_INIT("peer.hostname"), PEER_NAME, true },
        { STR_INIT("peer.address"), PEER_NAME, true },
        { STR_INIT("db.name"), PEER_NAME, true },
        { STR_INIT("network.peer.port"), PEER_PORT, false },
        { STR_INIT("net.sock.peer.port"), PEER_PORT, false },
        { STR_INIT("server.socket.port"), PEER_PORT, true },
        { STR_INIT("server.port"), PEER_PORT, true },
    };
    bool is_caller = v->span->kind == SPAN_CLIENT || v->span->kind == SPAN_PRODUCER;
    struct zipkin_endpoint probe = { .service = STR("") };

    for (unsigned i = 0; i < MG_COUNT(rows); i++) {
        if (!str_eq(attr->key, rows[i].key) || (rows[i].is_of_callers && !is_caller))
            continue;
        bool is_port = rows[i].part == PEER_PORT;
        if (is_port ? !port_take(attr, &probe)
                    : attr->value.type != VALUE_STRING || !attr->value.str.len)
            return;
        /* Where a name is expected, an address may stand. */
        bool is_ip = !is_port && zipkin_endpoint_parse(&probe, attr->value.str);
        enum peer_part part = is_ip ? PEER_IP : rows[i].part;
        if ((part == PEER_IP && !is_ip) || i >= v->peer[part].rank)
            return;
        v->peer[part].rank = i;
        v->peer[part].text = attr->value.str;
        v->peer[part].port = probe.port;
        return;
    }
}

static void peer_use(struct viewer *v)
{
    struct zipkin_endpoint *remote = &v->out->remote;

    if (!remote->service.len && v->peer[PEER_NAME].text.len)
        remote->service = zipkin_lower(v->arena, clean(v, v->peer[PEER_NAME].text));
    if (!remote->ip_bytes && v->peer[PEER_IP].text.len)
        (void)zipkin_endpoint_parse(remote, v->peer[PEER_IP].text); /* it was one before */
    if (!remote->port)
        remote->port = (uint16_t)v->peer[PEER_PORT].port;
}

static void span_attrs_put(struct viewer *v)
{
    bool may_have_error = v->is_zipkin || v->span->status_code == STATUS_ERROR;

    for (uint32_t i = 0; i < v->span->n_attrs; i++) {
        const struct attr *attr = &v->span->attrs[i];
        if (marker_take(v, attr) || endpoint_take(v, attr))
            continue;
        if (!v->is_zipkin)
            peer_look(v, attr);
        if (may_have_error || !str_eq(attr->key, STR("error")))
            tag_put(v, attr->key, text_of(v, &attr->value));
    }
}

/* --- the rest of the span --------------------------------------------- */

static void status_put(struct viewer *v)
{
    const struct span *span = v->span;
    bool is_error = span->status_code == STATUS_ERROR;

    given_put(v, GIVEN_STATUS, STR("otel.status_code"), is_error ? STR("ERROR") : STR("OK"));
    given_put(v, GIVEN_STATUS_TITLE, STR("otel.status_code"), is_error ? STR("Error") : STR("Ok"));
    given_put(v, GIVEN_STATUS_LONG, STR("otel.status_code"),
              is_error ? STR("STATUS_CODE_ERROR") : STR("STATUS_CODE_OK"));
    given_put(v, GIVEN_DESCRIPTION, STR("otel.status_description"), span->status_message);
}

/* The tag error of a foreign span: the description, else what it says itself, else that it is. */
static void error_put(struct viewer *v)
{
    struct str text = v->span->status_message;

    if (v->is_zipkin || v->span->status_code != STATUS_ERROR)
        return;
    for (uint32_t i = 0; !text.len && i < v->span->n_attrs; i++)
        if (str_eq(v->span->attrs[i].key, STR("error")))
            text = text_of(v, &v->span->attrs[i].value);
    tag_put(v, STR("error"), text.len ? clean(v, text) : STR("true"));
}

static void links_put(struct viewer *v)
{
    const uint8_t *at = wire_begin(v->span->links), *end = wire_end(v->span->links);
    struct link_view link;

    for (unsigned i = 0; link_next(&at, end, &link) == 1; i++) {
        buf_clear(&v->text);
        zipkin_link_text(&v->text, &link);
        struct str text = arena_str(v->arena, buf_str(&v->text));
        tag_put(v, arena_printf(v->arena, TAG_LINK "%u", i), clean(v, text));
    }
}

static uint64_t micros_of(uint64_t ns)
{
    return ns / 1000 + (ns % 1000 >= 500);
}

static int annotation_order(const void *a, const void *b)
{
    const struct zipkin_annotation *left = a, *right = b;

    if (left->timestamp_us != right->timestamp_us)
        return left->timestamp_us < right->timestamp_us ? -1 : 1;
    return str_cmp(left->value, right->value);
}

static struct zipkin_annotation annotation_of(struct viewer *v, const struct event_view *event)
{
    const uint8_t *at = wire_begin(event->message), *end = wire_end(event->message);
    struct zipkin_annotation out = { .timestamp_us = (int64_t)micros_of(event->time_ns) };
    struct attr attr;

    while (attr_next(&at, end, 3, &attr) == 1)
        if (attr.value.type == VALUE_INT && str_eq(attr.key, STR(ATTR_TIMESTAMP)))
            out.timestamp_us = attr.value.i;
    buf_clear(&v->text);
    zipkin_event_text(&v->text, event);
    struct str text = arena_str(v->arena, buf_str(&v->text));
    out.value = clean(v, text);
    return out;
}

static void annotations_put(struct viewer *v)
{
    const uint8_t *begin = wire_begin(v->span->events), *end = wire_end(v->span->events);
    struct zipkin_span *out = v->out;
    struct event_view event;
    size_t n = 0, kept = 0;

    for (const uint8_t *at = begin; event_next(&at, end, &event) == 1;)
        n++;
    if (n == 0)
        return;
    out->annotations = arena_alloc(v->arena, n * sizeof *out->annotations);
    for (const uint8_t *at = begin; out->n_annotations < n && event_next(&at, end, &event) == 1;)
        out->annotations[out->n_annotations++] = annotation_of(v, &event);
    qsort(out->annotations, n, sizeof *out->annotations, annotation_order);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || annotation_order(&out->annotations[i - 1], &out->annotations[i]) != 0)
            out->annotations[kept++] = out->annotations[i];
    out->n_annotations = kept;
}

static void scalars_put(struct viewer *v)
{
    const struct span *span = v->span;
    struct zipkin_span *out = v->out;
    uint64_t duration_ns = span_duration_ns(span);

    memcpy(out->trace_id, span->trace_id, sizeof out->trace_id);
    memcpy(out->id, span->span_id, sizeof out->id);
    if (memcmp(span->parent_id, span->span_id, sizeof out->id) != 0)
        memcpy(out->parent_id, span->parent_id, sizeof out->parent_id);
    out->trace_id_is_short = get_le64(span->trace_id) == 0;
    if (span->kind >= 0 && (size_t)span->kind < MG_COUNT(zipkin_kinds))
        out->kind = zipkin_kinds[span->kind];
    out->name = zipkin_lower(v->arena, clean(v, span->name));
    out->timestamp_us = micros_of(span->start_ns);
    out->duration_us = duration_ns && duration_ns < 1000 ? 1 : micros_of(duration_ns);
}

/* --- the view --------------------------------------------- */

/* What is made of a foreign span's fields: the tags of those that are set. */
static uint64_t given_of(const struct span *span, const struct scope_view *scope)
{
    uint64_t given = 0;

    if (scope->name.len)
        given |= GIVEN_LIBRARY_NAME | GIVEN_SCOPE_NAME;
    if (scope->version.len)
        given |= GIVEN_LIBRARY_VERSION | GIVEN_SCOPE_VERSION;
    if (span->status_code == STATUS_OK || span->status_code == STATUS_ERROR)
        given |= GIVEN_STATUS;
    if (span->status_message.len)
        given |= GIVEN_DESCRIPTION;
    return given;
}

static uint64_t given_read(const struct span *span)
{
    uint64_t given = 0;

    for (uint32_t i = 0; i < span->n_attrs; i++)
        if (span->attrs[i].value.type == VALUE_INT && str_eq(span->attrs[i].key, STR(ATTR_TAGS)))
            given = (uint64_t)span->attrs[i].value.i;
    return given;
}

static void tags_settle(struct viewer *v)
{
    struct zipkin_span *out = v->out;

    if (out->n_tags < 2)
        return;
    struct zipkin_tag *spare = arena_alloc(v->arena, out->n_tags * sizeof *spare);
    out->n_tags = zipkin_tags_settle(out->tags, out->n_tags, spare);
}

void zipkin_view(const struct span *span, struct arena *arena, struct zipkin_span *out)
{
    struct viewer v = { .span = span, .arena = arena, .out = out };
    struct resource_view resource;
    struct scope_view scope;

    *out = (struct zipkin_span){ .local.service = STR(""), .remote.service = STR("") };
    buf_init(&v.text, SIZE_MAX); /* texts are a few times the span at most */
    for (unsigned i = 0; i < PEER_PARTS; i++)
        v.peer[i].rank = UINT32_MAX;
    resource_view(span->resource, &resource);
    scope_view(span->scope, &scope);
    v.is_zipkin = str_eq(resource.schema_url, STR(ZIPKIN_SCHEMA));
    v.given = v.is_zipkin ? given_read(span) : given_of(span, &scope);

    scalars_put(&v);
    local_service(&v, &resource);
    for (uint32_t i = 0; i < resource.n; i++)
        attrs_put(&v, resource.attributes_owner[i], 1, v.service_key);
    scope_put(&v, &scope);
    links_put(&v);
    if (span->trace_state.len)
        tag_put(&v, STR("w3c.tracestate"), clean(&v, span->trace_state));
    if (span->kind == SPAN_INTERNAL)
        tag_put(&v, STR("span.kind"), STR("internal"));
    span_attrs_put(&v);
    if (!v.is_zipkin)
        peer_use(&v);
    status_put(&v);
    error_put(&v);
    count_put(&v, STR("otel.dropped_attributes_count"), span->dropped_attrs);
    count_put(&v, STR("otel.dropped_events_count"), span->dropped_events);
    count_put(&v, STR("otel.dropped_links_count"), span->dropped_links);
    annotations_put(&v);
    tags_settle(&v);
    if (out->kind == zipkin_kinds[SPAN_CLIENT])
        out->is_shared = false; /* as Zipkin has it */
    buf_fini(&v.text);
}

/* --- JSON --------------------------------------------- */

static void put_ip(struct json_writer *w, const uint8_t *ip, unsigned bytes)
{
    char text[ZIPKIN_IP_TEXT];
    size_t len = zipkin_ip_text(ip, bytes, text);

    json_key(w, bytes == 4 ? STR("ipv4") : STR("ipv6"));
    json_put_str(w, str_n(text, len));
}

static void put_endpoint(struct json_writer *w, struct str key,
                         const struct zipkin_endpoint *endpoint)
{
    if (!endpoint->service.len && !endpoint->ip_bytes && !endpoint->port)
        return;
    json_key(w, key);
    json_object(w);
    if (endpoint->service.len) {
        json_key_text(w, "serviceName");
        json_put_str(w, endpoint->service);
    }
    if (endpoint->ip_bytes)
        put_ip(w, endpoint->ip, endpoint->ip_bytes);
    if (endpoint->has_ipv6)
        put_ip(w, endpoint->ipv6, 16);
    if (endpoint->port) {
        json_key_text(w, "port");
        json_put_u64(w, endpoint->port);
    }
    json_object_end(w);
}

static void put_annotations(struct json_writer *w, const struct zipkin_span *span)
{
    if (!span->n_annotations)
        return;
    json_key_text(w, "annotations");
    json_array(w);
    for (size_t i = 0; i < span->n_annotations; i++) {
        json_object(w);
        json_key_text(w, "timestamp");
        json_put_i64(w, span->annotations[i].timestamp_us);
        json_key_text(w, "value");
        json_put_str(w, span->annotations[i].value);
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_tags(struct json_writer *w, const struct zipkin_span *span)
{
    if (!span->n_tags)
        return;
    json_key_text(w, "tags");
    json_object(w);
    for (size_t i = 0; i < span->n_tags; i++) {
        json_key(w, span->tags[i].key);
        json_put_str(w, span->tags[i].value);
    }
    json_object_end(w);
}

static void put_id(struct json_writer *w, struct str key, const uint8_t *id, size_t bytes)
{
    json_key(w, key);
    json_put_hex(w, id, bytes);
}

static void put_micros(struct json_writer *w, struct str key, uint64_t us)
{
    if (!us)
        return;
    json_key(w, key);
    json_put_u64(w, us);
}

static void put_true(struct json_writer *w, struct str key, bool is_true)
{
    if (!is_true)
        return;
    json_key(w, key);
    json_put_bool(w, true);
}

/* In the order of Zipkin's own writer. */
void zipkin_write_span(struct json_writer *w, const struct zipkin_span *span)
{
    size_t skipped = span->trace_id_is_short ? 8 : 0;

    json_object(w);
    put_id(w, STR("traceId"), span->trace_id + skipped, sizeof span->trace_id - skipped);
    if (get_le64(span->parent_id))
        put_id(w, STR("parentId"), span->parent_id, sizeof span->parent_id);
    put_id(w, STR("id"), span->id, sizeof span->id);
    if (span->kind) {
        json_key_text(w, "kind");
        json_put_str(w, str_of(span->kind));
    }
    if (span->name.len) {
        json_key_text(w, "name");
        json_put_str(w, span->name);
    }
    put_micros(w, STR("timestamp"), span->timestamp_us);
    put_micros(w, STR("duration"), span->duration_us);
    put_endpoint(w, STR("localEndpoint"), &span->local);
    put_endpoint(w, STR("remoteEndpoint"), &span->remote);
    put_annotations(w, span);
    put_tags(w, span);
    put_true(w, STR("debug"), span->is_debug);
    put_true(w, STR("shared"), span->is_shared);
    json_object_end(w);
}
