/* talkers.h - who sent how much lately: a small table of bytes by peer address, one a loop (overload is shared out fairly).
 *
 * While memory is short, requests of a *loud* peer are refused before those of the others: one whose share of the recent bytes
 * is more than half as large again as the fair share, which is all bytes by the number of peers. So of two peers one is loud
 * above 3/4, and a single peer never is: refusing it would help nobody.
 *
 * "Recent" halves every two seconds. The table holds at most 256 peers in sets of four; a new one takes the place of the
 * smallest of its set. Pure: time comes as a parameter. One thread. */
#pragma once
#include <stdbool.h>
#include "base/str.h"

enum { TALKERS_MAX = 256 };
#define TALKERS_HALF_NS UINT64_C(2000000000)

struct talkers {
    struct { uint64_t peer, bytes; } at[TALKERS_MAX]; /* bytes 0: free */
    uint64_t total;     /* of all */
    uint64_t n;         /* peers with bytes */
    uint64_t halved_ns; /* monotonic, when it last was */
}; /* zeroed memory is empty */

/* A number for the address in "10.0.0.1:4711" or "[::1]:4711"; 0, which is never loud, for an empty text. */
uint64_t talkers_peer(struct str peer);
void talkers_add(struct talkers *talkers, uint64_t peer, uint64_t bytes, uint64_t now_ns);
bool talkers_is_loud(struct talkers *talkers, uint64_t peer, uint64_t now_ns);
