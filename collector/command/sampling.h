/* sampling.h - the table of head sampling as text. Private to the module. */
#pragma once
#include "base/buf.h"

/* `json`: the answer of /api/sampling/effective. Appends a line of headings and one a row. A show_print_fn; *is_fine
 * stays. E_FORMAT: no such table. */
enum mg_err sampling_print(struct str json, struct buf *out, bool *is_fine, struct mg_why *why) MG_MUST_USE;
