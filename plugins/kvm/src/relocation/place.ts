/**
 * The change of sides of a VM that is off, in steps each of which finds what the one before has done:
 *
 *   held at the destination → off at the source, seen again → undefined there, seen → let go at the destination
 *
 * Invariant: the source loses its definition only while the destination holds one, and while it was seen to be off; where somebody has
 * started it in that very moment, the source is given its definition back.
 */
import { type MigrationContext, PluginError, type PluginResource } from '@lmas/plugin-api';
import { toPluginError } from '../errors.ts';
import { type FileFacts, statFile } from '../files.ts';
import { setAutostart } from '../migration/autostart.ts';
import type { Ends } from '../migration/settle.ts';
import { look, type Sighting } from '../migration/sighting.ts';
import { undefine } from '../migration/undefine.ts';
import { UNDEFINE, XML } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
import type { KvmSession } from '../session.ts';
import { held, heldFor, letGo } from './definition.ts';
import { assertAsCopied, isUnchanged } from './disks.ts';
import { bringNvram, settleNvram } from './firmware.ts';
import { definitionThere, type Placing, type RelocationPlan, type RelocationState } from './plan.ts';

interface Options {
  readonly signal: AbortSignal;
}

export const DEFINITION = 'definition';

export async function lookOrThrow(ends: Ends, uuid: string, end: keyof Ends, { signal }: Options): Promise<Sighting> {
  const seen = await look(ends[end], uuid, end, { signal });
  if (seen.presence === 'unreachable') throw toPluginError(seen.error, `looking at the ${end}`);
  return seen;
}

/** @throws PluginError NOT_MIGRATABLE, BUSY */
export function assertRests({ presence, moving, foreignJob }: Sighting): void {
  if (moving || foreignJob) throw new PluginError('BUSY', 'The VM has a migration or another job under way.');
  if (presence === 'stopped') return;
  throw new PluginError('NOT_MIGRATABLE', `The VM is ${presence} at the source; it has to be powered off.`, {
    remedy: 'Move it as it runs, or shut it down first.',
  });
}

/** The migration for which a domain is held at the destination, if one is. */
export async function holderOf(
  session: KvmSession,
  { domain, presence }: Sighting,
  { signal }: Options,
): Promise<string | undefined> {
  if (domain === undefined || presence !== 'stopped') return undefined;
  const client = await session.query({ signal });
  return heldFor(await client.xml(domain, XML.inactive, { signal }));
}

/** What is placed is what was copied. @throws PluginError NOT_MIGRATABLE when the VM has got another disk or another file of variables since */
export function assertAsPrepared({ copied, nvram }: RelocationPlan, state: RelocationState): void {
  const keyOf = ({ name, from, to }: { name: string; from: string; to: string }, format: string): string =>
    JSON.stringify([name, from, to, format]);
  const now = copied.map((disk) => keyOf(disk, disk.format)).sort();
  const then = state.disks.map((disk) => keyOf(disk, disk.format)).sort();
  if (now.join() === then.join() && (nvram ?? null) === state.nvram) return;
  throw new PluginError('NOT_MIGRATABLE', 'The disks of the VM are not those that were copied: it was changed since.', {
    remedy: 'Move it again, as it is now.',
  });
}

/**
 * Held again, it is held as the VM is defined now.
 * @returns the UEFI variables that it was held with, as they are at the source
 * @throws PluginError NOT_MIGRATABLE when somebody else has it there
 */
export async function holdThere(
  { ends, request, context }: Placing,
  plan: RelocationPlan,
  { signal }: Options,
): Promise<FileFacts | null> {
  const { migrationId, vm } = request;
  const there = await lookOrThrow(ends, vm.id, 'destination', { signal });
  if (there.presence !== 'absent' && (await holderOf(ends.destination, there, { signal })) !== migrationId) {
    throw new PluginError('NOT_MIGRATABLE', `The destination knows this VM already (${there.presence}).`, {
      remedy: 'If that definition is a leftover, undefine it there (virsh undefine --keep-nvram).',
    });
  }
  const { nvram } = plan;
  const variables = nvram === undefined ? null : await bringNvram(ends, nvram, migrationId, context, { signal });
  const xml = held(await definitionThere(ends.source, plan, { signal }), migrationId);
  const client = await ends.destination.query({ signal });
  await context.recordIntent({
    ...{ kind: DEFINITION, id: vm.id, end: 'destination', data: { name: plan.domain.name } },
    byHand: `At the destination host, if the source still has VM ${plan.domain.name}: virsh undefine --keep-nvram ${vm.id}.`,
  } satisfies PluginResource);
  await context.assertCurrent();
  await client.call('domainDefineXml', { xml }, { signal });
  return variables;
}

/**
 * @param variables as `holdThere` has brought them
 * @throws PluginError NOT_MIGRATABLE, BUSY when it does not rest: then it stays there, defined as it was
 */
