/**
 * A VM keeps its instance UUID when it goes to another vCenter, as a rule; where it is taken there, vSphere may give it a new one, and
 * then nobody finds it by the old one. What it keeps is its BIOS UUID. Copies have the same, so those that were there before the move
 * are not it, nor is one at another host than the one it was sent to; where that leaves more than one, nobody can say.
 */
import { z } from 'zod';
import type { Options } from '../client.ts';
import { type Row, readObjects } from '../properties.ts';
import { listOfRefsSchema, type SightingRecord, sightingSchema } from '../records.ts';
import type { VmwareSession } from '../session.ts';
import type { Ref } from '../wire/data-objects.ts';

/** By what else a VM is known at its destination, where that is another vCenter. Ids are those of its managed objects. */
export const lastingSchema = z.object({
  biosUuid: z.string(),
  /** VMs that had it there before. */
  copies: z.array(z.string()),
  hostId: z.string(),
});
export type Lasting = z.infer<typeof lastingSchema>;

export async function copiesAt(
  { client }: VmwareSession,
  biosUuid: string | undefined,
  options: Options,
): Promise<readonly Ref[]> {
  if (biosUuid === undefined) return [];
  const params = { uuid: biosUuid, vmSearch: true, instanceUuid: false };
  return await client.call(client.content.searchIndex, 'FindAllByUuid', params, listOfRefsSchema, options);
}

/** `null` when nothing there can be it, or several can. */
export async function findByLasting(
  destination: VmwareSession,
  { biosUuid, copies, hostId }: Lasting,
  options: Options,
): Promise<Row<SightingRecord> | null> {
  const refs = (await copiesAt(destination, biosUuid, options)).filter(({ value }) => !copies.includes(value));
  const rows = await readObjects(destination.client, refs, sightingSchema, { ...options, complete: true });
  const [only, ...others] = rows.filter(({ record }) => record['runtime.host']?.value === hostId);
  return others.length > 0 ? null : (only ?? null);
}
