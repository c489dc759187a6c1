/** The inventory, as the vCenter tells it: in pages, once, and from then on what has changed; whatever becomes of the session in between. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EndpointSession, Inventory } from '@lmas/plugin-api';
import { alpha, vmSpec } from '../lab/vsphere/two-vcenters.ts';
import type { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { Rehearsal } from './rehearsal.ts';

/** More than one page of 200, and more than two. */
const MANY = 430;
const NAMES = ['shop', ...Array.from({ length: MANY - 1 }, (_, i) => `vm-${String(i).padStart(3, '0')}`)];
const manyVms = { hosts: alpha(NAMES.map((name) => vmSpec(name))).hosts };

/** What changes is told; only of quickStats it is not, so the hosts' use of memory is read. */
const ONE_LOOK = ['WaitForUpdatesEx', 'RetrievePropertiesEx'];

const names = ({ vms }: Inventory): string[] => vms.map(({ name }) => name).sort();
const vmOf = ({ endpoint }: LocalVcenter, name: string) => {
  const ref = endpoint.objects.byName('VirtualMachine', name);
  assert.ok(ref !== undefined, name);
  return ref;
};

/** What a look asked of the vCenter. */
async function askedFor(vcenter: LocalVcenter, look: () => Promise<unknown>): Promise<string[]> {
  const before = vcenter.endpoint.calls.length;
  await look();
  return vcenter.endpoint.calls.slice(before);
}

