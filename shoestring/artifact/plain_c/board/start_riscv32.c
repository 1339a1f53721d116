/* What a 32-bit RISC-V does before main: its stack and its variables. */
#include <stdint.h>

extern uint32_t data_stored, data_begin, data_end, bss_begin, bss_end;
int main(void);
void prepare(void);

__asm(".section .start, \"ax\"\n"
      ".global start\n"
      "start:\n"
      "    la sp, stack_top\n"
      "    j prepare\n"
      ".text\n");

void prepare(void)
{
    uint32_t *from = &data_stored, *to;
    for (to = &data_begin; to != &data_end;) *to++ = *from++;
    for (to = &bss_begin; to != &bss_end;) *to++ = 0;
    main();
    for (;;) {
    }
}
