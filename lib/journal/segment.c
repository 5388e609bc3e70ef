/* Recycling: a trimmed segment becomes a spare by renaming; beginning a segment renames a spare to
 * the new number and writes the header over the old one. Its old groups stay in the file and cannot
 * be read, because every checksum is seeded with the number and every group carries the nonce of
 * its header.
 *
 * Order matters in two places. The header is durable, the name too, before a group is written: a
 * group is acknowledged after one fdatasync of the file alone. And a segment without records is
 * given up only after the next header is durable, because its header was what told the end of the
 * one before. */
#include "journal/segment.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include "base/clock.h"
#include "base/random.h"
#include "journal/file.h"

static const uint64_t default_segment_bytes = 64 << 20;
static const uint64_t default_spares = 2;

void segment_set_init(struct segment_set *set, const struct journal_options *options)
{
    uint64_t bytes = options->segment_bytes ? options->segment_bytes : default_segment_bytes;
    *set = (struct segment_set){
        .io = options->io ? options->io : journal_io_os(),
        .dir = mem_text(options->dir),
        .segment_bytes = format_align(MG_MAX(bytes, (uint64_t)2 * FORMAT_PAGE), FORMAT_PAGE),
        .spares_max = options->spare_segments ? options->spare_segments : default_spares,
        .os_durability = options->os_durability,
        .next_number = 1,
        .next_position = options->floor_position + 1,
        .current.fd = -1,
    };
    pthread_mutex_init(&set->lock, NULL);
}

static void current_close(struct segment_set *set)
{
    if (!set->current.is_open)
        return;
    set->io->close(set->io->ctx, set->current.fd);
    set->current.is_open = false;
    set->current.fd = -1;
}

void segment_set_fini(struct segment_set *set)
{
    current_close(set);
    VEC_FINI(&set->segments);
    VEC_FINI(&set->spares);
    mem_free(set->dir);
    set->dir = NULL;
    pthread_mutex_destroy(&set->lock);
}

struct segment *segment_current(struct segment_set *set)
{
    assert(set->segments.n > 0);
    return &set->segments.at[set->segments.n - 1];
}

uint64_t segment_room(const struct segment_set *set)
{
    if (!set->current.is_open)
        return 0;
    return set->segments.at[set->segments.n - 1].bytes - set->current.offset;
}

static int unlink_file(struct segment_set *set, uint64_t number, enum file_kind kind)
{
    char *path = file_path(set->dir, number, kind);
    int result = set->io->unlink(set->io->ctx, path);
    mem_free(path);
    return result < 0 && errno != ENOENT ? -1 : 0;
}

static int rename_file(struct segment_set *set, uint64_t from, enum file_kind kind, uint64_t to,
                       enum file_kind to_kind)
{
    char *old_path = file_path(set->dir, from, kind), *new_path = file_path(set->dir, to, to_kind);
    int result = set->io->rename(set->io->ctx, old_path, new_path);
    mem_free(old_path);
    mem_free(new_path);
    return result;
}

/* --- spares --- */

/* Takes a file named NNNNNNNN.log out of the log: kept as a spare when it has the usual size and
 * there is room for one more, else unlinked. false: neither could be done, the file is still there.
 */
static bool file_release(struct segment_set *set, uint64_t number, uint64_t bytes,
                         uint64_t disk_bytes)
{
    if (bytes != set->segment_bytes || set->spares.n >= set->spares_max)
        return unlink_file(set, number, FILE_LOG) == 0;
    if (rename_file(set, number, FILE_LOG, number, FILE_SPARE) < 0)
        return false;
    struct segment_spare spare = {.number = number, .bytes = bytes, .disk_bytes = disk_bytes};
    VEC_PUSH(&set->spares, spare);
    return true;
}

/* Once a header is durable nothing is held any more, and what does not serve as a spare goes. An
 * unlink that fails leaves a file that the next open finds and tries to remove again. */
static void spares_settle(struct segment_set *set)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->spares.n; i++) {
        struct segment_spare spare = set->spares.at[i];
        if (spare.bytes != set->segment_bytes || kept >= set->spares_max) {
            (void)unlink_file(set, spare.number, spare.is_log ? FILE_LOG : FILE_SPARE);
            continue;
        }
        spare.is_held = false;
        set->spares.at[kept++] = spare;
    }
    set->spares.n = kept;
}

static bool is_usable(const struct segment_spare *spare, uint64_t bytes)
{
    return !spare->is_held && spare->bytes == bytes;
}

