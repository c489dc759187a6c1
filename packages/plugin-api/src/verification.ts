/**
 * Whether an endpoint is what its plugin takes it for. A plugin is tried against stand-ins; what only the real thing can
 * show (versions, rights, addresses, licences, shapes of answers) an operator has it look at, step by step, before the
 * first migration. Invariant: nothing is changed there, and no VM notices.
 */
import { pluginErrorCode } from './errors.ts';

export const VERIFICATION_OUTCOMES = [
  'ok',
  /** A migration that needs this will not work. */
  'failed',
  /** Not looked at: it does not apply here, or rests on a step that failed. */
  'skipped',
] as const;
export type VerificationOutcome = (typeof VERIFICATION_OUTCOMES)[number];

export interface VerificationStep {
  /** Stable, lower case, unique within a verification: `migration-network`. */
  readonly name: string;
  readonly outcome: VerificationOutcome;
  /** What was seen, with the hypervisor's own names and numbers; of a skipped step, why. */
  readonly seen: string;
  /** What to do about it; `null` where nothing is to be done. */
  readonly remedy: string | null;
}

/** One step before it is taken. */
export interface VerificationQuestion {
  readonly name: string;
  /** Earlier steps that have to be `ok`, or there is no point in asking. */
  readonly needs?: readonly string[];
  /** Answers what was seen, where all is well; an outcome else. What it throws is a failure, with its remedy. */
  ask(options: { signal: AbortSignal }): Promise<string | Omit<VerificationStep, 'name'>>;
}

/**
 * Asks one after the other, and tells each step as soon as it is known. Never throws: when `signal` aborts, the step that
 * it was at has failed and is the last one.
 */
export async function* verifyInOrder(
  questions: readonly VerificationQuestion[],
  { signal }: { signal: AbortSignal },
): AsyncGenerator<VerificationStep, void, undefined> {
  const well = new Set<string>();
  for (const question of questions) {
    const missing = (question.needs ?? []).filter((need) => !well.has(need));
    const step: VerificationStep =
      missing.length === 0
        ? await takeStep(question, { signal })
        : { name: question.name, outcome: 'skipped', seen: `It rests on ${missing.join(', ')}.`, remedy: null };
    if (step.outcome === 'ok') well.add(step.name);
    yield step;
    if (signal.aborted) return;
  }
}

async function takeStep(
  { name, ask }: VerificationQuestion,
  { signal }: { signal: AbortSignal },
): Promise<VerificationStep> {
  try {
    const answer = await ask({ signal });
    return typeof answer === 'string' ? { name, outcome: 'ok', seen: answer, remedy: null } : { name, ...answer };
  } catch (error) {
    if (signal.aborted) return { name, outcome: 'failed', seen: 'No answer came in time.', remedy: null };
    return { name, outcome: 'failed', seen: textOf(error), remedy: remedyOf(error) };
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Of an error that may come from another copy of this package. */
function remedyOf(error: unknown): string | null {
  if (pluginErrorCode(error) === undefined) return null;
  const { remedy } = error as { remedy?: unknown };
  return typeof remedy === 'string' ? remedy : null;
}
