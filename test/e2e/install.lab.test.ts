/**
 * The Debian package on a machine that has nothing but Debian: installed, started by its own units under a real systemd with all
 * that hardens them, a VM moved by the installed command line, two gateways by hand, upgraded with everything kept, removed,
 * purged; then nothing is left. Before that it is taken apart into its roles, see installed-roles.ts.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '../../apps/orchestrator/src/config.ts';
import { buildDeb } from '../../deploy/debian/build.ts';
import { DebianMachine } from './debian-machine.ts';
import { dropRedis, InstalledRoles, ROLE_UNITS, typeBlock } from './installed-roles.ts';

const UNITS = ['lmas-orchestrator.service', 'lmas-orchestrator@.service', 'lmas-gateway@.service'];
/** Of systemd-analyze security, in tenths: 0 is shut, 100 wide open. Above 50 it calls a unit medium. */
const EXPOSURE: Record<string, number> = {
  'lmas-orchestrator.service': 20,
  'lmas-orchestrator@.service': 20,
  'lmas-gateway@.service': 30,
};
const GATEWAY_BYTES = 3_000_000;
const WAIT_MS = 60_000;
const POLL_MS = 100;
const skip = process.getuid?.() === 0 ? false : 'Installing needs root.';

/** What somebody else may write: a plugin as one file of JavaScript, far from the package. */
const FOREIGN_PLUGIN = `
import plugin from '/usr/lib/lmas/orchestrator/node_modules/@lmas/plugin-simulated/plugin.mjs';
export default { ...plugin, name: 'foreign' };
`;

/** Sends so many bytes from one end of the tunnel to the other, and says what came. */
const PEER = `
const net = require('node:net'), crypto = require('node:crypto');
const out = crypto.randomBytes(${GATEWAY_BYTES}), hash = (data) => crypto.createHash('sha1').update(data).digest('hex');
const server = net.createServer((socket) => {
  const parts = [];
  socket.on('data', (part) => parts.push(part));
  socket.on('end', () => { console.log(hash(out) === hash(Buffer.concat(parts)) ? 'same' : 'different'); process.exit(); });
}).listen(9001, '127.0.0.1', () => net.connect(9000, '127.0.0.2').end(out));
`;

/** Waits for something that happens by itself in the machine. */
async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`In vain waited for this: ${what}.`);
    await sleep(POLL_MS);
  }
}

const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

/** Of a machine that nobody uses: but for what every start and dpkg itself write. */
async function files(machine: DebianMachine): Promise<string[]> {
  const pruned = ['/proc', '/sys', '/dev', '/run', '/tmp', '/var/lib/dpkg', '/var/log', '/var/tmp'];
  const prune = pruned.flatMap((at) => ['-path', at, '-prune', '-o']);
  return (await machine.must(['find', '/', ...prune, '-print'])).trim().split('\n').sort();
}

