/**
 * Sites, endpoints and credentials as registered: names and settings in Redis, secrets sealed. What others still need
 * cannot be deleted; whoever needs it is named.
 */
import type { Credential, HypervisorPlugin } from '@lmas/plugin-api';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Vault } from '../access/vault.ts';
import { LmasError, type OrchestratorErrorCode } from '../errors.ts';
import { now } from '../migrations/record.ts';
import type { MigrationStore } from '../migrations/store.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import { keys } from '../redis/keys.ts';
import { script } from '../redis/script.ts';
import { type credentialInputSchema, credentialSchema } from '../schemas/credential.ts';
import { type endpointInputSchema, endpointSchema } from '../schemas/endpoint.ts';
import { type siteInputSchema, siteSchema } from '../schemas/site.ts';

export type Site = z.infer<typeof siteSchema>;
export type Endpoint = z.infer<typeof endpointSchema>;
export type CredentialInfo = z.infer<typeof credentialSchema>;
export type CredentialInput = z.output<typeof credentialInputSchema>;

export interface Table<Item, Input> {
  /** @throws LmasError ALREADY_EXISTS, UNKNOWN_REFERENCE, … */
  add(input: Input): Promise<Item>;
  list(): Promise<Item[]>;
  /** @throws LmasError …_NOT_FOUND */
  get(id: string): Promise<Item>;
  /** @throws LmasError IN_USE naming the users, …_NOT_FOUND */
  remove(id: string): Promise<void>;
}

export type SiteStore = Table<Site, z.output<typeof siteInputSchema>>;
export type EndpointStore = Table<Endpoint, z.output<typeof endpointInputSchema>>;
export interface CredentialStore extends Table<CredentialInfo, CredentialInput & { readonly project: string | null }> {
  /** The secret itself, for a connection that is about to be made. */
  reveal(id: string): Promise<Credential>;
}

const storedCredentialSchema = credentialSchema.extend({ sealed: z.string() });

/** KEYS: the table, then the tables that hold what it refers to. ARGV: id, json, then for each of these a name. */
const ADD = script(`
  for i = 2, #KEYS do
    if redis.call('HEXISTS', KEYS[i], ARGV[i + 1]) == 0 then return ARGV[i + 1] end
  end
  return redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
`);

/** One table in Redis: parsed on the way out, newest settings only. */
function table<Stored extends { id: string }>(
  redis: Redis,
  key: string,
  schema: z.ZodType<Stored>,
  notFound: OrchestratorErrorCode,
) {
  const parse = (json: string): Stored => schema.parse(JSON.parse(json));
  return {
    async add(item: Stored, references: readonly { readonly key: string; readonly id: string }[]): Promise<void> {
      const answer = await ADD(
        redis,
        [key, ...references.map((reference) => reference.key)],
        [item.id, JSON.stringify(item), ...references.map(({ id }) => id)],
      );
      if (typeof answer === 'string') throw new LmasError('UNKNOWN_REFERENCE', `There is no ${answer}.`);
      if (answer === 0) throw new LmasError('ALREADY_EXISTS', `There is a ${item.id} already.`);
    },
    async list(): Promise<Stored[]> {
      const all = Object.values(await redis.hgetall(key)).map(parse);
      return all.sort((a, b) => (a.id < b.id ? -1 : 1));
    },
    async get(id: string): Promise<Stored> {
      const json = await redis.hget(key, id);
      if (json === null) throw new LmasError(notFound, `There is no ${id}.`);
      return parse(json);
    },
    async remove(id: string): Promise<void> {
      await redis.hdel(key, id);
    },
  };
}

export interface Inventory {
  readonly credentials: CredentialStore;
  readonly sites: SiteStore;
  readonly endpoints: EndpointStore;
}

