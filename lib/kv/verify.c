/* verify.c - see verify.h. Little-endian, all numbers unsigned; sizes in bytes:
 *
 *   page    0 number (8)   8 pad (2)   10 flags (2)   12 lower (2)   14 upper (2)   16 ...
 *           of an overflow value: 12 pages (4)   16 its bytes
 *   meta    16 magic (4)   20 version (4)   24 address (8)   32 map size (8)   40 free tree (48)
 *           88 main tree (48)   136 last page (8)   144 transaction (8)
 *   tree    0 pad (4; of the free tree: the page size)   4 flags (2)   6 depth (2)
 *           8 branch, 16 leaf, 24 overflow pages (8 each)   32 entries (8)   40 root (8)
 *   node    0 data size low (2)   2 high (2)   4 flags (2)   6 key size (2)   8 key, data
 *           in a branch page the first six bytes are the child's page number;
 *           the data of an overflow value is its page number
 *
 * A page holds the offsets of its nodes in key order from 16 to `lower`, and the nodes without a
 * gap from `upper` to its end. LMDB moves nodes by that rule when it deletes one, so nodes must
 * tile the page exactly; every node is of even size.
 *
 * A page that is used belongs to one place only: a tree, an overflow value or a list of free pages.
 * The bitmap finds loops, two parents, and pages that a later write would hand out although they
 * are in use. Pages of neither kind are let be.
 *
 * Keys are compared with one floor per tree: keys of leaves rise from leaf to leaf, and a branch's
 * key (but its first, which LMDB ignores) is above all before it and not above what follows. */
#define _GNU_SOURCE /* preadv2 */
#include "kv/verify.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/str.h"

enum {
    PAGE_HEADER = 16,
    NODE_HEADER = 8,
    TREE_BYTES = 48,
    META_BYTES = 152,
    PAGE_BYTES_MIN = 512,
    PAGE_BYTES_MAX = 32768, /* LMDB's own limit: offsets have 16 bits */
    KEY_MAX = 511,          /* MDB_MAXKEYSIZE, as it is compiled everywhere */
    DEPTH_MAX = 32,         /* CURSOR_STACK: a deeper tree overruns a cursor */
    NAME_SHOWN_MAX = 32,

    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    PAGE_OVERFLOW = 4,
    PAGE_META = 8,

    NODE_OVERFLOW = 1,
    NODE_TABLE = 2,

    TREE_INTEGER_KEYS = 8,
    TREE_NO_SUBDIR = 0x4000, /* the environment's flags are kept in the free tree's */
};

static const uint32_t meta_magic = 0xbeefc0de;
static const uint64_t no_page = UINT64_MAX; /* the root of an empty tree */
/* Pages behind the file's end that are believed to be free ones: 32 GiB of usual pages, twice the
 * largest map in use. */
static const uint64_t hole_pages_max = (uint64_t)1 << 23;

struct tree {
    enum tree_kind { TREE_FREE, TREE_MAIN, TREE_TABLE } kind;
    char name[NAME_SHOWN_MAX + 1];
    unsigned flags, depth;
    uint64_t root, entries;
    uint64_t entries_found;
    unsigned char floor[KEY_MAX];
    size_t floor_len;   /* zero: none yet */
    bool floor_is_open; /* a key equal to it may follow: it came from a branch */
};

struct check {
    const char *path;
    struct mg_why *why;
    int fd;
    uint64_t file_bytes;
    uint64_t next_page;   /* pages from here on were never handed out */
    uint64_t transaction; /* of the commit that is checked */
    size_t page_bytes;
    uint64_t *used;          /* one bit per page below next_page */
    unsigned char *pages;    /* a page per level of the main and of a table's tree */
    uint16_t *node_bytes_at; /* by offset / 2 in the page at hand; zero: no node begins there */
};

struct node {
    unsigned flags;
    const unsigned char *key, *data;
    size_t key_len;
    uint32_t data_len;
    uint64_t child; /* of a branch */
    size_t bytes;
};

static void check_fini(struct check *c)
{
    if (c->fd >= 0)
        close(c->fd);
    mem_free(c->used);
    mem_free(c->pages);
    mem_free(c->node_bytes_at);
}

