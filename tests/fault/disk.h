/* disk.h - a disk with a volatile cache, as far as one folder tree is concerned.
 *
 * The real files always hold what the program wrote, like the page cache. Beside them the model
 * keeps what would be needed to take every change back that no sync has made durable. disk_cut()
 * takes a random part of those changes back, so that the folder then holds one of the images that a
 * power cut could have left.
 *
 * What may happen to a change since the last sync of its file or folder:
 *   data   every 512-byte sector holds, after the cut, any one of the contents it had since then
 *   size   follows the changes that are kept
 *   names  creating, renaming, unlinking and mkdir happened or did not
 *
 * The name changes of a folder happen in order, as file systems with a log of their own do it;
 * POSIX promises less, so on demand only what touches one name does. Syncing a file does not make
 * its name durable, and a folder that was not made durable takes all in it along. A sync that fails
 * loses what it should have written: no later sync of the file makes those changes durable.
 *
 * Every function wants disk_lock held, but for those that say otherwise. Memory comes from libc:
 * this is loaded into a program from outside and shares nothing with it. Running out of memory ends
 * the program like a cut without an image. */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct disk_file; /* a regular file that was opened, known by its inode; lives as long as the
                     process */

extern pthread_mutex_t disk_lock;

/* `root` is absolute and without links. Before any other thread. */
void disk_init(const char *root, uint64_t seed, bool names_are_unordered);
void disk_fini(void); /* nothing is taken back: the process ended, the power did not */

/* The path that names `path` below the root, without links in its folders; NULL when it is
 * elsewhere. The caller frees it. Wants no lock; keeps errno. */
char *disk_path(int folder_fd, const char *path);

uint64_t disk_now(void); /* the number of the newest change */

/* --- files --- */
struct disk_file *disk_file_open(int fd, const char *path); /* counted until disk_file_close */
void disk_file_close(struct disk_file *file);
const char *disk_file_path(const struct disk_file *file);
/* Before the change. disk_write returns the number of the change, for disk_write_durable. */
uint64_t disk_write(struct disk_file *file, uint64_t at, uint64_t bytes);
void disk_resize(struct disk_file *file, uint64_t size);
/* Mapped: the image becomes a new file, because the running program still looks at this one.
 * Written through a map: its changes are not seen, so it is left as it is (LMDB's lock file, whose
 * content means nothing after a start). */
void disk_mapped(struct disk_file *file, bool is_written);
/* A sync in two steps: changes before the begin are durable after the end; the power may go between
 * the two. */
uint64_t disk_sync_begin(struct disk_file *file);
void disk_sync_end(struct disk_file *file, uint64_t begun);
void disk_sync_failed(struct disk_file *file);
void disk_write_durable(struct disk_file *file,
                        uint64_t change); /* a write through O_DSYNC returns */

/* --- names: each does it, notes it, and returns 0 or -1 with errno --- */
void disk_created(const char *path); /* a file or a link: done already */
int disk_mkdir(const char *path, unsigned mode);
int disk_rename(const char *from, const char *to);
int disk_unlink(const char *path);
/* Durable is then what came until that number. */
void disk_sync_folder(const char *path, uint64_t until);
void disk_sync_all(void);

/* --- the cut --- */
struct disk_cut {
    unsigned writes_kept, writes_torn, writes_dropped, names_kept, names_undone;
};
/* Turns the tree into an image that a power cut leaves. The process must end without releasing the
 * lock. */
void disk_cut(struct disk_cut *out);
