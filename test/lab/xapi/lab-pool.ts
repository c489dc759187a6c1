/**
 * A pool at a site of the lab: two members with addresses of their own on the site's host, as a process in its network
 * namespace. The object is the lab's end of its control socket; `stop` ends the process and takes the addresses away.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { run, startDetached } from '../src/command.ts';
import type { Lab, SiteName } from '../src/index.ts';
import { netnsPath } from '../src/names.ts';
import { killRecorded, recordOf } from '../src/processes.ts';
import { certificateOf } from './certificates.ts';
import type { Truth } from './main.ts';
import type { PoolSpec } from './model.ts';
import type { PoolFaults } from './pool.ts';

const READY_WITHIN_MS = 20_000;
const NAMES: Readonly<Record<SiteName, string>> = { a: 'alpha', b: 'beta' };
export const POOL_LOGIN = { username: 'root', password: 'lab-pool-password' };

export class LabPool {
  readonly spec: PoolSpec;
  /** SHA-256 of each member's certificate. */
  readonly fingerprints: readonly string[];
  readonly #lab: Lab;
  readonly #site: SiteName;
  readonly #directory: string;
  #pid: number | undefined;

  private constructor(lab: Lab, site: SiteName, vms: PoolSpec['vms'], more: Partial<PoolSpec>) {
    this.#lab = lab;
    this.#site = site;
    this.#directory = join(lab.stateDir, `xapi-${site}`);
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    this.spec = {
      ...{ name: NAMES[site], login: POOL_LOGIN, guestNetworks: ['lan'], storage: [{ name: 'local storage' }], vms },
      members: [1, 2].map((i) => ({ name: `${NAMES[site]}-${i}`, ...this.#addresses(i) })),
      ...more,
    };
    this.fingerprints = this.spec.members.map(({ name }) => certificateOf(this.#directory, name).fingerprint);
  }

  /** @param vms run at the first member from the start */
  static async start(
    lab: Lab,
    site: SiteName,
    vms: PoolSpec['vms'],
    more: Partial<Pick<PoolSpec, 'httpsOnly' | 'oldRelease' | 'storage' | 'vms'>> = {},
  ): Promise<LabPool> {
    const pool = new LabPool(lab, site, vms, more);
    for (const { management, migration } of pool.spec.members) {
      await pool.#address('replace', `${management}/26`, 'mgmt');
      await pool.#address('replace', `${migration}/26`, 'data');
    }
    writeFileSync(join(pool.#directory, 'pool.json'), JSON.stringify(pool.spec));
    await pool.restart();
    return pool;
  }

  /** Also after `kill`: the pool begins as it was specified. */
  async restart(): Promise<void> {
    const { host } = this.#lab.sites[this.#site];
    const main = join(import.meta.dirname, 'main.ts');
    const args = [`--net=${netnsPath(this.#lab.name, host.name)}`, process.execPath, main, this.#directory];
    this.#pid = await startDetached('nsenter', args, join(this.#directory, 'pool.log'));
    const deadline = performance.now() + READY_WITHIN_MS;
    while (!(await this.truth().catch(() => undefined))) {
      if (performance.now() > deadline)
        throw new Error(`the pool at site ${this.#site} did not start: ${this.#directory}/pool.log`);
      await delay(100);
    }
  }

  truth(): Promise<Truth> {
    return this.#control('GET', '/truth') as Promise<Truth>;
  }

  async setFaults(faults: Partial<PoolFaults>): Promise<void> {
    await this.#control('POST', '/faults', JSON.stringify(faults));
  }

  /** What stood still at `holdAt` goes on, and whatever comes later. */
  async letGo(): Promise<void> {
    await this.#control('POST', '/faults', JSON.stringify({ holdAt: null }));
  }

  async setCoordinator(member: number): Promise<void> {
    await this.#control('POST', '/coordinator', String(member));
  }

  async dropSessions(): Promise<void> {
    await this.#control('POST', '/sessions/drop');
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    const record = this.#pid === undefined ? undefined : recordOf(this.#pid);
    this.#pid = undefined;
    if (record !== undefined) await killRecorded(record);
    for (const { management, migration } of this.spec.members) {
      await this.#address('del', `${management}/26`, 'mgmt');
      await this.#address('del', `${migration}/26`, 'data');
    }
  }

  /** Beside those of the host: the same networks, other last numbers. */
  #addresses(member: number): { management: string; migration: string } {
    const { host } = this.#lab.sites[this.#site];
    const beside = (address: string, offset: number): string =>
      address.replace(/\d+$/, (last) => String(Number(last) + offset + member));
    return { management: beside(host.address, 20), migration: beside(host.dataAddress, 20) };
  }

  async #address(verb: 'replace' | 'del', address: string, device: string): Promise<void> {
    const { host } = this.#lab.sites[this.#site];
    const args = ['-n', host.netns, 'address', verb, address, 'dev', device];
    await run('ip', args, { allowFailure: verb === 'del' });
  }

  #control(method: string, path: string, body?: string): Promise<unknown> {
    const socketPath = join(this.#directory, 'control.sock');
    if (!existsSync(socketPath)) return Promise.reject(new Error('the pool does not run'));
    return new Promise((resolve, reject) => {
      const call = request({ socketPath, method, path, timeout: 5_000 }, (response) => {
        text(response).then((answer) => resolve(JSON.parse(answer)), reject);
      });
      call.on('error', reject);
      call.end(body);
    });
  }
}
