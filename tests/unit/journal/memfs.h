/* memfs.h - a file system of one directory in memory behind struct journal_io, with a disk behind
 * its cache.
 *
 * Writes go to the cache in sectors of 512 bytes; fdatasync copies a file's dirty sectors (and its
 * size) to the disk, fsync_dir the names. memfs_power_cut keeps an arbitrary part of what was not
 * synced and forgets the rest: sectors of one write survive independently, names up to an arbitrary
 * point of their history. After a failed fdatasync the dirty sectors are in limbo, as in Linux: a
 * later fdatasync reports success without writing them. Calls are counted; the n-th can fail, or be
 * the moment the power goes. Any thread. */
#pragma once
#include <pthread.h>
#include "base/random.h"
#include "base/vec.h"
#include "journal/file.h"

struct memfs_file {
    VEC(uint8_t) cache, disk;
    VEC(uint8_t) sectors; /* state of each sector of the cache: memfs.c */
};
struct memfs_name {
    char name[FILE_NAME_BYTES];
    size_t file;
};
struct memfs_change {
    char from[FILE_NAME_BYTES], to[FILE_NAME_BYTES];
    size_t file;
};

struct memfs {
    struct journal_io io;
    pthread_mutex_t lock;
    VEC(struct memfs_file) files;
    struct memfs_names {
        struct memfs_name *at;
        size_t n, room;
    } names, disk_names;
    VEC(struct memfs_change) changes; /* of names, since the last fsync_dir */
    VEC(size_t) handles;              /* file of each descriptor; SIZE_MAX: closed */
    bool has_dir;
    uint64_t calls, fail_at, cut_at; /* 0: never */
    bool is_dead;                    /* the power is gone: every call fails */
    bool drops_syncs;                /* fdatasync does nothing and reports success */
    int grow_errno;                  /* 0: there is room; else what a larger file and a new directory fail with */
    size_t write_max;                /* 0: no limit; else writes are short */
    uint64_t fdatasyncs, fsyncs, writes;
    uint64_t open_handles;
    uint64_t fail_fdatasyncs; /* the next so many fail */
};

void memfs_init(struct memfs *fs);
void memfs_fini(struct memfs *fs);
void memfs_faults(struct memfs *fs, uint64_t fail_at, uint64_t cut_at); /* restarts the count */
void memfs_full(struct memfs *fs, int grow_errno);                      /* 0: room again */
void memfs_power_cut(struct memfs *fs, struct random *random);          /* and power on again */
/* The cache of a file, or NULL. Valid until the next call. */
struct memfs_file *memfs_file(struct memfs *fs, const char *name);
void memfs_remove(struct memfs *fs, const char *name);
size_t memfs_count(struct memfs *fs, const char *suffix);
