/* private.h - what the files of peer share. */
#pragma once
#include "base/arena.h"
#include "peer/peer.h"

/* --- peer.c --- */
/* What an open peer with files of TLS does once a second: those that changed serve new connections. */
void peer_look(struct peer *peer);

/* --- parts.c --- */
size_t *peer_part_most(struct peer *peer); /* bytes of a part that it may still take; of peer.c */

/* --- target.c: where requests go, checked --- */
struct target {
    struct arena arena;
    struct str origin; /* "https://host:port", without credentials */
    struct str path;   /* what follows it */
    const char *section;
    bool is_tls;
    bool has_agent; /* the rows give a user-agent of their own */
    VEC(struct http_header)
    headers; /* names in lower case; the URL's authorization among them */
    VEC(struct str)
    secrets; /* what must not be repeated: values, and the credentials behind a
                scheme's name */
};
/* The sentence names the row and holds neither the URL's credentials nor a
 * header's value. */
enum mg_err target_init(struct target *target, const char *section, const struct peer_conf *conf,
                        struct mg_why *why) MG_MUST_USE;
void target_fini(struct target *target); /* zeroed memory is fine */

/* --- judge.c: what an answer means --- */
struct verdict {
    struct send_result result; /* .reason points to `reason` */
    struct mg_why reason;
};
struct asked { /* of a peer_post */
    bool is_grpc;
    const char *other_row;
};
/* why: of err. answer: never NULL. */
void judge_answer(struct verdict *verdict, const struct target *target, const struct asked *asked,
                  enum mg_err err, const struct http_answer *answer, const struct mg_why *why,
                  uint64_t wall_ns);
/* Retry-After: seconds, or a date in one of the three forms of RFC 9110 5.6.7.
 * 0: no hint. At most a day. */
uint64_t judge_hint_ms(struct str retry_after, uint64_t wall_ns);
/* Refused for nothing but its size: less may be taken. */
bool judge_is_too_large(const struct http_answer *answer);
/* RetryInfo in grpc-status-details-bin, which stands for "try again" even when
 * its delay is 0. At most a day. */
bool judge_retry_info(struct str details, uint64_t *ms);
