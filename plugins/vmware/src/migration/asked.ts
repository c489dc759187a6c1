/**
 * What vSphere was asked to change for a migration and has not answered: it may still come, also long after we have stopped waiting for it.
 * The journal says so from before the call until its answer, so that whoever takes the change back knows that one look is not enough, and
 * goes on looking: for a while at a time, and not for ever.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type MigrationContext, PluginError, type PluginResource } from '@lmas/plugin-api';
import { z } from 'zod';
import { isFault, VimSilence } from '../errors.ts';

/** Longer than a call waits for its answer, and than a vCenter that was restarted in it takes to do what it had begun. */
export const UNANSWERED_MS = 90_000;
/** At a time: the rest of a teardown waits meanwhile. */
const LOOK_ON_MS = 20_000;
const LOOK_AGAIN_MS = 250;

/** Milliseconds since 1970, on the clock of whoever asked; absent once vSphere has answered. */
const askedSchema = z.object({ askedAtMs: z.int().optional() });

/**
 * Journals the intent, makes the change, and journals that it was answered, well or badly.
 * @param isNothingMade of an answer that is sure to have changed nothing: then nothing is journalled, and whoever asked withdraws the intent
 */
export async function ask(
  resource: PluginResource,
  context: MigrationContext,
  change: () => Promise<void>,
  isNothingMade: (error: unknown) => boolean = () => false,
): Promise<void> {
  const asked = { ...resource, data: { ...resource.data, askedAtMs: Date.now() } };
  await context.recordIntent(resource.shared === true ? { ...asked, pending: true } : asked);
  await context.assertCurrent();
  try {
    await change();
  } catch (error) {
    if (wasAnswered(error) && !isNothingMade(error)) await context.recordIntent(resource);
    throw error;
  }
  await context.recordIntent(resource);
}

/** Refused by vSphere itself, or never sent. */
const wasAnswered = (error: unknown): boolean =>
  isFault(error) || (error instanceof VimSilence && error.kind === 'unreachable');

/**
 * Takes a change back by `look`, which answers whether it was there; one that was never answered is looked for until it has come
 * or cannot come any more.
 * @throws PluginError TIMEOUT when it may still come: to be tried again later
 */
export async function takeBack(
  { id, kind, data }: PluginResource,
  look: () => Promise<boolean>,
  { signal, unansweredMs }: { readonly signal: AbortSignal; readonly unansweredMs: number },
): Promise<void> {
  const { askedAtMs } = askedSchema.parse(data);
  const started = performance.now();
  const mayComeFor = askedAtMs === undefined ? 0 : Math.min(askedAtMs - Date.now(), 0) + unansweredMs;
  for (;;) {
    if (await look()) return;
    const waitedMs = performance.now() - started;
    if (waitedMs >= mayComeFor) return;
    if (waitedMs >= LOOK_ON_MS) throw mayStillCome(kind, id);
    await sleep(LOOK_AGAIN_MS, undefined, { signal }).catch(() => {
      throw mayStillCome(kind, id);
    });
  }
}

const mayStillCome = (kind: string, id: string): PluginError =>
  new PluginError('TIMEOUT', `vSphere never answered when it was asked for ${kind} ${id}, which may still come.`, {
    remedy: 'Nothing has to be done: it is looked for again.',
  });
