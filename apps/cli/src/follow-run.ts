/**
 * Follows a run of a plan to its end: a line for each thing that happens on standard error, and where the run is whenever that
 * changes; the whole at the end. With --json one line for each event, and the run itself as the last. Ctrl-C stops the looking and
 * never the run.
 */
import type { PlanRun } from '@lmas/client';
import { formatTime } from '@lmas/format';
import type { Invocation } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { describeRun, entryLine, progressOf } from './output/plan-text.ts';
import { widthOf } from './terminal.ts';

type Outcome = 'succeeded' | 'cancelled';

export const hasEnded = ({ phase }: Pick<PlanRun, 'phase'>): boolean =>
  phase === 'succeeded' || phase === 'failed' || phase === 'cancelled';

/** Of a run that has ended. One VM that may be running twice, or nowhere, is worse than however it ended. */
export function runExitCode(
  { phase, items }: Pick<PlanRun, 'phase' | 'items'>,
  wanted: Outcome = 'succeeded',
): ExitCode {
  if (items.some(({ leftAt }) => leftAt === 'both' || leftAt === 'unknown')) return EXIT.locationUnknown;
  return phase === wanted ? EXIT.ok : EXIT.failed;
}

export async function followRun(
  invocation: Invocation<object>,
  { id }: Pick<PlanRun, 'id'>,
  { isCancelled = false } = {},
): Promise<ExitCode> {
  const { flags, signal, terminal } = invocation;
  const client = await invocation.client();
  let isLost = false;
  let told = '';
  const events = client.watchPlanRun(id, {
    signal,
    onConnectionLost: ({ message }) => {
      // The run goes on without us, also while the orchestrator is started again.
      if (!isLost) terminal.stderr.write(`lmas: no connection to the orchestrator, trying again: ${message}\n`);
      isLost = true;
    },
    onConnected: () => {
      if (isLost) terminal.stderr.write('lmas: connected again\n');
      isLost = false;
    },
  });
  try {
    for await (const { id: place, event } of events) {
      if (flags.json === true) terminal.stdout.write(`${JSON.stringify({ id: place, ...event })}\n`);
      else {
        invocation.note(`${formatTime(event.at)}  ${entryLine(event)}`);
        // Where the run is now is no news between things that happened long ago.
        const line = hasEnded(event.run) && event.type !== 'end' ? told : progressOf(event.run);
        if (line !== told) invocation.note(`${id}: ${line}`);
        told = line;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    invocation.note(
      `The run goes on without this command.\n  Follow it:  lmas plan status ${id} --watch\n  Cancel it:  lmas plan cancel ${id}`,
    );
    return EXIT.interrupted;
  }
  const run = await client.getPlanRun(id, { signal });
  if (flags.json === true) terminal.stdout.write(`${JSON.stringify(run)}\n`);
  else invocation.print(describeRun(run, widthOf(terminal.stdout, terminal.env)));
  return runExitCode(run, isCancelled ? outcomeOfCancel(run) : 'succeeded');
}

/** A drill whose waves are over is ended that way: its copies are undone, and it counts for what it has shown. */
const outcomeOfCancel = ({ keptSince }: Pick<PlanRun, 'keptSince'>): Outcome =>
  keptSince === null ? 'cancelled' : 'succeeded';
