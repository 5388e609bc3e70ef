/* file.h - the names of segments and spares. Module-private; any thread. */
#pragma once
#include "journal/journal.h"

enum { FILE_NAME_BYTES = 32 };
enum file_kind { FILE_OTHER, FILE_LOG, FILE_SPARE };

/* "00000007.log"; *number only when it is a segment's or a spare's name, in exactly the form we
 * write. */
enum file_kind file_name_parse(const char *name, uint64_t *number);
void file_name_write(char out[FILE_NAME_BYTES], uint64_t number, enum file_kind kind);
char *file_path(const char *dir, uint64_t number, enum file_kind kind); /* returns a new path */
