/* files.h - the calls of a test's program that change a decisions file or sync the store's directory, counted, and one of them made to fail.
 *
 * It replaces libc's names in the program it is linked into, LMDB's calls included; those on other files go on. One thread. */
#pragma once
#include <stdint.h>

#define FILES_SHORT (-1) /* half of what is written, and then ENOSPC; calls that write nothing fail with EIO */

/* The nth call from now fails with that errno (0: none does), and all calls are counted anew. */
void files_fail_at(uint64_t nth, int error);
/* Instead: the hook sees the disk as the nth call leaves it half done, as a crash would. A write has been made to its half, and any other
 * call not at all; it is then done and succeeds. */
void files_look_at(uint64_t nth, void (*hook)(void *owner), void *owner);
uint64_t files_calls(void);
