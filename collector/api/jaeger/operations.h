/* operations.h - which operations of a service are shown, and what their kinds are called. Pure
 * functions over a sorted list of the catalog; any thread. Private to api/jaeger. */
#pragma once
#include "model/span.h"
#include "store/catalog.h"

/* "server" …; a kind without a name is "" in the older APIs and "internal" in v3, whose clients
 * refuse an empty one. */
typedef struct str operation_kind_fn(int kind);
operation_kind_fn operation_kind_legacy, operation_kind_v3;

/* Is operations[i] of the wanted kind (empty: any), and the first of its name and kind name? Kinds
 * without a name, or with the same, are several by number. */
bool operation_is_shown(const struct catalog_operation *operations, size_t i,
                        operation_kind_fn *kind_of, struct str wanted);
