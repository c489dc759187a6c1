/*
 * lab-wan IFACE_A IFACE_B CONTROL_SOCKET: a long line between two Ethernet interfaces of this network namespace.
 *
 * Packet sockets with virtio headers carry super-packets unsegmented, many to a system call, each with the time the kernel saw it.
 * Because that time, not ours, is what the delay counts from, packets need not be fetched at once: while anything is on the way the loop
 * wakes at most every WAKE_NS, takes what has come and hands over what is due. Idle, it sleeps. One thread; real-time priority, since it
 * stands for hardware; all memory is taken at the start.
 */
#define _GNU_SOURCE
#include "emulator.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32
#define WAKE_NS 150000ull       /* at least this between two wake-ups: bounds their number under load; a lone packet is not held up */
#define FETCH_NS 1000000ull     /* longest time that packets wait in the kernel while others are on the way */
#define AIM_MAX_NS 300000ull    /* how much earlier than due we aim, to make up for a machine that wakes us late */
#define LATE_NS 1000000ull
#define SOCKET_BUFFER (64 << 20)

static struct line lines[2];
static int sockets[2];
static uint64_t aim_ns; /* mean lateness of our own wake-ups */
static uint8_t buffers[BATCH][sizeof(struct virtio_net_hdr) + FRAME_MAX];

static uint64_t clock_ns(clockid_t id)
{
  struct timespec t;
  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
  fprintf(stderr, "lab-wan: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int open_interface(const char *name)
{
  struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name) };
  const int one = 1, size = SOCKET_BUFFER;
  if (address.sll_ifindex == 0) fail(name);
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("packet socket");
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) < 0) fail("PACKET_VNET_HDR");
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) < 0) fail("PACKET_IGNORE_OUTGOING");
  if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) < 0) fail("PACKET_QDISC_BYPASS");
  if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) < 0) fail("SO_TIMESTAMPNS");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0) fail("SO_RCVBUFFORCE");
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0) fail("SO_SNDBUFFORCE");
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
  return fd;
}

/* The kernel's receive time (real time) on our clock; a step of the real-time clock must not throw packets about. */
static uint64_t arrival(struct msghdr *message, uint64_t now, int64_t to_monotonic)
{
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
    struct timespec t;
    memcpy(&t, CMSG_DATA(c), sizeof t);
    uint64_t at = (uint64_t)((int64_t)((uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec) + to_monotonic);
    if (at <= now && now - at < 200000000ull) return at;
  }
  return now;
}

static void receive(int i)
{
  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  union { struct cmsghdr align; char bytes[64]; } control[BATCH];
  for (int round = 0; round < 16; round++) {
    for (int m = 0; m < BATCH; m++) {
      parts[m] = (struct iovec){ buffers[m], sizeof buffers[m] };
      messages[m].msg_hdr = (struct msghdr){ .msg_iov = &parts[m], .msg_iovlen = 1, .msg_control = control[m].bytes, .msg_controllen = sizeof control[m].bytes };
    }
    int got = recvmmsg(sockets[i], messages, BATCH, MSG_DONTWAIT, NULL);
    if (got <= 0) return;
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    int64_t to_monotonic = (int64_t)now - (int64_t)clock_ns(CLOCK_REALTIME);
    for (int m = 0; m < got; m++) {
      const struct virtio_net_hdr *info = (const struct virtio_net_hdr *)buffers[m];
      if (messages[m].msg_len <= sizeof *info || (messages[m].msg_hdr.msg_flags & MSG_TRUNC)) {
        lines[i].counters.dropped_other++;
        continue;
      }
      line_offer(&lines[i], arrival(&messages[m].msg_hdr, now, to_monotonic), info, buffers[m] + sizeof *info, messages[m].msg_len - (uint32_t)sizeof *info);
    }
    if (got < BATCH) return;
  }
}

static void count_delivery(struct line *line, const struct piece *piece, uint64_t now)
{
  struct counters *c = &line->counters;
  uint64_t late = now > piece->due_ns ? now - piece->due_ns : 0;
  c->deliveries++;
  c->delivered_packets += piece->packets;
  c->delivered_bytes += piece->bytes;
  c->late_sum_ns += late;
  if (late > LATE_NS) c->late++;
  if (late > c->late_max_ns) c->late_max_ns = late;
}

