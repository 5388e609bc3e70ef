/* auth.c - see auth.h.
 *
 * The rows hold SHA-256 of generated secrets, so the look-up is: hash what was shown, and compare
 * it with every entry. All entries are always compared, each in constant time, so that neither the
 * place of an entry nor how much of a hash fits can be measured. A slow hash would protect
 * guessable passwords, and would cost every request of an exporter; that is why the secrets must be
 * generated.
 *
 * Refusals of the rows never repeat a word of an entry: what stands in the wrong place may be a
 * secret. */
#include "http/auth.h"
#include <assert.h>
#include "codec/base64.h"
#include "codec/hash.h"
#include "http/conn.h"

#define SCOPE_BIT(scope) (1u << (scope))
#define HASH_PREFIX      "sha256:"
#define WORDS_MAX        3

struct entry {
    struct str name; /* in the arena */
    unsigned scopes; /* SCOPE_BIT of each */
    uint8_t hash[SHA256_BYTES];
};
struct entries {
    VEC(struct entry) rows;
};

struct http_auth {
    unsigned refs; /* atomic */
    struct arena arena;
    struct entries tokens, users, certificates;
    const char *challenge; /* of WWW-Authenticate; NULL: no scheme could help */
};

static const struct {
    enum http_scope scope;
    const char *name;
} scope_names[] = {
    {HTTP_SCOPE_INGEST, "ingest"},
    {HTTP_SCOPE_QUERY, "query"},
    {HTTP_SCOPE_ADMIN, "admin"},
};

/* --- the rows --- */
/* Whether it is one; *bits gets what the scope includes. */
static bool parse_scope(struct str word, unsigned *bits)
{
    for (size_t i = 0; i < MG_COUNT(scope_names); i++) {
        if (!str_eq(word, str_of(scope_names[i].name)))
            continue;
        *bits |= SCOPE_BIT(scope_names[i].scope);
        if (scope_names[i].scope == HTTP_SCOPE_ADMIN)
            *bits |= SCOPE_BIT(HTTP_SCOPE_QUERY);
        return true;
    }
    return false;
}

static bool parse_scopes(struct str list, unsigned *bits)
{
    for (;;) {
        struct str word, rest;
        bool is_last = !str_split_at(list, ',', &word, &rest);
        if (!parse_scope(is_last ? list : word, bits))
            return false;
        if (is_last)
            return true;
        list = rest;
    }
}

static bool parse_hash(struct str word, uint8_t hash[SHA256_BYTES])
{
    struct str prefix = STR(HASH_PREFIX);
    if (!str_starts(word, prefix))
        return false;
    struct str hex = str_n(word.ptr + prefix.len, word.len - prefix.len);
    return hex.len == 2 * SHA256_BYTES && hex_decode(hex, hash, SHA256_BYTES);
}

/* WORDS_MAX + 1 when there are more. */
static size_t split_words(struct str text, struct str words[WORDS_MAX])
{
    size_t n = 0;
    for (size_t at = 0; at < text.len;) {
        size_t end = at;
        while (end < text.len && !strchr(" \t\n", text.ptr[end]))
            end++;
        if (end > at && n == WORDS_MAX)
            return WORDS_MAX + 1;
        if (end > at)
            words[n++] = str_n(text.ptr + at, end - at);
        at = end + 1;
    }
    return n;
}

static bool is_hash_taken(const struct entries *entries, const struct entry *entry)
{
    for (size_t i = 0; i < entries->rows.n; i++) {
        if (sha256_eq(entries->rows.at[i].hash, entry->hash))
            return true;
    }
    return false;
}

static enum mg_err parse_entry(struct http_auth *auth, struct entries *entries, struct str text,
                               bool has_hash, struct mg_why *why)
{
    struct str words[WORDS_MAX];
    struct entry entry = {.scopes = 0};
    size_t n_wanted = has_hash ? 3 : 2;
    if (split_words(text, words) != n_wanted)
        return mg_fail(why, MG_E_FORMAT, "write it as \"%s\"",
                       has_hash ? "NAME SCOPE[,SCOPE] sha256:HEX" : "SAN SCOPE[,SCOPE]");
    if (!parse_scopes(words[1], &entry.scopes))
        return mg_fail(why, MG_E_FORMAT,
                       "its second word must be scopes: ingest, query, admin, with commas between");
    if (has_hash && !parse_hash(words[2], entry.hash))
        return mg_fail(why, MG_E_FORMAT,
                       "its third word must be sha256: and the 64 hex digits of a hash");
    if (has_hash && is_hash_taken(entries, &entry))
        return mg_fail(why, MG_E_FORMAT, "another entry has the same hash");
    entry.name = arena_str(&auth->arena, words[0]);
    VEC_PUSH(&entries->rows, entry);
    return MG_OK;
}

