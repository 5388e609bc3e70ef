/* sections.h - a small program's settings, one row of each type; for conf_test.c and print_test.c.
 */
#pragma once
#include "conf/conf.h"

struct top_conf {
    struct str data_dir;
};
struct listen_conf {
    struct str otlp_http, zipkin;
};
struct rules_conf {
    const struct yaml *policies, *classes;
    double per_second;
};
struct store_conf {
    bool is_readonly;
    uint64_t blocks, disk_bytes, retention_ns;
    double ratio;
    int durability;
    struct conf_list files, urls;
    struct str name, token;
};
static struct top_conf top;
static struct listen_conf doors;
static struct store_conf disk;
static struct rules_conf rules;

static const struct conf_field top_fields[] = {
    CONF_ROW(struct top_conf, CONF_STR, "data_dir", data_dir, NULL, NULL, NULL,
             "Where data is kept."),
};
static const struct conf_field listen_fields[] = {
    CONF_ROW(struct listen_conf, CONF_ADDRESS, "otlp_http", otlp_http, "127.0.0.1:4318", NULL, NULL,
             "OTLP over HTTP.", CONF_NEEDS_RESTART),
    CONF_ROW(struct listen_conf, CONF_ADDRESS, "zipkin", zipkin, "off", NULL, NULL, "Zipkin."),
};
static const struct conf_field store_fields[] = {
    CONF_ROW(struct store_conf, CONF_BOOL, "read_only", is_readonly, "false", NULL, NULL,
             "Write nothing."),
    CONF_ROW(struct store_conf, CONF_U64, "blocks", blocks, "5", "1", "10", "Blocks."),
    CONF_ROW(struct store_conf, CONF_BYTES, "disk_max", disk_bytes, NULL, "1MiB", NULL,
             "Largest size."),
    CONF_ROW(struct store_conf, CONF_DURATION, "retention", retention_ns, "7d", "1h", "90d",
             "Age."),
    CONF_ROW(struct store_conf, CONF_NUMBER, "ratio", ratio, "0.1", "0", "1", "Share."),
    CONF_ROW_CHOICE(struct store_conf, "journal.durability", durability, "commit", "commit|os",
                    "Sync.", CONF_NEEDS_RESTART),
    CONF_ROW(struct store_conf, CONF_LIST, "files", files, NULL, NULL, NULL, "Files."),
    CONF_ROW(struct store_conf, CONF_LIST, "urls", urls, NULL, NULL, NULL, "URLs.",
             CONF_NEEDS_RESTART),
    CONF_ROW(struct store_conf, CONF_STR, "name", name, "it", NULL, NULL, "Name."),
    CONF_ROW_SECRET(struct store_conf, CONF_STR, "token", token, "Token.", CONF_NEEDS_RESTART),
};
static const struct conf_field rule_fields[] = {
    CONF_ROW(struct rules_conf, CONF_TREE, "policies", policies, NULL, NULL, NULL, "Policies."),
    CONF_ROW(struct rules_conf, CONF_NUMBER, "floor.per_second", per_second, "1", "0", NULL,
             "Traces of the floor."),
};
static const struct conf_field class_fields[] = {
    CONF_ROW(struct rules_conf, CONF_TREE, "classes.list", classes, NULL, NULL, NULL, "Classes.",
             CONF_NEEDS_RESTART),
};
static const struct conf_section sections[] = {
    { "", top_fields, MG_COUNT(top_fields), &top },
    { "listen", listen_fields, MG_COUNT(listen_fields), &doors },
    { "store", store_fields, MG_COUNT(store_fields), &disk },
    { "rules", rule_fields, MG_COUNT(rule_fields), &rules },
    { "rules", class_fields, MG_COUNT(class_fields), &rules },
};

static inline void targets_clear(void)
{
    memset(&top, 0, sizeof top);
    memset(&doors, 0, sizeof doors);
    memset(&disk, 0, sizeof disk);
    memset(&rules, 0, sizeof rules);
}
