/* entry.h - what conf.c knows of each row and print.c shows. Private to the module. */
#pragma once
#include "base/arena.h"
#include "base/vec.h"
#include "conf/value.h"

struct yaml_docs;

struct conf_entry {
    const struct conf_section *section;
    const struct conf_field *field;
    const char *key;         /* full key, "store.retention" */
    const char *variable;    /* MESHGLASS_STORE__RETENTION */
    const char *origin;      /* as in the dump */
    unsigned file_line;      /* where the file sets it; 0: it does not */
    struct conf_value value; /* as loaded */
};

struct conf {
    struct arena arena; /* names, values, origins */
    VEC(struct yaml_docs *) docs; /* of the trees */
    struct conf_entry *entries;
    size_t n;
};

/* Builds the names of all rows; values and origins stay zero. */
void conf_entries_init(struct conf *conf, const struct conf_section *sections, size_t n_sections);
