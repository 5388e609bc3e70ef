/* guard.h - reading a damaged file must not end the process.
 *
 * LMDB trusts its pages: one wrong length or offset makes it read behind the end of the file, which is SIGBUS. While a file is
 * guarded, such a read finds zeroes instead, which no page header and no checksum takes for data: the damage
 * then shows as an error of the call or of the reader. The first guard installs the process's SIGBUS handler; faults outside of
 * guarded maps end the process as they always did. Any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* Finds where the file is mapped (by /proc/self/maps) and guards all of it. Returns a handle for guard_remove; NULL: it is not mapped
 * or there are too many, then it is simply not guarded. */
const void *guard_add(const struct stat *file);
void guard_remove(const void *guard); /* before the map goes; NULL is fine */
uint64_t guard_faults(void);          /* pages that were replaced since the start */
