/* How it works: a file has a list of changes since its last sync, each with the bytes it replaced.
 * The cut walks the list from the newest change to the oldest and either keeps a sector, which pins
 * it against everything older, or puts the replaced bytes back. Any subset of the changes can
 * survive that way, and the result is always a content that the sector had at some time. A sync
 * removes changes from the list; a durable write among others that are not stays as a pin.
 *
 * Names are the same with folders, or single paths, in the place of sectors. An unlinked file waits
 * in a folder beside the root until its name's removal is durable, so that it can come back.
 *
 * The calls go to the kernel directly, because the names of libc are the ones interposed by
 * powercut.c. */
#define _GNU_SOURCE
#include "disk.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SECTOR = 512, COPY_BYTES = 1 << 20 };

enum change_kind {
    CHANGE_WRITE,
    CHANGE_SIZE /* truncated or grown; a shrink replaced the bytes from `at` on */
};

struct change {
    struct change *newer, *older;
    enum change_kind kind;
    bool is_lost; /* by a failed sync: nothing makes it durable any more */
    bool is_pin;  /* durable, while an older change is not */
    uint64_t number;
    uint64_t at, bytes;               /* what it changed */
    uint64_t size_before, size_after; /* of the file */
    uint64_t old_bytes;               /* in `old`; the rest was beyond the end of the file */
    char *old;
};

struct disk_file {
    struct disk_file *next;
    dev_t device;
    ino_t inode;
    int fd;         /* our own, for reading and writing; -1 when nothing needs it */
    unsigned users; /* descriptors and syncs under way */
    bool is_mapped, is_opaque;
    char *path; /* NULL: it has no name any more */
    struct change *newest, *oldest;
};

enum name_kind { NAME_CREATED, NAME_MKDIR, NAME_RENAMED, NAME_UNLINKED };

struct name_change {
    struct name_change *newer, *older;
    enum name_kind kind;
    uint64_t number;
    char *path;    /* the name that came, or went when it was unlinked */
    char *from;    /* renamed: the name before */
    char *kept_at; /* where the file waits that had the name; NULL: none */
};

struct path_list {
    struct path_list *next;
    const char *path;
};

pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
    char root[PATH_MAX];
    char stash[PATH_MAX];
    uint64_t random;
    bool is_unordered;
    uint64_t changes; /* numbers given */
    uint64_t stashed;
    struct disk_file *files;
    struct name_change *newest, *oldest;
} disk;

static uint64_t random_next(void) /* splitmix64 */
{
    uint64_t z = (disk.random += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

static bool chance(unsigned percent)
{
    return random_next() % 100 < percent;
}

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "powercut: %s: %s\n", what, strerror(errno));
    syscall(SYS_exit_group, 70);
    __builtin_unreachable();
}

static void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory)
        give_up("memory");
    return memory;
}

static char *copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(allocate(bytes), text, bytes);
}

/* --- the kernel --- */

