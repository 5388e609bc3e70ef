/* file.h - what every writer of files needs to make bytes and names survive a power cut. Each returns 0 or the errno of what failed. */
#pragma once
#include "base/str.h"

int file_write_all(int fd, struct str bytes);   /* at the file's position; interrupted and short writes go on */
int file_sync_dir(const char *dir);             /* fsync of a directory: names made, renamed and removed in it are safe */
char *file_parent(const char *path);            /* the directory that names path: "a/b/" is named by "a", "a" by "."; mem_free */
int file_sync_parent(const char *path);         /* of that directory; path need not exist */
