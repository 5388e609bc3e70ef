/* Names refer to files by index; files live until memfs_fini, so an unlinked one can still be open.
 */
#include "memfs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECTOR = 512 };
enum sector_state { CLEAN, DIRTY, LIMBO };

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int fail(int code)
{
    errno = code;
    return -1;
}

/* Counts the call; true: it must fail. Under the lock from here to call_end. */
static bool call_begin(struct memfs *fs)
{
    pthread_mutex_lock(&fs->lock);
    fs->calls++;
    if (fs->cut_at && fs->calls >= fs->cut_at)
        fs->is_dead = true;
    return fs->is_dead || fs->calls == fs->fail_at;
}

static long call_end(struct memfs *fs, long result)
{
    int code = errno;
    pthread_mutex_unlock(&fs->lock);
    errno = code;
    return result;
}

static struct memfs_name *name_find(struct memfs *fs, const char *name)
{
    for (size_t i = 0; i < fs->names.n; i++)
        if (strcmp(fs->names.at[i].name, name) == 0)
            return &fs->names.at[i];
    return NULL;
}

static void file_resize(struct memfs_file *file, size_t bytes)
{
    size_t old = file->cache.n, old_sectors = file->sectors.n;
    VEC_RESERVE(&file->cache, bytes);
    file->cache.n = bytes;
    VEC_RESERVE(&file->sectors, (bytes + SECTOR - 1) / SECTOR);
    file->sectors.n = (bytes + SECTOR - 1) / SECTOR;
    if (bytes > old)
        memset(file->cache.at + old, 0, bytes - old);
    if (file->sectors.n > old_sectors)
        memset(file->sectors.at + old_sectors, CLEAN, file->sectors.n - old_sectors);
}

/* One change of names: from "" is a creation, to "" a removal. */
static void change_apply(struct memfs *fs, bool on_disk, const struct memfs_change *c)
{
    struct memfs_names *names = on_disk ? &fs->disk_names : &fs->names;
    for (size_t i = names->n; i-- > 0;)
        if (strcmp(names->at[i].name, c->from) == 0 || strcmp(names->at[i].name, c->to) == 0)
            VEC_REMOVE(names, i);
    if (c->to[0]) {
        struct memfs_name name = {.file = c->file};
        snprintf(name.name, sizeof name.name, "%s", c->to);
        VEC_PUSH(names, name);
    }
}

static void change(struct memfs *fs, const char *from, const char *to, size_t file)
{
    struct memfs_change c = {.file = file};
    snprintf(c.from, sizeof c.from, "%s", from);
    snprintf(c.to, sizeof c.to, "%s", to);
    change_apply(fs, false, &c);
    VEC_PUSH(&fs->changes, c);
}

static int fs_mkdir(void *ctx, const char *dir, unsigned mode)
{
    struct memfs *fs = ctx;
    (void)dir, (void)mode;
    if (call_begin(fs))
        return (int)call_end(fs, fail(EIO));
    bool existed = fs->has_dir;
    if (!existed && fs->grow_errno)
        return (int)call_end(fs, fail(fs->grow_errno));
    fs->has_dir = true;
    return (int)call_end(fs, existed ? fail(EEXIST) : 0);
}

static int fs_list(void *ctx, const char *dir, journal_name_fn *on_name, void *owner)
{
    struct memfs *fs = ctx;
    (void)dir;
    if (call_begin(fs))
        return (int)call_end(fs, fail(EIO));
    for (size_t i = 0; i < fs->names.n; i++)
        on_name(owner, fs->names.at[i].name);
    return (int)call_end(fs, 0);
}

static struct memfs_file *file_of(struct memfs *fs, int fd)
{
    if (fd < 0 || (size_t)fd >= fs->handles.n || fs->handles.at[fd] == SIZE_MAX)
        abort();
    return &fs->files.at[fs->handles.at[fd]];
}

static int fs_size(void *ctx, int fd, uint64_t *file_bytes, uint64_t *disk_bytes)
{
    struct memfs *fs = ctx;
    if (call_begin(fs))
        return (int)call_end(fs, fail(EIO));
    *file_bytes = *disk_bytes = file_of(fs, fd)->cache.n;
    return (int)call_end(fs, 0);
}

static int fs_open(void *ctx, const char *path, int flags, unsigned mode)
{
    struct memfs *fs = ctx;
    (void)mode;
    if (call_begin(fs))
        return (int)call_end(fs, fail(EIO));
    struct memfs_name *name = name_find(fs, base_name(path));
    if (name && (flags & O_EXCL))
        return (int)call_end(fs, fail(EEXIST));
    if (!name && !(flags & O_CREAT))
        return (int)call_end(fs, fail(ENOENT));
    size_t file = name ? name->file : fs->files.n;
    if (!name) {
        (void)VEC_ADD(&fs->files);
        change(fs, "", base_name(path), file);
    }
    VEC_PUSH(&fs->handles, file);
    fs->open_handles++;
    return (int)call_end(fs, (long)fs->handles.n - 1);
}

