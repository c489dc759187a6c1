/** A part of the tunnel benchmark beside the throughput: a question of its own, with a method and columns of its own. */
import type { Lab } from '../../lab/src/index.ts';
import type { Contender } from '../contenders/contender.ts';
import type { Column, Sample } from '../report/sample.ts';
import type { Cell } from './throughput/measurement.ts';

export interface Part {
  readonly name: string;
  readonly title: string;
  /** How it is measured, for the results and the docs. */
  readonly method: string;
  /** By the name of the value in the samples. */
  readonly columns: Readonly<Record<string, Column>>;
  /** Measures everything once. `quick`: what matters most, in less than a minute. */
  measure(lab: Lab, options: PartOptions): AsyncIterable<Sample>;
}

export interface PartOptions {
  readonly quick: boolean;
  /** Only these, where the part has cells and contenders to choose from. */
  readonly cells?: readonly Cell[] | undefined;
  readonly contenders?: readonly Contender[] | undefined;
  readonly signal: AbortSignal;
}

export const megabits: Column['text'] = (bitsPerSec) => (bitsPerSec / 1e6).toFixed(bitsPerSec < 1e8 ? 1 : 0);
export const percent: Column['text'] = (share) => `${(share * 100).toFixed(1)} %`;
export const milliseconds: Column['text'] = (ms) => ms.toFixed(1);
export const megabytes: Column['text'] = (bytes) => (bytes / 1e6).toFixed(1);
