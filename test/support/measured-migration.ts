/**
 * One migration from site A to site B, watched from outside: what was on the link, how long the guest was silent, how
 * many copies ran, and whether the guest found all of its memory again. Nothing here asks LMAS about its own merits.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { LmasClient, Migration, MigrationInput, Phase } from '@lmas/client';
import { type GuestStatus, type GuestVerdict, type Lab, payloadRate } from '../lab/src/index.ts';
import { LinkRecorder } from './link-recorder.ts';
import { endpointId } from './two-sites.ts';

export interface MeasuredMigration {
  readonly succeeded: boolean;
  /** From the request to the end of the teardown. */
  readonly totalMs: number;
  /** The guest's longest silence on the lab's clock. */
  readonly downtimeMs: number;
  /** Payload, as the hypervisor counted it. */
  readonly bytes: number;
  /** Payload over the time from its first to its last byte on the link. */
  readonly goodputBitsPerSec: number;
  /** Goodput over what TCP can carry on this link, 0 to 1. */
  readonly linkShare: number;
  /** Pre-copy passes. */
  readonly iterations: number | null;
  /** Every page checked by the guest at the destination; nonce and counter survived. */
  readonly memoryVerified: boolean;
  /** Most copies seen executing at any instant. */
  readonly maxCopies: number;
  readonly migration: Migration;
}

export interface MeasureOptions {
  readonly lab: Lab;
  readonly client: LmasClient;
  /** Runs at site A, its guest has answered. */
  readonly vm: { readonly name: string; readonly uuid: string };
  readonly request?: Partial<MigrationInput>;
  readonly signal: AbortSignal;
  readonly onProgress?: (migration: Migration) => void;
}

/** Submits the migration, follows it to its end, and judges it. @throws what the client throws; a failed migration is an answer */
export async function measureMigration(options: MeasureOptions): Promise<MeasuredMigration> {
  const { lab, vm, signal } = options;
  const nonce = await lab.vm.setNonce('a', vm.name);
  const before = await lab.vm.status('a', vm.name);
  const sampler = lab.startSampler(vm.uuid);
  const recorder = new LinkRecorder(lab, 'ab');
  const startedAt = performance.now();
  let migration: Migration;
  let totalMs: number;
  try {
    migration = await runToEnd(options);
    totalMs = performance.now() - startedAt;
    // The silence of the switchover only ends with the first heartbeat from the other side.
    await delay(500, undefined, { signal });
  } finally {
    await recorder.stop();
    sampler.stop();
  }
  // The tunnel measures the link before it is used: that is part of the total time, and no payload.
  const recording = await recorder.stop(enteredAt(migration, 'performing'));
  const seen = sampler.report();
  const bytes = migration.report?.bytesTransferred ?? migration.tunnel?.bytesDelivered ?? 0;
  const goodputBitsPerSec = recording.durationMs > 0 ? (bytes * 8_000) / recording.durationMs : 0;
  return {
    succeeded: migration.phase === 'succeeded',
    totalMs,
    downtimeMs: seen.downtimeMs ?? Number.NaN,
    bytes,
    goodputBitsPerSec,
    linkShare: goodputBitsPerSec / payloadRate(lab.link.rateMbit),
    iterations: migration.report?.iterations ?? null,
    memoryVerified: migration.phase === 'succeeded' && (await verified(options, nonce, before)),
    maxCopies: seen.maxCopies,
    migration,
  };
}

function enteredAt({ timeline }: Migration, phase: Phase): number {
  const entry = timeline.find((candidate) => candidate.phase === phase);
  return entry === undefined ? 0 : Date.parse(entry.startedAt);
}

async function runToEnd({ client, vm, request, signal, onProgress }: MeasureOptions): Promise<Migration> {
  const created = await client.createMigration(
    { vm: vm.name, source: endpointId('a'), destination: endpointId('b'), ...request },
    { signal },
  );
  for await (const { event } of client.watchMigration(created.id, { signal })) onProgress?.(event.migration);
  return client.getMigration(created.id, { signal });
}

async function verified({ lab, vm, signal }: MeasureOptions, nonce: string, before: GuestStatus): Promise<boolean> {
  return isSameGuest(await lab.vm.verify('b', vm.name, { signal }), nonce, before);
}

/** A guest that rebooted would find its pages good too; only the one that moved knows the nonce and has counted on. */
export function isSameGuest(verdict: GuestVerdict, nonce: string, before: GuestStatus): boolean {
  return (
    verdict.pages > 0 &&
    verdict.badPages === 0 &&
    verdict.badSectors === 0 &&
    verdict.diskErrors === 0 &&
    verdict.nonce === nonce &&
    verdict.counter > before.counter &&
    verdict.writes >= before.writes
  );
}
