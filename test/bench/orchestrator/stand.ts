/**
 * What the orchestrator benchmark stands on: a world of simulated hosts in this process, an orchestrator with its own Redis
 * in another, or its roles in processes of their own, two sites, and as many VMs as shall be moved. Whoever makes it disposes of
 * it; nothing of it is left.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LmasClient } from '@lmas/client';
import { serveWorld, World, type WorldServer } from '@lmas/plugin-simulated/world';
import { OrchestratorProcess } from '../../support/orchestrator.ts';
import { RedisServers } from '../../workflow/redis-servers.ts';

const HOSTS_PER_SITE = 10;
const SUBMITTERS = 32;
const CREDENTIAL = 'any';

export class Stand implements AsyncDisposable {
  readonly world: World;
  readonly client: LmasClient;
  /** The first one answers the API. */
  readonly #processes: readonly OrchestratorProcess[];
  readonly #server: WorldServer;
  readonly #parts: AsyncDisposableStack;
  #vms = 0;

  private constructor(
    processes: readonly [OrchestratorProcess, ...OrchestratorProcess[]],
    server: WorldServer,
    world: World,
    parts: AsyncDisposableStack,
  ) {
    this.world = world;
    this.client = processes[0].client();
    this.#processes = processes;
    this.#server = server;
    this.#parts = parts;
  }

  /** @param roles in processes of their own, with a Redis that they share, as the Helm chart has them */
  static async up(concurrent: number, { roles }: { roles: boolean }): Promise<Stand> {
    await using parts = new AsyncDisposableStack();
    const directory = mkdtempSync(join(tmpdir(), 'lmas-bench-'));
    parts.defer(() => rmSync(directory, { recursive: true, force: true }));
    const world = new World();
    const server = parts.use(await serveWorld(world, join(directory, 'world.sock')));
    const common = {
      LMAS_PLUGINS: '@lmas/plugin-simulated',
      LMAS_CONCURRENCY: String(concurrent),
      LMAS_REQUESTS_PER_MINUTE: 'null',
      LMAS_LOG_LEVEL: 'warn',
    };
    const start = async (role: string, shared: Readonly<Record<string, string>> = {}): Promise<OrchestratorProcess> => {
      const env = { ...common, ...shared, LMAS_ROLE: role };
      const orchestrator = await OrchestratorProcess.start({ dataDir: join(directory, role), env });
      parts.defer(() => orchestrator.stop());
      return orchestrator;
    };
    const startRoles = async () => {
      const servers = parts.use(new RedisServers(directory));
      const port = await servers.start({ 'maxmemory-policy': 'noeviction' });
      const shared = {
        REDIS_URL: `redis://127.0.0.1:${port}`,
        LMAS_MASTER_KEY: randomBytes(32).toString('base64'),
      };
      return [await start('api', shared), await start('worker', shared), await start('scheduler', shared)] as const;
    };
    const processes = roles ? await startRoles() : ([await start('all')] as const);
    const stand = new Stand([...processes], server, world, parts.move());
    try {
      await stand.#register();
      return stand;
    } catch (error) {
      await stand[Symbol.asyncDispose]();
      throw error;
    }
  }

  get baseUrl(): string {
    return this.#api.baseUrl;
  }

  get #api(): OrchestratorProcess {
    const [api] = this.#processes;
    if (api === undefined) throw new Error('There is no orchestrator.');
    return api;
  }

  /** SIGKILL to all of it. */
  async kill(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.kill()));
  }

  async restart(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.restart()));
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

  /** Its processes, the one that answers the API first. */
  get pids(): readonly number[] {
    return this.#processes.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  }

  get apiKey(): string {
    return readFileSync(this.#api.apiKeyFile, 'utf8').trim();
  }

  /** How many wait in the queue. */
  async waiting(): Promise<number> {
    const headers = { authorization: `Bearer ${this.apiKey}` };
    const response = await fetch(`${this.baseUrl}/v1/queue`, { headers });
    return ((await response.json()) as { waiting: number }).waiting;
  }

  /** The most memory that its processes ever had resident, together. */
  peakBytes(): number {
    const peaks = this.pids.map((pid) => {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1_024;
    });
    return peaks.reduce((sum, peak) => sum + peak, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
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