__attribute__((format(printf, 3, 4))) static enum mg_err
damaged(const struct check *c, uint64_t page, const char *format, ...)
{
    char reason[200];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return mg_fail(c->why, MG_E_FORMAT, "%s: page %" PRIu64 " %s", c->path, page, reason);
}

static enum mg_err read_at(const struct check *c, uint64_t page, size_t offset, void *out,
                           size_t bytes)
{
    off_t at = (off_t)(page * c->page_bytes + offset);
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(c->fd, (char *)out + done, bytes - done, at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mg_fail_os(c->why, errno, "%s: cannot read page %" PRIu64, c->path, page);
        if (n == 0)
            return damaged(c, page, "lies behind the file's end");
        done += (size_t)n;
    }
    return MG_OK;
}

/* --- which pages are used --- */

/* Takes pages for the place that names them; `from` is the page it is named in. */
static enum mg_err take(struct check *c, uint64_t from, uint64_t first, uint64_t n)
{
    if (first < 2 || first >= c->next_page || n > c->next_page - first)
        return damaged(c, from, "names pages %" PRIu64 "+%" PRIu64 " of %" PRIu64, first, n,
                       c->next_page);
    for (uint64_t page = first; page < first + n; page++) {
        uint64_t bit = (uint64_t)1 << (page % 64);
        if (c->used[page / 64] & bit)
            return damaged(c, from, "names page %" PRIu64 ", which is in use elsewhere", page);
        c->used[page / 64] |= bit;
    }
    return MG_OK;
}

/* Takes pages that hold something, so that the file must reach that far. */
static enum mg_err take_written(struct check *c, uint64_t from, uint64_t first, uint64_t n)
{
    MG_TRY(take(c, from, first, n));
    if (first + n > c->file_bytes / c->page_bytes)
        return damaged(c, first, "(%" PRIu64 " pages) lies behind the file's end at byte %" PRIu64,
                       n, c->file_bytes);
    return MG_OK;
}

/* --- one page --- */

static size_t page_keys(const unsigned char *page)
{
    return (get_le16(page + 12) - PAGE_HEADER) / 2u;
}

/* The node at an offset that leaves room for its header; `bytes` may lead out of the page until
 * that was looked at. */
static struct node node_at(const unsigned char *page, size_t offset, bool is_leaf)
{
    const unsigned char *at = page + offset;
    struct node node = {.key = at + NODE_HEADER, .key_len = get_le16(at + 6)};
    size_t data_room = 0;

    if (is_leaf) {
        node.flags = get_le16(at + 4);
        node.data_len = get_le32(at);
        data_room = node.flags & NODE_OVERFLOW ? 8 : node.data_len;
    } else {
        node.child = get_le32(at) | (uint64_t)get_le16(at + 4) << 32;
    }
    node.data = node.key + node.key_len;
    node.bytes = (NODE_HEADER + node.key_len + data_room + 1) & ~(size_t)1;
    return node;
}

static struct node node_of(const unsigned char *page, size_t i, bool is_leaf)
{
    return node_at(page, get_le16(page + PAGE_HEADER + 2 * i), is_leaf);
}

static enum mg_err node_check(struct check *c, const unsigned char *page, uint64_t number, size_t i,
                              bool is_leaf)
{
    size_t offset = get_le16(page + PAGE_HEADER + 2 * i), upper = get_le16(page + 14);

    if (offset % 2 || offset < upper || offset > c->page_bytes - NODE_HEADER)
        return damaged(c, number, "has node %zu at offset %zu", i, offset);
    struct node node = node_at(page, offset, is_leaf);
    bool may_be_empty = !is_leaf && i == 0;
    if (node.key_len > KEY_MAX || (node.key_len == 0 && !may_be_empty))
        return damaged(c, number, "has a key of %zu bytes at node %zu", node.key_len, i);
    if (node.bytes > c->page_bytes - offset)
        return damaged(c, number, "has a node %zu that crosses its end", i);
    if (c->node_bytes_at[offset / 2])
        return damaged(c, number, "has two nodes at offset %zu", offset);
    c->node_bytes_at[offset / 2] = (uint16_t)node.bytes;
    return MG_OK;
}

