/* version.c - the version comes from the build, so that there is one place where it is written. */
#include "command/table.h"
#include <stdio.h>

const char *version_text(void)
{
    return MESHGLASS_VERSION;
}

static int version_run(const void *fields, const struct arg_list *operands)
{
    (void)fields;
    (void)operands;
    printf("meshglass-collector %s\n", version_text());
    return command_flush(COMMAND_FINE);
}

const struct command version_command = {
    .name = "version",
    .help = "Prints the version.",
    .rules = {NULL, 0, "", 0, 0},
    .run = version_run,
};
