/* tagged.h - tagged lists (FORMAT.md 2): `tag varint, length varint, bytes`, used for states, snapshots and
 * summaries. Unknown tags are skipped by readers and carried by whoever rewrites a list. Any thread. */
#pragma once
#include "base/buf.h"
void tagged_put(struct buf *list, uint32_t tag, struct str bytes);
void tagged_put_u64(struct buf *list, uint32_t tag, uint64_t value);
/* 1: an entry; 0: the end; -1: malformed. `at` starts as the list and shrinks. */
int tagged_next(struct str *at, uint32_t *tag, struct str *bytes);
bool tagged_u64(struct str bytes, uint64_t *value); /* exactly one varint */
bool tagged_find(struct str list, uint32_t tag, struct str *bytes);
