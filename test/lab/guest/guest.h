/*
 * The lab's guest: what its parts share.
 *
 * One program, no operating system: machine.c owns the processor (descriptor tables, timer, ports), memory.c the pages and what
 * must be in them, disk.c the IDE disk, nic.c the heartbeat frames, console.c the serial line, guest.c the loop that joins them.
 * The timer interrupt does nothing but count and send heartbeats; all writing and checking is done by the loop, so a page or
 * sector is never seen half written.
 */
#ifndef LAB_GUEST_H
#define LAB_GUEST_H

#include <stdint.h>

#define TICK_HZ 200u /* timer interrupts, heartbeats: one each 5 ms */

/* What the command line asked for (`key=value`, blanks between). */
struct options {
  uint32_t fill_mib;         /* memory filled and checked */
  uint32_t working_set_mib;  /* the part of it that is written to afterwards; 0 = all */
  uint32_t dirty_pages;      /* pages rewritten per second */
  uint32_t zero_percent;     /* pages that stay zero */
  uint32_t repeat_percent;   /* pages that a compressor makes small */
  uint32_t little_percent;   /* pages of which a rewrite changes a few words only */
  uint32_t disk_mib;         /* part of the IDE disk that is written to; 0 = leave the disk alone */
  uint32_t disk_sectors;     /* sectors written per second */
  uint32_t seed;             /* makes the content of two guests differ */
  uint8_t uuid[16];          /* named in every heartbeat */
};

extern struct options options;

/* Survives only in memory: gone after a reboot, which is how a reboot is told from a migration. */
struct life {
  volatile uint64_t heartbeats; /* ticks since the start; only grows */
  uint64_t page_writes;
  uint64_t sector_writes;
  uint8_t nonce[16]; /* put in from outside while the guest runs; zero until then */
};

extern struct life life;

/* machine.c */
static inline void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static inline void out32(uint16_t port, uint32_t value) { __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port)); }
static inline uint8_t in8(uint16_t port) { uint8_t v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline uint16_t in16(uint16_t port) { uint16_t v; __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline uint32_t in32(uint16_t port) { uint32_t v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }
void machine_start(void (*on_tick)(void));
void machine_idle(void); /* sleep until the next interrupt */

/* memory.c */
struct verdict { uint32_t checked, bad, first_bad; };
uint32_t memory_fill(uint32_t memory_kib); /* returns the number of pages */
void memory_dirty_one(void);
struct verdict memory_verify(void);

/* disk.c */
uint32_t disk_open(void); /* returns the sectors in use, 0 without a disk */
void disk_write_one(void);
struct verdict disk_verify(void);
extern uint32_t disk_errors;

/* nic.c */
int nic_open(void);
void nic_heartbeat(void);

/* console.c */
void console_open(void);
int console_line(char *line, uint32_t size); /* 1 when a whole line has come */
void console_text(const char *text);
void console_field(const char *name, uint64_t value); /* " name=<hex>" */
void console_bytes(const char *name, const uint8_t *bytes, uint32_t count);

#endif
