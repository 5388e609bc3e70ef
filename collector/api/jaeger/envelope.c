/* envelope.c - the legacy envelope, written in pieces, since `data` may be larger than memory. */
#include "api/jaeger/envelope.h"

void envelope_begin(struct json_writer *w)
{
    json_object(w);
    json_key_text(w, "data");
}

void envelope_counts(struct json_writer *w, size_t total)
{
    json_key_text(w, "total");
    json_put_u64(w, total);
    json_key_text(w, "limit");
    json_put_u64(w, 0);
    json_key_text(w, "offset");
    json_put_u64(w, 0);
    json_key_text(w, "errors");
}

void envelope_close(struct json_writer *w)
{
    json_object_end(w);
}

void envelope_end(struct json_writer *w, size_t total)
{
    envelope_counts(w, total);
    json_put_null(w);
    envelope_close(w);
}

void envelope_failure(struct json_writer *w, enum mg_err err, const char *message)
{
    envelope_begin(w);
    json_put_null(w);
    envelope_counts(w, 0);
    json_array(w);
    json_object(w);
    json_key_text(w, "code");
    json_put_i64(w, mg_err_http(err));
    json_key_text(w, "msg");
    json_put_str(w, str_of(message));
    json_object_end(w);
    json_array_end(w);
    envelope_close(w);
}
