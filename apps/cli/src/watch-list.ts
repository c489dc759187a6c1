/**
 * `--watch` for lists: looks again and again and shows what changed. On a terminal the list is drawn in place; elsewhere there
 * is a line for each change, and with --json a JSON line. A lost connection is told, and waited for. Ctrl-C ends the
 * looking and nothing else.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPassing } from '@lmas/client';
import { formatTime } from '@lmas/format';
import type { Invocation } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { LiveBlock } from './output/live-block.ts';
import { printable, truncate } from './output/text.ts';
import { heightOf, isLive, widthOf } from './terminal.ts';

const LOOK_MS = 1_000;

export interface WatchedList<Row> {
  /** Asked about once a second. */
  look(): Promise<readonly Row[]>;
  id(row: Row): string;
  /** For a log: a row is told of when its line is another one than before, so what moves all the time goes in steps. */
  line(row: Row): string;
  /** For a terminal: the whole list, as wide as that. */
  screen(rows: readonly Row[], width: number): string;
  /** Said where there is nothing to be seen at first. */
  readonly empty?: string;
  /** Says of one that is in the list no more why it is not told of again; without it, nothing is said. */
  gone?(id: string): string;
  /** Asked after each look: what the exit code is, once there is nothing more to wait for. */
  outcome(rows: readonly Row[]): ExitCode | undefined;
}

/** Shows one look after the other. `close` is called exactly once, whatever happens. */
interface View<Row> {
  show(rows: readonly Row[]): void;
  connectionLost(reason: string): void;
  connected(): void;
  close(): void;
}

export async function watchList<Row extends object>(
  invocation: Invocation<object>,
  list: WatchedList<Row>,
): Promise<ExitCode> {
  const { flags, terminal, signal } = invocation;
  const view =
    flags.json !== true && isLive(terminal.stdout, terminal.env)
      ? liveView(terminal, list)
      : lineView(invocation, list);
  try {
    for (;;) {
      const rows = await look(list, view, signal);
      if (rows !== undefined) {
        view.show(rows);
        const outcome = list.outcome(rows);
        if (outcome !== undefined) return outcome;
      }
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return EXIT.interrupted;
    }
  } finally {
    view.close();
  }
}

/** `undefined` when there was no answer this time. @throws what the orchestrator refused */
async function look<Row>(
  list: WatchedList<Row>,
  view: View<Row>,
  signal: AbortSignal,
): Promise<readonly Row[] | undefined> {
  try {
    const rows = await list.look();
    view.connected();
    return rows;
  } catch (error) {
    if (signal.aborted) return undefined;
    if (!isPassing(error)) throw error;
    view.connectionLost(error.message);
    return undefined;
  }
}

function lineView<Row extends object>(
  { terminal: { stdout, stderr }, flags }: Invocation<object>,
  list: WatchedList<Row>,
): View<Row> {
  const told = new Map<string, string>();
  let isFirst = true;
  let isLost = false;
  const say = (document: object, line: string): void => {
    stdout.write(
      flags.json === true ? `${JSON.stringify(document)}\n` : `${formatTime(new Date().toISOString())}  ${line}\n`,
    );
  };
  return {
    show(rows) {
      if (isFirst && rows.length === 0 && list.empty !== undefined && flags.json !== true) {
        stderr.write(`${list.empty}\n`);
      }
      isFirst = false;
      const seen = new Set(rows.map((row) => list.id(row)));
      for (const row of rows) {
        const line = printable(list.line(row));
        if (told.get(list.id(row)) !== line) say(row, line);
        told.set(list.id(row), line);
      }
      for (const id of told.keys()) {
        if (seen.has(id)) continue;
        told.delete(id);
        if (list.gone !== undefined) say({ id, gone: true }, list.gone(id));
      }
    },
    connectionLost(reason) {
      if (!isLost) stderr.write(`lmas: no connection to the orchestrator, trying again: ${printable(reason)}\n`);
      isLost = true;
    },
    connected() {
      if (isLost) stderr.write('lmas: connected again\n');
      isLost = false;
    },
    close: () => undefined,
  };
}

/** What was shown last stays, as if it had been printed. */
function liveView<Row>({ stdout, env }: Invocation<object>['terminal'], list: WatchedList<Row>): View<Row> {
  const block = new LiveBlock(stdout);
  let rows: readonly Row[] = [];
  let lost: string | undefined;
  const draw = (limit = heightOf(stdout) - 1): void => {
    // One column and one line stay free: a full line makes some terminals wrap, a full screen scroll.
    const width = widthOf(stdout, env) - 1;
    const lines = list.screen(rows, width).trimEnd().split('\n');
    if (lost !== undefined) lines.push(`no connection to the orchestrator, trying again: ${printable(lost)}`);
    const hidden = lines.length - limit;
    const shown = hidden <= 0 ? lines : [...lines.slice(0, limit - 1), `… and ${hidden + 1} lines more`];
    block.show(shown.map((line) => `${truncate(line, width)}\n`).join(''));
  };
  return {
    show(latest) {
      rows = latest;
      draw();
    },
    connectionLost(reason) {
      lost = reason;
      draw();
    },
    connected() {
      lost = undefined;
    },
    close: () => draw(Number.POSITIVE_INFINITY),
  };
}
