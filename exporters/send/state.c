/* The order of updates: the temporary file is durable before it gets the name, the name before the caller
 * hears of it. A leftover temporary file is written over; what it is longer lies beyond the stated length
 * and is never looked at. */
#include "send/state.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/bytes.h"
#include "codec/hash.h"

enum { VERSION = 1, HEADER = 16, CHECK = 8, TICKET_MAX = 35 /* varints of 10, 5, 10 and 10 bytes */ };
#define PAYLOAD_MAX (80 + STATE_UNFINISHED_MAX * TICKET_MAX)
#define FILE_MAX    (HEADER + PAYLOAD_MAX + CHECK)
static const char magic[8] = {'M', 'G', 'S', 'E', 'N', 'D', '\r', '\n'};

void state_fini(struct state *state)
{
    VEC_FINI(&state->unfinished);
}

static char *path_of(const char *dir, const char *name)
{
    struct buf path;
    buf_init(&path, SIZE_MAX);
    buf_put_text(&path, dir);
    buf_put_char(&path, '/');
    buf_put_text(&path, name);
    return buf_take(&path, NULL);
}

/* --- writing --- */

static int by_number(const void *a, const void *b)
{
    const struct ticket *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static void tickets_write(struct buf *out, const struct state *state)
{
    size_t n = state->unfinished.n;
    uint64_t last = 0;
    struct ticket *sorted = mem_alloc(n * sizeof *sorted);
    if (n > 0) {
        memcpy(sorted, state->unfinished.at, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, by_number);
    }
    for (size_t i = 0; i < n; i++) {
        buf_put_varint(out, sorted[i].number - last);
        buf_put_varint(out, sorted[i].spans);
        buf_put_varint(out, sorted[i].bytes);
        buf_put_varint(out, sorted[i].wall_ns);
        last = sorted[i].number;
    }
    mem_free(sorted);
}

static void state_write(struct buf *out, const struct state *state)
{
    const uint64_t sums[] = {state->read_to, state->noted, state->has_hole, state->recovered,
                             state->batches, state->spans, state->bytes,    state->unfinished.n};
    uint8_t check[CHECK] = {0};
    buf_put(out, magic, sizeof magic);
    buf_put(out, (uint8_t[]){VERSION, 0, 0, 0, 0, 0, 0, 0}, 8);
    for (size_t i = 0; i < MG_COUNT(sums); i++)
        buf_put_varint(out, sums[i]);
    tickets_write(out, state);
    put_le32(out->ptr + 12, (uint32_t)(out->len - HEADER));
    put_le64(check, hash64(out->ptr, out->len, VERSION));
    buf_put(out, check, CHECK);
}

/* 0, or the errno of what failed. */
static int write_and_sync(const struct journal_io *io, int fd, struct str bytes)
{
    struct iovec iov = {(char *)bytes.ptr, bytes.len};
    if (journal_io_write(io, fd, &iov, 1, 0) != MG_OK || io->fdatasync(io->ctx, fd) < 0)
        return errno;
    return 0;
}

static enum mg_err file_make(const struct journal_io *io, const char *path, struct str bytes,
                             struct mg_why *why)
{
    int fd = io->open(io->ctx, path, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return mg_fail_os(why, errno, "%s: cannot open", path);
    int failed = write_and_sync(io, fd, bytes);
    if (io->close(io->ctx, fd) < 0 && !failed)
        failed = errno;
    return failed ? mg_fail_os(why, failed, "%s: cannot write", path) : MG_OK;
}

static enum mg_err file_replace(const struct journal_io *io, const char *dir, const char *from,
                                const char *to, struct str bytes, struct mg_why *why)
{
    MG_TRY(file_make(io, from, bytes, why));
    if (io->rename(io->ctx, from, to) < 0)
        return mg_fail_os(why, errno, "%s: cannot replace", to);
    if (io->fsync_dir(io->ctx, dir) < 0)
        return mg_fail_os(why, errno, "%s: cannot sync", dir);
    return MG_OK;
}

enum mg_err state_save(const struct state *state, const struct journal_io *io, const char *dir,
                       struct mg_why *why)
{
    if (state->unfinished.n > STATE_UNFINISHED_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "%s: too many unfinished batches to note", dir);
    char *from = path_of(dir, "state.new"), *to = path_of(dir, "state");
    struct buf bytes;
    buf_init(&bytes, FILE_MAX);
    state_write(&bytes, state);
    enum mg_err err = buf_err(&bytes);
    if (err == MG_OK)
        err = file_replace(io, dir, from, to, buf_str(&bytes), why);
    buf_fini(&bytes);
    mem_free(from);
    mem_free(to);
    return err;
}

/* --- reading --- */

static bool tickets_read(struct state *state, uint64_t n, const uint8_t *p, const uint8_t *end)
{
    uint64_t last = 0;
    if (n > STATE_UNFINISHED_MAX)
        return false;
    for (uint64_t i = 0; i < n && p; i++) {
        uint64_t v[4] = {0};
        for (size_t k = 0; k < MG_COUNT(v) && p; k++)
            p = get_varint(p, end, &v[k]);
        if (!p || v[0] == 0 || v[0] > state->read_to - last || v[1] > UINT32_MAX)
            return false;
        struct ticket ticket = {.number = last += v[0], .spans = (uint32_t)v[1], .bytes = v[2], .wall_ns = v[3]};
        VEC_PUSH(&state->unfinished, ticket);
    }
    return p == end;
}

static bool payload_read(struct state *state, const uint8_t *p, const uint8_t *end)
{
    uint64_t n = 0, has_hole = 0;
    uint64_t *const sums[] = {&state->read_to, &state->noted, &has_hole,     &state->recovered,
                              &state->batches, &state->spans, &state->bytes, &n};
    for (size_t i = 0; i < MG_COUNT(sums) && p; i++)
        p = get_varint(p, end, sums[i]);
    state->has_hole = has_hole != 0;
    return p && has_hole <= 1 && state->read_to < (uint64_t)1 << 62 && state->noted < (uint64_t)1 << 62 &&
           tickets_read(state, n, p, end);
}

/* `bytes` has FILE_MAX of them; those behind the end of the file are zeros, and belong to no checksum that fits. */
static enum mg_err parse(struct state *state, const char *path, const uint8_t *bytes, bool *is_newer,
                         struct mg_why *why)
{
    size_t payload = get_le32(bytes + 12);
    struct state read = {0};
    *is_newer = false;
    if (memcmp(bytes, magic, sizeof magic) != 0 || payload > PAYLOAD_MAX ||
        get_le64(bytes + HEADER + payload) != hash64(bytes, HEADER + payload, get_le32(bytes + 8)))
        return mg_fail(why, MG_E_FORMAT, "%s: damaged", path);
    if (get_le32(bytes + 8) != VERSION) {
        *is_newer = true;
        return mg_fail(why, MG_E_FORMAT, "%s: of a version that is not read here", path);
    }
    if (!payload_read(&read, bytes + HEADER, bytes + HEADER + payload)) {
        state_fini(&read);
        return mg_fail(why, MG_E_FORMAT, "%s: damaged", path);
    }
    *state = read;
    return MG_OK;
}

enum mg_err state_load(struct state *state, const struct journal_io *io, const char *dir, bool *is_newer,
                       struct mg_why *why)
{
    char *path = path_of(dir, "state");
    uint8_t *bytes = mem_alloc(FILE_MAX);
    enum mg_err err = MG_OK;
    int fd = io->open(io->ctx, path, O_RDONLY, 0);

    *is_newer = false;
    if (fd >= 0) {
        err = journal_io_read(io, fd, bytes, FILE_MAX, 0);
        err = err != MG_OK ? mg_fail_os(why, errno, "%s: cannot read", path) : parse(state, path, bytes, is_newer, why);
        io->close(io->ctx, fd);
    } else if (errno != ENOENT) {
        err = mg_fail_os(why, errno, "%s: cannot open", path);
    } else {
        *state = (struct state){0};
    }
    mem_free(bytes);
    mem_free(path);
    return err;
}
