/* How it works: one thread with one loop does everything but the journal's writing. Givers and the journal's
 * thread only link items into two lists under one lock; a message that is posted once, however many there
 * are, makes the loop take both. Time is read from the clocks that were given, at a tick of 20 ms, so that a
 * test that moves them need not wait.
 *
 * The state file is written once a second when something has changed, by a thread that does nothing else: a disk may answer
 * late, or never, and the loop has a peer to answer. What finished since then is sent again after a crash. Space is released
 * after it was written, so that it knows of everything that is gone; should it not be possible to write it, space is released all
 * the same, or a full disk could never recover.
 *
 * The end: the loop stops first, then the threads that write. Those may hang in the disk; then they are left to themselves, with
 * all the memory they look at, and the last of them frees it. Nothing in it is a giver's. */
#define _GNU_SOURCE /* pthread_setname_np */
#include "send/private.h"
#include <assert.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

static const uint64_t segment_least = 64 << 10, segment_most = 64 << 20;

/* --- opening --- */

/* The saver's thread. */
static void on_saved(void *owner)
{
    struct send *send = owner;
    pthread_mutex_lock(&send->shared.lock);
    send_wake(send);
    pthread_mutex_unlock(&send->shared.lock);
}

static struct send *send_new(const struct send_options *options)
{
    struct send *send = MEM_NEW(struct send);
    uint64_t seed;
    send->dir = mem_text(options->dir);
    send->wire = options->wire;
    send->metrics = options->metrics;
    send->label = options->label;
    send->io = options->io ? options->io : journal_io_os();
    send->mono_ns = options->mono_ns ? options->mono_ns : clock_mono_ns;
    send->wall_ns = options->wall_ns ? options->wall_ns : clock_wall_ns;
    clock_age_begin(&send->own.age, send->wall_ns(), send->mono_ns());
    send->disk_end_ns = options->disk_end_ns ? options->disk_end_ns : SEND_DISK_END_NS;
    send->own.conf = send->shared.conf = *options->conf;
    send->segment_bytes = MG_MIN(MG_MAX(options->conf->queue_bytes / 16, segment_least), segment_most);
    send->own.zip = zip_new();
    random_bytes(&seed, sizeof seed);
    random_init(&send->own.random, seed);
    send->own.run = 1; /* 0: of a batch that never failed */
    list_init(&send->own.undone);
    list_init(&send->own.flights);
    send->own.pump = (struct loop_task){.run = dispatch_pump, .owner = send};
    send->shared.put_tail = &send->shared.put;
    send->shared.returned_tail = &send->shared.returned;
    pthread_mutex_init(&send->shared.lock, NULL);
    clock_cond_init(&send->shared.changed);
    send->saver = saver_new(&(struct saver_options){.dir = send->dir, .io = send->io, .on_saved = on_saved, .owner = send});
    return send;
}

static void send_free(struct send **at)
{
    struct send *send = MG_STEAL(*at);
    if (!send)
        return;
    journal_reader_free(&send->own.reader);
    journal_reader_free(&send->own.searcher);
    journal_close(&send->journal);
    saver_free(&send->saver);
    intake_free(send->shared.returned);
    zip_free(&send->own.zip);
    VEC_FINI(&send->own.parked);
    pthread_cond_destroy(&send->shared.changed);
    pthread_mutex_destroy(&send->shared.lock);
    mem_free(send->dir);
    mem_free(send);
}

/* A damaged state file costs no batch: all that the journal holds is sent again. */
static enum mg_err state_read(struct send *send, struct state *state, struct mg_why *why)
{
    struct mg_why damage = {""};
    bool is_newer = false;
    enum mg_err err = state_load(state, send->io, send->dir, &is_newer, &damage);
    if (err == MG_E_FORMAT && !is_newer) {
        LOG(WARN, "export queue has lost its state: all batches in it are sent again",
            F_TEXT("exporter", send->wire.name), F_WHY(&damage));
        return MG_OK;
    }
    return err == MG_OK ? MG_OK : mg_fail(why, err, "%s", damage.text);
}

/* Batches that the state or a later header knows of, and that lie in no segment: files were cut or removed while nobody had them
 * open. The state's sums have them until it is written again, so that they are counted once. */
