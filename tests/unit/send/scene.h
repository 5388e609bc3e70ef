/* scene.h - a new rig for each test, for files whose tests all begin with nothing else. For one file a program. */
#pragma once
#include "rig.h"

static struct rig rig;

static inline int scene_setup(void **state)
{
    (void)state;
    rig_init(&rig);
    return 0;
}

static inline int scene_teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)
