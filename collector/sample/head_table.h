/* head_table.h - what SDKs are told, ready to be told: made by the main thread, immutable, counted, read by any thread; private to sample.
 *
 * A service has rows of its own: operations seen, those its entry of the file names, those that overrides name with it. Below them lie the
 * rows of the fallback, for every service: operations of the default strategy and of overrides without a service. They are joined when
 * somebody asks, as the one list times the other could be very long. */
#pragma once
#include "sample/head_rules.h"

/* Whether a service's clients ask. Shared by the tables that know the service. */
struct follower { _Atomic unsigned refs; _Atomic uint64_t asked_ns; /* 0: never */ };
struct follower *follower_new(void);
struct follower *follower_ref(struct follower *follower);
void follower_unref(struct follower **follower);
void follower_note(struct follower *follower, uint64_t now_ns);
bool follower_has_asked(const struct follower *follower, uint64_t now_ns, uint64_t within_ns);

/* An operation with roots, or a service's default. */
struct head_seen {
    struct head_subject subject;
    struct head_ruling ruling;   /* set by head_table_new */
    struct follower *follower;
    double rate;                 /* sampled roots a second, in the last interval */
    bool is_followed;
};
struct head_table;
/* `seen` sorted by service and operation; each service must have its default (an empty operation). Borrows nothing. */
struct head_table *head_table_new(const struct head_rules *rules, const struct strategies *strategies, struct head_seen *const *seen, size_t n);
struct head_table *head_table_ref(struct head_table *table);
void head_table_unref(struct head_table **table);

/* The service's follower; NULL: nothing was seen of it. The table's. */
struct follower *head_table_follower(const struct head_table *table, struct str service);
void head_table_answer(const struct head_table *table, struct str service, double factor, struct arena *arena, struct strategy *out);
void head_table_rows(const struct head_table *table, double factor, uint64_t now_ns, struct arena *arena, struct head_row **rows, size_t *n);
