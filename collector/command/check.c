/* check.c - `check FILE`: the same load as `run` makes, environment included, and nothing else. */
#include "command/settings.h"
#include "command/table.h"
#include <stdio.h>

static int check_run(const void *fields, const struct arg_list *operands)
{
    struct settings settings;
    struct mg_why why;

    (void)fields;
    if (settings_load(&settings, operands->at[0], NULL, 0, &why) != MG_OK) {
        settings_fini(&settings);
        command_error("check", why.text);
        return COMMAND_NO;
    }
    settings_fini(&settings);
    printf("%s: fine\n", operands->at[0]);
    return command_flush(COMMAND_FINE);
}

const struct command check_command = {
    .name = "check",
    .help = "Validates a configuration file; exit status 1 and the place when it is wrong.",
    .rules = {NULL, 0, "FILE", 1, 1},
    .run = check_run,
};