static void missing_count(struct send *send, const struct state *state)
{
    struct journal_survey noted = {0}, later;
    struct journal_stats stats;
    uint64_t unread = state->batches, spans = state->spans, known = MG_MAX(state->noted, state->read_to);
    for (size_t i = 0; i < state->unfinished.n; i++) { /* these are met when their turn comes */
        unread -= MG_MIN(unread, (uint64_t)1);
        spans -= MG_MIN(spans, state->unfinished.at[i].spans);
    }
    if (state->noted > state->read_to)
        journal_survey(send->journal, state->read_to, state->noted, &noted);
    uint64_t found = MG_MIN(unread, noted.held);
    uint64_t missing = MG_MIN(noted.before + noted.between + noted.behind, unread - found);
    bound_missing(send, OUT_DISK, missing == unread ? spans : 0, missing, BOUND_DAMAGE);

    journal_stat(send->journal, &stats);
    journal_survey(send->journal, known, stats.next_position - 1, &later);
    uint64_t before = known > 0 ? later.before : 0; /* without a state: trimmed long ago, for all that is known */
    send->own.batches += (int64_t)(before + later.between); /* in no sum yet */
    bound_missing(send, OUT_DISK, 0, before + later.between, BOUND_DAMAGE);
}

static enum mg_err queue_open(struct send *send, const struct state *state, struct mg_why *why)
{
    const struct journal_options options = {.dir = send->dir,
                                            .segment_bytes = send->segment_bytes,
                                            .spare_segments = 1,
                                            .may_start_refusing = true, /* batches wait in memory, as when it fails later */
                                            .floor_position = MG_MAX(state->read_to, state->noted),
                                            .io = send->io};
    MG_TRY(journal_open(&send->journal, &options, why));
    MG_TRY(intake_recover(send, state, why));
    send->recovered = send->own.given;
    send->own.read_to = state->read_to;
    send->own.saved_at_ns = send->mono_ns();
    for (size_t i = 0; i < state->unfinished.n; i++)
        VEC_PUSH(&send->own.parked, state->unfinished.at[i]);
    missing_count(send, state);
    send->own.reader = journal_reader_new(send->journal);
    send->own.searcher = journal_reader_new(send->journal);
    return MG_OK;
}

static void figures_publish(struct send *send)
{
    struct send_stats *stats = &send->shared.stats, copy;
    pthread_mutex_lock(&send->shared.lock);
    stats->queued_bytes = (uint64_t)MG_MAX(send->own.bytes, (int64_t)0);
    stats->queued_batches = (uint64_t)MG_MAX(send->own.batches, (int64_t)0);
    stats->oldest_wall_ns = dispatch_oldest(send);
    copy = *stats;
    pthread_mutex_unlock(&send->shared.lock);
    send_gauges(send, &copy);
}

enum mg_err send_open(struct send **out, const struct send_options *options, struct mg_why *why)
{
    MG_AUTO(send_free) struct send *send = send_new(options);
    struct state state = {0};

    enum mg_err err = state_read(send, &state, why);
    if (err == MG_OK)
        err = queue_open(send, &state, why);
    state_fini(&state);
    MG_TRY(err);
    figures_publish(send);
    *out = MG_STEAL(send);
    return MG_OK;
}

uint64_t send_recovered(const struct send *send)
{
    return send->recovered;
}

/* --- the state file --- */

static void state_write(struct send *send)
{
    struct state state = {.noted = send->own.noted,
                          .has_hole = intake_has_hole(send),
                          .recovered = send->own.given,
                          .batches = (uint64_t)MG_MAX(send->own.batches, (int64_t)0),
                          .spans = (uint64_t)MG_MAX(send->own.spans, (int64_t)0),
                          .bytes = (uint64_t)MG_MAX(send->own.bytes, (int64_t)0)};
    dispatch_state(send, &state);
    send->own.is_dirty = false;
    send->own.is_saving = true;
    send->own.saved_at_ns = send->mono_ns();
    send->own.finished = dispatch_finished(send);
    saver_give(send->saver, &state);
}

static void space_release(struct send *send, uint64_t finished)
{
    send->own.trimmed_to = finished;
    journal_trim(send->journal, finished);
}

