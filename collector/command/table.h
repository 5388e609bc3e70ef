/* table.h - one row a command: its name, its arguments, its help, its function. Private to the
 * module.
 *
 * The row stands beside the function; command.c lists the rows, parses the arguments by them and
 * prints --help from them. A function gets a filled copy of `defaults` and returns the exit status.
 */
#pragma once
#include "command/command.h"

struct command {
    const char *name; /* "config", "journal check" */
    const char *help; /* one sentence, ends with a full stop */
    struct arg_rules rules;
    const void *defaults; /* the struct the rules fill; NULL: the command has no options */
    size_t fields_bytes;
    int (*run)(const void *fields, const struct arg_list *operands); /* NULL: command_hooks.run */
};
extern const struct command check_command, config_command, version_command, ledger_command,
    demo_command, journal_check_command, journal_dump_command, store_check_command,
    store_dump_command, store_stats_command, store_backup_command, sampling_show_command, why_command;

/* The rows that `config` and `run` share; filled is a struct config_args. */
#define CONFIG_ARG_ROWS(type, member)                                                              \
    {.name = "--config",                                                                           \
     .kind = ARG_TEXT,                                                                             \
     .offset = offsetof(type, member file),                                                        \
     .value = "FILE",                                                                              \
     .help = "Configuration file; without one the defaults hold."},                                \
    {                                                                                              \
        .name = "--set", .kind = ARG_LIST, .offset = offsetof(type, member sets),                  \
        .value = "KEY=VALUE",                                                                      \
        .help = "One setting, stronger than file and environment; may be repeated."                \
    }

/* The command with that name, of one or two words; *words tells how many were used. NULL: none. */
const struct command *command_find(int argc, char *const *argv, int *words);
void command_help(const struct command *command, struct buf *out);
/* Ends what goes to stdout: COMMAND_NO, with a message, when it could not be written. */
int command_flush(int status);
