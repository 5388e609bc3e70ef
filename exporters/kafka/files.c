/* files.c - see files.h. stat() follows links, so that a secret that is exchanged by its folder's link is seen. */
#include "kafka/files.h"
#include <sys/stat.h>
#include "base/mem.h"
#include "base/vec.h"

struct file { char *path; struct stat seen; /* zeros: it is not there */ };
struct kafka_files { VEC(struct file) list; };

static bool is_file(struct str name)
{
    static const struct str names[] = {
        STR_INIT("ssl.ca.location"), STR_INIT("ssl.certificate.location"), STR_INIT("ssl.key.location"),
        STR_INIT("ssl.keystore.location"), STR_INIT("ssl.crl.location")
    };

    for (size_t i = 0; i < MG_COUNT(names); i++)
        if (str_eq(name, names[i]))
            return true;
    return false;
}

static void look(const struct file *file, struct stat *out)
{
    if (stat(file->path, out) != 0)
        *out = (struct stat){ 0 };
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

struct kafka_files *kafka_files_new(const struct conf_list *properties)
{
    struct kafka_files *files = MEM_NEW(struct kafka_files);
    struct str name, value;

    for (size_t i = 0; i < properties->n; i++) {
        if (!str_split_at(properties->at[i], '=', &name, &value) || !is_file(str_trim(name)) || str_trim(value).len == 0)
            continue;
        struct file *file = VEC_ADD(&files->list);
        file->path = str_text(str_trim(value));
        look(file, &file->seen);
    }
    return files;
}

bool kafka_files_changed(struct kafka_files *files)
{
    bool has_changed = false;

    for (size_t i = 0; i < files->list.n; i++) {
        struct file *file = &files->list.at[i];
        struct stat now;
        look(file, &now);
        has_changed |= !is_same(&now, &file->seen);
        file->seen = now;
    }
    return has_changed;
}

void kafka_files_free(struct kafka_files **pointer)
{
    struct kafka_files *files = MG_STEAL(*pointer);

    if (!files)
        return;
    for (size_t i = 0; i < files->list.n; i++)
        mem_free(files->list.at[i].path);
    VEC_FINI(&files->list);
    mem_free(files);
}
