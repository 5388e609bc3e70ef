/* site.h - the files below one directory, read whole into memory.
 *
 * A browser's path is looked up in a table of names and never reaches the file system, so there is
 * nothing to escape to. What is read is bounded: bytes altogether, number of site, depth. Below
 * the directory only regular files and directories are taken: a link, a device or a socket is
 * refused with its name (E_FORMAT), since a link could show any file of the machine to every
 * browser. The directory itself may be reached through links, so that an operator can switch
 * versions with one. Blocks on the disk: never on a loop's thread; afterwards read-only, any
 * thread. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"

#define SITE_FILES_MAX 20000
#define SITE_DEPTH_MAX 16

struct site_file {
    struct str name; /* below the directory: "js/index-Ab3dE6gH.js" */
    struct str bytes, gzip; /* as of http_file */
    struct str etag;        /* strong, quoted */
    const char *type;       /* Content-Type by the name's end; application/octet-stream */
    const char *cache;      /* Cache-Control: for ever when the name carries a hash of the content */
};
struct site {
    struct map by_name; /* -> struct site_file */
    struct arena arena;
    size_t n;
    uint64_t bytes, bytes_max;
};

enum site_links {
    LINKS_FOLLOWED,
    LINKS_REFUSED /* of the path's last name */
};
/* One file, by a path of the operator's. E_ABSENT: there is none. E_TOO_BIG above bytes_max. *out
 * is written on success only. */
enum mg_err site_read(const char *path, enum site_links links, uint64_t bytes_max, struct buf *out,
                      struct mg_why *why) MG_MUST_USE;
/* Everything below `folder`, a name in the directory `path`. On failure *out is empty. E_ABSENT:
 * there is no such folder. */
enum mg_err site_load(struct site *out, const char *path, const char *folder, uint64_t bytes_max,
                      struct mg_why *why) MG_MUST_USE;
void site_fini(struct site *site); /* zeroed memory is fine */
const struct site_file *site_find(const struct site *site, struct str name); /* NULL: none */

/* For files that are made and not read. */
struct str site_etag(struct str bytes, struct arena *arena);
