/* edges.h - service edges: who called whom, per minute, counted at the decision, when parents are known.
 *
 * The block thread counts the fragments of a commit, kept or not, and writes the counts in the same transaction as C. So edges are
 * a function of the decisions up to C, exact over any crash, and need no job. The minute is the span's receive time.
 *
 * One table answers Jaeger's and Zipkin's question. Jaeger draws a call for every span whose parent is there, steps within one
 * service included; Zipkin links the two sides of calls, and knows the side that sends no spans by its remote name,
 * which is the attribute peer.service here, whatever the protocol. The table has the union:
 *
 *   any span     its parent's service -> its own, also within one service
 *   CLIENT       without a child: its service -> its remote name; so has a span of no kind (UNSPECIFIED, not INTERNAL)
 *   PRODUCER     its service -> its remote name (a broker)
 *   CONSUMER     with a remote name: that name (a broker) -> its service, in place of the parent
 *   SERVER       without a caller in the fragment: its remote name -> its service
 *
 * The parent of a server that shares its span id with a client (B3) is that client. Children of an id that several spans have
 * are those of the one that is no client in their own service, else of the client, else of the one that came last. A span whose service is
 * unknown (no service.name, an empty one, no string) calls nobody and is called by nobody: its children are its nearest known
 * ancestor's, and so is what a client calls by remote name. Spans of one id, service and kind are one, whether they are copies
 * or the pieces that Zipkin's clients send (8.1); what one of them does not know, the others tell. An error is a status ERROR of
 * the callee, unless it makes a call itself (a client, a producer, whoever names a callee): then it is one of that call. A client
 * that is the parent of a server with an id of its own gives it its error.
 *
 * Where this is not what Zipkin's linker says: a span whose parent is not in the fragment is a root (Zipkin hangs it on the
 * trace's root), parents and children need no kind, a producer is linked to a consumer that names no broker, and a client with
 * children still counts as called by its parent's service.
 *
 * Limits: an edge needs both its spans in one fragment, so a late one has none with the earlier; a client counted by remote name
 * may then have a server that comes late and names the client, which is a second call. Of one id 32 unlike spans are told apart,
 * and 64 ancestors without a service are climbed. Names have at most 256 bytes, and a minute 16,384 edges: all others are
 * (other) -> (other).
 *
 * Table `dep` of a partition: key minute (u32 big-endian, since 1970), value: varint version 1, then for each edge varint
 * length and bytes of parent and of child, varint calls, varint errors.
 * Names are sanitised (view_service). Counter: block thread. Readers: any thread. */
#pragma once
#include "kv/kv.h"
#include "store/block.h"

struct edges;
struct edges *edges_new(void);
void edges_free(struct edges **edges);
void edges_add(struct edges *edges, const struct fragment *fragment);
/* Adds the counts to what the table holds for their minutes, once; then edges_clear, also when it failed: a commit that is
 * made again counts its batches again. */
enum mg_err edges_put(struct edges *edges, struct kv_txn *txn, unsigned table, struct mg_why *why) MG_MUST_USE;
void edges_clear(struct edges *edges);

typedef void edge_fn(void *owner, struct str parent, struct str child, uint64_t calls, uint64_t errors);
enum mg_err edges_read(struct str value, edge_fn *on_edge, void *owner) MG_MUST_USE;