/* The nodes lie side by side from `upper` to the page's end. */
static enum mg_err tiles_check(const struct check *c, const unsigned char *page, uint64_t number)
{
    size_t n = 0;
    for (size_t at = get_le16(page + 14); at < c->page_bytes; n++) {
        if (!c->node_bytes_at[at / 2])
            return damaged(c, number, "has a gap between its nodes at offset %zu", at);
        at += c->node_bytes_at[at / 2];
    }
    return n == page_keys(page) ? MG_OK : damaged(c, number, "has nodes that overlap");
}

static enum mg_err layout_check(struct check *c, const unsigned char *page, uint64_t number,
                                bool is_leaf, size_t keys_min)
{
    size_t lower = get_le16(page + 12), upper = get_le16(page + 14);

    if (lower < PAGE_HEADER || lower % 2 || lower > upper || upper > c->page_bytes || upper % 2)
        return damaged(c, number, "has its bounds at %zu and %zu", lower, upper);
    if (page_keys(page) < keys_min)
        return damaged(c, number, "has %zu keys", page_keys(page));
    memset(c->node_bytes_at, 0, c->page_bytes / 2 * sizeof *c->node_bytes_at);
    for (size_t i = 0; i < page_keys(page); i++)
        MG_TRY(node_check(c, page, number, i, is_leaf));
    return tiles_check(c, page, number);
}

static enum mg_err header_check(const struct check *c, const unsigned char *page, uint64_t number,
                                unsigned flags)
{
    if (get_le64(page) != number)
        return damaged(c, number, "says that it is page %" PRIu64, get_le64(page));
    if (get_le16(page + 10) != flags)
        return damaged(c, number, "has flags 0x%x where 0x%x belong", get_le16(page + 10), flags);
    return MG_OK;
}

/* --- keys --- */

/* Checks a node's key against the floor and makes it the floor. Keys of the free tree are numbers:
 * turned round, they compare as bytes. */
static enum mg_err raise_floor(const struct check *c, struct tree *tree, uint64_t number,
                               const struct node *node, bool is_leaf)
{
    unsigned char turned[8];
    struct str key = str_n(node->key, node->key_len), floor = str_n(tree->floor, tree->floor_len);

    if (tree->kind == TREE_FREE) {
        if (key.len != sizeof turned)
            return damaged(c, number, "has a key of %zu bytes in the free list", key.len);
        put_be64(turned, get_le64(key.ptr));
        key = str_n(turned, sizeof turned);
    }
    int order = floor.len ? str_cmp(floor, key) : -1;
    if (order > 0 || (order == 0 && !(is_leaf && tree->floor_is_open)))
        return damaged(c, number, "has a key that is not above the one before it (%s)", tree->name);
    memcpy(tree->floor, key.ptr, key.len);
    tree->floor_len = key.len;
    tree->floor_is_open = !is_leaf;
    return MG_OK;
}

/* --- values --- */

static enum mg_err overflow_check(struct check *c, uint64_t leaf, const struct node *node,
                                  uint64_t *first)
{
    unsigned char header[PAGE_HEADER];
    uint64_t number = get_le64(node->data);
    uint64_t needed = (PAGE_HEADER - 1 + (uint64_t)node->data_len) / c->page_bytes + 1;

    MG_TRY(take_written(c, leaf, number, 1));
    MG_TRY(read_at(c, number, 0, header, sizeof header));
    MG_TRY(header_check(c, header, number, PAGE_OVERFLOW));
    uint64_t n =
        get_le32(header + 12); /* more than needed after a value was overwritten by a shorter one */
    if (n < needed)
        return damaged(c, number, "begins %" PRIu64 " pages for a value of %" PRIu32 " bytes", n,
                       node->data_len);
    if (n > 1)
        MG_TRY(take_written(c, number, number + 1, n - 1));
    *first = number;
    return MG_OK;
}

/* The part of a list of free pages at hand: numbers fall, without one twice. *last: the number
 * before them. */
