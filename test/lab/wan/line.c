/*
 * One direction of the link: no input, no output, no clock of its own.
 *
 *   arrival ─▶ queue (bounded in line time, tail drop) ─▶ line (virtual clock, integer) ─▶ loss ─▶ delay ─▶ due
 *
 * Every decision is made for each wire packet inside a super-packet. A packet's time is counted from the moment the kernel saw it, so a
 * late wake-up of this program delays nothing unless it comes later than the packet's due time. Pieces are due in the order they were
 * offered: the ring is a queue, and the arena is freed in the same order.
 */
#include "emulator.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PIECES (1u << 18)
#define ARENA_MAX ((size_t)1 << 30)
#define ARENA_MIN ((size_t)8 << 20)

static uint32_t random32(struct line *line)
{
  uint64_t x = line->random;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  line->random = x;
  return (uint32_t)((x * 0x2545F4914F6CDD1Dull) >> 32);
}

/* Reserved, not touched: only as much is ever used as the settings need (see line_set). */
static void *reserve(size_t bytes)
{
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) abort();
  return p;
}

void line_open(struct line *line, uint64_t seed)
{
  memset(line, 0, sizeof *line);
  line->random = seed * 0x9E3779B97F4A7C15ull | 1;
  line->capacity = PIECES;
  line->pieces = reserve(PIECES * sizeof *line->pieces);
  line->arena = reserve(ARENA_MAX);
  line->arena_size = ARENA_MIN;
}

void line_set(struct line *line, const struct settings *s)
{
  /* What can be in the queue and on the way, half as much again for headers and small packets, and what one wake-up brings. */
  double seconds = (double)(s->delay_ns + s->jitter_ns + s->queue_ns) / 1e9 + 0.02;
  double bytes = (s->rate_bits ? (double)s->rate_bits : 2e10) / 8 * seconds * 1.5 + (double)ARENA_MIN;
  line->settings = *s;
  line->arena_size = bytes > (double)ARENA_MAX ? ARENA_MAX : (size_t)bytes; /* taken up when the ring next wraps */
  line->free_rest = 0;
}

static uint64_t line_time(struct line *line, uint32_t bytes, uint64_t *rest)
{
  if (line->settings.rate_bits == 0) return 0;
  uint64_t work = (uint64_t)bytes * 8 * 1000000000ull + *rest;
  *rest = work % line->settings.rate_bits;
  return work / line->settings.rate_bits;
}

/* A place for `bytes` in the arena, or false. The arena is a ring; a frame never straddles its end. */
static bool arena_take(struct line *line, size_t bytes, uint32_t *offset)
{
  if (line->count == 0) line->arena_head = line->arena_tail = 0;
  if (line->arena_head >= line->arena_tail) {
    size_t limit = line->arena_size;
    if (line->arena_head + bytes <= limit) {
      *offset = (uint32_t)line->arena_head;
      line->arena_head += bytes;
      return true;
    }
    if (bytes >= line->arena_tail) return false;
    *offset = 0;
    line->arena_head = bytes;
    return true;
  }
  if (line->arena_head + bytes >= line->arena_tail) return false;
  *offset = (uint32_t)line->arena_head;
  line->arena_head += bytes;
  return true;
}

/* The packets first … first+count-1 of a frame leave the line at left_ns. */
static void emit(struct line *line, uint64_t left_ns, const struct virtio_net_hdr *info, const uint8_t *frame, uint32_t length, const struct shape *shape, uint32_t first, uint32_t count, uint32_t bytes)
{
  uint32_t offset;
  if (line->count == line->capacity || !arena_take(line, cut_size(shape, length, first, count), &offset)) {
    line->counters.dropped_memory += count;
    return;
  }
  uint64_t due = left_ns + line->settings.delay_ns;
  if (line->settings.jitter_ns) due += (uint64_t)random32(line) * line->settings.jitter_ns >> 32;
  if (due < line->last_due_ns) due = line->last_due_ns;
  line->last_due_ns = due;
  struct piece *piece = line_at(line, line->count++);
  piece->due_ns = due;
  piece->offset = offset;
  piece->length = cut(info, frame, length, shape, first, count, line->arena + offset);
  piece->packets = count;
  piece->bytes = bytes;
}

void line_offer(struct line *line, uint64_t arrived_ns, const struct virtio_net_hdr *info, const uint8_t *frame, uint32_t length)
{
  struct counters *c = &line->counters;
  struct shape shape;
  uint32_t first = 0, run = 0, run_bytes = 0;
  uint64_t run_start, left;
  if (!shape_of(info, frame, length, &shape)) {
    c->dropped_other++;
    return;
  }
  if (line->free_ns < arrived_ns) {
    line->free_ns = arrived_ns;
    line->free_rest = 0;
  }
  run_start = left = line->free_ns;
  for (uint32_t i = 0; i < shape.segments; i++) {
    uint32_t bytes = wire_bytes(&shape, length, i);
    uint64_t rest = line->free_rest, waits = line->free_ns - arrived_ns;
    uint64_t next = line->free_ns + line_time(line, bytes, &rest);
    bool keep = false;
    c->packets++;
    c->bytes += bytes;
    if (line->outage) {
      c->dropped_outage++;
    } else if (waits > line->settings.queue_ns) {
      c->dropped_queue++;
    } else {
      if (waits > c->queue_max_ns) c->queue_max_ns = waits;
      line->free_ns = next; /* a packet lost on the way has used the line */
      line->free_rest = rest;
      keep = line->settings.loss == 0 || random32(line) >= line->settings.loss;
      if (!keep) c->dropped_loss++;
    }
    if (run && (!keep || next - run_start > PIECE_MAX_NS)) {
      emit(line, left, info, frame, length, &shape, first, run, run_bytes);
      run = 0;
    }
    if (!keep) continue;
    if (run == 0) {
      first = i;
      run_bytes = 0;
      run_start = left;
    }
    run++;
    run_bytes += bytes;
    left = next;
  }
  if (run) emit(line, left, info, frame, length, &shape, first, run, run_bytes);
}

/* A cut line loses what is on it. */
void line_drop_all(struct line *line)
{
  while (line->count) {
    line->counters.dropped_outage += line_first(line)->packets;
    line_done(line, 1);
  }
  line->free_ns = line->last_due_ns = 0;
}

bool line_is_out(struct line *line, uint64_t now_ns)
{
  if (line->outage && line->outage_end_ns && now_ns >= line->outage_end_ns) line->outage = false;
  return line->outage;
}

/* The first `count` pieces are gone: their room is free. */
void line_done(struct line *line, uint32_t count)
{
  for (; count; count--) {
    line->head = (line->head + 1) % line->capacity;
    line->count--;
  }
  if (line->count == 0) {
    line->arena_head = line->arena_tail = 0;
    return;
  }
  line->arena_tail = line_first(line)->offset;
}
