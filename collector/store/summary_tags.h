/* summary_tags.h - which attribute keys and values a block has, tag 12 of its summary; private to
 * the block codec. FORMAT.md 4 is the law.
 *
 * A `told` collects what a block holds while it is built, or checked, and writes it. In which order
 * and how often something is told makes no difference, so equal blocks have equal bytes. What is
 * not told opens its key: then nothing is concluded about it. One thread; the memory serves the
 * next block too.
 *
 * Readers take bytes from a file and believe none of them: what is malformed rules nothing out. */
#pragma once
#include "base/buf.h"
#include "store/filter.h"

#define TOLD_KEYS_MAX  4096 /* with more of them nothing is told */
#define TOLD_WORDS_MAX 8192 /* of the filter; texts that need more open their keys */
#define TOLD_TEXT_BITS 12   /* of the filter, for each text */

/* Of a key. */
enum told_flag {
    TOLD_TEXT_OPEN = 1,
    TOLD_NUMBERS_OPEN = 2,
    TOLD_OPEN = TOLD_TEXT_OPEN | TOLD_NUMBERS_OPEN,
    TOLD_HAS_NUMBERS = 4,
    TOLD_HAS_TYPED = 8 /* some of them are no texts, so the filter does not have theirs */
};

struct told;
struct told *told_new(void);
void told_free(struct told **told);
/* The block has things that are not told and whose keys are not known. */
void told_open_all(struct told *told);

/* A key that the block has, good until told_write. */
struct told_key {
    uint64_t hash; /* of the key; texts of it are hashed with it */
    uint32_t at;
};
struct told_key told_put_key(struct told *told, struct str key);
void told_open_key(struct told *told, struct told_key key, unsigned flags);
void told_put_text(struct told *told, struct told_key key, struct str text);
/* BOOL, INT or DOUBLE, as bits. */
void told_put_numbers(struct told *told, struct told_key key, enum value_type type,
                      const uint64_t *values, size_t n);
/* Attributes of a resource, of a scope: as filter_resource and filter_scope look at them. */
void told_put_resource(struct told *told, struct str resource);
void told_put_scope(struct told *told, struct str scope);

void told_write(struct told *told, struct buf *out); /* the content of the tag; and starts anew */

/* May a block with this content hold a span that satisfies all tags of the filter? */
bool told_may_match(struct str content, const struct span_filter *filter);
