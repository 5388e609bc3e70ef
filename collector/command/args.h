/* args.h - command line options as rows: the row is the parser, the check and the line of --help.
 *
 * `--name VALUE` and `--name=VALUE` mean the same; `--` ends the options; everything else is an
 * operand. An option given twice is an error unless it is a list. Fields of options that were not
 * given are left alone, so the caller's initial values are the defaults. Texts are borrowed from
 * argv. Main thread. */
#pragma once
#include "base/buf.h"

enum arg_kind {
    ARG_FLAG,     /* bool; takes no value */
    ARG_TEXT,     /* const char *; never empty */
    ARG_LIST,     /* struct arg_list */
    ARG_U64,      /* uint64_t, min … max */
    ARG_DURATION, /* uint64_t, nanoseconds, min … max; "10m" */
};
struct arg_list {
    const char **at;
    size_t n, room;
}; /* a VEC; release with VEC_FINI */

struct arg_option {
    const char *name; /* "--server" */
    enum arg_kind kind;
    size_t offset;     /* of the field in the caller's struct */
    const char *value; /* how --help calls it: "URL"; NULL for a flag */
    uint64_t min, max; /* U64, DURATION; inclusive */
    const char *with;  /* an option that must be given too; NULL: none */
    const char *help;  /* one sentence, ends with a full stop */
};
struct arg_rules {
    const struct arg_option *options;
    size_t n_options;
    const char *operands; /* how --help calls them: "DIR"; "" for none */
    unsigned operands_min, operands_max;
};

/* argv[0] is the command's own name and skipped. `fields` is the struct the offsets belong to,
 * `operands` gets what is no option. E_FORMAT: wrong usage, with a sentence; fields may be filled
 * in part then. */
enum mg_err args_parse(const struct arg_rules *rules, int argc, char *const *argv, void *fields,
                       struct arg_list *operands, struct mg_why *why) MG_MUST_USE;
/* Aligned lines for --help: "  --server URL   Base URL of …". */
void args_help(const struct arg_rules *rules, struct buf *out);
