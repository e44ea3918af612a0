/* SPDX-License-Identifier: MIT-0
   A plain main for a fuzz target: replays the files it is given, each also cut off at every length. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int main(int argc, char **argv) {
    static uint8_t data[1 << 16];
    int i;
    for (i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        size_t len, n;
        if (!f) {
            perror(argv[i]);
            return 1;
        }
        len = fread(data, 1, sizeof data, f);
        fclose(f);
        for (n = 0; n <= len; n++) LLVMFuzzerTestOneInput(data, n);
    }
    return 0;
}
