/* The serial line (COM1), polled: lines in, text out. Output is bounded in time, so that nobody listening cannot stop the guest. */
#include "guest.h"

#define COM1 0x3F8

static char pending[256];
static uint32_t length;

void console_open(void)
{
  out8(COM1 + 1, 0);
  out8(COM1 + 3, 0x80); out8(COM1, 1); out8(COM1 + 1, 0); /* 115200 baud */
  out8(COM1 + 3, 3);
  out8(COM1 + 2, 0xC7);
  out8(COM1 + 4, 3);
}

static void put(char c)
{
  for (uint32_t i = 0; i < 200000u && (in8(COM1 + 5) & 0x20) == 0; i++) ;
  out8(COM1, (uint8_t)c);
}

void console_text(const char *text)
{
  while (*text) put(*text++);
}

void console_field(const char *name, uint64_t value)
{
  int shift = 60;
  put(' ');
  console_text(name);
  put('=');
  while (shift > 0 && (value >> shift) == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) put("0123456789abcdef"[(value >> shift) & 15]);
}

void console_bytes(const char *name, const uint8_t *bytes, uint32_t count)
{
  put(' ');
  console_text(name);
  put('=');
  for (uint32_t i = 0; i < count; i++) {
    put("0123456789abcdef"[bytes[i] >> 4]);
    put("0123456789abcdef"[bytes[i] & 15]);
  }
}

int console_line(char *line, uint32_t size)
{
  while (in8(COM1 + 5) & 1) {
    char c = (char)in8(COM1);
    if (c == '\n' && length == 0) continue;
    if (c == '\n') {
      uint32_t count = length < size - 1 ? length : size - 1;
      for (uint32_t i = 0; i < count; i++) line[i] = pending[i];
      line[count] = 0;
      length = 0;
      return 1;
    }
    if (length < sizeof pending) pending[length++] = c;
  }
  return 0;
}
