/* postbox.h - an exporter: a real queue on a file system in memory, whose wire keeps what is sent to it. Its disk can be made to refuse,
 * and the whole can be opened again, in order or as after a kill. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <unistd.h>
#include "base/vec.h"
#include "send/send.h"
#include "unit/journal/memfs.h"

struct post { struct buf body; uint32_t spans; };

struct postbox {
    struct send_conf conf;         /* kept, 8192 spans, no wait; a test may change it before postbox_open */
    struct memfs fs;
    struct journal_io io;          /* of fs, with writes that can fail */
    _Atomic bool does_refuse;
    bool starts_refusing;          /* its disk refuses from the moment on that postbox_start returns */
    struct send *send;
    pthread_mutex_t lock;          /* what follows: */
    bool is_mute;                  /* answers nothing: what is sent stays in the queue */
    VEC(struct send_batch *) held; /* while it is mute */
    VEC(struct post) posts;        /* all that it was ever sent and took */
};
void postbox_init(struct postbox *box);
void postbox_fini(struct postbox *box);
void postbox_open(struct postbox *box, struct metric_set *metrics, unsigned label);
void postbox_start(struct postbox *box);
void postbox_stop(struct postbox *box);
void postbox_close(struct postbox *box);
/* Closes it as a kill would: the files as they are now are what the next start finds. After forward_stop. */
void postbox_crash(struct postbox *box);
/* Its disk takes no byte of what is written from now on, or works again. (memfs's own faults leave half of it.) */
void postbox_refuse(struct postbox *box, bool does_refuse);
/* Closed by a crash: positions and spans of what its journal holds, in order. */
struct noted { uint64_t position; uint32_t spans; };
size_t postbox_noted(struct postbox *box, struct noted *out, size_t most);
size_t postbox_posts(struct postbox *box);
uint64_t postbox_spans(struct postbox *box);               /* of all posts */
struct post postbox_post(struct postbox *box, size_t i);   /* the box's memory */
void postbox_clear(struct postbox *box);                   /* forgets the posts */

/* Waits for what other threads bring about; the test's time limit is the deadline. */
#define AWAIT(condition) \
    do { \
        while (!(condition)) \
            usleep(1000); \
    } while (0)
