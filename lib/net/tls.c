/* tls.c - contexts and the rows of a `tls` section.
 *
 * Everything is read when the context is made, so a file that vanishes later harms nobody. Files
 * are opened once by us first: OpenSSL's word for a file that cannot be opened names neither the
 * file nor the reason. */
#include "net/tls.h"
#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stddef.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls_private.h"

#define ALPN_BYTES_MAX 64
#define PATH_BYTES_MAX 4096

struct tls_context {
    SSL_CTX *ctx;
    bool is_server, verifies;
    unsigned char alpn[ALPN_BYTES_MAX]; /* as on the wire: length, name, length, name */
    unsigned alpn_len;
    struct {
        unsigned refs; /* atomic */
    } shared;
};

#define ROW(type, key, field, def, help)                                                           \
    CONF_ROW(struct tls_conf, type, key, field, def, NULL, NULL, help, CONF_NEEDS_RESTART)

/* clang-format off */
const struct conf_field tls_fields[] = {
    ROW(CONF_STR, "cert", cert, NULL,
        "PEM file with the certificate chain of the doors, own certificate first; with key, it turns TLS on."),
    ROW(CONF_STR, "key", key, NULL,
        "PEM file with the private key, without a pass phrase."),
    ROW(CONF_STR, "client_ca", client_ca, NULL,
        "PEM file of authorities; a client must show a certificate of one of them."),
    ROW(CONF_LIST, "client_names", client_names, NULL,
        "Subject alternative names of which a client's certificate must have one: DNS name (*.example.com: one label), "
        "URI (a * at the end: the rest of the path) or IP address; empty: any of client_ca."),
    CONF_ROW_CHOICE(struct tls_conf, "min_version", min_version, "1.3", "1.2|1.3",
        "Lowest version of TLS; 1.2 is spoken with ECDHE and AEAD ciphers only.",
        CONF_NEEDS_RESTART),
};
/* clang-format on */
const size_t tls_fields_n = MG_COUNT(tls_fields);

/* --- files --- */

/* OpenSSL wants a C string; a path with a NUL inside would open another file. */
static enum mg_err copy_path(struct str path, char out[PATH_BYTES_MAX], struct mg_why *why)
{
    if (path.len >= PATH_BYTES_MAX || memchr(path.ptr, '\0', path.len))
        return mg_fail(why, MG_E_FORMAT, "'%.*s' is not a path", STR_ARG(path));
    memcpy(out, path.ptr, path.len);
    out[path.len] = '\0';
    int fd;
    MG_TRY(file_open_read(out, &fd, why)); /* OpenSSL would wait for a pipe, and read a device for ever */
    close(fd);
    return MG_OK;
}

/* In place of OpenSSL's own, which asks on the terminal. */
static int refuse_pass_phrase(char *out, int room, int is_writing, void *was_asked)
{
    (void)out, (void)room, (void)is_writing;
    *(bool *)was_asked = true;
    return -1;
}

static enum mg_err fail_file(struct mg_why *why, const char *path, const char *what)
{
    const char *words = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return mg_fail(why, MG_E_FORMAT, "%s: %s (%s)", path, what, words ? words : "no reason known");
}

static void warn_when_expired(const X509 *certificate, const char *path)
{
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        LOG(WARN, "tls certificate expired", F_TEXT("path", path));
}

static enum mg_err load_chain(struct tls_context *context, struct str file, struct mg_why *why)
{
    char path[PATH_BYTES_MAX];

    MG_TRY(copy_path(file, path, why));
    if (SSL_CTX_use_certificate_chain_file(context->ctx, path) != 1)
        return fail_file(why, path, "holds no certificate that can be used");
    warn_when_expired(SSL_CTX_get0_certificate(context->ctx), path);
    return MG_OK;
}

static enum mg_err read_key(const char *path, EVP_PKEY **out, struct mg_why *why)
{
    bool was_asked = false;
    BIO *file = BIO_new_file(path, "r");

    EVP_PKEY *key =
        file ? PEM_read_bio_PrivateKey(file, NULL, refuse_pass_phrase, &was_asked) : NULL;
    BIO_free(file);
    if (key) {
        *out = key;
        return MG_OK;
    }
    if (!was_asked)
        return fail_file(why, path, "holds no private key that can be read");
    ERR_clear_error();
    return mg_fail(why, MG_E_FORMAT,
                   "%s: the private key has a pass phrase; nobody is there to type it, "
                   "store the key without one and protect the file",
                   path);
}

static enum mg_err load_key(struct tls_context *context, struct str file, struct str cert_file,
                            struct mg_why *why)
{
    char path[PATH_BYTES_MAX];
    EVP_PKEY *key = NULL;

    MG_TRY(copy_path(file, path, why));
    MG_TRY(read_key(path, &key, why));
    bool fits = X509_check_private_key(SSL_CTX_get0_certificate(context->ctx), key) == 1;
    bool is_taken = fits && SSL_CTX_use_PrivateKey(context->ctx, key) == 1;
    EVP_PKEY_free(key);
    if (is_taken)
        return MG_OK;
    if (fits)
        return fail_file(why, path, "cannot be used as private key");
    ERR_clear_error();
    return mg_fail(why, MG_E_FORMAT, "%s: the private key does not fit the certificate of %.*s",
                   path, STR_ARG(cert_file));
}

static enum mg_err load_pair(struct tls_context *context, const struct tls_options *options,
                             struct mg_why *why)
{
    bool has_cert = options->cert_file.len > 0, has_key = options->key_file.len > 0;

