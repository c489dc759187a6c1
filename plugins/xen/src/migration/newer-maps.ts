/**
 * What a migration says to XAPI that only newer releases take: which GPU group a virtual GPU gets, and the image format of a copied
 * disk. What was asked for and cannot be said is a gap: nothing that somebody asked for is left out in silence. Pure.
 */
import type { Pool } from '../pool.ts';
import type { GpuGroupRecord } from '../records.ts';
import { releaseOf } from '../release.ts';
import { oneNamed } from './one-named.ts';
import type { Gap, Parts, PlannedDisk } from './plan.ts';

export type GpuGroups = ReadonlyMap<string, GpuGroupRecord>;

/** VGPU → GPU group of the destination, for `VM.migrate_send`. Without a wish XAPI finds a group of the same types. */
export function mapGpus(
  { request, sourcePool, samePool, vm, gaps }: Parts,
  vgpus: readonly string[],
  groups: GpuGroups,
): Readonly<Record<string, string>> {
  const wanted = request.options.gpuGroup;
  if (wanted === undefined) return {};
  const refuse = (message: string, remedy: string): Readonly<Record<string, string>> => {
    gaps.push({ kind: 'gpu', message, remedy });
    return {};
  };
  const name = vm.record.name_label;
  if (vgpus.length === 0) return refuse(`${name} has no virtual GPU for the GPU group "${wanted}".`, LEAVE_OUT);
  if (samePool) return refuse('Inside one pool a virtual GPU stays in its GPU group.', LEAVE_OUT);
  const release = releaseOf(sourcePool);
  if (!release.hasVgpuMap) return refuse(`${release.name} cannot be told a GPU group.`, LEAVE_OUT);
  const known = [...groups.values()].map(({ name_label: label }) => label).join(', ');
  const group = oneNamed(groups, wanted, 'GPU groups', gaps, {
    kind: 'gpu',
    message: `The destination has no GPU group "${wanted}".`,
    remedy: `Name one of: ${known || 'there is none'}.`,
  });
  return group === undefined ? {} : Object.fromEntries(vgpus.map((ref) => [ref, group[0]]));
}

const LEAVE_OUT = 'Leave the option gpuGroup out.';

/** VDI → image format, of the disks that are copied. */
export function mapFormats(
  {
    request,
    sourcePool,
    gaps,
  }: { readonly request: Parts['request']; readonly sourcePool: Pool; readonly gaps: Gap[] },
  disks: readonly PlannedDisk[],
): Readonly<Record<string, string>> {
  const { diskFormat } = request.options;
  if (diskFormat === undefined) return {};
  const copied = disks.filter((disk) => disk.copied);
  const release = releaseOf(sourcePool);
  if (release.hasVdiFormatMap && copied.length > 0)
    return Object.fromEntries(copied.map(({ ref }) => [ref, diskFormat]));
  gaps.push({
    kind: 'format',
    message:
      copied.length === 0
        ? `No disk is copied that could become ${diskFormat}.`
        : `${release.name} cannot be told the format of a copied disk.`,
    remedy: 'Leave the option diskFormat out.',
  });
  return {};
}
