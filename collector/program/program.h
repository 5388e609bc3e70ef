/* program.h - `meshglass-collector run`: the one place that wires modules together.
 *
 * The main thread opens what is on disk, starts the threads of collector/README.md, and then only waits: for the log to be read, for a
 * signal, for everything to come to rest. What concerns a loop is done on that loop, by a call that the main thread waits for; so
 * start and shutdown read from top to bottom in program.c. */
#pragma once

/* The command: parses the arguments, runs until SIGTERM or SIGINT; the process's exit status. */
int program_run(int argc, char **argv);
