/* HTTP/2 connections: frames after the preface, gRPC, resets, windows. */
#include "http_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_run("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", data, size);
    return 0;
}
