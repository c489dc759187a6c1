/**
 * A VM that starts with its host. From before it can be anywhere else it no longer does so at the source: a source host that is
 * started anew in the middle must not bring up a second copy. The intent is journalled; the setting is put back where the VM stays,
 * and made at the destination where it arrives (arrival.ts).
 */
import { type MigrationContext, PluginError, type PluginResource } from '@lmas/plugin-api';
import { toPluginError } from '../errors.ts';
import type { Domain } from '../rpc/procedures.ts';
import type { KvmSession } from '../session.ts';
import type { Ends } from './settle.ts';
import { look } from './sighting.ts';

interface Options {
  readonly signal: AbortSignal;
}

export const AUTOSTART = 'autostart';

/** Before Begin: from then on libvirt lets nobody change the domain. */
export async function suspendAutostart(
  source: KvmSession,
  domain: Domain,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  await context.recordIntent({
    ...{ kind: AUTOSTART, id: domain.name, end: 'source', data: {} },
    byHand: `If VM ${domain.name} stays at the source, let it start with its host again there (virsh autostart ${domain.name}).`,
  } satisfies PluginResource);
  await context.assertCurrent();
  await setAutostart(source, domain, false, { signal });
}

/** @throws LibvirtFault, also for a domain that is not persistent; PluginError */
export async function setAutostart(
  session: KvmSession,
  domain: Domain,
  on: boolean,
  { signal }: Options,
): Promise<void> {
  const client = await session.query({ signal });
  await client.call('domainSetAutostart', { domain, autostart: on ? 1 : 0 }, { signal });
}

/**
 * Puts it back at the source, where the VM has stayed. A definition that is gone needs nothing; and a VM that runs at the destination by
 * the time this can be done, by whatever way, must not start at the source as well.
 * @throws LibvirtFault, PluginError, BUSY while the destination holds a copy that does not run: it may still come to run there, or go
 */
export async function resumeAutostart(
  ends: Ends,
  uuid: string,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  const client = await ends.source.query({ signal });
  const domain = await client.lookup(uuid, { signal });
  if (domain === null || !(await client.isPersistent(domain, { signal }))) return;
  const there = await look(ends.destination, uuid, 'destination', { signal });
  if (there.presence === 'unreachable') throw toPluginError(there.error, 'looking at the destination');
  if (there.presence === 'running') return;
  if (there.presence === 'incoming' || there.presence === 'paused') {
    throw new PluginError('BUSY', `The destination holds a copy of the VM (${there.presence}).`, {
      remedy: 'It is tried again once that copy has ended, or runs.',
    });
  }
  await context.assertCurrent();
  await setAutostart(ends.source, domain, true, { signal });
}
