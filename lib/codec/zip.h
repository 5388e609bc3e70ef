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
/* Appends; E_TOO_BIG, and nothing appended, when it does not fit under out's limit. level: 0 means
 * the library's fast default (gzip, deflate and zstd 1); others are clamped. */
enum mg_err zip_deflate(struct zip *zip, enum zip_kind kind, int level, struct str body,
                        struct buf *out) MG_MUST_USE;

/* Raw zstd frames into/from caller memory, for the store's segments; no content checksum, sized
 * frames. zip_zstd_bound tells the room needed. Return false when it does not fit / is corrupt. */
size_t zip_zstd_bound(size_t bytes);
bool zip_zstd_pack(struct zip *zip, const void *in, size_t in_bytes, void *out, size_t room,
                   size_t *out_bytes);
bool zip_zstd_unpack(struct zip *zip, const void *in, size_t in_bytes, void *out,
                     size_t out_bytes_exact);
