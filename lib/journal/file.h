/* file.h - the operating system behind struct journal_io, and the few operations that the writer
 * and the reader share. Module-private; any thread. */
#pragma once
#include <sys/uio.h>
#include "journal/journal.h"

extern const struct journal_io file_os;

enum { FILE_NAME_BYTES = 32 };
enum file_kind { FILE_OTHER, FILE_LOG, FILE_SPARE };

/* "00000007.log"; *number only when it is a segment's or a spare's name, in exactly the form we
 * write. */
enum file_kind file_name_parse(const char *name, uint64_t *number);
void file_name_write(char out[FILE_NAME_BYTES], uint64_t number, enum file_kind kind);
char *file_path(const char *dir, uint64_t number, enum file_kind kind); /* returns a new path */

/* Writes all of the vectors (which it changes) at the offset; a short write is continued. */
enum mg_err file_write(const struct journal_io *io, int fd, struct iovec *iov, int n,
                       uint64_t offset) MG_MUST_USE;
/* Fills `out`; beyond the end of the file it is zeros. */
enum mg_err file_read(const struct journal_io *io, int fd, void *out, size_t bytes,
                      uint64_t offset) MG_MUST_USE;
