/* The backup's answers: whole, broken early, broken late, and refused; and that the place is free again after each. */
#include "scene.h"

#define PATH "/api/meshglass/v1/backup"

static const struct {
    size_t bytes;
    enum mg_err err, want;
    int status;
    const char *says;
} rows[] = {
    { 0, MG_OK, MG_OK, 200, "" },
    { 1, MG_OK, MG_OK, 200, "p" },
    { 65535, MG_OK, MG_OK, 200, "piece" }, /* below, at and above what is held back for a clean status */
    { 65536, MG_OK, MG_OK, 200, "piece" },
    { 65537, MG_OK, MG_OK, 200, "piece" },
    { 5000000, MG_OK, MG_OK, 200, "piece" },

    { 0, MG_E_IO, MG_OK, 500, "the disk under the copy is full" },
    { 1000, MG_E_IO, MG_OK, 500, "the disk under the copy is full" },
    { 0, MG_E_TOO_BIG, MG_OK, 413, "the disk under the copy is full" },
    { 5000000, MG_E_IO, MG_E_IO, 200, "" },
};

static void answers(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        fake.backup_bytes = rows[i].bytes;
        fake.backup_err = rows[i].err;
        ask(scene, "GET", PATH);
        if (scene->err != rows[i].want || scene->status != rows[i].status || !says(scene, rows[i].says))
            fail_msg("row %zu: %s %d %.*s", i, mg_err_name(scene->err), scene->status, (int)MG_MIN(scene->body.len, (size_t)200),
                     scene->body.ptr);
        if (rows[i].err == MG_OK) {
            assert_int_equal(scene->body.len, rows[i].bytes);
            assert_string_equal(scene->content_type, "application/x-tar");
        }
        assert_false(scene->admin.is_backing_up);
        assert_string_equal(fake.job_name, "backup");
    }
    assert_int_equal(fake.n_jobs, MG_COUNT(rows));
}

static void makes_one_at_a_time(void **state)
{
    struct scene *scene = *state;

    scene->admin.is_backing_up = true;
    ask(scene, "GET", PATH);
    assert_int_equal(scene->status, 503);
    assert_string_equal(scene->retry_after, "30");
    assert_true(says(scene, "a backup is being made already"));
    assert_int_equal(fake.n_jobs, 0);
    assert_true(scene->admin.is_backing_up); /* it is the other one's */
    scene->admin.is_backing_up = false;
    ask(scene, "GET", PATH);
    assert_int_equal(scene->status, 200);
}

static void waits_in_no_full_queue(void **state)
{
    struct scene *scene = *state;

    fake.has_no_room = true;
    ask(scene, "GET", PATH);
    assert_int_equal(scene->status, 503);
    assert_true(says(scene, "too many queries"));
    assert_false(scene->admin.is_backing_up);
}

static void copies_nothing_for_other_methods(void **state)
{
    static const char *const methods[] = { "HEAD", "POST", "PUT", "DELETE" };
    struct scene *scene = *state;

    for (size_t i = 0; i < MG_COUNT(methods); i++) {
        ask(scene, methods[i], PATH);
        assert_int_equal(scene->status, 405);
    }
    assert_int_equal(fake.n_jobs, 0);
}

/* What comes first is refused; the thread that copies learns of it and ends. */
static enum mg_err refuse(void *owner, struct str bytes, struct mg_why *why)
{
    (void)owner, (void)bytes;
    return mg_fail(why, MG_E_IO, "enough");
}

static void ends_when_its_reader_goes(void **state)
{
    struct scene *scene = *state;

    fake.backup_bytes = (size_t)1 << 40; /* would not end by itself */
    http_client_call(scene->client, &(struct http_call){ .method = "GET", .path = STR(PATH), .on_body = refuse }, on_done, scene);
    loop_run(scene->loop);
    assert_int_equal(scene->err, MG_E_IO);
    ask(scene, "GET", "/status"); /* the loop goes on, and sees the connection's end */
    while (atomic_load(&scene->admin.is_backing_up))
        ask_with(scene, &(struct http_call){ .method = "GET", .path = STR("/status") });
    assert_int_equal(pthread_join(fake.thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(makes_one_at_a_time, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(waits_in_no_full_queue, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(copies_nothing_for_other_methods, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(ends_when_its_reader_goes, scene_begin, scene_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
