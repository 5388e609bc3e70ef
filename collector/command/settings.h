/* settings.h - every configuration row of the collector in one struct: what `run`, `check` and `config` load. */
#pragma once
#include "api/ui/conf.h"
#include "api/zipkin/zipkin.h"
#include "attribute/attribute.h"
#include "base/log.h"
#include "conf/conf.h"
#include "consume/consume.h"
#include "door/door.h"
#include "elasticsearch/elasticsearch.h"
#include "http/auth.h"
#include "http/conf.h"
#include "ingest/conf.h"
#include "kafka/kafka.h"
#include "live/conf.h"
#include "net/tls.h"
#include "otlp/otlp.h"
#include "query/query.h"
#include "sample/rules.h"
#include "store/conf.h"
#include "zipkin/zipkin.h"

enum { SETTINGS_SECTIONS = 24 };
enum durability { DURABILITY_COMMIT, DURABILITY_OS }; /* journal.durability */

struct settings {
    struct { struct str data_dir; uint64_t threads; } top; /* data_dir empty: see settings_data_dir; threads 0: one a core */
    struct str listen[DOORS];   /* addresses; empty: off */
    struct conf_list tls_doors, open_doors; /* names; tls.doors (empty: every TCP door) and auth.open_doors (who ask nobody) */
    struct tls_conf tls;
    struct http_auth_conf auth;
    struct http_cors_conf cors;
    struct ingest_conf ingest;
    struct http_conf http;
    struct { int durability; } journal;
    struct live_conf live;
    struct decision_conf decisions;
    struct sample_conf sampling;
    struct head_conf head;
    struct store_conf store;
    struct query_conf query;
    struct ui_conf ui;
    struct zipkin_conf zipkin;
    struct consume_conf kafka;
    struct {
        struct otlp_export_conf otlp;
        struct zipkin_export_conf zipkin;
        struct kafka_export_conf kafka;
        struct elasticsearch_export_conf elasticsearch;
    } exporters;
    struct { int level, format; } log;
    struct http_auth *callers;  /* made of `auth` */
    struct attribute_rules *rules; /* made of ingest.rules; NULL: none */
    struct sample_rules *sample_rules; /* made of `sampling`; NULL: sampling.enabled is false */
    struct conf *conf;          /* owns the strings; origins */
    struct conf_section sections[SETTINGS_SECTIONS]; /* conf's; they point into this struct, so it must not move */
};

/* Loads file (NULL: none), environment and sets, and makes what rows describe. Errors: conf.h, http/auth.h, attribute/attribute.h, sample/rules.h,
 * command/endpoints.h. */
enum mg_err settings_load(struct settings *out, const char *path, const char *const *sets, size_t n_sets, struct mg_why *why) MG_MUST_USE;
/* That the rows of `tls`, and auth.client_certificates, go together: E_FORMAT names those that do not. settings_load asks it of what is
 * configured; a reload again of what is in force, because the rows of `tls` stay as they were at the start. */
enum mg_err settings_check_tls(const struct settings *settings, struct mg_why *why) MG_MUST_USE;
void settings_fini(struct settings *settings);
void settings_free(struct settings **settings); /* one of MEM_NEW */
void settings_reference(struct buf *out);
/* data_dir as configured, else $XDG_STATE_HOME/meshglass (~/.local/state/meshglass), or /var/lib/meshglass for root. New text (mem_free). */
char *settings_data_dir(const struct settings *settings);
/* Creates it (0700) and takes data_dir/LOCK: *fd stays open while it is in use. E_BUSY names the owner's pid. */
enum mg_err data_dir_lock(const char *data_dir, bool create, int *fd, struct mg_why *why) MG_MUST_USE;
