/**
 * What a hypervisor makes of an outage in the middle of a migration, measured: the path of the tunnel is cut for 10, 25, 40 and 60 s, with and
 * without the control path of the destination host, in direct and in peer-to-peer mode. Nothing of what libvirt decides is asserted here but
 * what must hold whatever it decides: one copy, whole, where the record says it is, and a reason where it did not move.
 * The cases come in a fixed order, the seed says with which to begin, and after `seconds` no other is begun.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Migration, MigrationInput } from '@lmas/client';
import { listenForPeers, peersOf } from '../support/peers.ts';
import { type WatchedVm, World } from '../support/world.ts';
import { type Suite, type SuiteOptions, seconds } from './suite.ts';

const BANDWIDTH_BYTES_PER_SEC = 16 << 20;
/** Into the transfer of memory. */
const STRIKES_AFTER_MS = 4_000;
const RUNS_WITHIN_MS = 120_000;

interface Case {
  readonly mode: 'direct' | 'peer-to-peer';
  readonly outageMs: number;
  /** Whether the management network of the destination host is cut as well. */
  readonly control: 'kept' | 'cut';
}

const CASES: readonly Case[] = (['direct', 'peer-to-peer'] as const).flatMap((mode) =>
  (['kept', 'cut'] as const).flatMap((control) =>
    [10_000, 25_000, 40_000, ...(control === 'kept' ? [60_000] : [])].map((outageMs) => ({ mode, control, outageMs })),
  ),
);

export const outages: Suite = {
  about: `The path of the tunnel is cut for 10 to 60 s in the middle of a migration, with and without the control path, and what
           libvirt makes of it is measured. --seed is the case to begin with, 0 to ${CASES.length - 1}.`,
  play,
};

async function play(options: SuiteOptions): Promise<void> {
  const world = await World.up({ name: 'foutages', rateMbit: 1_000, rttMs: 40 }, listenForPeers);
  try {
    const peers = await peersOf(world);
    const deadline = performance.now() + options.seconds * 1_000;
    for (let number = 0; number < CASES.length && performance.now() < deadline; number += 1) {
      const chosen = CASES[(options.seed + number) % CASES.length];
      if (chosen === undefined || options.signal.aborted) break;
      const round = await playCase(world, chosen, peers);
      options.onRound(line(round), round);
    }
  } catch (error) {
    console.error(`${await world.describeTrouble()}\n`);
    throw error;
  } finally {
    await world.lab.outage('off');
    await world.down();
  }
}

interface RoundReport extends Case {
  readonly phase: Migration['phase'];
  readonly where: Migration['where'];
  readonly error: string | null;
  readonly byHand: string | null;
  /** From the request to the end of the teardown. */
  readonly durationMs: number;
  readonly downtimeMs: number | null;
  readonly subflowsReplaced: number | null;
}

async function playCase(world: World, chosen: Case, peers: string): Promise<RoundReport> {
  const vm = await world.startVm({
    name: 'foutages',
    memoryMib: 256,
    fillMib: 200,
    workingSetMib: 16,
    dirtyPagesPerSec: 200,
  });
  try {
    const startedAt = performance.now();
    const request: Partial<MigrationInput> =
      chosen.mode === 'direct' ? {} : { destination: peers, options: { mode: 'peer-to-peer' } };
    const { id } = await world.migrate(vm, { ...request, bandwidthBytesPerSec: BANDWIDTH_BYTES_PER_SEC });
    assert.ok(await world.reaches(id, 'performing'), 'it ended before it began');
    await delay(STRIKES_AFTER_MS);
    await strike(world, chosen);
    const migration = await world.end(id);
    const durationMs = performance.now() - startedAt;
    await assertTruth(vm, migration);
    return {
      ...chosen,
      phase: migration.phase,
      where: migration.where,
      error: migration.error === null ? null : `${migration.error.code}: ${migration.error.message}`,
      byHand: migration.byHand ?? null,
      durationMs,
      downtimeMs: vm.seen.downtimeMs ?? null,
      subflowsReplaced: migration.tunnel?.subflowsReplaced ?? null,
    };
  } finally {
    await world.cancelAll();
    await vm.remove();
  }
}

async function strike(world: World, { outageMs, control }: Case): Promise<void> {
  const { host } = world.lab.sites.b;
  await world.lab.outage('on');
  if (control === 'cut') await host.setInterface('mgmt', false);
  await delay(outageMs);
  if (control === 'cut') await host.setInterface('mgmt', true);
  await world.lab.outage('off');
}

async function assertTruth(vm: WatchedVm, migration: Migration): Promise<void> {
  const record = JSON.stringify([migration.phase, migration.where, migration.error, migration.byHand]);
  const foundAt = await vm.assertRunsSoon(RUNS_WITHIN_MS);
  const atHome = migration.vm.id === null ? 'unknown' : 'source'; // never looked for: nothing is claimed
  assert.equal(migration.where, foundAt === 'a' ? atHome : 'destination', `the record lies: ${record}`);
  assert.equal(migration.phase === 'succeeded', foundAt === 'b', `the outcome lies: ${record}`);
  if (migration.phase !== 'succeeded') assert.ok(migration.error, 'a failure has a reason');
  await vm.assertLivesAt(foundAt);
}

function line(round: RoundReport): string {
  const what = `${round.mode}, tunnel cut for ${round.outageMs / 1_000} s, control ${round.control}`;
  const outcome = `${round.phase}, VM at the ${round.where}${round.error === null ? '' : ` (${round.error})`}`;
  return `${seconds(round.durationMs)}  ${what}: ${outcome}; longest silence of the guest ${round.downtimeMs} ms`;
}
