/**
 * A vCenter at a site of the lab, and the ESXi stand-ins that it has: processes in the network namespace of the site's host, with addresses of
 * their own. A stand-in's vMotion adapter has a routing table for itself, with its own network and what UpdateNetworkConfig puts there: without a
 * route it reaches no other site. The object is the lab's end of the control sockets; `stop` ends everything and takes the addresses away.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { run, startDetached } from '../src/command.ts';
import type { Lab, SiteName } from '../src/index.ts';
import { netnsPath } from '../src/names.ts';
import { killRecorded, recordOf } from '../src/processes.ts';
import { command } from './control.ts';
import { createStacks, removeStacks } from './esxi/kernel-routes.ts';
import type { HostTruth } from './esxi/main.ts';
import type { HostSpec, VcenterSpec, VmSpec } from './inventory/spec.ts';
import type { VcenterFile, VcenterScript, VcenterTruth } from './main.ts';
import { alpha, beta, type SiteAddresses } from './two-vcenters.ts';
import { certificateFor, type ServerCertificate } from './wire/certificate.ts';

const READY_WITHIN_MS = 20_000;
const PREFIX_LENGTH = 26;
/** Last numbers beside those of the site's machine. */
const HOST_OFFSET = 26;
const PROVISIONING_OFFSET = 30;
const VCENTER_OFFSET = 35;

export class LabVcenter {
  readonly spec: VcenterSpec;
  /** In the management network. */
  readonly address: string;
  readonly port = 443;
  readonly certificate: ServerCertificate;
  readonly #lab: Lab;
  readonly #site: SiteName;
  readonly #directory: string;
  readonly #pids = new Map<string, number>();

