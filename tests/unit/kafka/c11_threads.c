/* c11_threads.c - C11 threads in terms of POSIX threads, for builds with the thread sanitizer only.
 *
 * librdkafka uses the C library's C11 threads, which the sanitizer does not know: a thread that begins that way and then frees memory
 * or locks something brings the program down. The functions here take their place, and are made of calls that it does know. The C
 * library keeps the types of both kinds the same. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t) && sizeof(cnd_t) >= sizeof(pthread_cond_t) && sizeof(thrd_t) == sizeof(pthread_t),
               "the types of the C library are not what this file was written for");

/* What librdkafka itself does with memory cannot be judged: it is not compiled for the sanitizer, which sees only its calls of memcpy
 * and the like and its use of the functions here, and none of its atomics and read-write locks. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:librdkafka.so\nrace:^mtx_\nrace:^cnd_\n";
}

struct start { thrd_start_t run; void *argument; };

static int told(int code)
{
    return code == 0 ? thrd_success : code == ETIMEDOUT ? thrd_timedout : code == EBUSY ? thrd_busy : code == ENOMEM ? thrd_nomem : thrd_error;
}

static void *run(void *argument)
{
    struct start start = *(struct start *)argument;

    free(argument);
    return (void *)(long)start.run(start.argument);
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *argument)
{
    struct start *start = malloc(sizeof *start);

    if (!start)
        return thrd_nomem;
    *start = (struct start){ function, argument };
    int result = told(pthread_create((pthread_t *)thread, NULL, run, start));
    if (result != thrd_success)
        free(start);
    return result;
}

int thrd_join(thrd_t thread, int *result)
{
    void *value = NULL;
    int code = pthread_join(thread, &value);

    if (result)
        *result = (int)(long)value;
    return told(code);
}

int thrd_detach(thrd_t thread)
{
    return told(pthread_detach(thread));
}

thrd_t thrd_current(void)
{
    return pthread_self();
}

int thrd_equal(thrd_t a, thrd_t b)
{
    return pthread_equal(a, b);
}

void thrd_exit(int result)
{
    pthread_exit((void *)(long)result);
}

int mtx_init(mtx_t *mutex, int type)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type & mtx_recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
    int result = told(pthread_mutex_init((pthread_mutex_t *)mutex, &attributes));
    pthread_mutexattr_destroy(&attributes);
    return result;
}

int mtx_lock(mtx_t *mutex)
{
    return told(pthread_mutex_lock((pthread_mutex_t *)mutex));
}

int mtx_trylock(mtx_t *mutex)
{
    return told(pthread_mutex_trylock((pthread_mutex_t *)mutex));
}

int mtx_unlock(mtx_t *mutex)
{
    return told(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}

void mtx_destroy(mtx_t *mutex)
{
    pthread_mutex_destroy((pthread_mutex_t *)mutex);
}

int cnd_init(cnd_t *condition)
{
    return told(pthread_cond_init((pthread_cond_t *)condition, NULL));
}

int cnd_signal(cnd_t *condition)
{
    return told(pthread_cond_signal((pthread_cond_t *)condition));
}

int cnd_broadcast(cnd_t *condition)
{
    return told(pthread_cond_broadcast((pthread_cond_t *)condition));
}

int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    return told(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until)
{
    return told(pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until));
}

void cnd_destroy(cnd_t *condition)
{
    pthread_cond_destroy((pthread_cond_t *)condition);
}
