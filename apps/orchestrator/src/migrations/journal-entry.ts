/**
 * One line of a migration's journal: something that is about to be made, written before it is made, so that whoever
 * finds the journal later can take it away without having seen it.
 */
import { z } from 'zod';

const end = z.enum(['source', 'destination']);

export const resourceSchema = z.discriminatedUnion('kind', [
  /** A gateway process, its directory and its sockets at one site; addressed by the migration's id. */
  z.object({ kind: z.literal('gateway'), end, site: z.string() }),
  /** Rules at one site's gateway machine that refuse what goes past the tunnel; they outlive the gateway that makes them. */
  z.object({ kind: z.literal('barrier'), end, site: z.string() }),
  /**
   * From here on the plugin may have touched the VM or the destination: find out where the VM is before anything else.
   */
  z.object({ kind: z.literal('hand-over') }),
  /** Something the plugin named by itself; only it knows how to take it away. */
  z.object({
    kind: z.literal('plugin'),
    /** It was there already, and somebody else's: nothing is to be taken away but the intent itself. */
    withdrawn: z.boolean().optional(),
    resource: z.object({
      ...{ kind: z.string(), id: z.string(), end, data: z.record(z.string(), z.json()) },
      lifetime: z.enum(['vm', 'migration']).optional(),
      shared: z.boolean().optional(),
      pending: z.boolean().optional(),
      behindBarrier: z.boolean().optional(),
      leadsToBarrier: z.boolean().optional(),
      atEitherEnd: z.boolean().optional(),
      byHand: z.string().optional(),
    }),
  }),
]);
export type JournalledResource = z.infer<typeof resourceSchema>;

export const journalEntrySchema = z.object({
  /** Unique within the migration: the same resource is journalled once, however often it is recorded. */
  key: z.string(),
  /** Order of creation; the teardown goes backwards. */
  sequence: z.int(),
  resource: resourceSchema,
  intentAt: z.iso.datetime(),
  releasedAt: z.iso.datetime().nullable(),
  /** When it was first left on purpose, because nobody knew where the VM runs. Still to be released, once somebody does. */
  leftAt: z.iso.datetime().nullable().default(null),
});
export type JournalEntry = z.infer<typeof journalEntrySchema>;

export function resourceKey(resource: JournalledResource): string {
  switch (resource.kind) {
    case 'gateway':
    case 'barrier':
      return `${resource.kind}:${resource.end}`;
    case 'hand-over':
      return 'hand-over';
    case 'plugin':
      return `plugin:${resource.resource.end}:${resource.resource.kind}:${resource.resource.id}`;
  }
}

/** In words, for the record's `leftovers`. */
export function describeResource(resource: JournalledResource): string {
  switch (resource.kind) {
    case 'gateway':
    case 'barrier':
      return `${resource.kind} at site ${resource.site}`;
    case 'hand-over':
      return 'state of the hand-over';
    case 'plugin':
      return `${resource.resource.kind} ${resource.resource.id} at the ${resource.resource.end}`;
  }
}
