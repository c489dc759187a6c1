/** Numbers for people: one way to write each kind, always with its unit. */

const DECIMAL = ['', 'k', 'M', 'G', 'T', 'P'];
const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1.5 GiB`: sizes of memory and disks, in powers of 1024. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let step = 0;
  while (value >= 1023.95 && step < BINARY.length - 1) {
    value /= 1_024;
    step += 1;
  }
  return `${step === 0 ? value : threeDigits(value)} ${BINARY[step]}`;
}

/** `941 Mbit/s`: rates as links are measured. */
export function formatBitRate(bitsPerSec: number): string {
  let value = bitsPerSec;
  let step = 0;
  while (value >= 999.5 && step < DECIMAL.length - 1) {
    value /= 1_000;
    step += 1;
  }
  return `${threeDigits(value)} ${DECIMAL[step]}bit/s`;
}

export function formatByteRate(bytesPerSec: number): string {
  return formatBitRate(bytesPerSec * 8);
}

/** `850 ms`, `12.3 s`, `4:05`, `2:04:05`, `3 d 4 h`. */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const total = Math.round(ms / 1_000);
  const [hours, minutes, seconds] = [Math.floor(total / 3_600), Math.floor(total / 60) % 60, total % 60];
  if (hours >= 48) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** `30 s`, `5 min`, `1 h 30 min`, `2 d 6 h`: how often, how long at most; the two largest units, and no seconds beside hours. */
export function formatPeriod(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const total = Math.round(ms / 1_000);
  const parts = [
    [Math.floor(total / 86_400), 'd'],
    [Math.floor(total / 3_600) % 24, 'h'],
    [Math.floor(total / 60) % 60, 'min'],
    [total % 60, 's'],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
}

/** `0:07`: always minutes and seconds, for a clock that runs in place. */
export function formatClock(ms: number): string {
  const total = Math.max(0, Math.round(ms / 1_000));
  const minutes = Math.floor(total / 60);
  return minutes < 60 ? `${minutes}:${two(total % 60)}` : formatDuration(total * 1_000);
}

/** Local time, with the day only when it is not today. */
export function formatTime(iso: string, now: Date = new Date()): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  if (at.toDateString() === now.toDateString()) return time;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

/** A sentence of the orchestrator, which knows no time zone but its own, with its times as people here read them. */
export const withLocalTimes = (sentence: string, now: Date = new Date()): string =>
  sentence.replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (iso) => formatTime(iso, now));

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : noun.endsWith('s') ? 'es' : 's'}`;
}

function threeDigits(value: number): string {
  if (value === 0) return '0';
  if (value >= 99.95) return value.toFixed(0);
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/** `5 at once, priority 60`, `none`: what a project may take; null is unlimited. */
export function formatProjectLimits({
  maxMigrations,
  maxWaiting,
  maxPriority,
}: Readonly<Record<'maxMigrations' | 'maxWaiting' | 'maxPriority', number | null>>): string {
  const set = [
    ...(maxMigrations === null ? [] : [`${maxMigrations} at once`]),
    ...(maxWaiting === null ? [] : [`${maxWaiting} waiting`]),
    ...(maxPriority === null ? [] : [`priority ${maxPriority}`]),
  ];
  return set.length === 0 ? 'none' : set.join(', ');
}
