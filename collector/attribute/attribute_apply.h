/* attribute_apply.h - one rule on one span or resource; private to attribute. One thread.
 *
 * A target borrows the span it stands for until a rule changes something. New bytes go to its arena. */
#pragma once
#include "attribute/attribute_list.h"

/* Memory of the steps between, kept from span to span. */
struct bench {
    const struct attribute_rules *rules;
    struct finder_scratch *finder;
    size_t added_left;    /* bytes that rules may still add in this scan */
    bool is_over;         /* one wanted more */
    struct buf texts[2];  /* text forms of values that are compared */
    struct buf replaced;  /* a text, by a pattern */
    struct buf wire;      /* events, links, arrays and maps, written anew */
};
void bench_init(struct bench *bench, const struct attribute_rules *rules);
void bench_fini(struct bench *bench);
void bench_shrink(struct bench *bench);
void bench_begin(struct bench *bench, size_t added_max);
/* False: that is more than may still be added; nothing more may be from then on. */
bool bench_may_add(struct bench *bench, size_t bytes);

struct captured { bool is_there; struct value value; };

struct target {
    const struct span *span;          /* as it is now; NULL: a resource */
    struct span own;                  /* where `span` points once a field is changed */
    struct attr_list list;
    struct arena arena;
    const struct captured *captured;  /* a span's: what its resource has, by slot */
    uint64_t part_bits;               /* of the keys in events and links, when counted */
    bool is_counted;
};
void attribute_target_fini(struct target *target);
void target_set_span(struct target *target, const struct attribute_rules *rules, const struct span *span,
                     const struct captured *captured);
void target_set_resource(struct target *target, const struct attribute_rules *rules, const struct attr *attrs, size_t n);
struct span *target_own(struct target *target); /* the span, to be changed */

/* attribute_condition.c. A value without VALUE_OTHER; false: the key is absent. */
bool operand_read(const struct target *target, const struct operand *operand, struct value *out);
/* STRING: as it is; else the text form, in *buf. */
struct str value_as_text(const struct value *value, struct buf *buf);
bool term_holds(struct bench *bench, const struct target *target, const struct term *term);

/* attribute_apply.c; the condition is the caller's. */
bool value_fits(const struct value *value); /* a resource's value into a span */
bool rule_may_touch(const struct rule *rule, const struct target *target);
void rule_apply(struct bench *bench, const struct rule *rule, struct target *target);

/* attribute_wire.c: parts in wire form. Rules are delete, hash, redact keys and redact pattern. */
#define REDACTED STR("***")
bool needles_match(const struct rule *rule, struct str key);
/* True: *out is the text as the pattern leaves it, in bench->replaced. */
bool text_redact(struct bench *bench, const struct rule *rule, struct str text, struct str *out);
/* 64 hex digits, in the arena. */
struct str value_hash(struct bench *bench, const struct value *value, struct arena *arena);
/* redact …: what is inside an array, a map, or OTHER. True: *out is the new raw part, in the arena. */
bool raw_redact(struct bench *bench, const struct rule *rule, const struct value *value, struct arena *arena, struct str *out);
/* span.events, span.links. True: *out is the new part, in the arena. */
enum part { PART_EVENTS, PART_LINKS };
bool part_change(struct bench *bench, const struct rule *rule, enum part part, struct str bytes, struct arena *arena,
                 struct str *out);
uint64_t part_bits(const struct attribute_rules *rules, enum part part, struct str bytes);
