/*
 * The pages, and what must be in them.
 *
 * The content of a page is a function of (seed, page number, generation). Generations are kept in a table of their own, which is
 * migrated like everything else: a page that arrives older or newer than its generation, torn, or exchanged with another, is found.
 */
#include "guest.h"

#define PAGE_WORDS 1024u
#define DATA_START (16u << 20)
#define KEEP_FREE_KIB 64u /* ACPI tables at the top of memory */

static uint32_t *const generations = (uint32_t *)(2u << 20); /* 4 bytes a page: 3 GiB fit below DATA_START */
static uint32_t pages, working_set;
static uint32_t choice = 2463534242u;

static inline uint32_t xorshift(uint32_t x)
{
  x ^= x << 13;
  x ^= x >> 17;
  return x ^ (x << 5);
}

static inline uint32_t mix(uint32_t x)
{
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

#define CHANGED_WORDS 16u /* of a page that changes little */

enum kind { ZERO, REPEAT, LITTLE, NOISE };

static enum kind kind_of(uint32_t page)
{
  uint32_t lot = mix(page ^ 0x5bd1e995u) % 100;
  if (lot < options.zero_percent) return ZERO;
  lot -= options.zero_percent;
  if (lot < options.repeat_percent) return REPEAT;
  return lot - options.repeat_percent < options.little_percent ? LITTLE : NOISE;
}

static uint32_t seed_of(uint32_t page, uint32_t generation)
{
  uint32_t s = mix(page * 0x9E3779B1u ^ mix(generation + options.seed));
  return s ? s : 1;
}

static uint32_t *data_of(uint32_t page) { return (uint32_t *)(DATA_START + (page << 12)); }

/* The seed is added so that two pages that meet in xorshift's one cycle still share no run of words. */
static inline uint32_t next_noise(uint32_t *x, uint32_t seed) { return (*x = xorshift(*x)) + seed; }

static void write_page(uint32_t page, uint32_t generation)
{
  uint32_t *word = data_of(page), seed = seed_of(page, generation), x = seed;
  switch (kind_of(page)) {
  case ZERO:
    for (uint32_t i = 0; i < PAGE_WORDS; i++) word[i] = 0;
    break;
  case REPEAT:
    for (uint32_t i = 0; i < PAGE_WORDS; i++) word[i] = seed;
    break;
  case LITTLE:
    if (generation == 1) for (uint32_t i = 0; i < PAGE_WORDS; i++) word[i] = next_noise(&x, seed);
    for (uint32_t i = 0; i < CHANGED_WORDS; i++) word[i] = seed;
    break;
  case NOISE:
    for (uint32_t i = 0; i < PAGE_WORDS; i++) word[i] = next_noise(&x, seed);
    break;
  }
}

static int page_is_good(uint32_t page)
{
  uint32_t *word = data_of(page), seed = seed_of(page, generations[page]), x = seed, wrong = 0;
  switch (kind_of(page)) {
  case ZERO:
    for (uint32_t i = 0; i < PAGE_WORDS; i++) wrong |= word[i];
    break;
  case REPEAT:
    for (uint32_t i = 0; i < PAGE_WORDS; i++) wrong |= word[i] ^ seed;
    break;
  case LITTLE: {
    uint32_t first = seed_of(page, 1), kept = first;
    for (uint32_t i = 0; i < PAGE_WORDS; i++) {
      uint32_t noise = next_noise(&kept, first);
      wrong |= word[i] ^ (i < CHANGED_WORDS ? seed : noise);
    }
    break;
  }
  case NOISE:
    for (uint32_t i = 0; i < PAGE_WORDS; i++) wrong |= word[i] ^ next_noise(&x, seed);
    break;
  }
  return wrong == 0;
}

uint32_t memory_fill(uint32_t memory_kib)
{
  uint32_t available = (memory_kib - KEEP_FREE_KIB - (DATA_START >> 10)) / 4;
  pages = options.fill_mib << 8;
  if (pages > available) pages = available;
  working_set = options.working_set_mib << 8;
  if (working_set == 0 || working_set > pages) working_set = pages;
  for (uint32_t p = 0; p < pages; p++) {
    generations[p] = 1;
    write_page(p, 1);
  }
  return pages;
}

void memory_dirty_one(void)
{
  choice = xorshift(choice);
  uint32_t page = choice % working_set;
  write_page(page, ++generations[page]);
  life.page_writes++;
}

struct verdict memory_verify(void)
{
  struct verdict v = { pages, 0, 0xFFFFFFFFu };
  for (uint32_t p = 0; p < pages; p++) {
    if (page_is_good(p)) continue;
    if (v.bad++ == 0) v.first_bad = p;
  }
  return v;
}
