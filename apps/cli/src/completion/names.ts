/** The names of an installation, for the tab key: asked for quickly, without a word, and none when they cannot be had. */
import type { LmasClient } from '@lmas/client';
import { openClient } from '../connection.ts';
import { readContexts } from '../contexts.ts';
import type { Terminal } from '../terminal.ts';
import type { Candidate, Kind } from './candidates.ts';

/** A person waits for each of them with a finger on the key. */
const LIMIT_MS = 1_500;
const NEWEST = 50;
/** One page: more than that nobody chooses from. */
const MOST = 200;

type Client = LmasClient;
type Options = { signal: AbortSignal };

const READERS: Readonly<Record<Exclude<Kind, 'context'>, (client: Client, options: Options) => Promise<Candidate[]>>> =
  {
    migration: async (client, options) =>
      (await client.listMigrations({ limit: NEWEST }, options)).items.map(({ id, vm, phase }) => ({
        ...{ value: id, meaning: `${vm.name}, ${phase}` },
      })),
    site: async (client, options) => named(await client.listSites(options)),
    endpoint: async (client, options) =>
      (await client.listEndpoints(options)).map(({ id, plugin, site }) => ({
        value: id,
        meaning: `${plugin} at ${site}`,
      })),
    credential: async (client, options) => named(await client.listCredentials(options)),
    webhook: async (client, options) => named(await client.listWebhooks(options)),
    project: async (client, options) => named(await client.listProjects(options)),
    plugin: async (client, options) =>
      (await client.listPlugins(options)).map(({ name }) => ({ value: name, meaning: '' })),
    'api-key': async (client, options) =>
      (await client.listApiKeys(options)).map(({ id, name }) => ({ value: id, meaning: name })),
    plan: async (client, options) => described((await client.listPlans({ limit: MOST }, options)).items),
    'plan-run': async (client, options) =>
      (await client.listPlanRuns({ limit: NEWEST }, options)).items.map(({ id, plan, mode, phase }) => ({
        ...{ value: id, meaning: [plan, mode, phase].filter((word) => word !== null).join(', ') },
      })),
    schedule: async (client, options) => described((await client.listSchedules({ limit: MOST }, options)).items),
    policy: async (client, options) =>
      (await client.listBalancingPolicies(options)).map(({ id, mode }) => ({ value: id, meaning: mode })),
  };

const named = (things: readonly { readonly id: string }[]): Candidate[] =>
  things.map(({ id }) => ({ value: id, meaning: '' }));

const described = (things: readonly { readonly id: string; readonly description: string }[]): Candidate[] =>
  things.map(({ id, description }) => ({ value: id, meaning: description }));

export interface NameFlags {
  readonly url?: string;
  readonly apiKeyFile?: string;
  readonly context?: string;
}

export async function namesOf(kind: Kind, flags: NameFlags, { env, interrupted }: Terminal): Promise<Candidate[]> {
  try {
    if (kind === 'context') {
      const { contexts } = await readContexts(env);
      return Object.entries(contexts).map(([value, { url }]) => ({ value, meaning: url }));
    }
    const client = await openClient(flags, env, { warn: () => undefined });
    const signal = AbortSignal.any([interrupted, AbortSignal.timeout(LIMIT_MS)]);
    return await READERS[kind](client, { signal });
  } catch {
    return []; // no place to complain in
  }
}
