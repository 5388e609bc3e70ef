/* dead_file.c - see dead_file.h. */
#include "consume/dead_file.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "codec/json_write.h"

struct dead_file {
    char *path;
    int fd;      /* -1: not open */
};

void dead_letter_line(struct buf *out, const struct dead_letter *letter)
{
    struct json_writer w;

    json_writer_init(&w, out, 0);
    json_object(&w);
    json_key_text(&w, "topic");
    json_put_str(&w, letter->topic);
    json_key_text(&w, "partition");
    json_put_i64(&w, letter->partition);
    json_key_text(&w, "offset");
    json_put_i64(&w, letter->offset);
    json_key_text(&w, "timestamp");
    if (letter->timestamp_ms >= 0)
        json_put_i64(&w, letter->timestamp_ms);
    else
        json_put_null(&w);
    json_key_text(&w, "key");
    if (letter->has_key)
        json_put_base64(&w, letter->key.ptr, letter->key.len);
    else
        json_put_null(&w);
    json_key_text(&w, "value");
    json_put_base64(&w, letter->value.ptr, letter->value.len);
    json_key_text(&w, "error");
    json_put_str(&w, letter->error);
    json_object_end(&w);
    buf_put_char(out, '\n');
}

struct dead_file *dead_file_new(struct str path)
{
    struct dead_file *file = MEM_NEW(struct dead_file);

    file->path = str_text(path);
    file->fd = -1;
    return file;
}

static void close_file(struct dead_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

void dead_file_free(struct dead_file **pointer)
{
    struct dead_file *file = MG_STEAL(*pointer);

    if (!file)
        return;
    close_file(file);
    mem_free(file->path);
    mem_free(file);
}

static bool was_rotated(const struct dead_file *file)
{
    struct stat here, there;

    return fstat(file->fd, &here) != 0 || stat(file->path, &there) != 0 || here.st_ino != there.st_ino || here.st_dev != there.st_dev;
}

/* A new file's name must survive a power cut as its lines do. */
static enum mg_err open_file(struct dead_file *file, struct mg_why *why)
{
    int failed;

    if (file->fd >= 0 && was_rotated(file))
        close_file(file);
    if (file->fd >= 0)
        return MG_OK;
    file->fd = open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600); /* a FIFO would wait */
    if (file->fd < 0)
        return mg_fail_os(why, errno, "cannot open %s", file->path);
    failed = file_sync_parent(file->path);
    return failed ? mg_fail_os(why, failed, "cannot sync the folder of %s", file->path) : MG_OK;
}

enum mg_err dead_file_write(struct dead_file *file, struct str lines, struct mg_why *why)
{
    enum mg_err err = open_file(file, why);
    struct stat before = { 0 };

    if (err == MG_OK && (fstat(file->fd, &before) != 0 || !S_ISREG(before.st_mode)))
        err = mg_fail(why, MG_E_IO, "%s is not a regular file", file->path);
    if (err == MG_OK) {
        int failed = file_write_all(file->fd, lines);
        if (failed == 0 && fdatasync(file->fd) != 0)
            failed = errno;
        if (failed == 0)
            return MG_OK;
        err = mg_fail_os(why, failed, "cannot write %s", file->path);
        if (ftruncate(file->fd, before.st_size) != 0)
            err = mg_fail_os(why, errno, "cannot take back a part of a line in %s", file->path);
    }
    close_file(file); /* the next attempt begins with a fresh view of the path */
    return err;
}
