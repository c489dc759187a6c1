/* The processor and its timer: flat descriptor tables, the interrupt controller with nothing but IRQ 0 open, the PIT at TICK_HZ. */
#include "guest.h"

static uint64_t descriptors[3] = { 0, 0x00CF9A000000FFFFull, 0x00CF92000000FFFFull };
static struct { uint16_t low, selector; uint8_t zero, type; uint16_t high; } __attribute__((packed)) gates[256];
struct table { uint16_t limit; uint32_t base; } __attribute__((packed));
struct frame;

static void (*tick)(void);

__attribute__((interrupt)) static void on_timer(struct frame *frame)
{
  (void)frame;
  tick();
  out8(0x20, 0x20); /* end of interrupt */
}

__attribute__((interrupt)) static void on_stray(struct frame *frame)
{
  (void)frame;
  out8(0x20, 0x20);
}

/* A processor exception would mean that memory is not what we left: stop at once, loudly (the heartbeats end). */
__attribute__((interrupt)) static void on_fault(struct frame *frame)
{
  (void)frame;
  console_text("fault\n");
  for (;;) __asm__ volatile("cli; hlt");
}

static void set_gate(uint32_t vector, void (*handler)(struct frame *))
{
  uint32_t address = (uint32_t)handler;
  gates[vector].low = (uint16_t)address;
  gates[vector].high = (uint16_t)(address >> 16);
  gates[vector].selector = 8;
  gates[vector].zero = 0;
  gates[vector].type = 0x8E;
}

static void load_tables(void)
{
  struct table gdt = { sizeof descriptors - 1, (uint32_t)descriptors };
  struct table idt = { sizeof gates - 1, (uint32_t)gates };
  for (uint32_t v = 0; v < 256; v++) set_gate(v, v < 32 ? on_fault : on_stray);
  set_gate(32, on_timer);
  __asm__ volatile("lgdt %0\n\tljmp $8, $1f\n1:\tmovw $16, %%ax\n\tmovw %%ax, %%ds\n\tmovw %%ax, %%es\n\tmovw %%ax, %%ss\n\t"
                   "movw %%ax, %%fs\n\tmovw %%ax, %%gs\n\tlidt %1" ::"m"(gdt), "m"(idt) : "eax", "memory");
}

void machine_start(void (*on_tick)(void))
{
  const uint32_t divisor = 1193182u / TICK_HZ;
  tick = on_tick;
  load_tables();
  out8(0x20, 0x11); out8(0xA0, 0x11);  /* both 8259s: begin, */
  out8(0x21, 32);   out8(0xA1, 40);    /* vectors 32 and 40, */
  out8(0x21, 4);    out8(0xA1, 2);     /* cascaded on line 2, */
  out8(0x21, 1);    out8(0xA1, 1);     /* 8086 mode, */
  out8(0x21, 0xFE); out8(0xA1, 0xFF);  /* all but the timer masked */
  out8(0x43, 0x34);                    /* PIT channel 0, rate generator */
  out8(0x40, (uint8_t)divisor); out8(0x40, (uint8_t)(divisor >> 8));
  __asm__ volatile("sti");
}

void machine_idle(void) { __asm__ volatile("hlt"); }
