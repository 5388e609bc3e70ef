/* descriptors.h - a FileDescriptorSet of everything in proto/, each file behind those it imports:
 * what protoc makes of it, embedded at build time. Private to api/jaeger. */
#pragma once
#include <stddef.h>

extern const unsigned char jaeger_descriptors[];
extern const size_t jaeger_descriptors_len;
