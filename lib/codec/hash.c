/* hash.c - XXH3 by the system's libxxhash. Its algorithm has been frozen since 0.8.0, so that
 * stored values stay comparable whatever version is linked. The stream is the library's own state,
 * because only the library knows which alignment it wants. SHA-256 is OpenSSL's. */
#include "codec/hash.h"
#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <xxhash.h>

static XXH3_state_t *state_of(const struct hash64_stream *stream)
{
    return (XXH3_state_t *)(uintptr_t)stream;
}

uint64_t hash64(const void *bytes, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, len, seed);
}

struct hash64_stream *hash64_new(void)
{
    XXH3_state_t *state = XXH3_createState();
    assert(state); /* out of memory aborts, as everywhere */
    XXH3_64bits_reset_withSeed(state, 0);
    return (struct hash64_stream *)state;
}

void hash64_free(struct hash64_stream **stream)
{
    XXH3_freeState(state_of(*stream));
    *stream = NULL;
}

void hash64_begin(struct hash64_stream *stream, uint64_t seed)
{
    XXH3_64bits_reset_withSeed(state_of(stream), seed);
}

void hash64_add(struct hash64_stream *stream, const void *bytes, size_t len)
{
    if (len > 0)
        XXH3_64bits_update(state_of(stream), bytes, len);
}

uint64_t hash64_end(const struct hash64_stream *stream)
{
    return XXH3_64bits_digest(state_of(stream));
}

void sha256(const void *bytes, size_t len, uint8_t out[SHA256_BYTES])
{
    unsigned n = 0;
    int ok = EVP_Digest(len ? bytes : "", len, out, &n, EVP_sha256(), NULL);
    assert(ok == 1 && n == SHA256_BYTES); /* every provider has it, and out of memory aborts */
}

bool sha256_eq(const uint8_t a[SHA256_BYTES], const uint8_t b[SHA256_BYTES])
{
    return CRYPTO_memcmp(a, b, SHA256_BYTES) == 0;
}
