/* private.h - the consumer, shared by its files. All of it is the consumer thread's, save what says otherwise. */
#pragma once
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/queue.h"
#include "base/random.h"
#include "consume/consume.h"
#include "consume/dead_file.h"
#include "consume/tracker.h"
#include "kafka/files.h"

#define METRIC_ID(id) CONSUME_##id
enum consume_metric {
#define METRIC(...) METRIC_ENUM(__VA_ARGS__)
#include "consume/metrics.def"
#undef METRIC
};
#undef METRIC_ID
enum { MESSAGE_TAKEN, MESSAGE_EMPTY, MESSAGE_POISON, MESSAGE_UNREADABLE };
enum dead_place { DEAD_TOPIC, DEAD_FILE, DEAD_NOWHERE };
enum { REBALANCE_ASSIGNED, REBALANCE_REVOKED, REBALANCE_LOST };
enum { CONNECTION_AUTHENTICATION, CONNECTION_TLS, CONNECTION_RESOLVE, CONNECTION_TRANSPORT, CONNECTION_ALL_DOWN, CONNECTION_OTHER };

#define MS UINT64_C(1000000)

struct partition {
    struct list link;         /* consume.partitions, while it is ours */
    struct tracker tracker;
    size_t under_way;         /* letters that point here */
    bool is_lost;             /* letters only finish; freed with the last one */
    int64_t begin;            /* the first offset given; -1: none */
    int64_t stored;           /* the offset librdkafka was told to commit, and took; -1: none */
    unsigned store_refusals;  /* since then */
    uint64_t store_at_ns;     /* not before: it refused */
    size_t stopped;           /* letters in dead.stopped: nothing of it is polled */
    bool is_paused;           /* group_pace's */
    int32_t number;
    char *topic;
};

/* One message under way. */
struct letter {
    struct ingest_body body;
    struct queue_item item;   /* consume.done */
    struct list link;         /* consume.again, or a list of dead */
    unsigned attempts;        /* at the dead-letter topic, that failed */
    bool is_stopped;          /* in dead.stopped, or tried again from there */
    struct consume *consume;
    rd_kafka_message_t *message;
    struct partition *partition;
    enum mg_err err;          /* set on the loop's thread, before it is put into done */
    char *error;              /* NULL: none */
};

struct dead {
    enum dead_place place;
    struct list waiting;      /* letter.link: for the topic, at at_ns */
    struct list for_file;     /* letter.link: for the file, at file_at_ns */
    struct list stopped;      /* letter.link: refused by the topic, and there is no file; tried again at stopped_at_ns */
    uint64_t at_ns, file_at_ns, stopped_at_ns;
    uint64_t stopped_ns;      /* between such attempts; tests shorten it, */
    unsigned attempts_most;   /* and this one: then the topic has refused it */
    uint64_t stopped_bytes;   /* of consume.in_flight: letters that are is_stopped */
    size_t at_broker;         /* produced, not reported */
    rd_kafka_t *producer;     /* NULL: none needed so far */
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *events;
    struct dead_file *file;
};

struct consume {
    const struct consume_conf *conf;
    struct ingest_loop **loops;
    size_t n_loops, turn;
    struct metric_set *metrics;
    rd_kafka_t *client;
    rd_kafka_queue_t *messages; /* of all our partitions; nothing else comes here */
    rd_kafka_queue_t *events;   /* rebalances, errors, reports of commits */
    struct kafka_files *files;  /* those that it read */
    pthread_t thread;
    bool has_thread;            /* main thread */
    struct queue *done;         /* any thread puts letters: ingest is done with them */
    int wake_fd;                /* any thread writes */
    _Atomic bool is_woken, is_stopping;
    _Atomic uint64_t stop_by_ns;
    struct list partitions, again; /* partition.link; letter.link: to be given again at again_at_ns */
    uint64_t again_at_ns, store_at_ns;
    size_t given;               /* letters that are at ingest */
    bool has_unstored;          /* something was finished since group_store */
    bool is_refused;            /* ingest took nothing lately: until it does, nothing is polled */
    uint64_t in_flight;         /* bytes */
    size_t width_most;          /* of a partition's tracker; tests narrow it */
    struct random random;
    struct dead dead;
};

/* consume.c */
enum mg_err consume_client_conf(const struct consume_conf *conf, bool is_producer, rd_kafka_conf_t **out, struct mg_why *why);
void consume_wake(struct consume *consume); /* any thread */
void consume_wait(struct consume *consume, uint64_t ns); /* for a wake, or so long */
uint64_t consume_pause_ns(struct consume *consume); /* 1 to 3 s */

/* take.c: messages on their way */
void take_polled(struct consume *consume, rd_kafka_message_t *message); /* takes it */
bool take_some(struct consume *consume);         /* true: there may be more */
void take_again(struct consume *consume);        /* gives those whose pause is over */
void take_done(struct consume *consume);         /* what ingest is done with */
void take_finish(struct letter *letter);         /* it is where it belongs: its offset may be committed */
void take_forget(struct letter *letter);         /* it was not finished; frees it */
uint64_t take_cost(const struct letter *letter); /* bytes of in_flight */
void take_forget_again(struct consume *consume, const struct partition *of); /* NULL: of all */

/* group.c: partitions and offsets */
void group_conf(rd_kafka_conf_t *conf);          /* its callbacks */
enum mg_err group_join(struct consume *consume, struct mg_why *why);
void group_serve(struct consume *consume);
void group_store(struct consume *consume);      /* what is finished, for the next commit */
void group_leave(struct consume *consume);
struct partition *group_find(struct consume *consume, const char *topic, int32_t number); /* NULL: not ours */
struct partition *group_renew(struct consume *consume, struct partition *partition); /* its offsets begin again */
void group_pace(struct consume *consume, struct partition *partition); /* pauses or resumes it, when what that depends on has changed */
void partition_release(struct partition *partition);
void group_free(struct consume *consume);

/* dead.c: what can never be taken */
void dead_init(struct consume *consume);
void dead_take(struct letter *letter);
void dead_serve(struct consume *consume);
bool dead_is_idle(const struct consume *consume); /* but for what is stopped */
void dead_forget_stopped(struct consume *consume, const struct partition *of);
void dead_let(struct letter *letter); /* it leaves, whatever list it was in */
void dead_forget(struct consume *consume); /* all that is not at the broker */
void dead_disconnect(struct consume *consume); /* the next letter connects anew */
uint64_t dead_wait_ns(const struct consume *consume, uint64_t now_ns); /* UINT64_MAX: nothing to do */
void dead_fini(struct consume *consume);
