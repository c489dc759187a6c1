/**
 * The typed client: one method for each route, on openapi-fetch and the types made from the OpenAPI document. Every
 * method answers with the body, or throws `LmasApiError` (refused) or `LmasConnectionError` (no usable answer). Nothing
 * is tried twice here: whether a repetition is safe is the caller's knowledge (for `createMigration` an idempotency key
 * makes it so).
 */
import createFetchClient from 'openapi-fetch';
import { type AccessClient, accessMethods } from './access.ts';
import { type BalancingClient, balancingMethods } from './balancing.ts';
import { answer, type CallOptions, done, type Http, only, settled } from './calls.ts';
import { apiErrorOf, LmasConnectionError } from './errors.ts';
import { type PlanClient, planMethods } from './plans.ts';
import { type RegisteredClient, registeredMethods } from './registered.ts';
import { type ResourceClient, resourceMethods } from './resources.ts';
import type { paths } from './schema.ts';
import { withTimeLimit } from './time-limit.ts';
import type {
  Credential,
  CredentialInput,
  DoneByHandRequest,
  Endpoint,
  EndpointChange,
  EndpointInput,
  GiveUpRequest,
  HostKeyScan,
  Inventory,
  LinkTest,
  LinkTestInput,
  Migration,
  MigrationChange,
  MigrationCheck,
  MigrationInput,
  MigrationList,
  MigrationListQuery,
  MigrationLogEntry,
  Plugin,
  Readiness,
  Site,
  SiteChange,
  SiteInput,
  Version,
} from './types.ts';
import {
  type WatchedEvent,
  type WatchedNotice,
  type WatchedPolicyEvent,
  type WatchedRunEvent,
  type WatchOptions,
  watchBalancingPolicy,
  watchMigration,
  watchNotices,
  watchPlanRun,
} from './watch.ts';

export interface LmasClientOptions {
  /** `http://host:port` or `https://…`, with a path when a proxy puts the orchestrator below one. */
  baseUrl: string;
  apiKey: string;
  fetch?: typeof globalThis.fetch;
  /** How long any one call may take; null: for ever. Default: 40 s, more for those that wait for a far end. */
  timeoutMs?: number | null;
}

export interface LmasClient extends AccessClient, RegisteredClient, ResourceClient, PlanClient, BalancingClient {
  readonly baseUrl: string;
  /** Accepts a migration (202). With an `idempotencyKey` the same call may be sent again and starts nothing twice. */
  createMigration(input: MigrationInput, options?: CallOptions & { idempotencyKey?: string }): Promise<Migration>;
  getMigration(id: string, options?: CallOptions): Promise<Migration>;
  /** One page, newest first. */
  listMigrations(query?: MigrationListQuery, options?: CallOptions): Promise<MigrationList>;
  /** All pages, record by record. */
  eachMigration(query?: MigrationListQuery, options?: CallOptions): AsyncGenerator<Migration, void, void>;
  cancelMigration(id: string, options?: CallOptions): Promise<Migration>;
  giveUpTeardown(id: string, said: GiveUpRequest, options?: CallOptions): Promise<Migration>;
  markDoneByHand(id: string, said: DoneByHandRequest, options?: CallOptions): Promise<Migration>;
  /** What its runs logged, the oldest first. */
  getMigrationLog(id: string, options?: CallOptions): Promise<MigrationLogEntry[]>;
  /** Bandwidth, convergence, longest pause of one that waits or runs. */
  updateMigration(id: string, change: MigrationChange, options?: CallOptions): Promise<Migration>;
  /** A new migration with the request of one that failed or was cancelled. */
  retryMigration(id: string, options?: CallOptions & { idempotencyKey?: string }): Promise<Migration>;
  /** The checks of the real run, and nothing else. */
  checkMigration(input: MigrationInput, options?: CallOptions): Promise<MigrationCheck>;
  /** See `watchMigration` in watch.ts. */
  watchMigration(id: string, options?: WatchOptions): AsyncGenerator<WatchedEvent, void, void>;
  /** See `watchPlanRun` in watch.ts. */
  watchPlanRun(id: string, options?: WatchOptions): AsyncGenerator<WatchedRunEvent, void, void>;
  /** See `watchBalancingPolicy` in watch.ts. */
  watchBalancingPolicy(id: string, options?: WatchOptions): AsyncGenerator<WatchedPolicyEvent, void, void>;
  /** See `watchNotices` in watch.ts. */
  watchNotices(options?: WatchOptions): AsyncGenerator<WatchedNotice, void, void>;

  listSites(options?: CallOptions): Promise<Site[]>;
  getSite(id: string, options?: CallOptions): Promise<Site>;
  createSite(input: SiteInput, options?: CallOptions): Promise<Site>;
  /** What is not named stays. `ifMatch` names the version that it is a change of (default: whatever is there). */
  updateSite(id: string, change: SiteChange, options?: CallOptions & { ifMatch?: string }): Promise<Site>;
  deleteSite(id: string, options?: CallOptions): Promise<void>;

