/**
 * An orchestrator for tests: a real one with a real Redis, the simulated plugin and simulated gateways, short timeouts,
 * and worlds to migrate in. Every case has a world of its own, so cases run side by side.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import simulated from '@lmas/plugin-simulated';
import { serveWorld, type WorldServer } from '@lmas/plugin-simulated/world';
import { type Config, readConfig } from '../../apps/orchestrator/src/config.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { type Orchestrator, startOrchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration, MigrationInput } from '../../apps/orchestrator/src/migrations/record.ts';
import { createRegistry } from '../../apps/orchestrator/src/plugins/registry.ts';
import type { TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { createSimulatedProvisioner, hostOfWorld } from '../simulated/gateways.ts';
import { hearOfGateways } from '../simulated/held-gateways.ts';
import { PairWorld } from '../simulated/world.ts';

/** Everything that waits in real life waits briefly here; the proportions are kept. */
export const SHORT: Readonly<Record<string, string>> = {
  LMAS_PORT: '0',
  LMAS_CONCURRENCY: '100',
  LMAS_RUN_LEASE_MS: '1500',
  LMAS_RECOVERY_INTERVAL_MS: '100',
  LMAS_SETTLE_MS: '10000',
  LMAS_SETTLE_RETRY_MS: '100',
  LMAS_LOGIN_RETRY_MS: '1000',
  LMAS_TEARDOWN_MS: '3000',
  LMAS_REAPER_INTERVAL_MS: '300',
  LMAS_GATEWAY_LEASE_MS: '2000',
  LMAS_PROGRESS_INTERVAL_MS: '100',
  LMAS_TUNNEL_WARM_UP_MS: '0',
  LMAS_REQUESTS_PER_MINUTE: 'null',
  LMAS_FAILED_LOGINS_PER_MINUTE: 'null',
  LMAS_LOG_LEVEL: process.env.LMAS_TEST_LOG ?? 'silent',
};

export const simulatedParts = {
  plugins: createRegistry([simulated]),
  gateways: createSimulatedProvisioner,
};

export async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'lmas-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** One that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

export async function startInProcess(dataDir: string, settings: Record<string, string> = {}): Promise<Orchestrator> {
  const config: Config = readConfig({ ...SHORT, LMAS_DATA_DIR: dataDir, ...settings });
  return await startOrchestrator(config, createLog(config.logLevel), simulatedParts);
}

/** A caller of the REST API. */
export class Api {
  readonly url: string;
  readonly key: string;

  constructor(url: string, key: string) {
    this.url = url;
    this.key = key;
  }

