/* yaml.h - YAML trees with line numbers: libyaml behind a face of our own, for configuration, rule
 * files and the proxy's resources. Aliases and anchors are refused (billion laughs), depth ≤
 * YAML_DEPTH_MAX, size ≤ the caller's limit; duplicate keys refused. Multi-document files give a
 * list of documents.
 *
 * Everything that is returned borrows from the documents until yaml_docs_free; scalar text and keys
 * are also NUL-terminated. Errors are "FILE:LINE: what" with E_FORMAT, E_TOO_BIG (depth, size) or
 * E_IO. libyaml exports yaml_free, yaml_malloc, yaml_realloc and yaml_strdup and calls them itself:
 * a function of ours with such a name would take their place. Accessors take NULL as an absent
 * node: kind YAML_NULL, line 0, empty text, no items. One thread. */
#pragma once
#include "base/buf.h"

#define YAML_DEPTH_MAX 32 /* maps and lists inside each other */

enum yaml_kind { YAML_NULL, YAML_SCALAR, YAML_LIST, YAML_MAP };
struct yaml; /* a node; borrows from its documents */
struct yaml_docs;

enum mg_err yaml_parse(struct yaml_docs **out, struct str text, const char *file_name, struct mg_why *why) MG_MUST_USE;
enum mg_err yaml_load(struct yaml_docs **out, const char *path, size_t bytes_max, struct mg_why *why) MG_MUST_USE;
void yaml_docs_free(struct yaml_docs **docs);
size_t yaml_count_docs(const struct yaml_docs *docs);
const struct yaml *yaml_doc(const struct yaml_docs *docs, size_t i); /* NULL for an empty document */
enum yaml_kind yaml_kind(const struct yaml *node);
unsigned yaml_line(const struct yaml *node);      /* from 1 */
struct str yaml_str(const struct yaml *node);     /* scalar text */
bool yaml_is_quoted(const struct yaml *node);     /* "true" in quotes, a block, or tagged !!str: a string */
size_t yaml_count(const struct yaml *node);       /* items or members */
const struct yaml *yaml_at(const struct yaml *node, size_t i);  /* item, or value of member i */
struct str yaml_key(const struct yaml *map, size_t i);
unsigned yaml_key_line(const struct yaml *map, size_t i);
/* The node on one line in flow style, which parses back to an equal tree: strings that could be read as something else, and all quoted
 * ones, in double quotes; members in their order. Equal trees print equally, wherever their line breaks and quotes were. */
void yaml_print(const struct yaml *node, struct buf *out);
const struct yaml *yaml_get(const struct yaml *map, const char *key); /* NULL: absent */
