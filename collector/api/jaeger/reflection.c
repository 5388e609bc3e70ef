/* reflection.c - descriptors are searched where they lie: they are a few kilobytes, and who asks is
 * a person. Only names, packages and bounds of files are kept.
 *
 * A full name is looked up part by part. What can be inside what, and in which field, is a table;
 * an enum's values are named as if they stood beside it, which is how protobuf names them. */
#include "api/jaeger/reflection.h"

#include <assert.h>
#include "api/jaeger/descriptors.h"
#include "api/jaeger/job.h"
#include "model/wire.h"

enum { GRPC_CANCELLED = 1, GRPC_INVALID = 3, GRPC_NOT_FOUND = 5, GRPC_EXHAUSTED = 8 };
enum { FILES_MAX = 64 };

/* --- descriptors
 * -------------------------------------------------------------------------------------- */

enum kind { WHOLE_FILE, MESSAGE, ENUM, SERVICE, LEAF };
enum { NAME = 1, PACKAGE = 2, DEPENDENCY = 3, FILE_SERVICE = 6, ENUM_VALUE = 2 };

static const struct child {
    enum kind in;
    uint32_t number;
    enum kind kind;
} children[] = {
    /* clang-format off */
    { WHOLE_FILE, 4, MESSAGE }, { WHOLE_FILE, 5, ENUM }, { WHOLE_FILE, FILE_SERVICE, SERVICE },
    { MESSAGE, 2, LEAF }, { MESSAGE, 8, LEAF }, /* fields and oneofs */
    { MESSAGE, 3, MESSAGE }, { MESSAGE, 4, ENUM },
    { SERVICE, 2, LEAF }, /* methods */
    /* clang-format on */
};

static const struct child *child_in(enum kind kind, uint32_t number)
{
    for (size_t i = 0; i < MG_COUNT(children); i++)
        if (children[i].in == kind && children[i].number == number)
            return &children[i];
    return NULL;
}

/* The next field with that number; false: no more. */
static bool next_of(const uint8_t **at, const uint8_t *end, uint32_t number, struct str *out)
{
    struct wire_field field;

    while (wire_next(at, end, &field) == 1)
        if (field.number == number && field.type == WIRE_BYTES) {
            *out = field.bytes;
            return true;
        }
    return false;
}

static struct str first_of(struct str message, uint32_t number)
{
    const uint8_t *at = wire_begin(message);
    struct str text = STR("");

    (void)next_of(&at, wire_end(message), number, &text); /* absent: empty */
    return text;
}

static bool has_value(struct str message, struct str name)
{
    const uint8_t *at = wire_begin(message);
    struct str value;

    while (next_of(&at, wire_end(message), ENUM_VALUE, &value))
        if (str_eq(first_of(value, NAME), name))
            return true;
    return false;
}

/* Takes the first part of a full name off its front. */
static struct str cut_part(struct str *rest)
{
    struct str part = *rest, behind;

    if (str_split_at(*rest, '.', &part, &behind))
        *rest = behind;
    else
        *rest = STR("");
    return part;
}

/* Steps into the child with that name; false: there is none. `is_last`: nothing follows, so a value
 * of an enum will do. */
static bool step_into(struct str *message, enum kind *kind, struct str part, bool is_last)
{
    const uint8_t *at = wire_begin(*message), *end = wire_end(*message);
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1) {
        const struct child *child = field.type == WIRE_BYTES ? child_in(*kind, field.number) : NULL;
        if (!child)
            continue;
        if (str_eq(first_of(field.bytes, NAME), part)) {
            *message = field.bytes;
            *kind = child->kind;
            return true;
        }
        if (is_last && child->kind == ENUM && has_value(field.bytes, part))
            return true;
    }
    return false;
}

/* What of the symbol stands behind the package; false: it is of another. */
static bool without_package(struct str symbol, struct str package, struct str *rest)
{
    *rest = symbol;
    if (package.len == 0)
        return true;
    if (!str_starts(symbol, package) || symbol.len <= package.len || symbol.ptr[package.len] != '.')
        return false;
    *rest = str_n(symbol.ptr + package.len + 1, symbol.len - package.len - 1);
    return true;
}

