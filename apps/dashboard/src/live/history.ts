/**
 * One migration as it goes: its newest record, and what was measured along the way, for the plot. The event stream is
 * read from its beginning, so a page that is opened late shows the whole course, thinned out where it is long ago, for as long as that
 * is kept. It stops with the end; the teardown may go on after it, and people have their say: until nothing is left the record is asked for again and again.
 */
import { asksForHand, delay, isPassing, type LmasClient, type Migration, type MigrationEvent } from '@lmas/client';
import { useEffect, useState } from 'preact/hooks';

export interface Sample {
  readonly atMs: number;
  /** What the tunnel delivered, or what the hypervisor says it moves without one. */
  readonly throughputBitsPerSec: number | null;
  readonly dirtyRateBitsPerSec: number | null;
}

export interface History {
  readonly migration: Migration | undefined;
  readonly samples: readonly Sample[];
  /** Newest last. */
  readonly events: readonly MigrationEvent[];
  /** Some of it is not kept any more, and was not heard. */
  readonly isIncomplete: boolean;
  readonly connected: boolean;
  readonly error: unknown;
}

/** Half an hour, second by second; longer courses are thinned out, the oldest part first. */
const MAX_SAMPLES = 1_800;
const MAX_EVENTS = 500;
/** How often the page is drawn anew while events pour in. */
const DRAW_MS = 250;
/** How often it is asked what became of the rest, while somebody looks. */
const AGAIN_MS = 3_000;

const toBits = (bytes: number | null): number | null => (bytes === null ? null : bytes * 8);

export function sampleOf({ at, migration }: MigrationEvent): Sample | undefined {
  const { progress, tunnel } = migration;
  if (progress === null || migration.phase !== 'performing') return undefined;
  const { rateBytesPerSec, dirtyRateBytesPerSec } = progress;
  return {
    atMs: Date.parse(at),
    throughputBitsPerSec: tunnel?.now?.sendBitsPerSec ?? toBits(rateBytesPerSec),
    dirtyRateBitsPerSec: toBits(dirtyRateBytesPerSec),
  };
}

/** Drops every second sample of the older half once there are too many. */
export function thinned(samples: readonly Sample[]): readonly Sample[] {
  if (samples.length <= MAX_SAMPLES) return samples;
  const half = samples.length >> 1;
  return samples.filter((_, i) => i >= half || i % 2 === 0);
}

/** The record as it changes after the last event, until nothing is left to be taken down or to be done by hand. */
async function* afterEnd(
  client: LmasClient,
  ended: Migration,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<Migration> {
  let newest = ended;
  for (; newest.teardown === 'incomplete' || asksForHand(newest); await delay(AGAIN_MS, signal)) {
    if (document.hidden) continue;
    newest = await client.getMigration(ended.id, { signal }).catch((error: unknown) => {
      if (signal.aborted || !isPassing(error)) throw error;
      return newest;
    });
    yield newest;
  }
}

export function useHistory(client: LmasClient, id: string): History {
  const [history, setHistory] = useState<History>(EMPTY);
  useEffect(() => {
    const ending = new AbortController();
    let next: History = EMPTY;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const change = (changed: Partial<History>) => {
      next = { ...next, ...changed };
      timer ??= setTimeout(() => {
        timer = undefined;
        setHistory(next);
      }, DRAW_MS);
    };
    setHistory(EMPTY);
    const follow = async () => {
      const events = client.watchMigration(id, {
        signal: ending.signal,
        giveUpAfterMs: null,
        onConnectionLost: () => change({ connected: false }),
        onConnected: () => change({ connected: true }),
        onMissed: () => change({ isIncomplete: true }),
      });
      for await (const { event } of events) {
        const sample = sampleOf(event);
        const told = event.type === 'progress' ? next.events : [...next.events, event].slice(-MAX_EVENTS);
        const samples = sample === undefined ? next.samples : thinned([...next.samples, sample]);
        change({ migration: event.migration, samples, events: told });
      }
      if (next.migration === undefined) return;
      for await (const migration of afterEnd(client, next.migration, ending)) change({ migration });
    };
    follow().catch((error: unknown) => ending.signal.aborted || change({ error, connected: false }));
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [client, id]);
  return history;
}

const EMPTY: History = {
  ...{ migration: undefined, samples: [], events: [], isIncomplete: false },
  ...{ connected: true, error: undefined },
};
