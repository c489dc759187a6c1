/*
 * The lab's link emulator: what its parts share.
 *
 * emulator.c is the loop (receive, deliver, sleep), line.c the model of one direction (rate, queue, loss, delay: no input or output,
 * tested by itself), cut.c takes super-packets apart, control.c the Unix socket.
 */
#ifndef LAB_WAN_EMULATOR_H
#define LAB_WAN_EMULATOR_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* kernel 6.2; older headers lack it */
#endif

#define FRAME_MAX (65536 + 64)      /* the largest super-packet with its Ethernet header */
#define ETHERNET_EXTRA 24u          /* preamble 8, frame check 4, gap 12: with the 14 of the header, 38 per packet */
#define PIECE_MAX_NS 1000000        /* a super-packet is delivered in pieces of at most this much line time */

/* Settings of one direction. */
struct settings {
  uint64_t rate_bits;  /* line rate, bits per second; 0 = unlimited */
  uint64_t delay_ns;   /* one way */
  uint64_t queue_ns;   /* how long a packet may wait at the head of the line */
  uint64_t jitter_ns;  /* delay grows by 0 … this, order kept */
  uint32_t loss;       /* share of 2^32 */
};

struct counters {
  uint64_t packets, bytes;                     /* offered: wire packets, with Ethernet overhead */
  uint64_t delivered_packets, delivered_bytes;
  uint64_t dropped_queue, dropped_loss, dropped_outage, dropped_memory, dropped_other; /* wire packets */
  uint64_t late, late_max_ns, late_sum_ns, deliveries; /* deliveries more than a millisecond late; per frame handed over */
  uint64_t queue_max_ns;
};

/* A frame waiting for its time; the bytes lie in the direction's arena. */
struct piece {
  uint64_t due_ns;
  uint32_t offset, length;   /* in the arena, virtio header included */
  uint32_t packets, bytes;   /* wire packets in it and their bytes on the line */
};

/* One direction: a virtual clock for the line, a ring of pieces, an arena of bytes. */
struct line {
  struct settings settings;
  struct counters counters;
  uint64_t free_ns, free_rest;   /* when the line is free again; remainder of the division by the rate */
  uint64_t last_due_ns;
  uint64_t random;
  bool outage;
  uint64_t outage_end_ns;        /* 0 = until told */
  struct piece *pieces;
  uint32_t head, count, capacity;
  uint8_t *arena;
  size_t arena_size, arena_head, arena_tail;
};

/* What a frame is on the wire. */
struct shape {
  uint32_t segments;      /* wire packets */
  uint32_t header_bytes;  /* Ethernet to the end of TCP or UDP; 0 when the frame is one packet */
  uint32_t segment_bytes; /* payload of every packet but the last */
  uint32_t payload_bytes;
};

/* cut.c */
bool shape_of(const struct virtio_net_hdr *info, const uint8_t *frame, uint32_t length, struct shape *shape);
uint32_t wire_bytes(const struct shape *shape, uint32_t length, uint32_t segment);
size_t cut_size(const struct shape *shape, uint32_t length, uint32_t first, uint32_t count);
uint32_t cut(const struct virtio_net_hdr *info, const uint8_t *frame, uint32_t length, const struct shape *shape, uint32_t first, uint32_t count, uint8_t *out);

/* line.c */
void line_open(struct line *line, uint64_t seed);
void line_set(struct line *line, const struct settings *settings);
void line_offer(struct line *line, uint64_t arrived_ns, const struct virtio_net_hdr *info, const uint8_t *frame, uint32_t length);
void line_drop_all(struct line *line);
bool line_is_out(struct line *line, uint64_t now_ns);
static inline struct piece *line_first(struct line *line) { return line->count ? &line->pieces[line->head] : NULL; }
static inline struct piece *line_at(struct line *line, uint32_t i) { return &line->pieces[(line->head + i) % line->capacity]; }
void line_done(struct line *line, uint32_t count);

/* control.c */
int control_open(const char *path);
/* How long a client may take to send its line. */
#define CONTROL_PATIENCE_NS 1000000000ull
/* What to wait for: the client that is being served, else the listener. Then control_serve. */
int control_descriptor(int listener, uint64_t now_ns);
bool control_waits(void);
void control_serve(int listener, struct line lines[2], uint64_t now_ns);

#endif
