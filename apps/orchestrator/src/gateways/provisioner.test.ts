/**
 * Gateways in earnest: the real bundle, put in place through a real sshd, joined over loopback, removed again.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { access, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { sshdMissing, startSshd, type TestSshd } from '../../../../packages/ssh/src/testing/sshd.ts';
import { buildGatewayBundle } from '../../../gateway/bundle.ts';
import { errorCode } from '../errors.ts';
import { createLog } from '../log.ts';
import type { CredentialStore, Site, SiteStore } from '../sites/sites.ts';
import { type GatewayBundle, readBundle } from './bundle.ts';
import type { Gateway, GatewayAddress } from './gateway.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { testGatewayMachine } from './machine-test.ts';
import { createSshProvisioner, type SshProvisioner } from './provisioner.ts';
import { Tunnel } from './tunnel.ts';

const skip = sshdMissing();
const installation = randomUUID().slice(0, 8);
/** A directory of its own: other tests use the usual one at the same time. */
const base = `.lmas-test-${installation}`;
const owner = `m_${randomUUID()}`;
const source: GatewayAddress = { site: 'here', owner, end: 'source' };
const destination: GatewayAddress = { site: 'here', owner, end: 'destination' };
const log = createLog('silent');
const signal = AbortSignal.timeout(180_000);

let sshd: TestSshd;
let bundle: GatewayBundle;
let provisioner: SshProvisioner;
/** One with connections of its own, as each orchestrator has it. */
let provide: (bundle: () => Promise<GatewayBundle>) => SshProvisioner;
let site: NonNullable<Site['gateway']>;

const runDirectories = () => readdir(join(homedir(), base, 'gateways', installation)).catch(() => []);
const fences = () => readdir(join(homedir(), base, 'fences'));
const removal = { signal, sparing: false };
const isSuperseded = (error: unknown) => errorCode(error) === 'SUPERSEDED';

before(async () => {
  if (skip) return;
  sshd = await startSshd();
  bundle = await readBundle((await buildGatewayBundle()).path);
  site = {
    ssh: { host: sshd.host, port: sshd.port, hostKeys: [sshd.hostKeys.ed25519], credential: 'c' },
    tunnelAddress: '127.0.0.1',
    tunnelPorts: { min: 17_400, max: 17_499 },
    listens: true,
    hypervisorAddress: '127.0.0.1',
    moreHypervisorAddresses: [],
  };
  const sites = { get: async () => ({ gateway: site }) } as unknown as SiteStore;
  const credentials = {
    reveal: async () => ({ kind: 'ssh-key', username: sshd.username, privateKey: sshd.privateKey }),
  } as unknown as CredentialStore;
  provide = (bundle) =>
    createSshProvisioner({
      sites,
      credentials,
      installation,
      directory: base,
      bundle,
      loginRetryMs: 60_000,
      leaseMs: 20_000,
      log,
    });
  provisioner = provide(async () => bundle);
});
after(async () => {
  if (skip) return;
  await provisioner.sweep('here', async () => false, { signal }).catch(() => undefined);
  await provisioner.close();
  await rm(join(homedir(), base), { recursive: true, force: true });
  await sshd[Symbol.asyncDispose]();
});

test('a pair is started, joined, measured, and leaves nothing', { skip }, async () => {
  const [a, b] = await Promise.all([source, destination].map((end) => provisioner.start(end, 1, { signal })));
  assert.ok(a !== undefined && b !== undefined);
  {
    const kept = (gateway: Gateway) => ({ gateway, site, lease: new LeaseKeeper(gateway, 20_000, log) });
    await using tunnel = new Tunnel({ source: kept(a), destination: kept(b) }, 'aes-256-gcm', log);
    await tunnel.join({ subflows: 2, compression: 'auto', bandwidthBytesPerSec: null, graceMs: 70_000 }, { signal });
    const link = await a.probe(0, { signal });
    assert.ok(link.rttMedianMs < 1_000);
    const stats = await tunnel.stats({ signal });
    assert.equal(stats.suite, 'aes-256-gcm');
  }
  assert.deepEqual((await runDirectories()).sort(), [`${owner}-destination`, `${owner}-source`]);

  await (await provisioner.attach(source, 2, { signal }))?.renewLease(5_000, { signal });
  await assert.rejects(a.renewLease(5_000, { signal }), isSuperseded, 'an older run is refused');
  const { pid } = await a.identity({ signal });
  await provisioner.remove(source, 2, removal);
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  await provisioner.remove(source, 2, removal);
  assert.equal(await provisioner.attach(source, 2, { signal }), undefined);
  assert.deepEqual(await fences(), [`${installation}-${owner}-destination`]);

  assert.deepEqual(await provisioner.sweep('here', async () => true, { signal }), []);
  assert.deepEqual(await provisioner.sweep('here', async () => false, { signal }), [`${owner}-destination`]);
  assert.deepEqual([await runDirectories(), await fences()], [[], []]);
});

