/**
 * What one caller sees: the services, narrowed to the caller's project. What belongs to somebody else is not there, as if
 * it had never been: NOT_FOUND, never "forbidden". Routes reach migrations, credentials, sites and endpoints only here.
 *
 * - Migrations and credentials belong to the project of whoever made them, or to the installation.
 * - Sites and endpoints belong to the installation. A project sees the endpoints it was given, and their sites.
 */

import type { Questions } from '../endpoints/questions.ts';
import { LmasError } from '../errors.ts';
import type { MigrationChecker } from '../migrations/checks.ts';
import { type EventHub, type EventReader, isEvent, QUIET_MS } from '../migrations/events.ts';
import type { MigrationInput } from '../migrations/record.ts';
import type { CreateOptions, ListQuery, MigrationService } from '../migrations/service.ts';
import type {
  CredentialInfo,
  CredentialInput,
  CredentialStore,
  Endpoint,
  EndpointStore,
  Inventory,
  Site,
  SiteStore,
} from '../sites/sites.ts';
import { fullName, ownName } from './owned-names.ts';
import { type Principal, projectSees } from './principal.ts';
import { requirePriority } from './priority.ts';
import type { Projects } from './projects.ts';
import { storedNoticeSeenBy } from './seen-notices.ts';

export type ScopedMigrations = Omit<
  MigrationService,
  'create' | 'list' | 'unfinished' | 'liveAt' | 'waiting' | 'requireFree'
> & {
  requireFree(vm: Parameters<MigrationService['requireFree']>[0], source: string): Promise<void>;
  waiting(query: Parameters<MigrationService['waiting']>[0]): ReturnType<MigrationService['waiting']>;
  unfinished(): ReturnType<MigrationService['unfinished']>;
  create(input: MigrationInput, options: CreateOptions): ReturnType<MigrationService['create']>;
  list(query: Omit<ListQuery, 'project'>): ReturnType<MigrationService['list']>;
};

export type ScopedCredentials = Omit<CredentialStore, 'add' | 'reveal' | 'remove'> & {
  add(input: CredentialInput): ReturnType<CredentialStore['add']>;
  remove(id: string): ReturnType<CredentialStore['remove']>;
};

export interface Scope {
  /** null: the whole installation. */
  readonly project: string | null;
  readonly migrations: ScopedMigrations;
  readonly events: EventReader;
  readonly checker: MigrationChecker;
  readonly credentials: ScopedCredentials;
  readonly sites: SiteStore;
  readonly endpoints: EndpointStore;
  readonly questions: Questions;
}

export interface Unscoped {
  readonly migrations: MigrationService;
  readonly events: EventHub;
  readonly checker: MigrationChecker;
  readonly inventory: Inventory;
  readonly questions: Questions;
  readonly projects: Projects;
}

export function scopeOf({ project }: Pick<Principal, 'project'>, all: Unscoped): Scope {
  const endpoints = endpointsOf(project, all);
  const sites = sitesOf(project, endpoints, all.inventory.sites);
  const requireEndpoints = async ({ source, destination }: MigrationInput): Promise<void> => {
    const granted = await all.projects.granted(project);
    const unknown = [source, destination].find((id) => !granted(id));
    if (unknown !== undefined) throw new LmasError('UNKNOWN_REFERENCE', `There is no ${unknown}.`);
  };
  return {
    project,
    endpoints,
    migrations: migrationsOf(project, all, requireEndpoints),
    events: eventsOf(project, all),
    checker: {
      async check(input, options) {
        await requireEndpoints(input);
        return await all.checker.check(input, options);
      },
    },
    credentials: credentialsOf(project, all.inventory.credentials, { sites, endpoints }),
    sites,
    questions: {
      async lend(endpointId, options) {
        await endpoints.get(endpointId);
        return await all.questions.lend(endpointId, options);
      },
    },
  };
}

async function visibleMigration(project: string | null, service: MigrationService, id: string) {
  const migration = await service.get(id);
  if (projectSees(project, migration.project)) return migration;
  throw new LmasError('MIGRATION_NOT_FOUND', `There is no migration ${id}.`);
}

function migrationsOf(
  project: string | null,
  { migrations: service, projects }: Pick<Unscoped, 'migrations' | 'projects'>,
  requireEndpoints: (input: MigrationInput) => Promise<void>,
): ScopedMigrations {
  const get = (id: string) => visibleMigration(project, service, id);
  const requireVisible = async (id: string): Promise<void> => {
    if (project !== null) await get(id); // whoever sees all hears from the service that there is none
  };
  return {
    get,
    async create(input, options) {
      await requireEndpoints(input);
      return await service.create(input, { ...options, project });
    },
    async validate(input) {
      await requireEndpoints(input);
      requirePriority(project, input, await projects.limitsOf(project));
      await service.validate(input);
    },
    requireFree: (vm, source) => service.requireFree(vm, source, project),
    async log(id) {
      await get(id);
      return await service.log(id);
    },
    unfinished: () => service.unfinished(project),
    waiting: (query) => service.waiting(query, project),
    list: (query) => service.list({ ...query, project }),
    async change(id, changes) {
      await requireVisible(id);
      return await service.change(id, changes);
    },
    async retry(id, options) {
      await requireEndpoints((await get(id)).request);
      return await service.retry(id, options);
    },
    async giveUpTeardown(id, said) {
      await requireVisible(id);
      return await service.giveUpTeardown(id, said);
    },
    async markDoneByHand(id, said) {
      await requireVisible(id);
      return await service.markDoneByHand(id, said);
    },
    async cancel(id) {
      await requireVisible(id);
      return await service.cancel(id);
    },
  };
}

