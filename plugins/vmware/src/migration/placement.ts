/**
 * Where the VM is, as both vCenters answer. vSphere starts it at the destination and removes it at the source by itself, in one step;
 * until then a destination vCenter may have an entry for it that means nothing yet.
 */
import { type MigrationRequest, type Presence, type VmPlacement, whereIs } from '@lmas/plugin-api';
import type { VmwareOptions } from '../config.ts';
import { presenceOf } from '../inventory/summary.ts';
import { type SightingRecord, sightingSchema, type TaskInfo } from '../records.ts';
import type { VmwareSession } from '../session.ts';
import type { Ref } from '../wire/data-objects.ts';
import { findByLasting, type Lasting } from './arrived-as.ts';
import { isAtRest } from './at-rest.ts';
import { splitByEnd } from './ends.ts';
import type { Ends } from './plan.ts';
import { isOver, movesOf } from './task.ts';

interface Options {
  readonly signal: AbortSignal;
}

export interface Sighting {
  readonly presence: Presence;
  readonly ref?: Ref;
  readonly record?: SightingRecord;
  /** Tasks that move it, or have moved it lately. */
  readonly moves: readonly TaskInfo[];
  /** Why it did not answer. */
  readonly error?: unknown;
}

export interface Sightings {
  readonly source: Sighting;
  readonly destination: Sighting;
  /** It is powered off, and there is no doubt at which end. */
  readonly atRest?: boolean;
}

async function look(
  session: VmwareSession,
  uuid: string,
  options: Options,
  lasting: Lasting | null = null,
): Promise<Sighting> {
  try {
    const known = await session.vm(uuid, sightingSchema, options);
    const vm = known ?? (lasting === null ? null : await findByLasting(session, lasting, options));
    if (vm === null) return { presence: 'absent', moves: [] };
    const moves = await movesOf(session.client, vm, options);
    return { presence: presenceOf(vm.record), ...vm, moves };
  } catch (error) {
    // An answer that refuses is still no answer to where the VM is.
    return { presence: 'unreachable', moves: [], error };
  }
}

/** How often what is seen may be out of date before it is told as it is. */
const LOOKS = 5;

/**
 * The ends are not asked at one instant, and a move may end in between: here it was seen to run before, there to be absent before
 * that. So the look counts only when no move has begun or ended meanwhile.
 */
export async function lookAtBoth(
  ends: Ends,
  request: MigrationRequest<VmwareOptions>,
  options: Options & { readonly lasting: Lasting | null },
): Promise<Sightings> {
  const { lasting } = options;
  const uuid = request.vm.id;
  let before = await look(ends.source, uuid, options);
  for (let looks = 0; looks < LOOKS; looks += 1) {
    const destination = await look(ends.destination, uuid, options, lasting);
    const source = await look(ends.source, uuid, options);
    if (statesOf(source) === statesOf(before)) {
      const seen = await splitByEnd(ends, { source, destination }, request, options);
      return { ...seen, atRest: moveUnderWay(seen) === undefined && (await isAtRest(ends, seen, options)) };
    }
    before = source;
  }
  return { source: before, destination: await look(ends.destination, uuid, options, lasting) };
}

const statesOf = ({ presence, moves }: Sighting): string =>
  JSON.stringify([presence, ...moves.map(({ task, state }) => `${task.value} ${state}`)]);

/** The task that moves it now, if one does. */
export const moveUnderWay = ({ source }: Sightings): TaskInfo | undefined => source.moves.find((task) => !isOver(task));

export function placementOf(seen: Sightings): VmPlacement {
  const { source, destination } = seen;
  const moving = moveUnderWay(seen) !== undefined;
  // Until it runs there, an entry at the destination is a place kept free.
  const arriving = moving && destination.presence === 'stopped';
  const presence = arriving ? 'incoming' : destination.presence;
  const where = whereIs(source.presence, presence);
  return {
    source: source.presence,
    destination: presence,
    where,
    moving,
    ...(seen.atRest === true && { atRest: true }),
  };
}