test('what an earlier run asks for late leaves the gateway of a later one alone, and all is gone with that', {
  skip,
}, async () => {
  const [asked, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const earlier = provide(async () => {
    asked.resolve();
    await held.promise;
    return bundle;
  });
  const refused = assert.rejects(earlier.start(source, 1, { signal }), isSuperseded);
  await asked.promise; // it is connected, and has yet to look for the program and to start it
  const gateway = await provisioner.start(source, 2, { signal });
  const { pid } = await gateway.identity({ signal });
  held.resolve();
  await refused;
  await assert.rejects(earlier.remove(source, 1, removal), isSuperseded);
  await assert.rejects(earlier.removeBarrier(source, 1, { signal }), isSuperseded);
  await assert.rejects(earlier.attach(source, 1, { signal }), isSuperseded);
  await earlier.close();
  assert.equal((await gateway.identity({ signal })).pid, pid);
  await provisioner.remove(source, 2, removal);
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  assert.deepEqual([await runDirectories(), await fences()], [[], []]);
});

test('a start that comes after everything was taken away is nobody’s: the sweep ends it, and removes a fence that was left', {
  skip,
}, async () => {
  await (await provisioner.start(source, 2, { signal })).close();
  await provisioner.remove(source, 2, removal);
  const { pid } = await (await provisioner.start(source, 1, { signal })).identity({ signal });
  // Of a removal that was killed before its end.
  await writeFile(join(homedir(), base, 'fences', `${installation}-${owner}-destination`), '2\n');
  const swept = await provisioner.sweep('here', async () => false, { signal });
  assert.deepEqual(swept, [`${owner}-destination`, `${owner}-source`]);
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  assert.deepEqual([await runDirectories(), await fences()], [[], []]);
});

test('a machine is looked at over SSH, and the program there says what its kernel lacks', { skip }, async () => {
  const { ok, checks } = await testGatewayMachine(provisioner, 'here', { signal });
  assert.ok(ok, JSON.stringify(checks));
  const statusOf = (name: string) => checks.find((check) => check.name === name)?.status;
  assert.deepEqual(['SSH', 'system', 'tools', 'gateway program', 'encryption'].map(statusOf), Array(5).fill('ok'));
  const hostKeys: [string] = [`SHA256:${'A'.repeat(43)}`];
  const genuine = site;
  site = { ...site, ssh: { ...site.ssh, hostKeys } };
  try {
    const stranger = await testGatewayMachine(provisioner, 'here', { signal });
    assert.deepEqual([stranger.ok, stranger.checks.length], [false, 1]);
    assert.match(stranger.checks[0]?.remedy ?? '', /pin the new key/);
  } finally {
    site = genuine;
  }
});

test('only our program is run to be asked, and only as it was uploaded', { skip }, async () => {
  const programCheck = async () => {
    const { checks } = await testGatewayMachine(provisioner, 'here', { signal });
    return checks.find(({ name }) => name === 'gateway program');
  };
  const bundles = join(homedir(), base, 'bundles');
  const trace = join(homedir(), base, 'was-run');
  // Newer than ours, and somebody else's.
  const foreign = join(bundles, 'f'.repeat(64), 'lmas-gateway/bin');
  await mkdir(foreign, { recursive: true });
  await writeFile(join(foreign, 'lmas-gateway'), `#!/bin/sh\ntouch '${trace}'\n`, { mode: 0o755 });
  assert.equal((await programCheck())?.status, 'ok');
  const program = join(bundles, bundle.sha256, bundle.root, 'bin/lmas-gateway');
  const genuine = await readFile(program);
  await writeFile(program, `#!/bin/sh\ntouch '${trace}'\n`);
  const changed = await programCheck();
  await writeFile(program, genuine);
  assert.match(changed?.found ?? '', /GATEWAY_CORRUPT/);
  await rm(join(bundles, 'f'.repeat(64)), { recursive: true });
  await assert.rejects(access(trace), { code: 'ENOENT' });
  assert.equal((await programCheck())?.status, 'ok');
});

test('a program that was changed at the site is replaced before it is started', { skip }, async () => {
  const program = join(homedir(), base, 'bundles', bundle.sha256, bundle.root, 'lib/main.mjs');
  await writeFile(program, 'process.exit(3);\n');
  const gateway = await provisioner.start(source, 1, { signal });
  assert.equal((await gateway.identity({ signal })).apiVersion, 1);
  await provisioner.remove(source, 1, removal);
});

test('a start again replaces what an earlier attempt left', { skip }, async () => {
  const first = await (await provisioner.start(source, 1, { signal })).identity({ signal });
  const second = await (await provisioner.start(source, 2, { signal })).identity({ signal });
  assert.notEqual(first.pid, second.pid);
  assert.throws(() => process.kill(first.pid, 0), { code: 'ESRCH' });
  await provisioner.remove(source, 2, removal);
});
