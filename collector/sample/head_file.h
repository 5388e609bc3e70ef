/* head_file.h - small files whole: read with a bound, written so that a power cut leaves the old one or the new one. Private to sample;
 * main thread. */
#pragma once
#include "base/buf.h"
#include "base/file.h"

/* Into an initialised buf, whose limit is the bound (E_TOO_BIG). *stamp, also of what could not be read. */
enum mg_err head_file_read(const char *path, struct buf *out, struct file_stamp *stamp, struct mg_why *why) MG_MUST_USE;
/* Through PATH.tmp, mode 0600; the folder is synced as well. */
enum mg_err head_file_write(const char *path, struct str bytes, struct mg_why *why) MG_MUST_USE;
