/**
 * Where the disks go, and what of that would lead the source past the gateway. A host serves the storage that is plugged in at it, and what
 * changes shared storage is served by the coordinator alone: asked for more, it answers with another member's own address, and the
 * source connects there itself (storage_smapiv1.ml `redirect`, storage_utils.ml `redirectable_rpc`; verified in their source). Pure.
 */
import { PluginError } from '@lmas/plugin-api';
import { isAttached, type Pool } from '../pool.ts';
import { NULL_REF } from '../records.ts';
import { releaseOf } from '../release.ts';
import { isRedirected } from './call.ts';
import { oneNamed } from './one-named.ts';
import type { Gap, LooseDisk, Parts, Plan, PlannedDisk } from './plan.ts';

export interface Placement {
  readonly disks: readonly PlannedDisk[];
  readonly gaps: readonly Gap[];
}

/** @param hostRef the member that shall receive; without one nothing can be kept where it is */
export function placeDisks(parts: Parts, disks: readonly LooseDisk[], hostRef: string | undefined): Placement {
  const gaps: Gap[] = [];
  const placed = disks.map((disk) => {
    const sourceSr = parts.sourcePool.srs.get(disk.record.SR);
    const destinationSr = chooseStorage(parts, disk, hostRef, gaps);
    const place = destinationSr === undefined ? undefined : parts.destinationPool.srs.get(destinationSr);
    return { ...disk, destinationSr, copied: place === undefined || place.uuid !== sourceSr?.uuid };
  });
  return { disks: placed, gaps };
}

/** As `diskMap` says, a snapshot's disk with that of the guest; else the very storage it is on, if the destination host sees it; else the default. */
function chooseStorage(
  { request, sourcePool, destinationPool: pool }: Parts,
  disk: LooseDisk,
  hostRef: string | undefined,
  gaps: Gap[],
): string | undefined {
  const { diskMap } = request;
  const named = diskMap[disk.record.uuid] ?? diskMap[disk.name] ?? diskMap[disk.device];
  const sourceUuid = sourcePool.srs.get(disk.record.SR)?.uuid;
  const same = [...pool.srs].find(
    ([, sr]) => sr.uuid === sourceUuid && hostRef !== undefined && isAttached(pool, sr, hostRef),
  );
  if (named === undefined && same !== undefined) return same[0];
  const wanted = named ?? request.options.defaultStorage;
  if (wanted !== undefined) {
    return oneNamed(pool.srs, wanted, 'storage repositories', gaps, {
      kind: 'storage',
      message: `The destination has no storage "${wanted}" for disk ${disk.name}.`,
      remedy: `Name one of: ${[...pool.srs.values()].map(({ name_label: name }) => name).join(', ')}.`,
    })?.[0];
  }
  if (pool.pool.default_SR !== NULL_REF && pool.srs.has(pool.pool.default_SR)) return pool.pool.default_SR;
  gaps.push({
    kind: 'storage',
    message: `Nobody said where disk ${disk.name} shall go, and the destination pool has no default storage.`,
    remedy: 'Name it in diskMap, or set the option defaultStorage.',
  });
  return undefined;
}

/** Why XAPI would send the source to another member than the one whose traffic is led to the gateway. */
export interface Detour {
  /** `redirected`: shared storage, and the receiving host is not the coordinator; the disk's bytes stay on the route. */
  readonly kind: 'not-attached' | 'redirected';
  /** The source would send the receive map's session there in the clear. */
  readonly isPlain: boolean;
  readonly message: string;
  readonly remedy: string;
}

type Disks = Pick<Plan, 'disks' | 'samePool' | 'sourcePool'>;

/** @param pool the destination's, as it is now */
export function detoursOf(pool: Pool, hostRef: string, { disks, samePool, sourcePool }: Disks): Detour[] {
  const { sendsPlain: isPlain, name: release } = releaseOf(sourcePool);
  const host = pool.hosts.get(hostRef)?.name_label ?? hostRef;
  return disks.flatMap(({ name, copied, destinationSr }): Detour[] => {
    const sr = destinationSr === undefined ? undefined : pool.srs.get(destinationSr);
    if (sr === undefined) return [];
    if (!isAttached(pool, sr, hostRef)) {
      const message = `${host} does not see storage "${sr.name_label}", where disk ${name} shall go.`;
      const remedy = 'Plug it in at that host, or choose another storage or destinationHost.';
      return [{ kind: 'not-attached', isPlain, message, remedy }];
    }
    // Inside one pool the source is a member itself: its way to its own coordinator is no way to another site.
    if (samePool || !copied || !sr.shared || hostRef === pool.pool.master) return [];
    const { name_label: coordinator = 'the coordinator', https_only: isClosed = false } =
      pool.hosts.get(pool.pool.master) ?? {};
    const session = 'a session of the destination’s pool in the clear';
    const unseen = isClosed
      ? ''
      : ` The source takes TLS for that, unless migration-https-only is off in its xapi.conf, which XAPI does not tell: then it would send ${session}.`;
    const clear = isPlain ? ` ${release} would send ${session}.` : unseen;
    const message = `Disk ${name} goes to shared storage "${sr.name_label}", whose calls ${coordinator} alone serves: ${host} sends the source there, past the gateway. The disk’s bytes are not sent there.${clear}`;
    const remedy = `Choose ${coordinator} as destinationHost, or storage of ${host} alone.`;
    return [{ kind: 'redirected', isPlain, message, remedy }];
  });
}

/**
 * Whether a detour forbids the migration. The coordinator’s API is reached directly as well, with TLS, unless it is to be relayed: so the
 * other one breaks a promise only then, or where it would show a session to whoever listens on the link.
 */
export const forbids = ({ kind, isPlain }: Detour, request: Parts['request']): boolean =>
  kind === 'not-attached' ||
  (request.tunnelled && isPlain) ||
  (isRedirected(request) && request.options.relayCoordinator);

/** @throws PluginError INCOMPATIBLE */
export function assertNoDetour(pool: Pool, hostRef: string, plan: Disks, request: Parts['request']): void {
  const detour = detoursOf(pool, hostRef, plan).find((one) => forbids(one, request));
  if (detour === undefined) return;
  throw new PluginError('INCOMPATIBLE', detour.message, { remedy: detour.remedy });
}
