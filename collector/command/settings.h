/* settings.h - every configuration row of the collector in one struct: what `run`, `check` and `config` load. */
#pragma once
#include "api/ui/conf.h"
#include "base/log.h"
#include "conf/conf.h"
#include "http/conf.h"
#include "ingest/conf.h"
#include "live/conf.h"
#include "query/query.h"
#include "store/conf.h"

enum { SETTINGS_SECTIONS = 11 };
enum durability { DURABILITY_COMMIT, DURABILITY_OS }; /* journal.durability */

struct settings {
    struct { struct str data_dir; uint64_t threads; } top; /* data_dir empty: see settings_data_dir; threads 0: one a core */
    struct { struct str otlp_grpc, otlp_http, query_http, metrics, health; } listen; /* empty: off */
    struct ingest_conf ingest;
    struct http_conf http;
    struct { int durability; } journal;
    struct live_conf live;
    struct decision_conf sampling;
    struct store_conf store;
    struct query_conf query;
    struct ui_conf ui;
    struct { int level, format; } log;
    struct conf *conf;          /* owns the strings; origins */
    struct conf_section sections[SETTINGS_SECTIONS]; /* conf's; they point into this struct, so it must not move */
};

/* Loads file (NULL: none), environment and sets. Errors: conf.h. */
enum mg_err settings_load(struct settings *out, const char *path, const char *const *sets, size_t n_sets, struct mg_why *why) MG_MUST_USE;
void settings_fini(struct settings *settings);
void settings_reference(struct buf *out);
/* data_dir as configured, else $XDG_STATE_HOME/meshglass (~/.local/state/meshglass), or /var/lib/meshglass for root. New text (mem_free). */
char *settings_data_dir(const struct settings *settings);
/* Creates it (0700) and takes data_dir/LOCK: *fd stays open while it is in use. E_BUSY names the owner's pid. */
enum mg_err data_dir_lock(const char *data_dir, bool create, int *fd, struct mg_why *why) MG_MUST_USE;
