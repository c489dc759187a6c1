/*
 * The lab's guest: fills its memory with content it can check, keeps writing to it at a set rate, sends heartbeats, and answers on its
 * serial line. Between bursts it halts, so that emulating it costs little.
 *
 * Requests are lines `<id> <verb> [argument]`; answers `<id> ok name=<hex> …` or `<id> error <text>`. Verbs:
 *   stat            counters, nonce
 *   nonce <32 hex>  keep this in memory from now on
 *   rate <decimal>  pages rewritten per second
 *   sectors <decimal>  disk sectors written per second
 *   verify          check every page and every sector written
 */
#include "guest.h"

struct options options = { .fill_mib = 64 };
struct life life;
static uint32_t page_total, sector_total;

struct multiboot { uint32_t flags, mem_lower, mem_upper, boot_device; const char *command_line; };

/* Freestanding still means that the compiler may call these. */
void *memcpy(void *to, const void *from, uint32_t n) { char *t = to; const char *f = from; while (n--) *t++ = *f++; return to; }
void *memset(void *to, int value, uint32_t n) { char *t = to; while (n--) *t++ = (char)value; return to; }

static uint32_t decimal(const char *text)
{
  uint32_t value = 0;
  while (*text >= '0' && *text <= '9') value = value * 10 + (uint32_t)(*text++ - '0');
  return value;
}

static int digit(char c)
{
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hex digits into bytes, dashes skipped; 1 when all bytes were there. */
static int unhex(const char *text, uint8_t *bytes, uint32_t count)
{
  for (uint32_t i = 0; i < count; i++) {
    while (*text == '-') text++;
    int high = digit(text[0]), low = high < 0 ? -1 : digit(text[1]);
    if (low < 0) return 0;
    bytes[i] = (uint8_t)(high << 4 | low);
    text += 2;
  }
  return 1;
}

/* The text after `name=` or `name ` at the start of text, or 0. */
static const char *after(const char *text, const char *name, char end)
{
  while (*name) if (*text++ != *name++) return 0;
  if (*text == end) return text + 1;
  return end == ' ' && *text == 0 ? text : 0;
}

static void parse_options(const char *text)
{
  static const struct { const char *name; uint32_t *value; } numbers[] = {
    { "fill", &options.fill_mib }, { "wss", &options.working_set_mib }, { "dirty", &options.dirty_pages },
    { "zero", &options.zero_percent }, { "repeat", &options.repeat_percent },
    { "little", &options.little_percent }, { "disk", &options.disk_mib },
    { "sectors", &options.disk_sectors }, { "seed", &options.seed },
  };
  const char *value;
  for (; *text; text++) {
    for (uint32_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
      if ((value = after(text, numbers[i].name, '='))) *numbers[i].value = decimal(value);
    if ((value = after(text, "uuid", '='))) unhex(value, options.uuid, 16);
    while (*text && *text != ' ') text++;
    if (!*text) break;
  }
}

static void tick(void)
{
  life.heartbeats++;
  nic_heartbeat();
}

static void say_life(void)
{
  console_field("counter", life.heartbeats);
  console_field("writes", life.page_writes);
  console_field("sectorWrites", life.sector_writes);
  console_bytes("nonce", life.nonce, sizeof life.nonce);
}

static void say_verdict(const char *checked, const char *bad, const char *first, struct verdict v)
{
  console_field(checked, v.checked);
  console_field(bad, v.bad);
  if (v.bad) console_field(first, v.first_bad);
}

static void verify(void)
{
  struct verdict memory = memory_verify(), disk = disk_verify();
  console_text(" ok");
  say_verdict("pages", "badPages", "firstBadPage", memory);
  say_verdict("sectors", "badSectors", "firstBadSector", disk);
  console_field("diskErrors", disk_errors);
  say_life();
}

static void answer(char *line)
{
  char *verb = line;
  const char *argument;
  while (*verb && *verb != ' ') verb++;
  if (*verb) *verb++ = 0;
  console_text(line);
  if (after(verb, "stat", ' ')) {
    console_text(" ok");
    console_field("pages", page_total);
    console_field("sectors", sector_total);
    console_field("rate", options.dirty_pages);
    say_life();
  } else if (after(verb, "verify", ' ')) {
    verify();
  } else if ((argument = after(verb, "nonce", ' '))) {
    console_text(unhex(argument, life.nonce, sizeof life.nonce) ? " ok" : " error 32 hex digits wanted");
    say_life();
  } else if ((argument = after(verb, "rate", ' '))) {
    options.dirty_pages = decimal(argument);
    console_text(" ok");
  } else if ((argument = after(verb, "sectors", ' '))) {
    options.disk_sectors = decimal(argument);
    console_text(" ok");
  } else {
    console_text(" error unknown verb");
  }
  console_text("\n");
}

/* How many of `per_second` events are due after `ticks` more ticks; at most a tenth of a second's worth is made up for. */
static uint32_t due(uint32_t per_second, uint32_t ticks, uint32_t *rest)
{
  if (ticks > TICK_HZ / 10) ticks = TICK_HZ / 10;
  *rest += per_second * ticks;
  uint32_t count = *rest / TICK_HZ;
  *rest %= TICK_HZ;
  return count;
}

void kernel_main(uint32_t magic, const struct multiboot *boot)
{
  static char line[256];
  uint32_t last, page_rest = 0, sector_rest = 0;
  console_open();
  if (magic != 0x2BADB002u || (boot->flags & 5) != 5) {
    console_text("error no multiboot information\n");
    return;
  }
  parse_options(boot->command_line);
  nic_open();
  machine_start(tick);
  page_total = memory_fill(boot->mem_upper + 1024);
  sector_total = disk_open();
  console_text("ready\n");
  last = (uint32_t)life.heartbeats;
  for (;;) {
    uint32_t now = (uint32_t)life.heartbeats, ticks = now - last;
    last = now;
    for (uint32_t n = due(options.dirty_pages, ticks, &page_rest); n; n--) memory_dirty_one();
    for (uint32_t n = due(options.disk_sectors, ticks, &sector_rest); n; n--) disk_write_one();
    if (console_line(line, sizeof line)) answer(line);
    machine_idle();
  }
}
