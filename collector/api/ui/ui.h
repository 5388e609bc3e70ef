/* ui.h - an unmodified Jaeger UI from a directory, as the front page of query_http.
 *
 * ui_open reads everything into memory and fills in the page, on the main thread, and fails with a
 * sentence when something is missing; afterwards a struct ui never changes. The routes look at the
 * struct ui that their owner points to, a `struct ui **` of the program's, at each request: a
 * reload opens a new one, exchanges the pointer on the loop's thread, and frees the old one there.
 * NULL is no UI: then `/` leads to the console.
 *
 *     /static/…   the directory's file, or 404
 *     /api/…      what no other route took: 404 in Jaeger's words
 *     the rest    the page, so that the UI's own paths can be opened directly
 *
 * Only index.html and static/ can be reached. Files whose names carry a hash of their content may
 * be kept for ever; everything else is asked for again and answered by its tag. */
#pragma once
#include "api/ui/conf.h"
#include "http/http.h"

struct ui_options {
    const struct ui_conf *conf;    /* dir must be given */
    const char *version;           /* of this program; shown in the UI's About menu */
    bool has_archive, has_metrics; /* what the UI may offer */
};
struct ui;
/* E_ABSENT: no such directory, or no index.html or static/ in it. E_FORMAT: links or devices in it,
 * or a ui.config that cannot be used. E_TOO_BIG: above ui.bytes_max. */
enum mg_err ui_open(struct ui **out, const struct ui_options *options,
                    struct mg_why *why) MG_MUST_USE;
void ui_free(struct ui **ui);

/* GET /, /static/ and everything below, and everything else. They stand beside the routes of other
 * modules in one table, which win where they fit; `/` must be in the table once. */
const struct http_route *ui_routes(size_t *n);
