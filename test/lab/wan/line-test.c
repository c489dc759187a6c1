/*
 * lab-wan-test: the model of the line and the cutting of super-packets, without a network. Prints what failed; exit code 0 if nothing did.
 *
 * Super-packets are made by hand, with known content; whatever comes out is taken apart again and must be, packet by packet, what a
 * network card would have sent.
 */
#include "emulator.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;
#define CHECK(condition, ...) do { if (!(condition)) { failures++; printf("%s:%d: %s: ", __FILE__, __LINE__, #condition); printf(__VA_ARGS__); printf("\n"); } } while (0)

#define MSS 1448u
#define HEADERS 66u /* Ethernet 14, IPv4 20, TCP 32 */
#define SEQUENCE 0xFFFFF000u /* wraps inside the super-packet */

static uint32_t at16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static uint32_t at32(const uint8_t *p) { return at16(p) << 16 | at16(p + 2); }

static void put_sum(uint8_t *to, const uint8_t *from, uint32_t bytes, uint32_t sum)
{
  for (uint32_t i = 0; i < bytes; i += 2) sum += at16(from + i);
  while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
  to[0] = (uint8_t)~(sum >> 8);
  to[1] = (uint8_t)~sum;
}

static uint32_t make_tcp(uint8_t *frame, uint32_t payload, struct virtio_net_hdr *info)
{
  static const uint8_t head[HEADERS] = {
    2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,
    0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    0x1F, 0x90, 0x23, 0x28, 0xFF, 0xFF, 0xF0, 0x00, 0, 0, 0, 1, 0x80, 0x99, 1, 0, 0, 0, 0, 0, /* ACK PSH FIN CWR */
    1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2,
  };
  memcpy(frame, head, HEADERS);
  for (uint32_t i = 0; i < payload; i++) frame[HEADERS + i] = (uint8_t)(i * 7 + i / 251);
  frame[16] = (uint8_t)((payload + HEADERS - 14) >> 8);
  frame[17] = (uint8_t)(payload + HEADERS - 14);
  put_sum(frame + 24, frame + 14, 20, 0);
  put_sum(frame + 50, frame + 26, 8, 6 + payload + HEADERS - 34);
  frame[50] = (uint8_t)~frame[50]; /* with offload the field holds the sum itself, not its complement */
  frame[51] = (uint8_t)~frame[51];
  *info = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .hdr_len = HEADERS, .gso_size = MSS, .csum_start = 34, .csum_offset = 16 };
  return HEADERS + payload;
}

/* One's complement sum over the IPv4 header: 0xFFFF when right. */
static uint32_t ip_sum(const uint8_t *frame)
{
  uint32_t sum = 0;
  for (int i = 14; i < 34; i += 2) sum += at16(frame + i);
  while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
  return sum;
}

/* Checks one piece; returns how many payload bytes it carries. */
static uint32_t check_piece(const uint8_t *data, uint32_t length, uint32_t first, bool last, const uint8_t *whole)
{
  struct virtio_net_hdr info;
  const uint8_t *frame = data + sizeof info;
  memcpy(&info, data, sizeof info);
  uint32_t total = length - (uint32_t)sizeof info, payload = total - HEADERS, tcp = total - 34;
  uint32_t pseudo = (0x0A00u + 1 + 0x0A00u + 2 + 6 + tcp);
  while (pseudo >> 16) pseudo = (pseudo & 0xFFFF) + (pseudo >> 16);
  CHECK(at16(frame + 16) == total - 14, "IP length %u for a frame of %u", at16(frame + 16), total);
  CHECK(ip_sum(frame) == 0xFFFF, "IP checksum");
  CHECK(at16(frame + 18) == ((0x1234 + first) & 0xFFFF), "IP identification %x", at16(frame + 18));
  CHECK(at32(frame + 38) == SEQUENCE + first * MSS, "sequence %x of piece %u", at32(frame + 38), first);
  CHECK(((frame[47] & 0x09) == 0x09) == last, "FIN and PSH belong to the last packet only (%x)", frame[47]);
  CHECK(((frame[47] & 0x80) == 0x80) == (first == 0), "CWR belongs to the first packet only (%x)", frame[47]);
  CHECK(at16(frame + 50) == pseudo, "pseudo-header sum %x, not %x", at16(frame + 50), pseudo);
  CHECK(memcmp(frame + HEADERS, whole + HEADERS + first * MSS, payload) == 0, "payload of piece %u", first);
  CHECK((info.gso_type == VIRTIO_NET_HDR_GSO_NONE) == (payload <= MSS), "gso type %u of %u bytes", info.gso_type, payload);
  return payload;
}

