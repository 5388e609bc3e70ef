/* value.h - one typed value of a configuration row: text → checked value → C field → text.
 * Used by conf.c and print.c only. Errors are E_FORMAT without a place; the caller puts it in
 * front. */
#pragma once
#include "base/arena.h"
#include "conf/conf.h"

struct conf_value {
    union {
        bool flag;
        uint64_t u64;
        double number;
        int choice;
        struct str str;
        struct conf_list list;
        const struct yaml *tree;
    };
};

/* Parses one plain value (not for CONF_TREE; for CONF_LIST: a list of one, or none when empty) and checks type and
 * range. Text is copied into the arena. */
enum mg_err conf_value_parse(const struct conf_field *field, struct str text, struct arena *arena,
                             struct conf_value *out, struct mg_why *why) MG_MUST_USE;
/* Parses several plain values; CONF_LIST only. */
enum mg_err conf_value_parse_list(const struct str *items, size_t n, struct arena *arena,
                                  struct conf_value *out, struct mg_why *why) MG_MUST_USE;
void conf_value_store(const struct conf_field *field, const struct conf_value *value, void *target);
void conf_value_read(const struct conf_field *field, const void *target, struct conf_value *out);
bool conf_value_is_zero(const struct conf_field *field, const struct conf_value *value);
bool conf_value_eq(const struct conf_field *field, const struct conf_value *a,
                   const struct conf_value *b);
/* As a YAML value on one line, which conf_load reads back to the same. */
void conf_value_print(const struct conf_field *field, const struct conf_value *value,
                      struct buf *out);
