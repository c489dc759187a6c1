/**
 * A run whose check has found that it needs what others have goes back into the queue and waits there as for any other place, holding
 * nothing but, of a move, its VM; it is checked anew when it has got it. The record says why before that is handed back.
 */
import type { Need } from '../../admission/groups.ts';
import { type Migration, now } from '../../migrations/record.ts';
import type { WaitReason } from '../../schemas/migration.ts';
import type { Run } from '../run.ts';

/** Never resolves: the run is lost then. @param holder the id of whoever has it @param reason as it is counted @param why in words */
export async function waitInQueue(
  run: Run,
  need: Need,
  { holder, reason, why }: { readonly holder: string; readonly reason: WaitReason; readonly why: string },
  { signal }: { signal: AbortSignal },
): Promise<never> {
  // Whose it is, somebody of a project is not told.
  const other = run.migration.project === null ? holder : 'another migration';
  const message = `waits for ${other}: ${why}`;
  await run.update(({ migration }) => migration.waits.push({ reason, startedAt: now(), endedAt: null }), {
    type: 'log',
    message,
  });
  signal.throwIfAborted();
  // A drill that waits is in no move's way: it takes its VM when it begins anew.
  if (run.migration.purpose === 'drill') await run.unlock();
  await run.handBack({ need, untilMs: endsBy(run) });
  throw run.lost.reason;
}

/** Whoever goes on with it waits no more. */
export function endWaits({ waits }: Pick<Migration, 'waits'>): void {
  for (const wait of waits) wait.endedAt ??= now();
}

/** However often it is handed back, the whole has one limit. */
function endsBy({ migration: { startedAt, request } }: Run): number {
  return (startedAt === null ? Date.now() : Date.parse(startedAt)) + request.timeouts.totalMs;
}
