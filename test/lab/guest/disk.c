/*
 * The IDE disk by programmed I/O (primary master, LBA28): sectors whose content is a function of (seed, sector, generation), like the
 * pages. Only sectors that this guest has written are checked, so an empty image of any format will do.
 */
#include "guest.h"

#define DATA 0x1F0
#define COUNT 0x1F2
#define LBA0 0x1F3
#define DEVICE 0x1F6
#define COMMAND 0x1F7
#define CONTROL 0x3F6
#define BUSY 0x80
#define REQUEST 0x08
#define ERROR 0x01
#define MAX_SECTORS (1u << 20)
/* So often the drive is asked before it counts as broken: a host whose own disk is busy takes seconds for one sector. */
#define PATIENCE 200000000u

uint32_t disk_errors;
static uint8_t *const generations = (uint8_t *)(8u << 20); /* one byte a sector, 0 = never written */
static uint32_t sectors, choice = 88172645u;
static uint16_t buffer[256];

static int wait_for(uint8_t wanted)
{
  for (uint32_t i = 0; i < PATIENCE; i++) {
    uint8_t status = in8(COMMAND);
    if (status == 0 || status == 0xFF) return 0; /* no drive */
    if (status & BUSY) continue;
    if (status & ERROR) return 0;
    if ((status & wanted) == wanted) return 1;
  }
  return 0;
}

static void address(uint32_t sector, uint8_t command)
{
  out8(DEVICE, (uint8_t)(0xE0 | ((sector >> 24) & 0x0F)));
  out8(COUNT, 1);
  for (uint16_t i = 0; i < 3; i++) out8((uint16_t)(LBA0 + i), (uint8_t)(sector >> (8 * i)));
  out8(COMMAND, command);
}

static int read_buffer(uint32_t sector, uint8_t command)
{
  address(sector, command);
  if (!wait_for(REQUEST)) return 0;
  for (uint32_t i = 0; i < 256; i++) buffer[i] = in16(DATA);
  return 1;
}

static uint32_t next(uint32_t x)
{
  x ^= x << 13;
  x ^= x >> 17;
  return x ^ (x << 5);
}

static void make(uint32_t sector, uint8_t generation, uint16_t *words)
{
  uint32_t x = (sector + 1) * 0x9E3779B1u ^ (generation * 0x85EBCA77u) ^ options.seed;
  if (x == 0) x = 1;
  for (uint32_t i = 0; i < 256; i++) { x = next(x); words[i] = (uint16_t)(x >> 8); }
}

uint32_t disk_open(void)
{
  if (options.disk_mib == 0) return 0;
  out8(CONTROL, 2); /* no interrupts */
  if (!read_buffer(0, 0xEC)) return 0;
  uint32_t capacity = buffer[60] | ((uint32_t)buffer[61] << 16);
  sectors = options.disk_mib << 11;
  if (sectors > capacity) sectors = capacity;
  if (sectors > MAX_SECTORS) sectors = MAX_SECTORS;
  for (uint32_t i = 0; i < sectors; i++) generations[i] = 0;
  return sectors;
}

void disk_write_one(void)
{
  if (sectors == 0) return;
  choice = next(choice);
  uint32_t sector = choice % sectors;
  uint8_t generation = (uint8_t)(generations[sector] == 255 ? 1 : generations[sector] + 1);
  make(sector, generation, buffer);
  address(sector, 0x30);
  if (!wait_for(REQUEST)) { disk_errors++; return; }
  const uint16_t *from = buffer;
  uint32_t words = 256;
  __asm__ volatile("rep outsw" : "+S"(from), "+c"(words) : "d"(DATA) : "memory");
  if (!wait_for(0)) { disk_errors++; return; }
  generations[sector] = generation;
  life.sector_writes++;
}

struct verdict disk_verify(void)
{
  static uint16_t expected[256];
  struct verdict v = { 0, 0, 0xFFFFFFFFu };
  for (uint32_t s = 0; s < sectors; s++) {
    if (generations[s] == 0) continue;
    uint32_t wrong = 0;
    v.checked++;
    make(s, generations[s], expected);
    if (read_buffer(s, 0x20)) {
      for (uint32_t i = 0; i < 256; i++) wrong |= (uint32_t)(buffer[i] ^ expected[i]);
    } else {
      wrong = 1;
    }
    if (wrong && v.bad++ == 0) v.first_bad = s;
  }
  return v;
}
