/**
 * Quantities as people write them on a command line, parsed precisely. Where a spelling has two readings (`500M`: bits or
 * bytes? `60MB` of whom?) it is refused with the spellings that have one; a guess that is wrong by 8 moves a VM 8 times
 * slower than was meant.
 */

import { formatBitRate } from '@lmas/format';
import { CliError } from './errors.ts';

export const BANDWIDTH_HELP =
  'bits: 500Mbit, 10Gbit; bytes: 60MB (10^6), 60MiB (2^20); each may end in /s; or "unlimited"';

const DECIMAL: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
const BINARY: Readonly<Record<string, number>> = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 };
/** The API's own lower bound. */
const LEAST_BANDWIDTH_BYTES = 1_024;

/** Bytes per second; null for `unlimited`. */
export function parseBandwidth(text: string): number | null {
  if (text === 'unlimited') return null;
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)(?:\/s)?$/.exec(text.trim());
  const [, digits = '', unit = ''] = match ?? [];
  if (match === null) throw invalid(`"${text}" is not a bandwidth`, `Write ${BANDWIDTH_HELP}.`);
  const factor = bandwidthFactor(unit);
  if (factor === null) throw ambiguousBandwidth(text, digits, unit);
  const bytesPerSec = Math.floor(Number(digits) * factor);
  if (!Number.isSafeInteger(bytesPerSec)) throw invalid(`"${text}" is more than can be counted`, 'Write "unlimited".');
  if (bytesPerSec < LEAST_BANDWIDTH_BYTES) {
    throw invalid(
      `"${text}" is less than the least limit, ${LEAST_BANDWIDTH_BYTES} bytes per second`,
      `Write ${BANDWIDTH_HELP}.`,
    );
  }
  return bytesPerSec;
}

/** Bytes per second of one unit, or null when the unit does not say which. */
function bandwidthFactor(unit: string): number | null {
  const bits = /^(|k|M|G|T|Ki|Mi|Gi|Ti)bit$/.exec(unit);
  if (bits !== null) return (DECIMAL[bits[1] ?? ''] ?? BINARY[bits[1] ?? ''] ?? 0) / 8;
  const bytes = /^(|k|M|G|T|Ki|Mi|Gi|Ti)B$/.exec(unit);
  return bytes === null ? null : (DECIMAL[bytes[1] ?? ''] ?? BINARY[bytes[1] ?? ''] ?? 0);
}

function ambiguousBandwidth(text: string, digits: string, unit: string): CliError {
  const prefix = /^([kmgt])i?(?:b|bps|ps)?$/i.exec(unit)?.[1];
  if (prefix === undefined && unit !== '') {
    return invalid(`"${text}" has a unit that is not known`, `Write ${BANDWIDTH_HELP}.`);
  }
  const letter = prefix === undefined ? '' : prefix.toLowerCase() === 'k' ? 'k' : prefix.toUpperCase();
  const asBits = `${digits}${letter}bit`;
  const asBytes = `${digits}${letter}B`;
  const bytesInBits = formatBitRate(Number(digits) * (DECIMAL[letter] ?? 1) * 8);
  return invalid(
    `"${text}" is ambiguous: bits or bytes per second?`,
    `Write ${asBits} for bits, or ${asBytes} for bytes (which is ${bytesInBits}).`,
  );
}

const DURATIONS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 };
export const DURATION_HELP = '300ms, 1.5s, 10min, 2h, 30d';

/** Milliseconds. A bare number counts in `bareUnit`; without one it is refused. */
export function parseDuration(text: string, bareUnit?: 'ms' | 's'): number {
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text.trim());
  const [, digits = '', unit = ''] = match ?? [];
  const factor = DURATIONS[unit === '' ? (bareUnit ?? '') : unit];
  if (match === null || factor === undefined) {
    if (unit === '' && match !== null)
      throw invalid(`"${text}" has no unit`, `Write for example ${digits}s or ${digits}min.`);
    if (unit === 'm')
      throw invalid(`"${text}" is ambiguous: minutes or milliseconds?`, `Write ${digits}min or ${digits}ms.`);
    throw invalid(`"${text}" is not a duration`, `Write for example ${DURATION_HELP}.`);
  }
  const ms = Math.round(Number(digits) * factor);
  if (!Number.isSafeInteger(ms)) throw invalid(`"${text}" is too long`, `Write for example ${DURATION_HELP}.`);
  return ms;
}

export const MOMENT_HELP = 'so long ago: 24h; or a time: 2027-03-27T23:30:00Z';

/** A point in time, as the API writes it. A time without an offset is refused: whose clock would it be? */
export function parseMoment(text: string, nowMs = Date.now()): string {
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(text)))
    return new Date(text).toISOString();
  if (/^\d{4}-/.test(text))
    throw invalid(
      `"${text}" is not a time with an offset`,
      'Write for example 2027-03-27T23:30:00Z, or 24h for a day ago.',
    );
  return new Date(nowMs - parseDuration(text, 's')).toISOString();
}

/** `4-16`, or `8` for exactly eight. */
export function parseRange(text: string, bounds: { min: number; max: number }): { min: number; max: number } {
  const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(text.trim());
  const min = Number(match?.[1]);
  const max = Number(match?.[2] ?? match?.[1]);
  if (match === null)
    throw invalid(`"${text}" is not a range`, `Write LEAST-MOST, such as ${bounds.min}-${bounds.max}.`);
  if (min > max) throw invalid(`"${text}" ends before it begins`, `Write ${max}-${min}.`);
  if (min < bounds.min || max > bounds.max) {
    throw invalid(`"${text}" leaves what is possible`, `Stay between ${bounds.min} and ${bounds.max}.`);
  }
  return { min, max };
}

/** `host`, `host:port`, `[2001:db8::1]:port`. An IPv6 address without brackets cannot carry a port. */
export function parseHostPort(text: string): { host: string; port?: number } {
  const bracketed = /^\[([0-9A-Fa-f:.%\w]+)\](?::(\d{1,5}))?$/.exec(text);
  const plain = /^([^:\s[\]]+)(?::(\d{1,5}))?$/.exec(text);
  const bare = /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$/.test(text);
  if (bare) return { host: text };
  const match = bracketed ?? plain;
  const host = match?.[1];
  if (match === null || host === undefined)
    throw invalid(`"${text}" is not HOST or HOST:PORT`, 'Write db1.example.org:22 or [2001:db8::1]:22.');
  if (match[2] === undefined) return { host };
  const port = Number(match[2]);
  if (port < 1 || port > 65_535) throw invalid(`${port} is not a port`, 'Ports go from 1 to 65535.');
  return { host, port };
}

export function parseInteger(text: string, bounds: { min: number; max: number }): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < bounds.min || value > bounds.max) {
    throw invalid(`"${text}" is not a whole number from ${bounds.min} to ${bounds.max}`);
  }
  return value;
}

function invalid(message: string, remedy?: string): CliError {
  return new CliError(
    'INVALID_VALUE',
    message.endsWith('?') ? message : `${message}.`,
    remedy === undefined ? {} : { remedy },
  );
}
