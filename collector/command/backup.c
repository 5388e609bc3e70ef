/* backup.c - `store backup FILE`: the store of a running instance as a tar.
 *
 * The bytes go, as they come, into a new file beside FILE that gets its name only when the stream
 * was whole and is on disk; the rename refuses to replace anything. Whatever ends the command before
 * takes that file away: a failure here, a signal in its handler. The server falls silent while it
 * copies the hour that is being written, so only a long silence counts as an end. */
#define _GNU_SOURCE /* renameat2 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/clock.h"
#include "base/mem.h"
#include "command/server.h"
#include "command/table.h"
#include "command/tar_check.h"

static const char name[] = "store backup";
static const uint64_t tell_ns = 10000000000;
enum { SILENCE_MS = 300000 };

struct backup_fields {
    struct server_args server;
};

struct backup {
    const char *path;
    int fd;
    struct tar_check check;
    uint64_t told_ns;
};

/* --- the file ----------------------------------------------------------------------------------- */

static char temporary[PATH_MAX]; /* "": there is none; the signal's handler reads it */

static void on_signal(int number)
{
    if (temporary[0])
        (void)unlink(temporary);
    (void)signal(number, SIG_DFL);
    (void)raise(number); /* delivered when this returns: the exit status says what happened */
}

static void drop_temporary(void)
{
    (void)unlink(temporary);
    temporary[0] = '\0';
}

static enum mg_err file_open(struct backup *backup, struct mg_why *why)
{
    struct stat st;
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s.XXXXXX", backup->path);

    if (lstat(backup->path, &st) == 0)
        return mg_fail(why, MG_E_DENIED, "%s exists and is not overwritten", backup->path);
    if (n < 0 || (size_t)n >= sizeof path)
        return mg_fail(why, MG_E_TOO_BIG, "%s: the path is too long", backup->path);
    backup->fd = mkostemp(path, O_CLOEXEC); /* mode 0600 */
    if (backup->fd < 0)
        return mg_fail_os(why, errno, "cannot create a file beside %s", backup->path);
    memcpy(temporary, path, sizeof temporary);
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
    (void)signal(SIGHUP, on_signal);
    return MG_OK;
}

/* Some file systems know only the older way to take a name that must be free. */
static int take_name(const char *path)
{
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (link(temporary, path) != 0)
        return -1;
    return unlink(temporary);
}

static enum mg_err file_keep(struct backup *backup, struct mg_why *why)
{
    int failed;

    if (fsync(backup->fd) != 0)
        return mg_fail_os(why, errno, "cannot sync %s", temporary);
    if (take_name(backup->path) != 0)
        return mg_fail_os(why, errno, "cannot name the file %s", backup->path);
    temporary[0] = '\0';
    failed = file_sync_parent(backup->path);
    return failed ? mg_fail_os(why, failed, "cannot sync the directory of %s", backup->path) : MG_OK;
}

/* --- the stream --------------------------------------------------------------------------------- */

static enum mg_err on_bytes(void *owner, struct str bytes, struct mg_why *why)
{
    struct backup *backup = owner;
    uint64_t now;
    int failed;

    MG_TRY(tar_check_add(&backup->check, bytes, why));
    if ((failed = file_write_all(backup->fd, bytes)) != 0)
        return mg_fail_os(why, failed, "cannot write %s", temporary);
    if ((now = clock_mono_ns()) - backup->told_ns >= tell_ns) {
        backup->told_ns = now;
        fprintf(stderr, "%s: %" PRIu64 " MB\n", name, backup->check.bytes / 1000000);
    }
    return MG_OK;
}

static enum mg_err fetch(struct backup *backup, const struct server_args *server, struct mg_why *why)
{
    const struct server_sink sink = { .on_body = on_bytes, .owner = backup, .silence_ms = SILENCE_MS };
    struct buf body;

    MG_TRY(server_get(server, "/api/meshglass/v1/backup", &sink, &body, why));
    buf_fini(&body);
    return tar_check_end(&backup->check, why);
}

static enum mg_err make(struct backup *backup, const struct server_args *server, struct mg_why *why)
{
    enum mg_err err;

    MG_TRY(file_open(backup, why));
    fprintf(stderr, "%s: reading the store of %s\n", name, server->url);
    err = fetch(backup, server, why);
    if (err == MG_OK)
        err = file_keep(backup, why);
    if (temporary[0])
        drop_temporary();
    close(backup->fd);
    return err;
}

static int backup_run(const void *fields, const struct arg_list *operands)
{
    const struct backup_fields *f = fields;
    struct backup backup = { .path = operands->at[0], .told_ns = clock_mono_ns() };
    struct mg_why why = { "" };

    if (make(&backup, &f->server, &why) != MG_OK) {
        command_error(name, why.text);
        return COMMAND_NO;
    }
    fprintf(stderr, "%s: %" PRIu64 " files, %" PRIu64 " bytes in %s\n", name, backup.check.files,
            backup.check.bytes, backup.path);
    return COMMAND_FINE;
}

static const struct backup_fields backup_defaults = { .server.url = SERVER_DEFAULT };
static const struct arg_option backup_options[] = { SERVER_ARG_ROWS(struct backup_fields, server) };
const struct command store_backup_command = {
    .name = "store backup",
    .help = "Copies the store of a running instance into FILE, a tar to be unpacked into an empty "
            "data_dir.",
    .rules = { backup_options, MG_COUNT(backup_options), "FILE", 1, 1 },
    .defaults = &backup_defaults,
    .fields_bytes = sizeof backup_defaults,
    .run = backup_run,
};
