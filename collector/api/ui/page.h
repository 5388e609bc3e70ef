/* page.h - index.html of a Jaeger UI, filled in for this server.
 *
 * The UI reads its configuration, the server's capabilities and the server's version from
 * assignments in the page, whose right sides the server replaces. Which of them there are, and how
 * they are spaced, depends on the UI's version: whatever is there is filled in. Pure functions. */
#pragma once
#include "base/buf.h"

struct page_values {
    struct str config;  /* a JSON object; empty: the UI's own defaults */
    struct str script;  /* JavaScript that defines UIConfig(); instead of config */
    struct str base;    /* "/" or "/prefix/" */
    struct str version; /* of this server, as a person reads it */
    bool has_archive, has_metrics;
};
/* Appends. E_FORMAT: the page has no place for the configuration that was given. */
enum mg_err page_fill(struct str html, const struct page_values *values, struct buf *out,
                      struct mg_why *why) MG_MUST_USE;

/* What the operator wrote, checked for its place inside a script element. E_FORMAT. */
enum mg_err page_config_check(struct str json, struct mg_why *why) MG_MUST_USE;
enum mg_err page_script_check(struct str script, struct mg_why *why) MG_MUST_USE;
/* "" and "jaeger" and "/jaeger" become "/", refused, "/jaeger/": must begin with a slash, and may
 * hold letters, digits and -._~/ only. In the arena's memory. */
struct arena;
enum mg_err page_base_check(struct str text, struct arena *arena, struct str *base,
                            struct mg_why *why) MG_MUST_USE;
