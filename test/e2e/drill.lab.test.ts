/**
 * The proof of drills: a copy of a guest at site A comes up at site B, on a network that leads nowhere, its disk through the
 * tunnel; a plan rehearses the same. The guest itself runs on untouched, and everything is undone.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Migration, PlanRun } from '@lmas/client';
import { siteId } from '../support/two-sites.ts';
import { type WatchedVm, World } from '../support/world.ts';

const ENDS_WITHIN_MS = 120_000;
const KEPT_MS = 600_000;
const DISK_MIB = 32;
/** By each guest from its start on: a copy needs 20 s for what the VM has written before. */
const SECTORS_PER_SEC = 100;
const WRITTEN_SECTORS = 2_000;
/** TLS records, NBD requests and handshakes, over the blocks themselves. */
const MOST_OVERHEAD = 0.1;
const QUIET = 'br-quiet';
const NETWORKS = { 'br-lab': QUIET };

let world: World;
let vm: WatchedVm;

async function until<T>(look: () => Promise<T | undefined>, what: string): Promise<T> {
  for (const deadline = performance.now() + ENDS_WITHIN_MS; performance.now() < deadline; await delay(250)) {
    const found = await look();
    if (found !== undefined) return found;
  }
  throw new assert.AssertionError({ message: `${what}\n${await world.describeTrouble()}` });
}

/** As the host says it: names of the domains that run there. */
async function running(site: 'a' | 'b'): Promise<string[]> {
  const { stdout } = await world.lab.sites[site].host.exec(['virsh', 'list', '--name']);
  return stdout.split('\n').filter((line) => line !== '');
}

/**
 * What a disk at site B holds, in blocks of 4 KiB: what is zero qemu-img neither sends nor writes. Of a copy that runs it is what
 * crossed, for its guest writes the same sectors in the same order as the VM has.
 */
async function heldBytes(path: string): Promise<number> {
  const { host } = world.lab.sites.b;
  await host.exec(['qemu-img', 'convert', '-U', '-f', 'qcow2', '-O', 'raw', path, '/root/held.raw']);
  const { stdout } = await host.exec(['du', '-B1', '/root/held.raw']);
  await host.exec(['rm', '/root/held.raw']);
  return Number.parseInt(stdout, 10);
}

async function writeToDisk(): Promise<void> {
  await world.lab.vm.setDiskRate('a', vm.name, 1_000);
  const hasWritten = async () =>
    (await world.lab.vm.status('a', vm.name)).sectorWrites >= WRITTEN_SECTORS ? true : undefined;
  await until(hasWritten, 'the guest does not write');
  await world.lab.vm.setDiskRate('a', vm.name, SECTORS_PER_SEC);
}

describe('Drills, from site A to site B', { concurrency: 1 }, () => {
  before(async () => {
    world = await World.up({ name: 'e2edrill', rateMbit: 1_000, rttMs: 20 }, async (lab) => {
      const { host } = lab.sites.b;
      await host.exec(['ip', 'link', 'add', QUIET, 'type', 'bridge']);
      await host.exec(['ip', 'link', 'set', 'dev', QUIET, 'up']);
    });
    vm = await world.startVm({
      ...{ name: 'drilled', memoryMib: 96, fillMib: 64, workingSetMib: 8, dirtyPagesPerSec: 200, network: 'lab' },
      disks: [{ kind: 'local', format: 'qcow2', sizeMib: DISK_MIB }],
      ...{ diskUseMib: 8, diskSectorsPerSec: SECTORS_PER_SEC },
    });
    await writeToDisk();
  });
  after(async () => {
    await vm?.remove();
    await world?.down();
  });

  test('one VM: its copy comes up through the tunnel, is kept until somebody ends it, and nothing is left', async () => {
    const { id } = await world.migrate(vm, { networkMap: NETWORKS, drill: { keepMs: KEPT_MS } });
    const kept = await until(async (): Promise<Migration | undefined> => {
      const migration = await world.client.getMigration(id);
      return migration.phase === 'kept' || migration.endedAt !== null ? migration : undefined;
    }, 'no copy came up');
    assert.equal(kept.phase, 'kept', JSON.stringify(kept.error));
    const { copy } = kept.drill ?? assert.fail();
    assert.notEqual(copy.vm.id, vm.uuid);
    assert.deepEqual(copy.networks, [QUIET]);
    assert.deepEqual([await running('a'), await running('b')], [['drilled'], [copy.vm.name]]);
    const held = await heldBytes(copy.disks[0]?.location ?? assert.fail());
    assert.ok(held > WRITTEN_SECTORS * 512, `the disk holds ${held} bytes`);
    const share = (kept.tunnel?.bytesDelivered ?? 0) / held;
    assert.ok(share > 1 && share < 1 + MOST_OVERHEAD, `${share} of ${held} bytes: ${JSON.stringify(kept.tunnel)}`);
    await until(async () => vm.seen.fromOtherNics.b > 0 || undefined, 'the copy is not heard');
    await world.client.cancelMigration(id);
    const ended = await world.end(id);
    assert.deepEqual([ended.phase, ended.where, ended.teardown], ['succeeded', 'source', 'complete']);
    assert.equal(ended.drill?.ranToTheEnd, true);
    assert.deepEqual(await running('b'), []);
    await vm.assertWasNotTouched('a');
    assert.deepEqual(await world.leftovers([vm]), []);
  });

  test('a plan: it is rehearsed, its report says how long the copy took, and nothing is left', async () => {
    await world.client.putPlan('rehearsed', {
      description: 'One VM to site B',
      waves: [
        {
          name: 'all',
          vms: [{ kind: 'vm', vm: vm.name, source: { site: siteId('a') }, destination: { site: siteId('b') } }],
        },
      ],
      rtoMs: 600_000,
      drill: { networks: NETWORKS, keepMs: 1_000 },
    });
    const { id } = await world.client.startPlanRun('rehearsed', 'drill');
    const run = await until(async (): Promise<PlanRun | undefined> => {
      const found = await world.client.getPlanRun(id);
      return found.endedAt === null ? undefined : found;
    }, 'the rehearsal did not end');
    assert.equal(run.phase, 'succeeded', JSON.stringify(run));
    const { summary } = await world.client.getPlanReport(id);
    assert.deepEqual(
      summary.rehearsed.map(({ vm: name, fitsRto }) => [name, fitsRto]),
      [[vm.name, true]],
    );
    await vm.assertWasNotTouched('a');
    assert.deepEqual(await running('b'), []);
    assert.deepEqual(await world.leftovers([vm]), []);
  });
});
