// The line between the two sites, whoever plays it: our emulator (link-emulator.ts) or the kernel's netem (link-netem.ts).

export interface LinkOptions {
  /** Line rate in Mbit/s of Ethernet, all overhead counted; 0 = unlimited. */
  rateMbit: number;
  /** Round trip of the empty line. */
  rttMs: number;
  /** Packets lost, percent, each direction by itself. */
  lossPct: number;
  /** How much line time the queue before the line holds; without it one round trip (a queue of one bandwidth-delay product), 10 ms at least. */
  queueMs?: number | undefined;
  /** Delay varies by up to this much, order kept. */
  jitterMs?: number | undefined;
}

export const DEFAULT_LINK: LinkOptions = { rateMbit: 1000, rttMs: 100, lossPct: 0 };

/** Wire packets and their bytes on the line (38 bytes of Ethernet overhead each). */
export interface DirectionStats {
  packets: number;
  bytes: number;
  deliveredPackets: number;
  deliveredBytes: number;
  droppedQueue: number;
  droppedLoss: number;
  droppedOutage: number;
  /** Must stay 0: the emulator itself ran out of room. */
  droppedMemory: number;
  droppedOther: number;
  deliveries: number;
  /** Deliveries more than a millisecond late: many of them, and a measurement is not worth much. */
  late: number;
  lateMaxNs: number;
  lateSumNs: number;
  queueMaxNs: number;
  outage: boolean;
}

export interface LinkStats {
  kind: 'emulator' | 'netem';
  settings: LinkOptions;
  /** Processor time the emulator has used; 0 for netem. */
  cpuUs: number;
  ab: DirectionStats;
  ba: DirectionStats;
}

export type Direction = 'ab' | 'ba' | 'both';

export interface Link {
  readonly kind: 'emulator' | 'netem';
  set(options: LinkOptions): Promise<void>;
  stats(): Promise<Omit<LinkStats, 'settings'>>;
  /** Cuts the line: for so many milliseconds, or until told. What is on the way is lost. */
  outage(direction: Direction, how: number | 'on' | 'off'): Promise<void>;
}

export const queueMsOf = (options: LinkOptions): number => options.queueMs ?? Math.max(options.rttMs, 10);

/** Wire bytes of a full packet: 1500 of IP and 38 of Ethernet; its TCP payload with timestamps. */
export const FULL_PACKET_BYTES = 1538;
export const FULL_PAYLOAD_BYTES = 1448;

/** The most TCP payload that the line carries, bits per second. */
export const payloadRate = (rateMbit: number): number => (rateMbit * 1e6 * FULL_PAYLOAD_BYTES) / FULL_PACKET_BYTES;
