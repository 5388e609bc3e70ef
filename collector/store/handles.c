/* handles.c - see handles.h. */
#include "store/handles.h"
#include <assert.h>
#include "base/clock.h"

void handles_init(struct handles *handles, size_t most, uint64_t (*mono_ns)(void))
{
    pthread_mutex_init(&handles->lock, NULL);
    list_init(&handles->open);
    handles->n = 0;
    handles->most = most;
    handles->mono_ns = mono_ns ? mono_ns : clock_mono_ns;
}

void handles_fini(struct handles *handles)
{
    assert(handles->n == 0);
    pthread_mutex_destroy(&handles->lock);
}

size_t handles_open(struct handles *handles)
{
    size_t n;

    pthread_mutex_lock(&handles->lock);
    n = handles->n;
    pthread_mutex_unlock(&handles->lock);
    return n;
}

/* Under the lock: the environment leaves the list and is the caller's. */
static struct kv_env *take_off(struct handles *handles, struct partition *partition)
{
    list_remove(&partition->handle_link);
    handles->n--;
    return MG_STEAL(partition->env);
}

void handles_close_idle(struct handles *handles, uint64_t idle_ns)
{
    uint64_t now = handles->mono_ns();

    pthread_mutex_lock(&handles->lock);
    while (!list_empty(&handles->open)) {
        struct partition *oldest = MG_CONTAINER(handles->open.prev, struct partition, handle_link);
        if (oldest->used_mono_ns + idle_ns > now)
            break;
        struct kv_env *env = take_off(handles, oldest);
        kv_env_unref(&env);
    }
    pthread_mutex_unlock(&handles->lock);
}

/* Under the lock. */
static enum mg_err open_it(struct handles *handles, struct partition *partition, struct mg_why *why)
{
    MG_TRY(partition_open_env(partition, why));
    if (handles->n >= handles->most) {
        struct kv_env *env = take_off(handles, MG_CONTAINER(handles->open.prev, struct partition, handle_link));
        kv_env_unref(&env);
    }
    list_add_first(&handles->open, &partition->handle_link);
    handles->n++;
    return MG_OK;
}

static enum mg_err use(struct handles *handles, struct partition *partition, struct mg_why *why)
{
    if (!partition->env)
        MG_TRY(open_it(handles, partition, why));
    partition->used_mono_ns = handles->mono_ns();
    if (list_linked(&partition->handle_link)) {
        list_remove(&partition->handle_link);
        list_add_first(&handles->open, &partition->handle_link);
    }
    return MG_OK;
}

enum mg_err partition_env(struct partition *partition, struct kv_env **env, struct mg_why *why)
{
    struct handles *handles = partition->handles;
    enum mg_err err;

    pthread_mutex_lock(&handles->lock);
    err = use(handles, partition, why);
    if (err == MG_OK)
        *env = kv_env_ref(partition->env);
    pthread_mutex_unlock(&handles->lock);
    return err;
}

enum mg_err partition_keep_open(struct partition *partition, struct mg_why *why)
{
    struct handles *handles = partition->handles;
    enum mg_err err;

    pthread_mutex_lock(&handles->lock);
    err = use(handles, partition, why);
    if (err == MG_OK && list_linked(&partition->handle_link)) {
        list_remove(&partition->handle_link);
        handles->n--;
    }
    pthread_mutex_unlock(&handles->lock);
    return err;
}

bool partition_end_writing(struct partition *partition)
{
    struct handles *handles = partition->handles;
    bool is_ours;

    pthread_mutex_lock(&handles->lock);
    is_ours = kv_env_refs(partition->env) == 1;
    if (is_ours)
        partition_close_writable(partition);
    pthread_mutex_unlock(&handles->lock);
    return is_ours;
}

void partition_forget_handle(struct partition *partition)
{
    struct handles *handles = partition->handles;

    pthread_mutex_lock(&handles->lock);
    if (list_linked(&partition->handle_link)) {
        struct kv_env *env = take_off(handles, partition);
        kv_env_unref(&env);
    }
    pthread_mutex_unlock(&handles->lock);
}
