/**
 * The proof of plans and schedules: three guests leave a real libvirt host in two waves, by a schedule, through the tunnel;
 * one fails and is tried again; a fail-back brings all of them home, one with a disk of its own; a wave that fails is rolled back; and with
 * disks of their own VMs go there and back twice, one of them powered off. Each guest
 * checks all of its memory, and what it has written to its disk, at every stop.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { PlanInput, PlanRun } from '@lmas/client';
import { diskPath } from '../lab/src/domain.ts';
import type { SiteName } from '../lab/src/index.ts';
import { siteId } from '../support/two-sites.ts';
import { type WatchedVm, World } from '../support/world.ts';

const ENDS_WITHIN_MS = 90_000;
const OFF_DISK_MIB = 16;
/** Not even a guest that does nothing else writes more of it in a second than that. */
const WORKING_SET_MIB = 8;
const NAMES = ['plan-db', 'plan-web1', 'plan-web2'] as const;

const GUEST = { memoryMib: 96, fillMib: 64, workingSetMib: WORKING_SET_MIB, dirtyPagesPerSec: 200 };
/** Copied on the way there, and kept where it was: the way back finds it. */
const OWN_DISK = {
  disks: [{ kind: 'local' as const, format: 'qcow2' as const, sizeMib: 32 }],
  ...{ diskUseMib: 8, diskSectorsPerSec: 20 },
};

let world: World;
let vms: WatchedVm[];

const vm = (name: string) => ({
  kind: 'vm' as const,
  vm: name,
  source: { site: siteId('a') },
  destination: { site: siteId('b') },
});
const PLAN: PlanInput = {
  description: 'Everything at site A, to site B',
  waves: [
    { name: 'database', vms: [vm('plan-db')], concurrency: 1, afterwards: { pauseMs: 500 } },
    {
      name: 'web',
      vms: [{ kind: 'label', label: 'web', source: { site: siteId('a') }, destination: { site: siteId('b') } }],
      ...{ concurrency: 2, onFailure: 'go-on' },
    },
  ],
  rtoMs: 600_000,
  migration: { retries: { max: 0 } },
};

async function until<T>(look: () => Promise<T | undefined>, what: string): Promise<T> {
  for (const deadline = performance.now() + ENDS_WITHIN_MS; performance.now() < deadline; await delay(250)) {
    const found = await look();
    if (found !== undefined) return found;
  }
  throw new assert.AssertionError({ message: `${what}\n${await world.describeTrouble()}` });
}
async function ended(id: string, attempt = 1): Promise<PlanRun> {
  return await until(async () => {
    const run = await world.client.getPlanRun(id);
    return run.endedAt !== null && run.attempt === attempt ? run : undefined;
  }, `run ${id} did not end`);
}
const states = ({ items }: PlanRun) => Object.fromEntries(items.map(({ vm, state }) => [vm.name, state]));

