/* Calls of the machine that debugs or emulates this one, for files and text on it ("Semihosting for
   AArch32 and AArch64", Arm; the same for RISC-V). */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H
#include <stdint.h>

enum { SYS_OPEN = 1, SYS_WRITE0 = 4, SYS_WRITE = 5, SYS_READ = 6, SYS_EXIT = 24 };

static inline intptr_t semihosting(int call, const void *argument)
{
#ifdef __arm__
    register intptr_t result __asm("r0") = call;
    register const void *second __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(result) : "r"(second) : "memory");
#else
    register intptr_t result __asm("a0") = call;
    register const void *second __asm("a1") = argument;
    __asm volatile(".option push\n .option norvc\n .balign 16\n"
                   " slli x0, x0, 0x1f\n ebreak\n srai x0, x0, 7\n .option pop"
                   : "+r"(result)
                   : "r"(second)
                   : "memory");
#endif
    return result;
}

/* Opens a file on the other machine; `mode`: 1 to read it, 5 to write it. Below 0: it failed. */
static inline intptr_t semihosting_open(const char *name, uintptr_t mode)
{
    uintptr_t length = 0;
    uintptr_t block[3];
    while (name[length]) length++;
    block[0] = (uintptr_t)name;
    block[1] = mode;
    block[2] = length;
    return semihosting(SYS_OPEN, block);
}

/* Reads bytes from a file, or writes them; gives how many were not. */
static inline intptr_t semihosting_move(int call, intptr_t file, void *bytes, uintptr_t count)
{
    uintptr_t block[3];
    block[0] = (uintptr_t)file;
    block[1] = (uintptr_t)bytes;
    block[2] = count;
    return semihosting(call, block);
}

static inline void semihosting_print(const char *text) { semihosting(SYS_WRITE0, text); }

static inline void semihosting_exit(int failed)
{
    /* the application ended by itself, or with an error: the emulator's exit status is 0 or 1 */
    semihosting(SYS_EXIT, failed ? (const void *)0x20023 : (const void *)0x20026);
}
#endif
