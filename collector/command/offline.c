/* offline.c - see offline.h. A running collector writes these files while a reader looks, so the
 * reader takes the same lock; a folder without any lock around it is a copy and belongs to whoever
 * reads it. */
#include "command/offline.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "command/settings.h"

enum { LEVELS = 4 }; /* the folder and three around it: data_dir/exporters/NAME/journal */
static const uint64_t tell_ns = 10000000000;

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static char *join(const char *dir, const char *name)
{
    struct buf path;

    buf_init(&path, PATH_MAX + NAME_MAX);
    buf_printf(&path, "%s/%s", dir, name);
    return buf_take(&path, NULL);
}

static bool has_lock(const char *dir)
{
    char *path = join(dir, "LOCK");
    bool is_there = access(path, F_OK) == 0;

    mem_free(path);
    return is_there;
}

static bool has_file(const char *path, const char *suffix)
{
    DIR *dir = opendir(path);
    bool is_there = false;

    for (struct dirent *entry; dir && !is_there && (entry = readdir(dir));)
        is_there = str_ends(str_of(entry->d_name), str_of(suffix));
    if (dir)
        closedir(dir);
    return is_there;
}

static enum mg_err lock_around(const char *dir, int *lock, struct mg_why *why)
{
    char *at = mem_text(dir);
    enum mg_err err = MG_OK;

    *lock = -1;
    for (int i = 0; i < LEVELS && at[0]; i++) {
        if (has_lock(at)) {
            err = data_dir_lock(at, false, lock, why);
            break;
        }
        *strrchr(at, '/') = '\0'; /* an absolute path without its last part */
    }
    mem_free(at);
    return err;
}

enum mg_err offline_open(struct offline *out, const char *command, const char *dir,
                         const char *part, const char *suffix, struct mg_why *why)
{
    char real[PATH_MAX], *inner;
    enum mg_err err;
    int lock;

    if (!realpath(dir, real))
        return mg_fail_os(why, errno, "%s", dir);
    if (!is_directory(real))
        return mg_fail(why, MG_E_FORMAT, "%s is not a directory", dir);
    inner = join(real, part);
    if (!is_directory(inner)) {
        mem_free(inner);
        if (!has_file(real, suffix))
            return mg_fail(
                why, MG_E_ABSENT,
                "%s is neither a data_dir nor a %s: it has no folder '%s' and no *%s file", dir,
                part, part, suffix);
        inner = mem_text(real);
    }
    if ((err = lock_around(inner, &lock, why)) != MG_OK) {
        mem_free(inner);
        return err;
    }
    *out = (struct offline){
        .dir = inner, .lock = lock, .command = command, .told_ns = clock_mono_ns()};
    return MG_OK;
}

void offline_close(struct offline *offline)
{
    if (offline->lock >= 0)
        close(offline->lock);
    mem_free(offline->dir);
}

void offline_line(struct offline *offline, struct str line)
{
    uint64_t now;

    fwrite(line.ptr, 1, line.len, stdout);
    putchar('\n');
    offline->lines++;
    if (offline->lines % 1024 != 0 || (now = clock_mono_ns()) - offline->told_ns < tell_ns)
        return;
    offline->told_ns = now;
    fprintf(stderr, "%s: %" PRIu64 " lines\n", offline->command, offline->lines);
}
