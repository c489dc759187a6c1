/**
 * The pages of VMware and Xen, typed: what stands under "Step by step" for the orchestrator, at the vCenters, pools and hosts of the lab, with
 * the names and addresses that these have. A real orchestrator and its command line; gateways that are simulated.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { HypervisorPlugin } from '@lmas/plugin-api';
import { serveWorld } from '@lmas/plugin-simulated/world';
import { readConfig } from '../../apps/orchestrator/src/config.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { startOrchestrator } from '../../apps/orchestrator/src/main.ts';
import { createRegistry } from '../../apps/orchestrator/src/plugins/registry.ts';
import { startSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { plugin as vmware } from '../compliance/vmware-world.ts';
import { PASSWORD, XenWorld, plugin as xen } from '../compliance/xen-world.ts';
import { DOM0_SSHD, VM as XL_VM, type XlHost, XlWorld, plugin as xl, xlMissing } from '../compliance/xl-world.ts';
import { alpha, beta, VCENTER_LOGIN } from '../lab/vsphere/two-vcenters.ts';
import { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { createSimulatedProvisioner, hostOfWorld } from '../simulated/gateways.ts';
import { PairWorld } from '../simulated/world.ts';
import { GATEWAYS } from '../vmware/rehearsal.ts';
import { SHORT } from '../workflow/harness.ts';
import { codeBlocksOf, root } from './markdown.ts';

const run = promisify(execFile);
const SITES = ['a', 'b'] as const;
type Site = (typeof SITES)[number];
/** What the page says → what it is in the lab. */
type Names = Readonly<Record<string, string>>;

function blockOf(page: string, name: string): string {
  const [block, ...more] = codeBlocksOf(page).filter(({ language, info }) => language === 'sh' && info === name);
  assert.ok(block !== undefined && more.length === 0, `${page} has one block "${name}"`);
  return block.code;
}

/** The page's examples are of site a. Longer names first: one may be in another. */
function as(site: Site, names: Names, code: string): string {
  let typed = code;
  for (const name of Object.keys(names).sort((x, y) => y.length - x.length)) {
    assert.ok(typed.includes(name), `${name} is in:\n${code}`);
    typed = typed.replaceAll(name, names[name] ?? '');
  }
  return typed
    .replaceAll(/\b(vcenter|pool|xen)-a\b/g, `$1-${site}`)
    .replaceAll('site add a', `site add ${site}`)
    .replaceAll('--site a', `--site ${site}`);
}

/** An orchestrator with one plugin, and a shell beside it that knows `lmas` and the login of the gateway machines. */
class Desk implements AsyncDisposable {
  readonly directory: string;
  readonly #held: AsyncDisposableStack;
  readonly #env: Readonly<Record<string, string>>;
  readonly gateway: string;

  private constructor(directory: string, held: AsyncDisposableStack, gateway: string, env: Record<string, string>) {
    this.directory = directory;
    this.#held = held;
    this.gateway = gateway;
    this.#env = env;
  }

  static async make(plugin: unknown): Promise<Desk> {
    await using held = new AsyncDisposableStack();
    const directory = mkdtempSync(join(tmpdir(), 'lmas-steps-'));
    held.defer(() => rmSync(directory, { recursive: true }));
    const world = new PairWorld();
    const served = held.use(await serveWorld(world, join(directory, 'world.sock'), world.answerGatewayCall));
    const config = readConfig({ ...SHORT, LMAS_DATA_DIR: join(directory, 'data') });
    const parts = { plugins: createRegistry([plugin as HypervisorPlugin]), gateways: createSimulatedProvisioner };
    const orchestrator = await startOrchestrator(config, createLog('silent'), parts);
    held.defer(() => orchestrator.stop());
    const env = { LMAS_URL: orchestrator.url, LMAS_API_KEY_FILE: orchestrator.apiKeyFile };
    const desk = new Desk(directory, held.move(), hostOfWorld(served.socketPath), env);
    await desk.type(`ssh-keygen -q -t ed25519 -N '' -f ops
lmas credential add ops --username root --private-key-file ops`);
    return desk;
  }

