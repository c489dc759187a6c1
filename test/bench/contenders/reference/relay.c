/*
 * What one encrypted stream costs at least: a pair of relays in C that reads into 1 MiB buffers, seals with AES-256-GCM through OpenSSL,
 * writes, and the reverse at the other end. One thread, blocking calls, one direction; nothing is adapted, nothing survives a fault.
 *
 *   relay seal KEYFILE PORT HOST PORT    plaintext in, frames out
 *   relay open KEYFILE PORT HOST PORT    frames in, plaintext out
 *
 * A frame: length of the plaintext (4 bytes, big-endian), ciphertext, tag (16 bytes). The nonce is the number of the frame; a key file
 * (32 random bytes) serves one connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLAIN_BYTES (1 << 20)
#define HEADER_BYTES 4
#define TAG_BYTES 16
#define SOCKET_BUFFER_BYTES (4 << 20)

static void die(const char *what) {
  fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void check(int ok, const char *what) {
  if (!ok) die(what);
}

/* What the gateway asks of its sockets as well; without the rights for it the defaults do. */
static int tuned_socket(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1, bytes = SOCKET_BUFFER_BYTES;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  return fd;
}

static int accept_one(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  int listener = tuned_socket();
  check(!bind(listener, (struct sockaddr *)&address, sizeof address) && !listen(listener, 1), "listen");
  int fd = accept(listener, NULL, NULL);
  check(fd >= 0, "accept");
  close(listener);
  return fd;
}

static int dial(const char *host, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  check(inet_pton(AF_INET, host, &address.sin_addr) == 1, host);
  int fd = tuned_socket();
  check(!connect(fd, (struct sockaddr *)&address, sizeof address), "connect");
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3); /* not earlier: connect takes the route's */
  return fd;
}

static void write_whole(int fd, const unsigned char *data, size_t length) {
  while (length > 0) {
    ssize_t n = write(fd, data, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) pause(); /* the far side has had enough */
    data += n;
    length -= n;
  }
}

/* 0 at the end of the stream. */
static int read_whole(int fd, unsigned char *data, size_t length) {
  ssize_t n = length ? recv(fd, data, length, MSG_WAITALL) : 0;
  return n == (ssize_t)length;
}

static void next_nonce(EVP_CIPHER_CTX *context, uint64_t *frames) {
  unsigned char nonce[12] = {0};
  memcpy(nonce + 4, frames, sizeof *frames);
  ++*frames;
  check(EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, -1), "nonce");
}

static void seal(EVP_CIPHER_CTX *context, int in, int out, unsigned char *plain, unsigned char *frame) {
  uint64_t frames = 0;
  for (ssize_t n; (n = read(in, plain, PLAIN_BYTES)) > 0;) {
    uint32_t length = htonl(n);
    int done;
    memcpy(frame, &length, HEADER_BYTES);
    next_nonce(context, &frames);
    check(EVP_EncryptUpdate(context, NULL, &done, frame, HEADER_BYTES), "header");
    check(EVP_EncryptUpdate(context, frame + HEADER_BYTES, &done, plain, n), "seal");
    check(EVP_EncryptFinal_ex(context, frame + HEADER_BYTES + n, &done), "seal");
    check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, frame + HEADER_BYTES + n), "tag");
    write_whole(out, frame, HEADER_BYTES + n + TAG_BYTES);
  }
}

static void open_frames(EVP_CIPHER_CTX *context, int in, int out, unsigned char *plain, unsigned char *frame) {
  uint64_t frames = 0;
  while (read_whole(in, frame, HEADER_BYTES)) {
    uint32_t length;
    int done;
    memcpy(&length, frame, HEADER_BYTES);
    length = ntohl(length);
    check(length <= PLAIN_BYTES && read_whole(in, frame + HEADER_BYTES, length + TAG_BYTES), "frame");
    next_nonce(context, &frames);
    check(EVP_DecryptUpdate(context, NULL, &done, frame, HEADER_BYTES), "header");
    check(EVP_DecryptUpdate(context, plain, &done, frame + HEADER_BYTES, length), "open");
    check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, frame + HEADER_BYTES + length), "tag");
    check(EVP_DecryptFinal_ex(context, plain + length, &done), "authentic frame");
    write_whole(out, plain, length);
  }
}

int main(int argc, char **argv) {
  if (argc != 6) return fprintf(stderr, "relay seal|open KEYFILE PORT HOST PORT\n"), 2;
  signal(SIGPIPE, SIG_IGN);
  int sealing = !strcmp(argv[1], "seal");
  unsigned char key[32];
  FILE *file = fopen(argv[2], "r");
  check(file && fread(key, 1, sizeof key, file) == sizeof key, argv[2]);
  fclose(file);
  unsigned char *plain = malloc(PLAIN_BYTES), *frame = malloc(HEADER_BYTES + PLAIN_BYTES + TAG_BYTES);
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
  check(plain && frame && context && EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, key, NULL, sealing), "set-up");
  int in = accept_one(atoi(argv[3]));
  int out = dial(argv[4], atoi(argv[5]));
  (sealing ? seal : open_frames)(context, in, out, plain, frame);
  shutdown(out, SHUT_WR);
  char end;
  while (read(out, &end, 1) > 0) continue; /* the far side closes when it has everything */
  close(in);
  pause(); /* what it has cost can be read until somebody ends it */
  return 0;
}
