/** What `npm run faults` can play. A suite owns all that it makes, and takes it down whatever happens. */

export interface SuiteOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Aborted: the round under way is finished, and no other begun. */
  readonly signal: AbortSignal;
  /** Each round as it ends: a line for people, and what belongs into the JSON. */
  readonly onRound: (line: string, round: object) => void;
}

export interface Suite {
  /** For the help: what fails, and what has to hold. */
  readonly about: string;
  /** @throws when a promise was broken */
  play(options: SuiteOptions): Promise<void>;
}

/** `  12 s` in a column. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(0)} s`.padStart(5);
}
