/* handles.h - which partitions' environments are open (collector/README.md R8). Private to store.
 *
 * The environment of a sealed partition is opened when it is first needed and closed when nobody has asked for it for a while, or
 * when too many are open: the one unused for longest goes. Whoever got one holds a reference, so closing here never takes it from
 * a reader. Everything is under one lock, which is held for the time of an opening and never while another lock is taken. */
#pragma once
#include <pthread.h>
#include "base/list.h"
#include "store/partition.h"

/* More than the 168 hours of a week: a look-up asks all of them, and should not open and close them each time. */
#define HANDLES_MAX 256
#define HANDLES_IDLE_NS (UINT64_C(60) * 1000000000)

struct handles {
    pthread_mutex_t lock;
    struct list open;          /* partition.handle_link; the last used first */
    size_t n, most;
    uint64_t (*mono_ns)(void);
};
void handles_init(struct handles *handles, size_t most, uint64_t (*mono_ns)(void));
void handles_fini(struct handles *handles); /* partitions must be gone */
/* Closes what nobody asked for in the last idle_ns. */
void handles_close_idle(struct handles *handles, uint64_t idle_ns);
size_t handles_open(struct handles *handles);

/* Any thread: the partition's environment, referenced. A file that is gone or damaged is told. */
enum mg_err partition_env(struct partition *partition, struct kv_env **env, struct mg_why *why) MG_MUST_USE;
/* Stays open until the partition is freed, whatever happens to its file. */
enum mg_err partition_keep_open(struct partition *partition, struct mg_why *why) MG_MUST_USE;
/* Closes the writable environment of a partition that says it is sealed, once nobody else uses it; from then on it is
 * opened read-only. False: it is in use. Block thread. */
bool partition_end_writing(struct partition *partition);
