/* yaml.c - libyaml's events are folded into a tree with a fixed stack of open collections.
 *
 * The event parser is used and not libyaml's own document tree, because that one resolves aliases
 * and has no limit of depth. Children of an open collection grow in a vector of its frame and are
 * copied into the arena when it closes, so that a finished node is one flat array. */
#include "conf/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <yaml.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "conf/scalar.h"

struct yaml_member {
    struct str key;    /* empty in a list */
    unsigned key_line; /* 0 in a list */
    const struct yaml *value;
};

struct yaml {
    enum yaml_kind kind;
    unsigned line;
    bool is_quoted;
    struct str text;
    struct yaml_member *members;
    size_t n;
};

struct yaml_docs {
    struct arena arena;
    VEC(const struct yaml *) docs; /* NULL: an empty document */
};

struct frame {
    struct yaml *node;
    VEC(struct yaml_member) members;
    struct map keys; /* of a map: what was seen */
    bool has_key;    /* the next node is the value of key */
    struct str key;
    unsigned key_line;
};

struct builder {
    struct yaml_docs *docs;
    const char *file_name;
    struct str text;
    struct mg_why *why;
    struct frame stack[YAML_DEPTH_MAX];
    size_t depth;
    const struct yaml *root; /* of the open document */
};

static unsigned mark_line(yaml_mark_t mark)
{
    return (unsigned)mark.line + 1;
}

static enum mg_err attach(struct builder *b, struct yaml *node)
{
    if (b->depth == 0) {
        b->root = node;
        return MG_OK;
    }
    struct frame *top = &b->stack[b->depth - 1];
    struct yaml_member member = { .value = node };

    if (top->node->kind == YAML_MAP) {
        if (!top->has_key)
            return mg_fail(b->why, MG_E_FORMAT,
                           "%s:%u: a key must be a plain value, not a list or a map", b->file_name,
                           node->line);
        member.key = top->key;
        member.key_line = top->key_line;
        top->has_key = false;
    }
    VEC_PUSH(&top->members, member);
    return MG_OK;
}

static enum mg_err take_key(struct builder *b, struct str key, unsigned line)
{
    struct frame *top = &b->stack[b->depth - 1];
    bool is_new;

    (void)map_put(&top->keys, key, &is_new); /* only the presence counts */
    if (!is_new)
        return mg_fail(b->why, MG_E_FORMAT, "%s:%u: key '%s%.*s' is here twice", b->file_name,
                       line, SCALAR_QUOTED(key));
    top->key = key;
    top->key_line = line;
    top->has_key = true;
    return MG_OK;
}

static bool is_null_word(struct str s)
{
    return s.len == 0 || str_eq(s, STR("~")) || str_eq(s, STR("null")) || str_eq(s, STR("Null")) ||
           str_eq(s, STR("NULL"));
}

/* Tags would make a value mean something that its reader does not look at. */
static enum mg_err check_tag(struct builder *b, const yaml_event_t *event, const yaml_char_t *tag)
{
    static const char *const known[] = { "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq",
                                         "tag:yaml.org,2002:map" };

    if (!tag)
        return MG_OK;
    for (size_t i = 0; i < MG_COUNT(known); i++)
        if (strcmp((const char *)tag, known[i]) == 0)
            return MG_OK;
    struct str text = str_of((const char *)tag);
    return mg_fail(b->why, MG_E_FORMAT, "%s:%u: the tag '%s%.*s' is not read here", b->file_name,
                   mark_line(event->start_mark), SCALAR_QUOTED(text));
}

static enum mg_err refuse_anchor(struct builder *b, const yaml_event_t *event,
                                 const yaml_char_t *anchor)
{
    if (!anchor)
        return MG_OK;
    return mg_fail(b->why, MG_E_FORMAT, "%s:%u: anchors and aliases are refused; write '%s' out",
                   b->file_name, mark_line(event->start_mark), (const char *)anchor);
}

static enum mg_err on_scalar(struct builder *b, const yaml_event_t *event)
{
    unsigned line = mark_line(event->start_mark);

    MG_TRY(refuse_anchor(b, event, event->data.scalar.anchor));
    MG_TRY(check_tag(b, event, event->data.scalar.tag));
    struct str text =
        arena_str(&b->docs->arena, str_n(event->data.scalar.value, event->data.scalar.length));
    struct frame *top = b->depth ? &b->stack[b->depth - 1] : NULL;
    if (top && top->node->kind == YAML_MAP && !top->has_key)
        return take_key(b, text, line);

