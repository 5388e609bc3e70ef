/* envelope.h - the frame around every answer of the legacy API: data, total, limit,
 * offset, errors; all five always there. Private to api/jaeger. */
#pragma once
#include "codec/json_write.h"

#define ENVELOPE_INDENT 4 /* spaces a level of prettyPrint */

void envelope_begin(struct json_writer *w); /* the value of `data` follows */
/* After the value of `data`; the value of `errors` and envelope_close follow. */
void envelope_counts(struct json_writer *w, size_t total);
void envelope_close(struct json_writer *w);
void envelope_end(struct json_writer *w, size_t total); /* counts, no errors, close */
/* A whole envelope without data; a job_failure_fn. */
void envelope_failure(struct json_writer *w, enum mg_err err, const char *message);
