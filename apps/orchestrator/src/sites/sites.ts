/**
 * Sites, endpoints and credentials as registered: names and settings in Redis, secrets sealed. What others still need
 * cannot be deleted; whoever needs it is named.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Credential, HypervisorPlugin } from '@lmas/plugin-api';
import { inspectPrivateKey, sshErrorCode } from '@lmas/ssh';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Vault } from '../access/vault.ts';
import { LmasError } from '../errors.ts';
import { inShort } from '../in-short.ts';
import { now } from '../migrations/record.ts';
import type { MigrationStore } from '../migrations/store.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import { keys } from '../redis/keys.ts';
import { readStored } from '../redis/stored-json.ts';
import { type credentialInputSchema, credentialSchema } from '../schemas/credential.ts';
import { type endpointChangeSchema, type endpointInputSchema, endpointSchema } from '../schemas/endpoint.ts';
import { type siteChangeSchema, type siteInputSchema, siteSchema } from '../schemas/site.ts';
import { addressesOf, addressPlaces } from './addresses.ts';
import { type NamedTable, namedTable } from './table.ts';

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

/** Called with the version that is about to be changed; throws when it is not the one that the caller has seen. */
export type Expectation<Item> = (current: Item) => void;

export interface SiteStore extends Table<Site, z.output<typeof siteInputSchema>> {
  /** What is not named stays. @throws LmasError SITE_NOT_FOUND, UNKNOWN_REFERENCE, IN_USE when migrations need the machine as it is */
  change(id: string, change: z.output<typeof siteChangeSchema>, expect: Expectation<Site>): Promise<Site>;
}
export interface EndpointStore extends Table<Endpoint, z.output<typeof endpointInputSchema>> {
  /** What is not named stays. @throws LmasError ENDPOINT_NOT_FOUND, UNKNOWN_REFERENCE, INVALID_CREDENTIAL, INVALID_ENDPOINT_CONFIG, IN_USE when migrations need the host as it is */
  change(id: string, change: z.output<typeof endpointChangeSchema>, expect: Expectation<Endpoint>): Promise<Endpoint>;
  /** Whether it takes VMs from now on; what was accepted before goes on. Idempotent. @throws LmasError ENDPOINT_NOT_FOUND */
  setCordon(id: string, isCordoned: boolean): Promise<Endpoint>;
}
type OwnedCredentialInput = CredentialInput & { readonly project: string | null };

export interface CredentialStore extends Omit<Table<CredentialInfo, OwnedCredentialInput>, 'remove'> {
  /**
   * @param as what whoever removes it calls it, and which of its users (`site lisbon`, `endpoint host-a`) it may be told
   * @throws LmasError IN_USE, CREDENTIAL_NOT_FOUND
   */
  remove(id: string, as?: { readonly name: string; readonly seen: ReadonlySet<string> }): Promise<void>;
  /** The secret itself, for a connection that is about to be made. */
  reveal(id: string): Promise<Credential>;
}

const storedCredentialSchema = credentialSchema.extend({ sealed: z.string() });
type StoredCredential = z.infer<typeof storedCredentialSchema>;

export interface Inventory {
  readonly credentials: CredentialStore;
  readonly sites: SiteStore;
  readonly endpoints: EndpointStore;
}

export function createInventory(
  redis: Redis,
  { vault, plugins, migrations }: { vault: Vault; plugins: PluginRegistry; migrations: MigrationReads },
): Inventory {
  const tables: Tables = {
    credentials: namedTable(redis, {
      ...{ key: keys.credentials, kind: 'credential', notFound: 'CREDENTIAL_NOT_FOUND' },
      schema: storedCredentialSchema,
    }),
    sites: namedTable(redis, {
      ...{ key: keys.sites, kind: 'site', notFound: 'SITE_NOT_FOUND' },
      schema: siteSchema,
    }),
    endpoints: namedTable(redis, {
      ...{ key: keys.endpoints, kind: 'endpoint', notFound: 'ENDPOINT_NOT_FOUND' },
      schema: endpointSchema,
    }),
    async kindOfCredential(id) {
      const json = await redis.hget(keys.credentials, id);
      return json === null ? undefined : readStored(storedCredentialSchema, json).kind;
    },
  };
  return {
    credentials: credentialStore(tables, vault),
    sites: siteStore(tables, migrations, redis),
    endpoints: endpointStore(tables, migrations, plugins),
  };
}

interface Tables {
  readonly credentials: NamedTable<StoredCredential>;
  readonly sites: NamedTable<Site>;
  readonly endpoints: NamedTable<Endpoint>;
  /** `undefined`: there is no such credential. */
  kindOfCredential(id: string): Promise<Credential['kind'] | undefined>;
}

