/* talkers.c - see talkers.h. */
#include "ingest/talkers.h"
#include "codec/hash.h"

enum { WAYS = 4, SHIFT_MAX = 63 };

uint64_t talkers_peer(struct str peer)
{
    size_t len = peer.len;

    while (len > 0 && peer.ptr[len - 1] != ':')
        len--;
    if (len > 0)
        peer.len = len - 1;
    return peer.len ? hash64(peer.ptr, peer.len, 0) | 1 : 0;
}

static void halve(struct talkers *talkers, uint64_t now_ns)
{
    uint64_t halvings = now_ns > talkers->halved_ns ? (now_ns - talkers->halved_ns) / TALKERS_HALF_NS : 0;

    if (halvings == 0)
        return;
    talkers->halved_ns += halvings * TALKERS_HALF_NS;
    talkers->total = talkers->n = 0;
    for (size_t i = 0; i < TALKERS_MAX; i++) {
        talkers->at[i].bytes = halvings > SHIFT_MAX ? 0 : talkers->at[i].bytes >> halvings;
        talkers->total += talkers->at[i].bytes;
        talkers->n += talkers->at[i].bytes > 0;
    }
}

/* The peer's place in its set; where it is not, the place it would take. */
static size_t place_of(const struct talkers *talkers, uint64_t peer)
{
    size_t first = (size_t)(peer >> 8) % (TALKERS_MAX / WAYS) * WAYS, smallest = first;

    for (size_t i = first; i < first + WAYS; i++) {
        if (talkers->at[i].peer == peer && talkers->at[i].bytes)
            return i;
        if (talkers->at[i].bytes < talkers->at[smallest].bytes)
            smallest = i;
    }
    return smallest;
}

void talkers_add(struct talkers *talkers, uint64_t peer, uint64_t bytes, uint64_t now_ns)
{
    size_t i = place_of(talkers, peer);

    if (peer == 0 || bytes == 0)
        return;
    halve(talkers, now_ns);
    if (talkers->at[i].peer != peer) {
        talkers->total -= talkers->at[i].bytes;
        talkers->n -= talkers->at[i].bytes > 0;
        talkers->at[i].peer = peer;
        talkers->at[i].bytes = 0;
    }
    talkers->n += talkers->at[i].bytes == 0;
    talkers->at[i].bytes += bytes;
    talkers->total += bytes;
}

bool talkers_is_loud(struct talkers *talkers, uint64_t peer, uint64_t now_ns)
{
    size_t i;

    halve(talkers, now_ns);
    i = place_of(talkers, peer);
    if (peer == 0 || talkers->n < 2 || talkers->at[i].peer != peer)
        return false;
    return talkers->at[i].bytes / 3 > talkers->total / talkers->n / 2; /* bytes > 3/2 of total/n, without overflow */
}