static enum mg_err free_pages_take(struct check *c, uint64_t leaf, const unsigned char *numbers,
                                   size_t n, uint64_t *last)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t page = get_le64(numbers + 8 * i);
        if (page >= *last)
            return damaged(c, leaf, "has a list of free pages out of order");
        MG_TRY(take(c, leaf, page, 1));
        *last = page;
    }
    return MG_OK;
}

/* A list is its length and so many numbers; there may be room left behind them. It is read where it
 * is: in the leaf, or in parts from the overflow pages (first > 0). */
static enum mg_err free_list_check(struct check *c, uint64_t leaf, const struct node *node,
                                   uint64_t first)
{
    unsigned char part[4096];
    uint64_t n, last = no_page;

    if (node->data_len < 8 || node->data_len % 8)
        return damaged(c, leaf, "has a list of free pages of %" PRIu32 " bytes", node->data_len);
    if (first)
        MG_TRY(read_at(c, first, PAGE_HEADER, part, 8));
    n = get_le64(first ? part : node->data);
    if (n > node->data_len / 8 - 1)
        return damaged(c, leaf, "has a list of %" PRIu64 " free pages in %" PRIu32 " bytes", n,
                       node->data_len);
    if (!first)
        return free_pages_take(c, leaf, node->data + 8, n, &last);
    for (uint64_t done = 0; done < n;) {
        size_t now = MG_MIN(n - done, sizeof part / 8);
        MG_TRY(read_at(c, first, PAGE_HEADER + 8 + done * 8, part, now * 8));
        MG_TRY(free_pages_take(c, leaf, part, now, &last));
        done += now;
    }
    return MG_OK;
}

static enum mg_err tree_check(struct check *c, struct tree *tree, uint64_t from);

/* What the 48 bytes of a tree say. */
static struct tree tree_of(const unsigned char *record, enum tree_kind kind, struct str name)
{
    struct tree tree = {
        .kind = kind,
        .flags = get_le16(record + 4),
        .depth = get_le16(record + 6),
        .entries = get_le64(record + 32),
        .root = get_le64(record + 40),
    };
    for (size_t i = 0; i < name.len && i < NAME_SHOWN_MAX; i++)
        tree.name[i] = name.ptr[i] > ' ' && name.ptr[i] < 0x7f ? name.ptr[i] : '?';
    return tree;
}

static enum mg_err table_check(struct check *c, uint64_t leaf, const struct node *node)
{
    if (node->flags & NODE_OVERFLOW || node->data_len != TREE_BYTES)
        return damaged(c, leaf, "has a table's record of %" PRIu32 " bytes", node->data_len);
    struct tree table = tree_of(node->data, TREE_TABLE, str_n(node->key, node->key_len));
    return tree_check(c, &table, leaf);
}

static enum mg_err value_check(struct check *c, const struct tree *tree, uint64_t leaf,
                               const struct node *node)
{
    unsigned allowed = NODE_OVERFLOW | (tree->kind == TREE_MAIN ? NODE_TABLE : 0);
    size_t node_max = (((c->page_bytes - PAGE_HEADER) / 2) & ~(size_t)1) -
                      2; /* two of them fit: LMDB splits pages by that */
    uint64_t first = 0;

    if (node->flags & ~allowed)
        return damaged(c, leaf, "has a node with flags 0x%x (%s)", node->flags, tree->name);
    if (!(node->flags & NODE_OVERFLOW) && NODE_HEADER + node->key_len + node->data_len > node_max)
        return damaged(c, leaf, "has a node of %zu bytes", node->bytes);
    if (node->flags & NODE_TABLE)
        return table_check(c, leaf, node);
    if (node->flags & NODE_OVERFLOW)
        MG_TRY(overflow_check(c, leaf, node, &first));
    if (tree->kind != TREE_FREE)
        return MG_OK;
    uint64_t freed_by = get_le64(node->key);
    if (freed_by == 0 || freed_by > c->transaction)
        return damaged(c, leaf, "has a list of free pages of transaction %" PRIu64 " of %" PRIu64,
                       freed_by, c->transaction);
    return free_list_check(c, leaf, node, first);
}

/* --- trees --- */

/* The page a node leads to; 0: none. */
static uint64_t target_of(const struct node *node, bool is_leaf)
{
    if (!is_leaf)
        return node->child;
    return node->flags & NODE_OVERFLOW ? get_le64(node->data) : 0;
}

