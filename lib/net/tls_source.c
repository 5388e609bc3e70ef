/* tls_source.c - the context in force, and a new one when its files change.
 *
 * Files change one after the other, or a symlink above all of them is turned (Kubernetes). So a set
 * that does not load is not an error of this moment but a state to look at again: the old context
 * stays, every check tries anew, and the reason is logged when the files or the reason are others
 * than last time. Stamps are taken before the files are read; what changes in between is then seen
 * as a change at the next check. */
#include <pthread.h>
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"

enum { CERT, KEY, CA, FILES_N };

struct tls_source {
    struct {
        struct tls_options options; /* texts are `files` and `alpn` */
        char *files[FILES_N];       /* owned; empty: not used */
        char *alpn;                 /* owned; may be NULL */
        struct file_stamp loaded[FILES_N];
        struct file_stamp failed[FILES_N]; /* of the failure that was logged last */
        struct mg_why failure;        /* its reason; empty: the last check was fine */
    } own;                            /* the checking thread's */
    struct {
        pthread_mutex_t lock;
        struct tls_context *context;
    } shared; /* any thread, under the lock */
};

static bool same_files(const struct file_stamp a[FILES_N], const struct file_stamp b[FILES_N])
{
    for (int i = 0; i < FILES_N; i++)
        if (!file_stamp_eq(&a[i], &b[i]))
            return false;
    return true;
}

static void look(const struct tls_source *source, struct file_stamp out[FILES_N])
{
    for (int i = 0; i < FILES_N; i++)
        file_look(source->own.files[i], &out[i]);
}

enum mg_err tls_source_new(struct tls_source **out, const struct tls_options *options,
                           struct mg_why *why)
{
    MG_AUTO(tls_source_free) struct tls_source *source = MEM_NEW(struct tls_source);

    pthread_mutex_init(&source->shared.lock, NULL);
    source->own.files[CERT] = str_text(options->cert_file);
    source->own.files[KEY] = str_text(options->key_file);
    source->own.files[CA] = str_text(options->ca_file);
    source->own.alpn = options->alpn ? mem_text(options->alpn) : NULL;
    source->own.options = *options;
    source->own.options.cert_file = str_of(source->own.files[CERT]);
    source->own.options.key_file = str_of(source->own.files[KEY]);
    source->own.options.ca_file = str_of(source->own.files[CA]);
    source->own.options.alpn = source->own.alpn;
    look(source, source->own.loaded);
    MG_TRY(tls_context_new(&source->shared.context, &source->own.options, why));
    *out = MG_STEAL(source);
    return MG_OK;
}

void tls_source_free(struct tls_source **source_at)
{
    struct tls_source *source = MG_STEAL(*source_at);

    if (!source)
        return;
    tls_context_unref(&source->shared.context);
    pthread_mutex_destroy(&source->shared.lock);
    for (int i = 0; i < FILES_N; i++)
        mem_free(source->own.files[i]);
    mem_free(source->own.alpn);
    mem_free(source);
}

struct tls_context *tls_source_take(struct tls_source *source)
{
    pthread_mutex_lock(&source->shared.lock);
    struct tls_context *context = tls_context_ref(source->shared.context);
    pthread_mutex_unlock(&source->shared.lock);
    return context;
}

static void exchange(struct tls_source *source, struct tls_context *context)
{
    pthread_mutex_lock(&source->shared.lock);
    struct tls_context *old = source->shared.context;
    source->shared.context = context;
    pthread_mutex_unlock(&source->shared.lock);
    tls_context_unref(&old);
}

static void log_once(struct tls_source *source, const struct file_stamp seen[FILES_N],
                     const struct mg_why *why)
{
    if (same_files(seen, source->own.failed) && strcmp(why->text, source->own.failure.text) == 0)
        return;
    memcpy(source->own.failed, seen, sizeof source->own.failed);
    source->own.failure = *why;
    LOG(WARN, "tls files not taken, the old ones stay in force", F_WHY(why));
}

bool tls_source_check(struct tls_source *source)
{
    struct file_stamp seen[FILES_N];
    struct tls_context *context;
    struct mg_why why = {""};

    look(source, seen);
    if (same_files(seen, source->own.loaded))
        return false;
    if (tls_context_new(&context, &source->own.options, &why)) {
        log_once(source, seen, &why);
        return false;
    }
    memcpy(source->own.loaded, seen, sizeof seen);
    source->own.failure = (struct mg_why){""};
    exchange(source, context);
    LOG(INFO, "tls files taken", F_TEXT("path", source->own.files[CERT]));
    return true;
}
