/* lines.h - reading the body of a bulk request as a server would: pairs of lines. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/vec.h"
#include "codec/json.h"

struct document {
    struct json *action, *source;
    struct str index, id; /* of the action */
};
struct documents { VEC(struct document) list; };

static inline struct json *line_parse(struct str *rest)
{
    struct json *root;
    struct str line;
    struct mg_why why;

    assert_true(str_split_at(*rest, '\n', &line, rest)); /* the last line ends with one too */
    if (json_parse(&root, line, &why) != MG_OK)
        fail_msg("%s: %.*s", why.text, (int)MG_MIN(line.len, (size_t)300), line.ptr);
    return root;
}

/* Adds. */
static inline void documents_read(struct documents *documents, struct str body)
{
    while (body.len) {
        struct document *document = VEC_ADD(&documents->list);
        document->action = line_parse(&body);
        document->source = line_parse(&body);
        assert_int_equal(json_count(document->action), 1);
        const struct json *index = json_get(document->action, "index");
        assert_int_equal(json_count(index), 2);
        document->index = json_str(json_get(index, "_index"));
        document->id = json_str(json_get(index, "_id"));
        assert_int_equal(document->id.len, 32);
    }
}

static inline void documents_fini(struct documents *documents)
{
    for (size_t i = 0; i < documents->list.n; i++) {
        json_free(&documents->list.at[i].action);
        json_free(&documents->list.at[i].source);
    }
    VEC_FINI(&documents->list);
}
