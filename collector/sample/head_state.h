/* head_state.h - calculated probabilities across a restart; private to sample. Main thread.
 *
 *   {"version": 1, "operations": [{"service": "shop", "operation": "GET /", "probability": 0.02}, …]}
 *
 * An empty operation is the service's default. Only what the calculation found is kept. */
#pragma once
#include "sample/head_table.h"

typedef void head_state_fn(void *owner, struct str service, struct str operation, double probability);
/* Nothing is visited when anything is wrong. No such file: MG_OK. */
enum mg_err head_state_read(const char *path, head_state_fn *visit, void *owner, struct mg_why *why) MG_MUST_USE;
enum mg_err head_state_write(const char *path, struct head_seen *const *seen, size_t n, struct mg_why *why) MG_MUST_USE;