describe('the Debian package', { skip }, () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'lmas-install-'));
  let making: Promise<DebianMachine> | undefined;
  let machine: DebianMachine;
  let first = '';
  let second = '';
  let untouched: string[] = [];
  const lmas = (...args: string[]) => machine.must(['lmas', ...args]);
  const dpkg = (...args: string[]) => machine.must(['/usr/bin/dpkg', ...args]);
  const state = async (unit: string) => (await machine.exec(['systemctl', 'is-active', unit])).stdout.trim();
  const pid = (unit: string) => machine.must(['systemctl', 'show', '--property=MainPID', '--value', unit]);
  const isReady = async () => (await machine.exec(['lmas', 'version'])).stdout.includes(': ready');

  /** Two hosts of a world that is the orchestrator's own. */
  async function setTheStage(command: (...args: string[]) => Promise<string>): Promise<void> {
    writeFileSync(machine.path('/root/secret'), 'x');
    await command('credential', 'add', 'any', '--username', 'any', '--password-file', '/root/secret');
    rmSync(machine.path('/root/secret'));
    for (const site of ['a', 'b']) await command('site', 'add', site);
    const vms = ['web-1', 'web-2'].map((name) => ({ name, memoryBytes: 1_048_576 }));
    const endpoint = (id: string, ...config: string[]) =>
      command('endpoint', 'add', `host-${id}`, '--site', id, '--plugin', 'simulated', '--credential', 'any', ...config);
    await endpoint('a', '--config', 'host=a', '--config', `vms=${JSON.stringify(vms)}`);
    await endpoint('b', '--config', 'host=b');
  }

  before(
    async () => {
      // Packed in a hurry: they are thrown away.
      const make = (suffix: string) => buildDeb({ suffix, out: path.join(directory, 'a'), compression: 'gzip' });
      first = await make('+1');
      second = await make('+2');
    },
    { timeout: 240_000 },
  );
  before(
    async () => {
      making = DebianMachine.make(['systemd', 'redis-server']);
      machine = await making;
      await machine.boot();
      // For the orchestrator its program is enough.
      await machine.must(['systemctl', 'disable', '--now', 'redis-server']);
      await dropRedis(machine);
      untouched = await files(machine);
      for (const file of [first, second]) cpSync(file, machine.path(`/tmp/${path.basename(file)}`));
    },
    { timeout: 240_000 },
  );
  // Also one that came too late.
  after(async () => {
    const made = await making?.catch(() => undefined);
    await made?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  const installed = (file: string) => `/tmp/${path.basename(file)}`;

  test('the same sources give the same bytes', { timeout: 60_000 }, async () => {
    const again = await buildDeb({ suffix: '+1', out: path.join(directory, 'b'), compression: 'gzip' });
    assert.equal(sha256(again), sha256(first));
  });

  test('is installed without starting anything', { timeout: 60_000 }, async () => {
    await dpkg('--install', installed(first));
    assert.equal(await state('lmas-orchestrator'), 'inactive');
    assert.match(await lmas('--version'), /^\d+\.\d+\.\d+\+1$/m);
    assert.match(await machine.must(['lmas-gateway', '--version']), /\d+\.\d+\.\d+/);
    assert.match(await machine.must(['lmas-orchestrator', '--help']), /LMAS_REDIS_SERVER/);
    assert.equal((await machine.exec(['stat', '-c', '%a', '/etc/lmas/orchestrator.env'])).stdout.trim(), '600');
    // What an interrupted configuration does again.
    await machine.must(['/var/lib/dpkg/info/lmas.postinst', 'configure']);
  });

  test('its units are valid and shut tight', { timeout: 60_000 }, async () => {
    for (const unit of UNITS) {
      const file = `/usr/lib/systemd/system/${unit}`;
      const { code, stderr } = await machine.exec([
        'systemd-analyze',
        'verify',
        '--man=no',
        file.replace('@.', '@worker.'),
      ]);
      assert.deepEqual([code, stderr], [0, ''], unit);
      const threshold = `--threshold=${EXPOSURE[unit]}`;
      const judged = await machine.exec(['systemd-analyze', 'security', '--offline=yes', threshold, file]);
      assert.equal(judged.code, 0, `${unit}\n${judged.stdout}`);
    }
  });

  test('Debian finds nothing wrong with it', { timeout: 240_000 }, () => {
    const { status, stdout, stderr } = spawnSync('lintian', ['--fail-on', 'error,warning', '--allow-root', first], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, `${stdout}\n${stderr}`);
  });

  test('moves a VM, with plugins of its own and of others', { timeout: 90_000 }, async () => {
    const plugins = [...readConfig({}).plugins, '@lmas/plugin-simulated', '/opt/foreign/plugin.mjs'].join(',');
    mkdirSync(machine.path('/opt/foreign'));
    writeFileSync(machine.path('/opt/foreign/plugin.mjs'), FOREIGN_PLUGIN);
    await machine.must(['sed', '-i', `s|^#LMAS_PLUGINS=.*|LMAS_PLUGINS=${plugins}|`, '/etc/lmas/orchestrator.env']);
    await machine.must(['systemctl', 'enable', '--now', 'lmas-orchestrator']);
    await until('the orchestrator is ready', isReady);
    assert.match(await lmas('plugin', 'list'), /^foreign /m);

    await setTheStage(lmas);
    const flags = ['--from', 'host-a', '--to', 'host-b', '--direct', '--option', 'durationMs=200', '--watch'];
    assert.match(await lmas('migrate', 'web-1', ...flags), /web-1 runs at host-b now/);
  });

  test('runs gateways by hand, as a user that is not the orchestrator’s', { timeout: 60_000 }, async () => {
    const ends = {
      near: { kind: 'dial', host: '127.0.0.1', port: 7400 },
      far: { kind: 'listen', address: '127.0.0.1', port: 7400 },
    };
    const routes = {
      near: { kind: 'listen', address: '127.0.0.2', port: 9000, allowFrom: ['127.0.0.1'] },
      far: { kind: 'dial', host: '127.0.0.1', port: 9001, allowSpecialAddress: true },
    };
    const at = (name: string) => `/etc/lmas/gateways/${name}`;
    for (const name of ['near', 'far'] as const) {
      await machine.must(['lmas-gateway', 'keygen', '--out', at(name)]);
      const config = {
        ...{ certificateFile: 'certificate.pem', keyFile: 'key.pem', peerCertificateFile: 'peer.pem' },
        controlSocket: `/run/lmas-gateway/${name}/control.sock`,
        session: { sessionId: '2d0b8c4e-6a55-4c0c-9b0f-1f3c5f0a7d21', role: ends[name], subflows: 2 },
        routes: { main: { maxStreams: 4, priority: 'bulk', ...routes[name] } },
      };
      writeFileSync(machine.path(`${at(name)}/gateway.json`), JSON.stringify(config));
    }
    cpSync(machine.path(`${at('near')}/certificate.pem`), machine.path(`${at('far')}/peer.pem`));
    cpSync(machine.path(`${at('far')}/certificate.pem`), machine.path(`${at('near')}/peer.pem`));
    await machine.must(['systemctl', 'start', 'lmas-gateway@near', 'lmas-gateway@far']);
    const socket = '/run/lmas-gateway/near/control.sock';
    await until('the gateways have found each other', async () =>
      (await machine.exec(['lmas-gateway', 'status', '--json', '--control', socket])).stdout.includes('"established"'),
    );
    assert.equal((await machine.must(['/usr/lib/lmas/node', '-e', PEER])).trim(), 'same');
    const owner = await machine.must(['stat', '-c', '%U', `/proc/${(await pid('lmas-gateway@far')).trim()}`]);
    assert.match(owner, /^lmas-gateway$/m);
  });

  test('is backed up and restored by what the page has people type', { timeout: 60_000 }, async () => {
    const typed = (what: string) => typeBlock(machine, 'docs/upgrade-and-backup.md', what);
    const migrations = JSON.parse(await lmas('list', '--json'));
    assert.ok(migrations.items.length > 0);
    await typed('backup');
    assert.equal((await machine.must(['stat', '-c', '%a', '/root/lmas.rdb', '/root/master-key'])).trim(), '600\n600');
    await lmas('site', 'add', 'later');

    await typed('restore');
    await until('the restored orchestrator is ready', isReady);
    assert.deepEqual(JSON.parse(await lmas('list', '--json')), migrations);
    assert.doesNotMatch(await lmas('site', 'list'), /later/);
    await lmas('endpoint', 'test', 'host-a'); // with a credential that the restored master key opens
    assert.equal(await machine.must(['find', '/var/lib/lmas', '-not', '-user', 'lmas']), '');
    await machine.must(['/bin/sh', '-c', 'rm -r /var/lib/lmas.before /root/lmas.rdb /root/*-key']);
  });

  test('an upgrade keeps records, settings and running gateways', { timeout: 90_000 }, async () => {
    const before = JSON.parse(await lmas('list', '--json'));
    const [orchestrator, gateway] = await Promise.all([pid('lmas-orchestrator'), pid('lmas-gateway@near')]);
    await dpkg('--install', installed(second));
    await until(
      'the new orchestrator is ready',
      async () => (await isReady()) && (await pid('lmas-orchestrator')) !== orchestrator,
    );
    assert.match(await lmas('version'), /^orchestrator \S+\+2 /m);
    assert.deepEqual(JSON.parse(await lmas('list', '--json')), before);
    assert.match(await lmas('plugin', 'list'), /^foreign /m);
    assert.equal(await pid('lmas-gateway@near'), gateway);
    assert.match(await lmas('credential', 'list'), /any/);
  });

  describe('several processes, as the pages have people type it', () => {
    const roles = () => new InstalledRoles(machine, until);
    const move = (vm: string, durationMs: number) => [
      ...['migrate', vm, '--from', 'host-a', '--to', 'host-b', '--direct', '--option', `durationMs=${durationMs}`],
    ];

    test('on a shared Redis: roles, the first key, a move, a worker that is killed in one', {
      timeout: 120_000,
    }, async () => {
      await machine.must(['systemctl', 'enable', '--now', 'redis-server']);
      await typeBlock(machine, 'docs/install.md', 'redis');
      await typeBlock(machine, 'docs/install.md', 'roles');
      const installation = roles();
      await installation.ready();
      await installation.redisIsShut();
      assert.match(await typeBlock(machine, 'docs/install.md', 'roles-key'), /: ready/);
      const key = (await machine.must(['/bin/sh', '-c', 'ls /var/lib/lmas/role-*/api-key'])).trim();
      assert.deepEqual(JSON.parse(await installation.lmas(key, 'list', '--json')).items, []);

      await setTheStage((...args) => installation.lmas(key, ...args));
      assert.match(await installation.lmas(key, ...move('web-1', 200), '--watch'), /web-1 runs at host-b now/);
      const { id } = JSON.parse(await installation.lmas(key, ...move('web-2', 60_000), '--json'));
      const record = async () => JSON.parse(await installation.lmas(key, 'get', id, '--json'));
      await until('the VM moves', async () => (await record()).phase === 'performing');
      await machine.must(['/bin/sh', '-c', `kill -9 ${(await pid('lmas-orchestrator@worker')).trim()}`]);
      await until('the migration has ended', async () => (await record()).endedAt !== null);
      const { phase, where, teardown } = await record();
      assert.deepEqual([phase, where, teardown], ['failed', 'source', 'complete']);
    });

    test('the records of the private Redis come into the shared one', { timeout: 90_000 }, async () => {
      await roles().remove();
      await machine.must(['systemctl', 'start', 'lmas-orchestrator']);
      await until('the single process is ready again', isReady);
      const before = JSON.parse(await lmas('list', '--json'));
      assert.ok(before.items.length > 0);
      for (const block of ['leave', 'move', 'arrive']) await typeBlock(machine, 'docs/upgrade-and-backup.md', block);
      await roles().ready();
      await roles().redisIsShut();
      await until('the API is ready', isReady); // with the key as before
      await lmas('queue', 'resume');
      assert.deepEqual(JSON.parse(await lmas('list', '--json')), before);
      await lmas('endpoint', 'test', 'host-a'); // with a credential that the old master key opens
      await machine.must(['systemctl', 'restart', 'redis-server']); // from its append-only file
      await until('the API is ready again', isReady);
      assert.deepEqual(JSON.parse(await lmas('list', '--json')), before);
    });

    test('an upgrade takes all of them along', { timeout: 90_000 }, async () => {
      const key = '/var/lib/lmas/api-key';
      for (const [file, version] of [
        [first, '+1'],
        [second, '+2'],
      ] as const) {
        await dpkg('--install', installed(file));
        await until(`all run ${version}`, async () =>
          (await roles().versions(key)).every((each) => each?.endsWith(version) === true),
        );
      }
    });
  });

  test('removal keeps the data, and a purge says what it takes', { timeout: 60_000 }, async () => {
    await dpkg('--remove', 'lmas');
    for (const unit of ['lmas-orchestrator', ...ROLE_UNITS, 'lmas-gateway@near']) {
      assert.notEqual(await state(unit), 'active', unit);
    }
    assert.ok(existsSync(machine.path('/var/lib/lmas/master-key')));
    assert.ok(existsSync(machine.path('/etc/lmas/gateways/near/key.pem')));
    await dpkg('--install', installed(second));
    await machine.must(['systemctl', 'start', 'lmas-orchestrator']);
    await until('the orchestrator is ready again', isReady);
    assert.match(await lmas('list'), /web-1/);
    await machine.must(['systemctl', 'disable', '--now', 'redis-server']);
    await dropRedis(machine);

    const said = await dpkg('--purge', 'lmas');
    assert.match(said, /removing \/var\/lib\/lmas .*master key/);
    rmSync(machine.path('/opt/foreign'), { recursive: true });
    const left = (await files(machine)).filter((file) => !untouched.includes(file));
    assert.deepEqual(left, []);
    assert.doesNotMatch(readFileSync(machine.path('/etc/passwd'), 'utf8'), /^lmas/m);
    assert.deepEqual(
      readdirSync(machine.path('/run')).filter((name) => name.startsWith('lmas')),
      [],
    );
  });
});