for (const protocol of ['soap', 'json'] as const) {
  describe(`the inventory (${protocol})`, { concurrency: 1 }, () => {
    const many = async (use: (rehearsal: Rehearsal, session: EndpointSession) => Promise<void>) => {
      await using rehearsal = await Rehearsal.make({ protocol, source: manyVms });
      await use(rehearsal, await rehearsal.world.session('source'));
      assert.deepEqual(rehearsal.world.violations(), []);
    };

    test(`has all of ${MANY} VMs, page by page, and finds one on the last`, async () => {
      await many(async ({ world, signal }, session) => {
        const search = await askedFor(world.source, async () => {
          const last = NAMES.at(-1) ?? '';
          assert.equal((await session.findVm(last, { signal })).name, last);
        });
        assert.equal(search.filter((call) => call === 'ContinueRetrievePropertiesEx').length, 2, search.join());
        const pages = await askedFor(world.source, async () => {
          assert.deepEqual(names(await session.inventory({ signal })), [...NAMES].sort());
        });
        assert.ok(pages.filter((call) => call === 'WaitForUpdatesEx').length >= 3, pages.join());
        const followed = await askedFor(world.source, async () => {
          const { id, name } = await session.findVm(NAMES.at(-1) ?? '', { signal });
          assert.deepEqual([id, name], [vmSpec(name).instanceUuid, NAMES.at(-1)]);
          assert.equal((await session.findVm(id, { signal })).name, name);
        });
        assert.deepEqual([...new Set(followed)], ['WaitForUpdatesEx'], 'once the inventory is there, it is searched');
        await assert.rejects(session.findVm('nobody', { signal }), { code: 'VM_NOT_FOUND' });
      });
    });

    test('what vSphere tells no changes of is read for each look', async () => {
      await using rehearsal = await Rehearsal.make({ protocol });
      const { world, signal } = rehearsal;
      const { objects } = world.source.endpoint;
      const session = await world.session('source');
      const before = (await session.inventory({ signal })).host.memoryFreeBytes;
      const [host] = objects.all('HostSystem');
      assert.ok(host !== undefined);
      const { quickStats } = objects.get(host.ref, 'summary') as { quickStats: { overallMemoryUsage: number } };
      const busier = { ...quickStats, overallMemoryUsage: quickStats.overallMemoryUsage + 100 };
      objects.merge(host.ref, 'summary', { quickStats: busier });
      assert.equal((await session.inventory({ signal })).host.memoryFreeBytes, before - 100 * 1024 ** 2);
    });

    test('who gives up a look leaves nothing behind at the vCenter, and takes nothing from the next', async () => {
      await using rehearsal = await Rehearsal.make({ protocol });
      const { world, signal } = rehearsal;
      const { endpoint } = world.source;
      const session = await world.session('source');
      const left = () =>
        endpoint.objects.all('ContainerView').length + endpoint.objects.all('PropertyCollector').length;
      const before = left();
      for (const method of ['CreateContainerView', 'CreatePropertyCollector', 'CreateFilter']) {
        const mind = new AbortController();
        endpoint.onCall = (called) => {
          if (called === method) mind.abort(new Error('enough'));
        };
        const skip = method === 'CreateContainerView' ? 1 : 0;
        endpoint.faults.add({ method, skip, times: 1, effect: { kind: 'delay', ms: 50 } });
        await assert.rejects(session.inventory({ signal: mind.signal }));
        endpoint.onCall = () => undefined;
      }
      assert.deepEqual(names(await session.inventory({ signal })), ['shop']);
      // Five views and a collector are followed; and of what was just being made when its answer was not waited for nobody can know.
      assert.ok(left() - before <= 6 + 2, `${left() - before}`);
    });

    test('how busy it is: what VMs send and receive is asked for in parts, and unknown of those that it does not tell', async () => {
      await many(async ({ world, signal }, session) => {
        const { networkUse, calls, faults } = world.source.endpoint;
        networkUse.set(vmSpec('shop').instanceUuid, 10);
        networkUse.set(vmSpec('vm-428').instanceUuid, 0);
        const used = async () => {
          const { vms = [] } = (await session.load?.({ signal, intervalMs: 20_000 })) ?? {};
          const known = vms.filter(({ networkBytesPerSec }) => networkBytesPerSec !== null);
          return [vms.length, known.map(({ networkBytesPerSec }) => networkBytesPerSec).sort()];
        };
        assert.deepEqual(await used(), [MANY, [0, 10_240]]);
        assert.equal(calls.filter((call) => call === 'QueryPerf').length, Math.ceil(MANY / 64));
        faults.set([{ method: 'QueryPerf', effect: { kind: 'fault', fault: { name: 'HostNotConnected' } } }]);
        assert.deepEqual(await used(), [MANY, []]);
        faults.set([]);
      });
    });

    test('follows what changes, comes and goes, and fetches nothing anew for it', async () => {
      await using rehearsal = await Rehearsal.make({ protocol });
      const { world, signal } = rehearsal;
      const { endpoint } = world.source;
      const session = await world.session('source');
      const look = () => session.inventory({ signal });
      assert.deepEqual(names(await look()), ['shop']);
      const there = await world.session('destination');
      assert.deepEqual(names(await there.inventory({ signal })), []);
      const seen: (string | undefined)[] = [];
      const changed = await askedFor(world.source, async () => {
        endpoint.objects.set(vmOf(world.source, 'shop'), { name: 'boutique' });
        seen.push(names(await look()).join());
        endpoint.objects.merge(vmOf(world.source, 'boutique'), 'config', { instanceUuid: undefined });
        seen.push((await look()).vms[0]?.id);
        endpoint.objects.merge(vmOf(world.source, 'boutique'), 'config', { instanceUuid: world.vm.id });
        seen.push((await look()).vms[0]?.id);
      });
      assert.deepEqual(seen, ['boutique', vmOf(world.source, 'boutique').value, world.vm.id]);
      await rehearsal.move(await rehearsal.driver());
      const left = await askedFor(world.source, async () => assert.deepEqual(names(await look()), []));
      const came = await askedFor(world.destination, async () => {
        assert.deepEqual(names(await there.inventory({ signal })), ['shop']);
      });
      const looks = [...changed, ...left, ...came];
      assert.deepEqual(looks, Array(5).fill(ONE_LOOK).flat(), 'no view or filter, and nothing else is read');
    });

    test('one object that cannot be read is left out, and told in the log; asked for by itself it is an error', async () => {
      const { hosts } = alpha(['shop', 'hidden'].map((name) => vmSpec(name)));
      const source = { hosts: hosts.map((host) => ({ ...host, gateways: { vmotion: '127.1.1.1' } })) };
      await using rehearsal = await Rehearsal.make({ protocol, source });
      const { world, signal } = rehearsal;
      const hidden = vmOf(world.source, 'hidden');
      const session = await world.session('source');
      world.source.endpoint.objects.set(hidden, { name: undefined });
      for (let look = 0; look < 2; look += 1) assert.deepEqual(names(await session.inventory({ signal })), ['shop']);
      assert.equal((await session.load?.({ signal, intervalMs: 20_000 }))?.vms?.length, 2, 'its name is not asked for');
      assert.equal((await session.findVm('shop', { signal })).name, 'shop');
      await assert.rejects(session.findVm(vmSpec('hidden').instanceUuid, { signal }), { code: 'HYPERVISOR_FAULT' });
      const told = world.log.filter((line) => line.includes(hidden.value));
      assert.equal(told.length, 1, world.log.join('\n'));
      await rehearsal.move(await rehearsal.driver());
      assert.deepEqual(world.running(), ['esx-b1']);
    });

    test('a session that ends between two pages: everything is fetched once more, and nothing is missing', async () => {
      await many(async ({ world, signal }, session) => {
        world.source.endpoint.faults.add({
          ...{ method: 'WaitForUpdatesEx', skip: 1, times: 1 },
          effect: { kind: 'expire-session' },
        });
        assert.deepEqual(names(await session.inventory({ signal })), [...NAMES].sort());
        assert.equal(world.source.endpoint.calls.filter((call) => call === 'Login').length, 2);
        const later = await askedFor(world.source, () => session.inventory({ signal }));
        assert.deepEqual(later, ONE_LOOK, 'the new session is followed as the old one was');
      });
    });

    test('a session that ends between two looks: what has changed meanwhile is seen', async () => {
      await using rehearsal = await Rehearsal.make({ protocol });
      const { world, signal } = rehearsal;
      const session = await world.session('source');
      await session.inventory({ signal });
      world.source.endpoint.sessions.endAll();
      world.source.endpoint.objects.set(vmOf(world.source, 'shop'), { name: 'boutique' });
      assert.deepEqual(names(await session.inventory({ signal })), ['boutique']);
    });

    test('a page that is lost on its way is told again, and those before it are not forgotten', async () => {
      await many(async ({ world, signal }, session) => {
        world.source.endpoint.faults.add({
          ...{ method: 'WaitForUpdatesEx', skip: 1, times: 1 },
          effect: { kind: 'drop', done: true },
        });
        await assert.rejects(session.inventory({ signal }), { code: 'CONNECTION_LOST' });
        assert.deepEqual(names(await session.inventory({ signal })), [...NAMES].sort());
      });
    });
  });
}
