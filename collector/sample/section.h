/* section.h - typed values out of a map of the configuration: under a policy's type name, or an item of a list; private to sample. Main thread.
 *
 * Sentences begin with the key as the file writes it: "latency.threshold_ms is 'x', not a whole number" (E_FORMAT), and the caller puts the item's
 * place in front: "sampling.classes 2 'cart' (line 9): paths is empty". What is absent, or there without a value, leaves *out as it is:
 * `section_need` asks for it. */
#pragma once
#include "base/arena.h"
#include "conf/yaml.h"

struct section { const char *name; /* empty: the item itself */ const struct yaml *map; };
struct section_items { const struct yaml *node; size_t n; };

const struct yaml *section_find(const struct section *s, const char *key); /* NULL: absent, or without a value */
enum mg_err section_need(const struct section *s, const char *key, struct mg_why *why) MG_MUST_USE;
enum mg_err section_count(const struct section *s, const char *key, uint64_t min, uint64_t max, uint64_t *out, struct mg_why *why) MG_MUST_USE;
enum mg_err section_integer(const struct section *s, const char *key, int64_t *out, struct mg_why *why) MG_MUST_USE;
enum mg_err section_number(const struct section *s, const char *key, double min, double max, double *out, struct mg_why *why) MG_MUST_USE;
enum mg_err section_bool(const struct section *s, const char *key, bool *out, struct mg_why *why) MG_MUST_USE;
enum mg_err section_seconds(const struct section *s, const char *key, uint64_t min_s, uint64_t max_s, uint64_t *out_ns,
                            struct mg_why *why) MG_MUST_USE; /* a duration */
/* Needed, and not empty. */
enum mg_err section_text(const struct section *s, const char *key, struct str *out, struct mg_why *why) MG_MUST_USE;
enum mg_err section_list(const struct section *s, const char *key, struct section_items *out, struct mg_why *why) MG_MUST_USE;
enum mg_err section_texts(const struct section *s, const char *key, struct arena *arena, struct str **texts, size_t *n,
                          struct mg_why *why) MG_MUST_USE;

/* All keys of the section are among these. */
enum mg_err section_keys(const struct section *s, struct mg_why *why, const char *const *known) MG_MUST_USE;
#define SECTION_KEYS(s, why, ...) section_keys(s, why, (const char *const[]){ __VA_ARGS__, NULL })

enum mg_err section_fail(const struct section *s, const char *key, const struct yaml *node, const char *wanted, struct mg_why *why);
struct str section_shown(struct str word); /* cut, for a sentence */
/* "; did you mean 'x'?" for the nearest of the known words, which end with NULL; when none is near, all of them: " (x, y)". */
struct section_hint { char text[300]; };
struct section_hint section_hint(struct str word, const char *const *known);
