/* The smallest program that runs a network: its image is what is weighed. Without RUN: nothing. */
#ifdef RUN
void RUN(); /* its arguments are arrays */
static unsigned char input[INPUT_BYTES] __attribute__((aligned(4)));
static unsigned char output[OUTPUT_BYTES] __attribute__((aligned(4)));
#endif

int main(void)
{
#ifdef RUN
    RUN(ARGUMENTS);
#endif
    return 0;
}
