/* Runs a network on examples that lie in flash, and says outputs, clock cycles and bytes of stack
   in lines of hexadecimal digits after an @. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/sleep.h>
#include <stdint.h>

void RUN(); /* its arguments are arrays */

static unsigned char input[INPUT_BYTES];
static unsigned char output[OUTPUT_BYTES];
extern uint8_t __heap_start; /* the first byte after all variables */
extern const uint8_t examples[], examples_end[];
__asm(".section .text.examples,\"ax\",@progbits\n.global examples, examples_end\n"
      "examples: .incbin \"inputs.bin\"\nexamples_end: .balign 2\n.text\n");

#define PAINT 0xa5

static volatile uint16_t rounds; /* of the 16-bit clock */
ISR(TIMER1_OVF_vect) { rounds++; }

static uint32_t now(void)
{
    uint16_t low, high;
    cli();
    low = TCNT1;
    high = rounds;
    if ((TIFR1 & (1 << TOV1)) && low < 0x8000) high++;
    sei();
    return (uint32_t)high << 16 | low;
}

static void send(uint8_t letter)
{
    while (!(UCSR0A & (1 << UDRE0))) {
    }
    UDR0 = letter;
}

static void send_all(const uint8_t *bytes, uint16_t count)
{
    uint16_t i;
    for (i = 0; i < count; i++) {
        if (i % 32 == 0) send('\n'), send('@');
        send("0123456789abcdef"[bytes[i] >> 4]);
        send("0123456789abcdef"[bytes[i] & 15]);
    }
    send('\n');
}

/* Runs the network once, and notes the clock's ticks, of 64 cycles, and the bytes of stack. */
static __attribute__((noinline)) void measured(uint32_t note[2])
{
    volatile uint8_t *bottom = &__heap_start, *top = (volatile uint8_t *)SP, *at;
    uint32_t before;
    for (at = bottom; at < top - 16; at++) *at = PAINT;
    before = now();
    RUN(ARGUMENTS);
    note[0] = now() - before;
    for (at = bottom; at < top - 16 && *at == PAINT; at++) {
    }
    note[1] = (uint32_t)(top - at);
}

int main(void)
{
    uint32_t note[2], at = pgm_get_far_address(examples), end = pgm_get_far_address(examples_end);
    UCSR0A = 1 << U2X0;
    UBRR0 = 0;
    UCSR0B = 1 << TXEN0;
    TIMSK1 = 1 << TOIE1;
    TCCR1B = 3;
    while (at < end) {
        uint16_t i;
        for (i = 0; i < sizeof input; i++) input[i] = pgm_read_byte_far(at++);
        measured(note);
        send_all(output, sizeof output);
        send_all((const uint8_t *)note, sizeof note);
    }
    while (!(UCSR0A & (1 << TXC0))) {
    }
    cli();
    sleep_mode(); /* the emulator ends */
    return 0;
}
