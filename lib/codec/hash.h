/* hash.h - checksums and fingerprints. Stable across processes and machines (they are stored);
 * for hash tables in memory use base/map.h. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
uint64_t hash64(const void *bytes, size_t len, uint64_t seed); /* XXH3 64 */
/* XXH3 64 in pieces, for a record whose parts are scattered. */
struct hash64_stream;
struct hash64_stream *hash64_new(void);
void hash64_free(struct hash64_stream **stream);
void hash64_begin(struct hash64_stream *stream, uint64_t seed);
void hash64_add(struct hash64_stream *stream, const void *bytes, size_t len);
uint64_t hash64_end(const struct hash64_stream *stream);

/* SHA-256, for secrets that stand hashed in the configuration. bytes may be NULL when len is 0. */
#define SHA256_BYTES 32
void sha256(const void *bytes, size_t len, uint8_t out[SHA256_BYTES]);
/* Takes as long for hashes that differ early as for those that differ late, or not at all. */
bool sha256_eq(const uint8_t a[SHA256_BYTES], const uint8_t b[SHA256_BYTES]);
