/**
 * The one line that a terminal shows while a migration runs, pure: a record in, a string out, never wider than asked.
 * What does not fit is left out, the least important first.
 */
import { hasEnded, type Migration } from '@lmas/client';
import { formatByteRate, formatClock } from '@lmas/format';
import { displayWidth, printable, truncate } from './text.ts';

export interface ProgressLineOptions {
  readonly width: number;
  /** Whether the terminal can show block characters. */
  readonly unicode: boolean;
  readonly nowMs: number;
  /** Set while there is no connection to the orchestrator: why. */
  readonly connectionLost?: string | undefined;
}

const BAR = { least: 10, most: 30 };
const STAGES = { disks: 'disks', memory: 'memory', switchover: 'switch-over', 'post-copy': 'post-copy' } as const;

export function renderProgressLine(migration: Migration, options: ProgressLineOptions): string {
  const head = heading(migration, options.nowMs);
  if (options.connectionLost !== undefined) {
    return truncate(
      `${head}  no connection to the orchestrator, trying again: ${printable(options.connectionLost)}`,
      options.width,
    );
  }
  const progress = migration.phase === 'performing' ? migration.progress : null;
  if (progress === null) return truncate(head, options.width);
  const percent = `${Math.floor(Math.min(100, Math.max(0, progress.percent)))} %`.padStart(5);
  const wishes = [
    progress.rateBytesPerSec === null ? '' : formatByteRate(progress.rateBytesPerSec),
    progress.etaMs === null ? '' : `ETA ${formatClock(progress.etaMs)}`,
    progress.dirtyRateBytesPerSec === null ? '' : `dirty ${formatByteRate(progress.dirtyRateBytesPerSec)}`,
    progress.iteration === null ? '' : `pass ${progress.iteration}`,
  ].filter((text) => text !== '');
  const fixed = displayWidth(head) + 2 + displayWidth(percent);
  let room = options.width - fixed - (BAR.least + 3);
  const details: string[] = [];
  for (const wish of wishes) {
    const needed = displayWidth(wish) + 2;
    if (needed > room) break;
    details.push(wish);
    room -= needed;
  }
  const barWidth = Math.min(BAR.most, BAR.least + room);
  const bar = barWidth < BAR.least ? '' : ` ${renderBar(progress.percent, barWidth, options.unicode)}`;
  return truncate(
    [`${head} ${bar}`.trimEnd(), ...[percent.trimStart().padStart(5)], ...details].join('  '),
    options.width,
  );
}

/** Phase, what is being moved, and how long it has lasted. */
function heading(migration: Migration, nowMs: number): string {
  const { phase, startedAt, endedAt, createdAt } = migration;
  const began = Date.parse(startedAt ?? createdAt);
  const ended = hasEnded(migration) && endedAt !== null ? Date.parse(endedAt) : nowMs;
  const stage = phase === 'performing' && migration.progress !== null ? ` ${STAGES[migration.progress.stage]}` : '';
  const cancelling = migration.cancelRequestedAt !== null && !hasEnded(migration) ? ' (cancelling)' : '';
  return `${formatClock(ended - began)}  ${phase}${stage}${cancelling}`;
}

/** `▕██████▌   ▏` in eighths of a column, or `[######    ]`. */
export function renderBar(percent: number, width: number, unicode: boolean): string {
  const share = Math.min(1, Math.max(0, percent / 100));
  const inner = width - 2;
  if (!unicode) {
    const full = Math.floor(share * inner);
    return `[${'#'.repeat(full)}${' '.repeat(inner - full)}]`;
  }
  const eighths = Math.floor(share * inner * 8);
  const full = Math.floor(eighths / 8);
  const part = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8] ?? '';
  return `▕${'█'.repeat(full)}${part}${' '.repeat(inner - full - part.length)}▏`;
}
