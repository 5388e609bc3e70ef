/* backup.c - a hot copy as a tar (POSIX ustar), for whoever holds the other end.
 *
 * The list of partitions is taken once; what is committed to newer ones is not part of the copy. The open partition, a closed one that
 * is not sealed yet and the archive are written to while this runs, so each is copied by LMDB as of one commit, into a file
 * without a name. Sealed files do not change: they are read through their environment, which stays open while it is referenced,
 * also when retention unlinks the file.
 *
 * The decisions of a partition that is written to are opened after its copy was made, and copied to their end, so that those of a commit which
 * is in the copy are there even when it was said to have failed. More of them than the copy's state counts do no harm, a start cuts
 * them off. When they were merged meanwhile the file says so itself. Of sealed partitions they are opened when it is their turn; what
 * retention has unlinked by then is not part of the copy. */
#include "store/private.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAR_BLOCK = 512, CHUNK_BYTES = 1 << 20, TAR_END_BLOCKS = 2 };
#define TAR_OCTAL_MAX UINT64_C(0777777777777) /* 8 GiB: eleven octal digits */

struct backup {
    struct store *store;
    backup_write_fn *write;
    void *owner;
    char *chunk;
};

/* --- tar -------------------------------------------------------------------------------------------- */

struct tar_header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2];
    char user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "POSIX 1003.1 pax, ustar interchange format");

/* The field's last byte stays NUL. */
static void put_octal(char *field, size_t room, uint64_t value)
{
    for (size_t i = room - 1; i-- > 0; value >>= 3)
        field[i] = (char)('0' + (value & 7));
}

/* Beyond eleven octal digits the number is binary with the highest bit set, as GNU and star write it. */
static void put_size(char field[12], uint64_t bytes)
{
    if (bytes <= TAR_OCTAL_MAX) {
        put_octal(field, 12, bytes);
        return;
    }
    field[0] = (char)0x80;
    for (int i = 11; bytes; i--, bytes >>= 8)
        field[i] = (char)bytes;
}

static enum mg_err write_header(struct backup *backup, const char *name, uint64_t bytes, struct mg_why *why)
{
    struct tar_header header = { .type = '0', .magic = "ustar", .version = { '0', '0' } };
    const uint8_t *at = (const uint8_t *)&header;
    unsigned sum = 0;

    (void)snprintf(header.name, sizeof header.name, "store/%s", name);
    put_octal(header.mode, sizeof header.mode, 0600);
    put_octal(header.uid, sizeof header.uid, 0);
    put_octal(header.gid, sizeof header.gid, 0);
    put_size(header.size, bytes);
    put_octal(header.mtime, sizeof header.mtime, store_wall(backup->store) / 1000000000u);
    memset(header.checksum, ' ', sizeof header.checksum); /* counted as blanks */
    for (size_t i = 0; i < sizeof header; i++)
        sum += at[i];
    put_octal(header.checksum, 7, sum); /* six digits, NUL, blank */
    header.checksum[6] = 0;
    return backup->write(backup->owner, &header, sizeof header, why);
}

static enum mg_err write_zeroes(struct backup *backup, size_t bytes, struct mg_why *why)
{
    static const char zeroes[TAR_BLOCK * TAR_END_BLOCKS];

    return bytes ? backup->write(backup->owner, zeroes, bytes, why) : MG_OK;
}

