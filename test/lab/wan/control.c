/*
 * The control socket: one request line a connection, one JSON answer, then closed. Requests:
 *   set rate=BITS delay=NS queue=NS jitter=NS loss=SHARE_OF_2^32      both directions
 *   outage ab|ba|both on|off|NANOSECONDS
 *   stats
 */
#define _GNU_SOURCE
#include "emulator.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int control_open(const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (strlen(path) >= sizeof address.sun_path) { errno = ENAMETOOLONG; return -1; }
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  unlink(path);
  umask(077);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 16) < 0) return -1;
  return fd;
}

static const char *do_set(char *text, struct line lines[2])
{
  struct settings s = lines[0].settings;
  for (char *save, *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
    char *value = strchr(word, '=');
    if (!value) return "a setting is name=number";
    *value++ = 0;
    uint64_t number = strtoull(value, NULL, 10);
    if (!strcmp(word, "rate")) s.rate_bits = number;
    else if (!strcmp(word, "delay")) s.delay_ns = number;
    else if (!strcmp(word, "queue")) s.queue_ns = number;
    else if (!strcmp(word, "jitter")) s.jitter_ns = number;
    else if (!strcmp(word, "loss")) s.loss = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
    else return "unknown setting";
  }
  for (int i = 0; i < 2; i++) line_set(&lines[i], &s);
  return NULL;
}

static const char *do_outage(const char *text, struct line lines[2], uint64_t now_ns)
{
  char which[8], what[24];
  if (sscanf(text, "%7s %23s", which, what) != 2) return "outage needs a direction and on, off or nanoseconds";
  for (int i = 0; i < 2; i++) {
    if (strcmp(which, "both") && strcmp(which, i ? "ba" : "ab")) continue;
    lines[i].outage = strcmp(what, "off") != 0;
    lines[i].outage_end_ns = lines[i].outage && strcmp(what, "on") ? now_ns + strtoull(what, NULL, 10) : 0;
    if (lines[i].outage) line_drop_all(&lines[i]);
  }
  return NULL;
}

static int say_line(char *out, size_t size, const char *name, const struct line *line)
{
  const struct counters *c = &line->counters;
  return snprintf(out, size,
    "\"%s\":{\"packets\":%lu,\"bytes\":%lu,\"deliveredPackets\":%lu,\"deliveredBytes\":%lu,\"droppedQueue\":%lu,\"droppedLoss\":%lu,"
    "\"droppedOutage\":%lu,\"droppedMemory\":%lu,\"droppedOther\":%lu,\"deliveries\":%lu,\"late\":%lu,\"lateMaxNs\":%lu,\"lateSumNs\":%lu,"
    "\"queueMaxNs\":%lu,\"outage\":%s}",
    name, c->packets, c->bytes, c->delivered_packets, c->delivered_bytes, c->dropped_queue, c->dropped_loss, c->dropped_outage,
    c->dropped_memory, c->dropped_other, c->deliveries, c->late, c->late_max_ns, c->late_sum_ns, c->queue_max_ns, line->outage ? "true" : "false");
}

static void do_stats(char *out, size_t size, const struct line lines[2])
{
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  uint64_t cpu = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  int used = snprintf(out, size, "{\"cpuUs\":%lu,", cpu);
  used += say_line(out + used, size - (size_t)used, "ab", &lines[0]);
  out[used++] = ',';
  used += say_line(out + used, size - (size_t)used, "ba", &lines[1]);
  snprintf(out + used, size - (size_t)used, "}\n");
}

static void answer(int fd, char *request, struct line lines[2], uint64_t now_ns)
{
  static char out[4096];
  const char *problem = "unknown request";
  if (!strcmp(request, "stats")) {
    do_stats(out, sizeof out, lines);
    problem = NULL;
  } else {
    if (!strncmp(request, "set ", 4)) problem = do_set(request + 4, lines);
    else if (!strncmp(request, "outage ", 7)) problem = do_outage(request + 7, lines, now_ns);
    if (problem) snprintf(out, sizeof out, "{\"error\":\"%s\"}\n", problem);
    else strcpy(out, "{}\n");
  }
  if (send(fd, out, strlen(out), MSG_NOSIGNAL) < 0) perror("control: answer");
}

/* The one client that is being served; nobody may hold up the line, so nothing here ever waits for it. */
static int client = -1;
static uint64_t client_end_ns;

static void drop_client(void)
{
  close(client);
  client = -1;
}

int control_descriptor(int listener, uint64_t now_ns)
{
  if (client >= 0 && now_ns > client_end_ns) drop_client();
  return client >= 0 ? client : listener;
}

bool control_waits(void)
{
  return client >= 0;
}

void control_serve(int listener, struct line lines[2], uint64_t now_ns)
{
  char request[512];
  if (client < 0) {
    client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    client_end_ns = now_ns + CONTROL_PATIENCE_NS;
    if (client < 0) return;
  }
  ssize_t got = recv(client, request, sizeof request - 1, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got > 0) {
    request[got] = 0;
    request[strcspn(request, "\n")] = 0;
    answer(client, request, lines, now_ns);
  }
  drop_client();
}