static void test_cut(void)
{
  static uint8_t whole[FRAME_MAX], out[FRAME_MAX + 64];
  struct virtio_net_hdr info;
  struct shape shape;
  uint32_t payload = 10 * MSS + 100, length = make_tcp(whole, payload, &info);
  CHECK(shape_of(&info, whole, length, &shape), "a TCP super-packet is known");
  CHECK(shape.segments == 11 && shape.header_bytes == HEADERS, "%u segments behind %u", shape.segments, shape.header_bytes);
  CHECK(wire_bytes(&shape, length, 0) == MSS + HEADERS + 24, "a full packet takes %u", wire_bytes(&shape, length, 0));
  CHECK(wire_bytes(&shape, length, 10) == 100 + HEADERS + 24, "the last takes %u", wire_bytes(&shape, length, 10));
  for (uint32_t first = 0; first < 11; first++) {
    for (uint32_t count = 1; first + count <= 11 && count < 11; count++) {
      uint32_t made = cut(&info, whole, length, &shape, first, count, out);
      CHECK(made == cut_size(&shape, length, first, count), "size of %u+%u", first, count);
      check_piece(out, made, first, first + count == 11, whole);
    }
  }
  CHECK(cut(&info, whole, length, &shape, 0, 11, out) == sizeof info + length && !memcmp(out + sizeof info, whole, length), "whole frames pass untouched");
  info.gso_type = 99;
  CHECK(!shape_of(&info, whole, length, &shape), "unknown segmentation is refused");
}

static void test_small(void)
{
  uint8_t frame[64] = { 0 };
  struct virtio_net_hdr info = { 0 };
  struct shape shape;
  CHECK(shape_of(&info, frame, 42, &shape) && wire_bytes(&shape, 42, 0) == 84, "42 bytes are padded to 60 and take 84");
}

static void test_rate_and_queue(void)
{
  static uint8_t whole[FRAME_MAX];
  static struct line line;
  struct virtio_net_hdr info;
  struct settings s = { .rate_bits = 1000000000, .delay_ns = 50000000, .queue_ns = 1000000 };
  uint32_t length = make_tcp(whole, 10 * MSS, &info);
  line_open(&line, 1);
  line_set(&line, &s);
  line_offer(&line, 1000, &info, whole, length);
  CHECK(line.count == 1 && line_first(&line)->packets == 10, "%u pieces", line.count);
  CHECK(line_first(&line)->due_ns == 1000 + 10 * 12304 + 50000000, "due %lu", line_first(&line)->due_ns);
  /* 123 µs of line time each: eight fill the millisecond of queue, and only as many packets as still fit get in. */
  for (int i = 0; i < 20; i++) line_offer(&line, 1000, &info, whole, length);
  CHECK(line.counters.packets == 210, "%lu packets", line.counters.packets);
  CHECK(line.counters.dropped_queue == 210 - 82, "%lu dropped", line.counters.dropped_queue);
  CHECK(line.counters.queue_max_ns <= 1000000, "queue %lu", line.counters.queue_max_ns);
  uint64_t before = 0, packets = 0;
  while (line.count) {
    CHECK(line_first(&line)->due_ns >= before, "order");
    before = line_first(&line)->due_ns;
    packets += line_first(&line)->packets;
    line_done(&line, 1);
  }
  CHECK(packets == 82, "%lu came through", packets);
}

