/* conf.h - the `ui` section: where a built Jaeger UI lies and what it is told. Read by ui_open. */
#pragma once
#include "conf/conf.h"

struct ui_conf {
    struct str dir;     /* ui.dir; empty: no UI, the console is the front page */
    struct str config;  /* ui.config; empty: the UI's own defaults */
    struct str base;    /* ui.base_path, "/" */
    uint64_t bytes_max; /* ui.bytes_max, 64MiB: all files together, in memory */
};
extern const struct conf_field ui_fields[];
extern const size_t ui_fields_n;
