/**
 * What only a real pool can show, looked at without a change: its release and rights, whether every member that may be
 * coordinator can be talked to, whether its records have the shapes we read, and what a migration will need there.
 *
 * Rights are shown by a question about no VM at all: XAPI looks at the role first, and only then finds that there is none.
 */
import { type VerificationQuestion, type VerificationStep, verifyInOrder } from '@lmas/plugin-api';
import { addressOf } from './addresses.ts';
import { isFault } from './errors.ts';
import {
  findByNameOrUuid,
  type Guests,
  isAttached,
  isLive,
  membersOf,
  type Pool,
  readGuests,
  readPool,
  withoutStorageMotion,
} from './pool.ts';
import { eventBatchSchema, type HostRecord, NULL_REF, nothingSchema } from './records.ts';
import { compareVersions } from './release.ts';
import type { XenSession } from './session.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** XenServer 7.0. */
const OLDEST_PLATFORM = '2.1';

export async function* verifyPool(
  session: XenSession,
  { signal }: Options,
): AsyncGenerator<VerificationStep, void, undefined> {
  let pool: Promise<Pool> | undefined;
  const read = (): Promise<Pool> => (pool ??= readPool(session.client, { signal }));
  yield* verifyInOrder(questions(session, read), { signal });
}

const failed = (seen: string, remedy: string) => ({ outcome: 'failed', seen, remedy }) as const;

function questions(session: XenSession, read: () => Promise<Pool>): readonly VerificationQuestion[] {
  const { client, config } = session;
  const members = async (): Promise<readonly HostRecord[]> => [...membersOf(await read(), config.hosts).values()];
  /** What is said of no member at all would be true of any pool. */
  const ofMembers =
    <T>(see: (pool: Pool, hosts: readonly HostRecord[]) => T) =>
    async () => {
      const hosts = await members();
      return hosts.length > 0
        ? see(await read(), hosts)
        : ({ outcome: 'skipped', seen: 'It rests on hosts.', remedy: null } as const);
    };
  const needs = ['records'];
  return [
    { name: 'records', ask: async ({ signal }) => readShapes(await read(), await readGuests(client, { signal })) },
    { name: 'release', needs, ask: async () => seeRelease(await read()) },
    { name: 'rights', ask: ({ signal }) => seeRights(session, { signal }) },
    { name: 'sessions', ask: ({ signal }) => seeSessions(session, { signal }) },
    { name: 'events', ask: ({ signal }) => seeEvents(session, { signal }) },
    { name: 'hosts', needs, ask: async () => seeHosts(await read(), config.hosts, await members()) },
    { name: 'members', needs, ask: async ({ signal }) => seeMembers(session, await read(), { signal }) },
    { name: 'migration-network', needs, ask: ofMembers((pool, hosts) => seeAddresses(pool, session, hosts)) },
    { name: 'storage', needs, ask: ofMembers(seeStorage) },
    { name: 'storage-motion', needs, ask: ofMembers(seeLicence) },
  ];
}

/** That they could be read at all says that they have the published shapes. */
function readShapes(pool: Pool, { vms, vdis }: Guests): string {
  return `Read: ${pool.hosts.size} hosts, ${pool.networks.size} networks, ${pool.srs.size} storage repositories, ${vms.size} VMs and templates, ${vdis.size} disks.`;
}

function seeRelease({ hosts, pool }: Pool) {
  if (!hosts.has(pool.master)) {
    return failed('The pool tells nothing of its coordinator.', 'See that the login may read the hosts of the pool.');
  }
  const {
    product_brand: brand = 'XAPI',
    product_version: version = '',
    platform_version: platform,
  } = hosts.get(pool.master)?.software_version ?? {};
  const seen = `${brand} ${version}, platform ${platform ?? 'unknown'}.`;
  if (platform === undefined || compareVersions(platform, OLDEST_PLATFORM) >= 0) return seen;
  return failed(seen, 'XenServer 7.0 or later, or XCP-ng, is needed.');
}

async function seeRights({ client }: XenSession, options: Options) {
  try {
    await client.call('VM.assert_can_migrate', [NULL_REF, {}, true, {}, {}, {}], nothingSchema, options);
  } catch (error) {
    if (isFault(error, 'HANDLE_INVALID')) return 'The login may migrate VMs (VM power admin or higher).';
    if (isFault(error, 'RBAC_PERMISSION_DENIED')) {
      return failed('The login may not migrate VMs.', 'Give it the role VM power admin or higher.');
    }
    if (!isFault(error)) throw error;
    return {
      outcome: 'skipped',
      seen: `XAPI answers ${error.code}: what the login may do is not clear.`,
      remedy: null,
    } as const;
  }
  return 'The login may migrate VMs.';
}

const NO_UUID = '00000000-0000-0000-0000-000000000000';

