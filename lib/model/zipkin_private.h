/* zipkin_private.h - what Zipkin's reader and writer agree on; private to model.
 *
 * Reading goes list -> draft -> span: zipkin_json.c and zipkin_proto.c fill a draft, one span at a
 * time; zipkin_build.c makes OTLP's span of it. zipkin_write.c is the way back.
 *
 * Tags are strings, always. So whatever else must be remembered is an attribute of another type
 * (zipkin.shared: bool, net.peer.port: int), and no tag can be taken for it. The resource says by
 * its schema_url that its spans came from Zipkin: their string attributes are then exactly the
 * tags, but for the addresses behind them and those that zipkin.tags names. */
#pragma once
#include "base/arena.h"
#include "base/bytes.h"
#include "base/vec.h"
#include "codec/json_read.h"
#include "model/span_visitor.h"
#include "model/zipkin_write.h"

#define ZIPKIN_SCHEMA     "https://zipkin.io/zipkin-api/" /* schema_url of the resource */
#define ATTR_SHARED       "zipkin.shared"     /* bool true */
#define ATTR_DEBUG        "zipkin.debug"      /* bool true */
#define ATTR_TAGS         "zipkin.tags"       /* int: enum zipkin_given */
#define ATTR_TIMESTAMP    "zipkin.timestamp"  /* int, µs, also of an event: what ns do not hold */
#define ATTR_DURATION     "zipkin.duration"   /* int, µs: the same */
#define ATTR_ANNOTATION   "zipkin.annotation" /* string, of an event: what its parts do not say */
#define ATTR_ABSENT_START "otel.zipkin.absentField.startTime" /* bool true */
#define ATTR_HOST_IP      "net.host.ip"       /* twice when there is an IPv4 and an IPv6 address */
#define ATTR_HOST_PORT    "net.host.port"
#define ATTR_PEER_SERVICE "peer.service"
#define ATTR_PEER_IP      "net.peer.ip"
#define ATTR_PEER_PORT    "net.peer.port"
#define TAG_LINK          "otlp.link."

/* Tags that became something else, and what else there is to know of a span's tags. */
enum zipkin_given {
    GIVEN_LIBRARY_NAME = 1,
    GIVEN_LIBRARY_VERSION = 2,
    GIVEN_SCOPE_NAME = 4,
    GIVEN_SCOPE_VERSION = 8,
    GIVEN_STATUS = 16,             /* otel.status_code, in the spelling OK or ERROR */
    GIVEN_STATUS_TITLE = 32,       /* Ok or Error */
    GIVEN_STATUS_LONG = 64,        /* STATUS_CODE_OK or STATUS_CODE_ERROR */
    GIVEN_DESCRIPTION = 128,       /* otel.status_description is the status' message */
    GIVEN_SERVICE = 256,           /* service.name is the resource's */
    GIVEN_NO_LOCAL_SERVICE = 512,  /* only the tag named the service */
    GIVEN_HOST_IP = 1024,          /* the first attribute net.host.ip is a tag */
    GIVEN_PEER_IP = 2048,
    GIVEN_PEER_SERVICE = 4096
};

/* By enum span_kind: "SERVER" …; NULL: none in Zipkin. */
extern const char *const zipkin_kinds[SPAN_CONSUMER + 1];

/* --- reading --------------------------------------------- */

/* One span as the list has it. */
struct zipkin_draft {
    struct zipkin_span span; /* names in the case received; no tags, no annotations */
    VEC(struct zipkin_tag) tags; /* sorted by key, each key once, when the reader is done */
    VEC(struct zipkin_tag) spare;
    VEC(struct zipkin_annotation) annotations; /* in the order received */
    bool has_trace_id, has_id;
};

struct zipkin_source {
    struct str text;          /* the whole list */
    struct json_reader *json; /* NULL: proto */
    struct mg_why *why;
    uint32_t ordinal;         /* of the current span */
    const char *within;       /* member being read: "annotations"; NULL: the span's own */
    uint32_t index;           /* … and its number */
    bool is_indexed;
    struct json_read_member value; /* last key read, and what begins behind it */
};

/* A list in one of the two forms. `seek` moves *at to the next span or says that there is none;
 * `read` reads it and moves *at behind it. Slices of the draft are good until the next read. */
struct zipkin_format {
    enum mg_err (*seek)(struct zipkin_source *source, size_t *at, bool *is_end);
    enum mg_err (*read)(struct zipkin_source *source, size_t *at, struct zipkin_draft *draft);
};
extern const struct zipkin_format zipkin_json, zipkin_proto;

