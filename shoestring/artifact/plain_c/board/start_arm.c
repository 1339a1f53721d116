/* What a Cortex-M does before main: its vectors, its variables, its floating-point unit. */
#include <stdint.h>

extern uint32_t stack_top, data_stored, data_begin, data_end, bss_begin, bss_end;
int main(void);
void start(void);

static void fault(void)
{
    for (;;) {
    }
}

__attribute__((used, section(".vectors"))) static void *const vectors[16] = {
    &stack_top,    (void *)start, (void *)fault, (void *)fault, (void *)fault, (void *)fault,
    (void *)fault, 0,             0,             0,             0,             (void *)fault,
    (void *)fault, 0,             (void *)fault, (void *)fault,
};

void start(void)
{
    uint32_t *from = &data_stored, *to;
#ifdef __ARM_FP
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20;
    __asm volatile("dsb\n isb");
#endif
    for (to = &data_begin; to != &data_end;) *to++ = *from++;
    for (to = &bss_begin; to != &bss_end;) *to++ = 0;
    main();
    fault();
}
