/* files.c - see files.h. */
#include "kafka/files.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"

#define LOOK_NS UINT64_C(1000000000)

struct file { char *path; struct file_stamp taken, seen, refused; };
struct kafka_files {
    VEC(struct file) list;
    uint64_t look_at_ns;
    struct mg_why failure; /* logged last; empty: they were taken since */
};

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

struct kafka_files *kafka_files_new(const struct conf_list *properties)
{
    struct kafka_files *files = MEM_NEW(struct kafka_files);
    struct str name, value;

    for (size_t i = 0; i < properties->n; i++) {
        if (!str_split_at(properties->at[i], '=', &name, &value) || !is_file(str_trim(name)) || str_trim(value).len == 0)
            continue;
        struct file *file = VEC_ADD(&files->list);
        file->path = str_text(str_trim(value));
        file_look(file->path, &file->taken);
    }
    return files;
}

bool kafka_files_changed(struct kafka_files *files, uint64_t now_ns)
{
    bool has_changed = false;

    if (now_ns < files->look_at_ns)
        return false;
    files->look_at_ns = now_ns + LOOK_NS;
    for (size_t i = 0; i < files->list.n; i++) {
        struct file *file = &files->list.at[i];
        file_look(file->path, &file->seen);
        has_changed |= !file_stamp_eq(&file->seen, &file->taken);
    }
    return has_changed;
}

void kafka_files_taken(struct kafka_files *files)
{
    for (size_t i = 0; i < files->list.n; i++)
        files->list.at[i].taken = files->list.at[i].seen;
    files->failure = (struct mg_why){ "" };
}

void kafka_files_refused(struct kafka_files *files, const struct mg_why *why)
{
    bool is_known = strcmp(why->text, files->failure.text) == 0;

    for (size_t i = 0; i < files->list.n; i++) {
        struct file *file = &files->list.at[i];
        is_known &= file_stamp_eq(&file->seen, &file->refused);
        file->refused = file->seen;
    }
    files->failure = *why;
    if (!is_known)
        LOG(WARN, "kafka files not taken, the old ones stay in force", F_WHY(why));
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
