/* HTTP/1 connections: heads, bodies, chunks, pipelines, cut anywhere. */
#include "http_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_run("", data, size);
    return 0;
}