static bool is_cached(const struct check *c, uint64_t page)
{
    char byte;
    const struct iovec to = {&byte, 1};
    return preadv2(c->fd, &to, 1, (off_t)(page * c->page_bytes), RWF_NOWAIT) == 1;
}

/* Announces the pages that this one leads to, unless they seem to be in memory: a disk fetches a
 * hundred pages at once almost as fast as one. It is advice, so numbers that are wrong only have to
 * stay within off_t. */
static void targets_announce(const struct check *c, const unsigned char *page, bool is_leaf)
{
    bool is_needed = false;
    for (size_t i = 0; i < page_keys(page); i++) {
        struct node node = node_of(page, i, is_leaf);
        uint64_t target = target_of(&node, is_leaf);
        if (target == 0 || target >= c->next_page)
            continue;
        if (!is_needed && is_cached(c, target))
            return;
        is_needed = true;
        (void)posix_fadvise(c->fd, (off_t)(target * c->page_bytes), (off_t)c->page_bytes,
                            POSIX_FADV_WILLNEED);
    }
}

static enum mg_err leaf_walk(struct check *c, struct tree *tree, const unsigned char *page,
                             uint64_t number)
{
    size_t n = page_keys(page);
    targets_announce(c, page, true);
    for (size_t i = 0; i < n; i++) {
        struct node node = node_of(page, i, true);
        MG_TRY(raise_floor(c, tree, number, &node, true));
        MG_TRY(value_check(c, tree, number, &node));
    }
    tree->entries_found += n;
    return MG_OK;
}

/* The page stays where it is read to while its children are looked at, so each level has its own
 * place; the free tree ends before the main tree begins, and a table's tree lies inside the main
 * tree's walk. */
static enum mg_err page_walk(struct check *c, struct tree *tree, uint64_t from, uint64_t number,
                             unsigned level)
{
    size_t slot = level + (tree->kind == TREE_TABLE ? DEPTH_MAX : 0);
    unsigned char *page = c->pages + slot * c->page_bytes;
    bool is_leaf = level + 1 == tree->depth;
    /* LMDB insists on two keys in a branch, but not in the free tree, which may be committed while
     * it shrinks. */
    size_t keys_min = is_leaf || tree->kind == TREE_FREE ? 1 : 2;

    MG_TRY(take_written(c, from, number, 1));
    MG_TRY(read_at(c, number, 0, page, c->page_bytes));
    MG_TRY(header_check(c, page, number, is_leaf ? PAGE_LEAF : PAGE_BRANCH));
    MG_TRY(layout_check(c, page, number, is_leaf, keys_min));
    if (is_leaf)
        return leaf_walk(c, tree, page, number);
    targets_announce(c, page, false);
    for (size_t i = 0; i < page_keys(page); i++) {
        struct node node = node_of(page, i, false);
        if (i > 0)
            MG_TRY(raise_floor(c, tree, number, &node, false));
        MG_TRY(page_walk(c, tree, number, node.child, level + 1));
    }
    return MG_OK;
}

static enum mg_err tree_check(struct check *c, struct tree *tree, uint64_t from)
{
    unsigned may = tree->kind == TREE_FREE ? TREE_INTEGER_KEYS | TREE_NO_SUBDIR : 0;
    unsigned must = tree->kind == TREE_FREE ? TREE_INTEGER_KEYS : 0;

    if (tree->flags & ~may || (tree->flags & must) != must)
        return damaged(c, from, "has flags 0x%x for the tree %s", tree->flags, tree->name);
    if (tree->depth > DEPTH_MAX || (tree->root == no_page) != (tree->depth == 0))
        return damaged(c, from, "has a depth of %u for the tree %s", tree->depth, tree->name);
    if (tree->depth > 0)
        MG_TRY(page_walk(c, tree, from, tree->root, 0));
    if (tree->entries_found != tree->entries)
        return damaged(c, from, "counts %" PRIu64 " entries in the tree %s, which has %" PRIu64,
                       tree->entries, tree->name, tree->entries_found);
    return MG_OK;
}

