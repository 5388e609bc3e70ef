/* page.h - the files of the page, compiled in; cmake/embed.py writes the array. Constant; any
 * thread. */
#pragma once
#include "base/str.h"

struct console_file {
    struct str name; /* "index.html": what stands after /console/ */
    struct str type; /* content type */
    struct str etag; /* strong, with its quotes: a digest of the bytes */
    struct str bytes, gzip; /* as of http_file */
};

extern const struct console_file console_files[]; /* sorted by name */
extern const size_t console_files_n;