static enum mg_err write_bytes(struct backup *backup, const char *name, int fd, uint64_t bytes, struct mg_why *why)
{
    MG_TRY(write_header(backup, name, bytes, why));
    for (uint64_t at = 0; at < bytes;) {
        ssize_t got = pread(fd, backup->chunk, (size_t)MG_MIN((uint64_t)CHUNK_BYTES, bytes - at), (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return mg_fail_os(why, got < 0 ? errno : EIO, "cannot read %s", name);
        MG_TRY(backup->write(backup->owner, backup->chunk, (size_t)got, why));
        at += (uint64_t)got;
    }
    return write_zeroes(backup, (size_t)(-bytes & (TAR_BLOCK - 1)), why);
}

static enum mg_err write_file(struct backup *backup, const char *path, int fd, struct mg_why *why)
{
    const char *name = strrchr(path, '/') + 1;
    struct stat file;

    if (fstat(fd, &file) != 0)
        return mg_fail_os(why, errno, "cannot read %s", name);
    return write_bytes(backup, name, fd, (uint64_t)file.st_size, why);
}

/* --- partitions ------------------------------------------------------------------------------------- */

enum mg_err store_nameless(const char *dir, int *fd, struct mg_why *why)
{
    struct buf text;
    char *path;

    buf_init(&text, 8192);
    buf_printf(&text, "%s/backup-XXXXXX", dir);
    path = buf_take(&text, NULL);
    *fd = mkstemp(path); /* mode 0600 */
    int failed = *fd < 0 ? errno : 0;
    if (!failed) {
        (void)unlink(path);
        (void)fcntl(*fd, F_SETFD, FD_CLOEXEC);
    }
    mem_free(path);
    return failed ? mg_fail_os(why, failed, "cannot create a file for the copy in %s", dir) : MG_OK;
}

/* A partition on its way: the file to read, ours when it is a copy. */
struct source { struct kv_env *env; int fd; bool is_copy; int decisions_fd /* of a copy; -1: none */; uint64_t decisions_bytes; };

static enum mg_err take_decisions(const struct partition *partition, struct source *out, struct mg_why *why)
{
    struct decision_run merged;
    struct stat file;

    if (partition->number == PINS_NUMBER)
        return MG_OK;
    MG_TRY(decisions_open(partition->decisions.path, &out->decisions_fd, &merged, why));
    if (out->decisions_fd < 0)
        return MG_OK;
    if (fstat(out->decisions_fd, &file) != 0)
        return mg_fail_os(why, errno, "cannot read %s", partition->decisions.path);
    out->decisions_bytes = (uint64_t)file.st_size;
    return MG_OK;
}

static enum mg_err take_source(struct store *store, struct partition *partition, struct source *out, struct mg_why *why)
{
    MG_TRY(partition_env(partition, &out->env, why));
    if (kv_env_is_sealed(out->env)) {
        out->fd = kv_env_fd(out->env);
        return MG_OK;
    }
    MG_TRY(store_nameless(store->dir, &out->fd, why));
    out->is_copy = true;
    enum mg_err err = kv_env_copy(out->env, out->fd, why);
    kv_env_unref(&out->env); /* sealing waits for it */
    return err == MG_OK ? take_decisions(partition, out, why) : err;
}

static void source_fini(struct source *source)
{
    if (source->is_copy)
        close(source->fd);
    if (source->decisions_fd >= 0)
        close(source->decisions_fd);
    kv_env_unref(&source->env);
}

/* Before the first byte is written: a reader may be slow, and all of it shall be of about one moment. */
static enum mg_err take_sources(struct store *store, const struct block_list *list, struct source *sources, struct mg_why *why)
{
    for (size_t i = list->n_all; i-- > 0;)
        MG_TRY(take_source(store, list->partitions[i], &sources[i], why));
    return MG_OK;
}

static enum mg_err write_sealed_decisions(struct backup *backup, const struct partition *partition, struct mg_why *why)
{
    struct decision_run merged;
    enum mg_err err;
    int fd = -1;

    if (partition->number == PINS_NUMBER)
        return MG_OK;
    MG_TRY(decisions_open(partition->decisions.path, &fd, &merged, why));
    if (fd < 0)
        return MG_OK;
    err = write_file(backup, partition->decisions.path, fd, why);
    close(fd);
    return err;
}

static enum mg_err write_source(struct backup *backup, const struct partition *partition, const struct source *source, struct mg_why *why)
{
    MG_TRY(write_file(backup, partition->path, source->fd, why));
    if (!source->is_copy)
        return write_sealed_decisions(backup, partition, why);
    if (source->decisions_fd < 0 || source->decisions_bytes == 0)
        return MG_OK;
    return write_bytes(backup, strrchr(partition->decisions.path, '/') + 1, source->decisions_fd, source->decisions_bytes, why);
}

static enum mg_err write_sources(struct backup *backup, const struct block_list *list, const struct source *sources, struct mg_why *why)
{
    for (size_t i = 0; i < list->n_all; i++)
        MG_TRY(write_source(backup, list->partitions[i], &sources[i], why));
    return write_zeroes(backup, TAR_BLOCK * TAR_END_BLOCKS, why);
}

enum mg_err store_backup(struct store *store, backup_write_fn *write, void *owner, struct mg_why *why)
{
    struct backup backup = { .store = store, .write = write, .owner = owner, .chunk = mem_alloc(CHUNK_BYTES) };
    struct block_list *list = block_list_take(store);
    struct source *sources = mem_zero(list->n_all + 1, sizeof *sources);
    enum mg_err err;

    for (size_t i = 0; i < list->n_all; i++)
        sources[i].decisions_fd = -1;
    err = take_sources(store, list, sources, why);
    if (err == MG_OK)
        err = write_sources(&backup, list, sources, why);
    for (size_t i = 0; i < list->n_all; i++)
        source_fini(&sources[i]);
    mem_free(sources);
    block_list_unref(&list);
    mem_free(backup.chunk);
    return err;
}
