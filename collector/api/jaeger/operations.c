/* operations.c - the list is sorted by name, then kind number, so operations that are told as one
 * stand near each other: at most the five kinds that have a name of their own are between two. */
#include "api/jaeger/operations.h"

struct str operation_kind_legacy(int kind)
{
    return str_of(span_kind_name(kind));
}

struct str operation_kind_v3(int kind)
{
    const char *name = span_kind_name(kind);

    return str_of(name[0] ? name : "internal");
}

bool operation_is_shown(const struct catalog_operation *operations, size_t i,
                        operation_kind_fn *kind_of, struct str wanted)
{
    struct str kind = kind_of(operations[i].kind);

    if (wanted.len && !str_eq(kind, wanted))
        return false;
    for (size_t k = i; k-- > 0 && str_eq(operations[k].name, operations[i].name);)
        if (str_eq(kind_of(operations[k].kind), kind))
            return false;
    return true;
}
