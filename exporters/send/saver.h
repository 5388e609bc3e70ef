/* saver.h - writes the state file on a thread of its own, so that a disk that does not answer stops nothing but that thread.
 * Module-private. One thread at a time gives, takes and stops.
 *
 * One state is being written and one waits; a newer one takes the place of the one that waits. */
#pragma once
#include "send/state.h"

struct saver;
struct saver_options {
    const char *dir;             /* these outlive it */
    const struct journal_io *io;
    void (*on_saved)(void *owner); /* saver's thread: saver_take has news. Must not block */
    void *owner;
};
struct saver *saver_new(const struct saver_options *options);
enum mg_err saver_start(struct saver *saver, struct mg_why *why) MG_MUST_USE;
void saver_give(struct saver *saver, struct state *state); /* takes what is in *state */
bool saver_is_idle(struct saver *saver);                   /* any thread: everything given was written, or failed */
/* True: a state was written, or failed, since the last call: *err and *why tell of the last one. */
bool saver_take(struct saver *saver, enum mg_err *err, struct mg_why *why);
void saver_stop(struct saver *saver);                      /* writes what was given, joins; waits as long as the disk does */
void saver_free(struct saver **saver);                     /* stopped, or not started */