/* Hands over what is due; what the interface will not take now stays and is tried again. */
static void deliver(int i, uint64_t now)
{
  struct line *line = &lines[i];
  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  for (;;) {
    unsigned ready = 0;
    while (ready < BATCH && ready < line->count && line_at(line, ready)->due_ns <= now + aim_ns) {
      struct piece *piece = line_at(line, ready);
      parts[ready] = (struct iovec){ line->arena + piece->offset, piece->length };
      messages[ready].msg_hdr = (struct msghdr){ .msg_iov = &parts[ready], .msg_iovlen = 1 };
      ready++;
    }
    if (ready == 0) return;
    int sent = sendmmsg(sockets[1 - i], messages, ready, MSG_DONTWAIT);
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)) return;
    if (sent <= 0) {
      /* A frame the kernel refuses for good (the interface is down, say) is lost, as on a real line. */
      line->counters.dropped_other += line_first(line)->packets;
      line_done(line, 1);
      continue;
    }
    for (int m = 0; m < sent; m++) count_delivery(line, line_at(line, (uint32_t)m), now);
    line_done(line, (uint32_t)sent);
  }
}

/* When to wake at the latest if nothing else happens; 0 = nothing is on the way. */
static uint64_t next_due(void)
{
  uint64_t due = 0;
  for (int i = 0; i < 2; i++) {
    struct piece *piece = line_first(&lines[i]);
    if (piece && (due == 0 || piece->due_ns < due)) due = piece->due_ns;
  }
  return due;
}

/* Packets may wait in the kernel as long as the delay they are to have anyway leaves time to spare. */
static bool may_fetch_later(void)
{
  return lines[0].settings.delay_ns >= 4 * FETCH_NS;
}

/* A halted processor can take a fraction of a millisecond to wake. Aiming that much earlier makes the mean error of a delivery zero. */
static void learn_lateness(uint64_t late_ns)
{
  if (late_ns > AIM_MAX_NS) late_ns = AIM_MAX_NS;
  aim_ns = aim_ns - aim_ns / 16 + late_ns / 16;
}

static void wait_for_work(int control, uint64_t now)
{
  struct pollfd polled[3] = { { control_descriptor(control, now), POLLIN, 0 }, { sockets[0], POLLIN, 0 }, { sockets[1], POLLIN, 0 } };
  static uint64_t last_wake;
  uint64_t due = next_due(), until = due > last_wake + WAKE_NS ? due : last_wake + WAKE_NS;
  bool busy = due != 0, lazy = busy && may_fetch_later();
  uint64_t sleep = until > now + aim_ns ? until - aim_ns - now : 0;
  if (lazy && sleep > FETCH_NS) sleep = FETCH_NS;
  if (!busy) sleep = CONTROL_PATIENCE_NS;
  struct timespec timeout = { (time_t)(sleep / 1000000000ull), (long)(sleep % 1000000000ull) };
  int ready = ppoll(polled, lazy ? 1 : 3, busy || control_waits() ? &timeout : NULL, NULL);
  last_wake = clock_ns(CLOCK_MONOTONIC);
  if (ready == 0 && sleep > 0) learn_lateness(last_wake - now - sleep);
  if (ready > 0 && polled[0].revents) control_serve(control, lines, last_wake);
}

static void become_hardware(void)
{
  struct sched_param priority = { .sched_priority = 50 };
  prctl(PR_SET_TIMERSLACK, 1000UL);
  if (sched_setscheduler(0, SCHED_FIFO, &priority) < 0) fprintf(stderr, "lab-wan: no real-time priority (%s): times will be less exact\n", strerror(errno));
}

int main(int argc, char **argv)
{
  if (argc != 4) {
    fprintf(stderr, "usage: lab-wan IFACE_A IFACE_B CONTROL_SOCKET\n");
    return 2;
  }
  for (int i = 0; i < 2; i++) {
    sockets[i] = open_interface(argv[1 + i]);
    line_open(&lines[i], (uint64_t)i + 1);
    struct settings open_line = { .queue_ns = 1000000 };
    line_set(&lines[i], &open_line);
  }
  int control = control_open(argv[3]);
  if (control < 0) fail(argv[3]);
  become_hardware();
  for (;;) {
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < 2; i++) line_is_out(&lines[i], now);
    for (int i = 0; i < 2; i++) receive(i);
    now = clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < 2; i++) deliver(i, now);
    wait_for_work(control, now);
  }
}
