/* Runs a network on the examples of standard input, and writes the outputs to standard output. */
#include <stdio.h>

void RUN(); /* its arguments are arrays */

static union {
    unsigned char bytes[INPUT_BYTES];
    double aligned;
} examples;
static union {
    unsigned char bytes[OUTPUT_BYTES];
    double aligned;
} results;

int main(void)
{
    unsigned char *input = examples.bytes, *output = results.bytes;
    while (fread(input, 1, sizeof examples.bytes, stdin) == sizeof examples.bytes) {
        RUN(ARGUMENTS);
        fwrite(output, 1, sizeof results.bytes, stdout);
    }
    return 0;
}
