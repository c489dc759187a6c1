/*
 * The load of the benchmarks, one process at each end of a way, cheap enough to leave the processors to what is measured.
 *
 *   load receive PORT SECONDS RATE                 takes one connection until its end, for SECONDS after its first byte at most;
 *                                                  RATE bytes a second at most, 0 is all
 *   load send HOST PORT SECONDS PATTERN CONTROL    fills a connection; PATTERN random|half, CONTROL bbr|cubic|default
 *   load answer PORT REQUEST ANSWER                answers every REQUEST bytes with ANSWER bytes until the connection ends
 *   load ask HOST PORT SECONDS PERIOD_MS REQUEST ANSWER PATIENCE   asks a question every PERIOD_MS and times each answer; after the
 *                                                  last one it waits for PATIENCE seconds at most
 *
 * Each prints one line of JSON on stdout at its end; listeners say `listening` on stderr when they do. Times are CLOCK_MONOTONIC, which
 * all namespaces of a machine share. The receiver lets the kernel throw the bytes away (MSG_TRUNC): reading is the same for all.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define SOURCE_BYTES (64u << 20) /* more than any cache holds, as a guest's memory is */
#define WRITE_BYTES (256u << 10)
#define INTERVAL_NS 100000000ll
#define MAX_INTERVALS 40000
#define MAX_ANSWERS 1000000

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* What this process has cost, so that it can be told from what others cost. */
static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static int accept_one(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4)) die("listen");
  fprintf(stderr, "listening\n");
  int fd = accept(listener, NULL, NULL);
  if (fd < 0) die("accept");
  close(listener);
  return fd;
}

static int dial(const char *host, int port, const char *control) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die(host);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect");
  /* Not earlier: connect takes the congestion control of the route, if that has one. */
  if (strcmp(control, "default") && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, control, strlen(control))) die(control);
  return fd;
}

/* Waits until fd is ready, or the deadline; 0: the deadline. */
static int ready(int fd, short events, int64_t deadline) {
  struct pollfd p = {.fd = fd, .events = events};
  for (;;) {
    int64_t left = deadline - now_ns();
    if (left <= 0) return 0;
    int n = ppoll(&p, 1, &(struct timespec){left / 1000000000, left % 1000000000}, NULL);
    if (n > 0) return 1;
    if (n < 0 && errno != EINTR) die("poll");
  }
}

static int64_t total_at[MAX_INTERVALS];

static void receive(int port, double seconds, double rate) {
  int fd = accept_one(port);
  int64_t bytes = 0, first = 0, last = 0, deadline = INT64_MAX;
  int whole = 0, intervals = 0;
  while (ready(fd, POLLIN, deadline)) {
    ssize_t n = recv(fd, NULL, rate > 0 ? 64 << 10 : 1 << 20, MSG_TRUNC | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) {
      whole = n == 0;
      break;
    }
    last = now_ns();
    if (!bytes) {
      first = last;
      deadline = first + seconds * 1e9;
    }
    for (; intervals < MAX_INTERVALS && last >= first + (intervals + 1) * INTERVAL_NS; intervals++) total_at[intervals] = bytes;
    bytes += n;
    int64_t early = rate > 0 ? first + bytes * 1e9 / rate - now_ns() : 0;
    if (early > 0) nanosleep(&(struct timespec){early / 1000000000, early % 1000000000}, NULL);
  }
  printf("{\"bytes\":%lld,\"firstByteNs\":%lld,\"lastByteNs\":%lld,\"whole\":%s,\"totalAtIntervals\":[", (long long)bytes,
         (long long)first, (long long)last, whole ? "true" : "false");
  for (int i = 0; i < intervals; i++) printf("%s%lld", i ? "," : "", (long long)total_at[i]);
  printf("],\"cpuSeconds\":%.3f}\n", cpu_seconds());
}

