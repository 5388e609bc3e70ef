/* ledger.h - the ledger as text. Private to the module. */
#pragma once
#include "base/buf.h"

/* `json`: the answer of /api/meshglass/v1/ledger. Appends aligned lines, the balance equation and, when the
 * answer has them, the spans by who decided; *balances tells whether it holds. E_FORMAT: not a ledger. */
enum mg_err ledger_print(struct str json, struct buf *out, bool *balances,
                         struct mg_why *why) MG_MUST_USE;
