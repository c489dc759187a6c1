/**
 * `--watch`: follows one migration to its end and shows it: a line in place on a terminal, plain lines elsewhere, one
 * JSON line for each event with --json. Ctrl-C stops the watching and never the migration.
 */
import { hasEnded, type Migration, type MigrationEvent } from '@lmas/client';
import { formatTime } from '@lmas/format';
import type { Invocation } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { eventLines } from './output/event-lines.ts';
import { LiveLine } from './output/live-line.ts';
import { describeOutcome, isUndecided } from './output/migration-text.ts';
import { renderProgressLine } from './output/progress-line.ts';
import { hasUnicode, isLive, widthOf } from './terminal.ts';

/** Between two plain lines of progress: often enough to see that it moves, seldom enough for a log. */
const PLAIN_PROGRESS_MS = 5_000;

/** Shows one event after the other. `close` is called exactly once, whatever happens. */
interface View {
  event(event: MigrationEvent, id: string): void;
  connectionLost(reason: string): void;
  connected(): void;
  close(): void;
}

/** The exit code is that of the migration's end, for a caller who wanted `wanted`. */
export async function follow(
  invocation: Invocation<object>,
  first: Migration,
  wanted: 'succeeded' | 'cancelled' = 'succeeded',
): Promise<ExitCode> {
  const { terminal, signal, flags } = invocation;
  const client = await invocation.client();
  const view =
    flags.json === true
      ? jsonView(terminal)
      : isLive(terminal.stdout, terminal.env)
        ? liveView(terminal, first)
        : plainView(terminal);
  let last = first;
  try {
    const events = client.watchMigration(first.id, {
      signal,
      onConnectionLost: (error) => view.connectionLost(error.message),
      onConnected: () => view.connected(),
    });
    for await (const { id, event } of events) {
      last = event.migration;
      if (flags.json !== true && event.type === 'progress' && isBefore(event, first)) continue;
      view.event(event, id);
    }
  } catch (error) {
    view.close();
    if (!hasEnded(last)) invocation.note(hintsFor(first.id));
    throw error;
  }
  view.close();
  if (flags.json !== true) invocation.print(describeOutcome(last, Date.now()));
  return outcomeCode(last, wanted);
}

/** Of the course that the record, as it was when it began to be followed, is beyond: what was said is told, how far it had come is not. */
const isBefore = ({ at }: MigrationEvent, { progress }: Migration): boolean =>
  progress !== null && Date.parse(at) < Date.parse(progress.at);

/** What a script is told about how it ended. */
export function outcomeCode(migration: Migration, wanted: 'succeeded' | 'cancelled'): ExitCode {
  if (isUndecided(migration)) return EXIT.locationUnknown;
  return migration.phase === wanted ? EXIT.ok : EXIT.failed;
}

/** What to do with a migration that nobody watches any more. */
export function hintsFor(id: string): string {
  return `The migration goes on without this command.\n  Follow it:  lmas get ${id} --watch\n  Cancel it:  lmas cancel ${id}`;
}

function jsonView({ stdout, stderr }: Invocation<object>['terminal']): View {
  return {
    event: (event, id) => stdout.write(`${JSON.stringify({ id, ...event })}\n`),
    connectionLost: (reason) => stderr.write(`lmas: no connection to the orchestrator, trying again: ${reason}\n`),
    connected: () => {},
    close: () => {},
  };
}

function plainView({ stdout, stderr, env }: Invocation<object>['terminal']): View {
  let nextProgressAt = 0;
  let lost = false;
  return {
    event: (event) => {
      if (event.type === 'progress') {
        if (performance.now() < nextProgressAt) return;
        nextProgressAt = performance.now() + PLAIN_PROGRESS_MS;
        const line = renderProgressLine(event.migration, {
          width: 200,
          unicode: hasUnicode(env),
          nowMs: Date.parse(event.at),
        });
        stdout.write(`${formatTime(event.at)}  ${line}\n`);
      } else if (event.type !== 'end') stdout.write(`${eventLines(event)}\n`);
    },
    connectionLost: (reason) => {
      if (!lost) stderr.write(`lmas: no connection to the orchestrator, trying again: ${reason}\n`);
      lost = true;
    },
    connected: () => {
      if (lost) stderr.write('lmas: connected again\n');
      lost = false;
    },
    close: () => {},
  };
}

function liveView({ stdout, env }: Invocation<object>['terminal'], first: Migration): View {
  const line = new LiveLine(stdout);
  let current = first;
  let connectionLost: string | undefined;
  const draw = () =>
    line.show(
      // One column stays free: a full line makes some terminals wrap.
      renderProgressLine(current, {
        width: widthOf(stdout, env) - 1,
        unicode: hasUnicode(env),
        nowMs: Date.now(),
        connectionLost,
      }),
    );
  const clock = setInterval(draw, 500);
  draw();
  return {
    event: (event) => {
      if (!isBefore(event, first)) current = event.migration;
      if (event.type !== 'progress' && event.type !== 'end') line.log(eventLines(event));
      draw();
    },
    connectionLost: (reason) => {
      connectionLost = reason;
      draw();
    },
    connected: () => {
      connectionLost = undefined;
      draw();
    },
    close: () => {
      clearInterval(clock);
      line.clear();
    },
  };
}