/* Renames a usable spare to the number. false: there is none. */
static bool spare_take(struct segment_set *set, uint64_t number, uint64_t bytes,
                       uint64_t *disk_bytes)
{
    for (size_t i = 0; i < set->spares.n; i++) {
        struct segment_spare spare = set->spares.at[i];
        if (!is_usable(&spare, bytes))
            continue;
        VEC_REMOVE(&set->spares, i);
        *disk_bytes = spare.disk_bytes;
        return rename_file(set, spare.number, spare.is_log ? FILE_LOG : FILE_SPARE, number,
                           FILE_LOG) == 0;
    }
    return false;
}

/* --- beginning --- */

static int header_write(struct segment_set *set, int fd, const struct segment_head *head)
{
    uint8_t page[FORMAT_PAGE] = {0};
    segment_head_write(page, head);
    struct iovec iov = {page, sizeof page};
    if (journal_io_write(set->io, fd, &iov, 1, 0) != MG_OK)
        return -1;
    if (set->os_durability)
        return 0;
    if (set->io->fdatasync(set->io->ctx, fd) < 0)
        return -1;
    if (set->io->fsync_dir(set->io->ctx, set->dir) < 0)
        return -1;
    set->is_name_unsynced = false;
    return 0;
}

/* Opens the file of a new segment, recycled or new, with its space allocated. -1: errno tells. */
static int file_begin(struct segment_set *set, struct segment *segment)
{
    uint64_t number = segment->head.number;
    bool is_recycled = spare_take(set, number, segment->bytes, &segment->disk_bytes);
    char *path = file_path(set->dir, number, FILE_LOG);
    int flags = is_recycled ? O_RDWR : O_RDWR | O_CREAT | O_EXCL;
    int fd = set->io->open(set->io->ctx, path, flags, 0600);
    mem_free(path);
    if (fd < 0 || is_recycled)
        return fd;
    if (set->io->fallocate(set->io->ctx, fd, (int64_t)segment->bytes) < 0) {
        int code = errno;
        set->io->close(set->io->ctx, fd);
        errno = code;
        return -1;
    }
    segment->disk_bytes = segment->bytes;
    return fd;
}

/* What the new header says about the segment before it: the newest one that holds records. */
static void head_compose(const struct segment_set *set, struct segment_head *head, uint64_t log_ns)
{
    head->first_position = set->next_position;
    head->log_ns = log_ns;
    head->wall_ns = clock_wall_ns();
    random_bytes(&head->nonce, sizeof head->nonce);
    for (size_t i = set->segments.n; i-- > 0;) {
        const struct segment *prev = &set->segments.at[i];
        if (prev->end <= FORMAT_PAGE)
            continue;
        head->prev_number = prev->head.number;
        head->prev_end = prev->end;
        head->prev_next_position = prev->next_position;
        return;
    }
}

/* The segment that was written until now leaves the list when nothing was ever committed to it.
 * After a failure its pages may be in any state, so it does not become a spare. */
static void previous_settle(struct segment_set *set, bool was_abandoned)
{
    if (set->segments.n == 0 || segment_current(set)->end > FORMAT_PAGE)
        return;
    pthread_mutex_lock(&set->lock);
    struct segment empty = VEC_POP(&set->segments);
    pthread_mutex_unlock(&set->lock);
    if (was_abandoned)
        (void)unlink_file(set, empty.head.number, FILE_LOG); /* else the next open finds it void */
    else
        (void)file_release(set, empty.head.number, empty.bytes, empty.disk_bytes);
}

enum mg_err segment_begin(struct segment_set *set, uint64_t need, uint64_t log_ns,
                          struct mg_why *why)
{
    struct segment segment = {.has_head = true,
                              .end = FORMAT_PAGE,
                              .next_position = set->next_position,
                              .last_log_ns = log_ns};
    bool was_abandoned = !set->current.is_open;

    segment.head.number = set->next_number++;
    segment.bytes = MG_MAX(set->segment_bytes, format_align(need, FORMAT_PAGE) + FORMAT_PAGE);
    head_compose(set, &segment.head, log_ns);
    int fd = file_begin(set, &segment);
    int code = errno;
    if (fd >= 0 && header_write(set, fd, &segment.head) < 0) {
        code = errno;
        set->io->close(set->io->ctx, fd);
        fd = -1;
    }
    if (fd < 0) {
        set->begin_errno = code;
        (void)unlink_file(set, segment.head.number,
                          FILE_LOG); /* what it says is true; only space is lost */
        return mg_fail_os(why, code, "%s: cannot begin segment %llu", set->dir,
                          (unsigned long long)segment.head.number);
    }
    current_close(set);
    previous_settle(set, was_abandoned);
    pthread_mutex_lock(&set->lock);
    VEC_PUSH(&set->segments, segment);
    pthread_mutex_unlock(&set->lock);
    set->current.fd = fd;
    set->current.is_open = true;
    set->current.offset = FORMAT_PAGE;
    spares_settle(set);
    return MG_OK;
}

