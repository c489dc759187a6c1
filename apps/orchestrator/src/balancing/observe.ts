/**
 * Looks at the endpoints of a policy: what is there, how busy it is, which ways are open between them. An endpoint
 * that does not answer is told as silent, and never guessed.
 */
import type { Inventory, Load, VmSummary } from '@lmas/plugin-api';
import { type Questions, withSession } from '../endpoints/questions.ts';
import { describeError, LmasError } from '../errors.ts';
import type { LinkService } from '../links/links.ts';
import { expectedRate } from '../migrations/expectations.ts';
import type { MigrationService } from '../migrations/service.ts';
import { recordedRequestSchema } from '../schemas/migration.ts';
import type { Endpoint, EndpointStore } from '../sites/sites.ts';
import type { Amounts, BalancingPolicy, Observation, ObservedHost, ObservedVm, PastMove, Way } from './types.ts';

export interface ObserverParts {
  readonly questions: Questions;
  readonly endpoints: Pick<EndpointStore, 'get'>;
  readonly links: Pick<LinkService, 'get'>;
  readonly migrations: Pick<MigrationService, 'validate' | 'liveAt' | 'list'>;
}

export interface Observer {
  /** @param only these of the policy's endpoints; default: all */
  observe(policy: BalancingPolicy, options: { signal: AbortSignal; only?: readonly string[] }): Promise<Observation>;
  /** All VMs of these endpoints, running or not; undefined when one of them does not answer. */
  vmsAt(endpoints: readonly string[], options: { signal: AbortSignal }): Promise<readonly VmSummary[] | undefined>;
}

/** For one endpoint, beyond the time that is measured over. */
const PATIENCE_MS = 20_000;

export function createObserver({ questions, endpoints, links, migrations }: ObserverParts): Observer {
  const lookAt = async (id: string, policy: BalancingPolicy, signal: AbortSignal): Promise<ObservedHost> => {
    const { plugin } = await endpoints.get(id);
    const patience = AbortSignal.any([signal, AbortSignal.timeout(policy.measureMs + PATIENCE_MS)]);
    const options = { signal: patience };
    return await withSession(questions, id, options, async (session) => {
      if (session.load === undefined) {
        throw new LmasError('INVALID_BALANCING_POLICY', `The plugin ${plugin} does not tell how busy its hosts are.`);
      }
      const load = await session.load({ ...options, ...measureFor(policy) });
      return hostOf({ id, plugin }, await session.inventory(options), load, policy);
    });
  };
  const wayBetween = async (policy: BalancingPolicy, source: string, destination: string): Promise<Way> => {
    try {
      const input = requestOf(policy, { vm: 'any', source, destination }, []);
      await migrations.validate(input);
      return { usable: true, rateBytesPerSec: await expectedRate(input, { endpoints, links }) };
    } catch (error) {
      return { usable: false, reason: describeError(error).message };
    }
  };
  return {
    async vmsAt(ids, { signal }) {
      const options = { signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]) };
      const looks = await Promise.allSettled(
        ids.map((id) => withSession(questions, id, options, (session) => session.inventory(options))),
      );
      signal.throwIfAborted();
      if (looks.some(({ status }) => status === 'rejected')) return undefined;
      return looks.flatMap((look) => (look.status === 'fulfilled' ? look.value.vms : []));
    },
    async observe(policy, { signal, only = policy.endpoints }) {
      const beganAtMs = Date.now();
      const [looks, live, moved] = await Promise.all([
        Promise.allSettled(only.map((id) => lookAt(id, policy, signal))),
        migrations.liveAt(only),
        movedLately(policy, only, migrations, beganAtMs),
      ]);
      signal.throwIfAborted();
      const hosts = looks.flatMap((look) => (look.status === 'fulfilled' ? [look.value] : []));
      const silent = looks.flatMap((look, index) => {
        if (look.status === 'fulfilled') return [];
        const endpoint = only[index] ?? '';
        return [{ endpoint, reason: `${endpoint} is left out: ${describeError(look.reason).message}` }];
      });
      const ends = hosts.map(({ endpoint }) => endpoint);
      const pairs = ends.flatMap((a) => ends.filter((b) => b !== a).map((b) => [a, b] as const));
      const ways = new Map(
        await Promise.all(pairs.map(async ([a, b]) => [`${a}>${b}`, await wayBetween(policy, a, b)] as const)),
      );
      const unknown: Way = { usable: false, reason: 'it was not looked at.' };
      return {
        ...{ beganAtMs, hosts, silent, moved },
        // A drill moves nothing; its copy counts where it runs.
        inFlight: live
          .filter(({ purpose }) => purpose === 'move')
          .map(({ vm, source, destination }) => ({
            ...{ vm: vm.id ?? vm.name, source: source.endpoint, destination: destination.endpoint },
          })),
        way: (source, destination) => ways.get(`${source}>${destination}`) ?? unknown,
      };
    },
  };
}