/* Does the file declare it? *kind then says what it is. */
static bool declares(const struct reflected_file *file, struct str symbol, enum kind *kind)
{
    struct str message = file->bytes, rest;

    *kind = WHOLE_FILE;
    if (!without_package(symbol, file->package, &rest) || !rest.len || str_ends(rest, STR(".")))
        return false;
    while (rest.len) {
        struct str part = cut_part(&rest);
        if (!step_into(&message, kind, part, rest.len == 0))
            return false;
    }
    return true;
}

static const struct reflected_file *file_of(const struct reflection *reflection, struct str symbol,
                                            enum kind *kind)
{
    for (size_t i = 0; i < reflection->files.n; i++)
        if (declares(&reflection->files.at[i], symbol, kind))
            return &reflection->files.at[i];
    return NULL;
}

static const struct reflected_file *file_named(const struct reflection *reflection, struct str name)
{
    for (size_t i = 0; i < reflection->files.n; i++)
        if (str_eq(reflection->files.at[i].name, name))
            return &reflection->files.at[i];
    return NULL;
}

void reflection_init(struct reflection *reflection)
{
    struct str set = str_n(jaeger_descriptors, jaeger_descriptors_len), bytes;
    const uint8_t *at = wire_begin(set);

    *reflection = (struct reflection){0};
    while (next_of(&at, wire_end(set), 1, &bytes))
        VEC_PUSH(&reflection->files,
                 ((struct reflected_file){first_of(bytes, NAME), first_of(bytes, PACKAGE), bytes}));
    assert(reflection->files.n > 0 && reflection->files.n <= FILES_MAX);
}

void reflection_fini(struct reflection *reflection)
{
    assert(reflection->calls.n == 0);
    VEC_FINI(&reflection->files);
    map_fini(&reflection->calls);
}

/* --- answers
 * ------------------------------------------------------------------------------------------ */

static void put_error(struct buf *out, int code, const char *what, struct str name)
{
    size_t mark = wire_open(out, 7), text;

    wire_put_varint(out, 1, (uint64_t)code);
    text = wire_open(out, 2);
    buf_put_text(out, what);
    buf_put_str(out, name);
    wire_close(out, text);
    wire_close(out, mark);
}

/* The file and, once each, everything that it needs. */
static void put_files(const struct reflection *reflection, const struct reflected_file *first,
                      struct buf *out)
{
    const struct reflected_file *queue[FILES_MAX] = {first};
    size_t n = 1, mark = wire_open(out, 4);
    struct str name;

    for (size_t i = 0; i < n; i++) {
        const uint8_t *at = wire_begin(queue[i]->bytes), *end = wire_end(queue[i]->bytes);
        wire_put_bytes(out, 1, queue[i]->bytes);
        while (next_of(&at, end, DEPENDENCY, &name)) {
            const struct reflected_file *file = file_named(reflection, name);
            bool is_new = file != NULL;
            for (size_t k = 0; is_new && k < n; k++)
                is_new = queue[k] != file;
            if (is_new)
                queue[n++] = file;
        }
    }
    wire_close(out, mark);
}

static void put_services(const struct reflection *reflection, struct buf *out)
{
    size_t mark = wire_open(out, 6), entry;
    struct str service;

    for (size_t i = 0; i < reflection->files.n; i++) {
        const struct reflected_file *file = &reflection->files.at[i];
        const uint8_t *at = wire_begin(file->bytes);
        while (next_of(&at, wire_end(file->bytes), FILE_SERVICE, &service)) {
            entry = wire_open(out, 1);
            size_t name = wire_open(out, 1);
            buf_put_str(out, file->package);
            buf_put_char(out, '.');
            buf_put_str(out, first_of(service, NAME));
            wire_close(out, name);
            wire_close(out, entry);
        }
    }
    wire_close(out, mark);
}

/* That it has none is an answer, if it is a message. */
static void put_extension_numbers(const struct reflection *reflection, struct str type,
                                  struct buf *out)
{
    enum kind kind;