    struct yaml *node = ARENA_NEW(&b->docs->arena, struct yaml);
    node->line = line;
    node->text = text;
    node->is_quoted = event->data.scalar.tag || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->kind = !node->is_quoted && is_null_word(text) ? YAML_NULL : YAML_SCALAR;
    return attach(b, node);
}

static enum mg_err open_collection(struct builder *b, const yaml_event_t *event,
                                   enum yaml_kind kind)
{
    struct yaml *node = ARENA_NEW(&b->docs->arena, struct yaml);

    node->kind = kind;
    node->line = mark_line(event->start_mark);
    MG_TRY(attach(b, node));
    if (b->depth == YAML_DEPTH_MAX)
        return mg_fail(b->why, MG_E_TOO_BIG, "%s:%u: more than %d levels deep", b->file_name,
                       node->line, YAML_DEPTH_MAX);
    b->stack[b->depth++] = (struct frame){ .node = node };
    return MG_OK;
}

static void frame_fini(struct frame *frame)
{
    VEC_FINI(&frame->members);
    map_fini(&frame->keys);
}

static void close_collection(struct builder *b)
{
    struct frame *top = &b->stack[--b->depth];
    size_t bytes = top->members.n * sizeof *top->members.at;

    top->node->n = top->members.n;
    if (bytes) {
        top->node->members = arena_alloc(&b->docs->arena, bytes);
        memcpy(top->node->members, top->members.at, bytes);
    }
    frame_fini(top);
}

static void close_document(struct builder *b)
{
    /* An empty document has an invisible null as its root. */
    bool is_empty = b->root && b->root->kind == YAML_NULL && b->root->text.len == 0;

    VEC_PUSH(&b->docs->docs, is_empty ? NULL : b->root);
    b->root = NULL;
}

static enum mg_err on_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT: return on_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        MG_TRY(refuse_anchor(b, event, event->data.sequence_start.anchor));
        MG_TRY(check_tag(b, event, event->data.sequence_start.tag));
        return open_collection(b, event, YAML_LIST);
    case YAML_MAPPING_START_EVENT:
        MG_TRY(refuse_anchor(b, event, event->data.mapping_start.anchor));
        MG_TRY(check_tag(b, event, event->data.mapping_start.tag));
        return open_collection(b, event, YAML_MAP);
    case YAML_ALIAS_EVENT: return refuse_anchor(b, event, event->data.alias.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: close_collection(b); return MG_OK;
    case YAML_DOCUMENT_END_EVENT: close_document(b); return MG_OK;
    default: return MG_OK;
    }
}

/* The reader's errors carry a byte offset and no line. */
static unsigned line_of_offset(struct str text, size_t offset)
{
    unsigned line = 1;

    for (size_t i = 0; i < text.len && i < offset; i++)
        line += text.ptr[i] == '\n';
    return line;
}

static enum mg_err parser_failed(struct builder *b, const yaml_parser_t *parser)
{
    const char *problem = parser->problem ? parser->problem : "not YAML";
    unsigned line = parser->error == YAML_READER_ERROR
                        ? line_of_offset(b->text, parser->problem_offset)
                        : mark_line(parser->problem_mark);

    if (parser->context && parser->error != YAML_READER_ERROR)
        return mg_fail(b->why, MG_E_FORMAT, "%s:%u: %s, %s", b->file_name, line, problem,
                       parser->context);
    return mg_fail(b->why, MG_E_FORMAT, "%s:%u: %s", b->file_name, line, problem);
}

static enum mg_err run(struct builder *b, yaml_parser_t *parser)
{
    for (bool is_done = false; !is_done;) {
        yaml_event_t event;

        if (!yaml_parser_parse(parser, &event))
            return parser_failed(b, parser);
        enum mg_err err = on_event(b, &event);
        is_done = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
        MG_TRY(err);
    }
    return MG_OK;
}

enum mg_err yaml_parse(struct yaml_docs **out, struct str text, const char *file_name,
                       struct mg_why *why)
{
    MG_AUTO(yaml_docs_free) struct yaml_docs *docs = MEM_NEW(struct yaml_docs);
    struct builder b = { .docs = docs, .file_name = file_name, .text = text, .why = why };
    yaml_parser_t parser;

