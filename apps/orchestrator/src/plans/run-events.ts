/**
 * The events of a run, for whoever follows it: its log, entry by entry, each with the run in short. The log is written in the same
 * step as the record, so that none is missed. It owns nothing.
 */
import type { z } from 'zod';
import { withOwnPlans } from '../access/owned-names.ts';
import { type EventHub, type EventPart, isEvent, type Told } from '../migrations/events.ts';
import { keys } from '../redis/keys.ts';
import type { LogPart, VersionedTable } from '../redis/versioned-table.ts';
import { planRunEntrySchema, type planRunEventSchema } from '../schemas/plan-run.ts';
import { hasRunEnded, type PlanRun, type RunEntry, summaryOf } from './record.ts';

export type PlanRunEvent = z.infer<typeof planRunEventSchema>;

export interface RunEvents {
  /**
   * Everything after `afterId`, then what comes; `undefined` for a sign of life. Ends after the event of type `end`, which comes
   * again for whoever has heard it. @param project that the reader is bound to
   */
  follow(id: string, afterId: string, project: string | null, options: { signal: AbortSignal }): AsyncGenerator<Told>;
}

const BATCH = 100;

export function createRunEvents(hub: Pick<EventHub, 'followSource'>, table: VersionedTable<PlanRun>): RunEvents {
  return {
    async *follow(id, afterId, project, options) {
      let endId: string | undefined;
      const read = async (after: string): Promise<EventPart> => {
        const part = await table.readLogOn(id, after, BATCH);
        const events = eventsOf(part, project);
        endId = events.find(({ event }) => event.type === 'end')?.id;
        const told = events.map(({ id: place, event }) => ({ id: place, json: JSON.stringify(event) }));
        return { events: told, extent: part.extent };
      };
      const { channel } = keys.versioned('plan-run');
      for await (const event of hub.followSource({ channel: channel(id), read }, afterId, options)) {
        yield event;
        if (isEvent(event) && event.id === endId) return;
      }
    },
  };
}

function eventsOf({ value: run, entries, newestId }: LogPart<PlanRun>, project: string | null) {
  if (run === undefined) return [];
  const seen = withOwnPlans(project, summaryOf(run));
  const event = (id: string, entry: RunEntry, type: PlanRunEvent['type']) => ({
    id,
    event: { ...entry, type, run: seen },
  });
  const { endedAt, message } = run;
  if (!hasRunEnded(run) || endedAt === null) {
    return entries.map(({ id, entry }) => event(id, planRunEntrySchema.parse(entry), 'log'));
  }
  if (entries.length === 0) return [event(newestId ?? '0-1', { at: endedAt, message, vm: null, code: null }, 'end')];
  return entries.map(({ id, entry }) => event(id, planRunEntrySchema.parse(entry), id === newestId ? 'end' : 'log'));
}