  listEndpoints(options?: CallOptions): Promise<Endpoint[]>;
  getEndpoint(id: string, options?: CallOptions): Promise<Endpoint>;
  createEndpoint(input: EndpointInput, options?: CallOptions): Promise<Endpoint>;
  /** As `updateSite`. */
  updateEndpoint(id: string, change: EndpointChange, options?: CallOptions & { ifMatch?: string }): Promise<Endpoint>;
  deleteEndpoint(id: string, options?: CallOptions): Promise<void>;
  getInventory(endpoint: string, options?: CallOptions): Promise<Inventory>;

  listCredentials(options?: CallOptions): Promise<Credential[]>;
  createCredential(input: CredentialInput, options?: CallOptions): Promise<Credential>;
  deleteCredential(id: string, options?: CallOptions): Promise<void>;

  scanHostKeys(address: { host: string; port?: number }, options?: CallOptions): Promise<HostKeyScan>;
  listPlugins(options?: CallOptions): Promise<Plugin[]>;
  testLink(input: LinkTestInput, options?: CallOptions): Promise<LinkTest>;
  getVersion(options?: CallOptions): Promise<Version>;
  /** Answers whether it is ready or not; throws only when nobody could be asked. */
  getReadiness(options?: CallOptions): Promise<Readiness>;
}

/** Throws `LmasConnectionError` INVALID_URL when the base URL cannot be used; does not connect. */
export function createLmasClient({
  baseUrl,
  apiKey,
  fetch = globalThis.fetch,
  timeoutMs,
}: LmasClientOptions): LmasClient {
  const base = checkBaseUrl(baseUrl);
  const headers = { authorization: `Bearer ${apiKey}`, accept: 'application/json, application/problem+json' };
  const limited = withTimeLimit(fetch, timeoutMs);
  const http = createFetchClient<paths>({ baseUrl: base, headers, redirect: 'manual', fetch: limited });
  return {
    baseUrl: base,
    ...migrationMethods(http, base),
    watchMigration: (id, options) => watchMigration({ baseUrl: base, headers, fetch }, id, options),
    watchPlanRun: (id, options) => watchPlanRun({ baseUrl: base, headers, fetch }, id, options),
    watchBalancingPolicy: (id, options) => watchBalancingPolicy({ baseUrl: base, headers, fetch }, id, options),
    watchNotices: (options) => watchNotices({ baseUrl: base, headers, fetch }, options),
    ...registryMethods(http, base),
    ...serviceMethods(http, base),
    ...accessMethods(http, base),
    ...registeredMethods(http, base),
    ...resourceMethods(http, base),
    ...planMethods(http, base),
    ...balancingMethods(http, base),
  };
}

