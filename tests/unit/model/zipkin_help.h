/* zipkin_help.h - what the tests of Zipkin's reader and writer share. In their tables ' stands for the
 * quote of JSON. One program, one thread. */
#pragma once
#include "model_help.h"
#include "codec/json_write.h"
#include "model/zipkin_scan.h"
#include "model/zipkin_write.h"

static struct zipkin_scanner *help_scanner;

static inline int zipkin_help_fini(void **state)
{
    zipkin_scanner_free(&help_scanner);
    return help_fini(state);
}

/* The text with its quotes. */
static inline struct str quoted(const char *text)
{
    struct str copy = arena_str(&help_arena, str_of(text));
    char *p = (char *)copy.ptr;

    for (size_t i = 0; i < copy.len; i++)
        if (p[i] == '\'')
            p[i] = '"';
    return copy;
}

/* A list of one span with ids 1 and 2 and these members. */
static inline struct str list_of(struct str members)
{
    return arena_printf(&help_arena, "[{\"traceId\":\"1\",\"id\":\"2\"%s%.*s}]",
                        members.len ? "," : "", STR_ARG(members));
}

static inline enum mg_err scan_any(bool is_json, struct str list,
                                   const struct span_visitor *visitor, void *owner,
                                   struct mg_why *why)
{
    if (!help_scanner)
        help_scanner = zipkin_scanner_new();
    return is_json ? zipkin_scan_json(help_scanner, list, visitor, owner, why)
                   : zipkin_scan_proto(help_scanner, list, visitor, owner, why);
}

static inline void shown_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct arena arena = { 0 };
    struct zipkin_span view;
    struct json_writer w;

    (void)ordinal;
    zipkin_view(span, &arena, &view);
    json_writer_init(&w, owner, 0);
    zipkin_write_span(&w, &view);
    buf_put_char(owner, '\n');
    arena_fini(&arena);
}

static inline void shown_never(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)why;
    fail_msg("span %u was refused alone", ordinal);
}

/* Writes every span as Zipkin's JSON, a line each, in the order visited. */
static const struct span_visitor showing = { written_group, written_group, shown_span,
                                             shown_never };

static inline struct str show(bool is_json, struct str list)
{
    struct mg_why why;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    if (scan_any(is_json, list, &showing, &out, &why) != MG_OK)
        fail_msg("%s\n%.*s", why.text, STR_ARG(list));
    struct str copy = arena_str(&help_arena, buf_str(&out));
    buf_fini(&out);
    return copy;
}

static inline void assert_text(struct str got, struct str want, const char *of)
{
    if (!str_eq(got, want))
        fail_msg("%s\n got %.*s\nwant %.*s", of, STR_ARG(got), STR_ARG(want));
}