/** The session of a migration is found again by its UUID; here none is asked for. */
async function seeSessions({ client }: XenSession, options: Options) {
  try {
    await client.call('session.get_by_uuid', [NO_UUID], nothingSchema, options);
  } catch (error) {
    if (isFault(error, 'RBAC_PERMISSION_DENIED')) {
      const seen =
        'The login may not ask for sessions: when an orchestrator dies in a migration, that migration’s session stays for a day.';
      return { outcome: 'skipped', seen, remedy: null } as const;
    }
    if (!isFault(error)) throw error;
  }
  return 'The login may end the session of a migration after a crash.';
}

async function seeEvents({ client }: XenSession, options: Options): Promise<string> {
  await client.call('event.from', [['task'], '', 0.0], eventBatchSchema, options);
  return 'Tasks can be followed by event.from.';
}

function seeHosts(pool: Pool, named: readonly string[], members: readonly HostRecord[]) {
  const known = [...pool.hosts.values()].flatMap(({ uuid, name_label: name }) => [uuid, name]);
  const unknown = named.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    return failed(`The pool has no host ${unknown.join(', ')}.`, 'Correct `hosts` of this endpoint.');
  if (members.length === 0)
    return failed(
      'None of the pool’s members is at this site.',
      'Correct `hosts` of this endpoint, or the login’s rights.',
    );
  const live = members.filter((host) => isLive(pool, host));
  const seen = `${live.length} of ${members.length} members at this site are enabled and alive.`;
  return live.length > 0 ? seen : failed(seen, 'Enable a host.');
}

/** Each may be coordinator tomorrow: it has to answer, with a certificate that is trusted. No password is sent. */
async function seeMembers({ client }: XenSession, { hosts, pool }: Pool, options: Options) {
  const silent: string[] = [];
  if (hosts.size === 0) return failed('The pool has no member.', 'See that the login may read the hosts of the pool.');
  for (const { name_label: name, address } of hosts.values()) {
    if (address === '') {
      silent.push(`${name}, which has no address`);
      continue;
    }
    await client.knock(address, options).catch((error: unknown) => {
      options.signal.throwIfAborted();
      silent.push(`${name} at ${address} (${error instanceof Error ? error.message : String(error)})`);
    });
  }
  const coordinator = hosts.get(pool.master)?.name_label ?? 'unknown';
  if (silent.length === 0)
    return `All ${hosts.size} members answer and are trusted; the coordinator is ${coordinator}.`;
  return failed(
    `Cannot be talked to: ${silent.join('; ')}. The coordinator is ${coordinator}.`,
    'Should such a member become coordinator, the pool is lost to us: open the way, and pin its certificate in tlsFingerprints, or see that a CA vouches for it under the address that XAPI tells, or the name in otherMembers.',
  );
}

function seeAddresses(pool: Pool, { config }: XenSession, members: readonly HostRecord[]) {
  const named = config.migrationNetwork;
  const network = named === undefined ? undefined : findByNameOrUuid(pool.networks, named, 'networks')?.[0];
  if (named !== undefined && network === undefined) {
    return failed(`The pool has no network "${named}".`, 'Correct migrationNetwork of this endpoint.');
  }
  const placeOf = (host: HostRecord): string | undefined => {
    const pifs = host.PIFs.flatMap((ref) => pool.pifs.get(ref) ?? []);
    const pif = pifs.find((each) => (named === undefined ? each.management : each.network === network));
    return pif === undefined ? undefined : addressOf(pif);
  };
  const without = members.filter((host) => placeOf(host) === undefined).map(({ name_label: name }) => name);
  if (without.length > 0) {
    return failed(`No address there has ${without.join(', ')}.`, 'Give it one, or leave it out by `hosts`.');
  }
  const seen = members.map((host) => `${host.name_label} at ${placeOf(host)}`);
  return `${named ?? 'The management network'}: ${seen.join(', ')}.`;
}

/** Storage that hangs on some members only makes them send the source elsewhere, past the gateway. */
function seeStorage(pool: Pool, members: readonly HostRecord[]) {
  const refs = [...pool.hosts].filter(([, host]) => members.includes(host)).map(([ref]) => ref);
  const partly = [...pool.srs.values()].filter((sr) => {
    const seeing = refs.filter((ref) => isAttached(pool, sr, ref)).length;
    return seeing > 0 && seeing < refs.length;
  });
  const byDefault = pool.srs.get(pool.pool.default_SR)?.name_label;
  const seen = [
    byDefault === undefined
      ? 'There is no default storage: disks have to be mapped.'
      : `Disks go to "${byDefault}" by default.`,
    ...(partly.length === 0
      ? []
      : [
          `Attached to some members only: ${partly.map(({ name_label: name }) => name).join(', ')}; it receives on those alone.`,
        ]),
  ];
  return seen.join(' ');
}

function seeLicence(pool: Pool) {
  const without = withoutStorageMotion(pool);
  if (without.length === 0) return 'No licence forbids moving VMs with Storage XenMotion.';
  return failed(
    `The licence of ${without.join(', ')} lacks Storage XenMotion: no VM moves between pools, even where no disk is copied.`,
    'License it. Without, a VM moves only inside the pool, on storage that both hosts see: over the transparent route, or directly.',
  );
}
