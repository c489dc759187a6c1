/*
 * lab-witness RING_FILE NETNS_A NETNS_B: writes down every heartbeat of every guest, with the site whose bridge it came from, the NIC
 * that sent it and the time the kernel saw it, in a ring of fixed records that anybody may map or read while we write.
 *
 * One process hears both sites, so the times are of one clock. A packet socket stays in the namespace it was made in.
 *   file: header 64 bytes { magic "LMASHB01", u32 record bytes, u32 capacity, u64 records ever written }, then the records
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CAPACITY (1u << 19)
#define ETHERTYPE 0x88B5
#define BATCH 16

struct record { uint64_t time_ns; uint8_t uuid[16]; uint64_t counter, writes; uint8_t nonce[8]; uint32_t site; uint8_t mac[6], zero[6]; };
struct header { char magic[8]; uint32_t record_bytes, capacity; _Atomic uint64_t written; uint8_t zero[40]; };
_Static_assert(sizeof(struct record) == 64, "record layout");
_Static_assert(sizeof(struct header) == 64, "header layout");

static void fail(const char *what)
{
  fprintf(stderr, "lab-witness: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int listen_in(const char *netns)
{
  const int one = 1, size = 4 << 20;
  int ns = open(netns, O_RDONLY | O_CLOEXEC);
  if (ns < 0 || setns(ns, CLONE_NEWNET) < 0) fail(netns);
  close(ns);
  int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETHERTYPE));
  if (fd < 0) fail("packet socket");
  if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) < 0) fail("SO_TIMESTAMPNS");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0) fail("SO_RCVBUFFORCE");
  return fd;
}

static uint64_t stamp(struct msghdr *message)
{
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) memcpy(&t, CMSG_DATA(c), sizeof t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void drain(int fd, uint32_t site, struct header *ring)
{
  struct record *records = (struct record *)(ring + 1);
  uint8_t data[128];
  union { struct cmsghdr align; char bytes[64]; } control;
  for (;;) {
    struct iovec part = { data, sizeof data };
    struct sockaddr_ll sender = { 0 };
    struct msghdr message = { .msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &part, .msg_iovlen = 1,
                              .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
    ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
    if (got < 0) return;
    if (got < 44 || memcmp(data, "LMHB", 4)) continue;
    uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    struct record *record = &records[written % CAPACITY];
    record->time_ns = stamp(&message);
    memcpy(record->uuid, data + 4, 16);
    memcpy(&record->counter, data + 20, 8);
    memcpy(&record->writes, data + 28, 8);
    memcpy(record->nonce, data + 36, 8);
    record->site = site;
    memcpy(record->mac, sender.sll_addr, sizeof record->mac);
    atomic_store_explicit(&ring->written, written + 1, memory_order_release);
  }
}

int main(int argc, char **argv)
{
  if (argc != 4) {
    fprintf(stderr, "usage: lab-witness RING_FILE NETNS_A NETNS_B\n");
    return 2;
  }
  const size_t bytes = sizeof(struct header) + (size_t)CAPACITY * sizeof(struct record);
  int file = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, (off_t)bytes) < 0) fail(argv[1]);
  struct header *ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (ring == MAP_FAILED) fail("mmap");
  struct pollfd polled[2] = { { listen_in(argv[2]), POLLIN, 0 }, { listen_in(argv[3]), POLLIN, 0 } };
  memcpy(ring->magic, "LMASHB01", 8);
  ring->record_bytes = sizeof(struct record);
  ring->capacity = CAPACITY;
  for (;;) {
    if (poll(polled, 2, -1) < 0 && errno != EINTR) fail("poll");
    for (uint32_t site = 0; site < 2; site++) drain(polled[site].fd, site, ring);
  }
}
