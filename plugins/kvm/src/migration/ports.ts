/**
 * Leases ports at a destination, at random from its range, so that two orchestrators seldom meet; libvirt refuses a port
 * that is taken, and then another one is leased. Leases are kept per process and host address.
 */
import { randomInt } from 'node:crypto';
import { PluginError } from '@lmas/plugin-api';
import type { KvmSession } from '../session.ts';

const leased = new Map<string, Set<number>>();

/**
 * libvirt 9.0 does not give a disk port back after a successful migration, and refuses its next use once; so the ports
 * used last are left alone for as long as there are others.
 */
const recent = new Map<string, number[]>();

export function leasePorts(destination: KvmSession, count: number): number[] {
  const { migrationAddress, portRange } = destination.config;
  const taken = leased.get(migrationAddress) ?? new Set<number>();
  leased.set(migrationAddress, taken);
  const size = portRange.to - portRange.from + 1;
  const resting = new Set((recent.get(migrationAddress) ?? []).slice(-Math.floor(size / 2)));
  const all = Array.from({ length: size }, (_, index) => portRange.from + index).filter((port) => !taken.has(port));
  const rested = all.filter((port) => !resting.has(port));
  const pool = rested.length >= count ? rested : all;
  if (pool.length < count) {
    throw new PluginError('BUSY', `All ports ${portRange.from}-${portRange.to} of ${migrationAddress} are leased.`, {
      remedy: 'Widen portRange, or wait for other migrations to this host to end.',
    });
  }
  const ports: number[] = [];
  while (ports.length < count) {
    const [port] = pool.splice(randomInt(pool.length), 1);
    if (port !== undefined) ports.push(port);
  }
  for (const port of ports) taken.add(port);
  return ports;
}

/** How many ports of the range nobody in this process has leased, and nobody at the host listens on. */
export function freePorts(destination: KvmSession, listening: ReadonlySet<number>): number {
  const { migrationAddress, portRange } = destination.config;
  const taken = leased.get(migrationAddress);
  let free = 0;
  for (let port = portRange.from; port <= portRange.to; port += 1) {
    if (!listening.has(port) && taken?.has(port) !== true) free += 1;
  }
  return free;
}

/** Idempotent. */
export function releasePorts(destination: KvmSession, ports: readonly number[]): void {
  const { migrationAddress } = destination.config;
  const taken = leased.get(migrationAddress);
  const rest = recent.get(migrationAddress) ?? [];
  for (const port of ports) if (taken?.delete(port)) rest.push(port);
  recent.set(migrationAddress, rest.slice(-1024));
}
