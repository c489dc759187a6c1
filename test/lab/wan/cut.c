/*
 * Super-packets. Segmentation offload hands us up to 64 KiB of TCP or UDP payload behind one header; on a real line these are separate
 * packets. shape_of says which, cut makes a valid smaller super-packet out of a run of them: lengths, IP identification, TCP sequence
 * number, flags and the pseudo-header sum that checksum offload starts from are put right.
 */
#include "emulator.h"
#include <arpa/inet.h>
#include <string.h>

#define ETHERNET 14u
#define TCP_FIN_PSH 0x09
#define TCP_CWR 0x80

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static void put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static void put32(uint8_t *p, uint32_t v) { put16(p, v >> 16); put16(p + 2, v & 0xFFFF); }

static uint32_t fold(uint32_t sum)
{
  while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
  return sum;
}

static uint32_t add_words(uint32_t sum, const uint8_t *p, uint32_t bytes)
{
  for (uint32_t i = 0; i < bytes; i += 2) sum += get16(p + i);
  return sum;
}

/* False: a frame that claims to be segmented but is not TCP or UDP over IPv4 or IPv6 as we know it. */
bool shape_of(const struct virtio_net_hdr *info, const uint8_t *frame, uint32_t length, struct shape *shape)
{
  uint8_t kind = info->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
  *shape = (struct shape){ .segments = 1, .payload_bytes = length };
  if (kind == VIRTIO_NET_HDR_GSO_NONE) return true;
  if (length < ETHERNET + 40 || info->gso_size == 0) return false;
  uint32_t type = get16(frame + 12), transport;
  if (type == 0x0800) transport = ETHERNET + (frame[ETHERNET] & 15u) * 4;
  else if (type == 0x86DD) transport = ETHERNET + 40;
  else return false;
  if (transport + 8 > length) return false;
  if (kind == VIRTIO_NET_HDR_GSO_UDP_L4) {
    shape->header_bytes = transport + 8;
  } else if (kind == VIRTIO_NET_HDR_GSO_TCPV4 || kind == VIRTIO_NET_HDR_GSO_TCPV6) {
    if (transport + 20 > length) return false;
    shape->header_bytes = transport + (frame[transport + 12] >> 4) * 4u;
  } else {
    return false;
  }
  if (shape->header_bytes >= length) return false;
  shape->segment_bytes = info->gso_size;
  shape->payload_bytes = length - shape->header_bytes;
  shape->segments = (shape->payload_bytes + shape->segment_bytes - 1) / shape->segment_bytes;
  return true;
}

static uint32_t payload_of(const struct shape *shape, uint32_t first, uint32_t count)
{
  uint32_t from = first * shape->segment_bytes, to = from + count * shape->segment_bytes;
  return (to > shape->payload_bytes ? shape->payload_bytes : to) - from;
}

/* What one wire packet takes on the line, everything counted; short packets are padded as Ethernet does. */
uint32_t wire_bytes(const struct shape *shape, uint32_t length, uint32_t segment)
{
  uint32_t bytes = shape->segments == 1 ? length : shape->header_bytes + payload_of(shape, segment, 1);
  return (bytes < 60 ? 60 : bytes) + ETHERNET_EXTRA;
}

size_t cut_size(const struct shape *shape, uint32_t length, uint32_t first, uint32_t count)
{
  if (shape->segments == count) return sizeof(struct virtio_net_hdr) + length;
  return sizeof(struct virtio_net_hdr) + shape->header_bytes + payload_of(shape, first, count);
}

static void fix_ip(uint8_t *frame, uint32_t total, uint32_t first)
{
  uint8_t *ip = frame + ETHERNET;
  if (get16(frame + 12) == 0x86DD) {
    put16(ip + 4, total - ETHERNET - 40);
    return;
  }
  put16(ip + 2, total - ETHERNET);
  put16(ip + 4, get16(ip + 4) + first);
  put16(ip + 10, 0);
  put16(ip + 10, ~fold(add_words(0, ip, (ip[0] & 15u) * 4)) & 0xFFFF);
}

/* With checksum offload the transport checksum field holds the folded pseudo-header sum, which includes the length. */
static void fix_pseudo_sum(uint8_t *frame, uint32_t transport, uint32_t check_at, uint32_t bytes, uint8_t protocol)
{
  uint32_t sum = protocol + bytes;
  if (get16(frame + 12) == 0x86DD) sum = add_words(sum, frame + ETHERNET + 8, 32);
  else sum = add_words(sum, frame + ETHERNET + 12, 8);
  put16(frame + transport + check_at, fold(sum));
}

static void fix_transport(uint8_t *frame, uint32_t total, const struct shape *shape, uint32_t first, bool last, bool udp)
{
  uint32_t transport = ETHERNET + (get16(frame + 12) == 0x86DD ? 40 : (frame[ETHERNET] & 15u) * 4);
  uint8_t *head = frame + transport;
  if (udp) {
    put16(head + 4, total - transport);
    fix_pseudo_sum(frame, transport, 6, total - transport, 17);
    return;
  }
  put32(head + 4, get32(head + 4) + first * shape->segment_bytes);
  if (!last) head[13] &= (uint8_t)~TCP_FIN_PSH;
  if (first > 0) head[13] &= (uint8_t)~TCP_CWR;
  fix_pseudo_sum(frame, transport, 16, total - transport, 6);
}

/* Writes virtio header and frame for the packets first … first+count-1; returns the bytes written (see cut_size). */
uint32_t cut(const struct virtio_net_hdr *info, const uint8_t *frame, uint32_t length, const struct shape *shape, uint32_t first, uint32_t count, uint8_t *out)
{
  struct virtio_net_hdr head = *info;
  uint8_t *to = out + sizeof head;
  if (shape->segments == count) {
    memcpy(out, &head, sizeof head);
    memcpy(to, frame, length);
    return (uint32_t)sizeof head + length;
  }
  uint32_t payload = payload_of(shape, first, count), total = shape->header_bytes + payload;
  bool udp = (info->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP_L4;
  if (payload <= shape->segment_bytes) {
    head.gso_type = VIRTIO_NET_HDR_GSO_NONE;
    head.gso_size = 0;
  }
  memcpy(out, &head, sizeof head);
  memcpy(to, frame, shape->header_bytes);
  memcpy(to + shape->header_bytes, frame + shape->header_bytes + first * shape->segment_bytes, payload);
  fix_ip(to, total, first);
  fix_transport(to, total, shape, first, first + count == shape->segments, udp);
  return (uint32_t)sizeof head + total;
}
