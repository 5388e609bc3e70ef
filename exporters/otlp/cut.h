/* cut.h - some spans of an ExportTraceServiceRequest as a request of their own. Module-private; any thread. */
#pragma once
#include "base/buf.h"

/* Appends the request with its spans from `from` on and before `to`, in the order they have. What stands beside spans in their
 * groups (resource, scope, schema URLs, what is not known) comes with them; groups without such spans are left out.
 * E_FORMAT: malformed, and what was appended is of no use. */
enum mg_err request_cut(struct str request, size_t from, size_t to, struct buf *out) MG_MUST_USE;
