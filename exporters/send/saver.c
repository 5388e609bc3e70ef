/* How it works: a slot for the state that comes next and a result of the last one, under one lock that is not held while the
 * disk is asked. */
#define _GNU_SOURCE /* pthread_setname_np */
#include "send/saver.h"
#include <assert.h>
#include <pthread.h>
#include "base/mem.h"

struct saver {
    struct saver_options options;
    bool has_thread;
    pthread_t thread;
    struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct state next; /* when has_next */
        bool has_next, is_writing, is_stopping;
        bool has_result;
        enum mg_err err;
        struct mg_why why;
    } shared; /* any thread, under the lock */
};

struct saver *saver_new(const struct saver_options *options)
{
    struct saver *saver = MEM_NEW(struct saver);
    saver->options = *options;
    pthread_mutex_init(&saver->shared.lock, NULL);
    pthread_cond_init(&saver->shared.changed, NULL);
    return saver;
}

void saver_free(struct saver **at)
{
    struct saver *saver = MG_STEAL(*at);
    if (!saver)
        return;
    assert(!saver->has_thread);
    state_fini(&saver->shared.next);
    pthread_cond_destroy(&saver->shared.changed);
    pthread_mutex_destroy(&saver->shared.lock);
    mem_free(saver);
}

/* --- its thread --- */

/* Under the lock. false: it is over. */
static bool next_await(struct saver *saver, struct state *state)
{
    while (!saver->shared.has_next && !saver->shared.is_stopping)
        pthread_cond_wait(&saver->shared.changed, &saver->shared.lock);
    if (!saver->shared.has_next)
        return false;
    *state = saver->shared.next;
    saver->shared.next = (struct state){0};
    saver->shared.has_next = false;
    saver->shared.is_writing = true;
    return true;
}

static void *run(void *owner)
{
    struct saver *saver = owner;
    struct state state;

    pthread_mutex_lock(&saver->shared.lock);
    while (next_await(saver, &state)) {
        struct mg_why why = {""};
        pthread_mutex_unlock(&saver->shared.lock);
        enum mg_err err = state_save(&state, saver->options.io, saver->options.dir, &why);
        state_fini(&state);
        pthread_mutex_lock(&saver->shared.lock);
        saver->shared.is_writing = false;
        saver->shared.has_result = true;
        saver->shared.err = err;
        saver->shared.why = why;
        pthread_mutex_unlock(&saver->shared.lock);
        saver->options.on_saved(saver->options.owner);
        pthread_mutex_lock(&saver->shared.lock);
    }
    pthread_mutex_unlock(&saver->shared.lock);
    return NULL;
}

enum mg_err saver_start(struct saver *saver, struct mg_why *why)
{
    int code = pthread_create(&saver->thread, NULL, run, saver);
    if (code)
        return mg_fail_os(why, code, "cannot start the thread for %s/state", saver->options.dir);
    pthread_setname_np(saver->thread, "queue-state");
    saver->has_thread = true;
    return MG_OK;
}

void saver_stop(struct saver *saver)
{
    if (!saver->has_thread)
        return;
    pthread_mutex_lock(&saver->shared.lock);
    saver->shared.is_stopping = true;
    pthread_cond_signal(&saver->shared.changed);
    pthread_mutex_unlock(&saver->shared.lock);
    pthread_join(saver->thread, NULL);
    saver->has_thread = false;
}

/* --- the giver --- */

void saver_give(struct saver *saver, struct state *state)
{
    pthread_mutex_lock(&saver->shared.lock);
    state_fini(&saver->shared.next);
    saver->shared.next = *state;
    saver->shared.has_next = true;
    pthread_cond_signal(&saver->shared.changed);
    pthread_mutex_unlock(&saver->shared.lock);
    *state = (struct state){0};
}

bool saver_is_idle(struct saver *saver)
{
    pthread_mutex_lock(&saver->shared.lock);
    bool is_idle = !saver->shared.has_next && !saver->shared.is_writing;
    pthread_mutex_unlock(&saver->shared.lock);
    return is_idle;
}

bool saver_take(struct saver *saver, enum mg_err *err, struct mg_why *why)
{
    pthread_mutex_lock(&saver->shared.lock);
    bool has_result = saver->shared.has_result;
    saver->shared.has_result = false;
    if (has_result) {
        *err = saver->shared.err;
        *why = saver->shared.why;
    }
    pthread_mutex_unlock(&saver->shared.lock);
    return has_result;
}