void segment_commit(struct segment_set *set, uint64_t end)
{
    set->current.offset = end;
    pthread_mutex_lock(&set->lock);
    segment_current(set)->end = end;
    segment_current(set)->next_position = set->next_position;
    pthread_mutex_unlock(&set->lock);
}

void segment_abandon(struct segment_set *set)
{
    current_close(set);
}

/* --- trimming --- */

uint64_t segment_trim_point(const struct segment_set *set)
{
    return set->segments.n > 1 ? set->segments.at[0].next_position - 1 : UINT64_MAX;
}

void segment_trim(struct segment_set *set, uint64_t position)
{
    while (set->segments.n > 1 && segment_trim_point(set) <= position) {
        struct segment *oldest = &set->segments.at[0];
        /* The names must go in order: a file system may make a later change durable before an earlier one, and then a
         * segment would seem to be missing in the middle. */
        if (set->is_name_unsynced && !set->os_durability && set->io->fsync_dir(set->io->ctx, set->dir) < 0)
            return;
        set->is_name_unsynced = true;
        /* Under one lock: a reader that does not find the file has to see that it is no longer in the log. */
        pthread_mutex_lock(&set->lock);
        bool is_released = file_release(set, oldest->head.number, oldest->bytes, oldest->disk_bytes);
        if (is_released)
            VEC_REMOVE(&set->segments, 0);
        pthread_mutex_unlock(&set->lock);
        if (!is_released)
            return; /* the next trim tries again */
    }
}

uint64_t segment_disk_bytes(const struct segment_set *set)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < set->segments.n; i++)
        bytes += set->segments.at[i].disk_bytes;
    for (size_t i = 0; i < set->spares.n; i++)
        bytes += set->spares.at[i].disk_bytes;
    return bytes;
}

uint64_t segment_next_bytes(const struct segment_set *set)
{
    for (size_t i = 0; i < set->spares.n; i++)
        if (is_usable(&set->spares.at[i], set->segment_bytes))
            return 0;
    return set->segment_bytes;
}

/* --- any thread --- */

bool segment_after(struct segment_set *set, uint64_t number, uint64_t after, struct segment *out)
{
    bool is_found = false;
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < set->segments.n && !is_found; i++) {
        const struct segment *s = &set->segments.at[i];
        is_found = s->head.number > number && s->next_position - 1 > after;
        if (is_found)
            *out = *s;
    }
    pthread_mutex_unlock(&set->lock);
    return is_found;
}

bool segment_refresh(struct segment_set *set, struct segment *segment, bool *is_last)
{
    bool is_found = false;
    pthread_mutex_lock(&set->lock);
    for (size_t i = set->segments.n; i-- > 0 && !is_found;) {
        const struct segment *s = &set->segments.at[i];
        is_found = s->head.number == segment->head.number;
        if (is_found) {
            *segment = *s;
            *is_last = i == set->segments.n - 1;
        }
    }
    pthread_mutex_unlock(&set->lock);
    return is_found;
}

uint64_t segment_fit(struct segment_set *set, uint64_t bytes)
{
    uint64_t position = 0, sum = 0;
    pthread_mutex_lock(&set->lock);
    for (size_t i = set->segments.n; i-- > 0 && !position;) {
        const struct segment *s = &set->segments.at[i];
        sum += s->disk_bytes;
        if (sum > bytes && i < set->segments.n - 1)
            position = s->next_position - 1;
    }
    pthread_mutex_unlock(&set->lock);
    return position;
}

void segment_survey(struct segment_set *set, uint64_t after, uint64_t upto, struct journal_survey *out)
{
    uint64_t next = after + 1; /* the first position that is not accounted for */
    *out = (struct journal_survey){0};
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < set->segments.n; i++) {
        const struct segment *s = &set->segments.at[i];
        uint64_t written = MG_MIN(s->head.prev_next_position, upto + 1), end = MG_MIN(s->next_position, upto + 1);
        if (written > next)
            *(i > 0 ? &out->between : &out->before) += written - next;
        if (s->has_head)
            next = MG_MAX(next, s->head.first_position);
        else if (i == 0 && after == 0) /* where it begins nothing tells */
            next = s->next_position;
        out->held += end > next ? end - next : 0;
        next = MG_MAX(next, s->next_position);
    }
    uint64_t written = MG_MIN(set->told_position, upto + 1);
    if (written > next)
        *(set->segments.n > 0 ? &out->between : &out->before) += written - next;
    next = MG_MAX(next, written);
    pthread_mutex_unlock(&set->lock);
    out->behind = upto >= next ? upto + 1 - next : 0;
}