static enum mg_err parse_list(struct http_auth *auth, struct entries *entries,
                              const struct conf_list *list, const char *row, bool has_hash,
                              struct mg_why *why)
{
    for (size_t i = 0; i < list->n; i++) {
        enum mg_err err = parse_entry(auth, entries, list->at[i], has_hash, why);
        if (err)
            return mg_fail_in(why, err, "auth.%s, entry %zu", row, i + 1);
    }
    return MG_OK;
}

static const char *choose_challenge(const struct http_auth *auth)
{
    if (auth->tokens.rows.n && auth->users.rows.n)
        return "Bearer realm=\"meshglass\", Basic realm=\"meshglass\"";
    if (auth->tokens.rows.n)
        return "Bearer realm=\"meshglass\"";
    return auth->users.rows.n ? "Basic realm=\"meshglass\"" : NULL;
}

enum mg_err http_auth_new(struct http_auth **out, const struct http_auth_conf *conf,
                          struct mg_why *why)
{
    MG_AUTO(http_auth_unref) struct http_auth *auth = MEM_NEW(struct http_auth);
    auth->refs = 1;
    arena_init(&auth->arena);
    MG_TRY(parse_list(auth, &auth->tokens, &conf->tokens, "tokens", true, why));
    MG_TRY(parse_list(auth, &auth->users, &conf->users, "users", true, why));
    MG_TRY(parse_list(auth, &auth->certificates, &conf->client_certificates, "client_certificates",
                      false, why));
    auth->challenge = choose_challenge(auth);
    *out = MG_STEAL(auth);
    return MG_OK;
}

struct http_auth *http_auth_ref(struct http_auth *auth)
{
    __atomic_add_fetch(&auth->refs, 1, __ATOMIC_RELAXED);
    return auth;
}

