/**
 * Which connections belong to which run of which migration. As the contract wants it, a run that connects to a host ends
 * what earlier runs of the same migration have open there, and is refused when a later one is there.
 */
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import { WorldError } from './errors.ts';

const identitySchema = z.object({ run: z.object({ migrationId: z.string(), token: z.number() }).optional() });

interface Entry {
  readonly host: string;
  readonly migrationId: string;
  readonly token: number;
}

export class Runs {
  readonly #open = new Map<Duplex, Entry>();
  #displaced = 0;

  /** @param args of a login. @throws WorldError SUPERSEDED */
  enter(stream: Duplex, host: string, args: unknown): void {
    const { run } = identitySchema.parse(args);
    if (run === undefined) return;
    const before = [...this.#open].filter(([, one]) => one.host === host && one.migrationId === run.migrationId);
    if (before.some(([, { token }]) => token > run.token)) {
      throw new WorldError('SUPERSEDED', `A later run of ${run.migrationId} is connected to ${host}.`);
    }
    const earlier = before.filter(([, { token }]) => token < run.token);
    for (const [old] of earlier) old.destroy();
    this.#displaced += earlier.length;
    this.#open.set(stream, { host, ...run });
    stream.once('close', () => this.#open.delete(stream));
  }

  /** How many connections were ended for a later run. */
  get displaced(): number {
    return this.#displaced;
  }

  /** Of the runs of a migration that are connected now, one for each connection. */
  tokensOf(migrationId: string): number[] {
    return [...this.#open.values()].flatMap((one) => (one.migrationId === migrationId ? [one.token] : []));
  }
}
