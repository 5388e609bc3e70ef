/* jaeger_otlp.c - a raw Jaeger span becomes OTLP's, as the OpenTelemetry Collector's translator/jaeger does it.
 *
 * Tags that mean something are found first, the last of each name; then every part decides, and
 * says which of them it took. What remains is the attributes. A tag is removed when it is the same,
 * value included, as one that was taken: a second `span.kind` that says something else stays,
 * because dropping it would lose what the sender said. */
#include "model/jaeger_read.h"

#include "model/otlp_write.h"

/* The serviceName of a process that has none, as Jaeger's own converter writes it (5.1). */
#define NO_SERVICE STR("OTLPResourceNoServiceName")

enum { FIELD_EVENT = 11, FIELD_LINK = 13 };

enum meaning {
    MEANS_ERROR,
    MEANS_KIND,
    MEANS_STATUS,
    MEANS_STATUS_TEXT,
    MEANS_HTTP_STATUS,
    MEANS_HTTP_TEXT,
    MEANS_TRACE_STATE,
    MEANS_SCOPE,
    MEANS_SCOPE_VERSION,
    MEANS_LIBRARY,
    MEANS_LIBRARY_VERSION,
    MEANS_SERVICE,
    MEANINGS
};
static const struct str names[MEANINGS] = {
    [MEANS_ERROR] = STR_INIT("error"),
    [MEANS_KIND] = STR_INIT("span.kind"),
    [MEANS_STATUS] = STR_INIT("otel.status_code"),
    [MEANS_STATUS_TEXT] = STR_INIT("otel.status_description"),
    [MEANS_HTTP_STATUS] = STR_INIT("http.status_code"),
    [MEANS_HTTP_TEXT] = STR_INIT("http.status_message"),
    [MEANS_TRACE_STATE] = STR_INIT("w3c.tracestate"),
    [MEANS_SCOPE] = STR_INIT("otel.scope.name"),
    [MEANS_SCOPE_VERSION] = STR_INIT("otel.scope.version"),
    [MEANS_LIBRARY] = STR_INIT("otel.library.name"),
    [MEANS_LIBRARY_VERSION] = STR_INIT("otel.library.version"),
    [MEANS_SERVICE] = STR_INIT("service.name"),
};

/* Which tags mean something, and which of them were taken. */
struct found {
    struct value last[MEANINGS]; /* VALUE_EMPTY: there is none */
    bool is_taken[MEANINGS];
};

/* Names of the same length: two at most. Every tag of every span is looked up here. */
#define LENGTHS 24
static const uint8_t by_length[LENGTHS][2] = { /* meaning + 1; 0: none */
    [5] = { MEANS_ERROR + 1 },
    [9] = { MEANS_KIND + 1 },
    [12] = { MEANS_SERVICE + 1 },
    [14] = { MEANS_TRACE_STATE + 1 },
    [15] = { MEANS_SCOPE + 1 },
    [16] = { MEANS_STATUS + 1, MEANS_HTTP_STATUS + 1 },
    [17] = { MEANS_LIBRARY + 1 },
    [18] = { MEANS_SCOPE_VERSION + 1 },
    [19] = { MEANS_HTTP_TEXT + 1 },
    [20] = { MEANS_LIBRARY_VERSION + 1 },
    [23] = { MEANS_STATUS_TEXT + 1 },
};

static inline enum meaning meaning_of(struct str key)
{
    if (key.len >= LENGTHS)
        return MEANINGS;
    for (unsigned i = 0; i < MG_COUNT(by_length[0]) && by_length[key.len][i]; i++) {
        const char *name = names[by_length[key.len][i] - 1].ptr;
        if (name[0] == key.ptr[0] && name[key.len - 1] == key.ptr[key.len - 1] && bytes_same(key.ptr, name, key.len))
            return (enum meaning)(by_length[key.len][i] - 1);
    }
    return MEANINGS;
}

static void find(struct found *found, struct jaeger_raw *raw)
{
    *found = (struct found){ .is_taken = { false } };
    VEC_CLEAR(&raw->meant);
    for (size_t i = 0; i < raw->tags.n; i++) {
        enum meaning meaning = meaning_of(raw->tags.at[i].key);
        if (meaning == MEANINGS)
            continue;
        found->last[meaning] = raw->tags.at[i].value;
        VEC_PUSH(&raw->meant, ((struct jaeger_meant){ (uint16_t)i, (uint8_t)meaning }));
    }
}

