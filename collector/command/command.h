/* command.h - every subcommand of meshglass-collector: finds it by name, checks its arguments, runs
 * it.
 *
 * Exit status: 0 fine, 1 the answer is no or it failed, 2 wrong usage. Answers go to stdout,
 * everything else to stderr; an error is one line, `meshglass-collector: what: why`. A command on a
 * running instance takes --server URL.
 *
 * `run` is main.c's, which wires the modules: the table here holds its options, so that --help and
 * wrong usage are the same for all. Its hook is called with argv[0] = "run" after the arguments
 * were found to be well formed, and gets their values with run_args_parse. Main thread. */
#pragma once
#include "command/args.h"

enum { COMMAND_FINE = 0, COMMAND_NO = 1, COMMAND_USAGE = 2 };

struct command_hooks {
    int (*run)(int argc, char **argv);
};
int command_main(int argc, char **argv, const struct command_hooks *hooks);

/* One line on stderr: "meshglass-collector: what: why". */
void command_error(const char *what, const char *why);

/* The options that choose a configuration: --config FILE and --set key=value. */
struct config_args {
    const char *file; /* NULL: none */
    struct arg_list sets;
};
enum mg_err run_args_parse(struct config_args *out, int argc, char *const *argv,
                           struct mg_why *why) MG_MUST_USE;
void config_args_fini(struct config_args *args);

const char *version_text(void); /* "0.1.0" */