static void state_written(struct send *send)
{
    struct mg_why why;
    enum mg_err err;
    uint64_t now = send->mono_ns();
    if (!saver_take(send->saver, &err, &why))
        return;
    send->own.is_saving = false;
    space_release(send, send->own.finished);
    if (err == MG_OK)
        return;
    send->own.is_dirty = true;
    if (now < send->own.save_log_at_ns)
        return;
    send->own.save_log_at_ns = now + SEND_LOG_EVERY_NS;
    LOG(WARN, "export queue cannot note what was sent: it would be sent again after a crash",
        F_TEXT("exporter", send->wire.name), F_WHY(&why));
}

/* One state at a time is with the saver. */
static void state_work(struct send *send, bool needs_space)
{
    uint64_t since = send->mono_ns() - send->own.saved_at_ns;
    if (!send->own.is_saving && (needs_space || (send->own.is_dirty && since >= SEND_STATE_EVERY_NS)))
        state_write(send);
    else if (send->own.is_saving && needs_space && since >= SEND_SAVE_LATE_NS)
        space_release(send, dispatch_finished(send));
}

/* --- the loop's thread --- */

static void on_wire_closed(void *owner)
{
    struct send *send = owner;
    assert(send->own.n_flights == 0 && "the wire closed without an answer to every batch");
    send->own.is_closed = true;
    loop_stop(send->own.loop);
}

static void stop_work(struct send *send)
{
    uint64_t now = send->mono_ns();
    if (send->own.is_closing || (send->own.lot_left > 0 && now < send->own.stop_by_ns + send->disk_end_ns))
        return;
    if (now < send->own.stop_by_ns && (send->own.n_flights > 0 || !intake_is_idle(send)))
        return;
    send->own.is_closing = true;
    send->wire.close(send->wire.wire, on_wire_closed, send);
}

/* The spans and bytes of batches that were lost to damage are never taken off the sums. */
static void sums_settle(struct send *send)
{
    struct journal_stats stats;
    journal_stat(send->journal, &stats);
    if (send->own.n_flights > 0 || send->own.parked.n > 0 || send->own.ahead.is_read || send->own.lot_left > 0 ||
        send->own.read_to + 1 < stats.next_position)
        return;
    send->own.batches = send->own.spans = send->own.bytes = 0;
}

void send_tick(struct send *send)
{
    intake_work(send);
    bool needs_space = bound_work(send);
    dispatch_pump(send);
    sums_settle(send);
    state_written(send);
    state_work(send, needs_space);
    bound_log_losses(send);
    figures_publish(send);
    if (send->own.is_stopping)
        stop_work(send);
}

static void on_timer(void *owner)
{
    struct send *send = owner;
    send_tick(send);
    timer_start(send->own.timer, SEND_TICK_MS);
}

static struct queue_item *list_take(struct queue_item **head, struct queue_item ***tail)
{
    struct queue_item *items = *head;
    *head = NULL;
    *tail = head;
    return items;
}

static void on_wake(void *owner, struct message *message)
{
    struct send *send = owner;
    (void)message;
    pthread_mutex_lock(&send->shared.lock);
    send->shared.is_woken = false;
    struct queue_item *put = list_take(&send->shared.put, &send->shared.put_tail);
    struct queue_item *returned = list_take(&send->shared.returned, &send->shared.returned_tail);
    bool is_stopping = send->shared.life == SEND_STOPPING;
    uint64_t grace_ns = send->shared.grace_ns;
    send->own.conf = send->shared.conf;
    pthread_mutex_unlock(&send->shared.lock);

    if (is_stopping && !send->own.is_stopping) {
        send->own.is_stopping = true;
        send->own.stop_by_ns = send->mono_ns() + grace_ns;
    }
    intake_take(send, put, returned);
    state_written(send);
    dispatch_pump(send);
    if (send->own.is_stopping)
        stop_work(send);
}

void send_wake(struct send *send)
{
    if (send->shared.is_woken || !send->shared.mailbox)
        return;
    send->shared.is_woken = true;
    mailbox_post(send->shared.mailbox, &send->shared.wake);
}