static int fs_close(void *ctx, int fd)
{
    struct memfs *fs = ctx;
    bool fails = call_begin(fs);
    (void)file_of(fs, fd);
    fs->handles.at[fd] = SIZE_MAX; /* also when it fails, as in Linux */
    fs->open_handles--;
    return (int)call_end(fs, fails ? fail(EIO) : 0);
}

static void sector_write(struct memfs_file *file, size_t at, const char *bytes, size_t len)
{
    if (at + len > file->cache.n)
        file_resize(file, at + len);
    if (len > 0) {
        memcpy(file->cache.at + at, bytes, len);
        memset(file->sectors.at + at / SECTOR, DIRTY, (at + len - 1) / SECTOR - at / SECTOR + 1);
    }
}

/* A write within what a file has already goes on working on a full disk. */
static bool has_room(struct memfs *fs, int fd, uint64_t bytes)
{
    return !fs->grow_errno || bytes <= file_of(fs, fd)->cache.n;
}

static long fs_pwritev(void *ctx, int fd, const void *vectors, int n, int64_t offset)
{
    struct memfs *fs = ctx;
    const struct iovec *iov = vectors;
    bool fails = call_begin(fs);
    size_t total = 0, most;
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    most = fails ? total / 2 : fs->write_max ? MG_MIN(total, fs->write_max) : total;
    fs->writes++;
    if (!fails && !has_room(fs, fd, (uint64_t)offset + total))
        return call_end(fs, fail(fs->grow_errno));
    size_t done = 0;
    for (int i = 0; i < n && done < most; i++) {
        size_t len = MG_MIN(iov[i].iov_len, most - done);
        sector_write(file_of(fs, fd), (size_t)offset + done, iov[i].iov_base, len);
        done += len;
    }
    return call_end(fs, fails ? fail(EIO) : (long)done);
}

static long fs_pread(void *ctx, int fd, void *out, size_t n, int64_t offset)
{
    struct memfs *fs = ctx;
    if (call_begin(fs))
        return call_end(fs, fail(EIO));
    struct memfs_file *file = file_of(fs, fd);
    size_t at = MG_MIN((size_t)offset, file->cache.n);
    size_t len = MG_MIN(n, file->cache.n - at);
    if (len > 0)
        memcpy(out, file->cache.at + at, len);
    return call_end(fs, (long)len);
}

static int fs_fallocate(void *ctx, int fd, int64_t bytes)
{
    struct memfs *fs = ctx;
    if (call_begin(fs))
        return (int)call_end(fs, fail(ENOSPC));
    if (!has_room(fs, fd, (uint64_t)bytes))
        return (int)call_end(fs, fail(fs->grow_errno));
    file_resize(file_of(fs, fd), (size_t)bytes);
    return (int)call_end(fs, 0);
}

static void disk_resize(struct memfs_file *file)
{
    size_t old = file->disk.n;
    VEC_RESERVE(&file->disk, file->cache.n);
    file->disk.n = file->cache.n;
    if (file->disk.n > old)
        memset(file->disk.at + old, 0, file->disk.n - old);
}

static void sector_persist(struct memfs_file *file, size_t i)
{
    size_t at = i * SECTOR;
    if (at < file->disk.n)
        memcpy(file->disk.at + at, file->cache.at + at, MG_MIN((size_t)SECTOR, file->disk.n - at));
    file->sectors.at[i] = CLEAN;
}

static int fs_fdatasync(void *ctx, int fd)
{
    struct memfs *fs = ctx;
    bool fails = call_begin(fs);
    struct memfs_file *file = file_of(fs, fd);
    fs->fdatasyncs++;
    if (fs->fail_fdatasyncs > 0) {
        fs->fail_fdatasyncs--;
        fails = true;
    }
    if (!fails && !fs->drops_syncs)
        disk_resize(file);
    for (size_t i = 0; i < file->sectors.n && !fs->drops_syncs; i++) {
        if (file->sectors.at[i] == DIRTY && fails)
            file->sectors.at[i] = LIMBO;
        else if (file->sectors.at[i] == DIRTY)
            sector_persist(file, i);
    }
    return (int)call_end(fs, fails ? fail(EIO) : 0);
}

