/* effective.c - the table of head sampling in force, as people and the console read it. */
#include "api/sampling/sampling.h"

#include <math.h>

#include "codec/json_write.h"

#define TABLE_BYTES_MAX ((size_t)64 << 20) /* sampling.head.operations_max rows of names that spans had */

static void put_row(struct json_writer *w, const struct head_row *row)
{
    json_object(w);
    json_key_text(w, "service");
    json_put_str(w, row->service);
    json_key_text(w, "operation");
    json_put_str(w, row->operation);
    json_key_text(w, "probability");
    json_put_double(w, row->probability);
    if (row->is_limit) { /* what clients are told instead */
        json_key_text(w, "max_traces_per_second");
        json_put_i64(w, row->max_traces_per_second);
    }
    json_key_text(w, "samples_per_second");
    if (isnan(row->samples_per_second)) /* nothing was counted for it, which is not none a second */
        json_put_null(w);
    else
        json_put_double(w, row->samples_per_second);
    json_key_text(w, "source");
    json_put_str(w, str_of(row->source));
    json_key_text(w, "is_followed");
    json_put_bool(w, row->is_followed);
    json_object_end(w);
}

static void put_table(struct buf *out, struct head *head)
{
    struct arena arena = { 0 };
    struct head_row *rows = NULL;
    struct json_writer w;
    size_t n = 0;

    head_effective(head, &arena, &rows, &n);
    json_writer_init(&w, out, 0);
    json_object(&w);
    json_key_text(&w, "data");
    json_array(&w);
    for (size_t i = 0; i < n; i++)
        put_row(&w, &rows[i]);
    json_array_end(&w);
    json_object_end(&w);
    arena_fini(&arena);
}

static void on_effective(void *owner, struct http_request *request)
{
    struct buf body;

    buf_init(&body, TABLE_BYTES_MAX);
    put_table(&body, owner);
    if (buf_err(&body) != MG_OK)
        http_respond_error(request, MG_E_INTERNAL, STR("the table is larger than 64 MiB: lower sampling.head.operations_max"), 0);
    else
        http_respond(request, 200, "application/json", buf_str(&body));
    buf_fini(&body);
}

const struct http_route *sampling_query_routes(size_t *n)
{
    static const struct http_route routes[] = {
        { .method = "GET", .path = "/api/sampling/effective", .on_request = on_effective },
    };

    *n = MG_COUNT(routes);
    return routes;
}