    if (has_cert != has_key)
        return mg_fail(why, MG_E_FORMAT, "a certificate and its key belong together: %s is missing",
                       has_cert ? "the key" : "the certificate");
    if (!has_cert && options->is_server)
        return mg_fail(why, MG_E_FORMAT, "a TLS server needs a certificate and its key");
    if (!has_cert)
        return MG_OK;
    MG_TRY(load_chain(context, options->cert_file, why));
    return load_key(context, options->key_file, options->cert_file, why);
}

static enum mg_err load_authorities(struct tls_context *context, const struct tls_options *options,
                                    struct mg_why *why)
{
    char path[PATH_BYTES_MAX];

    MG_TRY(copy_path(options->ca_file, path, why));
    if (SSL_CTX_load_verify_file(context->ctx, path) != 1)
        return fail_file(why, path, "holds no certificate of an authority");
    /* Whoever names an intermediate as the authority means it, without the root above. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context->ctx), X509_V_FLAG_PARTIAL_CHAIN);
    if (!options->is_server)
        return MG_OK;
    STACK_OF(X509_NAME) *names =
        SSL_load_client_CA_file(path); /* which certificates a client picks from */
    if (!names)
        return fail_file(why, path, "holds no certificate of an authority");
    SSL_CTX_set_client_CA_list(context->ctx, names); /* takes it */
    return MG_OK;
}

/* --- what is spoken --- */

static enum mg_err set_alpn(struct tls_context *context, const char *names, struct mg_why *why)
{
    struct str rest = str_of(names), name;

    while (str_cut(&rest, ',', &name)) {
        if (name.len == 0 || context->alpn_len + 1 + name.len > ALPN_BYTES_MAX)
            return mg_fail(why, MG_E_FORMAT, "'%s' is not a list of ALPN names", names);
        context->alpn[context->alpn_len] = (unsigned char)name.len;
        memcpy(context->alpn + context->alpn_len + 1, name.ptr, name.len);
        context->alpn_len += 1 + (unsigned)name.len;
    }
    return MG_OK;
}

/* Our first that the client has too. Without one the connection goes on: what is spoken then, the
 * first bytes tell, and a client that cannot do without ends it itself. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *offered, unsigned offered_len, void *owner)
{
    const struct tls_context *context = owner;
    (void)ssl;
    int found = SSL_select_next_proto((unsigned char **)out, out_len, context->alpn,
                                      context->alpn_len, offered, offered_len);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void offer_alpn(struct tls_context *context)
{
    if (context->alpn_len == 0)
        return;
    if (context->is_server)
        SSL_CTX_set_alpn_select_cb(context->ctx, choose_alpn, context);
    else
        (void)SSL_CTX_set_alpn_protos(context->ctx, context->alpn,
                                      context->alpn_len); /* no memory: none */
}

static enum mg_err set_versions(SSL_CTX *ctx, int min_version, struct mg_why *why)
{
    int lowest = min_version == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;

    if (SSL_CTX_set_min_proto_version(ctx, lowest) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, 0) != 1 || /* a system-wide cap is for others */
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK") != 1) {
        ERR_clear_error();
        return mg_fail(why, MG_E_UNSUPPORTED,
                       "this OpenSSL has not the versions and ciphers of TLS we need");
    }
    return MG_OK;
}

static void set_habits(SSL_CTX *ctx)
{
    static const unsigned char program[] = "meshglass";

    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* an idle connection keeps none */
    /* Tickets alone: no table of sessions that grows. They hold the client's certificate, and a
     * session without an id context is not resumed when one is asked for. */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_session_id_context(ctx, program,
                                         sizeof program - 1); /* fails only when too long */
}

static void set_verify(struct tls_context *context, const struct tls_options *options)
{
    int mode = SSL_VERIFY_NONE;

    if (context->verifies)
        mode = options->is_server ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                  : SSL_VERIFY_PEER;
    SSL_CTX_set_verify(context->ctx, mode, NULL);
}

static enum mg_err fill(struct tls_context *context, const struct tls_options *options,
                        struct mg_why *why)
{
    MG_TRY(set_versions(context->ctx, options->min_version, why));
    set_habits(context->ctx);
    MG_TRY(load_pair(context, options, why));
    if (options->ca_file.len > 0)
        MG_TRY(load_authorities(context, options, why));
    else if (!options->is_server)
        (void)SSL_CTX_set_default_verify_paths(
            context->ctx); /* none: every server is untrusted, and that is said */
    set_verify(context, options);
    MG_TRY(set_alpn(context, options->alpn, why));
    offer_alpn(context);
    return MG_OK;
}

enum mg_err tls_context_new(struct tls_context **out, const struct tls_options *options,
                            struct mg_why *why)
{
    MG_AUTO(tls_context_unref) struct tls_context *context = MEM_NEW(struct tls_context);

    ERR_clear_error();
    context->shared.refs = 1;
    context->is_server = options->is_server;
    context->verifies = options->is_server ? options->ca_file.len > 0 : !options->is_unverified;
    context->ctx = SSL_CTX_new(options->is_server ? TLS_server_method() : TLS_client_method());
    if (!context->ctx) {
        ERR_clear_error();
        return mg_fail(why, MG_E_INTERNAL, "OpenSSL gives no context");
    }
    MG_TRY(fill(context, options, why));
    *out = MG_STEAL(context);
    return MG_OK;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    __atomic_add_fetch(&context->shared.refs, 1, __ATOMIC_RELAXED);
    return context;
}

void tls_context_unref(struct tls_context **context_at)
{
    struct tls_context *context = MG_STEAL(*context_at);

    if (!context || __atomic_sub_fetch(&context->shared.refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    SSL_CTX_free(context->ctx);
    mem_free(context);
}

SSL *tls_context_session(const struct tls_context *context)
{
    return SSL_new(context->ctx);
}

bool tls_context_is_server(const struct tls_context *context)
{
    return context->is_server;
}

bool tls_context_verifies(const struct tls_context *context)
{
    return context->verifies;
}
