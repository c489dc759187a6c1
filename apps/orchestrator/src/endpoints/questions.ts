/**
 * Asks endpoints what belongs to no run: inventories, where a VM is, loads, the checks of what is only thought of. Nothing that is asked here
 * changes anything, so a question that meets a connection which was cut while it was idle is asked once more, over a new one, and
 * whoever asked does not notice. Who asks gives back what was lent, and closes nothing. Nobody waits longer than their signal lets
 * them, whatever the plugin makes of it: a host may take a question and never answer.
 */
import { type EndpointSession, pluginErrorCode } from '@lmas/plugin-api';
import { raceSignal } from '../time/waiting.ts';
import { tracedCalls } from '../tracing/spans.ts';
import { type Connected, failureOfEnds, type ReadRegistration } from './connector.ts';
import type { QuestionSessions } from './question-sessions.ts';

export interface LendOptions {
  readonly signal: AbortSignal;
  /** As of a login: a person wants one tried now. */
  readonly attended?: boolean;
}

/** A session that others may be asking as well. */
export interface Lent extends Connected {
  /** It was there before this question: nobody knows whether its connection still is. */
  readonly isKept: boolean;
  /** Idempotent; never throws. */
  giveBack(): Promise<void>;
  /** Nobody is lent it any more; those who have it go on. */
  discard(): void;
}

export interface Questions {
  /**
   * To be used by `withSession` and `withSessions` alone.
   * @throws PluginError UNREACHABLE, LOGIN_REFUSED, … that names the endpoint; LmasError ENDPOINT_NOT_FOUND; the signal's reason
   */
  lend(endpointId: string, options: LendOptions): Promise<Lent>;
}

export const createQuestions = (readRegistration: ReadRegistration, sessions: QuestionSessions): Questions => ({
  lend: async (endpointId, options) => await sessions.lend(await readRegistration(endpointId), options),
});

/** Uses the session of an endpoint for one question. */
export async function withSession<T>(
  questions: Questions,
  endpointId: string,
  options: LendOptions,
  use: (session: EndpointSession, plugin: Connected['plugin']) => Promise<T>,
): Promise<T> {
  const lend = async (): Promise<readonly [Lent]> => [await questions.lend(endpointId, options)];
  return await ask(lend, options, ([{ plugin, session }]) =>
    use(tracedCalls(session, 'plugin', { 'lmas.plugin': plugin.name, 'lmas.endpoint': endpointId }), plugin),
  );
}

type Ends<T> = Readonly<Record<'source' | 'destination', T>>;

/** Uses those of two for one question, or none. @throws what `lend` throws; of both ends, when both fail */
export async function withSessions<T>(
  questions: Questions,
  { source, destination }: Ends<string>,
  options: LendOptions,
  use: (ends: Ends<Connected>) => Promise<T>,
): Promise<T> {
  const lend = async (): Promise<readonly [Lent, Lent]> => {
    const [a, b] = await Promise.allSettled([source, destination].map((id) => questions.lend(id, options)));
    if (a?.status === 'fulfilled' && b?.status === 'fulfilled') return [a.value, b.value];
    const reasons: unknown[] = [];
    for (const end of [a, b]) {
      if (end?.status === 'rejected') reasons.push(end.reason);
      else await end?.value.giveBack();
    }
    throw failureOfEnds(reasons);
  };
  return await ask(lend, options, ([a, b]) => use({ source: a, destination: b }));
}

/** Such a login is tried again by nobody but a person: the account may be locked after a few. */
const isLoginRefused = (error: unknown): boolean => pluginErrorCode(error) === 'LOGIN_REFUSED';

/** An endpoint that answers nothing for so long may be gone without a word. */
const SILENCE_MS = 10_000;

async function ask<L extends readonly Lent[], T>(
  lend: () => Promise<L>,
  { signal }: LendOptions,
  use: (lent: L) => Promise<T>,
): Promise<T> {
  for (let isFirst = true; ; isFirst = false) {
    const lent = await lend();
    const askedAt = performance.now();
    try {
      return await raceSignal(use(lent), signal);
    } catch (error) {
      const code = pluginErrorCode(error);
      const isLost = code === 'CONNECTION_LOST' || lent.some(({ session }) => session.closed.aborted);
      const isGivenUp = code === 'TIMEOUT' || signal.aborted;
      if (isLost || (isGivenUp && performance.now() - askedAt > SILENCE_MS)) for (const each of lent) each.discard();
      const isRefused = [error, ...lent.map(({ session }) => session.closed.reason)].some(isLoginRefused);
      if (!isLost || isRefused || !isFirst || signal.aborted || !lent.some(({ isKept }) => isKept)) throw error;
    } finally {
      for (const each of lent) await each.giveBack();
    }
  }
}
