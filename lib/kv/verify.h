/* verify.h - is the file's structure one that LMDB can follow?
 *
 * LMDB trusts every number in its pages: a damaged one makes it read or write anywhere, or ends the
 * process by an assertion. kv_verify looks first, with pread and a bitmap of pages, so that damage is
 * an error instead. It reads both meta pages, every branch and leaf page of the newest commit, the
 * lists of free pages, and of each overflow value its first page's header only: what the values say
 * is for their own checksums. It accepts what LMDB 0.9 (64 bits, little-endian) writes for tables
 * without flags, which is all that kv.h makes.
 *
 * Nobody else may write to the file meanwhile. Any thread. An empty file is fine: LMDB takes it for
 * a new one.
 * Errors: E_FORMAT names the file, the page and what is wrong with it; E_ABSENT: there is no file;
 * E_IO: it cannot be read. */
#pragma once
#include "base/err.h"

enum mg_err kv_verify(const char *path, struct mg_why *why) MG_MUST_USE;
