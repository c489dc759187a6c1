/** What is filled in so far, and the request that it makes once enough of it is there. Pure. */
import type { Convergence, MigrationInput } from '@lmas/client';
import type { Complaint } from '../../parts/problem.tsx';
import { type SchemaField, valuesOf } from '../../parts/schema-values.ts';

export interface Draft {
  readonly source: string;
  readonly vm: string;
  readonly destination: string;
  /** A copy is started and undone instead; null: the VM moves. */
  readonly drill: { readonly keepMs: number } | null;
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
  /** Parallel connections of the tunnel; null: as the gateways choose. */
  readonly subflows: { readonly min: number | null; readonly max: number | null };
  /** What is missing has the orchestrator's own limit. */
  readonly timeouts: Timeouts;
  /** What was typed into the fields of the plugin's own options. */
  readonly options: Readonly<Record<string, string>>;
}

type Tunnel = NonNullable<MigrationInput['tunnel']>;
export type Suite = NonNullable<Tunnel['suite']>;
export type Compression = NonNullable<Tunnel['compression']>;
export type Timeouts = Readonly<NonNullable<MigrationInput['timeouts']>>;

export const emptyDraft: Draft = {
  source: '',
  vm: '',
  destination: '',
  drill: null,
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
  subflows: { min: null, max: null },
  timeouts: {},
  options: {},
};

/** How long the copy of a drill runs where nobody says otherwise: as the orchestrator has it. */
export const KEEP_MS = 300_000;

/** What the fields of the request are called on the form. */
export const LABELS: Readonly<Record<keyof Draft, string>> = {
  source: 'From',
  vm: 'VM',
  destination: 'To',
  drill: 'Drill',
  transport: 'Transport',
  convergence: 'If the dirty rate exceeds what the link carries',
  bandwidthBytesPerSec: 'Bandwidth at most',
  maxDowntimeMs: 'Max downtime in ms',
  priority: 'Priority',
  networkMap: 'Networks',
  diskMap: 'Disks',
  labels: 'Labels',
  correlationId: 'Correlation id',
  tunnel: 'Tunnel',
  subflows: 'Subflows',
  timeouts: 'Time limits',
  options: 'Options',
};

/** The stages that have a limit, and what the orchestrator sets where nothing is said, in minutes. */
export const STAGES: Readonly<Record<keyof Timeouts, readonly [words: string, minutes: number]>> = {
  queueMs: ['In the queue', 1_440],
  checkingMs: ['Checks', 1],
  provisioningMs: ['Gateways put in place', 3],
  preparingMs: ['Destination made ready', 2],
  noProgressMs: ['Without any progress', 5],
  totalMs: ['All in all', 720],
};

/** A complaint about the request in the words, and the units, of the form; `networkMap.lan` is `Networks: lan`. */
export function inWords({ path, message }: Complaint): Complaint {
  const [field = '', ...rest] = path.split('.');
  if (!isField(field)) return { path, message };
  const [first = ''] = rest;
  if (field === 'timeouts' && isStage(first)) {
    const bound = message.startsWith('Too small') ? 'At least a second' : undefined;
    const most = first === 'queueMs' || first === 'totalMs' ? 'At most three weeks' : 'At most a day';
    const words = bound ?? (message.startsWith('Too big') ? most : message);
    return { path: `${LABELS.timeouts}: ${STAGES[first][0]}`, message: words };
  }
  const isTooSlow = field === 'bandwidthBytesPerSec' && message.startsWith('Too small');
  return {
    path: rest.length === 0 ? LABELS[field] : `${LABELS[field]}: ${rest.join('.')}`,
    message: isTooSlow ? 'Too small: at least 0.01 Mbit/s, or empty' : message,
  };
}

const isField = (name: string): name is keyof Draft => Object.hasOwn(LABELS, name);
const isStage = (name: string): name is keyof Timeouts => Object.hasOwn(STAGES, name);

/**
 * null while it is not complete.
 * @param fields of the plugin's own options
 * @throws Error that names the option whose JSON is none
 */
export function requestOf(draft: Draft, fields: readonly SchemaField[] = []): MigrationInput | null {
  const { networkMap, diskMap, labels, correlationId, tunnel, subflows, options, ...rest } = draft;
  if (rest.source === '' || rest.vm === '' || rest.destination === '' || !Number.isInteger(rest.priority)) return null;
  if (rest.drill !== null && !Number.isInteger(rest.drill.keepMs)) return null;
  return {
    ...rest,
    networkMap: toRecord(networkMap),
    diskMap: toRecord(diskMap),
    labels: toRecord(labels),
    correlationId: correlationId.trim() === '' ? null : correlationId.trim(),
    ...(rest.transport === 'tunnel' ? { tunnel: { ...tunnel, ...chosen(subflows) } } : {}),
    options: valuesOf(fields, options),
  };
}

const MOST_SUBFLOWS = 64;

function chosen({ min, max }: Draft['subflows']): Pick<Tunnel, 'subflows'> {
  if (min === null && max === null) return {};
  return { subflows: min === max && min !== null ? min : { min: min ?? 1, max: max ?? MOST_SUBFLOWS } };
}

const toRecord = (pairs: Draft['networkMap']): Record<string, string> =>
  Object.fromEntries(pairs.filter(([from, to]) => from.trim() !== '' && to.trim() !== ''));

type Ends = Pick<Draft, 'source' | 'destination'>;

/**
 * Disks that move alone cross no link, so there is no tunnel for them. Whoever corrects that has not asked for a move past the tunnel.
 */
export function transportOf(before: Ends & Pick<Draft, 'transport'>, now: Ends): Draft['transport'] {
  if (isToItself(now)) return 'direct';
  return isToItself(before) ? emptyDraft.transport : before.transport;
}

const isToItself = ({ source, destination }: Ends): boolean => destination !== '' && destination === source;
