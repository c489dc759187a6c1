/** `lmas endpoint test` at a pool and at a host with plain Xen: each step, and what makes it fail. Nothing is changed there. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import type { EndpointSession } from '@lmas/plugin-api';
import { startSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { PASSWORD, XenWorld } from '../compliance/xen-world.ts';
import { DOM0_SSHD, plugin, XlWorld, xlMissing } from '../compliance/xl-world.ts';

const signal = AbortSignal.timeout(110_000);

async function outcomes(session: EndpointSession): Promise<Record<string, string>> {
  assert.ok(session.verify !== undefined);
  const steps = await Array.fromAsync(session.verify({ signal }));
  for (const { outcome, seen, remedy } of steps) {
    assert.ok(seen.length > 5);
    assert.ok(outcome !== 'failed' || (remedy ?? '').length > 5, `a failure has a remedy: ${seen}`);
  }
  return Object.fromEntries(steps.map(({ name, outcome }) => [name, outcome]));
}

const allOf = (names: readonly string[], changed: Record<string, string> = {}) => ({
  ...Object.fromEntries(names.map((name) => [name, 'ok'])),
  ...changed,
});
const POOL = [
  'records',
  'release',
  'rights',
  'sessions',
  'events',
  'hosts',
  'members',
  'migration-network',
  'storage',
  'storage-motion',
];
const READS =
  /^(session\.(login_with_password|logout|get_by_uuid)|[A-Za-z_]+\.get_all(_records)?|event\.from|VM\.assert_can_migrate)$/;

test('a pool: every step is taken, and only reads', async () => {
  await using world = await XenWorld.make();
  assert.deepEqual(await outcomes(await world.session(world.source)), allOf(POOL));
  assert.deepEqual(
    world.source.calls.filter((method) => !READS.test(method)),
    [],
  );
});

test('a pool: what is not as it has to be is said', async () => {
  await using world = await XenWorld.make();
  const { source } = world;
  const session = await world.session(source, PASSWORD, undefined, ['alpha-1', 'gamma-1']);
  source.faults.refuse = { method: 'VM.assert_can_migrate', code: 'RBAC_PERMISSION_DENIED' };
  for (const ref of source.database.table('PIF').keys()) source.database.update('PIF', ref, { IP: '' });
  for (const ref of source.database.table('host').keys()) {
    const platform = { software_version: { platform_version: '1.9.0' } };
    source.database.update('host', ref, { ...platform, license_params: { restrict_storage_xen_motion: 'true' } });
  }
  const failed = ['release', 'rights', 'hosts', 'migration-network', 'storage-motion'];
  assert.deepEqual(await outcomes(session), allOf(POOL, Object.fromEntries(failed.map((name) => [name, 'failed']))));
});

test('a pool: a login that may not ask for sessions may migrate all the same, and what that means is said', async () => {
  await using world = await XenWorld.make();
  world.source.faults.refuse = { method: 'session.get_by_uuid', code: 'RBAC_PERMISSION_DENIED' };
  assert.deepEqual(await outcomes(await world.session(world.source)), allOf(POOL, { sessions: 'skipped' }));
});

test('a pool: a member whose certificate nobody pinned is found before it becomes coordinator', async () => {
  await using world = await XenWorld.make();
  const session = await world.session(world.source, PASSWORD, 'alpha-1');
  assert.deepEqual(await outcomes(session), allOf(POOL, { members: 'failed' }));
});

test('a pool that shows no member, or none at this site, is not well in anything that is said of its members', async () => {
  await using world = await XenWorld.make();
  const ofMembers = ['migration-network', 'storage', 'storage-motion'];
  const session = await world.session(world.source, PASSWORD, undefined, ['gamma-1']);
  const none = { hosts: 'failed', ...Object.fromEntries(ofMembers.map((name) => [name, 'skipped'])) };
  assert.deepEqual(await outcomes(session), allOf(POOL, none));
  const all = await world.session(world.source);
  for (const ref of world.source.database.table('host').keys()) world.source.database.remove('host', ref);
  assert.deepEqual(await outcomes(all), allOf(POOL, { ...none, members: 'failed', release: 'failed' }));
});

test('a pool: members that are not reached at any address, or that show the certificate of another, are not trusted', async () => {
  await using world = await XenWorld.make();
  const { database } = world.source;
  const host = database.byName('host', 'alpha-2');
  for (const address of ['', world.destination.spec.members[0]?.management ?? '']) {
    database.update('host', host, { address });
    assert.deepEqual(await outcomes(await world.session(world.source)), allOf(POOL, { members: 'failed' }));
  }
});

test('a host with plain Xen: every step is taken, and nothing is left there', { skip: xlMissing() }, async () => {
  await using sshd = await startSshd(DOM0_SSHD);
  await using world = await XlWorld.make(sshd, { cannotResume: true });
  const names = [
    'xl',
    'root',
    'resume',
    'migration-address',
    'run-directory',
    'half-moved',
    'shared-storage',
    'networks',
  ];
  const before = readdirSync(world.source.host.directory);
  await using held = new AsyncDisposableStack();
  const good = await world.connectTo(world.source);
  held.defer(() => good.close());
  assert.deepEqual(await outcomes(good), allOf(names));
  const elsewhere = { migrationAddress: '192.0.2.1', sharedPaths: ['/nowhere'], runDirectory: '/sys/lmas-xl' };
  const config = plugin.configSchema.parse({ ...world.source.config, ...elsewhere });
  const bad = await world.connectTo({ ...world.source, config });
  held.defer(() => bad.close());
  const failed = { 'migration-address': 'failed', 'shared-storage': 'failed', 'run-directory': 'failed' };
  assert.deepEqual(await outcomes(bad), allOf(names, failed));
  assert.deepEqual(readdirSync(world.source.host.directory), before);
  const { runDirectory } = world.source.config;
  assert.ok(!existsSync(runDirectory), 'not even the run directory');
  mkdirSync(runDirectory, { recursive: true });
  chmodSync(runDirectory, 0o777);
  assert.deepEqual(await outcomes(await world.connectTo(world.source)), allOf(names, { 'run-directory': 'failed' }));
});