describe('Plans and schedules, from site A to site B and back', { concurrency: 1 }, () => {
  before(async () => {
    world = await World.up({ name: 'e2eplans', rateMbit: 1_000, rttMs: 20 });
    vms = [];
    for (const name of NAMES)
      vms.push(await world.startVm({ name, ...GUEST, ...(name === 'plan-db' ? OWN_DISK : {}) }));
    for (const name of ['plan-web1', 'plan-web2']) await label(name, 'web');
  });
  after(async () => {
    for (const watched of vms ?? []) await watched.remove();
    await world?.down();
  });

  test('every check passes, and from the measured link and what each guest was measured to write follows that the plan fits', async () => {
    await world.client.testLink({ source: siteId('a'), destination: siteId('b'), durationMs: 1_000 });
    await world.client.putPlan('evacuation', PLAN);
    const run = await ended((await world.client.startPlanRun('evacuation', 'validate')).id);
    assert.equal(run.phase, 'succeeded', JSON.stringify(run));
    const told = JSON.stringify(run);
    for (const { vm, prediction } of run.items) {
      const dirtyRate = prediction?.dirtyRateBytesPerSec ?? assert.fail(`nobody measured how fast ${vm.name} writes`);
      assert.ok(dirtyRate >= 0 && dirtyRate <= WORKING_SET_MIB << 20, `${vm.name} writes ${dirtyRate} bytes a second`);
      assert.equal(prediction?.convergence, 'yes', told);
    }
    const { low, high } = run.prediction?.durationMs ?? assert.fail(told);
    assert.ok(low > 500 && high !== null && high > low && high < 60_000, told);
    assert.equal(run.prediction?.fitsRto, 'yes', told);
    // Of the same guests over the same link: what takes seconds does not fit into one.
    await world.client.putPlan('hurried', { ...PLAN, rtoMs: 1_000 });
    const hurried = await ended((await world.client.startPlanRun('hurried', 'validate')).id);
    assert.deepEqual([hurried.phase, hurried.prediction?.fitsRto], ['failed', 'no'], JSON.stringify(hurried));
    await world.client.deletePlan('hurried');
    for (const watched of vms) await watched.assertLivesAt('a');
  });

  test('a scheduled evacuation in two waves, one induced failure, its retry, and the way back', async () => {
    const trigger = { kind: 'once' as const, at: new Date(Date.now() + 1_500).toISOString() };
    await world.client.createSchedule({ id: 'tonight', action: { kind: 'plan', plan: 'evacuation' }, trigger });
    const started = await until(async () => {
      const items = await world.client.getScheduleHistory('tonight');
      return items.find(({ event }) => event === 'started');
    }, 'the schedule never began');
    assert.ok(Date.parse(started.at) >= Date.parse(trigger.at), 'not before its time');
    const id = started.run?.id ?? '';
    await killGatewaysOf(id, 'plan-web2');
    const failed = await ended(id);
    const expected = { 'plan-db': 'moved', 'plan-web1': 'moved', 'plan-web2': 'failed' };
    assert.deepEqual([failed.phase, states(failed)], ['failed', expected], JSON.stringify(failed));
    // VMs chosen by a label stand in the order in which their host lists them.
    const itemOf = (name: string) => failed.items.find(({ vm }) => vm.name === name);
    assert.equal(itemOf('plan-web2')?.error?.code, 'GATEWAY_ENDED');
    const [database, web] = [itemOf('plan-db'), itemOf('plan-web1')];
    assert.ok((web?.startedAt ?? '') > (database?.endedAt ?? ''), 'the second wave begins after the first');
    await vms[2]?.assertLivesAt('a');

    await world.client.orderPlanRun(failed.id, 'retry');
    const run = await ended(failed.id, 2);
    assert.equal(run.phase, 'succeeded', JSON.stringify(run));
    assert.deepEqual(new Set(Object.values(states(run))), new Set(['moved']));
    assert.deepEqual(
      Object.fromEntries(run.items.map(({ vm, migrations }) => [vm.name, migrations.length])),
      { 'plan-db': 1, 'plan-web1': 1, 'plan-web2': 2 },
      'only what had failed was tried again',
    );
    assert.ok(
      run.items.every(({ sourceAfter }) => sourceAfter === 'absent'),
      'the source was asked, and has none of them',
    );
    for (const { migrations } of run.items) {
      const migration = await world.client.getMigration(migrations.at(-1) ?? '');
      assert.ok((migration.tunnel?.bytesDelivered ?? 0) > 64 << 20, 'the memory went through the tunnel');
    }
    for (const watched of vms) await watched.assertLivesAt('b');
    assert.match(await world.client.getPlanReportPage(run.id), /Every VM has moved/);

    const back = await ended((await world.client.orderPlanRun(run.id, 'fail-back')).id);
    assert.equal(back.phase, 'succeeded', JSON.stringify(back));
    for (const watched of vms) await watched.assertLivesAt('a');
    assert.deepEqual(await world.leftovers(vms), []);
  });

  test('a wave that fails is rolled back, also what has a disk of its own', async () => {
    const [moves, fails] = [
      await world.startVm({ name: 'plan-files', ...GUEST, ...OWN_DISK }),
      vms[2] ?? assert.fail(),
    ];
    vms.push(moves);
    const wave = { vms: [vm(moves.name), vm(fails.name)], concurrency: 1, onFailure: 'roll-back' as const };
    await world.client.putPlan('together', { waves: [wave], migration: { retries: { max: 0 } } });
    const { id } = await world.client.startPlanRun('together', 'failover');
    await killGatewaysOf(id, fails.name);
    const run = await ended(id);
    const expected = { [moves.name]: 'moved-back', [fails.name]: 'failed' };
    assert.deepEqual([run.phase, states(run)], ['failed', expected], JSON.stringify(run));
    for (const watched of [moves, fails]) await watched.assertLivesAt('a');
    assert.deepEqual(await world.leftovers(vms), []);
  });

  test('there and back, and there and back again, with disks of their own: one runs, and one is powered off', async () => {
    const runs =
      vms.find(({ name }) => name === 'plan-files') ?? assert.fail('the wave that was rolled back has left it');
    const disk = { kind: 'local' as const, format: 'raw' as const, sizeMib: OFF_DISK_MIB };
    await world.lab.vm.define({ name: 'plan-off', memoryMib: 64, disks: [disk] });
    const image = (site: SiteName) => world.lab.sites[site].host.path(diskPath('plan-off', disk, 0));
    const waves = [{ vms: [vm(runs.name), vm('plan-off')], concurrency: 1 }];
    await world.client.putPlan('chain', { waves, poweredOff: 'move', migration: { retries: { max: 0 } } });
    /** What it has on its disk is new each time: what lay there of the time before is not taken for it. */
    const moved = async (from: SiteName, to: SiteName, begin: () => Promise<PlanRun>): Promise<PlanRun> => {
      const written = randomBytes(OFF_DISK_MIB << 20);
      writeFileSync(image(from), written);
      const run = await ended((await begin()).id);
      assert.equal(run.phase, 'succeeded', JSON.stringify(run));
      assert.deepEqual(states(run), { [runs.name]: 'moved', 'plan-off': 'moved' });
      await runs.assertLivesAt(to);
      assert.ok(readFileSync(image(to)).equals(written), 'the disk is there, to the byte');
      const stands = [await world.lab.vm.state(from, 'plan-off'), await world.lab.vm.state(to, 'plan-off')];
      assert.deepEqual(stands, ['absent', 'shut off']);
      const [off] = run.items.filter(({ vm }) => vm.name === 'plan-off');
      const { purpose, tunnel, report, teardown } = await world.client.getMigration(off?.migrations.at(-1) ?? '');
      assert.deepEqual([purpose, teardown], ['relocation', 'complete']);
      assert.ok((tunnel?.bytesDelivered ?? 0) >= written.length, `through the tunnel went ${JSON.stringify(tunnel)}`);
      assert.deepEqual(report?.keptAtSource, [{ kind: 'disk', id: diskPath('plan-off', disk, 0) }]);
      return run;
    };
    try {
      for (const _ of ['first', 'second']) {
        const there = await moved('a', 'b', () => world.client.startPlanRun('chain', 'failover'));
        await moved('b', 'a', () => world.client.orderPlanRun(there.id, 'fail-back'));
      }
    } finally {
      await world.lab.vm.remove('plan-off');
    }
    assert.deepEqual(await world.leftovers(vms), []);
  });
});

/** As the documentation says. */
async function label(name: string, text: string): Promise<void> {
  const labels = `<labels><label>${text}</label></labels>`;
  const flags = ['--key', 'lmas', '--config', '--live', '--set', labels];
  await world.lab.vm.virsh('a', ['metadata', name, 'urn:lmas:labels:1', ...flags]);
}

/** As soon as the VM's memory moves: SIGKILL to both gateways of its migration, and of no other. */
async function killGatewaysOf(run: string, name: string): Promise<void> {
  const id = await until(async () => {
    const item = (await world.client.getPlanRun(run)).items.find(({ vm }) => vm.name === name);
    return item?.migrations.at(-1);
  }, `${name} was never ordered`);
  await until(
    () => world.client.updateMigration(id, { bandwidthBytesPerSec: 4_000_000 }).catch(() => undefined),
    'no limit',
  );
  assert.ok(await world.reaches(id, 'performing'), 'its memory moved');
  for (const machine of [world.lab.sites.a.gatewayHost, world.lab.sites.b.gatewayHost]) {
    await machine.exec(['pkill', '-KILL', '-f', id], { allowFailure: true });
  }
}
