/*
 * Any bytes in a segment, its header and its batches: see partition.h.
 */
#include "partition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"00.log", "1.log", "2.log", "3.log", "4.log",
                                        "5.log",  "6.log", "7.log", "8.log", "9.log"};

    if (size > 1) fuzz_partition(data + 1, size - 1, names[data[0] % 10]);
    return 0;
}