function eventsOf(project: string | null, { events, migrations }: Unscoped): EventReader {
  return {
    async *follow(id, afterId, options) {
      await visibleMigration(project, migrations, id);
      yield* events.follow(id, afterId, options);
    },
    async lastSeen(id, afterId) {
      await visibleMigration(project, migrations, id);
      return await events.lastSeen(id, afterId);
    },
    position: () => events.position(),
    async *followAll(afterId, options) {
      let quietSince = performance.now();
      for await (const event of events.followAll(afterId, options)) {
        const isNotice = isEvent(event);
        const seen = isNotice ? storedNoticeSeenBy(project, event.json) : undefined;
        // What others do is not shown, nor when they do it; but the reader is not left without a sign of life.
        if (isNotice && seen === undefined && performance.now() - quietSince < QUIET_MS) continue;
        quietSince = performance.now();
        if (isNotice) yield seen === undefined ? undefined : { id: event.id, json: seen };
        else yield event === undefined || project === null ? event : { missed: null }; // how many of them were theirs?
      }
    },
  };
}

function credentialsOf(
  project: string | null,
  store: CredentialStore,
  { sites, endpoints }: Pick<Scope, 'sites' | 'endpoints'>,
): ScopedCredentials {
  const shown = (credential: CredentialInfo): CredentialInfo => ({
    ...credential,
    id: ownName(project, credential.id),
  });
  return {
    get: async (id) => shown(await store.get(fullName(project, id))),
    add: async (input) => shown(await store.add({ ...input, id: fullName(project, input.id), project })),
    list: async () => (await store.list()).filter((each) => projectSees(project, each.project)).map(shown),
    async remove(id) {
      if (project === null) return await store.remove(id);
      const [ofSites, ofEndpoints] = await Promise.all([sites.list(), endpoints.list()]);
      const seen = [...ofSites.map((site) => `site ${site.id}`), ...ofEndpoints.map((one) => `endpoint ${one.id}`)];
      await store.remove(fullName(project, id), { name: id, seen: new Set(seen) });
    },
  };
}

/** The name of a credential that something logs in with, as whoever is bound to `project` reads it; empty: it is not theirs. */
function shownCredential(project: string | null, name: string): string {
  const own = ownName(project, name);
  return project === null || own !== name ? own : '';
}

function endpointsOf(project: string | null, { inventory, projects }: Unscoped): EndpointStore {
  const store = inventory.endpoints;
  const shown = (endpoint: Endpoint): Endpoint => ({
    ...endpoint,
    credential: shownCredential(project, endpoint.credential),
  });
  const isGranted = async (id: string) => (await projects.granted(project))(id);
  const requireGranted = async (id: string): Promise<void> => {
    if (!(await isGranted(id))) throw new LmasError('ENDPOINT_NOT_FOUND', `There is no ${id}.`);
  };
  return {
    add: (input) => requireInstallation(project, () => store.add(input)),
    async list() {
      const granted = await projects.granted(project);
      return (await store.list()).filter(({ id }) => granted(id)).map(shown);
    },
    async get(id) {
      await requireGranted(id);
      return shown(await store.get(id));
    },
    change: (id, change, expect) => requireInstallation(project, () => store.change(id, change, expect)),
    setCordon: (id, isCordoned) => requireInstallation(project, () => store.setCordon(id, isCordoned)),
    remove: (id) =>
      requireInstallation(project, async () => {
        const users = (await projects.list(null)).filter(({ endpoints }) => endpoints?.includes(id));
        if (users.length > 0) {
          const names = users.map((user) => `project ${user.id}`).join(', ');
          throw new LmasError('IN_USE', `${id} is given to ${names}.`, { remedy: 'Take it away from these first.' });
        }
        await store.remove(id);
      }),
  };
}

function sitesOf(project: string | null, endpoints: EndpointStore, store: SiteStore): SiteStore {
  const shown = (site: Site): Site => {
    const { gateway } = site;
    if (gateway === null) return site;
    const credential = shownCredential(project, gateway.ssh.credential);
    return { ...site, gateway: { ...gateway, ssh: { ...gateway.ssh, credential } } };
  };
  const visible = async (): Promise<ReadonlySet<string>> =>
    new Set(
      (project === null ? await store.list() : await endpoints.list()).map((item) =>
        'site' in item ? item.site : item.id,
      ),
    );
  return {
    add: (input) => requireInstallation(project, () => store.add(input)),
    async list() {
      const ids = await visible();
      return (await store.list()).filter(({ id }) => ids.has(id)).map(shown);
    },
    async get(id) {
      if (project !== null && !(await visible()).has(id)) throw new LmasError('SITE_NOT_FOUND', `There is no ${id}.`);
      return shown(await store.get(id));
    },
    change: (id, change, expect) => requireInstallation(project, () => store.change(id, change, expect)),
    remove: (id) => requireInstallation(project, () => store.remove(id)),
  };
}

/** The table of routes says so first; this is for whoever gets here another way. */
async function requireInstallation<T>(project: string | null, act: () => Promise<T>): Promise<T> {
  if (project !== null) throw new LmasError('FORBIDDEN');
  return await act();
}
