/**
 * The copy itself: a transient domain, so that no definition is left when it ends, and no host starts it again by itself.
 * It is told from all others by its UUID, its name and the mark in its metadata; nothing without all three is ever ended.
 */
import { type MigrationContext, PluginError, type PluginResource } from '@lmas/plugin-api';
import type { LibvirtClient } from '../client.ts';
import { isFault, toPluginError } from '../errors.ts';
import { presenceOf } from '../presence.ts';
import { ERROR, UNDEFINE } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
import type { KvmSession } from '../session.ts';
import { readMark } from './definition.ts';
import type { DrillNames } from './names.ts';

interface Options {
  readonly signal: AbortSignal;
}

function copyResource({ uuid, name }: DrillNames): PluginResource {
  return {
    ...{ kind: 'copy', id: uuid, end: 'destination', data: { name } },
    byHand: `At the destination host end the copy: virsh destroy ${uuid}. It is called ${name}; the VM itself is not there.`,
  };
}

/** Journalled first. @throws PluginError INCOMPATIBLE … */
export async function startCopy(
  destination: KvmSession,
  names: DrillNames,
  xml: string,
  context: MigrationContext,
  { signal }: Options,
): Promise<Domain> {
  const client = await destination.query({ signal });
  await context.recordIntent(copyResource(names));
  await context.assertCurrent();
  const { domain } = await client.call('domainCreateXml', { xml, flags: 0 }, { signal });
  return domain;
}

export async function copyRuns(destination: KvmSession, { uuid }: DrillNames, { signal }: Options): Promise<boolean> {
  const client = await destination.query({ signal });
  const domain = await client.lookup(uuid, { signal });
  if (domain === null) return false;
  try {
    return presenceOf(await client.state(domain, { signal }), domain.id, 'destination') === 'running';
  } catch (error) {
    if (isFault(error, ERROR.NO_DOMAIN)) return false;
    throw error;
  }
}

/** "Not there" is done. @throws PluginError NOT_MIGRATABLE for a domain that is not this drill's */
export async function endCopy(
  destination: KvmSession,
  { id, data }: PluginResource,
  names: DrillNames,
  migrationId: string,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  const client = await destination.query({ signal });
  if (id !== names.uuid) throw new PluginError('INVALID_CONFIG', `${id} is no copy of this drill.`);
  const domain = await client.lookup(names.uuid, { signal });
  if (domain === null) return;
  try {
    const mark = readMark(await client.xml(domain, 0, { signal }));
    if (mark?.migrationId !== migrationId || domain.name !== data.name) {
      throw new PluginError(
        'NOT_MIGRATABLE',
        `${domain.name} has the UUID of the copy, but is none: it is left alone.`,
      );
    }
    // Somebody may have defined it by hand meanwhile. What it points to is released by itself.
    const persistent = await client.isPersistent(domain, { signal });
    await context.assertCurrent();
    await destroy(client, domain, { signal });
    if (persistent) await client.call('domainUndefineFlags', { domain, flags: UNDEFINE.keepNvram }, { signal });
  } catch (error) {
    if (!isFault(error, ERROR.NO_DOMAIN)) throw toPluginError(error, 'ending the copy');
  }
}

/** Also one that is only being started: libvirt lets it come up, and ends it then. */
async function destroy(client: LibvirtClient, domain: Domain, { signal }: Options): Promise<void> {
  try {
    await client.call('domainDestroy', { domain }, { signal });
  } catch (error) {
    // It has ended by itself.
    if (!isFault(error, ERROR.OPERATION_INVALID)) throw error;
  }
}

/** Whether a copy of this VM is there, of whatever drill. */
export async function findCopyOf(
  destination: KvmSession,
  vmId: string,
  { signal }: Options,
): Promise<string | undefined> {
  const client = await destination.query({ signal });
  const { domains } = await client.call('connectListAllDomains', { needResults: 1, flags: 0 }, { signal });
  for (const domain of domains.filter(({ name }) => name.includes('-drill-'))) {
    try {
      if (readMark(await client.xml(domain, 0, { signal }))?.vmId === vmId) return domain.name;
    } catch (error) {
      if (!isFault(error, ERROR.NO_DOMAIN)) throw error; // gone since it was listed
    }
  }
  return undefined;
}
