/* site.c - openat below an open directory, each step with O_NOFOLLOW, so that what is judged is
 * what is read, also while somebody changes the directory meanwhile. fstat decides what a name is
 * after it is open; O_NONBLOCK keeps the opening of a pipe from waiting for its writer.
 *
 * A file is read to its end whatever its size was said to be, with the bound of what is left. */
#include "api/ui/site.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>
#include "codec/hash.h"
#include "http/http.h"

#define READ_BYTES ((size_t)64 * 1024)
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK)
#define FOR_EVER   "public, max-age=31536000, immutable"
#define ASK_AGAIN  "no-cache"

/* --- what a name tells
 * -------------------------------------------------------------------------------- */

static const struct {
    const char *end, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".txt", "text/plain; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".jpeg", "image/jpeg"},
    {".gif", "image/gif"},
    {".webp", "image/webp"},
    {".ico", "image/x-icon"},
    {".woff", "font/woff"},
    {".woff2", "font/woff2"},
    {".ttf", "font/ttf"},
    {".wasm", "application/wasm"},
};

static const char *type_of(struct str name)
{
    for (size_t i = 0; i < MG_COUNT(types); i++)
        if (str_ends(name, str_of(types[i].end)))
            return types[i].type;
    return "application/octet-stream";
}

static bool is_hash_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool is_hex_char(char c)
{
    return (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9');
}

/* A part of hex digits, at least eight and one of them a digit: webpack's. */
static bool is_hex_hash(struct str part)
{
    size_t n = 0, digits = 0;

    for (; n < part.len && is_hex_char(part.ptr[n]); n++)
        digits += part.ptr[n] <= '9';
    return n == part.len && n >= 8 && digits > 0;
}

/* Eight of base64url, at least one of them a capital: Vite's. Words are seldom like that; a hash
 * without one is asked for again, which costs an empty answer. */
static bool is_base64_hash(struct str part)
{
    size_t n = 0, capitals = 0;

    for (; n < part.len && is_hash_char(part.ptr[n]); n++)
        capitals += part.ptr[n] >= 'A' && part.ptr[n] <= 'Z';
    return n == part.len && n == 8 && capitals > 0;
}

static bool is_mark(char c)
{
    return c == '-' || c == '.';
}

/* "index-Ab3dE6gH.js" or "main.0a1b2c3d.js": the hash stands between a mark and the last dot. */
static bool is_hashed(struct str name)
{
    size_t end = name.len;

    while (end > 0 && name.ptr[end - 1] != '.' && name.ptr[end - 1] != '/')
        end--;
    if (end < 10 || name.ptr[end - 1] != '.')
        return false;
    end--; /* at the dot */
    if (is_mark(name.ptr[end - 9]) && is_base64_hash(str_n(name.ptr + end - 8, 8)))
        return true;
    size_t from = end;
    while (from > 0 && is_hex_char(name.ptr[from - 1]))
        from--;
    return from > 0 && is_mark(name.ptr[from - 1]) &&
           is_hex_hash(str_n(name.ptr + from, end - from));
}

struct str site_etag(struct str bytes, struct arena *arena)
{
    return arena_printf(arena, "\"%016" PRIx64 "-%zx\"", hash64(bytes.ptr, bytes.len, 0),
                        bytes.len);
}

/* --- reading
 * ------------------------------------------------------------------------------------------ */

static enum mg_err read_all(int fd, const char *name, struct buf *out, struct mg_why *why)
{
    for (;;) {
        size_t room = MG_MIN(READ_BYTES, out->limit - out->len);
        char one;
        if (room == 0) { /* full: is this the end? */
            ssize_t more = read(fd, &one, 1);
            if (more == 0)
                return MG_OK;
            return more < 0 ? mg_fail_os(why, errno, "cannot read '%s'", name)
                            : mg_fail(why, MG_E_TOO_BIG, "'%s' is too large", name);
        }
        MG_TRY(buf_reserve(out, room));
        ssize_t got = read(fd, out->ptr + out->len, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mg_fail_os(why, errno, "cannot read '%s'", name);
        if (got == 0)
            return MG_OK;
        out->len += (size_t)got;
    }
}

enum mg_err site_read(const char *path, enum site_links links, uint64_t bytes_max, struct buf *out,
                      struct mg_why *why)
{
    struct stat status;
    int fd = open(path, OPEN_FLAGS | (links == LINKS_REFUSED ? O_NOFOLLOW : 0));

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return mg_fail(why, MG_E_ABSENT, "there is no file '%s'", path);
    if (fd < 0 && errno == ELOOP && links == LINKS_REFUSED)
        return mg_fail(why, MG_E_FORMAT, "'%s' is a link, and links are not followed", path);
    if (fd < 0)
        return mg_fail_os(why, errno, "cannot open '%s'", path);
    struct buf bytes;
    buf_init(&bytes, (size_t)MG_MIN(bytes_max, (uint64_t)SIZE_MAX));
    enum mg_err err = MG_OK;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        err = mg_fail(why, MG_E_FORMAT, "'%s' is not a regular file", path);
    if (!err)
        err = read_all(fd, path, &bytes, why);
    close(fd);
    if (err)
        buf_fini(&bytes);
    else
        *out = bytes;
    return err;
}

/* --- the directory
 * ------------------------------------------------------------------------------------ */

static enum mg_err add(struct site *site, int fd, struct str name, struct mg_why *why)
{
    MG_AUTO(buf_fini) struct buf bytes;
    bool is_new;

    buf_init(&bytes, (size_t)(site->bytes_max - site->bytes));
    MG_TRY(read_all(fd, name.ptr, &bytes, why));
    struct site_file *file = ARENA_NEW(&site->arena, struct site_file);
    file->name = name;
    file->bytes = arena_str(&site->arena, buf_str(&bytes));
    file->etag = site_etag(file->bytes, &site->arena);
    file->type = type_of(name);
    file->gzip = http_file_pack(file->type, file->bytes, &site->arena);
    file->cache = is_hashed(name) ? FOR_EVER : ASK_AGAIN;
    *map_put(&site->by_name, name, &is_new) = file;
    site->n++;
    site->bytes += bytes.len;
    return MG_OK;
}

static enum mg_err walk(struct site *site, int fd, struct str below, unsigned depth,
                        struct mg_why *why);

static enum mg_err take_opened(struct site *site, int *fd, struct str name, unsigned depth,
                               struct mg_why *why)
{
    struct stat status;

    if (fstat(*fd, &status) != 0)
        return mg_fail_os(why, errno, "cannot look at '%s'", name.ptr);
    if (S_ISREG(status.st_mode)) {
        if (site->n == SITE_FILES_MAX)
            return mg_fail(why, MG_E_TOO_BIG, "there are more than %d files", SITE_FILES_MAX);
        return add(site, *fd, name, why);
    }
    if (!S_ISDIR(status.st_mode))
        return mg_fail(why, MG_E_FORMAT, "'%s' is neither a file nor a directory", name.ptr);
    if (depth == SITE_DEPTH_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "'%s' lies more than %d directories deep", name.ptr,
                       SITE_DEPTH_MAX);
    int folder = *fd;
    *fd = -1; /* walk closes it */
    return walk(site, folder, arena_printf(&site->arena, "%s/", name.ptr), depth + 1, why);
}

static enum mg_err take(struct site *site, int folder, const char *entry, struct str below,
                        unsigned depth, struct mg_why *why)
{
    struct str name = arena_printf(&site->arena, "%s%s", below.ptr, entry);
    int fd = openat(folder, entry, OPEN_FLAGS | O_NOFOLLOW);

    if (fd < 0 && errno == ELOOP)
        return mg_fail(why, MG_E_FORMAT, "'%s' is a link, and links are not followed", name.ptr);
    if (fd < 0)
        return mg_fail_os(why, errno, "cannot open '%s'", name.ptr);
    enum mg_err err = take_opened(site, &fd, name, depth, why);
    if (fd >= 0)
        close(fd);
    return err;
}

/* Takes fd. */
static enum mg_err walk(struct site *site, int fd, struct str below, unsigned depth,
                        struct mg_why *why)
{
    DIR *folder = fdopendir(fd);
    enum mg_err err = MG_OK;

    if (!folder) {
        err = mg_fail_os(why, errno, "cannot read directory '%s'", below.ptr);
        close(fd);
        return err;
    }
    while (!err) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry && errno)
            err = mg_fail_os(why, errno, "cannot read directory '%s'", below.ptr);
        if (!entry)
            break;
        if (!str_eq(str_of(entry->d_name), STR(".")) && !str_eq(str_of(entry->d_name), STR("..")))
            err = take(site, fd, entry->d_name, below, depth, why);
    }
    closedir(folder);
    return err;
}

