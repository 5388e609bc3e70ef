/* client_peer.h - servers that do what they are told, right or wrong, on a thread of their own.
 *
 * An HTTP/1.1 peer plays its steps in order: read one request, send bytes, then keep, close, reset
 * or wait. An HTTP/2 peer does what the request's path names (see client_peer.c). One connection at
 * a time; peer_stop ends the thread wherever it is. */
#pragma once
#include "base/buf.h"

enum peer_then {
    PEER_KEEP, /* the next step reads from the same connection */
    PEER_CLOSE,
    PEER_RESET,
    PEER_WAIT, /* until the client closes */
};
struct peer_step {
    struct str answer;
    enum peer_then then;
    bool one_byte;  /* a system call a byte */
    bool head_only; /* does not wait for the request's body */
};
struct peer;
struct peer *peer_start(const struct peer_step *steps,
                        size_t n); /* steps: borrowed until peer_stop */
struct peer *peer_start_h2(void);
const char *peer_url(const struct peer *peer);
/* Returns how many connections there were; *requests (may be NULL) gets all bytes that were read.
 */
unsigned peer_stop(struct peer *peer, struct buf *requests);
/* "http://127.0.0.1:port" at which nobody listens. */
void peer_nobody(char url[40]);
