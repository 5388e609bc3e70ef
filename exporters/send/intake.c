/* How it works: items wait in one list, in the order they were put, until their turn to be done comes.
 * What is not yet in the journal is appended in lots; the next lot begins when the whole last one has come
 * back. Within a lot the journal may fail one group and commit a later one, so an item can be durable while
 * one before it is not. Its done waits then, and the record of the failed one comes later in the journal.
 *
 * After a crash, up to which item is everything in the queue? A lot begins with the first item that is
 * missing, and says so in its record (is_first): when that record is there, all before it is. From there on
 * an item has all before it as long as the journal's positions have no gap. That is what intake_recover
 * walks, beginning at the last note in the state file, which says whether something was missing there too.
 *
 * Nothing here waits for the disk. While it refuses, items stay in the list; when they take too much memory the oldest are
 * dropped. While it answers nothing at all, those that are with the journal stand before the others, and no done could be called:
 * they are let go of. The journal has a copy, and what became of it is counted when it comes back. */
#include "send/private.h"
#include <assert.h>
#include "base/log.h"
#include "base/mem.h"

/* A record that is with the journal. */
struct writing {
    struct journal_record record; /* link: shared.returned */
    struct send *send;
    struct send_item *item; /* NULL: let go of */
    uint32_t spans;
    enum mg_err err; /* set on the journal's thread before it is returned */
};

static const char disk_reason[] = "the disk of the queue refuses";

static struct send_item *item_of(struct queue_item *link)
{
    return MG_CONTAINER(link, struct send_item, own.put);
}

static struct writing *writing_of(struct queue_item *link)
{
    return MG_CONTAINER(link, struct writing, record.link);
}

static void writing_free(struct writing *writing)
{
    record_release(&writing->record);
    mem_free(writing);
}

static struct send_item *item_of_list(struct list *link)
{
    return MG_CONTAINER(link, struct send_item, own.link);
}

/* --- after a crash --- */

struct recovery {
    struct send *send;
    uint64_t expected; /* the journal position without a gap */
    bool is_whole;     /* all before it is there */
    uint64_t batches;
};

static enum mg_err on_record(void *owner, const struct journal_record *record)
{
    struct recovery *r = owner;
    struct send *s = r->send;
    struct record_meta meta;
    bool is_known = record_meta_read(record->head, &meta, NULL) == MG_OK;

    r->is_whole = is_known && (meta.is_first || (r->is_whole && record->position == r->expected));
    r->expected = record->position + 1;
    if (r->is_whole)
        s->own.given = MG_MAX(s->own.given, meta.position);
    r->batches++;
    s->own.spans += is_known ? meta.spans : 0;
    s->own.bytes += (int64_t)(record->head.len + record->body.len);
    return MG_OK;
}

enum mg_err intake_recover(struct send *send, const struct state *state, struct mg_why *why)
{
    struct recovery recovery = {.send = send, .expected = state->noted + 1, .is_whole = !state->has_hole};
    struct journal_survey survey;
    send->own.given = state->recovered;
    send->own.batches = (int64_t)state->batches;
    send->own.spans = (int64_t)state->spans;
    send->own.bytes = (int64_t)state->bytes;
    MG_TRY(journal_replay(send->journal, state->noted, on_record, &recovery, why));
    send->own.noted = MG_MAX(state->noted, recovery.expected - 1);
    journal_survey(send->journal, state->noted, send->own.noted, &survey);
    send->own.batches += (int64_t)MG_MAX(recovery.batches, survey.held); /* the damaged ones leave when they are passed */
    return MG_OK;
}

bool intake_has_hole(const struct send *send)
{
    bool is_missing = false;
    LIST_EACH(&send->own.undone, link) {
        const struct send_item *item = item_of_list(link);
        if (item->own.state == ITEM_DURABLE && is_missing)
            return true;
        is_missing |= item->own.state == ITEM_WAITING || item->own.state == ITEM_APPENDED;
    }
    return false;
}

