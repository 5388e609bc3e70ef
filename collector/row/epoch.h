/* epoch.h - a symbol epoch: one loop's append-only dictionary of byte strings and attribute shapes.
 *
 * A symbol is the number of a byte string (span name, key, repeated value, resource or scope in
 * wire form). A shape is the number of an ordered list of (key symbol, value type): the attribute
 * layout of a span. Both are numbered from 1; 0 means "none" (the empty string has symbol 0 too).
 *
 * Threads: only the owning loop interns. Any thread that received a row may read the symbols and
 * shapes that row names: they were published before the row was handed over and never move or
 * change. An epoch is counted: the loop, batches on their way, and ring segments hold it; the last
 * unref frees. The loop begins a new epoch when epoch_is_full says so (bytes, symbols, shapes or
 * age), so that a peer that sends only new strings costs a bounded dictionary. */
#pragma once
#include "model/span.h"

struct epoch;
struct shape_attr { uint32_t key; uint8_t type; /* enum value_type */ };
struct shape { uint32_t n; struct shape_attr attrs[]; };

struct epoch *epoch_new(uint64_t now_mono_ns);
struct epoch *epoch_ref(struct epoch *epoch);   /* any thread */
void epoch_unref(struct epoch **epoch);         /* any thread; NULL inside is fine */
/* 16 MiB, 1 M symbols, 64 k shapes or 10 minutes; a batch under way may go beyond. Loop thread. */
bool epoch_is_full(const struct epoch *epoch, uint64_t now_mono_ns);
/* Memory of its strings, entries and tables, each entry with its share; loop thread. A new symbol
 * adds its length and 40, a new shape of n attributes 8 n and 36: interner_bound rests on these. */
size_t epoch_bytes(const struct epoch *epoch);
/* A number that no other epoch of this process has, from 1: what is remembered about an epoch without a reference to it is told apart
 * by this, as a pointer comes back once its epoch has gone. Any thread. */
uint64_t epoch_serial(const struct epoch *epoch);

/* Loop thread. _intern finds or adds (copies); _find: 0 when it is not there; n = 0 is shape 0. */
uint32_t epoch_intern(struct epoch *epoch, struct str bytes);
uint32_t epoch_find(const struct epoch *epoch, struct str bytes);
uint32_t epoch_intern_shape(struct epoch *epoch, const struct shape_attr *attrs, uint32_t n);

/* Any thread, of received rows. */
struct str epoch_text(const struct epoch *epoch, uint32_t symbol);
bool epoch_is_utf8(const struct epoch *epoch, uint32_t symbol); /* checked once, when it was new */
const struct shape *epoch_shape(const struct epoch *epoch, uint32_t shape); /* shape 0: n = 0 */
/* The highest symbol and shape; for readers of rows an upper bound of what the rows name. */
uint32_t epoch_symbols(const struct epoch *epoch);
uint32_t epoch_shapes(const struct epoch *epoch);

/* A word that the loop keeps with a symbol for itself (the interner: how a key's values repeat);
 * 0 at first. Loop thread. */
uint32_t *epoch_note(struct epoch *epoch, uint32_t symbol);
