/* catalog.h - services and their operations, kept per partition so that retention forgets them, and merged for
 * an answer. Names are sanitised (view_*). One thread at a time; the store guards its own with its lock.
 *
 * A peer chooses the names, so a catalog has a largest size: an operation is left out once there are CATALOG_NAMES_MAX, a
 * service once there are that many services. It lists names for people and never says that a name is absent. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
struct catalog;

#define CATALOG_NAMES_MAX 16384
#define CATALOG_NAME_BYTES 256 /* longer names are cut, between characters */

struct catalog *catalog_new(void);
void catalog_free(struct catalog **catalog);
void catalog_add(struct catalog *catalog, struct str service, struct str operation, int kind);
void catalog_merge(struct catalog *into, const struct catalog *from);
/* Sorted copies in the arena. */
struct catalog_operation { struct str name; int kind; };
size_t catalog_services(const struct catalog *catalog, struct arena *arena, struct str **out);
size_t catalog_operations(const struct catalog *catalog, struct str service, struct arena *arena, struct catalog_operation **out); /* by name, then kind */
/* The whole, written as in tag 10 of a summary (FORMAT.md 4): equal catalogs give equal bytes. */
void catalog_write(const struct catalog *catalog, struct buf *out);