    if (!yaml_parser_initialize(&parser))
        return mg_fail(why, MG_E_INTERNAL, "%s: the YAML parser did not start", file_name);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING); /* else a BOM could choose UTF-16 */
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.len ? text.ptr : ""),
                                 text.len);
    enum mg_err err = run(&b, &parser);
    yaml_parser_delete(&parser);
    while (b.depth > 0)
        frame_fini(&b.stack[--b.depth]);
    MG_TRY(err);
    *out = MG_STEAL(docs);
    return MG_OK;
}

static enum mg_err read_all(int fd, struct buf *into, const char *path, struct mg_why *why)
{
    for (;;) {
        char block[16384];
        ssize_t n = read(fd, block, sizeof block);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mg_fail_os(why, errno, "%s", path);
        if (n == 0)
            return MG_OK;
        if (buf_append(into, block, (size_t)n) != MG_OK)
            return mg_fail(why, MG_E_TOO_BIG, "%s: larger than %zu bytes", path, into->limit);
    }
}

enum mg_err yaml_load(struct yaml_docs **out, const char *path, size_t bytes_max,
                      struct mg_why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return mg_fail_os(why, errno, "%s", path);
    struct buf text;
    buf_init(&text, bytes_max);
    enum mg_err err = read_all(fd, &text, path, why);
    (void)close(fd); /* nothing was written to it */
    if (err == MG_OK)
        err = yaml_parse(out, buf_str(&text), path, why);
    buf_fini(&text);
    return err;
}

void yaml_docs_free(struct yaml_docs **docs)
{
    if (!*docs)
        return;
    VEC_FINI(&(*docs)->docs);
    arena_fini(&(*docs)->arena);
    mem_free(*docs);
    *docs = NULL;
}

size_t yaml_count_docs(const struct yaml_docs *docs)
{
    return docs->docs.n;
}

const struct yaml *yaml_doc(const struct yaml_docs *docs, size_t i)
{
    return i < docs->docs.n ? docs->docs.at[i] : NULL;
}

enum yaml_kind yaml_kind(const struct yaml *node)
{
    return node ? node->kind : YAML_NULL;
}

unsigned yaml_line(const struct yaml *node)
{
    return node ? node->line : 0;
}

struct str yaml_str(const struct yaml *node)
{
    return node && node->kind == YAML_SCALAR ? node->text : STR("");
}

bool yaml_is_quoted(const struct yaml *node)
{
    return node && node->is_quoted;
}

size_t yaml_count(const struct yaml *node)
{
    return node ? node->n : 0;
}

const struct yaml *yaml_at(const struct yaml *node, size_t i)
{
    return i < yaml_count(node) ? node->members[i].value : NULL;
}

struct str yaml_key(const struct yaml *map, size_t i)
{
    return i < yaml_count(map) ? map->members[i].key : STR("");
}

unsigned yaml_key_line(const struct yaml *map, size_t i)
{
    return i < yaml_count(map) ? map->members[i].key_line : 0;
}

const struct yaml *yaml_get(const struct yaml *map, const char *key)
{
    if (yaml_kind(map) != YAML_MAP)
        return NULL;
    for (size_t i = 0; i < map->n; i++)
        if (str_eq(map->members[i].key, str_of(key)))
            return map->members[i].value;
    return NULL;
}

static void print_key(struct str key, struct buf *out)
{
    enum { SIMPLE_MAX = 128 }; /* YAML ends a simple key at 1024 characters; an escape has six */

    if (key.len > SIMPLE_MAX)
        buf_put_text(out, "? ");
    scalar_print_in_flow(key, out);
    buf_put_text(out, key.len > SIMPLE_MAX ? " : " : ": ");
}

static void print_members(const struct yaml *node, struct buf *out)
{
    for (size_t i = 0; i < node->n; i++) {
        if (i)
            buf_put_text(out, ", ");
        if (node->kind == YAML_MAP)
            print_key(node->members[i].key, out);
        yaml_print(node->members[i].value, out);
    }
}

/* Recursion is as deep as the tree, at most YAML_DEPTH_MAX. */
void yaml_print(const struct yaml *node, struct buf *out)
{
    switch (yaml_kind(node)) {
    case YAML_NULL: buf_put_text(out, "null"); return;
    case YAML_SCALAR:
        if (node->is_quoted)
            scalar_print_quoted(node->text, out);
        else
            scalar_print_in_flow(node->text, out);
        return;
    case YAML_LIST:
        buf_put_char(out, '[');
        print_members(node, out);
        buf_put_char(out, ']');
        return;
    case YAML_MAP:
        buf_put_char(out, '{');
        print_members(node, out);
        buf_put_char(out, '}');
        return;
    }
}