export async function leaveSource(
  placing: Placing,
  state: RelocationState,
  variables: FileFacts | null,
  { signal }: Options,
): Promise<void> {
  const { ends, request, context } = placing;
  const { id } = request.vm;
  const there = await lookOrThrow(ends, id, 'destination', { signal });
  if ((await holderOf(ends.destination, there, { signal })) !== request.migrationId)
    throw new PluginError('NOT_MIGRATABLE', `The destination does not hold the VM (${there.presence}).`);
  const here = await lookOrThrow(ends, id, 'source', { signal });
  assertRests(here);
  if (here.domain === undefined) return;
  await assertAsCopied(placing, state, { signal });
  if (state.nvram !== null && !isUnchanged(variables, await statFile(ends.source.transport, state.nvram, { signal })))
    throw new PluginError('NOT_MIGRATABLE', 'The UEFI variables were written to meanwhile: the VM has run.');
  await context.assertCurrent();
  await undefine(ends.source, here.domain, { signal });
  const after = await lookOrThrow(ends, id, 'source', { signal });
  if (after.domain === undefined) return;
  await giveBack(ends.source, after.domain, context, { signal });
  assertRests(after);
  throw new PluginError('BUSY', 'The source still has a definition of the VM.');
}

/**
 * Somebody has started it between the look and the removal: it runs on, and would be gone with its end. One that has its definition needs
 * nothing.
 */
async function giveBack(
  source: KvmSession,
  domain: Domain,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  const client = await source.query({ signal });
  if (await client.isPersistent(domain, { signal })) return;
  const xml = await client.xml(domain, XML.secure | XML.inactive, { signal });
  await context.assertCurrent();
  await client.call('domainDefineXml', { xml }, { signal });
}

/** @throws PluginError OUTCOME_UNKNOWN when the destination does not have it either */
export async function letGoThere(
  { ends, request, context }: Placing,
  { nvram, autostart }: RelocationState,
  { signal }: Options,
): Promise<void> {
  const { migrationId, vm } = request;
  const there = await lookOrThrow(ends, vm.id, 'destination', { signal });
  if (there.domain === undefined) {
    throw new PluginError('OUTCOME_UNKNOWN', 'Neither end has a definition of the VM.', {
      remedy: 'Look for it at both hosts (virsh list --all).',
    });
  }
  const client = await ends.destination.query({ signal });
  if ((await holderOf(ends.destination, there, { signal })) === migrationId) {
    if (nvram !== null) await settleNvram(ends.destination, nvram, migrationId, context, { signal });
    const xml = letGo(await client.xml(there.domain, XML.secure | XML.inactive, { signal }));
    await context.assertCurrent();
    await client.call('domainDefineXml', { xml }, { signal });
  }
  if (!autostart) return;
  await context.assertCurrent();
  await setAutostart(ends.destination, there.domain, true, { signal });
}

const PUT_BACK_MS = 10_000;

/**
 * "Not there" is done. It goes only while the source has a definition that outlives the VM's process: what had asked for that to be removed
 * may have been given up, and take its effect as late as between our looks. Then this one is put back.
 * @throws PluginError BUSY for one that is not held for this relocation: it may be the VM; and for one that is the only one
 */
export async function dropHeld(placing: Placing, { id }: PluginResource, { signal }: Options): Promise<void> {
  const { ends, request, context } = placing;
  if (id !== request.vm.id) throw new PluginError('INVALID_CONFIG', `${id} is not the VM of this relocation.`);
  const there = await lookOrThrow(ends, id, 'destination', { signal });
  if (there.domain === undefined) return;
  if ((await holderOf(ends.destination, there, { signal })) !== request.migrationId) {
    throw new PluginError('BUSY', `The destination has the VM, and this relocation does not hold it.`, {
      remedy: 'Find out which definition of it counts, and remove the other one by hand.',
    });
  }
  const client = await ends.destination.query({ signal });
  const xml = await client.xml(there.domain, XML.secure | XML.inactive, { signal });
  await assertSourceKeeps(placing, { signal });
  await context.assertCurrent();
  const flags = UNDEFINE.keepNvram;
  await client.call('domainUndefineFlags', { domain: there.domain, flags }, { signal });
  try {
    await assertSourceKeeps(placing, { signal });
  } catch (error) {
    await context.assertCurrent();
    // Whatever ended the look, a deadline as well: until this is done there may be no definition at all.
    await client.call('domainDefineXml', { xml }, { signal: AbortSignal.timeout(PUT_BACK_MS) });
    throw error;
  }
}

/** @throws PluginError BUSY when the source has no definition of the VM, and whatever stands between us and the answer */
async function assertSourceKeeps({ ends, request, context }: Placing, { signal }: Options): Promise<void> {
  const { id, name } = request.vm;
  const { domain } = await lookOrThrow(ends, id, 'source', { signal });
  if (domain !== undefined) return await giveBack(ends.source, domain, context, { signal });
  throw new PluginError(
    'BUSY',
    `The source has no definition of ${name} any more: the one that is held at the destination is the only one. Define it at the source ` +
      "again, or let that one go (the plugin's README says how).",
  );
}