function credentialStore({ credentials, sites, endpoints }: Tables, vault: Vault): CredentialStore {
  return {
    async add({ id, kind, username, project, ...secrets }) {
      const publicKey = 'privateKey' in secrets ? inspectKey(secrets) : null;
      const info = { id, kind, username, project, publicKey, createdAt: now() };
      await credentials.add({ ...info, sealed: await vault.seal(`credential:${id}`, JSON.stringify(secrets)) }, []);
      return info;
    },
    list: async () => (await credentials.list()).map(withoutSecret),
    get: async (id) => withoutSecret(await credentials.get(id)),
    async reveal(id) {
      const { kind, username, sealed } = await credentials.get(id);
      return { kind, username, ...JSON.parse(await vault.open(`credential:${id}`, sealed)) } as Credential;
    },
    async remove(id, as) {
      await credentials.get(id);
      const ofSites = (await sites.list()).filter(({ gateway }) => gateway?.ssh.credential === id);
      const ofEndpoints = (await endpoints.list()).filter(({ credential }) => credential === id);
      const users = [
        ...ofSites.map((site) => `site ${site.id}`),
        ...ofEndpoints.map((endpoint) => `endpoint ${endpoint.id}`),
      ];
      if (as === undefined) refuseUsed('credential', id, users);
      else refuseUsedBySome(as.name, users, as.seen);
      await credentials.remove(id);
    },
  };
}

function siteStore(tables: Tables, migrations: MigrationReads, redis: Redis): SiteStore {
  const { sites, endpoints } = tables;
  const usersOf = (id: string) => migrationsIn(keys.index('site', id), migrations);
  const requireChangeable = async (site: Site, gateway: SiteGateway): Promise<void> => {
    requirePortRange(gateway);
    if (gateway !== null) await requireCredential(tables, gateway.ssh.credential);
    if (movesMachine(site.gateway, gateway)) refuseUsed('site', site.id, await usersOf(site.id));
  };
  return {
    async add(input) {
      const site = { ...input, createdAt: now() };
      const { gateway } = site;
      requirePortRange(gateway);
      await sites.add(site, gateway === null ? [] : [credentialReference(gateway.ssh.credential)]);
      return site;
    },
    async change(id, { description, gateway }, expect) {
      const apply = async (site: Site): Promise<Site> => {
        expect(site);
        if (gateway !== undefined) await requireChangeable(site, gateway);
        return {
          ...site,
          ...(description === undefined ? {} : { description }),
          ...(gateway === undefined ? {} : { gateway }),
        };
      };
      return await sites.change(id, apply, (site) => addressPlaces(redis, site));
    },
    list: () => sites.list(),
    get: (id) => sites.get(id),
    async remove(id) {
      await sites.get(id);
      const there = (await endpoints.list()).filter(({ site }) => site === id);
      refuseUsed('site', id, [...there.map((endpoint) => `endpoint ${endpoint.id}`), ...(await usersOf(id))]);
      await sites.remove(id);
    },
  };
}

function endpointStore(tables: Tables, migrations: MigrationReads, plugins: PluginRegistry): EndpointStore {
  const { endpoints } = tables;
  const usersOf = (id: string) => migrationsIn(keys.index('endpoint', id), migrations);
  return {
    async add(input) {
      const plugin = plugins.find(input.plugin);
      if (plugin === undefined) throw new LmasError('UNKNOWN_REFERENCE', `No plugin ${input.plugin} is loaded.`);
      const config = parseConfig(plugin, input.config);
      requireFitting(plugin, input.credential, await tables.kindOfCredential(input.credential));
      const endpoint = { ...input, config, createdAt: now(), cordonedAt: null };
      await endpoints.add(endpoint, [
        { key: keys.sites, kind: 'site', id: input.site },
        credentialReference(input.credential),
      ]);
      return endpoint;
    },
    change: (id, { credential, config }, expect) =>
      endpoints.change(id, async (endpoint) => {
        expect(endpoint);
        if (credential !== undefined)
          requireFitting(plugins.find(endpoint.plugin), credential, await requireCredential(tables, credential));
        const changed = { ...endpoint, ...(credential === undefined ? {} : { credential }) };
        if (config === undefined) return changed;
        const parsed = parseConfig(plugins.get(endpoint.plugin), config);
        if (!isDeepStrictEqual(parsed, endpoint.config)) refuseUsed('endpoint', id, await usersOf(id));
        return { ...changed, config: parsed };
      }),
    setCordon: (id, isCordoned) =>
      endpoints.change(id, async (endpoint) => ({
        ...endpoint,
        cordonedAt: isCordoned ? (endpoint.cordonedAt ?? now()) : null,
      })),
    list: () => endpoints.list(),
    get: (id) => endpoints.get(id),
    async remove(id) {
      await endpoints.get(id);
      refuseUsed('endpoint', id, await usersOf(id));
      await endpoints.remove(id);
    },
  };
}

type MigrationReads = Pick<MigrationStore, 'unfinished'>;

/** As users of what they refer to. */
const migrationsIn = async (index: string, migrations: MigrationReads): Promise<string[]> =>
  (await migrations.unfinished(index)).map((id) => `migration ${id}`);

const credentialReference = (id: string) => ({ key: keys.credentials, kind: 'credential', id });

