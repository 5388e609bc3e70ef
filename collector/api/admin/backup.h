/* backup.h - GET /api/meshglass/v1/backup: the store as a tar, while the program goes on. Private to api/admin.
 *
 * A query thread reads and writes, at most one at a time: each holds disk space for its copies (store_backup) and a thread of the
 * pool for as long as its reader takes. What fails before the first byte is a status, later the connection is cut. */
#pragma once
#include "http/http.h"

void admin_on_backup(void *admin, struct http_request *request);
