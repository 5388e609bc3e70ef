/* offline.h - the directory that `journal …` and `store …` work on: found, and not in use. Private
 * to the module. */
#pragma once
#include "base/buf.h"

struct offline {
    char *dir; /* the journal or store directory itself */
    int lock;  /* of the data_dir around it; -1: there is none, the directory is a copy */
    const char *command;
    uint64_t lines, told_ns; /* progress */
};
/* `dir` is a data_dir, whose folder `part` ("journal", "store") is then meant, or that folder
 * itself, which has at least one file that ends in `suffix`; anything else is E_ABSENT. Refuses
 * (E_BUSY) when it, or one of the three folders around it, has a LOCK that a process holds. */
enum mg_err offline_open(struct offline *out, const char *command, const char *dir,
                         const char *part, const char *suffix, struct mg_why *why) MG_MUST_USE;
void offline_close(struct offline *offline);
/* Prints the line to stdout; every ten seconds the count goes to stderr. */
void offline_line(struct offline *offline, struct str line);