export function createInventory(
  redis: Redis,
  { vault, plugins, migrations }: { vault: Vault; plugins: PluginRegistry; migrations: MigrationStore },
): Inventory {
  const credentialTable = table(redis, keys.credentials, storedCredentialSchema, 'CREDENTIAL_NOT_FOUND');
  const siteTable = table(redis, keys.sites, siteSchema, 'SITE_NOT_FOUND');
  const endpointTable = table(redis, keys.endpoints, endpointSchema, 'ENDPOINT_NOT_FOUND');
  /** Live migrations, as users of what they refer to. */
  const migrationsUsing = async (uses: (migration: { source: Place; destination: Place }) => boolean) => {
    const live = await migrations.getMany(await migrations.live());
    return live.filter(uses).map(({ id }) => `migration ${id}`);
  };

  return {
    credentials: {
      async add({ id, kind, username, project, ...secrets }) {
        const info = { id, kind, username, project, createdAt: now() };
        await credentialTable.add({ ...info, sealed: vault.seal(`credential:${id}`, JSON.stringify(secrets)) }, []);
        return info;
      },
      list: async () => (await credentialTable.list()).map(withoutSecret),
      get: async (id) => withoutSecret(await credentialTable.get(id)),
      async reveal(id) {
        const { kind, username, sealed } = await credentialTable.get(id);
        return { kind, username, ...JSON.parse(await vault.open(`credential:${id}`, sealed)) } as Credential;
      },
      async remove(id) {
        await credentialTable.get(id);
        const sites = (await siteTable.list()).filter(({ gateway }) => gateway?.ssh.credential === id);
        const endpoints = (await endpointTable.list()).filter(({ credential }) => credential === id);
        refuseUsed(id, [...sites.map((site) => `site ${site.id}`), ...endpoints.map(({ id: e }) => `endpoint ${e}`)]);
        await credentialTable.remove(id);
      },
    },
    sites: {
      async add(input) {
        const site = { ...input, createdAt: now() };
        const { gateway } = site;
        if (gateway !== null && gateway.tunnelPorts.min > gateway.tunnelPorts.max) {
          throw new LmasError('INVALID_REQUEST', 'tunnelPorts.min must not exceed tunnelPorts.max.');
        }
        const references = gateway === null ? [] : [{ key: keys.credentials, id: gateway.ssh.credential }];
        await siteTable.add(site, references);
        return site;
      },
      list: () => siteTable.list(),
      get: (id) => siteTable.get(id),
      async remove(id) {
        await siteTable.get(id);
        const endpoints = (await endpointTable.list()).filter(({ site }) => site === id);
        const users = await migrationsUsing(({ source, destination }) => source.site === id || destination.site === id);
        refuseUsed(id, [...endpoints.map((endpoint) => `endpoint ${endpoint.id}`), ...users]);
        await siteTable.remove(id);
      },
    },
    endpoints: {
      async add(input) {
        const plugin = plugins.find(input.plugin);
        if (plugin === undefined) throw new LmasError('UNKNOWN_REFERENCE', `No plugin ${input.plugin} is loaded.`);
        const endpoint = { ...input, config: parseConfig(plugin, input.config), createdAt: now() };
        await endpointTable.add(endpoint, [
          { key: keys.sites, id: input.site },
          { key: keys.credentials, id: input.credential },
        ]);
        return endpoint;
      },
      list: () => endpointTable.list(),
      get: (id) => endpointTable.get(id),
      async remove(id) {
        await endpointTable.get(id);
        refuseUsed(
          id,
          await migrationsUsing(({ source, destination }) => source.endpoint === id || destination.endpoint === id),
        );
        await endpointTable.remove(id);
      },
    },
  };
}

interface Place {
  readonly endpoint: string;
  readonly site: string;
}

const withoutSecret = ({ id, kind, username, project, createdAt }: CredentialInfo): CredentialInfo => ({
  id,
  kind,
  username,
  project,
  createdAt,
});

function refuseUsed(id: string, users: readonly string[]): void {
  if (users.length === 0) return;
  throw new LmasError('IN_USE', `${id} is still used by ${users.join(', ')}.`, { remedy: 'Remove these first.' });
}

function parseConfig(plugin: HypervisorPlugin, config: unknown): Record<string, unknown> {
  const parsed = plugin.configSchema.safeParse(config);
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => ({ path: ['config', ...path].join('.'), message }));
    throw new LmasError('INVALID_ENDPOINT_CONFIG', undefined, { issues });
  }
  return z.record(z.string(), z.unknown()).parse(parsed.data);
}