  async type(code: string): Promise<string> {
    const lmas = `lmas() { '${process.execPath}' '${root}/apps/cli/bin/lmas.mjs' "$@"; }\n`;
    const env = { PATH: process.env.PATH, HOME: this.directory, ...this.#env };
    const answer = run('/bin/bash', ['--norc', '-euc', lmas + code], { cwd: this.directory, env });
    return (await answer.catch(({ stdout, stderr }) => assert.fail(`${code}\n${stdout}\n${stderr}`))).stdout;
  }

  /** In all pages: the gateway machine of a site. */
  gatewayNames(site: Site): Names {
    const hypervisorAddress = site === 'a' ? GATEWAYS.source : GATEWAYS.destination;
    const key = `--gateway-host-key SHA256:${'A'.repeat(43)}`;
    return {
      ...{ 'gw-a.example.org': this.gateway, '--gateway-host-key SHA256:…': key },
      ...{ '10.1.0.5': hypervisorAddress },
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#held.disposeAsync();
  }
}

/** Both sites, then the check, which has to find nothing in the way. */
async function walk(
  desk: Desk,
  page: string,
  blocks: { add: string; check: string; vm: string },
  names: (site: Site) => Names,
) {
  for (const site of SITES) {
    const code = as(site, { ...desk.gatewayNames(site), ...names(site) }, blockOf(page, blocks.add));
    assert.doesNotMatch(await desk.type(code), /\bfailed\b/i);
  }
  const check = blockOf(page, blocks.check).replace('web-1', `'${blocks.vm}'`);
  assert.doesNotMatch(await desk.type(check), /blocker/i);
}

test('VMware', async () => {
  await using held = new AsyncDisposableStack();
  const vcenters = {
    a: held.use(await LocalVcenter.start(alpha())),
    b: held.use(await LocalVcenter.start(beta([]))),
  };
  const desk = held.use(await Desk.make(vmware));
  for (const site of SITES)
    writeFileSync(join(desk.directory, `vcenter-${site}.password`), `${VCENTER_LOGIN.password}\n`);
  await walk(desk, 'plugins/vmware/README.md', { add: 'endpoint', check: 'check', vm: 'shop' }, (site) => {
    const { address, port, certificate } = vcenters[site];
    return {
      'svc-lmas@vsphere.local': VCENTER_LOGIN.username,
      'vcenter-a.example.org': `${address} --config port=${port}`,
      'AB:CD:…': certificate?.fingerprint ?? '',
    };
  });
});

test('XenServer and XCP-ng', async () => {
  await using held = new AsyncDisposableStack();
  const world = held.use(await XenWorld.make());
  const desk = held.use(await Desk.make(xen));
  for (const site of SITES) writeFileSync(join(desk.directory, `pool-${site}.password`), `${PASSWORD}\n`);
  await walk(desk, 'plugins/xen/README.md', { add: 'endpoint', check: 'check', vm: world.vm.name }, (site) => {
    const { spec } = site === 'a' ? world.source : world.destination;
    const [first = '', second = ''] = spec.members.map(({ name }) => world.fingerprintOf(name));
    return {
      'xen-a1.example.org': spec.members[0]?.management ?? '',
      ...{ 'AB:CD:…': first, 'EF:01:…': second },
    };
  });
});

test('plain Xen', { skip: xlMissing() }, async () => {
  await using held = new AsyncDisposableStack();
  const sshd = held.use(await startSshd(DOM0_SSHD));
  const world = held.use(await XlWorld.make(sshd));
  const desk = held.use(await Desk.make(xl));
  writeFileSync(join(desk.directory, 'lmas-xen'), sshd.privateKey, { mode: 0o600 });
  const login = blockOf('plugins/xen/README.md', 'xl-login');
  await desk.type(login.replace('--username root', `--username ${sshd.username}`));
  const blocks = { add: 'xl-endpoint', check: 'xl-check', vm: XL_VM.name };
  await walk(desk, 'plugins/xen/README.md', blocks, (site) => {
    const { config }: XlHost = site === 'a' ? world.source : world.destination;
    const { port, receivePorts, xlPath, lockPath, runDirectory } = config;
    // Both hosts are this machine.
    const own = { port, 'receivePorts.from': receivePorts.from, 'receivePorts.to': receivePorts.to };
    const more = Object.entries({ ...own, xlPath, lockPath, runDirectory });
    return {
      'xen-a.example.org': [config.host, ...more.map(([key, value]) => `--config ${key}=${value}`)].join(' '),
      'hostKeys=SHA256:…': `hostKeys=${config.hostKeys[0]}`,
      '10.1.0.10': config.migrationAddress,
      '/srv/vm': config.sharedPaths[0] ?? '',
    };
  });
});
