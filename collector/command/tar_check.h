/* tar_check.h - watches a backup pass by and tells whether it was whole. Private to the module.
 *
 * Reads what store_backup writes (POSIX ustar, regular files store/NAME, two blocks of zeroes at
 * the end) in pieces of any size, without keeping them. Zeroed memory is ready for use. */
#pragma once
#include "base/err.h"
#include "base/str.h"

#define TAR_BLOCK_BYTES 512

struct tar_check {
    uint8_t block[TAR_BLOCK_BYTES];
    size_t n_block;      /* bytes of a block that is not complete yet */
    uint64_t left;       /* bytes of the file's contents and padding still to come */
    unsigned n_zero;     /* blocks of zeroes in sequence; two are the end */
    uint64_t files, bytes;
};
/* E_FORMAT: not such a tar; nothing may be added after a failure. */
enum mg_err tar_check_add(struct tar_check *check, struct str bytes, struct mg_why *why) MG_MUST_USE;
/* E_FORMAT: it ended too early. */
enum mg_err tar_check_end(const struct tar_check *check, struct mg_why *why) MG_MUST_USE;
