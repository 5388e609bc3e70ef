/* why.h - GET /api/meshglass/v1/why/{id}: what was decided about a trace, and who decided. Private to api/admin.
 *
 *   {"trace_id": 32 digits, "decision": "kept"|"dropped"|"pending"|"unknown",
 *    "reason","policy","probability","estimate","rules","time","trigger","votes":[{"policy","vote"}],
 *    "decisions":[{"decision", the same, "spans"}, …]}        newest first, at most 16
 *
 * The members above are those of the newest decision that says what `decision` says: a trace of which something was kept is kept, whatever
 * became of spans that came late. Nothing decided (pending, unknown): probability is null, texts are empty, rules is 0. While sampling was
 * off: reason "", probability 1. `estimate`: the probability was measured, not set. `spans` is null where nobody counted them.
 * `time`: of the decision; of what is kept, once it is stored, that of its commit, which comes later, as a rule within store.block_age.
 *
 * A query thread answers. What is no id is 400; an id that nobody knows is "unknown", not an error. */
#pragma once
#include "codec/json_write.h"
#include "http/http.h"
#include "query/query.h"

void admin_on_why(void *admin, struct http_request *request);
/* The answer as JSON, appended. */
void admin_put_why(struct json_writer *w, const uint8_t id[16], const struct query_why *why);
