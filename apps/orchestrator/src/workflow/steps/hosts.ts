/**
 * Two migrations whose traffic is intercepted cannot be told apart between the same two hosts, nor can one that goes straight be kept
 * out of the other's gateways. Where an endpoint is one host, admission sees to it; where it has many, the check has just said
 * which two it will be. One that finds them taken goes back into the queue and waits there for them as for any other place, holding
 * nothing; it is checked anew when it has got them.
 */
import type { CheckReport } from '@lmas/plugin-api';
import { hostPairOf } from '../../admission/groups.ts';
import { type Migration, now } from '../../migrations/record.ts';
import type { Hypervisors } from '../hypervisors.ts';
import type { Run } from '../run.ts';

/** Resolves when the migration has the hosts. @throws when it has been handed back: the run is lost then */
export async function takeHosts(
  run: Run,
  hypervisors: Hypervisors,
  { hosts }: CheckReport,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  if (hosts === undefined || !(await hypervisors.isIntercepted({ signal }))) return;
  const pair = hostPairOf(hosts.source, hosts.destination);
  const holder = await run.takeHosts(pair);
  if (holder === undefined) return;
  // Whose it is, somebody of a project is not told.
  const other = run.migration.project === null ? holder : 'another migration';
  const message = `waits for ${other}: both need the same two hosts, and the gateways could not tell them apart`;
  await run.update(({ migration }) => migration.waits.push({ startedAt: now(), endedAt: null }), {
    type: 'log',
    message,
  });
  signal.throwIfAborted();
  await run.handBack({ pair, untilMs: endsBy(run) });
  run.lost.throwIfAborted();
}

/** Whoever goes on with it waits no more. */
export function endWaits({ waits }: Pick<Migration, 'waits'>): void {
  for (const wait of waits) wait.endedAt ??= now();
}

/** However often it is handed back, the whole has one limit. */
function endsBy({ migration: { startedAt, request } }: Run): number {
  return (startedAt === null ? Date.now() : Date.parse(startedAt)) + request.timeouts.totalMs;
}
