/**
 * Whether the guest has arrived as it was meant to: at that host, each disk on that storage. What differs is told and never a failure: the
 * guest runs, and XAPI or an administrator may have had a reason.
 */
import type { z } from 'zod';
import { toPluginError } from '../errors.ts';
import { hostSchema, srSchema, type VmRecord, vbdSchema, vdiSchema } from '../records.ts';
import type { XenSession } from '../session.ts';
import type { Sighting } from './placement.ts';
import type { Plan } from './plan.ts';
import type { XenState } from './state.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** Of the guest itself, as the plan has placed them. */
export const intendedDisks = ({ disks, destinationPool }: Plan): XenState['disks'] =>
  disks.flatMap(({ place, name, destinationSr }) => {
    const storage = destinationSr === undefined ? undefined : destinationPool.srs.get(destinationSr);
    if (place === undefined || storage === undefined) return [];
    return [{ place, name, storageUuid: storage.uuid, storageName: storage.name_label }];
  });

/** Warnings for the report. @param state what `prepare` has noted, if that is known */
export async function compareArrival(
  session: XenSession,
  { record }: Sighting,
  state: XenState | null,
  options: Options,
): Promise<string[]> {
  if (record === undefined || state === null) return [];
  try {
    const found = await Promise.all([
      compareHost(session, record, state, options),
      compareDisks(session, record, state, options),
    ]);
    return found.flat();
  } catch (error) {
    options.signal.throwIfAborted();
    const { message } = toPluginError(error, 'comparing host and disks with what was meant');
    return [
      `The VM runs at the destination; nobody has seen whether on the host and storage that were meant: ${message}`,
    ];
  }
}

async function compareHost(
  session: XenSession,
  record: VmRecord,
  meant: XenState,
  options: Options,
): Promise<string[]> {
  const host = await readRecord(session, 'host', record.resident_on, hostSchema, options);
  if (host.uuid === meant.hostUuid) return [];
  return [`The VM runs on ${host.name_label}, and was to run on ${meant.hostName}.`];
}

async function compareDisks(
  session: XenSession,
  { VBDs: refs }: VmRecord,
  { disks }: XenState,
  options: Options,
): Promise<string[]> {
  const vbds = await Promise.all(refs.map((ref) => readRecord(session, 'VBD', ref, vbdSchema, options)));
  const compared = disks.map(async ({ place, name, storageUuid, storageName }): Promise<string[]> => {
    const vbd = vbds.find(({ userdevice, empty }) => userdevice === place && !empty);
    if (vbd === undefined) return [`The VM has no disk ${name} at the destination.`];
    const { SR: ref } = await readRecord(session, 'VDI', vbd.VDI, vdiSchema, options);
    const storage = await readRecord(session, 'SR', ref, srSchema, options);
    if (storage.uuid === storageUuid) return [];
    return [`Disk ${name} is on storage "${storage.name_label}", and was to be on "${storageName}".`];
  });
  return (await Promise.all(compared)).flat();
}

const readRecord = <T>(
  { client }: XenSession,
  kind: string,
  ref: string,
  shape: z.ZodType<T>,
  options: Options,
): Promise<T> => client.call(`${kind}.get_record`, [ref], shape, options);
