/**
 * Post-copy through real gateways and a real orchestrator: control and memory both go through the tunnel; a cancel in it is
 * answered with 409; an orchestrator that is killed in it finds it again; and a link that is gone for a while resets nothing.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Migration, MigrationInput } from '@lmas/client';
import type { VmOptions } from '../lab/src/index.ts';
import { waitUntil } from '../lab/src/processes.ts';
import { listenForPeers, peersOf } from '../support/peers.ts';
import { type WatchedVm, World } from '../support/world.ts';

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : 'the lab needs root: run this as root to migrate real guests';
/** Of streams that are in no post-copy. */
const GRACE_MS = 25_000;
/** Longer than that, and than libvirt's own keep-alive (30 s). */
const OUTAGE_MS = 40_000;
/** At the destination, from the switch on. */
const STARTED_WITHIN_MS = 10_000;
const VM: VmOptions = { name: 'pc', memoryMib: 256, fillMib: 192, workingSetMib: 128, dirtyPagesPerSec: 12_000 };
const REQUEST: Partial<MigrationInput> = {
  options: { mode: 'peer-to-peer', postCopy: true },
  maxDowntimeMs: 50,
  bandwidthBytesPerSec: 24 << 20,
};

describe('post-copy through the tunnel', { concurrency: 1, skip }, () => {
  let world: World;
  let destination: string;

  before(async () => {
    world = await World.up(
      { name: 'pcopye', rateMbit: 1_000, rttMs: 20, settings: { LMAS_TUNNEL_GRACE_MS: String(GRACE_MS) } },
      listenForPeers,
    );
    destination = await peersOf(world);
  });
  after(() => world?.down());

  async function withVm(body: (vm: WatchedVm, id: string) => Promise<void>): Promise<void> {
    const vm = await world.startVm(VM);
    try {
      const { id } = await world.migrate(vm, { ...REQUEST, destination });
      await body(vm, id);
      const migration = await world.end(id);
      assert.equal(migration.phase, 'succeeded', JSON.stringify([migration.error, migration.byHand]));
      assert.equal(migration.where, 'destination');
      assert.equal(migration.teardown, 'complete', migration.leftovers.join('; '));
      await vm.assertLivesAt('b');
      assert.deepEqual(await world.leftovers([vm]), []);
    } catch (error) {
      console.error(await world.describeTrouble());
      await world.cancelAll();
      throw error;
    } finally {
      await vm.remove();
    }
  }

  async function inPostCopy(id: string): Promise<Migration> {
    for (let time = 0; time < 600; time += 1) {
      const migration = await world.client.getMigration(id);
      assert.equal(
        migration.endedAt,
        null,
        `it ended before it was seen in post-copy: ${JSON.stringify(migration.error)}`,
      );
      if (migration.progress?.stage === 'post-copy') return migration;
      await delay(100);
    }
    throw new Error('It was never seen in post-copy.');
  }

  test('a cancel in it is answered with 409, and it arrives', () =>
    withVm(async (_vm, id) => {
      const migration = await inPostCopy(id);
      assert.notEqual(migration.pointOfNoReturnAt, null);
      await assert.rejects(world.client.cancelMigration(id), { status: 409 });
    }));

  test('the orchestrator is killed in it and started again: it arrives', () =>
    withVm(async (_vm, id) => {
      await inPostCopy(id);
      await world.orchestrator.kill();
      await world.orchestrator.restart();
    }));

  test('the link is gone for longer than the grace time of other streams: they wait, and it arrives', () =>
    withVm(async (_vm, id) => {
      await inPostCopy(id);
      await world.lab.outage('on', 'both');
      await delay(OUTAGE_MS);
      await world.lab.outage('off', 'both');
    }));

  test('its streams are cut at the source host: taken up again through the same gateways', () =>
    withVm(async (vm, id) => {
      await inPostCopy(id);
      // A switch that is itself cut ends the guest at the destination.
      assert.ok(
        await waitUntil(() => world.lab.copies(vm.uuid).b, STARTED_WITHIN_MS, 10),
        'it was never started there',
      );
      const { host, gatewayHost } = world.lab.sites.a;
      const toGateway = ['ss', '-K', 'dst', gatewayHost.dataAddress];
      await host.exec(toGateway, { allowFailure: true });
    }));
});
