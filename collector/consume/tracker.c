/* tracker.c - see tracker.h. */
#include "consume/tracker.h"
#include <assert.h>
#include "base/mem.h"

enum { ROOM_FIRST = 64 };

void tracker_fini(struct tracker *tracker)
{
    mem_free(tracker->slots);
    *tracker = (struct tracker){ 0 };
}

static struct tracker_slot *slot_at(const struct tracker *tracker, size_t i)
{
    return &tracker->slots[(tracker->first + i) & (tracker->room - 1)];
}

static void grow(struct tracker *tracker)
{
    size_t room = tracker->room ? tracker->room * 2 : ROOM_FIRST;
    struct tracker_slot *slots = mem_alloc(room * sizeof *slots);

    for (size_t i = 0; i < tracker->n; i++)
        slots[i] = *slot_at(tracker, i);
    mem_free(tracker->slots);
    tracker->slots = slots;
    tracker->first = 0;
    tracker->room = room;
}

bool tracker_give(struct tracker *tracker, int64_t offset)
{
    assert(offset >= 0);
    if (offset < tracker->end)
        return false;
    if (tracker->n == tracker->room)
        grow(tracker);
    *slot_at(tracker, tracker->n++) = (struct tracker_slot){ .offset = offset };
    tracker->end = offset + 1;
    return true;
}

static struct tracker_slot *find(const struct tracker *tracker, int64_t offset)
{
    size_t low = 0, high = tracker->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slot_at(tracker, middle)->offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tracker->n && slot_at(tracker, low)->offset == offset ? slot_at(tracker, low) : NULL;
}

bool tracker_finish(struct tracker *tracker, int64_t offset)
{
    struct tracker_slot *slot = find(tracker, offset);

    if (!slot || slot->is_done)
        return false;
    slot->is_done = true;
    while (tracker->n > 0 && slot_at(tracker, 0)->is_done) {
        tracker->first = (tracker->first + 1) & (tracker->room - 1);
        tracker->n--;
    }
    return true;
}

int64_t tracker_next(const struct tracker *tracker)
{
    if (tracker->end == 0)
        return -1;
    return tracker->n > 0 ? slot_at(tracker, 0)->offset : tracker->end;
}

size_t tracker_width(const struct tracker *tracker)
{
    return tracker->n;
}