static bool is_text(const struct found *found, enum meaning meaning)
{
    return found->last[meaning].type == VALUE_STRING;
}

/* The text of a tag, which is taken; empty when there is none. */
static struct str take_text(struct found *found, enum meaning meaning)
{
    if (!is_text(found, meaning))
        return STR("");
    found->is_taken[meaning] = true;
    return found->last[meaning].str;
}

/* Is this one of those that were found, and taken? Only texts and `error` ever are. */
static bool is_taken(const struct found *found, enum meaning meaning, const struct attr *tag)
{
    if (!found->is_taken[meaning] || tag->value.type != found->last[meaning].type)
        return false;
    return tag->value.type == VALUE_STRING ? str_eq(tag->value.str, found->last[meaning].str)
                                           : tag->value.b == found->last[meaning].b;
}

/* Moves the tags [from, end) to where they stay. */
static void keep(struct jaeger_tags *tags, size_t *kept, size_t from, size_t end)
{
    if (*kept != from)
        memmove(&tags->at[*kept], &tags->at[from], (end - from) * sizeof tags->at[0]);
    *kept += end - from;
}

static void remove_taken(struct jaeger_raw *raw, const struct found *found)
{
    struct jaeger_tags *tags = &raw->tags;
    size_t kept = 0, from = 0;

    for (size_t i = 0; i < raw->meant.n; i++) {
        size_t tag = raw->meant.at[i].tag;
        if (!is_taken(found, raw->meant.at[i].meaning, &tags->at[tag]))
            continue;
        keep(tags, &kept, from, tag);
        from = tag + 1;
    }
    keep(tags, &kept, from, tags->n);
    tags->n = kept;
}

/* --- scope and resource --------------------------------------------- */

/* The newer name counts; the older is taken too when it says the same. */
static struct str take_either(struct found *found, enum meaning newer, enum meaning older)
{
    if (!is_text(found, newer))
        return take_text(found, older);
    if (is_text(found, older) && str_eq(found->last[older].str, found->last[newer].str))
        found->is_taken[older] = true;
    return take_text(found, newer);
}

static struct jaeger_scope take_scope(struct found *found)
{
    return (struct jaeger_scope){
        .name = take_either(found, MEANS_SCOPE, MEANS_LIBRARY),
        .version = take_either(found, MEANS_SCOPE_VERSION, MEANS_LIBRARY_VERSION),
    };
}

static struct str to_arena(struct buf *out, struct arena *arena)
{
    struct str copy = out->len ? arena_str(arena, buf_str(out)) : STR("");

    buf_fini(out);
    return copy;
}

struct str jaeger_scope_bytes(const struct jaeger_scope *scope, struct arena *arena)
{
    struct buf out;

    if (!scope->name.len && !scope->version.len)
        return STR("");
    buf_init(&out, SIZE_MAX);
    size_t mark = wire_open(&out, 1);
    if (scope->name.len)
        wire_put_bytes(&out, 1, scope->name);
    if (scope->version.len)
        wire_put_bytes(&out, 2, scope->version);
    wire_close(&out, mark);
    return to_arena(&out, arena);
}

static bool has_tag(const struct jaeger_tags *tags, struct str key)
{
    for (size_t i = 0; i < tags->n; i++)
        if (str_eq(tags->at[i].key, key))
            return true;
    return false;
}

static struct attr text_attr(struct str key, struct str text)
{
    return (struct attr){ key, { VALUE_STRING, .str = text } };
}

static struct attr process_attr(const struct attr *tag, bool has_host, bool has_exporter,
                                struct arena *arena)
{
    if (!has_host && str_eq(tag->key, STR("hostname")))
        return (struct attr){ STR("host.name"), tag->value };
    if (!has_exporter && tag->value.type == VALUE_STRING && str_eq(tag->key, STR("jaeger.version")))
        return text_attr(STR("opencensus.exporterversion"),
                         arena_printf(arena, "Jaeger-%.*s", STR_ARG(tag->value.str)));
    return *tag;
}

struct str jaeger_resource_bytes(struct str service, const struct jaeger_tags *tags,
                                 struct arena *arena)
{
    bool has_host = has_tag(tags, STR("host.name"));
    bool has_exporter = has_tag(tags, STR("opencensus.exporterversion"));
    bool is_named = service.len && !str_eq(service, NO_SERVICE);
    struct buf out;