static enum mg_err thread_begin(struct send *send)
{
    struct mg_why why = {""};
    char name[16];
    snprintf(name, sizeof name, "x-%s", send->wire.name);
    pthread_setname_np(pthread_self(), name);
    send->own.loop = loop_new();
    send->own.mailbox = mailbox_new(send->own.loop, on_wake, send);
    send->own.timer = timer_new(send->own.loop, on_timer, send);
    timer_start(send->own.timer, SEND_TICK_MS);
    enum mg_err err = send->wire.open(send->wire.wire, send->own.loop, &why);

    pthread_mutex_lock(&send->shared.lock);
    send->own.conf = send->shared.conf;
    send->shared.has_opened = true;
    send->shared.open_err = err;
    send->shared.open_why = why;
    send->shared.mailbox = err == MG_OK ? send->own.mailbox : NULL;
    pthread_cond_signal(&send->shared.changed);
    pthread_mutex_unlock(&send->shared.lock);
    return err;
}

static void thread_end(struct send *send)
{
    pthread_mutex_lock(&send->shared.lock);
    send->shared.mailbox = NULL; /* what is put from now on stays the giver's */
    pthread_mutex_unlock(&send->shared.lock);
    loop_undefer(&send->own.pump);
    timer_free(&send->own.timer);
    mailbox_free(&send->own.mailbox);
    loop_free(&send->own.loop);
}

static void *thread_run(void *owner)
{
    struct send *send = owner;
    if (thread_begin(send) == MG_OK) {
        loop_run(send->own.loop);
        assert(send->own.is_closed);
        state_write(send);
        bound_log_losses(send);
        figures_publish(send);
    }
    thread_end(send);
    return NULL;
}

/* --- starting and stopping --- */

static void life_set(struct send *send, enum send_life life)
{
    pthread_mutex_lock(&send->shared.lock);
    send->shared.life = life;
    pthread_mutex_unlock(&send->shared.lock);
}

static enum mg_err thread_start(struct send *send, struct mg_why *why)
{
    int code = pthread_create(&send->thread, NULL, thread_run, send);
    if (code)
        return mg_fail_os(why, code, "cannot start the thread of exporter %s", send->wire.name);
    pthread_mutex_lock(&send->shared.lock);
    while (!send->shared.has_opened)
        pthread_cond_wait(&send->shared.changed, &send->shared.lock);
    enum mg_err err = send->shared.open_err;
    pthread_mutex_unlock(&send->shared.lock);
    if (err != MG_OK) {
        pthread_join(send->thread, NULL);
        return mg_fail(why, err, "%s", send->shared.open_why.text);
    }
    return MG_OK;
}

enum mg_err send_start(struct send *send, struct mg_why *why)
{
    assert(send->shared.life == SEND_OPEN);
    MG_TRY(journal_start(send->journal, why));
    life_set(send, SEND_STARTED);
    enum mg_err err = saver_start(send->saver, why);
    if (err == MG_OK)
        err = thread_start(send, why);
    if (err != MG_OK) {
        saver_stop(send->saver);
        journal_stop(send->journal);
        life_set(send, SEND_STOPPED);
        return err;
    }
    send->has_thread = true;
    return MG_OK;
}

/* Waits as long as the disk does. */
static void disk_end(struct send *send)
{
    saver_stop(send->saver);
    journal_trim(send->journal, send->own.finished);
    journal_stop(send->journal);
}

static void *disk_end_run(void *owner)
{
    struct send *send = owner;
    disk_end(send);
    pthread_mutex_lock(&send->shared.lock);
    bool is_orphan = send->shared.is_orphan;
    send->shared.is_disk_over = true;
    pthread_cond_signal(&send->shared.changed);
    pthread_mutex_unlock(&send->shared.lock); /* without an orphan its memory may be gone now */
    if (is_orphan)
        send_free(&send);
    return NULL;
}

/* false: it does not end in time, and is left to itself. */
static bool disk_end_await(struct send *send)
{
    uint64_t until = clock_mono_ns() + send->disk_end_ns;
    pthread_t thread;
    if (pthread_create(&thread, NULL, disk_end_run, send) != 0) {
        disk_end(send);
        send->shared.is_disk_over = true;
        return true;
    }
    pthread_mutex_lock(&send->shared.lock);
    while (!send->shared.is_disk_over && clock_cond_wait_until(&send->shared.changed, &send->shared.lock, until))
        ;
    bool is_over = send->shared.is_disk_over;
    pthread_mutex_unlock(&send->shared.lock);
    if (is_over)
        pthread_join(thread, NULL);
    else
        pthread_detach(thread);
    return is_over;
}

