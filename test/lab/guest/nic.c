/*
 * Heartbeats: one broadcast Ethernet frame each tick through an RTL8139, so that the kernel of the lab can time them outside the
 * guest, and tell by the host's bridge where the guest runs. Layout (little-endian after the Ethernet header; witness.c reads it):
 *
 *   0 destination ff:ff:ff:ff:ff:ff   6 source   12 EtherType 0x88B5 (local experiments)
 *   14 "LMHB"   18 uuid[16]   34 heartbeats u64   42 page writes u64   50 nonce[8]   58 zero
 */
#include "guest.h"

#define FRAME_BYTES 60u
#define TX_STATUS 0x10
#define TX_ADDRESS 0x20
#define CHIP_COMMAND 0x37

static uint8_t frames[4][64] __attribute__((aligned(64)));
static uint16_t base; /* I/O ports; 0 = no NIC */
static uint32_t slot;

static uint32_t pci_read(uint32_t device, uint32_t offset)
{
  out32(0xCF8, 0x80000000u | (device << 11) | offset);
  return in32(0xCFC);
}

static void pci_write(uint32_t device, uint32_t offset, uint32_t value)
{
  out32(0xCF8, 0x80000000u | (device << 11) | offset);
  out32(0xCFC, value);
}

static void prepare(uint8_t *frame)
{
  for (uint32_t i = 0; i < 6; i++) {
    frame[i] = 0xFF;
    frame[6 + i] = in8((uint16_t)(base + i));
  }
  frame[12] = 0x88;
  frame[13] = 0xB5;
  for (uint32_t i = 0; i < 4; i++) frame[14 + i] = (uint8_t)"LMHB"[i];
  for (uint32_t i = 0; i < 16; i++) frame[18 + i] = options.uuid[i];
}

int nic_open(void)
{
  uint32_t device = 0;
  while (device < 32 && pci_read(device, 0) != 0x813910ECu) device++;
  if (device == 32) return 0;
  pci_write(device, 4, (pci_read(device, 4) & 0xFFFFu) | 5); /* I/O space, bus master */
  base = (uint16_t)(pci_read(device, 0x10) & 0xFFFCu);
  out8((uint16_t)(base + 0x52), 0);                          /* power on */
  out8((uint16_t)(base + CHIP_COMMAND), 0x10);
  while (in8((uint16_t)(base + CHIP_COMMAND)) & 0x10) ;
  out8((uint16_t)(base + CHIP_COMMAND), 0x04);               /* transmitter on; we listen to nobody */
  for (uint32_t i = 0; i < 4; i++) prepare(frames[i]);
  return 1;
}

static void put64(uint8_t *at, uint64_t value)
{
  for (uint32_t i = 0; i < 8; i++) at[i] = (uint8_t)(value >> (8 * i));
}

void nic_heartbeat(void)
{
  if (base == 0) return;
  if ((in32((uint16_t)(base + TX_STATUS + 4 * slot)) & 0x2000u) == 0) return; /* the chip still has the last one */
  uint8_t *frame = frames[slot];
  put64(frame + 34, life.heartbeats);
  put64(frame + 42, life.page_writes);
  for (uint32_t i = 0; i < 8; i++) frame[50 + i] = life.nonce[i];
  __asm__ volatile("" ::: "memory");
  out32((uint16_t)(base + TX_ADDRESS + 4 * slot), (uint32_t)frame);
  out32((uint16_t)(base + TX_STATUS + 4 * slot), FRAME_BYTES);
  slot = (slot + 1) & 3;
}
