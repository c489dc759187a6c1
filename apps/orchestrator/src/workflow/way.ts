/**
 * The way that moves, drills and relocations have in common, and the attempts at it.
 *
 *   check → provision → prepare → connect            open: what is prepared, and the routes to it
 *     └─ others have its hosts or addresses: steps/wait-in-queue.ts   back into the queue; the next run checks anew
 *   a passing fault: retry.ts                                         teardown, a pause, the way forward again
 */
import type { CheckReport, Prepared, Routes } from '@lmas/plugin-api';
import { isSuperseded } from '../errors.ts';
import type { Tunnel } from '../gateways/tunnel.ts';
import { type Ending, notMigrated, toMigrationError } from './ending.ts';
import type { Hypervisors } from './hypervisors.ts';
import { recordTunnel } from './progress.ts';
import { mayTryAgain, pauseBeforeRetry } from './retry.ts';
import type { Run } from './run.ts';
import { runStage, type Stage, untilNoReturn } from './stages.ts';
import { takeAddresses } from './steps/addresses.ts';
import { connectThroughTunnel, straightRoutes } from './steps/connect.ts';
import { provisionTunnel } from './steps/gateways.ts';
import { takeHosts } from './steps/hosts.ts';
import { tearDown } from './teardown.ts';
import type { Tools } from './tools.ts';

/** A run that is under way, with all that it has in its hands. */
export interface Errand {
  readonly run: Run;
  readonly tools: Tools;
  readonly hypervisors: Hypervisors;
  readonly scope: Scope;
}

/** What the way forward has made in this process, and must let go of before the teardown. */
export class Scope implements AsyncDisposable {
  tunnel: Tunnel | undefined;

  /** Writes down what the tunnel has carried, and lets go of it. */
  async leave(run: Run): Promise<void> {
    if (this.tunnel !== undefined) await recordTunnel(run, this.tunnel);
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { tunnel } = this;
    this.tunnel = undefined;
    await tunnel?.close();
  }
}

/** The steps that are each purpose's own. */
export interface Beginning {
  check(options: { signal: AbortSignal }): Promise<CheckReport>;
  prepare(options: { signal: AbortSignal; checked: CheckReport }): Promise<Prepared>;
  /** Whether anything will cross that the tunnel is for; it always does without this. */
  needsTunnel?(report: CheckReport): boolean;
}

export interface OpenWay {
  readonly prepared: Prepared;
  readonly routes: Routes;
  readonly tunnel: Tunnel | undefined;
  /** Of the guest, as the checks have measured it; null: not known. */
  readonly dirtyRateBytesPerSec: number | null;
  /** For what comes next: it is stopped with the tunnel as well. */
  readonly stage: Pick<Stage, 'stop' | 'dropConnections'>;
}

/** @throws whatever went wrong */
export async function openWay(
  { run, tools, hypervisors, scope }: Errand,
  total: AbortSignal,
  beginning: Beginning,
): Promise<OpenWay> {
  const { timeouts, transport } = run.migration.request;
  const dropConnections = () => hypervisors.disconnect();
  let stage = { stop: total, dropConnections };
  const checking = { ...stage, phase: 'checking', limitMs: timeouts.checkingMs } as const;
  const checked = await runStage(run, checking, async (signal) => {
    const report = await beginning.check({ signal });
    await takeHosts(run, hypervisors, report, { signal });
    await takeAddresses(run, tools, report, { signal });
    return report;
  });
  if (transport === 'tunnel' && beginning.needsTunnel?.(checked) !== false) {
    const limitMs = timeouts.provisioningMs;
    await runStage(run, { ...stage, phase: 'provisioning', limitMs }, async (signal) => {
      // Into the scope at once: a tunnel that comes too late has to be closed as well.
      scope.tunnel = await provisionTunnel(run, tools, { signal });
    });
  }
  const { tunnel } = scope;
  if (tunnel !== undefined) stage = { stop: untilNoReturn(run, [total, tunnel.ended]), dropConnections };
  const prepared = await runStage(run, { ...stage, phase: 'preparing', limitMs: timeouts.preparingMs }, (signal) =>
    beginning.prepare({ signal, checked }),
  );
  let routes = straightRoutes(prepared);
  if (tunnel !== undefined) {
    routes = await runStage(run, { ...stage, phase: 'connecting', limitMs: timeouts.preparingMs }, (signal) =>
      connectThroughTunnel(run, tunnel, prepared, { signal }),
    );
  }
  const { dirtyRateBytesPerSec = null } = checked;
  return { prepared, routes, tunnel, dirtyRateBytesPerSec, stage };
}

export interface Attempts {
  /** Codes of faults that pass for this purpose. */
  readonly alsoPassing?: readonly string[];
  /** After the teardown of an attempt, before the pause: nothing may be in anybody's way meanwhile. */
  readonly beforePause?: () => Promise<void>;
}

/** Goes the way forward until it comes to an end, or to a fault that does not pass. */
export async function againAndAgain(
  { run, tools, hypervisors, scope }: Errand,
  goForward: () => Promise<Ending>,
  { alsoPassing = [], beforePause = () => run.letNeedGo() }: Attempts = {},
): Promise<Ending> {
  for (;;) {
    try {
      return await goForward();
    } catch (cause) {
      if (run.lost.aborted || isSuperseded(cause)) throw cause;
      if (!mayTryAgain(run, cause, alsoPassing)) return notMigrated(run, toMigrationError(run, cause));
      await scope.leave(run);
      await tearDown(run, tools, hypervisors);
      await hypervisors.disconnect();
      await beforePause();
      try {
        await pauseBeforeRetry(run, cause);
      } catch (reason) {
        run.lost.throwIfAborted();
        return notMigrated(run, toMigrationError(run, reason));
      }
    }
  }
}
