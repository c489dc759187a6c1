/**
 * What is stored of a migration: the public record, as the API shows it, and the run's own notes that a recovery needs.
 * JSON; parsed on the way in, so that a record written by another version is refused with a reason and not misread.
 */
import { createHash, randomUUID } from 'node:crypto';
import { z } from 'zod';
import { readableFromOf } from '../redis/record-versions.ts';
import { migrationIdSchema, type migrationInputSchema, migrationSchema } from '../schemas/migration.ts';
import type { migrationEventSchema } from '../schemas/migration-event.ts';
import { OUTCOMES } from './phases.ts';

export type Migration = z.infer<typeof migrationSchema>;
export type MigrationInput = z.output<typeof migrationInputSchema>;
export type MigrationError = NonNullable<Migration['error']>;
export type MigrationEvent = z.infer<typeof migrationEventSchema>;
export type EventType = MigrationEvent['type'];
export type End = 'source' | 'destination';
export const ENDS: readonly End[] = ['source', 'destination'];

const jsonSchema = z.json();

export const preparedSchema = z.object({
  flows: z.array(
    z.object({
      id: z.string(),
      host: z.string(),
      port: z.int(),
      maxStreams: z.int(),
      priority: z.enum(['bulk', 'interactive']),
      outlivesOutages: z.boolean().optional(),
      addressGroup: z.string().optional(),
    }),
  ),
  transparentFlows: z
    .array(
      z.object({
        id: z.string(),
        pairs: z.array(z.object({ source: z.string(), destination: z.string() })),
        ports: z.array(z.union([z.int(), z.object({ from: z.int(), to: z.int() })])),
        maxStreams: z.int(),
        priority: z.enum(['bulk', 'interactive']),
        outlivesOutages: z.boolean().optional(),
        barrier: z.boolean().optional(),
      }),
    )
    .optional(),
  sourceAddresses: z.array(z.string()),
  state: jsonSchema,
  onlyConfirmLetsGo: z.boolean().optional(),
  neverLeftPaused: z.boolean().optional(),
  atSource: z
    .object({
      keptAtSource: z.array(z.object({ kind: z.string(), id: z.string() })),
      sourceDefinition: z.string().nullable(),
      warnings: z.array(z.string()).optional(),
    })
    .optional(),
});

const notesSchema = z.object({
  /** The source's answer to what the plugin needs, kept for `confirm` after a crash. */
  prepared: preparedSchema.nullable(),
  /** Of the guest, as its check told; null: by a version that did not note it. */
  memoryBytes: z.number().nullable().default(null),
  /** The plugin has said that the guest was let go at the destination: nothing is undone any more. */
  arrived: z.boolean().default(false),
  /** When both ends could last be asked where the VM is, or it was last seen to move, once it may have been let go (workflow/silence.ts). */
  bothAnsweredAt: z.iso.datetime().nullable().default(null),
  /** Why the way forward ended, from before anything was undone: an interruption later is not the reason. */
  failure: migrationSchema.shape.error.default(null),
  /** Decided before the teardown, never changed by it. */
  outcome: z.enum(OUTCOMES).nullable(),
  /** What it ended with is not settled: whoever takes something of it down goes on with that first. */
  isOpen: z.boolean().default(false),
  /** Names under which this VM is reserved; given back at the end. */
  locks: z.array(z.string()),
  /** W3C `traceparent` of the submission: its runs, in whichever process, continue that trace. */
  traceparent: z.string().nullable().default(null),
});

export const storedMigrationSchema = z.object({ migration: migrationSchema, notes: notesSchema });
export type StoredMigration = z.infer<typeof storedMigrationSchema>;

/** The oldest version that may read it, where that is not every one. */
export const readableFrom = ({ migration }: StoredMigration): number | undefined => readableFromOf(migration.request);

export const purposeOf = ({
  drill,
  powerState,
}: Pick<MigrationInput, 'drill' | 'powerState'>): Migration['purpose'] => {
  if (drill !== null) return 'drill';
  return powerState === 'off' ? 'relocation' : 'move';
};

export const newMigrationId = (): string => `m_${randomUUID()}`;
/** The same for the same purpose, however often it is asked for: whatever is ordered twice is one migration. */
export function migrationIdFor(purpose: string): string {
  const hex = createHash('sha256').update(purpose).digest('hex');
  return `m_${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}
export const isMigrationId = (id: string): boolean => migrationIdSchema.safeParse(id).success;
export const now = (): string => new Date().toISOString();

/** Nobody knows where the VM runs, or it runs twice: not merely that it was not looked for yet. */
export const isUndecided = ({ where, byHand }: Pick<Migration, 'where' | 'byHand'>): boolean =>
  where === 'both' || (where === 'unknown' && byHand !== null);

/** The record of a request that was just accepted. */
export function newRecord(
  id: string,
  request: MigrationInput,
  sites: { readonly source: string; readonly destination: string },
  locks: readonly string[],
  {
    project = null,
    retryOf = null,
    plugin = null,
    traceparent = null,
  }: {
    project?: string | null;
    retryOf?: string | null;
    plugin?: string | null;
    traceparent?: string | null;
  } = {},
): StoredMigration {
  const createdAt = now();
  return {
    migration: {
      id,
      project,
      plugin,
      purpose: purposeOf(request),
      vm: { id: null, name: request.vm },
      source: { endpoint: request.source, site: sites.source },
      destination: { endpoint: request.destination, site: sites.destination },
      request,
      changes: {},
      phase: 'queued',
      waiting: null,
      bandwidthShareBytesPerSec: request.bandwidthBytesPerSec,
      where: 'unknown',
      teardown: 'not-needed',
      leftovers: [],
      givenUp: null,
      createdAt,
      startedAt: null,
      endedAt: null,
      timeline: [{ phase: 'queued', startedAt: createdAt }],
      waits: [],
      cancelRequestedAt: null,
      pointOfNoReturnAt: null,
      retryOf,
      failedAttempts: [],
      runs: 0,
      findings: [],
      progress: null,
      tunnel: null,
      drill: null,
      error: null,
      byHand: null,
      doneByHand: null,
      report: null,
    },
    notes: {
      prepared: null,
      memoryBytes: null,
      arrived: false,
      bothAnsweredAt: null,
      failure: null,
      outcome: null,
      isOpen: false,
      locks: [...locks],
      traceparent,
    },
  };
}