async function requireCredential({ kindOfCredential }: Tables, id: string): Promise<Credential['kind']> {
  const kind = await kindOfCredential(id);
  if (kind === undefined) throw new LmasError('UNKNOWN_REFERENCE', `There is no credential ${id}.`);
  return kind;
}

/** @throws LmasError INVALID_CREDENTIAL naming the kinds that fit. What is not there (any more) is for others to tell. */
function requireFitting(plugin: HypervisorPlugin | undefined, id: string, kind: Credential['kind'] | undefined): void {
  const fitting = plugin?.credentialKinds;
  if (plugin === undefined || fitting === undefined || kind === undefined || fitting.includes(kind)) return;
  const message = `Endpoints of ${plugin.name} log in with a credential of kind ${fitting.join(' or ')}; ${id} is of kind ${kind}.`;
  throw new LmasError('INVALID_CREDENTIAL', message, {
    issues: [{ path: 'credential', message }],
    remedy: ANOTHER_KIND,
  });
}

const ANOTHER_KIND = 'Register one of a kind that fits (lmas credential add, POST /v1/credentials), and name that.';

const withoutSecret = ({ sealed: _, ...info }: StoredCredential): CredentialInfo => info;

/** @throws LmasError INVALID_CREDENTIAL saying what is wrong with it */
function inspectKey({ privateKey, passphrase }: { privateKey: string; passphrase?: string | undefined }) {
  try {
    return inspectPrivateKey(privateKey, passphrase);
  } catch (error) {
    if (sshErrorCode(error) !== 'INVALID_ARGUMENT' || !(error instanceof Error)) throw error;
    const issues = [{ path: 'privateKey', message: error.message }];
    throw new LmasError('INVALID_CREDENTIAL', error.message, { issues });
  }
}

function refuseUsed(kind: string, id: string, users: readonly string[]): void {
  if (users.length === 0) return;
  throw new LmasError('IN_USE', `The ${kind} ${id} is still used by ${inShort(users)}.`, {
    remedy:
      'Remove these first, or wait until they have ended and their teardown is complete. Of a machine that is gone for good, ' +
      'it can be given up: lmas give-up, or POST /v1/migrations/{id}/give-up-teardown.',
  });
}

/** Who sees not all of its users, and may change none of them, hears of those that it sees. */
function refuseUsedBySome(name: string, users: readonly string[], seen: ReadonlySet<string>): void {
  if (users.length === 0) return;
  const shown = users.filter((user) => seen.has(user));
  const others = shown.length < users.length ? ['what your project does not see'] : [];
  throw new LmasError('IN_USE', `The credential ${name} is still used by ${inShort([...shown, ...others])}.`, {
    remedy: 'Whoever runs the installation can have another one used instead.',
  });
}

type SiteGateway = Site['gateway'];

function requirePortRange(gateway: SiteGateway): void {
  if (gateway === null || gateway.tunnelPorts.min <= gateway.tunnelPorts.max) return;
  throw new LmasError('INVALID_REQUEST', undefined, {
    issues: [{ path: 'gateway.tunnelPorts', message: 'min must not exceed max' }],
  });
}

/** One with a gateway machine. */
export type EquippedSite = Site & { readonly gateway: NonNullable<SiteGateway> };
const isEquipped = (site: Site): site is EquippedSite => site.gateway !== null;

/** @throws LmasError NO_GATEWAY that names every site without a gateway machine */
export function requireGateways(
  [source, destination]: readonly [Site, Site],
  { remedy }: { remedy?: string } = {},
): [EquippedSite, EquippedSite] {
  if (isEquipped(source) && isEquipped(destination)) return [source, destination];
  const without = [...new Set([source, destination].flatMap((site) => (isEquipped(site) ? [] : [site.id])))];
  const [who, has] = without.length === 1 ? ['Site', 'has'] : ['Sites', 'have'];
  const message = `${who} ${without.join(' and ')} ${has} no gateway machine.`;
  throw new LmasError('NO_GATEWAY', message, { ...(remedy && { remedy }) });
}

/**
 * A migration that is under way, or not taken down yet, finds its gateways, and takes them away, where the site says: that must not move.
 * Nor may an address go that it may have; one more is in nobody's way.
 */
function movesMachine(before: SiteGateway, after: SiteGateway): boolean {
  if (before === null || after === null) return before !== after;
  const placeOf = ({ ssh, moreHypervisorAddresses: _more, ...rest }: NonNullable<SiteGateway>) => {
    const { credential: _credential, ...server } = ssh;
    return { ...rest, server };
  };
  const kept = new Set(addressesOf(after));
  return (
    !isDeepStrictEqual(placeOf(before), placeOf(after)) || addressesOf(before).some((address) => !kept.has(address))
  );
}

function parseConfig(plugin: HypervisorPlugin, config: unknown): Record<string, unknown> {
  const parsed = plugin.configSchema.safeParse(config);
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => ({ path: ['config', ...path].join('.'), message }));
    throw new LmasError('INVALID_ENDPOINT_CONFIG', undefined, { issues });
  }
  return z.record(z.string(), z.unknown()).parse(parsed.data);
}
