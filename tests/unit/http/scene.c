#include "scene.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "net/tls.h"
#include "usual_conf.h"

/* --- the pattern --- */

#define PERIOD      251 /* divides no size of a buffer */
#define PIECE_BYTES ((size_t)1 << 20)
#define BLOCK_BYTES ((size_t)150 * 1000) /* of a streamed answer */
static char pattern[PIECE_BYTES + PERIOD];

void pattern_init(void)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i % PERIOD);
}

bool is_pattern_at(size_t offset, struct str bytes)
{
    for (size_t at = 0, n; at < bytes.len; at += n) {
        n = MG_MIN(bytes.len - at, PIECE_BYTES);
        if (memcmp(bytes.ptr + at, pattern + (offset + at) % PERIOD, n) != 0)
            return false;
    }
    return true;
}

char *pattern_new(size_t len)
{
    char *bytes = mem_alloc(len);
    for (size_t at = 0; at < len; at += PERIOD)
        memcpy(bytes + at, pattern, MG_MIN((size_t)PERIOD, len - at));
    return bytes;
}

static void *write_stream(void *argument)
{
    struct scene *scene = argument;
    enum mg_err err = MG_OK;
    for (size_t at = 0; at < scene->stream_bytes && !err; at += BLOCK_BYTES) {
        struct buf block;
        buf_init(&block, BLOCK_BYTES);
        buf_put(&block, pattern + at % PERIOD, MG_MIN(BLOCK_BYTES, scene->stream_bytes - at));
        err = http_pipe_write(scene->pipe, &block);
        buf_fini(&block);
    }
    http_pipe_end(&scene->pipe, err, STR("the writer stopped"));
    return NULL;
}

void scene_on_stream(void *owner, struct http_request *request)
{
    struct scene *scene = owner;
    assert_false(scene->has_writer);
    scene->has_writer = true;
    scene->pipe = http_pipe_new(request, 0);
    assert_int_equal(pthread_create(&scene->writer, NULL, write_stream, scene), 0);
}

/* --- life --- */

static void on_deadline(void *owner)
{
    (void)owner;
    fail_msg("nothing happened for 60 s");
}

void scene_open(struct scene *scene, struct http_options options, struct tls_source *tls)
{
    const struct http_conf conf = usual_conf();
    struct listener_options where = {.address = STR("127.0.0.1:0"), .tls = tls};
    struct mg_why why;
    *scene = (struct scene){.loop = loop_new(), .tls = tls};
    scene->deadline = timer_new(scene->loop, on_deadline, scene);
    timer_start(scene->deadline, 60000);
    options.owner = scene;
    if (!options.conf)
        options.conf = &conf;
    scene->server = http_server_new(scene->loop, &options);
    if (http_server_listen(scene->server, &where, &why))
        fail_msg("%s", why.text);
}

void scene_client_open(struct scene *scene, const struct http_client_options *options)
{
    struct mg_why why;
    if (http_client_new(&scene->client, scene->loop, options, &why))
        fail_msg("%s", why.text);
    scene->is_client_gone = false;
}

static void on_client_gone(void *owner)
{
    struct scene *scene = owner;
    scene->is_client_gone = true;
    loop_stop(scene->loop);
}

void scene_client_close(struct scene *scene)
{
    http_client_close(&scene->client, on_client_gone, scene);
    while (!scene->is_client_gone)
        loop_run(scene->loop);
}

static void on_server_gone(void *owner)
{
    struct scene *scene = owner;
    http_server_free(&scene->server);
    scene->is_server_gone = true;
    loop_stop(scene->loop);
}

void scene_close(struct scene *scene)
{
    if (scene->client)
        scene_client_close(scene);
    http_server_drain(scene->server, 0, on_server_gone, scene);
    while (!scene->is_server_gone)
        loop_run(scene->loop);
    if (scene->has_writer)
        assert_int_equal(pthread_join(scene->writer, NULL), 0);
    tls_source_free(&scene->tls);
    timer_free(&scene->deadline);
    loop_free(&scene->loop);
}

/* --- calls --- */

static void on_done(void *owner, enum mg_err err, const struct http_answer *answer,
                    const struct mg_why *why)
{
    struct scene *scene = owner;
    assert_true(scene->n_results < RESULTS_MAX);
    struct result *result = &scene->results[scene->n_results++];
    *result = (struct result){.err = err,
                              .status = answer->status,
                              .grpc_status = answer->grpc_status,
                              .body_len = answer->body.len,
                              .is_pattern = is_pattern_at(0, answer->body)};
    snprintf(result->body, sizeof result->body, "%.*s", (int)MG_MIN(answer->body.len, (size_t)60),
             answer->body.ptr ? answer->body.ptr : "");
    snprintf(result->why, sizeof result->why, "%s", err ? why->text : "");
    if (scene->n_results == scene->n_wanted)
        loop_stop(scene->loop);
}

void scene_call(struct scene *scene, const struct http_call *call)
{
    http_client_call(scene->client, call, on_done, scene);
}

void scene_wait(struct scene *scene, size_t n)
{
    scene->n_wanted = n;
    while (scene->n_results < n)
        loop_run(scene->loop);
}