/* --- the meta pages --- */

static bool is_page_size(uint64_t bytes)
{
    return bytes >= PAGE_BYTES_MIN && bytes <= PAGE_BYTES_MAX && (bytes & (bytes - 1)) == 0;
}

/* The first meta page says where the second is. */
static enum mg_err meta_read(struct check *c, uint64_t number, unsigned char *meta)
{
    MG_TRY(read_at(c, number, 0, meta, META_BYTES));
    if (get_le32(meta + 16) != meta_magic)
        return damaged(c, number, "is no LMDB meta page");
    if (get_le32(meta + 20) != 1)
        return damaged(c, number, "is of version %" PRIu32, get_le32(meta + 20));
    MG_TRY(header_check(c, meta, number, PAGE_META));
    uint64_t page_bytes = get_le32(meta + 40);
    if (!is_page_size(page_bytes) || (number && page_bytes != c->page_bytes))
        return damaged(c, number, "has a page size of %" PRIu64, page_bytes);
    c->page_bytes = page_bytes;
    return MG_OK;
}

/* LMDB finds the meta page of a transaction by the number's last bit. Both are 0 in a file without
 * a commit. */
static enum mg_err transactions_check(const struct check *c, uint64_t first, uint64_t second)
{
    if (first % 2 || first > INT64_MAX)
        return damaged(c, 0, "is of transaction %" PRIu64, first);
    if ((second % 2 == 0 && (first || second)) || second > INT64_MAX)
        return damaged(c, 1, "is of transaction %" PRIu64, second);
    return MG_OK;
}

static enum mg_err start(struct check *c, const unsigned char *meta, uint64_t number)
{
    uint64_t last_page = get_le64(meta + 136);
    if (last_page < 1 || last_page >= c->file_bytes / c->page_bytes + hole_pages_max)
        return damaged(c, number,
                       "says that page %" PRIu64 " is the last; the file ends at byte %" PRIu64,
                       last_page, c->file_bytes);
    c->transaction = get_le64(meta + 144);
    c->next_page = last_page + 1;
    c->used = mem_zero(c->next_page / 64 + 1, sizeof *c->used);
    c->pages = mem_alloc(2 * DEPTH_MAX * c->page_bytes);
    c->node_bytes_at = mem_alloc(c->page_bytes / 2 * sizeof *c->node_bytes_at);
    return MG_OK;
}

static enum mg_err file_check(struct check *c)
{
    unsigned char metas[2][META_BYTES];
    MG_TRY(meta_read(c, 0, metas[0]));
    MG_TRY(meta_read(c, 1, metas[1]));
    MG_TRY(transactions_check(c, get_le64(metas[0] + 144), get_le64(metas[1] + 144)));
    unsigned newer = get_le64(metas[0] + 144) < get_le64(metas[1] + 144);
    const unsigned char *meta = metas[newer];
    MG_TRY(start(c, meta, newer));
    struct tree free_tree = tree_of(meta + 40, TREE_FREE, STR("free-list"));
    struct tree main_tree = tree_of(meta + 88, TREE_MAIN, STR("main"));
    MG_TRY(tree_check(c, &free_tree, newer));
    return tree_check(c, &main_tree, newer);
}

enum mg_err kv_verify(const char *path, struct mg_why *why)
{
    MG_AUTO(check_fini) struct check c = {.path = path, .why = why};
    struct stat st;

    c.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait for a writer */
    if (c.fd < 0 && errno == ENOENT)
        return mg_fail(why, MG_E_ABSENT, "%s: there is no such file", path);
    if (c.fd < 0 || fstat(c.fd, &st) < 0)
        return mg_fail_os(why, errno, "%s: cannot open", path);
    if (!S_ISREG(st.st_mode))
        return mg_fail(why, MG_E_FORMAT, "%s: not a file", path);
    if (st.st_size == 0)
        return MG_OK;
    c.file_bytes = (uint64_t)st.st_size;
    /* Headers of overflow values lie far apart: reading ahead would read the values. Advice only.
     */
    (void)posix_fadvise(c.fd, 0, 0, POSIX_FADV_RANDOM);
    return file_check(&c);
}