    if (!is_named && !tags->n)
        return STR("");
    buf_init(&out, SIZE_MAX);
    size_t mark = wire_open(&out, 1);
    if (is_named) {
        struct attr name = text_attr(names[MEANS_SERVICE], service);
        otlp_put_attr(&out, 1, &name);
    }
    for (size_t i = 0; i < tags->n; i++) {
        if (is_named &&
            str_eq(tags->at[i].key, names[MEANS_SERVICE])) /* the process's own name counts */
            continue;
        struct attr attr = process_attr(&tags->at[i], has_host, has_exporter, arena);
        otlp_put_attr(&out, 1, &attr);
    }
    wire_close(&out, mark);
    return to_arena(&out, arena);
}

/* --- kind and status --------------------------------------------- */

static int32_t kind_of(struct str name)
{
    for (int32_t kind = SPAN_INTERNAL; name.len && kind <= SPAN_CONSUMER; kind++)
        if (name.ptr[0] == span_kind_name(kind)[0] && str_eq(name, str_of(span_kind_name(kind))))
            return kind;
    return SPAN_UNSPECIFIED;
}

/* -1: no status. */
static int32_t status_named(struct str name)
{
    static const char *const codes[] = {
        [STATUS_UNSET] = "UNSET", [STATUS_OK] = "OK", [STATUS_ERROR] = "ERROR"
    };

    for (unsigned i = 0; i < MG_COUNT(codes); i++)
        if (str_eq_nocase(name, str_of(codes[i])))
            return (int32_t)i;
    return -1;
}

static int32_t status_of_http(const struct value *value, int32_t kind)
{
    int64_t code = 0;

    if (value->type == VALUE_INT)
        code = value->i;
    else if (value->type != VALUE_STRING || str_i64(value->str, &code) != MG_OK)
        return STATUS_UNSET;
    bool is_error =
        (code >= 500 && code < 600) || (code >= 400 && code < 500 && kind != SPAN_SERVER);
    return is_error ? STATUS_ERROR : STATUS_UNSET;
}

static void take_status(struct found *found, struct span *out)
{
    const struct value *error = &found->last[MEANS_ERROR];
    int32_t told = is_text(found, MEANS_STATUS) ? status_named(found->last[MEANS_STATUS].str) : -1;

    found->is_taken[MEANS_STATUS] = told >= 0;
    if (error->type == VALUE_BOOL && error->b) {
        found->is_taken[MEANS_ERROR] = true;
        out->status_code = STATUS_ERROR;
    } else {
        out->status_code =
            told >= 0 ? told : status_of_http(&found->last[MEANS_HTTP_STATUS], out->kind);
    }
    if (out->status_code != STATUS_ERROR)
        return;
    if (is_text(found, MEANS_STATUS_TEXT))
        out->status_message = take_text(found, MEANS_STATUS_TEXT);
    else if (is_text(found, MEANS_HTTP_TEXT)) /* it stays an attribute as well */
        out->status_message = found->last[MEANS_HTTP_TEXT].str;
}

/* --- references --------------------------------------------- */

static bool is_same_trace(const struct jaeger_raw *raw, const struct jaeger_ref *ref)
{
    return memcmp(ref->trace_id, raw->trace_id, sizeof ref->trace_id) == 0;
}

static bool find_parent(const struct jaeger_raw *raw, bool child_of, uint8_t out[8])
{
    for (size_t i = 0; i < raw->refs.n; i++) {
        const struct jaeger_ref *ref = &raw->refs.at[i];
        if (ref->is_child_of == child_of && is_same_trace(raw, ref)) {
            memcpy(out, ref->span_id, 8);
            return true;
        }
    }
    return false;
}

static void parent_of(const struct jaeger_raw *raw, uint8_t out[8])
{
    memcpy(out, raw->parent_id, 8);
    if (get_le64(out) == 0 && !find_parent(raw, true, out))
        (void)find_parent(raw, false, out); /* none: a root */
}

static void put_link(struct buf *out, const struct jaeger_ref *ref)
{
    struct attr type = text_attr(STR("opentracing.ref_type"),
                                 ref->is_child_of ? STR("child_of") : STR("follows_from"));
    size_t mark = wire_open(out, FIELD_LINK);

    wire_put_bytes(out, 1, str_n(ref->trace_id, sizeof ref->trace_id));
    wire_put_bytes(out, 2, str_n(ref->span_id, sizeof ref->span_id));
    otlp_put_attr(out, 4, &type);
    wire_close(out, mark);
}