/** Clocks of several processes may be apart a little; what is dated further ahead was written by one that was wrong. */
const CLOCKS_APART_MS = 60_000;
export const isFarAhead = (atMs: number, nowMs: number): boolean => atMs > nowMs + CLOCKS_APART_MS;

/** Migrations of one endpoint that are looked through, the newest first. */
const PAGE = 200;
/** Longer none takes between being asked for and having arrived, but one that waits in the queue for days. */
const LONGEST_MS = 24 * 3_600_000;

/** What has arrived from or at these endpoints, as far back as the policy lets nobody move again or return. */
async function movedLately(
  { vmCoolDownMs, noReturnMs }: BalancingPolicy,
  endpoints: readonly string[],
  migrations: Pick<MigrationService, 'list'>,
  nowMs: number,
): Promise<PastMove[]> {
  const sinceMs = nowMs - Math.max(vmCoolDownMs, noReturnMs);
  const createdAfter = new Date(sinceMs - LONGEST_MS).toISOString();
  const found = new Map<string, PastMove>();
  for (const endpoint of endpoints) {
    const query = { endpoint, phase: 'succeeded' as const, createdAfter, limit: PAGE, project: null };
    for (let cursor: string | undefined; ; ) {
      const { items, nextCursor } = await migrations.list({ ...query, cursor });
      for (const { id, purpose, vm, source, destination, createdAt, startedAt, endedAt } of items) {
        const endedAtMs = Date.parse(endedAt ?? createdAt);
        const isMove = purpose === 'move' && source.endpoint !== destination.endpoint;
        if (!isMove || vm.id === null || endedAtMs < sinceMs || isFarAhead(endedAtMs, nowMs)) continue;
        const ends = { source: source.endpoint, destination: destination.endpoint };
        found.set(id, { vm: vm.id, ...ends, startedAtMs: Date.parse(startedAt ?? createdAt), endedAtMs });
      }
      if (nextCursor === null) break;
      cursor = nextCursor;
    }
  }
  return [...found.values()];
}

/** Where the time that a move takes counts for nothing, nobody needs to know how fast its VM writes. */
const measureFor = ({ measureMs, costWeight }: BalancingPolicy) => ({
  intervalMs: measureMs,
  dirtyRates: costWeight > 0,
});

/**
 * A migration of this policy, without what tells whose it is. The policy maps the networks of all its VMs, and a migration only those
 * of its own: what it did not have would be taken for a mistake.
 * @param networks of the VM
 */
export const requestOf = (
  { migration }: Pick<BalancingPolicy, 'migration'>,
  ends: { readonly vm: string; readonly source: string; readonly destination: string },
  networks: readonly string[],
) => {
  const networkMap = Object.fromEntries(
    Object.entries(migration.networkMap).filter(([name]) => networks.includes(name)),
  );
  return recordedRequestSchema.parse({ ...migration, ...ends, networkMap });
};

function hostOf(
  { id, plugin }: Pick<Endpoint, 'id' | 'plugin'>,
  { host, vms }: Inventory,
  load: Load,
  { counts, networkCapacityBytesPerSec }: BalancingPolicy,
): ObservedHost {
  const running = vms.filter(({ presence }) => presence === 'running').map((vm) => vmOf(vm, load));
  const sum = (resource: keyof Amounts): number | null =>
    running.reduce<number | null>((total, { use }) => {
      const part = use[resource];
      return total === null || part === null ? null : total + part;
    }, 0);
  const ofHost = counts === 'host';
  return {
    ...{ endpoint: id, plugin },
    capacity: { cpu: host.cpus, memory: host.memoryBytes, network: networkCapacityBytesPerSec[id] ?? null },
    used: {
      cpu: ofHost ? load.host.cpuCores : sum('cpu'),
      memory: ofHost ? host.memoryBytes - host.memoryFreeBytes : sum('memory'),
      network: sum('network'),
    },
    memoryFreeBytes: host.memoryFreeBytes,
    vms: running,
  };
}

function vmOf({ id, name, labels = [], networks, memoryBytes, managedBy }: VmSummary, { vms }: Load): ObservedVm {
  const load = vms.find((vm) => vm.id === id);
  return {
    ...{ id, name, labels, networks, memoryBytes },
    use: {
      cpu: load?.cpuCores ?? null,
      memory: load?.memoryBytes ?? memoryBytes,
      network: load?.networkBytesPerSec ?? null,
    },
    dirtyRateBytesPerSec: load?.dirtyRateBytesPerSec ?? null,
    held: managedBy === null ? null : `stays, because ${managedBy} looks after it`,
  };
}
