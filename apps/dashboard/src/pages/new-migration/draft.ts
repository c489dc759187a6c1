/** What is filled in so far, and the request that it makes once enough of it is there. Pure. */
import type { Convergence, MigrationInput } from '@lmas/client';
import type { Complaint } from '../../parts/problem.tsx';
import { type SchemaField, valuesOf } from '../../parts/schema-values.ts';

export interface Draft {
  readonly source: string;
  readonly vm: string;
  readonly destination: string;
  readonly transport: 'tunnel' | 'direct';
  readonly convergence: Convergence;
  readonly bandwidthBytesPerSec: number | null;
  readonly maxDowntimeMs: number | null;
  readonly priority: number;
  /** Pairs in the order in which they were added; unfinished ones are left out of the request. */
  readonly networkMap: readonly (readonly [from: string, to: string])[];
  readonly diskMap: readonly (readonly [from: string, to: string])[];
  readonly labels: readonly (readonly [name: string, value: string])[];
  readonly correlationId: string;
  readonly tunnel: { readonly suite: Suite; readonly compression: Compression };
  /** What was typed into the fields of the plugin's own options. */
  readonly options: Readonly<Record<string, string>>;
}

type Tunnel = NonNullable<MigrationInput['tunnel']>;
export type Suite = NonNullable<Tunnel['suite']>;
export type Compression = NonNullable<Tunnel['compression']>;

export const emptyDraft: Draft = {
  source: '',
  vm: '',
  destination: '',
  transport: 'tunnel',
  convergence: 'balanced',
  bandwidthBytesPerSec: null,
  maxDowntimeMs: null,
  priority: 50,
  networkMap: [],
  diskMap: [],
  labels: [],
  correlationId: '',
  tunnel: { suite: 'aes-256-gcm', compression: 'never' },
  options: {},
};

/** What the fields of the request are called on the form. */
export const LABELS: Readonly<Record<keyof Draft, string>> = {
  source: 'From',
  vm: 'VM',
  destination: 'To',
  transport: 'Transport',
  convergence: 'If the guest writes faster than the link carries',
  bandwidthBytesPerSec: 'Bandwidth at most',
  maxDowntimeMs: 'Longest pause in ms',
  priority: 'Priority',
  networkMap: 'Networks',
  diskMap: 'Disks',
  labels: 'Labels',
  correlationId: 'Correlation id',
  tunnel: 'Tunnel',
  options: 'Options',
};

/** A complaint about the request in the words, and the units, of the form; `networkMap.lan` is `Networks: lan`. */
export function inWords({ path, message }: Complaint): Complaint {
  const [field = '', ...rest] = path.split('.');
  if (!isField(field)) return { path, message };
  const isTooSlow = field === 'bandwidthBytesPerSec' && message.startsWith('Too small');
  return {
    path: rest.length === 0 ? LABELS[field] : `${LABELS[field]}: ${rest.join('.')}`,
    message: isTooSlow ? 'Too small: at least 0.01 Mbit/s, or empty' : message,
  };
}

const isField = (name: string): name is keyof Draft => Object.hasOwn(LABELS, name);

/**
 * null while it is not complete.
 * @param fields of the plugin's own options
 * @throws Error that names the option whose JSON is none
 */
export function requestOf(draft: Draft, fields: readonly SchemaField[] = []): MigrationInput | null {
  const { networkMap, diskMap, labels, correlationId, tunnel, options, ...rest } = draft;
  if (rest.source === '' || rest.vm === '' || rest.destination === '' || !Number.isInteger(rest.priority)) return null;
  return {
    ...rest,
    networkMap: toRecord(networkMap),
    diskMap: toRecord(diskMap),
    labels: toRecord(labels),
    correlationId: correlationId.trim() === '' ? null : correlationId.trim(),
    ...(rest.transport === 'tunnel' ? { tunnel } : {}),
    options: valuesOf(fields, options),
  };
}

const toRecord = (pairs: Draft['networkMap']): Record<string, string> =>
  Object.fromEntries(pairs.filter(([from, to]) => from.trim() !== '' && to.trim() !== ''));