static int fs_fsync_dir(void *ctx, const char *dir)
{
    struct memfs *fs = ctx;
    (void)dir;
    if (call_begin(fs))
        return (int)call_end(fs, fail(EIO));
    fs->fsyncs++;
    for (size_t i = 0; i < fs->changes.n; i++)
        change_apply(fs, true, &fs->changes.at[i]);
    fs->changes.n = 0;
    return (int)call_end(fs, 0);
}

static int fs_rename(void *ctx, const char *from, const char *to)
{
    struct memfs *fs = ctx;
    if (call_begin(fs))
        return (int)call_end(fs, fail(EIO));
    struct memfs_name *name = name_find(fs, base_name(from));
    if (!name)
        return (int)call_end(fs, fail(ENOENT));
    change(fs, base_name(from), base_name(to), name->file);
    return (int)call_end(fs, 0);
}

static int fs_unlink(void *ctx, const char *path)
{
    struct memfs *fs = ctx;
    if (call_begin(fs))
        return (int)call_end(fs, fail(EIO));
    struct memfs_name *name = name_find(fs, base_name(path));
    if (!name)
        return (int)call_end(fs, fail(ENOENT));
    change(fs, base_name(path), "", name->file);
    return (int)call_end(fs, 0);
}

void memfs_init(struct memfs *fs)
{
    *fs = (struct memfs){
        .io = {fs_mkdir, fs_list, fs_size, fs_open, fs_close, fs_pwritev, fs_pread, fs_fallocate,
               fs_fdatasync, fs_fsync_dir, fs_rename, fs_unlink, fs},
    };
    pthread_mutex_init(&fs->lock, NULL);
}

void memfs_fini(struct memfs *fs)
{
    for (size_t i = 0; i < fs->files.n; i++) {
        VEC_FINI(&fs->files.at[i].cache);
        VEC_FINI(&fs->files.at[i].disk);
        VEC_FINI(&fs->files.at[i].sectors);
    }
    VEC_FINI(&fs->files);
    VEC_FINI(&fs->names);
    VEC_FINI(&fs->disk_names);
    VEC_FINI(&fs->changes);
    VEC_FINI(&fs->handles);
    pthread_mutex_destroy(&fs->lock);
}

void memfs_faults(struct memfs *fs, uint64_t fail_at, uint64_t cut_at)
{
    pthread_mutex_lock(&fs->lock);
    fs->calls = 0;
    fs->fail_at = fail_at;
    fs->cut_at = cut_at;
    pthread_mutex_unlock(&fs->lock);
}

void memfs_full(struct memfs *fs, int grow_errno)
{
    pthread_mutex_lock(&fs->lock);
    fs->grow_errno = grow_errno;
    pthread_mutex_unlock(&fs->lock);
}

/* How the sectors of one file survive: all, none, each by a coin, those up to or from a random one.
 */
static void file_cut(struct memfs_file *file, struct random *random)
{
    uint64_t mode = random_below(random, 5), from = random_below(random, file->sectors.n + 1);
    if (file->disk.n < file->cache.n && random_below(random, 2))
        disk_resize(file);
    for (size_t i = 0; i < file->sectors.n; i++) {
        bool survives = mode == 0 || (mode == 2 && random_below(random, 2)) ||
                        (mode == 3 && i < from) || (mode == 4 && i >= from);
        if (file->sectors.at[i] != CLEAN && survives)
            sector_persist(file, i);
    }
    file_resize(file, file->disk.n);
    if (file->disk.n > 0)
        memcpy(file->cache.at, file->disk.at, file->disk.n);
    if (file->sectors.n > 0)
        memset(file->sectors.at, CLEAN, file->sectors.n);
}

void memfs_power_cut(struct memfs *fs, struct random *random)
{
    uint64_t kept = random_below(random, fs->changes.n + 1);
    for (size_t i = 0; i < kept; i++)
        change_apply(fs, true, &fs->changes.at[i]);
    fs->changes.n = 0;
    fs->names.n = 0;
    for (size_t i = 0; i < fs->disk_names.n; i++)
        VEC_PUSH(&fs->names, fs->disk_names.at[i]);
    for (size_t i = 0; i < fs->files.n; i++)
        file_cut(&fs->files.at[i], random);
    fs->handles.n = 0;
    fs->open_handles = 0;
    fs->is_dead = false;
    memfs_faults(fs, 0, 0);
}

struct memfs_file *memfs_file(struct memfs *fs, const char *name)
{
    struct memfs_name *found = name_find(fs, name);
    return found ? &fs->files.at[found->file] : NULL;
}

void memfs_remove(struct memfs *fs, const char *name)
{
    change(fs, name, "", 0);
}

size_t memfs_count(struct memfs *fs, const char *suffix)
{
    size_t count = 0;
    for (size_t i = 0; i < fs->names.n; i++)
        count += str_ends(str_of(fs->names.at[i].name), str_of(suffix));
    return count;
}
