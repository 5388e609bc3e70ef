/* conf.h - configuration as rows: the row is the parser, the validator, the default, the dump with
 * origins and the reference page.
 *
 * A module that has settings owns a `struct x_conf`, a table of conf_field rows and a conf_section
 * that names both. The caller lists the sections of the program; conf_load fills every struct from,
 * in rising order of precedence: defaults, the YAML file, the environment (MESHGLASS_ + key in
 * capitals, '.' as "__": MESHGLASS_LISTEN__OTLP_HTTP), and --set key=value. Everything is parsed
 * and checked before a struct is touched: on failure all of them are as they were. Strings
 * (NUL-terminated) and lists belong to the struct conf and live until conf_free.
 *
 * In the file, maps inside each other and dots in a key mean the same: `store: {retention: 7d}` is
 * `store.retention: 7d`. A section may be empty (`store:`); a row must have a value. In the
 * environment and on --set a list takes one plain value, and an empty one makes the list empty.
 * Values are UTF-8 without control characters other than tab and newline.
 *
 * Errors (E_FORMAT): unknown key, with file and line (or the origin's name), the key in full, and
 * the nearest known key; value of the wrong type or out of range, with the range. The first error
 * wins. Of a value or key that an error quotes, what stands before an '@' is shown as ***: it may be
 * a password in the wrong place. A file that cannot be read is E_IO, one over CONF_FILE_BYTES_MAX
 * E_TOO_BIG. Thread: the main thread loads; afterwards the structs are read-only for everybody. The sections' array, the
 * rows and the targets must outlive the struct conf. */
#pragma once
#include "base/buf.h"

#define CONF_FILE_BYTES_MAX (4u << 20)
#define CONF_ENVIRONMENT_PREFIX "MESHGLASS_"

enum conf_type {
    CONF_BOOL,        /* bool; "true", "false" */
    CONF_U64,         /* uint64_t */
    CONF_BYTES,       /* uint64_t; "64MiB" */
    CONF_DURATION,    /* uint64_t, nanoseconds; "7d" */
    CONF_NUMBER,      /* double */
    CONF_STR,         /* struct str */
    CONF_CHOICE,      /* int: index into `choices` ("a|b|c") */
    CONF_ADDRESS,     /* struct str: "host:port", "[::1]:port", ":port" refused, or "off" (→ empty) */
    CONF_LIST,        /* struct conf_list of struct str; a plain value is a list of one */
    CONF_TREE         /* const struct yaml *: a list or map as it stands, for its owner to read; NULL when absent. In the environment and
                       * on --set the value is YAML itself: --set 'sampling.policies=[{name: all, type: always_sample}]'. `def` is NULL.
                       * An explicit null, or no text there, is NULL too. Nodes live until conf_free; their lines are those of the
                       * file, or of the text. At most YAML_DEPTH_MAX - 1 deep. The dump prints it with yaml_print */
};
struct conf_list { struct str *at; size_t n; };

struct conf_field {
    const char *name;      /* last part of the key */
    enum conf_type type;
    size_t offset;
    const char *def;       /* default, as a user would write it; NULL: zero / empty, which the owner may replace
                            * by a computed value after the load; CONF_LIST: NULL or one plain value */
    const char *min, *max; /* inclusive, as a user would write it; NULL: none */
    const char *choices;   /* CONF_CHOICE: "commit|os" */
    const char *help;      /* one sentence, ends with a full stop */
    bool is_secret;        /* the dump says only that it is set */
    bool needs_restart;    /* read at the program's start only: the reference page says so, and a reload keeps the old value */
};
/* CONF_ROW(struct store_conf, CONF_DURATION, "retention", retention_ns, "7d", "1h", "90d", "Age at …") in a
 * table; the key carries no unit, the C field does. CONF_ROW_CHOICE is the same for CONF_CHOICE. Behind the help of each may stand
 * CONF_NEEDS_RESTART. */
#define CONF_ROW(struct_type, type_, key_, field_, def_, min_, max_, ... /* help */) \
    { .name = key_, .type = type_, .offset = offsetof(struct_type, field_), .def = def_, .min = min_, .max = max_, .help = __VA_ARGS__ }
#define CONF_ROW_SECRET(struct_type, type_, key_, field_, ... /* help */) \
    { .name = key_, .type = type_, .offset = offsetof(struct_type, field_), .is_secret = true, .help = __VA_ARGS__ }
#define CONF_ROW_CHOICE(struct_type, key_, field_, def_, choices_, ... /* help */) \
    { .name = key_, .type = CONF_CHOICE, .offset = offsetof(struct_type, field_), .def = def_, .choices = choices_, .help = __VA_ARGS__ }
#define CONF_NEEDS_RESTART .needs_restart = true

struct conf_section {
    const char *prefix;             /* "store"; "" for top-level keys such as data_dir */
    const struct conf_field *fields;
    size_t n_fields;
    void *target;                   /* the struct that is filled */
};

struct conf_source {
    const char *path;               /* YAML file; NULL: none */
    const char *const *sets;        /* "key=value", from --set, in order */
    size_t n_sets;
    const char *const *environment; /* environ; NULL: none */
};

struct conf;
enum mg_err conf_load(struct conf **out, const struct conf_section *sections, size_t n_sections,
                      const struct conf_source *source, struct mg_why *why) MG_MUST_USE;
void conf_free(struct conf **conf);
/* Every value in force with its origin, in section order: `store.retention: 7d  # default`,
 * `# file.yaml:12`, `# environment MESHGLASS_…`, `# --set`. Reads the targets, so that values the owner
 * computed after the load are shown ("default, computed"); a row without default that is still zero is
 * a comment line, and so is a secret. Valid YAML that loads back to the same. The user and password of a URL are secrets too: a
 * text, or an item of a list, that begins with SCHEME:// and has an '@' is a comment line with *** for what stands before the last '@'. */
void conf_dump(const struct conf *conf, struct buf *out);
/* The reference page (Markdown) from rows alone: a table per section, or for sections in a row with one prefix. A row that
 * needs_restart says so behind its help. */
void conf_reference(const struct conf_section *sections, size_t n_sections, struct buf *out);
/* Origin of one key as in the dump ("default"), or NULL for an unknown key. */
const char *conf_origin(const struct conf *conf, const char *key);

/* Every row with its full key and its environment variable, in section order; both names borrow for the call. */
typedef void conf_key_fn(void *owner, const char *key, const char *variable, const struct conf_field *field);
void conf_keys(const struct conf_section *sections, size_t n_sections, conf_key_fn *visit, void *owner);

/* The keys whose values, as loaded, differ between two loads of the same sections. */
typedef void conf_changed_fn(void *owner, const char *key);
void conf_changed(const struct conf *old, const struct conf *now, conf_changed_fn *visit, void *owner);
/* For a reload, before anything reads what `now` loaded: rows that need a restart and differ get the value and origin they have in
 * `old`, in the target too, and are told to visit. `old` must outlive `now`, which borrows from it from then on. */
void conf_keep_started(struct conf *now, const struct conf *old, conf_changed_fn *visit, void *owner);
