/**
 * What the orchestrator benchmark stands on: a world of simulated hosts in this process, an orchestrator with its own Redis
 * in another, two sites, and as many VMs as shall be moved. Whoever makes it disposes of it; nothing of it is left.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LmasClient } from '@lmas/client';
import { serveWorld, World, type WorldServer } from '@lmas/plugin-simulated/world';
import { OrchestratorProcess } from '../../support/orchestrator.ts';

const HOSTS_PER_SITE = 10;
const SUBMITTERS = 32;
const CREDENTIAL = 'any';

export class Stand implements AsyncDisposable {
  readonly world: World;
  readonly orchestrator: OrchestratorProcess;
  readonly client: LmasClient;
  readonly #server: WorldServer;
  readonly #directory: string;
  #vms = 0;

  private constructor(orchestrator: OrchestratorProcess, server: WorldServer, world: World, directory: string) {
    this.world = world;
    this.orchestrator = orchestrator;
    this.client = orchestrator.client();
    this.#server = server;
    this.#directory = directory;
  }

  static async up(concurrent: number): Promise<Stand> {
    const directory = mkdtempSync(join(tmpdir(), 'lmas-bench-'));
    const world = new World();
    const server = await serveWorld(world, join(directory, 'world.sock'));
    try {
      const orchestrator = await OrchestratorProcess.start({
        dataDir: join(directory, 'data'),
        env: {
          LMAS_PLUGINS: '@lmas/plugin-simulated',
          LMAS_CONCURRENCY: String(concurrent),
          LMAS_REQUESTS_PER_MINUTE: 'null',
          LMAS_LOG_LEVEL: 'warn',
        },
      });
      const stand = new Stand(orchestrator, server, world, directory);
      await stand.#register();
      return stand;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Starts so many VMs and submits a migration of each. @returns their ids */
  async submit(count: number, durationMs: number, { signal }: { signal: AbortSignal }): Promise<string[]> {
    const ids: string[] = [];
    let left = count;
    const submitter = async (): Promise<void> => {
      for (; left > 0; ) {
        left -= 1;
        this.#vms += 1;
        const host = this.#vms % HOSTS_PER_SITE;
        const id = randomUUID();
        this.world.addVm(`a-${host}`, { id, name: `vm-${this.#vms}` });
        const migration = await this.client.createMigration(this.submission(host, durationMs, id), { signal });
        ids.push(migration.id);
      }
    };
    await Promise.all(Array.from({ length: SUBMITTERS }, submitter));
    return ids;
  }

  submission(host: number, durationMs: number, vm = '') {
    const [source, destination] = [`a-${host}`, `b-${host}`];
    return { vm, source, destination, transport: 'direct' as const, options: { durationMs } };
  }

  /** The orchestrator's process. */
  get pid(): number {
    const { pid } = this.orchestrator;
    if (pid === undefined) throw new Error('The orchestrator does not run.');
    return pid;
  }

  get apiKey(): string {
    return readFileSync(this.orchestrator.apiKeyFile, 'utf8').trim();
  }

  /** How many wait in the queue. */
  async waiting(): Promise<number> {
    const headers = { authorization: `Bearer ${this.apiKey}` };
    const response = await fetch(`${this.orchestrator.baseUrl}/v1/queue`, { headers });
    return ((await response.json()) as { waiting: number }).waiting;
  }

  /** The most memory that the orchestrator's process ever had resident. */
  peakBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1_024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.orchestrator.stop();
    await this.#server[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #register(): Promise<void> {
    const { client } = this;
    await client.createCredential({ id: CREDENTIAL, kind: 'password', username: 'nobody', password: 'nothing' });
    for (const site of ['a', 'b']) {
      await client.createSite({ id: site });
      for (let host = 0; host < HOSTS_PER_SITE; host++) {
        const config = { host: `${site}-${host}`, socketPath: this.#server.socketPath };
        this.world.addHost(config.host);
        await client.createEndpoint({ id: config.host, site, plugin: 'simulated', credential: CREDENTIAL, config });
      }
    }
  }
}
