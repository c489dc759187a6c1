/**
 * Two migrations whose traffic is intercepted cannot be told apart between the same two hosts, nor can a direct one be kept
 * out of the other's gateways. Where an endpoint is one host, admission sees to it; where it has many, the check has just said
 * which two it will be. One that finds them taken waits for them in the queue.
 */
import type { CheckReport } from '@lmas/plugin-api';
import { hostPairOf } from '../../admission/groups.ts';
import type { Hypervisors } from '../hypervisors.ts';
import type { Run } from '../run.ts';
import { waitInQueue } from './wait-in-queue.ts';

/** Resolves when the migration has the hosts. @throws when it has been handed back: the run is lost then */
export async function takeHosts(
  run: Run,
  hypervisors: Hypervisors,
  { hosts }: CheckReport,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  if (hosts === undefined || !(await hypervisors.canBeIntercepted({ signal }))) return;
  const pair = hostPairOf(hosts.source, hosts.destination);
  const holder = await run.takeHosts(pair);
  if (holder === undefined) return;
  const why = 'both need the same two hosts, and the gateways could not tell them apart';
  await waitInQueue(run, pair, { holder, reason: 'hosts', why }, { signal });
}
