/**
 * Whether a login may do what migrations from and to this endpoint need, where its role may have been given: at its hosts' clusters, datastores
 * and networks, the datacenters' folders, and its VMs. Which of them a migration will use nobody knows yet, so of each kind one
 * is enough; the others are named. Read-only.
 */
import type { Options } from '../client.ts';
import { isFault } from '../errors.ts';
import { listed } from '../in-words.ts';
import { datacenterOf, type Host, type Places, readPlaces, vmFoldersOf } from '../inventory/places.ts';
import { type Row, readAll } from '../properties.ts';
import { vmSchema } from '../records.ts';
import type { VmwareSession } from '../session.ts';
import { type Ref, refKey, sameRef } from '../wire/data-objects.ts';
import { failed } from './outcome.ts';
import { lackingPrivileges, type Need, PRIVILEGES } from './privileges.ts';

/** Of a site's VMs so many are asked about; a role is given to folders of them. */
const VMS_ASKED = 500;
const vmPlaceSchema = vmSchema.pick({ name: true, 'config.template': true, 'runtime.host': true });

interface Kind {
  readonly what: string;
  readonly needs: readonly Need[];
}

export async function rights(session: VmwareSession, options: Options) {
  const kinds = await kindsOf(session, options);
  try {
    const needs = kinds.flatMap((kind) => kind.needs);
    const lacking = new Map(
      (await lackingPrivileges(session, needs, options)).map((need) => [refKey(need.entity), need]),
    );
    const told = kinds.map(({ what, needs: all }) => ({
      what,
      all,
      without: all.flatMap(({ entity }) => lacking.get(refKey(entity)) ?? []),
    }));
    const none = told.filter(({ all, without }) => all.length > 0 && without.length === all.length);
    const { username } = session.client.login;
    if (none.length > 0) {
      return failed(
        `${username} lacks ${none.map(({ what, without }) => `${privilegesOf(without)} on ${namesOf(without)} (${what})`).join(', ')}.`,
        'Give its role these privileges there, or on a folder above (plugins/vmware/README.md).',
      );
    }
    const some = told.filter(({ without }) => without.length > 0);
    const but = some.map(({ what, without }) => `without ${privilegesOf(without)} on ${namesOf(without)} (${what})`);
    const asked = told.filter(({ all }) => all.length > 0).map(({ what, all }) => `${all.length} ${what}`);
    return `All that a migration needs, looked at on ${asked.join(', ')}${but.length > 0 ? `; ${but.join('; ')}` : ''}.`;
  } catch (error) {
    if (!isFault(error)) throw error;
    return failed(
      `The vCenter does not tell what the login may do: ${error.message}.`,
      'See that it may read the permissions.',
    );
  }
}

const privilegesOf = (needs: readonly Need[]): string =>
  [...new Set(needs.flatMap(({ privileges }) => privileges))].join(', ');
const namesOf = (needs: readonly Need[]): string =>
  listed(
    needs.map(({ name }) => name),
    ', ',
  );

async function kindsOf(session: VmwareSession, options: Options): Promise<readonly Kind[]> {
  const [hosts, places, vms] = await Promise.all([
    session.members(options),
    readPlaces(session.client, options),
    readAll(session.client, 'VirtualMachine', vmPlaceSchema, options),
  ]);
  const has = (refs: readonly (Ref | undefined)[]) => {
    const keys = new Set(refs.flatMap((ref) => (ref === undefined ? [] : [refKey(ref)])));
    return ({ ref }: { readonly ref: Ref }): boolean => keys.has(refKey(ref));
  };
  const isMember = has(hosts.map(({ ref }) => ref));
  const isCompute = has(hosts.map(({ record }) => record.parent));
  const guests = vms.filter(({ record }) => {
    const ref = record['runtime.host'];
    return record['config.template'] !== true && ref !== undefined && isMember({ ref });
  });
  return [
    kind('VMs', guests.slice(0, VMS_ASKED), PRIVILEGES.vm),
    kind(
      'resource pools',
      places.pools.filter(({ record }) => isCompute({ ref: record.owner })),
      PRIVILEGES.pool,
    ),
    kind(
      'datastores',
      places.datastores.filter(has(hosts.flatMap(({ record }) => record.datastore))),
      PRIVILEGES.datastore,
    ),
    kind('networks', places.networks.filter(has(hosts.flatMap(({ record }) => record.network))), PRIVILEGES.network),
    { what: 'folders of VMs', needs: foldersOf(places, hosts) },
    kind('hosts', session.config.routes === 'temporary' ? hosts : [], PRIVILEGES.host),
  ];
}

const kind = (what: string, rows: readonly Row<{ readonly name: string }>[], privileges: readonly string[]): Kind => ({
  what,
  needs: rows.map(({ ref, record }) => ({ entity: ref, name: record.name, privileges })),
});

/** Those of the datacenters, at any depth; of all of them where the login may not see in which one its hosts are. */
function foldersOf(places: Places, hosts: readonly Host[]): Need[] {
  const own = hosts.map((host) => datacenterOf(places, host)?.ref);
  const isOwn = ({ ref }: { readonly ref: Ref }): boolean =>
    own.some((each) => each === undefined || sameRef(each, ref));
  return places.datacenters.filter(isOwn).flatMap((datacenter) => {
    const inner = vmFoldersOf(places, datacenter).filter(({ ref }) => !sameRef(ref, datacenter.record.vmFolder));
    const named = (entity: Ref, name: string): Need => ({
      ...{ entity, name: `${datacenter.record.name}/${name}`, privileges: PRIVILEGES.folder },
    });
    return [named(datacenter.record.vmFolder, 'vm'), ...inner.map(({ ref, record }) => named(ref, record.name))];
  });
}