/* --- done --- */

static void item_leave(struct send *send, struct send_item *item)
{
    list_remove(&item->own.link);
    send->own.undone_bytes -= item->body.len;
    send->own.given = MG_MAX(send->own.given, item->position);
    send->own.is_dirty = true;
    item->done(item); /* may free it */
}

/* In order: nothing is done before what was put before it. */
static void tell_owners(struct send *send)
{
    struct send_item *item;
    while ((item = LIST_FIRST(&send->own.undone, struct send_item, own.link)) &&
           (item->own.state == ITEM_DURABLE || item->own.state == ITEM_GONE))
        item_leave(send, item);
}

static void item_drop(struct send *send, struct send_item *item, enum outcome outcome, const char *reason)
{
    item->own.state = ITEM_GONE;
    bound_lost(send, outcome, item->spans, 1, reason);
}

/* --- the journal --- */

/* The journal's thread. */
static void on_record_done(struct journal_record *record, enum mg_err err)
{
    struct writing *writing = MG_CONTAINER(record, struct writing, record);
    struct send *send = writing->send;

    writing->err = err;
    record->link.next = NULL;
    pthread_mutex_lock(&send->shared.lock);
    *send->shared.returned_tail = &record->link;
    send->shared.returned_tail = &record->link.next;
    send_wake(send);
    pthread_mutex_unlock(&send->shared.lock);
}

static void disk_failed(struct send *send)
{
    send->own.lot_at_ns = send->mono_ns() + SEND_AGAIN_NS / 10;
    if (send->own.is_disk_failing)
        return;
    send->own.is_disk_failing = true;
    LOG(WARN, "export queue cannot be written: batches wait in memory", F_TEXT("exporter", send->wire.name),
        F_TEXT("path", send->dir));
}

static void disk_works(struct send *send)
{
    if (!send->own.is_disk_failing)
        return;
    send->own.is_disk_failing = false;
    LOG(INFO, "export queue is written again", F_TEXT("exporter", send->wire.name), F_TEXT("path", send->dir));
}

static void in_queue(struct send *send, const struct writing *writing)
{
    send->own.noted = MG_MAX(send->own.noted, writing->record.position);
    send->own.batches++;
    send->own.spans += writing->spans;
    send->own.bytes += (int64_t)(writing->record.head.len + writing->record.body.len);
}

static void returned(struct send *send, struct writing *writing)
{
    bool is_written = writing->err == MG_OK;
    send->own.lot_left--;
    if (is_written) {
        disk_works(send);
        in_queue(send, writing);
    } else {
        disk_failed(send);
    }
    if (writing->item) {
        writing->item->own.state = is_written ? ITEM_DURABLE : ITEM_WAITING;
        writing->item->own.writing = NULL;
    } else {
        send->own.adrift--;
        send->own.adrift_spans -= writing->spans;
        if (!is_written)
            bound_lost(send, OUT_DISK, writing->spans, 1, disk_reason);
    }
    writing_free(writing);
}

/* What one batch may take at most: the queue without the segment being written and a recycled one. */
static uint64_t record_most(const struct send *send)
{
    uint64_t queue = send->own.conf.queue_bytes, segment = send->segment_bytes;
    return queue > 3 * segment ? queue - 2 * segment : segment;
}

/* false: the journal refuses. */
static bool item_append(struct send *send, struct send_item *item)
{
    struct writing *writing = MEM_NEW(struct writing);
    *writing = (struct writing){.send = send, .item = item, .spans = item->spans};
    if (record_pack(send->own.zip, send->wire.encoding, item, send->own.lot_left == 0, send->wall_ns(), &writing->record) != MG_OK ||
        writing->record.body.len > record_most(send)) {
        item_drop(send, item, OUT_QUEUE_FULL, "a batch larger than the queue");
        writing_free(writing);
        return true;
    }
    writing->record.done = on_record_done;
    enum mg_err err = journal_append(send->journal, &writing->record);
    if (err == MG_OK) {
        item->own.state = ITEM_APPENDED;
        item->own.writing = writing;
        send->own.lot_left++;
        return true;
    }
    writing_free(writing);
    if (err == MG_E_TOO_BIG)
        item_drop(send, item, OUT_QUEUE_FULL, "a batch larger than a record of the queue");
    return err == MG_E_TOO_BIG;
}