static enum mg_err open_folder(const char *path, const char *folder, int *fd, struct mg_why *why)
{
    int root = open(path, OPEN_FLAGS | O_DIRECTORY);

    if (root < 0 && (errno == ENOENT || errno == ENOTDIR))
        return mg_fail(why, MG_E_ABSENT, "there is no directory '%s'", path);
    if (root < 0)
        return mg_fail_os(why, errno, "cannot open '%s'", path);
    *fd = openat(root, folder, OPEN_FLAGS | O_DIRECTORY | O_NOFOLLOW);
    int number = errno;
    close(root);
    if (*fd >= 0)
        return MG_OK;
    if (number == ENOENT)
        return mg_fail(why, MG_E_ABSENT, "there is no directory '%s/%s'", path, folder);
    if (number == ENOTDIR || number == ELOOP)
        return mg_fail(why, MG_E_FORMAT, "'%s/%s' is not a directory itself", path, folder);
    return mg_fail_os(why, number, "cannot open '%s/%s'", path, folder);
}

enum mg_err site_load(struct site *out, const char *path, const char *folder, uint64_t bytes_max,
                      struct mg_why *why)
{
    struct site site = {.bytes_max = bytes_max};
    int fd = -1;

    *out = (struct site){0};
    MG_TRY(open_folder(path, folder, &fd, why));
    enum mg_err err = walk(&site, fd, STR(""), 0, why);
    if (err) {
        site_fini(&site);
        return mg_fail_in(why, err, "in '%s/%s'", path, folder);
    }
    *out = site;
    return MG_OK;
}

void site_fini(struct site *site)
{
    map_fini(&site->by_name);
    arena_fini(&site->arena);
    *site = (struct site){0};
}

const struct site_file *site_find(const struct site *site, struct str name)
{
    void **file = site->n ? map_find(&site->by_name, name) : NULL;

    return file ? *file : NULL;
}
