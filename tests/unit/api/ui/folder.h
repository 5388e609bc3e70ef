/* folder.h - a directory that a test fills and that goes with it. One thread. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/str.h"

struct folder {
    char path[64];
};

static inline void folder_init(struct folder *folder)
{
    const char *base = getenv("TMPDIR");

    snprintf(folder->path, sizeof folder->path, "%.40s/ui-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(folder->path));
}

static inline void folder_fini(struct folder *folder)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", folder->path);
    assert_int_equal(system(command), 0);
}

static inline const char *folder_at(const struct folder *folder, const char *name)
{
    static char path[256];
    size_t len = strlen(folder->path);

    assert_true(len + 1 + strlen(name) < sizeof path);
    memcpy(path, folder->path, len);
    path[len] = '/';
    memcpy(path + len + 1, name, strlen(name) + 1);
    return path;
}

static inline void folder_dir(const struct folder *folder, const char *name)
{
    assert_int_equal(mkdir(folder_at(folder, name), 0700), 0);
}

static inline void folder_put(const struct folder *folder, const char *name, struct str bytes)
{
    FILE *file = fopen(folder_at(folder, name), "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
}