  private constructor(lab: Lab, site: SiteName, vms: readonly VmSpec[], changes: Partial<VcenterSpec>) {
    this.#lab = lab;
    this.#site = site;
    this.#directory = join(lab.stateDir, `vsphere-${site}`);
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const { host } = lab.sites[site];
    const addresses: SiteAddresses = {
      management: [0, 1].map((i) => beside(host.address, HOST_OFFSET + i)),
      vmotion: [0, 1].map((i) => beside(host.dataAddress, HOST_OFFSET + i)),
      provisioning: [0, 1].map((i) => beside(host.dataAddress, PROVISIONING_OFFSET + i)),
      prefixLength: PREFIX_LENGTH,
    };
    this.spec = { ...(site === 'a' ? alpha(vms, addresses) : beta(vms, addresses)), ...changes };
    this.address = beside(host.address, VCENTER_OFFSET);
    this.certificate = certificateFor(this.#directory, this.address);
  }

  /** "alpha" at site a, "beta" at site b. @param vms run at the first host from the start */
  static async start(
    lab: Lab,
    site: SiteName,
    vms: readonly VmSpec[],
    changes: Partial<VcenterSpec> = {},
  ): Promise<LabVcenter> {
    const vcenter = new LabVcenter(lab, site, vms, changes);
    await run('ip', ['-n', vcenter.#netns, 'address', 'replace', `${vcenter.address}/${PREFIX_LENGTH}`, 'dev', 'mgmt']);
    for (const host of vcenter.spec.hosts) {
      await createStacks(host, vcenter.#netns);
      await vcenter.#startHost(host);
    }
    await vcenter.restart();
    return vcenter;
  }

  get url(): string {
    return `https://${this.address}/sdk`;
  }

  /** The vMotion address of each host, in order. */
  get vmotionAddresses(): string[] {
    return this.spec.hosts.flatMap(({ vmkernels }) =>
      vmkernels.filter(({ services }) => services.includes('vmotion')).map(({ address }) => address),
    );
  }

  get logFile(): string {
    return join(this.#directory, 'vcenter.log');
  }

  /** Also after `kill`: it asks its hosts what they have. */
  async restart(): Promise<void> {
    const hosts = Object.fromEntries(this.spec.hosts.map(({ name }) => [name, this.#socketOf(name)]));
    const file: VcenterFile = { spec: this.spec, address: this.address, hosts };
    writeFileSync(join(this.#directory, 'vcenter.json'), JSON.stringify(file), { mode: 0o600 });
    await this.#startProcess('vcenter', join(import.meta.dirname, 'main.ts'), this.#directory);
    await this.#answers('vcenter', () => this.truth());
  }

  /** SIGKILL. Its hosts, and what moves between them, go on. */
  async kill(): Promise<void> {
    await this.#end('vcenter');
  }

  truth(): Promise<VcenterTruth> {
    return command(join(this.#directory, 'control.sock'), 'truth') as Promise<VcenterTruth>;
  }

  hostTruth(name: string): Promise<HostTruth> {
    return command(this.#socketOf(name), 'truth') as Promise<HostTruth>;
  }

  /** Of all its hosts. */
  async hostTruths(): Promise<HostTruth[]> {
    return Promise.all(this.spec.hosts.map(({ name }) => this.hostTruth(name)));
  }

  async script(script: VcenterScript): Promise<void> {
    await this.#command('script', script);
  }

  /** What comes to that gate from now on waits there. */
  async hold(gate: string): Promise<void> {
    await this.#command('hold', gate);
  }

  /** Resolves when something has come to a gate that is held. */
  async reached(gate: string, timeoutMs = 60_000): Promise<void> {
    await command(join(this.#directory, 'control.sock'), 'reached', [gate], timeoutMs);
  }

  async release(gate: string): Promise<void> {
    await this.#command('release', gate);
  }

  async endSessions(): Promise<void> {
    await this.#command('endSessions');
  }

  /** Every connection between hosts breaks. */
  async cutConnections(): Promise<void> {
    for (const { name } of this.spec.hosts) await command(this.#socketOf(name), 'cut');
  }

  /** Routes of the vMotion stack on the machine, as the kernel has them now: `10.213.0.128/26 via 10.213.0.75`. */
  async kernelRoutes(): Promise<string[]> {
    const { stdout } = await run('ip', ['-n', this.#netns, 'route', 'show', 'table', 'all']);
    return stdout
      .split('\n')
      .filter((line) => / via .* table 2\d{4}\b/.test(line))
      .map((line) => line.split(' ').slice(0, 3).join(' '));
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    for (const name of [...this.#pids.keys()]) await this.#end(name);
    for (const host of this.spec.hosts) await removeStacks(host, this.#netns);
    const address = ['address', 'del', `${this.address}/${PREFIX_LENGTH}`, 'dev', 'mgmt'];
    await run('ip', ['-n', this.#netns, ...address], { allowFailure: true });
  }

  get #netns(): string {
    return this.#lab.sites[this.#site].host.netns;
  }

  #socketOf(host: string): string {
    return join(this.#directory, host, 'control.sock');
  }

  async #startHost(host: HostSpec): Promise<void> {
    const directory = join(this.#directory, host.name);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, 'host.json'), JSON.stringify(host));
    await this.#startProcess(host.name, join(import.meta.dirname, 'esxi', 'main.ts'), directory);
    await this.#answers(host.name, () => this.hostTruth(host.name));
  }

  async #startProcess(name: string, program: string, directory: string): Promise<void> {
    const netns = `--net=${netnsPath(this.#lab.name, this.#lab.sites[this.#site].host.name)}`;
    const log = join(this.#directory, `${name}.log`);
    this.#pids.set(name, await startDetached('nsenter', [netns, process.execPath, program, directory], log));
  }

  async #answers(name: string, ask: () => Promise<unknown>): Promise<void> {
    const deadline = performance.now() + READY_WITHIN_MS;
    while ((await ask().catch(() => undefined)) === undefined) {
      if (performance.now() > deadline) throw new Error(`${name} did not start: ${this.#directory}/${name}.log`);
      await delay(50);
    }
  }

  async #end(name: string): Promise<void> {
    const pid = this.#pids.get(name);
    this.#pids.delete(name);
    const record = pid === undefined ? undefined : recordOf(pid);
    if (record !== undefined) await killRecorded(record);
  }

  async #command(name: string, ...args: readonly unknown[]): Promise<void> {
    await command(join(this.#directory, 'control.sock'), name, args);
  }
}

const beside = (address: string, offset: number): string =>
  address.replace(/\d+$/, (last) => String(Number(last) + offset));
