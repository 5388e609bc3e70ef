#define _GNU_SOURCE /* memfd_create */
#include "unit/peer/log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LOG_BYTES_MAX = 60 << 10 };

static int log_file = -1, log_saved;

void rig_log_begin(void)
{
    log_file = memfd_create("log", MFD_CLOEXEC);
    assert_true(log_file >= 0);
    log_saved = dup(STDERR_FILENO);
    dup2(log_file, STDERR_FILENO);
}

const char *rig_log_so_far(void)
{
    static char text[LOG_BYTES_MAX];

    ssize_t n = pread(log_file, text, sizeof text - 1, 0);
    assert_true(n >= 0 && n < (ssize_t)sizeof text - 1);
    text[n] = '\0';
    return text;
}

const char *rig_log_end(void)
{
    dup2(log_saved, STDERR_FILENO);
    close(log_saved);
    const char *text = rig_log_so_far();
    close(log_file);
    return text;
}
