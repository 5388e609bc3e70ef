/* memfs_scene.h - a memory file system for each test of a file: fresh before it, without open handles after it. */
#pragma once
#include "memfs.h"

static struct memfs fs;

static int setup(void **state)
{
    (void)state;
    memfs_init(&fs);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(fs.open_handles, 0);
    memfs_fini(&fs);
    return 0;
}
