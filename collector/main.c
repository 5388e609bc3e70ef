/* main.c - meshglass-collector. */
#include "command/command.h"
#include "program/program.h"

int main(int argc, char **argv)
{
    const struct command_hooks hooks = { .run = program_run };

    return command_main(argc, argv, &hooks);
}
