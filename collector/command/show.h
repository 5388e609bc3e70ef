/* show.h - a command that asks a running instance one question and prints the answer: as text or, with --json, as it came.
 * Private to the module. */
#pragma once
#include "command/server.h"

struct show_fields { /* the command's own */
    struct server_args server;
    bool json;
};
#define SHOW_ARG_ROWS                                                                                                    \
    SERVER_ARG_ROWS(struct show_fields, server),                                                                         \
    {                                                                                                                    \
        .name = "--json", .kind = ARG_FLAG, .offset = offsetof(struct show_fields, json),                                \
        .help = "Prints the answer as it came, as JSON."                                                                 \
    }

/* Appends what people read. *is_fine is true; false makes the exit status 1 although there is an answer. E_FORMAT: it is no
 * such answer. */
typedef enum mg_err show_print_fn(struct str json, struct buf *out, bool *is_fine, struct mg_why *why);
/* The exit status; failures were told. */
int show_answer(const struct show_fields *fields, const char *command, const char *path, show_print_fn *print);