  static async of({ url, apiKeyFile }: Orchestrator): Promise<Api> {
    return new Api(url, (await readFile(apiKeyFile, 'utf8')).trim());
  }

  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        authorization: `Bearer ${this.key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) };
  }

  /** A call that has to succeed; the caller says what shape it expects. */
  async must<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<T> {
    const answer = await this.call(method, path, body, headers);
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body as T;
  }

  async migration(id: string): Promise<Migration> {
    return await this.must<Migration>('GET', `/v1/migrations/${id}`);
  }

  /** Waits until the record satisfies `condition`. */
  async until(id: string, condition: (migration: Migration) => boolean, limitMs = 30_000): Promise<Migration> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const answer = await this.call('GET', `/v1/migrations/${id}`).catch((error: unknown) => {
        if (error instanceof TypeError) return undefined; // the orchestrator is away
        throw error;
      });
      // Redis may be away for a moment as well.
      assert.ok(answer === undefined || [200, 503].includes(answer.status), JSON.stringify(answer?.body));
      const migration = answer?.status === 200 ? (answer.body as unknown as Migration) : undefined;
      if (migration !== undefined && condition(migration)) return migration;
      assert.ok(performance.now() < deadline, `still ${JSON.stringify(migration)} after ${limitMs} ms`);
      await sleep(50);
    }
  }

  ended(id: string, limitMs?: number): Promise<Migration> {
    return this.until(id, ({ phase }) => ['succeeded', 'failed', 'cancelled'].includes(phase), limitMs);
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

/** What the API takes, of which nothing has to be said. */
export type StageInput = Partial<Omit<MigrationInput, 'timeouts'>> & {
  readonly timeouts?: Partial<MigrationInput['timeouts']>;
};

export interface Stage extends AsyncDisposable {
  readonly world: PairWorld;
  readonly server: WorldServer;
  readonly vmId: string;
  readonly vmName: string;
  /** The two endpoints and sites of this world. */
  readonly source: string;
  readonly destination: string;
  submit(input?: StageInput): Promise<Migration>;
  /** Exactly one VM runs, never two did, and nothing is left over. */
  assertClean(migration: Migration): void;
}

let stages = 0;
const BRIEF_RETRIES = { retries: { max: 2, backOffMs: 100 } };

/**
 * A world of its own, registered with the orchestrator, with one running VM. With `sshd`, both sites have a gateway machine
 * there; without, their gateways exist in the world only.
 */
export async function setStage(
  getApi: () => Api,
  directory: string,
  { sshd }: { sshd?: TestSshd } = {},
): Promise<Stage> {
  stages += 1;
  const name = `w${process.pid}-${stages}`;
  const world = new PairWorld();
  const answer = sshd === undefined ? world.answerGatewayCall : hearOfGateways;
  const server = await serveWorld(world, join(directory, `${name}.sock`), answer);
  const vmId = randomUUID();
  world.addVm('source', { id: vmId, name });
  const api = getApi();
  const login =
    sshd === undefined
      ? { kind: 'password', username: 'u', password: `secret-${name}` }
      : { kind: 'ssh-key', username: sshd.username, privateKey: sshd.privateKey };
  await api.must('POST', '/v1/credentials', { id: name, ...login });
  const ssh =
    sshd === undefined
      ? { host: hostOfWorld(server.socketPath), hostKeys: [`SHA256:${'A'.repeat(43)}`] }
      : { host: sshd.host, port: sshd.port, hostKeys: [sshd.hostKeys.ed25519] };
  const address = sshd === undefined ? '192.0.2.1' : '127.0.0.1';
  for (const end of ['source', 'destination'] as const) {
    await api.must('POST', '/v1/sites', {
      id: `${name}-${end}`,
      gateway: {
        ssh: { ...ssh, credential: name },
        tunnelAddress: address,
        hypervisorAddress: address,
        tunnelPorts: { min: 17_500, max: 17_599 },
      },
    });
    await api.must('POST', '/v1/endpoints', {
      id: `${name}-${end}`,
      site: `${name}-${end}`,
      plugin: 'simulated',
      credential: name,
      config: { socketPath: server.socketPath, host: end },
    });
  }
  const source = `${name}-source`;
  const destination = `${name}-destination`;
  return {
    world,
    server,
    vmId,
    vmName: name,
    source,
    destination,
    submit: (input = {}) =>
      getApi().must<Migration>('POST', '/v1/migrations', { vm: vmId, source, destination, ...BRIEF_RETRIES, ...input }),
    assertClean(migration) {
      const summary = JSON.stringify({ ...migration, request: undefined, timeline: undefined });
      assert.deepEqual(world.violations, [], `two copies ran, or one in the clear: ${summary}`);
      const running = world.running(vmId);
      assert.equal(running.length, 1, `running: ${running} ${summary}`);
      // What ended before the source was asked claims nothing.
      const seen = migration.vm.id !== null;
      assert.equal(migration.where, seen ? running[0] : 'unknown', summary);
      if (!seen) assert.deepEqual([running[0], migration.byHand], ['source', null], summary);
      assert.deepEqual([...world.gateways.keys()], [], `gateways left: ${summary}`);
      assert.deepEqual([[...world.changedSettings], [...world.barriers]], [[], []], `left for the move: ${summary}`);
      const other = running[0] === 'source' ? 'destination' : 'source';
      assert.equal(world.vm(other, vmId), undefined, `a second copy is left at the ${other}: ${summary}`);
      if (running[0] === 'source') assert.deepEqual([...world.volumes.keys()], [], summary);
      assert.ok((world.performs.get(vmId) ?? 0) <= 1, 'triggered twice');
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
    },
  };
}
