/* output.h - what a command writes to stdout and stderr. Needs test.h first. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "command/command.h"

struct output {
    int saved[2], file[2];
    char text[2][16384];
};

static inline void capture(struct output *out)
{
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        char name[] = "/tmp/meshglass-command-XXXXXX";
        out->saved[i] = dup(i + 1);
        out->file[i] = mkstemp(name);
        assert_true(out->file[i] >= 0);
        unlink(name);
        dup2(out->file[i], i + 1);
    }
}

static inline void release(struct output *out)
{
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        ssize_t got = pread(out->file[i], out->text[i], sizeof out->text[i] - 1, 0);
        out->text[i][got > 0 ? got : 0] = '\0';
        dup2(out->saved[i], i + 1);
        close(out->saved[i]);
        close(out->file[i]);
    }
}
