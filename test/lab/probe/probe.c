/*
 * lab-probe ADDRESS COUNT: round trips of COUNT pings to ADDRESS, one line of microseconds each.
 *
 * The other end's kernel answers, and the time of arrival is the kernel's, so no process has to wake up within what is measured: it is the
 * line and nothing else. (A ping timed by two processes is half a millisecond longer where halted processors wake slowly.)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip_icmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what)
{
  fprintf(stderr, "lab-probe: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t to_ns(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }

static uint16_t checksum(const uint16_t *words, size_t bytes)
{
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes / 2; i++) sum += words[i];
  while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
  return (uint16_t)~sum;
}

/* Waits for the answer to `sequence`; its kernel time in nanoseconds, or -1 after the socket's time-out. */
static int64_t answer(int fd, uint16_t id, uint16_t sequence)
{
  for (;;) {
    uint8_t data[256];
    union { struct cmsghdr align; char bytes[64]; } control;
    struct iovec part = { data, sizeof data };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
    ssize_t got = recvmsg(fd, &message, 0);
    if (got < 0) return -1;
    const struct icmphdr *icmp = (const struct icmphdr *)(data + (data[0] & 15) * 4);
    if (got < 28 || icmp->type != ICMP_ECHOREPLY || icmp->un.echo.id != id || icmp->un.echo.sequence != sequence) continue;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
      struct timespec t;
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
      memcpy(&t, CMSG_DATA(c), sizeof t);
      return to_ns(t);
    }
  }
}

int main(int argc, char **argv)
{
  struct sockaddr_in to = { .sin_family = AF_INET };
  const struct timeval timeout = { 3, 0 };
  const int one = 1;
  if (argc != 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
    fprintf(stderr, "usage: lab-probe ADDRESS COUNT\n");
    return 2;
  }
  int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (fd < 0) fail("raw socket");
  if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) < 0) fail("SO_TIMESTAMPNS");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0) fail("SO_RCVTIMEO");
  uint16_t id = (uint16_t)getpid();
  for (int i = 0; i < atoi(argv[2]); i++) {
    struct { struct icmphdr head; uint8_t data[48]; } echo = { .head = { .type = ICMP_ECHO, .un.echo = { .id = id, .sequence = (uint16_t)i } } };
    struct timespec sent;
    echo.head.checksum = checksum((const uint16_t *)&echo, sizeof echo);
    clock_gettime(CLOCK_REALTIME, &sent);
    if (sendto(fd, &echo, sizeof echo, 0, (struct sockaddr *)&to, sizeof to) < 0) fail("sendto");
    int64_t came = answer(fd, id, (uint16_t)i);
    if (came >= 0) printf("%.1f\n", (double)(came - to_ns(sent)) / 1000);
    usleep(20000);
  }
  return 0;
}
