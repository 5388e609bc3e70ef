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
 * Nothing here waits for the disk: while it refuses, items stay in the list, and the oldest of them are
 * dropped when they take too much memory. */
#include "send/private.h"
#include <assert.h>
#include "base/log.h"
#include "base/mem.h"

static struct send_item *item_of(struct queue_item *link)
{
    return MG_CONTAINER(link, struct send_item, record.link);
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
    s->own.batches++;
    s->own.spans += is_known ? meta.spans : 0;
    s->own.bytes += (int64_t)(record->head.len + record->body.len);
    return MG_OK;
}

enum mg_err intake_recover(struct send *send, const struct state *state, struct mg_why *why)
{
    struct recovery recovery = {.send = send, .expected = state->noted + 1, .is_whole = !state->has_hole};
    send->own.given = state->recovered;
    send->own.batches = (int64_t)state->batches;
    send->own.spans = (int64_t)state->spans;
    send->own.bytes = (int64_t)state->bytes;
    MG_TRY(journal_replay(send->journal, state->noted, on_record, &recovery, why));
    send->own.noted = MG_MAX(state->noted, recovery.expected - 1);
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
    dispatch_lost(send, outcome, item->spans, 1, reason);
}

/* --- the journal --- */

/* The journal's thread. */
static void on_record_done(struct journal_record *record, enum mg_err err)
{
    struct send_item *item = MG_CONTAINER(record, struct send_item, record);
    struct send *send = item->own.send;

    item->own.err = err; /* the loop's thread looks at the state at any time, at this once it is returned */
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

static void item_returned(struct send *send, struct send_item *item)
{
    send->own.lot_left--;
    item->own.state = item->own.err == MG_OK ? ITEM_DURABLE : ITEM_WAITING;
    if (item->own.state == ITEM_DURABLE) {
        disk_works(send);
        send->own.noted = MG_MAX(send->own.noted, item->record.position);
        send->own.batches++;
        send->own.spans += item->spans;
        send->own.bytes += (int64_t)(item->record.head.len + item->record.body.len);
    } else {
        disk_failed(send);
    }
    record_release(item);
}

/* What one batch may take at most: the queue without the segment being written and a recycled one. */
static uint64_t record_most(const struct send *send)
{
    uint64_t queue = send_conf_of(send)->queue_bytes, segment = send->segment_bytes;
    return queue > 3 * segment ? queue - 2 * segment : segment;
}

/* false: the journal refuses. */
static bool item_append(struct send *send, struct send_item *item)
{
    record_pack(send->own.zip, item, send->own.lot_left == 0, send->wall_ns());
    item->record.done = on_record_done;
    if (item->record.body.len > record_most(send)) {
        item_drop(send, item, OUT_QUEUE_FULL, "a batch larger than the queue");
        record_release(item);
        return true;
    }
    item->own.state = ITEM_APPENDED;
    enum mg_err err = journal_append(send->journal, &item->record);
    if (err == MG_OK) {
        send->own.lot_left++;
        return true;
    }
    item->own.state = ITEM_WAITING;
    record_release(item);
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

/* The oldest of those that the journal does not hold at the moment. */
static void memory_bound(struct send *send)
{
    uint64_t gone = 0;
    if (send->own.undone_bytes <= SEND_MEMORY_MAX)
        return;
    LIST_EACH(&send->own.undone, link) {
        struct send_item *item = item_of_list(link);
        if (send->own.undone_bytes - gone <= SEND_MEMORY_MAX)
            return;
        if (item->own.state == ITEM_WAITING)
            item_drop(send, item, OUT_DISK, "the disk of the queue refuses");
        if (item->own.state == ITEM_GONE)
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

void intake_take(struct send *send, struct queue_item *put, struct queue_item *returned)
{
    uint64_t spans = 0;
    while (returned) {
        struct send_item *item = item_of(returned);
        returned = returned->next; /* before record_pack writes the record anew */
        item_returned(send, item);
    }
    while (put) {
        struct send_item *item = item_of(put);
        put = put->next;
        item->own.state = item->body.len > 0 ? ITEM_WAITING : ITEM_GONE;
        item->record = (struct journal_record){0};
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

void intake_abandon(struct send *send)
{
    struct send_item *item;
    while ((item = LIST_FIRST(&send->own.undone, struct send_item, own.link)))
        list_remove(&item->own.link);
}
