/* why.h - why a trace was kept or dropped, for people. Private to the module. */
#pragma once
#include "base/buf.h"

/* `json`: the answer of /api/meshglass/v1/why/{id}. Appends lines. A show_print_fn; *is_fine stays. E_FORMAT: no such answer. */
enum mg_err why_print(struct str json, struct buf *out, bool *is_fine, struct mg_why *why) MG_MUST_USE;
