/* Runs a network on the examples of standard input, and writes the outputs to standard output. */
#include <stdio.h>

void RUN(void *input, void *output);

static union {
    unsigned char bytes[INPUT_BYTES];
    double aligned;
} input;
static union {
    unsigned char bytes[OUTPUT_BYTES];
    double aligned;
} output;

int main(void)
{
    while (fread(input.bytes, 1, sizeof input.bytes, stdin) == sizeof input.bytes) {
        RUN(input.bytes, output.bytes);
        fwrite(output.bytes, 1, sizeof output.bytes, stdout);
    }
    return 0;
}