    if (!file_of(reflection, type, &kind) || kind != MESSAGE) {
        put_error(out, GRPC_NOT_FOUND, "there is no message ", type);
        return;
    }
    size_t mark = wire_open(out, 5);
    wire_put_bytes(out, 1, type);
    wire_close(out, mark);
}

static void put_file(const struct reflection *reflection, const struct reflected_file *file,
                     const char *absent, struct str name, struct buf *out)
{
    if (file)
        put_files(reflection, file, out);
    else
        put_error(out, GRPC_NOT_FOUND, absent, name);
}

static void put_response(const struct reflection *reflection, const struct wire_field *asked,
                         struct buf *out)
{
    struct str name = asked->bytes;
    enum kind kind;

    switch (asked->number) {
    case 3:
        put_file(reflection, file_named(reflection, name), "there is no file ", name, out);
        break;
    case 4:
        put_file(reflection, file_of(reflection, name, &kind), "there is no symbol ", name, out);
        break;
    case 5:
        put_error(out, GRPC_NOT_FOUND, "there is no such extension of ", first_of(name, NAME));
        break;
    case 6:
        put_extension_numbers(reflection, name, out);
        break;
    case 7:
        put_services(reflection, out);
        break;
    default:
        put_error(out, GRPC_INVALID, "the request asks for nothing that is known here", STR(""));
    }
}

enum mg_err reflection_answer(const struct reflection *reflection, struct str request,
                              struct buf *out, struct mg_why *why)
{
    const uint8_t *at = wire_begin(request), *end = wire_end(request);
    struct wire_field field, asked = {.bytes = STR("")};
    struct str host = STR("");
    int got;

    while ((got = wire_next(&at, end, &field)) == 1) {
        if (field.type != WIRE_BYTES)
            continue;
        if (field.number == 1)
            host = field.bytes;
        if (field.number >= 3 && field.number <= 7)
            asked = field; /* of a oneof the last one counts */
    }
    if (got < 0)
        return mg_fail(why, MG_E_FORMAT, "malformed ServerReflectionRequest");
    if (host.len)
        wire_put_bytes(out, 1, host);
    wire_put_bytes(out, 2, request);
    put_response(reflection, &asked, out);
    return buf_err(out);
}

/* --- calls
 * -------------------------------------------------------------------------------------------- */

static struct str key_of(struct http_request *const *request)
{
    return str_n(request, sizeof *request);
}

static void end_call(struct jaeger_api *api, struct http_request *request, int status,
                     struct str message)
{
    (void)map_remove(&api->reflection.calls, key_of(&request), NULL); /* one without messages */
    http_stream_end(request, status, message);
}

static void on_gone(void *owner, struct http_request *request)
{
    end_call(owner, request, GRPC_CANCELLED, STR(""));
}

/* Counts what the call is given; false: that was enough. */
static bool may_have(struct jaeger_api *api, struct http_request *request, size_t bytes)
{
    bool is_new;
    void **given = map_put(&api->reflection.calls, key_of(&request), &is_new);

    if (is_new)
        http_request_on_gone(request, on_gone, api);
    *given = (void *)((uintptr_t)*given + bytes);
    return (uintptr_t)*given <= REFLECTION_BYTES_MAX;
}

void reflection_on_message(void *owner, struct http_request *request, struct str message)
{
    struct jaeger_api *api = owner;
    struct mg_why why;
    struct buf out;

    buf_init(&out, REFLECTION_BYTES_MAX);
    if (reflection_answer(&api->reflection, message, &out, &why) != MG_OK)
        end_call(api, request, GRPC_INVALID, str_of(why.text));
    else if (!may_have(api, request, out.len))
        end_call(api, request, GRPC_EXHAUSTED,
                 STR("this call was given enough, the next one may ask again"));
    else
        http_stream_message(request, buf_str(&out));
    buf_fini(&out);
}

void reflection_on_end(void *owner, struct http_request *request)
{
    end_call(owner, request, 0, STR(""));
}
