/* section.h - one section and one setting, for tests of the rows that a module declares. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "conf/conf.h"

/* Fills the section's target; set NULL: with the defaults. Texts in the target are gone when it
 * returns. */
static inline enum mg_err section_load(const struct conf_section *section, const char *set)
{
    const struct conf_source source = {.sets = &set, .n_sets = set ? 1 : 0};
    struct conf *conf = NULL;
    enum mg_err err = conf_load(&conf, section, 1, &source, NULL);

    conf_free(&conf);
    return err;
}

struct section_case {
    const char *set; /* "http.streams_max=1" */
    enum mg_err want;
};

static inline void section_check(const struct conf_section *section,
                                 const struct section_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (section_load(section, cases[i].set) != cases[i].want)
            fail_msg("%s", cases[i].set);
}
