/* head_file.h - small files whole: read with a bound, written so that a power cut leaves the old one or the new one. Private to sample;
 * main thread. */
#pragma once
#include "base/buf.h"

/* What a file is known again by; all zero: there is none. */
struct file_stamp { uint64_t device, inode, mtime_ns, bytes; };
static inline bool file_stamp_eq(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->mtime_ns == b->mtime_ns && a->bytes == b->bytes;
}
void file_look(const char *path, struct file_stamp *out);
/* Into an initialised buf, whose limit is the bound (E_TOO_BIG). *stamp, also of what could not be read. */
enum mg_err head_file_read(const char *path, struct buf *out, struct file_stamp *stamp, struct mg_why *why) MG_MUST_USE;
/* Through PATH.tmp, mode 0600; the folder is synced as well. */
enum mg_err head_file_write(const char *path, struct str bytes, struct mg_why *why) MG_MUST_USE;