/* "<the sentence> reading List<Span> from json" */
enum mg_err zipkin_fail(struct zipkin_source *source, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void zipkin_draft_begin(struct zipkin_draft *draft);
enum mg_err zipkin_draft_end(struct zipkin_source *source, struct zipkin_draft *draft) MG_MUST_USE;
void zipkin_draft_fini(struct zipkin_draft *draft);

/* --- building --------------------------------------------- */

struct zipkin_builder {
    struct str text;       /* what slices may point into without being copied */
    struct arena kept;     /* everything else; until the next scan */
    VEC(struct attr) attrs;
    struct buf scratch, parts, spelled, wrapped;
    struct json_reader *json; /* attributes inside annotations and links */
    /* the current draft */
    const struct zipkin_draft *draft;
    VEC(uint8_t) use;      /* of each tag: enum tag_use */
    bool is_resource_told; /* those of USE_RESOURCE are the told ones */
    bool has_links;
    /* the resource and the scope told last; parts in the body or kept */
    VEC(struct zipkin_tag) told_tags;
    struct str told_service, told_scope_name, told_scope_version; /* of this scan */
    uint32_t given;        /* enum zipkin_given */
    struct str service, scope_name, scope_version, status_message, trace_state;
    int32_t kind, status;
};
void zipkin_builder_fini(struct zipkin_builder *b);
/* Looks at the draft, which is then the current one. */
void zipkin_build_begin(struct zipkin_builder *b, const struct zipkin_draft *draft);
/* Whether the draft's resource is another than the one that was noted last, its scope than the one that was built last. */
bool zipkin_build_is_resource_new(const struct zipkin_builder *b);
bool zipkin_build_is_scope_new(const struct zipkin_builder *b);
void zipkin_build_resource(const struct zipkin_builder *b, struct buf *out); /* span.resource */
void zipkin_build_note_resource(struct zipkin_builder *b);                   /* it is the one told last */
void zipkin_build_scope(struct zipkin_builder *b, struct buf *out);    /* span.scope */
/* Everything but resource and scope, and what no span from Zipkin has, which must be empty in *out. */
void zipkin_build_span(struct zipkin_builder *b, struct span *out);

static inline bool zipkin_same(struct str a, struct str b)
{
    return a.len == b.len && bytes_same(a.ptr, b.ptr, a.len);
}

/* --- texts --------------------------------------------- */

#define ZIPKIN_IP_TEXT 48
static inline void zipkin_endpoint_clear(struct zipkin_endpoint *endpoint)
{
    endpoint->service = STR("");
    endpoint->ip_bytes = 0;
    endpoint->port = 0;
    endpoint->has_ipv6 = false;
}
/* Adds an address of 4 or 16 bytes; one of the same length that is there already is replaced. */
void zipkin_endpoint_add(struct zipkin_endpoint *endpoint, const uint8_t *ip, unsigned bytes);
/* The same from text; false: no address, nothing was added. */
bool zipkin_endpoint_parse(struct zipkin_endpoint *endpoint, struct str ip);
size_t zipkin_ip_text(const uint8_t *ip, unsigned bytes, char out[ZIPKIN_IP_TEXT]);
/* Sorts by key; of tags with one key the last stays. Returns how many. `spare` has room for n. */
size_t zipkin_tags_settle(struct zipkin_tag *tags, size_t n, struct zipkin_tag *spare);
/* How long an object is as zipkin_event_text spells it. */
struct zipkin_spelling { size_t len; bool is_unknown; };
/* A JSON object as KeyValue fields with that number. False: it is none, or has a key in it that is
 * ours; out may have been written to. An object as long as *spelling says is spelled so. */
bool zipkin_attrs_read(struct json_reader *json, struct str object, struct buf *out,
                       uint32_t number, struct zipkin_spelling *spelling);
/* The same of an object whose only member is such an object: {"name": {…}}. */
bool zipkin_named_attrs_read(struct json_reader *json, struct str object, struct str *name,
                             struct buf *out, uint32_t number);
#define ZIPKIN_ATTRS_DEPTH 16 /* of the reader for these */
/* What the annotation or the tag otlp.link.N says in Zipkin. */
void zipkin_event_text(struct buf *out, const struct event_view *event);
void zipkin_link_text(struct buf *out, const struct link_view *link);
