/* zip.h - decompression of foreign bodies under a hard output limit, and the compression we write.
 *
 * One-shot inflate of a complete body into a caller's buf. gzip of one member goes through
 * libdeflate with the ISIZE trailer as the size hint (never trusted); what may have several members
 * goes through streaming zlib. zstd may have several frames, with windows up to 128 MiB (which are
 * never allocated).
 * Corrupt data: E_FORMAT. More than `limit` bytes out: E_TOO_BIG, and never more than limit + 64 KiB
 * is allocated. Trailing garbage after the last member is E_FORMAT. A zero-byte body is E_FORMAT,
 * except for identity.
 * Thread: any; a `struct zip` holds the reusable contexts of one thread. */
#pragma once
#include "base/buf.h"

enum zip_kind {
    ZIP_IDENTITY,
    ZIP_GZIP,
    ZIP_DEFLATE, /* with the zlib wrapper, RFC 9110 8.4.1.2 */
    ZIP_ZSTD
};

struct zip;
struct zip *zip_new(void);  /* lazily allocates each library's context at first use */
void zip_free(struct zip **zip);

/* A Content-Encoding / grpc-encoding token; exact, case-sensitive as the reference Collector reads
 * it; "" and "identity" are ZIP_IDENTITY, "zlib" is ZIP_DEFLATE too. false: not an encoding that is
 * read here. */
bool zip_kind_parse(struct str token, enum zip_kind *out);
const char *zip_kind_name(enum zip_kind kind);

/* An upper bound of the inflated size that can be told without inflating, for admission: gzip's
 * ISIZE when there is one member and it can be that large, the sum of zstd's frame sizes or of what
 * its blocks can hold, len for identity; else `limit`. Never above limit, and never so low that a
 * correct body is refused which `limit` takes.
 * The inflater enforces exactly this bound when `zip_inflate` is given it as limit. */
size_t zip_bound(enum zip_kind kind, struct str body, size_t limit);

/* Clears `out`, also when it fails (its own limit is raised to at least `limit`) and fills it. */
enum mg_err zip_inflate(struct zip *zip, enum zip_kind kind, struct str body, size_t limit,
                        struct buf *out, struct mg_why *why) MG_MUST_USE;
/* Appends, at the level that suits spans: the fast one. E_TOO_BIG, and nothing appended, when it does not
 * fit under out's limit, or when gzip or deflate is given more than ZIP_GZIP_BYTES_MAX. */
#define ZIP_GZIP_BYTES_MAX ((size_t)1 << 31)
enum mg_err zip_deflate(struct zip *zip, enum zip_kind kind, struct str body, struct buf *out) MG_MUST_USE;

/* One gzip member that is written piece by piece. What was appended so far always inflates to all that was given:
 * each piece ends in a flush, some 5 bytes. Appends; nothing may follow is_last. E_TOO_BIG: out's limit refused it,
 * and the member cannot go on. A writer takes 360 KiB. */
struct zip_writer;
struct zip_writer *zip_writer_new(void);
void zip_writer_free(struct zip_writer **writer);
enum mg_err zip_writer_put(struct zip_writer *writer, struct str piece, bool is_last, struct buf *out) MG_MUST_USE;

/* Raw zstd frames into/from caller memory, for the store's segments; no content checksum, sized
 * frames. zip_zstd_bound tells the room needed. Return false when it does not fit / is corrupt. */
size_t zip_zstd_bound(size_t bytes);
bool zip_zstd_pack(struct zip *zip, const void *in, size_t in_bytes, void *out, size_t room,
                   size_t *out_bytes);
bool zip_zstd_unpack(struct zip *zip, const void *in, size_t in_bytes, void *out,
                     size_t out_bytes_exact);