/* A bounded lot, because the records are compressed here, on the wire's thread. */
static void lot_begin(struct send *send)
{
    uint64_t bytes = 0;
    if (send->own.lot_left > 0 || send->own.is_closing || send->mono_ns() < send->own.lot_at_ns)
        return;
    LIST_EACH(&send->own.undone, link) {
        struct send_item *item = item_of_list(link);
        if (item->own.state != ITEM_WAITING)
            continue;
        if (!item_append(send, item)) {
            disk_failed(send);
            return;
        }
        bytes += item->body.len;
        if (bytes >= SEND_LOT_BYTES)
            return;
    }
}

/* The journal goes on with its copy. */
static void let_go(struct send *send, struct send_item *item)
{
    item->own.writing->item = NULL;
    item->own.writing = NULL;
    item->own.state = ITEM_GONE;
    send->own.adrift++;
    send->own.adrift_spans += item->spans;
}

/* The oldest first, whatever their state, since done comes in order: all that is passed here is done next, and its memory free. */
static void memory_bound(struct send *send)
{
    uint64_t gone = 0;
    if (send->own.undone_bytes <= SEND_MEMORY_MAX)
        return;
    LIST_EACH(&send->own.undone, link) {
        struct send_item *item = item_of_list(link);
        if (send->own.undone_bytes - gone <= SEND_MEMORY_MAX)
            return;
        if (item->own.state == ITEM_APPENDED)
            let_go(send, item);
        else if (item->own.state == ITEM_WAITING)
            item_drop(send, item, OUT_DISK, disk_reason);
        gone += item->body.len;
    }
}

void intake_work(struct send *send)
{
    tell_owners(send);
    memory_bound(send);
    lot_begin(send);
    tell_owners(send);
}

static void take_written(struct send *send, struct queue_item *written)
{
    while (written) {
        struct writing *writing = writing_of(written);
        written = written->next;
        returned(send, writing);
    }
}

void intake_take(struct send *send, struct queue_item *put, struct queue_item *written)
{
    uint64_t spans = 0;
    take_written(send, written);
    while (put) {
        struct send_item *item = item_of(put);
        put = put->next;
        item->own.state = item->body.len > 0 ? ITEM_WAITING : ITEM_GONE;
        item->own.writing = NULL;
        list_add_last(&send->own.undone, &item->own.link);
        send->own.undone_bytes += item->body.len;
        spans += item->spans;
    }
    pthread_mutex_lock(&send->shared.lock);
    send->shared.stats.put_spans += spans;
    pthread_mutex_unlock(&send->shared.lock);
    intake_work(send);
}

bool intake_is_idle(struct send *send)
{
    return send->own.lot_left == 0 && (list_empty(&send->own.undone) || send->own.is_disk_failing);
}

struct intake_left intake_abandon(struct send *send, struct queue_item *written)
{
    struct intake_left left = {0};
    struct send_item *item;
    take_written(send, written);
    left.adrift = send->own.adrift;
    while ((item = LIST_FIRST(&send->own.undone, struct send_item, own.link))) {
        if (item->own.writing)
            item->own.writing->item = NULL;
        left.batches += item->body.len > 0;
        left.spans += item->spans;
        list_remove(&item->own.link);
    }
    if (send->own.adrift)
        bound_lost(send, OUT_DISK, send->own.adrift_spans, send->own.adrift, "the disk of the queue does not answer");
    send->own.adrift = send->own.adrift_spans = 0;
    return left;
}

void intake_free(struct queue_item *written)
{
    while (written) {
        struct writing *writing = writing_of(written);
        written = written->next;
        writing_free(writing);
    }
}