static int os_open(const char *path, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

static int os_rename(const char *from, const char *to)
{
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int os_unlink(const char *path)
{
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static void os_close(int fd)
{
    syscall(SYS_close, fd);
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void read_all(int fd, char *out, uint64_t bytes, uint64_t at)
{
    while (bytes > 0) {
        long got = syscall(SYS_pread64, fd, out, bytes, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            give_up("cannot read what is replaced");
        out += got;
        at += (uint64_t)got;
        bytes -= (uint64_t)got;
    }
}

static void write_all(int fd, const char *bytes, uint64_t n, uint64_t at)
{
    while (n > 0) {
        long put = syscall(SYS_pwrite64, fd, bytes, n, at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            give_up("cannot write the image");
        bytes += put;
        at += (uint64_t)put;
        n -= (uint64_t)put;
    }
}

static uint64_t size_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        give_up("cannot tell a file's size");
    return (uint64_t)st.st_size;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)at;
    syscall(SYS_unlinkat, AT_FDCWD, path, kind == FTW_DP ? AT_REMOVEDIR : 0);
    return 0;
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- the tree --- */

void disk_init(const char *root, uint64_t seed, bool names_are_unordered)
{
    if ((size_t)snprintf(disk.stash, sizeof disk.stash, "%s.stash", root) >= sizeof disk.stash)
        give_up("the folder's name is too long");
    snprintf(disk.root, sizeof disk.root, "%s", root);
    disk.random = seed;
    disk.is_unordered = names_are_unordered;
    remove_tree(disk.stash);
    if (mkdir(disk.stash, 0700) < 0)
        give_up(disk.stash);
}

void disk_fini(void)
{
    remove_tree(disk.stash);
}

static bool is_inside(const char *path)
{
    size_t len = strlen(disk.root);
    return strncmp(path, disk.root, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* The folder part of a path, resolved; the path of the descriptor when there is none. */
static bool folder_of(int folder_fd, const char *path, char out[PATH_MAX])
{
    char text[PATH_MAX], prefix[64] = "";
    const char *slash = strrchr(path, '/');
    int len = slash ? (int)(slash - path) : 0;

    if (path[0] != '/' && folder_fd != AT_FDCWD)
        snprintf(prefix, sizeof prefix, "/proc/self/fd/%d/", folder_fd);
    int n = snprintf(text, sizeof text, "%s%.*s", prefix, len, path);
    if (n < 0 || (size_t)n >= sizeof text)
        return false;
    return realpath(text[0] ? text : slash ? "/" : ".", out) != NULL;
}

/* A path that does not end in a slash. */
static char *path_below(int folder_fd, const char *path)
{
    char folder[PATH_MAX], text[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    if (!folder_of(folder_fd, path, folder) ||
        (size_t)snprintf(text, sizeof text, "%s/%s", folder, name) >= sizeof text ||
        !is_inside(text))
        return NULL;
    return copy_text(text);
}

char *disk_path(int folder_fd, const char *path)
{
    char text[PATH_MAX];
    size_t len = path ? strlen(path) : 0;
    int code = errno;

    while (len > 1 && path[len - 1] == '/')
        len--;
    if (!disk.root[0] || len == 0 || len >= sizeof text)
        return NULL;
    memcpy(text, path, len);
    text[len] = '\0';
    char *out = path_below(folder_fd, text);
    errno = code;
    return out;
}

/* --- changes of a file --- */

static void change_free(struct disk_file *file, struct change *change)
{
    *(change->newer ? &change->newer->older : &file->newest) = change->older;
    *(change->older ? &change->older->newer : &file->oldest) = change->newer;
    free(change->old);
    free(change);
}

static struct change *change_add(struct disk_file *file, enum change_kind kind, uint64_t at,
                                 uint64_t bytes)
{
    struct change *change = allocate(sizeof *change);
    uint64_t size = size_of(file->fd);

    change->kind = kind;
    change->number = ++disk.changes;
    change->at = at;
    change->bytes = bytes;
    change->size_before = change->size_after = size;
    change->old_bytes = at >= size ? 0 : bytes < size - at ? bytes : size - at;
    change->old = allocate(change->old_bytes);
    read_all(file->fd, change->old, change->old_bytes, at);
    change->older = file->newest;
    *(file->newest ? &file->newest->newer : &file->oldest) = change;
    file->newest = change;
    return change;
}

uint64_t disk_write(struct disk_file *file, uint64_t at, uint64_t bytes)
{
    struct change *change = change_add(file, CHANGE_WRITE, at, bytes);
    if (at + bytes > change->size_after)
        change->size_after = at + bytes;
    return change->number;
}

void disk_resize(struct disk_file *file, uint64_t size)
{
    uint64_t before = size_of(file->fd);
    uint64_t bytes = size < before ? before - size : 0;
    change_add(file, CHANGE_SIZE, size, bytes)->size_after = size;
}

static void make_pin(struct change *change)
{
    change->is_pin = true;
    free(change->old);
    change->old = NULL;
    change->old_bytes = 0;
}

static bool has_lost(const struct disk_file *file)
{
    for (const struct change *change = file->newest; change; change = change->older)
        if (change->is_lost)
            return true;
    return false;
}

uint64_t disk_now(void)
{
    return disk.changes;
}

uint64_t disk_sync_begin(struct disk_file *file)
{
    file->users++;
    return disk.changes;
}

static void settle(struct disk_file *file, uint64_t until)
{
    bool pins = has_lost(file);

    for (struct change *change = file->oldest, *newer; change && change->number <= until;
         change = newer) {
        newer = change->newer;
        if (change->is_lost)
            continue;
        if (pins)
            make_pin(change);
        else
            change_free(file, change);
    }
}

void disk_sync_end(struct disk_file *file, uint64_t begun)
{
    settle(file, begun);
    disk_file_close(file);
}

void disk_sync_failed(struct disk_file *file)
{
    for (struct change *change = file->newest; change; change = change->older)
        change->is_lost |= !change->is_pin;
}

void disk_write_durable(struct disk_file *file, uint64_t number)
{
    for (struct change *change = file->newest; change; change = change->older) {
        if (change->number != number)
            continue;
        if (change->older)
            make_pin(change);
        else
            change_free(file, change);
        return;
    }
}

/* --- files --- */

static struct disk_file *file_named(const char *path)
{
    for (struct disk_file *file = disk.files; file; file = file->next)
        if (file->path && strcmp(file->path, path) == 0)
            return file;
    return NULL;
}

static void file_rename(const char *from, const char *to)
{
    struct disk_file *file = file_named(from);
    if (!file)
        return;
    free(file->path);
    file->path = to ? copy_text(to) : NULL;
}

static struct disk_file *file_known(const struct stat *st)
{
    for (struct disk_file *file = disk.files; file; file = file->next)
        if (file->inode == st->st_ino && file->device == st->st_dev)
            return file;
    struct disk_file *file = allocate(sizeof *file);
    file->inode = st->st_ino;
    file->device = st->st_dev;
    file->fd = -1;
    file->next = disk.files;
    disk.files = file;
    return file;
}

/* Our descriptor keeps the inode's number from being used again while anything depends on it;
 * without it the number may belong to another file, of which nothing is known. */
struct disk_file *disk_file_open(int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        give_up(path);
    struct disk_file *file = file_known(&st);
    if (file->fd < 0) {
        file->is_mapped = file->is_opaque = false;
        file->fd = os_open(path, O_RDWR);
        if (file->fd < 0)
            give_up(path);
    }
    free(file->path);
    file->path = copy_text(path);
    file->users++;
    return file;
}

void disk_file_close(struct disk_file *file)
{
    if (--file->users > 0 || file->newest)
        return;
    os_close(file->fd);
    file->fd = -1;
}

const char *disk_file_path(const struct disk_file *file)
{
    return file->path ? file->path : "(unlinked)";
}

void disk_mapped(struct disk_file *file, bool is_written)
{
    file->is_mapped = true;
    file->is_opaque |= is_written;
}

/* --- names --- */

static void name_free(struct name_change *change)
{
    *(change->newer ? &change->newer->older : &disk.newest) = change->older;
    *(change->older ? &change->older->newer : &disk.oldest) = change->newer;
    free(change->path);
    free(change->from);
    free(change->kept_at);
    free(change);
}

static struct name_change *name_add(enum name_kind kind, const char *path, const char *from)
{
    struct name_change *change = allocate(sizeof *change);
    change->kind = kind;
    change->number = ++disk.changes;
    change->path = copy_text(path);
    change->from = from ? copy_text(from) : NULL;
    change->older = disk.newest;
    *(disk.newest ? &disk.newest->newer : &disk.oldest) = change;
    disk.newest = change;
    return change;
}

/* Takes the name off a file, which waits beside the tree. NULL: it could not, errno tells. */
static char *stash(const char *path)
{
    char kept_at[PATH_MAX + 24];
    snprintf(kept_at, sizeof kept_at, "%s/%llu", disk.stash, (unsigned long long)++disk.stashed);
    if (os_rename(path, kept_at) < 0)
        return NULL;
    file_rename(path, kept_at);
    return copy_text(kept_at);
}

void disk_created(const char *path)
{
    name_add(NAME_CREATED, path, NULL);
}

int disk_mkdir(const char *path, unsigned mode)
{
    if (syscall(SYS_mkdirat, AT_FDCWD, path, mode) < 0)
        return -1;
    name_add(NAME_MKDIR, path, NULL);
    return 0;
}

int disk_rename(const char *from, const char *to)
{
    char *kept_at = NULL;
    if (exists(from) && exists(to) && !(kept_at = stash(to)))
        return -1;
    if (os_rename(from, to) < 0) {
        int code = errno;
        if (kept_at && os_rename(kept_at, to) == 0)
            file_rename(kept_at, to);
        free(kept_at);
        errno = code;
        return -1;
    }
    file_rename(from, to);
    name_add(NAME_RENAMED, to, from)->kept_at = kept_at;
    return 0;
}

int disk_unlink(const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0 || S_ISDIR(st.st_mode))
        return os_unlink(path); /* fails, and says why */
    char *kept_at = stash(path);
    if (!kept_at)
        return -1;
    name_add(NAME_UNLINKED, path, NULL)->kept_at = kept_at;
    return 0;
}

static bool is_in_folder(const struct name_change *change, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(change->path, folder, len) == 0 && change->path[len] == '/' &&
           !strchr(change->path + len + 1, '/');
}

static void name_settle(struct name_change *change)
{
    if (change->kept_at) {
        file_rename(change->kept_at, NULL);
        os_unlink(change->kept_at);
    }
    name_free(change);
}

void disk_sync_folder(const char *path, uint64_t until)
{
    for (struct name_change *change = disk.oldest, *newer; change; change = newer) {
        newer = change->newer;
        if (change->number <= until && is_in_folder(change, path))
            name_settle(change);
    }
}

void disk_sync_all(void)
{
    for (struct disk_file *file = disk.files; file; file = file->next)
        settle(file, UINT64_MAX);
    while (disk.oldest)
        name_settle(disk.oldest);
}

/* --- the cut --- */

/* One cut drops all, keeps all, or throws dice with a bias of its own: dice alone would hardly ever
 * show the two extremes. */
static unsigned bias(void)
{
    switch (random_next() % 4) {
    case 0:
        return 0;
    case 1:
        return 100;
    default:
        return (unsigned)(10 + random_next() % 81);
    }
}

enum fate { FATE_DROPPED, FATE_KEPT, FATE_TORN };

static enum fate fate_of(const struct change *change, unsigned keep_percent)
{
    if (change->is_pin || keep_percent == 100)
        return FATE_KEPT;
    if (keep_percent == 0)
        return FATE_DROPPED;
    if (change->kind == CHANGE_WRITE && change->bytes > SECTOR && chance(33))
        return FATE_TORN;
    return chance(keep_percent) ? FATE_KEPT : FATE_DROPPED;
}

/* What is being made of one file. */
struct image {
    int fd;
    uint8_t *pinned; /* one a sector */
    uint64_t sectors;
};

static void put_back(const struct image *image, const struct change *change, uint64_t from,
                     uint64_t end)
{
    static const char zeros[SECTOR];
    uint64_t old_end = change->at + change->old_bytes;
    uint64_t middle = old_end < from ? from : old_end < end ? old_end : end;

    if (middle > from)
        write_all(image->fd, change->old + (from - change->at), middle - from, from);
    if (end > middle)
        write_all(image->fd, zeros, end - middle, middle);
}

/* Keeps or drops each sector of one change. Returns where the file ends as far as this change is
 * concerned. */
static uint64_t sectors_decide(struct image *image, const struct change *change, enum fate fate)
{
    uint64_t end = change->at + change->bytes, kept_end = 0;
    /* Half of the torn writes stop somewhere, the others have holes: a disk may write in any order.
     */
    uint64_t stops_at = chance(50) ? change->at + random_next() % (change->bytes + 1) : UINT64_MAX;

    for (uint64_t from = change->at; from < end;) {
        uint64_t sector = from / SECTOR,
                 to = (sector + 1) * SECTOR < end ? (sector + 1) * SECTOR : end;
        bool is_kept = fate == FATE_KEPT;
        if (fate == FATE_TORN)
            is_kept = stops_at == UINT64_MAX ? chance(50) : to <= stops_at;
        if (is_kept)
            image->pinned[sector] = 1;
        if (image->pinned[sector])
            kept_end = to;
        else
            put_back(image, change, from, to);
        from = to;
    }
    return kept_end;
}

/* The size after a change that had this fate, from the size before it. */
static uint64_t size_after(const struct change *change, uint64_t size, bool is_kept,
                           uint64_t kept_end)
{
    if (change->kind == CHANGE_WRITE)
        return kept_end > size ? kept_end : size;
    return is_kept ? change->size_after : size;
}

static void count(struct disk_cut *out, const struct change *change, enum fate fate)
{
    if (change->is_pin)
        return;
    out->writes_kept += fate == FATE_KEPT;
    out->writes_torn += fate == FATE_TORN;
    out->writes_dropped += fate == FATE_DROPPED;
}

/* Reuses the fields that say nothing any more: `number` becomes the fate, `at` where the kept part
 * ends. */
static void image_decide(struct image *image, struct disk_file *file, unsigned keep_percent,
                         struct disk_cut *out)
{
    uint64_t size = file->oldest->size_before;

    for (struct change *change = file->newest; change; change = change->older) {
        enum fate fate = fate_of(change, keep_percent);
        count(out, change, fate);
        change->at = sectors_decide(image, change, fate);
        change->number = fate;
    }
    for (struct change *change = file->oldest; change; change = change->newer)
        size = size_after(change, size, change->number == FATE_KEPT, change->at);
    if (syscall(SYS_ftruncate, image->fd, size) < 0)
        give_up("cannot set the image's size");
}

static void copy_content(int from, int to)
{
    uint64_t bytes = size_of(from);
    char *buffer = allocate(COPY_BYTES);
    for (uint64_t at = 0; at < bytes; at += COPY_BYTES) {
        uint64_t n = bytes - at < COPY_BYTES ? bytes - at : COPY_BYTES;
        read_all(from, buffer, n, at);
        write_all(to, buffer, n, at);
    }
    free(buffer);
}

static uint64_t sectors_of(const struct disk_file *file)
{
    uint64_t end = size_of(file->fd);
    for (const struct change *change = file->newest; change; change = change->older)
        if (change->at + change->bytes > end)
            end = change->at + change->bytes;
    return end / SECTOR + 1;
}

static void file_cut(struct disk_file *file, unsigned keep_percent, struct disk_cut *out)
{
    struct image image = {.fd = file->fd};
    char copy[PATH_MAX + 8];

    if (file->is_mapped) {
        snprintf(copy, sizeof copy, "%s/copy", disk.stash);
        image.fd = os_open(copy, O_RDWR | O_CREAT | O_TRUNC);
        if (image.fd < 0)
            give_up(copy);
        copy_content(file->fd, image.fd);
    }
    image.sectors = sectors_of(file);
    image.pinned = allocate(image.sectors);
    image_decide(&image, file, keep_percent, out);
    free(image.pinned);
    if (file->is_mapped && os_rename(copy, file->path) < 0)
        give_up(file->path);
}

static bool is_pinned(const struct path_list *pins, const char *path)
{
    for (; pins; pins = pins->next)
        if (strcmp(pins->path, path) == 0)
            return true;
    return false;
}

static void pin(struct path_list **pins, const char *path)
{
    struct path_list *entry = allocate(sizeof *entry);
    entry->path = path;
    entry->next = *pins;
    *pins = entry;
}

static void name_undo(const struct name_change *change)
{
    if (change->kind == NAME_CREATED)
        os_unlink(change->path);
    else if (change->kind == NAME_MKDIR)
        remove_tree(change->path);
    else if (change->kind == NAME_RENAMED)
        os_rename(change->path, change->from);
    if (change->kept_at)
        os_rename(change->kept_at, change->path);
}

/* Newest first; what a kept change depends on has happened too: what touched its names before, or
 * its folder. */
static bool has_later(const struct path_list *pins, const struct name_change *change,
                      const char *folder)
{
    if (disk.is_unordered)
        return is_pinned(pins, change->path) || (change->from && is_pinned(pins, change->from));
    return is_pinned(pins, folder);
}

static void names_cut(struct disk_cut *out)
{
    struct path_list *pins = NULL;
    unsigned keep_percent = bias();

    for (struct name_change *change = disk.newest; change; change = change->older) {
        char *folder = copy_text(change->path);
        *strrchr(folder, '/') = '\0';
        if (!has_later(pins, change, folder) && !chance(keep_percent)) {
            name_undo(change);
            out->names_undone++;
            continue;
        }
        pin(&pins, folder);
        pin(&pins, change->path);
        if (change->from)
            pin(&pins, change->from);
        out->names_kept++;
    }
}

/* Data first: a file waiting beside the tree has its content decided before its name may come back.
 */
void disk_cut(struct disk_cut *out)
{
    unsigned keep_percent = bias();

    *out = (struct disk_cut){0};
    for (struct disk_file *file = disk.files; file; file = file->next)
        if (file->newest && file->path && !file->is_opaque)
            file_cut(file, keep_percent, out);
    names_cut(out);
    remove_tree(disk.stash);
}
