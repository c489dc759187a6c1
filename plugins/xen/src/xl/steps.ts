/**
 * The single steps of a migration with xl: each looks, or changes one thing at one host. The fencing token is checked before
 * every change, here and nowhere else. What they are good for, and when, is known to driver.ts and sighting.ts.
 */
import { type MigrationContext, type MigrationRequest, PluginError } from '@lmas/plugin-api';
import { z } from 'zod';
import type { Left } from './client.ts';
import type { XlOptions } from './config.ts';
import { plainName } from './guests.ts';
import type { XlSession } from './session.ts';
import { look, type Remedy, type Sightings } from './sighting.ts';

interface Options {
  readonly signal: AbortSignal;
}

export interface Ends {
  readonly source: XlSession;
  readonly destination: XlSession;
}

/** Between `prepare` and `perform` only routes are opened. */
const LISTEN_SECONDS = 600;
const nothing = z.object({});

export class XlSteps {
  readonly #ends: Ends;
  readonly #request: MigrationRequest<XlOptions>;
  readonly #context: MigrationContext;
  readonly #receiverEndsMs: number;

  constructor(
    ends: Ends,
    request: MigrationRequest<XlOptions>,
    context: MigrationContext,
    { receiverEndsMs }: { readonly receiverEndsMs: number },
  ) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
    this.#receiverEndsMs = receiverEndsMs;
  }

  async look(options: Options): Promise<Sightings> {
    const subject = { migrationId: this.#request.migrationId, uuid: this.#request.vm.id };
    const [source, destination] = await Promise.all([
      look(this.#ends.source, subject, options),
      look(this.#ends.destination, subject, options),
    ]);
    return { source, destination };
  }

  /** @returns the port at which the destination listens @throws XlRefusal `busy` while it receives another guest */
  async receive(token: string, options: Options): Promise<number> {
    const { migrationAddress: address, receivePorts } = this.#ends.destination.config;
    const ports = [receivePorts.from, receivePorts.to];
    const job = { address, ports, token, seconds: LISTEN_SECONDS };
    return (await this.#do('destination', 'receive', job, z.object({ port: z.int() }), options)).port;
  }

  async send(
    domid: number,
    route: { readonly host: string; readonly port: number },
    token: string,
    options: Options,
  ): Promise<void> {
    const { migrationAddress: from } = this.#ends.source.config;
    await this.#do('source', 'send', { domid, ...route, from, token }, nothing, options);
  }

  /**
   * Asks the relay at the source to end, which refuses once the guest may have been given away. With `force` it ends all the
   * same, and xl leaves the guest suspended, wherever the handshake was: for connections that have died without a word.
   */
  async cancel(options: Options, { force = false } = {}): Promise<void> {
    await this.#do('source', 'cancel', { force }, nothing, options);
  }

  async apply(remedy: Remedy, options: Options): Promise<void> {
    this.#context.log.info({ remedy }, 'xl has left an open end');
    if (remedy.do === 'stop-receiver') {
      await this.#do('destination', 'stop', { seconds: this.#receiverEndsMs / 1_000 }, nothing, options);
      return;
    }
    const { domid, name } = remedy.domain;
    if (remedy.do === 'discard') await this.#do('destination', 'discard', { domid }, nothing, options);
    else if (remedy.do === 'give-name-back')
      await this.#xl('source', ['rename', String(domid), plainName(name)], options);
    else await this.#xl(remedy.end, [remedy.do, String(domid)], options);
  }

  /** A copy that was left at the destination, perhaps by another migration, whose notes then say so. */
  async discard({ migration, domid }: Left, options: Options): Promise<void> {
    this.#context.log.info({ migration, domid }, 'a copy that never ran is destroyed');
    await this.#do('destination', 'discard', { migration, domid }, nothing, options);
  }

  async destroyAtSource(domid: number, options: Options): Promise<void> {
    await this.#xl('source', ['destroy', String(domid)], options);
  }

  /** Takes away what the migration has left of its own; a copy that never ran keeps its notes until it is gone. */
  async clear(end: keyof Ends, options: Options): Promise<void> {
    await this.#do(end, 'clear', {}, nothing, options);
  }

  /** The source would start a second copy from its configuration the next time it boots. */
  async startsAtBoot(options: Options): Promise<string[]> {
    const { name } = this.#request.vm;
    const { description } = await this.#ends.source.describe({ ...options, name });
    return description.autostart.map((file) => `The source starts ${name} when it boots: remove ${file} there, now.`);
  }

  assertRunsHere({ source }: Sightings): { readonly domid: number } {
    if (source.presence === 'running' && source.domain !== undefined) return source.domain;
    throw new PluginError('NOT_MIGRATABLE', `The guest is ${source.presence} at the source.`);
  }

  async #xl(end: keyof Ends, arguments_: readonly string[], options: Options): Promise<void> {
    await this.#do(end, 'act', { arguments: arguments_ }, nothing, options);
  }

  async #do<T>(end: keyof Ends, verb: string, job: object, shape: z.ZodType<T>, options: Options): Promise<T> {
    await this.#context.assertCurrent();
    const { migrationId: migration, vm } = this.#request;
    return await this.#ends[end].dom0.ask(verb, { migration, uuid: vm.id, ...job }, shape, options);
  }
}
