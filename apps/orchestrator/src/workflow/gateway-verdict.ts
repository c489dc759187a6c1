/**
 * A hypervisor whose connection breaks says so in its own words ("Bad file descriptor") and sooner than the watch over the
 * gateways can say that one has ended. So the watch gets a moment; if it agrees, the gateway is the reason, and what the
 * hypervisor said its consequence.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { pluginErrorCode } from '@lmas/plugin-api';
import { errorCode, LmasError } from '../errors.ts';
import type { Tunnel } from '../gateways/tunnel.ts';
import type { Run } from './run.ts';

/** What a broken tunnel may look like from the hosts. */
const CONSEQUENCES: ReadonlySet<string> = new Set(['STREAM_FAILED', 'HYPERVISOR_FAULT']);
/** A gateway that was killed is found out within this, round trips of SSH included. */
const VERDICT_MS = 2_000;

/** `cause`, or GATEWAY_ENDED because of which it happened. Past the point of no return nobody waits: only the VM counts. */
export async function blameGateway(run: Run, tunnel: Tunnel | undefined, cause: unknown): Promise<unknown> {
  const { phase, pointOfNoReturnAt } = run.migration;
  if (tunnel === undefined || phase !== 'performing' || pointOfNoReturnAt !== null) return cause;
  if (!CONSEQUENCES.has(pluginErrorCode(cause) ?? '')) return cause;
  const { ended } = tunnel;
  const done = AbortSignal.any([ended, run.lost]);
  await sleep(VERDICT_MS, undefined, { signal: done }).catch(() => run.lost.throwIfAborted()); // there is a verdict
  if (!ended.aborted || errorCode(ended.reason) !== 'GATEWAY_ENDED') return cause;
  return new LmasError('GATEWAY_ENDED', ended.reason.message, { cause });
}
