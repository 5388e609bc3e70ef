/* scene.h - a server and a client of it on one loop, over real sockets, and what the client's calls
 * came to. For tests of both together.
 *
 * All large bodies are one repeated text, so that any piece of one can be told right from wrong. */
#pragma once
#include <pthread.h>
#include "http/client.h"
#include "http/conn.h"

void pattern_init(void); /* first of all, in main */
bool is_pattern_at(size_t offset, struct str bytes);
char *pattern_new(size_t len); /* mem_free */

struct result { /* of a call */
    enum mg_err err;
    int status, grpc_status;
    size_t body_len;
    bool is_pattern; /* the body is the pattern from its start on */
    char body[64], why[400];
};

#define RESULTS_MAX 64
struct scene {
    struct loop *loop;
    struct tls_source *tls;
    struct http_server *server;
    struct http_client *client; /* NULL until the test opens it */
    struct timer *deadline;
    size_t n_results, n_wanted;
    struct result results[RESULTS_MAX]; /* in the order of their ends */
    size_t stream_bytes;                /* of scene_on_stream's answer */
    bool is_client_gone, is_server_gone, has_writer;
    pthread_t writer;
    struct http_pipe *pipe;
};

/* The server listens when it returns; a route's owner is the scene. options.conf NULL: usual_conf.
 * Takes tls; NULL: without TLS. A scene that is open for more than 60 s fails the test. */
void scene_open(struct scene *scene, struct http_options options, struct tls_source *tls);
void scene_close(struct scene *scene);
void scene_client_open(struct scene *scene, const struct http_client_options *options);
void scene_client_close(struct scene *scene);

/* The end of each call is a result; with the client's end at the latest. */
void scene_call(struct scene *scene, const struct http_call *call);
void scene_wait(struct scene *scene, size_t n); /* until there are n results */

/* A route: answers with stream_bytes of the pattern, written by a thread. Once a scene. */
void scene_on_stream(void *scene, struct http_request *request);
