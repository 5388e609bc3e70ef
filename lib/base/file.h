/* file.h - what every writer of files needs to make bytes and names survive a power cut, each returns 0 or the errno of what failed; and
 * how a reader opens a file, and tells that it is another than before. */
#pragma once
#include "base/err.h"
#include "base/str.h"

int file_write_all(int fd, struct str bytes);   /* at the file's position; interrupted and short writes go on */
int file_sync_dir(const char *dir);             /* fsync of a directory: names made, renamed and removed in it are safe */
char *file_parent(const char *path);            /* the directory that names path: "a/b/" is named by "a", "a" by "."; mem_free */
int file_sync_parent(const char *path);         /* of that directory; path need not exist */

/* Opens what is to be read to its end, without waiting: a pipe would wait for a writer, and a device has no end. E_IO names the path: it
 * cannot be opened, or is no regular file (a link to one is). */
enum mg_err file_open_read(const char *path, int *fd, struct mg_why *why) MG_MUST_USE;

/* What a file is known again by; all zero: there is none. */
struct file_stamp { uint64_t device, inode, bytes, mtime_ns, ctime_ns; };
struct stat;
struct file_stamp file_stamp_of(const struct stat *file);
bool file_stamp_eq(const struct file_stamp *a, const struct file_stamp *b);
void file_look(const char *path, struct file_stamp *out); /* follows links */
