/**
 * Builds the flags and typed parameters of a migration: what stays the same in every phase, and what each phase adds. Pure.
 */

import { VERSION_8_0 } from '../client.ts';
import type { KvmOptions } from '../config.ts';
import { MIGRATE } from '../rpc/constants.ts';
import type { TypedParam } from '../rpc/typed-params.ts';
import type { Throttling } from './convergence.ts';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `tcp://host:port`, IPv6 in brackets. */
export const tcpUri = ({ host, port }: HostPort): string => `tcp://${bracket(host)}:${port}`;
export const bracket = (host: string): string => (host.includes(':') ? `[${host}]` : host);

const MIB = 1024 * 1024;
/** The largest limit that libvirt takes (QEMU_DOMAIN_MIG_BANDWIDTH_MAX): no limit at all. */
const UNLIMITED_MIB_PER_SEC = 8_796_093_022_207n;

/**
 * A limit for all streams together in libvirt's MiB/s for each. Disks are mirrored at the same time and share it; while
 * memory flows the mirrors carry only what the guest writes.
 */
export function mibPerSec(bandwidthBytesPerSec: number | null, copiedDisks: number): bigint {
  if (bandwidthBytesPerSec === null) return UNLIMITED_MIB_PER_SEC;
  return BigInt(Math.max(1, Math.floor(bandwidthBytesPerSec / Math.max(1, copiedDisks) / MIB)));
}

export interface FlagFacts {
  readonly copiesDisks: boolean;
  /** See `Plan.vouched`. */
  readonly vouched: boolean;
  /** The older of the two. */
  readonly libvirtVersion: number;
  readonly throttling: Throttling | undefined;
}

/**
 * Always with PERSIST_DEST: a definition that appears at the destination proves, even after a crash, that the guest was
 * let go there. A definition that is not wanted is taken away at the end.
 */
export function migrationFlags(options: KvmOptions, facts: FlagFacts): number {
  let flags = MIGRATE.live | MIGRATE.persistDestination;
  if (facts.copiesDisks) flags |= MIGRATE.nonSharedDisk;
  if (facts.copiesDisks && options.synchronousWrites && facts.libvirtVersion >= VERSION_8_0) {
    flags |= MIGRATE.synchronousWrites;
  }
  if (options.parallelConnections > 0) flags |= MIGRATE.parallel;
  if (options.postCopy) flags |= MIGRATE.postCopy;
  if (options.xbzrleCacheMib > 0) flags |= MIGRATE.compressed;
  if (facts.throttling !== undefined) flags |= MIGRATE.autoConverge;
  if (options.abortOnError) flags |= MIGRATE.abortOnError;
  if (options.allowUnsafe || facts.vouched) flags |= MIGRATE.unsafe;
  return flags;
}

export const sourceFlags = (flags: number): number => flags | MIGRATE.changeProtection;
export const destinationFlags = (flags: number): number => flags & ~(MIGRATE.abortOnError | MIGRATE.autoConverge);

const text = (field: string, value: string): TypedParam => ({ field, type: 'string', value });

export interface CommonSettings {
  readonly options: KvmOptions;
  readonly throttling: Throttling | undefined;
  readonly bandwidthBytesPerSec: number | null;
  /** Target names. */
  readonly copiedDisks: readonly string[];
  readonly definitions: { readonly live: string; readonly persistent: string } | undefined;
}

/** Of the source alone: a destination that is not told to throttle refuses to have it tuned. */
const THROTTLE = 'auto_converge.';

/** What every phase gets. */
export function commonParams(settings: CommonSettings): TypedParam[] {
  const { options, throttling, bandwidthBytesPerSec, copiedDisks, definitions } = settings;
  const params: TypedParam[] = [];
  if (throttling !== undefined) {
    params.push({ field: `${THROTTLE}initial`, type: 'int', value: throttling.initialPct });
    params.push({ field: `${THROTTLE}increment`, type: 'int', value: throttling.incrementPct });
  }
  if (bandwidthBytesPerSec !== null) {
    const value = mibPerSec(bandwidthBytesPerSec, copiedDisks.length);
    params.push({ field: 'bandwidth', type: 'ullong', value });
    if (options.postCopy) params.push({ field: 'bandwidth.postcopy', type: 'ullong', value });
  }
  if (options.parallelConnections > 0) {
    params.push({ field: 'parallel.connections', type: 'int', value: options.parallelConnections });
  }
  // Both ends are told: the destination has to be ready for differences (qemuMigrationParamsTPMap).
  if (options.xbzrleCacheMib > 0) {
    const value = BigInt(options.xbzrleCacheMib) * BigInt(MIB);
    params.push(text('compression', 'xbzrle'), { field: 'compression.xbzrle.cache', type: 'ullong', value });
  }
  for (const disk of copiedDisks) params.push(text('migrate_disks', disk));
  if (definitions !== undefined) {
    params.push(text('destination_xml', definitions.live), text('persistent_xml', definitions.persistent));
  }
  return params;
}

const without = (params: readonly TypedParam[], field: string): TypedParam[] =>
  params.filter((param) => param.field !== field);

/** Where the destination listens, and the definition that Begin gave. */
export function prepareParams(
  common: readonly TypedParam[],
  xml: string,
  memory: HostPort,
  disksPort: number | undefined,
): TypedParam[] {
  const params = [
    ...without(common, 'destination_xml').filter(({ field }) => !field.startsWith(THROTTLE)),
    text('destination_xml', xml),
    text('migrate_uri', tcpUri(memory)),
    text('listen_address', memory.host),
  ];
  if (disksPort !== undefined) params.push({ field: 'disks_port', type: 'int', value: disksPort });
  return params;
}

/** Where the source connects. */
export function performParams(
  common: readonly TypedParam[],
  memory: HostPort,
  disks: HostPort | undefined,
): TypedParam[] {
  const params = [...common, text('migrate_uri', tcpUri(memory))];
  if (disks !== undefined) params.push(text('disks_uri', tcpUri(disks)));
  return params;
}

/** Of the flags and parameters of the first call a recovery heeds few; the guest and its disks are there already. */
export const RESUME_FLAGS = MIGRATE.live | MIGRATE.persistDestination | MIGRATE.postCopy | MIGRATE.postCopyResume;
export const resumeParams = (common: readonly TypedParam[]): TypedParam[] =>
  common.filter(({ field }) => field.startsWith('bandwidth'));

export const finishParams = (performed: readonly TypedParam[], name: string): TypedParam[] => [
  ...without(without(performed, 'destination_xml'), 'destination_name').filter(
    ({ field }) => !field.startsWith(THROTTLE),
  ),
  text('destination_name', name),
];