void http_auth_unref(struct http_auth **auth_at)
{
    struct http_auth *auth = MG_STEAL(*auth_at);
    if (!auth || __atomic_sub_fetch(&auth->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    VEC_FINI(&auth->tokens.rows);
    VEC_FINI(&auth->users.rows);
    VEC_FINI(&auth->certificates.rows);
    arena_fini(&auth->arena);
    mem_free(auth);
}

bool http_auth_is_empty(const struct http_auth *auth)
{
    return auth->tokens.rows.n == 0 && auth->users.rows.n == 0 && auth->certificates.rows.n == 0;
}

/* --- what a caller shows --- */
struct grant {
    struct str name;
    unsigned scopes;
};

static bool find_secret(const struct entries *entries, struct str secret, struct grant *grant)
{
    uint8_t hash[SHA256_BYTES];
    const struct entry *found = NULL;
    sha256(secret.ptr, secret.len, hash);
    for (size_t i = 0; i < entries->rows.n; i++) {
        const struct entry *entry = &entries->rows.at[i];
        found = sha256_eq(hash, entry->hash) ? entry : found;
    }
    if (found)
        *grant = (struct grant){found->name, found->scopes};
    return found != NULL;
}

static bool find_user(const struct entries *entries, struct str encoded, struct grant *grant)
{
    struct buf pair;
    buf_init(&pair, encoded.len);
    bool is_known =
        base64_decode(encoded, &pair) == MG_OK && find_secret(entries, buf_str(&pair), grant);
    buf_fini(&pair);
    return is_known;
}

/* The value of an Authorization header. */
static bool find_authorization(const struct http_auth *auth, struct str value, struct grant *grant)
{
    struct str scheme, secret;
    if (!str_split_at(value, ' ', &scheme, &secret))
        return false;
    secret = str_trim(secret);
    if (str_eq_nocase(scheme, STR("bearer")))
        return find_secret(&auth->tokens, secret, grant);
    return str_eq_nocase(scheme, STR("basic")) && find_user(&auth->users, secret, grant);
}

/* Every entry that names one of the certificate's SANs adds its scopes. Asking a certificate costs
 * much more than comparing two numbers, so a connection remembers the answer. */
static bool find_certificate(struct conn *conn, struct grant *grant)
{
    const struct http_server *server = conn->server;
    const struct entries *entries = &server->auth.rows->certificates;
    if (!conn->io->has_certificate || !conn->io->has_certificate(conn->io_owner))
        return false;
    if (conn->certificate.generation != server->auth.generation) {
        conn->certificate.generation = server->auth.generation;
        conn->certificate.scopes = 0;
        for (size_t i = 0; i < entries->rows.n; i++) {
            struct entry *entry = &entries->rows.at[i];
            struct conf_list one = {.at = &entry->name, .n = 1};
            if (!conn->io->has_name(conn->io_owner, &one))
                continue;
            if (!conn->certificate.scopes)
                conn->certificate.name = entry->name;
            conn->certificate.scopes |= entry->scopes;
        }
    }
    *grant = (struct grant){conn->certificate.name, conn->certificate.scopes};
    return grant->scopes != 0;
}

/* One credential: a header that is there is the one that counts. */
static bool find_caller(const struct http_request *request, struct grant *grant)
{
    struct str authorization = http_request_header(request, STR("authorization"));
    if (authorization.len)
        return find_authorization(request->server->auth.rows, authorization, grant);
    return find_certificate(request->conn, grant);
}

/* --- the decision --- */
/* A certificate that the listener's CA signed may still be of somebody who has no business here. */
static bool has_allowed_name(struct conn *conn)
{
    const struct conf_list *names = conn->server->options.client_names;
    if (!names || names->n == 0 || !conn->io->has_certificate)
        return true;
    if (!conn->certificate.is_checked) {
        conn->certificate.is_checked = true;
        conn->certificate.is_named =
            !conn->io->has_certificate(conn->io_owner) || conn->io->has_name(conn->io_owner, names);
    }
    return conn->certificate.is_named;
}

static enum http_scope scope_of(const struct http_request *request)
{
    enum http_scope scope = request->route->scope;
    if (scope == HTTP_SCOPE_DOOR)
        scope = request->server->options.scope;
    return scope == HTTP_SCOPE_DOOR ? HTTP_SCOPE_OPEN : scope;
}

static const char *scope_name(enum http_scope scope)
{
    for (size_t i = 0; i < MG_COUNT(scope_names); i++) {
        if (scope_names[i].scope == scope)
            return scope_names[i].name;
    }
    assert(!"a scope without a name");
    return "";
}

static void refuse_unknown(struct http_request *request)
{
    const char *challenge = request->server->auth.rows->challenge;
    struct http_header header = {STR("www-authenticate"), str_of(challenge)};
    if (challenge)
        request_refuse_with(request, MG_E_AUTH, "auth",
                            "a credential is needed, and none that is known was shown",
                            request->is_grpc ? NULL : &header);
    else
        request_refuse(request, MG_E_DENIED, "denied",
                       "a client certificate that auth.client_certificates names is needed");
}

bool auth_admits(struct http_request *request)
{
    const struct http_server *server = request->server;
    enum http_scope scope = scope_of(request);
    struct grant grant;
    if (!has_allowed_name(request->conn)) {
        request_refuse(request, MG_E_DENIED, "denied",
                       "none of the client certificate's names is in tls.client_names");
        return false;
    }
    if (scope == HTTP_SCOPE_OPEN || !server->auth.rows)
        return true;
    if (!find_caller(request, &grant)) {
        refuse_unknown(request);
        return false;
    }
    if (grant.scopes & SCOPE_BIT(scope))
        return true;
    struct str message = arena_printf(&request->arena, "'%.*s' lacks the scope %s",
                                      STR_ARG(grant.name), scope_name(scope));
    request_refuse(request, MG_E_DENIED, "denied", message.ptr);
    return false;
}

void auth_set(struct http_server *server, struct http_auth *auth)
{
    http_auth_unref(&server->auth.rows);
    server->auth.rows = auth && !http_auth_is_empty(auth) ? http_auth_ref(auth) : NULL;
    server->auth.generation++;
}