static struct queue_item *returned_take(struct send *send)
{
    pthread_mutex_lock(&send->shared.lock);
    struct queue_item *returned = list_take(&send->shared.returned, &send->shared.returned_tail);
    pthread_mutex_unlock(&send->shared.lock);
    return returned;
}

static void tell_left(const struct send *send, const struct intake_left *left, bool is_over)
{
    struct send_stats stats;
    send_stat(send, &stats);
    if (!is_over)
        LOG(WARN, "the disk of an export queue does not answer: its threads are left to themselves",
            F_TEXT("exporter", send->wire.name), F_TEXT("path", send->dir), F_U64("unwritten_batches", left->batches),
            F_U64("unwritten_spans", left->spans), F_U64("dropped_batches", left->adrift));
    if (stats.queued_batches > 0 || left->batches > 0)
        LOG(INFO, "export queue has batches left", F_TEXT("exporter", send->wire.name),
            F_U64("queued_batches", stats.queued_batches), F_U64("queued_bytes", stats.queued_bytes),
            F_U64("unwritten_batches", left->batches), F_TEXT("last_error", stats.last_error));
}

void send_ask_stop(struct send *send, uint64_t grace_ms)
{
    if (!send->has_thread)
        return;
    pthread_mutex_lock(&send->shared.lock);
    if (send->shared.life != SEND_STOPPING) {
        send->shared.life = SEND_STOPPING;
        send->shared.grace_ns = MG_MIN(grace_ms, UINT64_C(86400000)) * 1000000;
        send_wake(send);
    }
    pthread_mutex_unlock(&send->shared.lock);
}

void send_stop(struct send *send, uint64_t grace_ms)
{
    if (!send->has_thread)
        return;
    send_ask_stop(send, grace_ms);
    pthread_join(send->thread, NULL);
    send->has_thread = false;
    send->has_ended = true;
    bool is_over = disk_end_await(send);
    struct intake_left left = intake_abandon(send, returned_take(send));
    tell_left(send, &left, is_over);
    life_set(send, SEND_STOPPED);
}

/* true: it is whoever waits for the disk that frees it. */
static bool orphan(struct send *send)
{
    pthread_mutex_lock(&send->shared.lock);
    send->shared.is_orphan = send->has_ended && !send->shared.is_disk_over;
    bool is_orphan = send->shared.is_orphan;
    pthread_mutex_unlock(&send->shared.lock);
    return is_orphan;
}

void send_close(struct send **at)
{
    if (!*at)
        return;
    send_stop(*at, 0);
    if (orphan(*at))
        *at = NULL;
    send_free(at);
}

/* --- any thread --- */

void send_put(struct send *send, struct send_item *item)
{
    assert(item->done);
    item->own.put.next = NULL;
    pthread_mutex_lock(&send->shared.lock);
    assert(send->shared.life != SEND_OPEN);
    *send->shared.put_tail = &item->own.put;
    send->shared.put_tail = &item->own.put.next;
    send_wake(send);
    pthread_mutex_unlock(&send->shared.lock);
}

/* A segment is as large as it was made, one is being written and one is kept: the queue cannot be smaller. */
static void warn_of_restart(const struct send *send, uint64_t queue_bytes, uint64_t before)
{
    uint64_t least = 2 * send->segment_bytes;
    if (queue_bytes < least && queue_bytes != before)
        LOG(WARN, "an export queue can become so small only at the next start", F_TEXT("exporter", send->wire.name),
            F_U64("queue_bytes", queue_bytes), F_U64("until_then", least));
}

void send_reload(struct send *send, const struct send_conf *conf)
{
    pthread_mutex_lock(&send->shared.lock);
    uint64_t before = send->shared.conf.queue_bytes;
    send->shared.conf = *conf;
    send_wake(send);
    pthread_mutex_unlock(&send->shared.lock);
    warn_of_restart(send, conf->queue_bytes, before);
}

void send_stat(const struct send *send, struct send_stats *out)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&send->shared.lock; /* changes nothing that a caller sees */
    pthread_mutex_lock(lock);
    *out = send->shared.stats;
    pthread_mutex_unlock(lock);
}