/* A rate that does not divide: over a long run not a nanosecond may be lost. */
static void test_exact_clock(void)
{
  static uint8_t whole[FRAME_MAX];
  static struct line line;
  struct virtio_net_hdr info;
  struct settings s = { .rate_bits = 7000000, .queue_ns = ~0ull };
  uint32_t length = make_tcp(whole, MSS, &info);
  info.gso_type = VIRTIO_NET_HDR_GSO_NONE;
  line_open(&line, 1);
  line_set(&line, &s);
  for (int i = 0; i < 7000; i++) {
    line_offer(&line, 0, &info, whole, length);
    line_done(&line, line.count);
  }
  CHECK(line.free_ns == 7000ull * 1538 * 8 * 1000 / 7, "7000 packets took %lu ns", line.free_ns);
}

static void test_loss(void)
{
  static uint8_t whole[FRAME_MAX];
  static struct line line;
  struct virtio_net_hdr info;
  struct settings s = { .rate_bits = 1000000000, .queue_ns = ~0ull, .loss = 429496729 /* 10 % */ };
  uint32_t length = make_tcp(whole, 40 * MSS, &info), delivered = 0, runs = 0;
  line_open(&line, 42);
  line_set(&line, &s);
  for (uint64_t i = 0; i < 2000; i++) {
    uint32_t covered = 0;
    line_offer(&line, i * 1000000, &info, whole, length);
    while (line.count) {
      struct piece *piece = line_first(&line);
      const uint8_t *frame = line.arena + piece->offset + sizeof info;
      uint32_t first = (at32(frame + 38) - SEQUENCE) / MSS;
      CHECK(first >= covered, "pieces overlap");
      covered = first + check_piece(line.arena + piece->offset, piece->length, first, first + piece->packets == 40, whole) / MSS;
      delivered += piece->packets;
      runs++;
      line_done(&line, 1);
    }
  }
  CHECK(delivered + line.counters.dropped_loss == 80000, "%u delivered, %lu lost", delivered, line.counters.dropped_loss);
  CHECK(line.counters.dropped_loss > 7600 && line.counters.dropped_loss < 8400, "%lu of 80000 lost at 10 %%", line.counters.dropped_loss);
  CHECK(runs > 4000 && delivered / runs > 3, "only what was lost is missing: %u runs", runs);
}

static void test_outage_and_memory(void)
{
  static uint8_t whole[FRAME_MAX];
  static struct line line;
  struct virtio_net_hdr info;
  struct settings s = { .rate_bits = 0, .delay_ns = 1000000, .queue_ns = ~0ull };
  uint32_t length = make_tcp(whole, 40 * MSS, &info);
  line_open(&line, 1);
  line_set(&line, &s);
  line_offer(&line, 0, &info, whole, length);
  line.outage = true;
  line.outage_end_ns = 500;
  line_drop_all(&line);
  line_offer(&line, 100, &info, whole, length);
  CHECK(line.count == 0 && line.counters.dropped_outage == 80, "%lu dropped", line.counters.dropped_outage);
  CHECK(line_is_out(&line, 499) && !line_is_out(&line, 500), "an outage ends by itself");
  /* More than the arena holds: dropped and counted, nothing overwritten. */
  for (int i = 0; i < 4000; i++) line_offer(&line, 1000, &info, whole, length);
  CHECK(line.counters.dropped_memory > 0 && line.counters.dropped_memory % 40 == 0, "%lu dropped", line.counters.dropped_memory);
  for (int round = 0; round < 3000; round++) {
    if (line.count) {
      check_piece(line.arena + line_first(&line)->offset, line_first(&line)->length, 0, true, whole);
      line_done(&line, 1 + (uint32_t)round % 2 <= line.count ? 1 + (uint32_t)round % 2 : 1);
    }
    line_offer(&line, 2000, &info, whole, length);
  }
}

int main(void)
{
  test_cut();
  test_small();
  test_rate_and_queue();
  test_exact_clock();
  test_loss();
  test_outage_and_memory();
  if (failures == 0) printf("ok\n");
  return failures > 0;
}
