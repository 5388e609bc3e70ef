/* replay_main.c - runs a fuzz target over every file it is given, and over every file of every
 * folder it is given. Builds without libFuzzer use it, so that each corpus is a regression test. An
 * input comes in memory of exactly its size, so that a sanitizer sees a byte read too far; no file
 * at all is a failure, or a lost corpus would look like a passed test. */
#include <dirent.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int replay_file(const char *path, size_t bytes)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = mem_alloc(bytes);
    int failed = !file || fread(data, 1, bytes, file) != bytes;
    if (failed)
        fprintf(stderr, "%s: cannot be read\n", path);
    else
        (void)LLVMFuzzerTestOneInput(data, bytes); /* its result is for libFuzzer's corpus only */
    mem_free(data);
    if (file)
        fclose(file);
    return failed;
}

static int replay(const char *path);

static int replay_folder(const char *path)
{
    DIR *folder = opendir(path);
    int failed = 0, files = 0;
    if (!folder) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        char inner[PATH_MAX];
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) >= (int)sizeof inner) {
            fprintf(stderr, "%s/%s: the path is too long\n", path, entry->d_name);
            failed = 1;
            continue;
        }
        files++;
        failed |= replay(inner);
    }
    closedir(folder);
    if (files == 0)
        fprintf(stderr, "%s: the corpus is empty\n", path);
    return failed || files == 0;
}

static int replay(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        fprintf(stderr, "%s: there is no such file\n", path);
        return 1;
    }
    return S_ISDIR(info.st_mode) ? replay_folder(path) : replay_file(path, (size_t)info.st_size);
}

int main(int argc, char **argv)
{
    int failed = argc < 2;
    if (failed)
        fprintf(stderr, "usage: %s FILE-OR-FOLDER...\n", argv[0]);
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    return failed;
}
