/* workers.c - the request loops: a thread each, calls onto them, signals, rest. */
#include "program/private.h"
#include <assert.h>
#include <signal.h>

struct order {
    struct message message;
    worker_fn *run;
    void *argument;
    struct mg_why *why;
    enum mg_err err;
    bool is_done;
};

static void on_order(void *owner, struct message *message)
{
    struct worker *worker = owner;
    struct order *order = MG_CONTAINER(message, struct order, message);
    struct program *program = worker->program;
    enum mg_err err = order->run(worker, order->argument, order->why);

    pthread_mutex_lock(&program->wait.lock);
    order->err = err;
    order->is_done = true;
    pthread_cond_broadcast(&program->wait.changed);
    pthread_mutex_unlock(&program->wait.lock);
}

enum mg_err worker_call(struct worker *worker, worker_fn *run, void *argument, struct mg_why *why)
{
    struct program *program = worker->program;
    struct order order = { .run = run, .argument = argument, .why = why };

    mailbox_post(worker->orders, &order.message);
    pthread_mutex_lock(&program->wait.lock);
    while (!order.is_done)
        pthread_cond_wait(&program->wait.changed, &program->wait.lock);
    pthread_mutex_unlock(&program->wait.lock);
    return order.err;
}

static void *worker_main(void *argument)
{
    loop_run(((struct worker *)argument)->loop);
    return NULL;
}

static void raise_flag(struct program *program, bool *flag)
{
    pthread_mutex_lock(&program->wait.lock);
    *flag = true;
    pthread_cond_broadcast(&program->wait.changed);
    pthread_mutex_unlock(&program->wait.lock);
}

static void on_stop_signal(void *owner, int number) /* loop 0 */
{
    struct program *program = ((struct worker *)owner)->program;

    LOG(INFO, "stopping", F_TEXT("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"));
    raise_flag(program, &program->wait.is_stopping);
}

static void on_reload_signal(void *owner, int number) /* loop 0 */
{
    struct program *program = ((struct worker *)owner)->program;

    (void)number;
    raise_flag(program, &program->wait.is_reloading);
}

void workers_start(struct program *program)
{
    for (size_t i = 0; i < program->n_workers; i++) {
        struct worker *worker = &program->workers[i];
        worker->program = program;
        worker->loop = loop_new();
        worker->orders = mailbox_new(worker->loop, on_order, worker);
        worker->ingest = ingest_loop_new(program->ingest, worker->loop);
        if (i == 0) {
            worker->signals[0] = signal_watch_new(worker->loop, SIGTERM, on_stop_signal, worker);
            worker->signals[1] = signal_watch_new(worker->loop, SIGINT, on_stop_signal, worker);
            worker->signals[2] = signal_watch_new(worker->loop, SIGHUP, on_reload_signal, worker);
        }
        int failed = pthread_create(&worker->thread, NULL, worker_main, worker);
        assert(failed == 0);
    }
}

void workers_tick(struct program *program)
{
    for (size_t i = 0; i < program->n_workers; i++) {
        uint64_t cpu_ns = loop_cpu_ns(program->workers[i].loop);
        live_count_cpu(program->live, STAGE_LOOP, cpu_ns - program->workers[i].counted_cpu_ns);
        program->workers[i].counted_cpu_ns = cpu_ns;
    }
}

static enum mg_err close_on_loop(struct worker *worker, void *argument, struct mg_why *why)
{
    (void)doors_close(worker, argument, why); /* cannot fail */
    ingest_loop_free(&worker->ingest);
    for (size_t i = 0; i < MG_COUNT(worker->signals); i++)
        signal_watch_free(&worker->signals[i]);
    return MG_OK;
}

void workers_stop(struct program *program)
{
    for (size_t i = 0; i < program->n_workers; i++) {
        struct worker *worker = &program->workers[i];
        (void)worker_call(worker, close_on_loop, NULL, NULL); /* cannot fail */
        loop_stop(worker->loop);
        pthread_join(worker->thread, NULL);
        mailbox_free(&worker->orders);
        loop_free(&worker->loop);
    }
}

void program_busy(struct program *program)
{
    pthread_mutex_lock(&program->wait.lock);
    program->wait.busy++;
    pthread_mutex_unlock(&program->wait.lock);
}

void program_rests(void *owner)
{
    struct program *program = owner;

    pthread_mutex_lock(&program->wait.lock);
    program->wait.busy--;
    pthread_cond_broadcast(&program->wait.changed);
    pthread_mutex_unlock(&program->wait.lock);
}