function migrationMethods(http: Http, base: string) {
  const methods = {
    createMigration: (
      body: MigrationInput,
      { idempotencyKey, signal }: CallOptions & { idempotencyKey?: string } = {},
    ) =>
      answer(
        base,
        signal,
        http.POST('/v1/migrations', {
          body,
          ...only({ signal }),
          ...(idempotencyKey === undefined ? {} : { headers: { 'idempotency-key': idempotencyKey } }),
        }),
      ),
    getMigration: (id: string, { signal }: CallOptions = {}) =>
      answer(base, signal, http.GET('/v1/migrations/{id}', { params: { path: { id } }, ...only({ signal }) })),
    getMigrationLog: async (id: string, { signal }: CallOptions = {}) =>
      (
        await answer(
          base,
          signal,
          http.GET('/v1/migrations/{id}/log', { params: { path: { id } }, ...only({ signal }) }),
        )
      ).items,
    listMigrations: (query: MigrationListQuery = {}, { signal }: CallOptions = {}) =>
      answer(base, signal, http.GET('/v1/migrations', { params: { query }, ...only({ signal }) })),
    cancelMigration: (id: string, { signal }: CallOptions = {}) =>
      answer(base, signal, http.POST('/v1/migrations/{id}/cancel', { params: { path: { id } }, ...only({ signal }) })),
    giveUpTeardown: (id: string, body: GiveUpRequest, { signal }: CallOptions = {}) =>
      answer(
        base,
        signal,
        http.POST('/v1/migrations/{id}/give-up-teardown', { body, params: { path: { id } }, ...only({ signal }) }),
      ),
    markDoneByHand: (id: string, body: DoneByHandRequest, { signal }: CallOptions = {}) =>
      answer(
        base,
        signal,
        http.POST('/v1/migrations/{id}/done-by-hand', { body, params: { path: { id } }, ...only({ signal }) }),
      ),
    updateMigration: (id: string, body: MigrationChange, { signal }: CallOptions = {}) =>
      answer(base, signal, http.PATCH('/v1/migrations/{id}', { body, params: { path: { id } }, ...only({ signal }) })),
    retryMigration: (id: string, { idempotencyKey, signal }: CallOptions & { idempotencyKey?: string } = {}) =>
      answer(
        base,
        signal,
        http.POST('/v1/migrations/{id}/retry', {
          params: { path: { id } },
          ...only({ signal }),
          ...(idempotencyKey === undefined ? {} : { headers: { 'idempotency-key': idempotencyKey } }),
        }),
      ),
    checkMigration: (body: MigrationInput, { signal }: CallOptions = {}) =>
      answer(base, signal, http.POST('/v1/migration-checks', { body, ...only({ signal }) })),
    async *eachMigration(query: MigrationListQuery = {}, options: CallOptions = {}) {
      let cursor = query.cursor;
      do {
        const page: MigrationList = await methods.listMigrations({ ...query, ...only({ cursor }) }, options);
        yield* page.items;
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
    },
  };
  return methods;
}

function registryMethods(http: Http, base: string) {
  const at = (id: string, signal: AbortSignal | undefined) => ({ params: { path: { id } }, ...only({ signal }) });
  return {
    listSites: async ({ signal }: CallOptions = {}) =>
      (await answer(base, signal, http.GET('/v1/sites', only({ signal })))).items,
    getSite: (id: string, { signal }: CallOptions = {}) =>
      answer(base, signal, http.GET('/v1/sites/{id}', at(id, signal))),
    createSite: (body: SiteInput, { signal }: CallOptions = {}) =>
      answer(base, signal, http.POST('/v1/sites', { body, ...only({ signal }) })),
    updateSite: (id: string, body: SiteChange, { ifMatch = '*', signal }: CallOptions & { ifMatch?: string } = {}) =>
      answer(base, signal, http.PATCH('/v1/sites/{id}', { body, headers: { 'if-match': ifMatch }, ...at(id, signal) })),
    deleteSite: (id: string, { signal }: CallOptions = {}) =>
      done(base, signal, http.DELETE('/v1/sites/{id}', at(id, signal))),

    listEndpoints: async ({ signal }: CallOptions = {}) =>
      (await answer(base, signal, http.GET('/v1/endpoints', only({ signal })))).items,
    getEndpoint: (id: string, { signal }: CallOptions = {}) =>
      answer(base, signal, http.GET('/v1/endpoints/{id}', at(id, signal))),
    createEndpoint: (body: EndpointInput, { signal }: CallOptions = {}) =>
      answer(base, signal, http.POST('/v1/endpoints', { body, ...only({ signal }) })),
    updateEndpoint: (
      id: string,
      body: EndpointChange,
      { ifMatch = '*', signal }: CallOptions & { ifMatch?: string } = {},
    ) =>
      answer(
        base,
        signal,
        http.PATCH('/v1/endpoints/{id}', { body, headers: { 'if-match': ifMatch }, ...at(id, signal) }),
      ),
    deleteEndpoint: (id: string, { signal }: CallOptions = {}) =>
      done(base, signal, http.DELETE('/v1/endpoints/{id}', at(id, signal))),
    getInventory: (id: string, { signal }: CallOptions = {}) =>
      answer(base, signal, http.GET('/v1/endpoints/{id}/inventory', at(id, signal))),

    listCredentials: async ({ signal }: CallOptions = {}) =>
      (await answer(base, signal, http.GET('/v1/credentials', only({ signal })))).items,
    createCredential: (body: CredentialInput, { signal }: CallOptions = {}) =>
      answer(base, signal, http.POST('/v1/credentials', { body, ...only({ signal }) })),
    deleteCredential: (id: string, { signal }: CallOptions = {}) =>
      done(base, signal, http.DELETE('/v1/credentials/{id}', at(id, signal))),
  };
}

function serviceMethods(http: Http, base: string) {
  return {
    scanHostKeys: ({ host, port }: { host: string; port?: number }, { signal }: CallOptions = {}) =>
      answer(base, signal, http.POST('/v1/host-key-scans', { body: { host, ...only({ port }) }, ...only({ signal }) })),
    listPlugins: async ({ signal }: CallOptions = {}) =>
      (await answer(base, signal, http.GET('/v1/plugins', only({ signal })))).items,
    testLink: (body: LinkTestInput, { signal }: CallOptions = {}) =>
      answer(base, signal, http.POST('/v1/link-tests', { body, ...only({ signal }) })),
    getVersion: ({ signal }: CallOptions = {}) => answer(base, signal, http.GET('/v1/version', only({ signal }))),
    getReadiness: async ({ signal }: CallOptions = {}): Promise<Readiness> => {
      const { data, error, response } = await settled(base, signal, http.GET('/readyz', only({ signal })));
      if (data !== undefined) return data;
      if (response.status === 503 && error !== undefined && 'checks' in error) return error;
      throw apiErrorOf(response, error);
    },
  };
}

function checkBaseUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new LmasConnectionError('INVALID_URL', `"${text}" is not a URL such as http://127.0.0.1:7070.`);
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new LmasConnectionError(
      'INVALID_URL',
      `The URL of the orchestrator (${url.origin}…) takes no user, query or fragment; the key goes elsewhere.`,
    );
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}