/* A parent that the span follows from stays a link too: only there can its type be seen. */
static struct str links_of(struct jaeger_raw *raw, const uint8_t parent_id[8])
{
    buf_clear(&raw->scratch);
    for (size_t i = 0; i < raw->refs.n; i++) {
        const struct jaeger_ref *ref = &raw->refs.at[i];
        bool is_parent = is_same_trace(raw, ref) && memcmp(ref->span_id, parent_id, 8) == 0;
        if (!ref->is_child_of || !is_parent)
            put_link(&raw->scratch, ref);
    }
    return raw->scratch.len ? arena_str(raw->arena, buf_str(&raw->scratch)) : STR("");
}

/* --- logs and warnings --------------------------------------------- */

static bool is_same_text(const struct attr *a, const struct attr *b)
{
    return a->value.type == VALUE_STRING && b->value.type == VALUE_STRING && str_eq(a->key, b->key) && str_eq(a->value.str, b->value.str);
}

/* The last field of that name, when it is a text. */
static const struct attr *find_text(const struct jaeger_tags *fields, struct str key)
{
    for (size_t i = fields->n; i > 0; i--)
        if (str_eq(fields->at[i - 1].key, key))
            return fields->at[i - 1].value.type == VALUE_STRING ? &fields->at[i - 1] : NULL;
    return NULL;
}

void jaeger_log_add(struct jaeger_raw *raw, uint64_t time_ns)
{
    const struct attr *name = find_text(&raw->fields, STR("event"));

    if (!name) /* where OpenTelemetry's exporter for Python puts it */
        name = find_text(&raw->fields, STR("message"));
    size_t mark = wire_open(&raw->events, FIELD_EVENT);
    if (time_ns)
        wire_put_fixed64(&raw->events, 1, time_ns);
    if (name && name->value.str.len)
        wire_put_bytes(&raw->events, 2, name->value.str);
    for (size_t i = 0; i < raw->fields.n; i++)
        if (!name || !is_same_text(&raw->fields.at[i], name))
            otlp_put_attr(&raw->events, 3, &raw->fields.at[i]);
    wire_close(&raw->events, mark);
}

/* As Jaeger's storage keeps them: an attribute that is an array of texts. */
static void add_warnings(struct jaeger_raw *raw)
{
    if (!raw->warnings.n)
        return;
    buf_clear(&raw->scratch);
    for (size_t i = 0; i < raw->warnings.n; i++) {
        size_t mark = wire_open(&raw->scratch, 1);
        wire_put_bytes(&raw->scratch, 1, raw->warnings.at[i]);
        wire_close(&raw->scratch, mark);
    }
    struct attr attr = { STR("@jaeger@warnings"),
                         { VALUE_ARRAY, .raw = arena_str(raw->arena, buf_str(&raw->scratch)) } };
    VEC_PUSH(&raw->tags, attr);
}

/* --- the span --------------------------------------------- */

void jaeger_span_of(struct jaeger_raw *raw, struct str service, struct span *out, struct jaeger_scope *scope)
{
    struct found found;

    *out = (struct span){
        .name = raw->name,
        .start_ns = raw->start_ns,
        .end_ns = raw->end_ns,
        .dropped_links = raw->dropped_refs,
        .status_message = STR(""),
        .unknown = STR(""),
        .resource = STR(""),
        .scope = STR(""),
    };
    memcpy(out->trace_id, raw->trace_id, sizeof out->trace_id);
    memcpy(out->span_id, raw->span_id, sizeof out->span_id);
    parent_of(raw, out->parent_id);
    out->links = links_of(raw, out->parent_id);
    out->events = buf_str(&raw->events);

    find(&found, raw);
    out->kind = kind_of(take_text(&found, MEANS_KIND));
    out->trace_state = take_text(&found, MEANS_TRACE_STATE);
    take_status(&found, out);
    *scope = take_scope(&found);
    if (is_text(&found, MEANS_SERVICE) && str_eq(found.last[MEANS_SERVICE].str, service))
        found.is_taken[MEANS_SERVICE] = true;
    remove_taken(raw, &found);
    add_warnings(raw);
    out->attrs = raw->tags.at;
    out->n_attrs = (uint32_t)raw->tags.n;
}