static uint64_t state = 0x9e3779b97f4a7c15ull;
static uint64_t next_random(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

/* `half`: every page is one half noise and one half what sparse structures look like: small numbers among zeros. */
static unsigned char *make_source(int half) {
  unsigned char *source = malloc(SOURCE_BYTES);
  if (!source) die("malloc");
  for (size_t at = 0; at < SOURCE_BYTES; at += 8) {
    uint64_t value = next_random();
    if (half && at % PAGE >= PAGE / 2) value = at % 64 ? 0 : value & 0xffff;
    memcpy(source + at, &value, 8);
  }
  return source;
}

static void send_load(const char *host, int port, double seconds, const char *pattern, const char *control) {
  unsigned char *source = make_source(!strcmp(pattern, "half"));
  int fd = dial(host, port, control);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  int64_t start = now_ns(), deadline = start + seconds * 1e9, bytes = 0;
  while (ready(fd, POLLOUT, deadline)) {
    size_t at = bytes % SOURCE_BYTES, most = SOURCE_BYTES - at;
    ssize_t n = send(fd, source + at, most < WRITE_BYTES ? most : WRITE_BYTES, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0) break; /* the receiver has had enough */
    bytes += n;
  }
  shutdown(fd, SHUT_WR);
  char end;
  while (ready(fd, POLLIN, deadline + 30000000000ll) && recv(fd, &end, 1, 0) > 0) continue;
  printf("{\"bytes\":%lld,\"startNs\":%lld,\"cpuSeconds\":%.3f}\n", (long long)bytes, (long long)start, cpu_seconds());
}

static int read_whole(int fd, char *buffer, size_t length) {
  for (size_t got = 0; got < length;) {
    ssize_t n = recv(fd, buffer + got, length - got, 0);
    if (n <= 0) return 0;
    got += n;
  }
  return 1;
}

static int write_whole(int fd, const char *buffer, size_t length) {
  for (size_t sent = 0; sent < length;) {
    ssize_t n = send(fd, buffer + sent, length - sent, MSG_NOSIGNAL);
    if (n <= 0) return 0;
    sent += n;
  }
  return 1;
}

static void quick(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void answer(int port, size_t request_bytes, size_t answer_bytes) {
  char *buffer = calloc(1, request_bytes + answer_bytes);
  int fd = accept_one(port);
  quick(fd);
  long answers = 0;
  while (read_whole(fd, buffer, request_bytes) && write_whole(fd, buffer, answer_bytes)) answers++;
  printf("{\"answers\":%ld,\"cpuSeconds\":%.3f}\n", answers, cpu_seconds());
}

/*
 * Questions are due at fixed times, whatever became of those before, and are timed from when they were due: a pause hits all that fall into it.
 * One that has no answer at the end has taken all the time until then, which is at least the patience: left out, it would flatter whoever lost it.
 */
static void ask(const char *host, int port, double seconds, double period_ms, size_t request_bytes, size_t answer_bytes, double patience) {
  char *buffer = calloc(1, request_bytes + answer_bytes);
  int64_t *took = malloc(MAX_ANSWERS * sizeof *took);
  int fd = dial(host, port, "default");
  quick(fd);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  int64_t start = now_ns(), period = period_ms * 1e6, wanted = seconds * 1e9 / period;
  if (wanted > MAX_ANSWERS) wanted = MAX_ANSWERS;
  int64_t asked = 0, answered = 0, give_up = start + wanted * period + patience * 1e9;
  size_t to_write = 0, got = 0;
  while (answered < wanted && now_ns() < give_up) {
    while (asked < wanted && now_ns() >= start + asked * period) {
      asked++;
      to_write += request_bytes;
    }
    ssize_t n = to_write ? send(fd, buffer, to_write < request_bytes ? to_write : request_bytes, MSG_NOSIGNAL) : 0;
    if (n > 0) to_write -= n;
    while ((n = recv(fd, buffer, answer_bytes - got, 0)) > 0) {
      got += n;
      if (got < answer_bytes) continue;
      got = 0;
      took[answered] = now_ns() - (start + answered * period);
      answered++;
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) die("no answer");
    ready(fd, to_write ? POLLIN | POLLOUT : POLLIN, asked < wanted ? start + asked * period : give_up);
  }
  for (int64_t end = now_ns(); answered < wanted; answered++) took[answered] = end - (start + answered * period);
  printf("{\"cpuSeconds\":%.3f,\"tookUs\":[", cpu_seconds());
  for (int64_t i = 0; i < wanted; i++) printf("%s%lld", i ? "," : "", (long long)took[i] / 1000);
  printf("]}\n");
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  const char *role = argc > 1 ? argv[1] : "";
  if (!strcmp(role, "receive") && argc == 5) receive(atoi(argv[2]), atof(argv[3]), atof(argv[4]));
  else if (!strcmp(role, "send") && argc == 7) send_load(argv[2], atoi(argv[3]), atof(argv[4]), argv[5], argv[6]);
  else if (!strcmp(role, "answer") && argc == 5) answer(atoi(argv[2]), atol(argv[3]), atol(argv[4]));
  else if (!strcmp(role, "ask") && argc == 9)
    ask(argv[2], atoi(argv[3]), atof(argv[4]), atof(argv[5]), atol(argv[6]), atol(argv[7]), atof(argv[8]));
  else {
    fprintf(stderr, "load: see the top of load.c\n");
    return 2;
  }
  return 0;
}
