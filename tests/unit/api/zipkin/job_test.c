/* What every request of the folder does, seen through one that finds traces and one that lists. */
#include "scene.h"

#define SEARCH "/api/v2/traces?endTs=100000"
#define LIST   "/api/v2/services"
static const char *const both[] = {SEARCH, LIST};

/* A job that keeps the only query thread until it is told to end. */
struct blocker {
    struct ask ask; /* first */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_running, may_end;
};

static void on_block(struct ask *ask, struct query *query)
{
    struct blocker *blocker = (struct blocker *)ask;

    (void)query;
    pthread_mutex_lock(&blocker->lock);
    blocker->is_running = true;
    pthread_cond_broadcast(&blocker->changed);
    while (!blocker->may_end)
        pthread_cond_wait(&blocker->changed, &blocker->lock);
    pthread_mutex_unlock(&blocker->lock);
}

static void block(struct scene *scene, struct blocker *blocker)
{
    *blocker =
        (struct blocker){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    ask_init(&blocker->ask, &scene->rig, "search", on_block);
    assert_int_equal(query_submit(scene->rig.pool, &blocker->ask.job), MG_OK);
    pthread_mutex_lock(&blocker->lock);
    while (!blocker->is_running)
        pthread_cond_wait(&blocker->changed, &blocker->lock);
    pthread_mutex_unlock(&blocker->lock);
}

static void unblock(struct blocker *blocker)
{
    pthread_mutex_lock(&blocker->lock);
    blocker->may_end = true;
    pthread_cond_broadcast(&blocker->changed);
    pthread_mutex_unlock(&blocker->lock);
    ask_wait(&blocker->ask);
    ask_fini(&blocker->ask);
}

/* Until so many wait in the pool's queue: the loop has then handed them over. */
static void wait_for_waiting(struct scene *scene, size_t n)
{
    struct query_stats stats;

    do {
        scene_call(scene, "GET", "/info");
        query_stat(scene->rig.pool, &stats);
    } while (stats.waiting != n);
}

static void a_full_queue(void **state)
{
    struct scene scene = {.rig.query_conf = {.threads = 1, .queue_max = 1}};
    struct blocker blocker;

    (void)state;
    scene_open(&scene);
    block(&scene, &blocker);
    int fd = scene_connect(&scene);
    scene_send(fd, "GET", LIST);
    wait_for_waiting(&scene, 1);
    for (size_t i = 0; i < MG_COUNT(both); i++) {
        scene_call(&scene, "GET", both[i]);
        assert_int_equal(scene.status, 503);
        assert_true(str_eq(scene.body, STR("too many queries are waiting, try again later")));
        assert_int_equal(scene_header(&scene, "retry-after").len, 1);
        assert_in_range(scene_header(&scene, "retry-after").ptr[0], '1', '3');
        assert_true(str_eq(scene_header(&scene, "content-type"), STR("text/plain; charset=utf-8")));
    }
    unblock(&blocker);
    scene_receive(&scene, fd);
    assert_int_equal(scene.status, 200);
    assert_true(str_eq(scene.body, STR("[]")));
    scene_close(&scene);
}

/* While nothing has left, a failure is a clean answer. */
static void out_of_time(void **state)
{
    struct scene scene = {.rig.query_conf = {.threads = 1, .timeout_ns = 1000000}};
    struct blocker blocker;

    (void)state;
    scene_open(&scene);
    for (size_t i = 0; i < MG_COUNT(both); i++) {
        rig_clock_set(1000);
        block(&scene, &blocker);
        int fd = scene_connect(&scene);
        scene_send(fd, "GET", both[i]);
        wait_for_waiting(&scene, 1);
        rig_clock_set(2000000000);
        unblock(&blocker);
        scene_receive(&scene, fd);
        assert_int_equal(scene.status, 504);
        assert_true(str_starts(scene.body, STR("the query took longer than 1 ms (query.timeout)")));
        assert_true(str_eq(scene_header(&scene, "content-type"), STR("text/plain; charset=utf-8")));
    }
    rig_clock_set(0);
    scene_close(&scene);
}

static void too_much_memory(void **state)
{
    struct scene scene = {.rig.query_conf = {.memory_max = 4096}};
    struct buf json;

    (void)state;
    scene_open(&scene);
    buf_init(&json, 1 << 20);
    for (unsigned i = 1; i <= 100; i++)
        buf_printf(&json, "%s{'traceId':'1','id':'%x','timestamp':5000}", i > 1 ? "," : "[", i);
    buf_put_text(&json, "]");
    buf_put_char(&json, '\0');
    scene_put(&scene.rig, json.ptr);
    buf_fini(&json);
    scene_expect(&scene, "/api/v2/trace/1", 413,
                 "the answer needs more than 4096 bytes of memory (query.memory_max)");
    scene_expect(&scene, SEARCH, 413,
                 "the answer needs more than 4096 bytes of memory (query.memory_max)");
    scene_close(&scene);
}

/* Whoever goes while his query waits costs nothing any more. */
static void askers_who_go(void **state)
{
    struct scene scene = {.rig.query_conf.threads = 1};
    struct blocker blocker;

    (void)state;
    scene_open(&scene);
    scene_put(&scene.rig, "[{'traceId':'1','id':'1','timestamp':5000}]");
    for (size_t i = 0; i < MG_COUNT(both); i++) {
        block(&scene, &blocker);
        int fd = scene_connect(&scene);
        scene_send(fd, "GET", both[i]);
        wait_for_waiting(&scene, 1);
        assert_int_equal(close(fd), 0);
        for (int k = 0; k < 2; k++) /* the loop has gone round since */
            scene_call(&scene, "GET", "/info");
        unblock(&blocker);
        scene_call(&scene, "GET", LIST); /* behind it in the queue */
        assert_int_equal(scene.status, 200);
        assert_int_equal(rig_metric(&scene.rig, QUERY_stopped, STOP_GONE), i + 1);
    }
    scene_close(&scene);
}

/* Megabytes through a pipe: all of it, and in pieces. */
static void a_large_answer(void **state)
{
    struct scene scene = {0};
    struct buf json;

    (void)state;
    scene_open(&scene);
    buf_init(&json, 64 << 20);
    for (unsigned i = 1; i <= 20000; i++)
        buf_printf(
            &json,
            "%s{\"traceId\":\"0000000000000001\",\"id\":\"%016x\",\"timestamp\":%u,"
            "\"tags\":{\"a\":\"a value of some length, so that there is something to send\"}}",
            i > 1 ? "," : "[", i, 5000 + i);
    buf_put_text(&json, "]");
    buf_put_char(&json, '\0');
    scene_put(&scene.rig, json.ptr);
    scene_call(&scene, "GET", "/api/v2/trace/1");
    assert_int_equal(scene.status, 200);
    assert_true(str_eq(scene_header(&scene, "transfer-encoding"), STR("chunked")));
    assert_true(scene.body.len > json.len);
    size_t at;
    assert_true(str_find(scene.body, STR("\"id\":\"0000000000004e20\""), &at));
    assert_true(str_ends(scene.body, STR("}]\r\n0\r\n\r\n")));
    buf_fini(&json);
    scene_close(&scene);
}

/* The program stops while queries wait: their answers are still made. */
static void a_server_that_ends(void **state)
{
    struct scene scene = {.rig.query_conf.threads = 1};
    struct blocker blocker;

    (void)state;
    scene_open(&scene);
    block(&scene, &blocker);
    int fds[MG_COUNT(both)];
    for (size_t i = 0; i < MG_COUNT(both); i++) {
        fds[i] = scene_connect(&scene);
        scene_send(fds[i], "GET", both[i]);
    }
    wait_for_waiting(&scene, MG_COUNT(both));
    unblock(&blocker);
    scene_close(&scene);
    for (size_t i = 0; i < MG_COUNT(both); i++)
        assert_int_equal(close(fds[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue),    cmocka_unit_test(out_of_time),
        cmocka_unit_test(too_much_memory), cmocka_unit_test(askers_who_go),
        cmocka_unit_test(a_large_answer),  cmocka_unit_test(a_server_that_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
