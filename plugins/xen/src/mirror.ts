/**
 * The pool as its events tell it: the first look fetches everything, every later one of the same login only what changed since, so a
 * look is always current and mostly small. Events can be lost, to a tool stack that was restarted or by XAPI itself, which tells how many objects of
 * each class there are: when that does not agree, everything is fetched anew.
 *
 * Invariant: a token is used only with the login that it was given to; after any other nobody knows what it stands for. One look
 * at a time; who gives up while another one looks waits no longer.
 */
import { PluginError } from '@lmas/plugin-api';
import type { z } from 'zod';
import { unlessAborted, type XapiClient } from './client.ts';
import { isFault } from './errors.ts';
import { GUESTS_SHAPES, type Guests, POOL_SHAPES, type Pool, poolOf, type Tables } from './pool.ts';
import { changesSchema } from './records.ts';

interface Options {
  readonly signal: AbortSignal;
}

type Changes = z.infer<typeof changesSchema>;

/** By the name of the class in events. */
const SHAPES: ReadonlyMap<string, z.ZodType> = new Map(
  Object.values({ ...POOL_SHAPES, ...GUESTS_SHAPES }).map(({ kind, shape }) => [kind.toLowerCase(), shape]),
);
/** Answers what there is at once, and waits for nothing. */
const NO_WAIT_S = 0.0;

export class Mirror {
  readonly #client: XapiClient;
  /** By class. */
  readonly #rows = new Map<string, Map<string, unknown>>();
  #token = '';
  #login: object | undefined;
  #looking: Promise<unknown> = Promise.resolve();

  constructor(client: XapiClient) {
    this.#client = client;
  }

  /** Catches up with the pool. */
  async look(options: Options): Promise<{ pool: Pool; guests: Guests }> {
    const looking = this.#looking.then(async () => {
      await this.#look(options);
      // Before the next look begins, which may have to forget all of it.
      const pool = poolOf(this.#client, this.#tables(POOL_SHAPES));
      return { pool, guests: this.#tables(GUESTS_SHAPES) };
    });
    this.#looking = looking.catch(() => undefined);
    return await unlessAborted(looking, options.signal);
  }

  async #look(options: Options): Promise<void> {
    const isUsable = this.#token !== '' && this.#login === this.#client.login;
    if (isUsable && (await this.#catchUp(options))) return;
    this.#forget();
    // Of what goes while everything is fetched the pool may tell wrong counts: there is nothing better to be had.
    await this.#catchUp(options);
  }

  /** False when the pool does not know any more what has changed, or has told not all of it. */
  async #catchUp(options: Options): Promise<boolean> {
    const before = this.#token === '' ? undefined : this.#login;
    const changes = await this.#ask(options);
    if (changes === undefined || (before !== undefined && this.#client.login !== before)) return false;
    this.#login = this.#client.login;
    try {
      return this.#apply(changes);
    } catch (error) {
      this.#forget(); // what was applied in part is worth nothing
      throw error;
    }
  }

  /** `undefined` when the token stands for nothing any more. After any other failure it stands for what it did before. */
  async #ask(options: Options): Promise<Changes | undefined> {
    try {
      const params = [[...SHAPES.keys()], this.#token, NO_WAIT_S];
      return await this.#client.call('event.from', params, changesSchema, options);
    } catch (error) {
      if (isFault(error, 'EVENTS_LOST', 'EVENT_FROM_TOKEN_PARSE_FAILURE')) return undefined;
      throw error;
    }
  }

  #apply({ events, token, valid_ref_counts: counts }: Changes): boolean {
    let whole = true;
    for (const { class: kind, ref, operation, snapshot } of events) {
      const shape = SHAPES.get(kind);
      if (shape === undefined) continue;
      if (operation === 'del') this.#table(kind).delete(ref);
      else if (snapshot === undefined) whole = false;
      else this.#table(kind).set(ref, parse(shape, snapshot, `${kind} ${ref}`));
    }
    this.#token = token;
    const agrees = (kind: string): boolean => counts[kind] === undefined || counts[kind] === this.#table(kind).size;
    return whole && [...SHAPES.keys()].every(agrees);
  }

  /** A copy: what is answered now does not change under whoever reads it. */
  #tables<S extends typeof POOL_SHAPES | typeof GUESTS_SHAPES>(shapes: S): Tables<S> {
    const rows = Object.entries(shapes).map(([name, { kind }]) => [name, new Map(this.#table(kind.toLowerCase()))]);
    return Object.fromEntries(rows) as Tables<S>;
  }

  #table(kind: string): Map<string, unknown> {
    const table = this.#rows.get(kind) ?? new Map<string, unknown>();
    this.#rows.set(kind, table);
    return table;
  }

  #forget(): void {
    this.#token = '';
    this.#login = undefined;
    this.#rows.clear();
  }
}

function parse(shape: z.ZodType, snapshot: unknown, what: string): unknown {
  const parsed = shape.safeParse(snapshot);
  if (parsed.success) return parsed.data;
  throw new PluginError('HYPERVISOR_FAULT', `${what} has an unknown shape: ${parsed.error.message}`);
}
