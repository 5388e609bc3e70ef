/* memo.h - what was once found out about the shapes and symbols of epochs, so that a row costs a few look-ups; private to sample.
 *
 * A memo belongs to one sampler and one generation of rules. It holds no reference of an epoch: it knows epochs by their serial and forgets the
 * least recently used ones. What it remembers of an epoch is bounded by a fraction of what the epoch's own dictionary takes. One thread. */
#pragma once
#include "row/segment.h"
#include "sample/class.h"
#include "sample/condition.h"

struct memo;
struct memo *memo_new(const struct condition_set *set, const struct classes *classes); /* borrows both */
void memo_free(struct memo **memo);

/* Adds the conditions that the row meets. */
void memo_row(struct memo *memo, const struct row *row, uint64_t bits[2]);
/* The number of (service, name) of the row; sampler_know's is operation_number of the same texts. */
uint64_t memo_operation(struct memo *memo, const struct row *row);
uint64_t operation_number(struct str service, struct str name);
/* The row's own value of each field of the set, by its place there: the first attribute of that key. What the row does not have is not
 * written: the caller marks them before. */
void memo_fields(struct memo *memo, const struct row *row, struct row_value *values);
/* The class of a trace with this entry span; CLASS_NONE. */
size_t memo_class(struct memo *memo, const struct row *entry);
