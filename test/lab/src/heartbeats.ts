// What the witness (../witness/witness.c) has heard: one record for each heartbeat of each guest, with the site it came from and the
// kernel's time. Reading is by position, so a reader sees every record once and never disturbs the writer.

import { closeSync, openSync, readSync } from 'node:fs';
import type { SiteName } from './names.ts';

const HEADER_BYTES = 64;
const RECORD_BYTES = 64;

export interface Heartbeat {
  /** Milliseconds since 1970, with fractions; the same clock for both sites. */
  timeMs: number;
  site: SiteName;
  counter: number;
  writes: number;
  /** The first 16 hex digits of the nonce. */
  nonce: string;
  /** Of the NIC that sent it, as libvirt writes it. */
  mac: string;
}

/** How many records were ever written: a position to read from later. */
export function witnessPosition(ringFile: string): number {
  return withRing(ringFile, (fd) => readHeader(fd).written);
}

/** The heartbeats of one guest from a position on, oldest first. Records that the ring has overwritten are missing. */
export function readHeartbeats(
  ringFile: string,
  uuid: string,
  from: number,
): { position: number; heartbeats: Heartbeat[] } {
  const wanted = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  return withRing(ringFile, (fd) => {
    const { written, capacity } = readHeader(fd);
    const heartbeats: Heartbeat[] = [];
    let position = Math.max(from, written - capacity);
    while (position < written) {
      const slot = position % capacity;
      const count = Math.min(written - position, capacity - slot, 4096);
      const block = Buffer.alloc(count * RECORD_BYTES);
      readSync(fd, block, 0, block.length, HEADER_BYTES + slot * RECORD_BYTES);
      for (let at = 0; at < block.length; at += RECORD_BYTES) {
        if (block.compare(wanted, 0, 16, at + 8, at + 24) === 0)
          heartbeats.push(decodeHeartbeat(block.subarray(at, at + RECORD_BYTES)));
      }
      position += count;
    }
    // The two sockets are drained one after the other: within a few milliseconds, the order in the file is not the order in time.
    heartbeats.sort((one, other) => one.timeMs - other.timeMs);
    return { position: written, heartbeats };
  });
}

export function decodeHeartbeat(record: Buffer): Heartbeat {
  return {
    timeMs: Number(record.readBigUInt64LE(0)) / 1e6,
    counter: Number(record.readBigUInt64LE(24)),
    writes: Number(record.readBigUInt64LE(32)),
    nonce: record.toString('hex', 40, 48),
    mac: (record.toString('hex', 52, 58).match(/../g) ?? []).join(':'),
    site: record.readUInt32LE(48) === 0 ? 'a' : 'b',
  };
}

export interface Gap {
  ms: number;
  fromMs: number;
  fromSite: SiteName;
  toSite: SiteName;
  /** Heartbeats that the guest counted in between and nobody heard. */
  unheard: number;
}

export interface HeartbeatReport {
  count: number;
  bySite: Record<SiteName, number>;
  /** The longest silence between two heartbeats: the downtime, when the guest moved in it. */
  longestGap: Gap | undefined;
  /** Silences in which the guest changed sites. */
  moves: Gap[];
  /**
   * Heartbeats whose counter is not above all earlier ones. One guest, wherever it runs, never repeats a number: each of these was sent
   * by a second copy, or by a guest that has started afresh.
   */
  repeated: number;
  firstRepeated: Heartbeat | undefined;
  last: Heartbeat | undefined;
}

/**
 * The VM's own heartbeats, and how many in its name came from another NIC. A guest takes its name from its command line, which a copy
 * of the VM has too, and its MAC from its NIC: moving a VM leaves both as they were.
 */
export function tellApart(
  heartbeats: readonly Heartbeat[],
  mac: string,
): { own: Heartbeat[]; fromOtherNics: Record<SiteName, number> } {
  const fromOtherNics = { a: 0, b: 0 };
  for (const beat of heartbeats) if (beat.mac !== mac) fromOtherNics[beat.site]++;
  return { own: heartbeats.filter((beat) => beat.mac === mac), fromOtherNics };
}

export function reportOf(heartbeats: readonly Heartbeat[]): HeartbeatReport {
  const report: HeartbeatReport = {
    count: heartbeats.length,
    bySite: { a: 0, b: 0 },
    longestGap: undefined,
    moves: [],
    repeated: 0,
    firstRepeated: undefined,
    last: heartbeats.at(-1),
  };
  let before: Heartbeat | undefined;
  let highest = -1;
  for (const beat of heartbeats) {
    report.bySite[beat.site]++;
    if (beat.counter <= highest) {
      report.repeated++;
      report.firstRepeated ??= beat;
    }
    highest = Math.max(highest, beat.counter);
    if (before) {
      const gap = {
        ms: beat.timeMs - before.timeMs,
        fromMs: before.timeMs,
        fromSite: before.site,
        toSite: beat.site,
        unheard: beat.counter - before.counter - 1,
      };
      if (gap.ms > (report.longestGap?.ms ?? 0)) report.longestGap = gap;
      if (gap.fromSite !== gap.toSite) report.moves.push(gap);
    }
    before = beat;
  }
  return report;
}

function readHeader(fd: number): { written: number; capacity: number } {
  const header = Buffer.alloc(HEADER_BYTES);
  readSync(fd, header, 0, HEADER_BYTES, 0);
  return { capacity: header.readUInt32LE(12), written: Number(header.readBigUInt64LE(16)) };
}

function withRing<T>(ringFile: string, work: (fd: number) => T): T {
  const fd = openSync(ringFile, 'r');
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}
