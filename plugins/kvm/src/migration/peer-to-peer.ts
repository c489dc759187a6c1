/**
 * Peer-to-peer mode: one call, and the source's own daemon drives the destination's, over a control connection that it
 * opens itself. It goes on when we die. Both daemons get the same parameters, so the gateway beside the source has to
 * listen at the very ports at which the destination does. With post-copy, the switch is made from here, and from then
 * on nothing stops the call any more.
 */
import { type Flow, PluginError, pluginErrorCode } from '@lmas/plugin-api';
import { type LibvirtClient, uuidText } from '../client.ts';
import { toPluginError } from '../errors.ts';
import { MIGRATE } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
import type { TypedParam } from '../rpc/typed-params.ts';
import type { RunPhase, RunSettings } from './direct.ts';
import { bracket, type HostPort, RESUME_FLAGS, resumeParams, tcpUri } from './parameters.ts';
import { leasePorts, releasePorts } from './ports.ts';
import { passesDone, startPostCopy } from './post-copy.ts';
import { pause } from './progress.ts';
import { abortMigration } from './sighting.ts';

const DEFAULT_PORT = { 'qemu+tcp': 16_509, 'qemu+tls': 16_514, 'qemu+ssh': 22 } as const;
const ABORT_INTERVAL_MS = 500;

export interface PeerToPeerRoutes {
  readonly memory: HostPort;
  readonly disks: HostPort | undefined;
  readonly control: HostPort | undefined;
}

/** Beside the streams that flow there may be some that broke and that nobody has closed yet. */
const SPARE_STREAMS = 3;

export class PeerToPeerRun {
  phase: RunPhase = 'prepared';
  /** The source was asked to switch, or is about to be: nothing may be aborted any more. */
  switched = false;
  readonly #settings: RunSettings;
  readonly #ports: readonly number[];

  private constructor(settings: RunSettings, ports: readonly number[]) {
    this.#settings = settings;
    this.#ports = ports;
  }

  /** Nothing is done at the hosts yet: the source prepares the destination itself. @throws PluginError INVALID_CONFIG */
  static prepare(
    settings: RunSettings,
    streams: { readonly memory: number; readonly disks: number },
  ): { run: PeerToPeerRun; flows: Flow[] } {
    const { peerToPeer, migrationAddress: host } = settings.destination.config;
    if (peerToPeer === undefined) {
      throw new PluginError(
        'INVALID_CONFIG',
        'The destination has no peerToPeer setting: how would the source reach it?',
      );
    }
    const ports = leasePorts(settings.destination, settings.copiesDisks ? 2 : 1);
    const [memory = 0, disks] = ports;
    const controlPort = peerToPeer.port ?? DEFAULT_PORT[peerToPeer.uriScheme];
    const postCopy = settings.postCopyAfterPasses !== null;
    const spare = postCopy ? SPARE_STREAMS : 0;
    const outlives = postCopy ? { outlivesOutages: true } : {};
    const flows: Flow[] = [
      { id: 'control', host, port: controlPort, maxStreams: 2 + spare, priority: 'interactive', ...outlives },
      { id: 'memory', host, port: memory, maxStreams: streams.memory + spare, priority: 'bulk', ...outlives },
    ];
    if (disks !== undefined)
      flows.push({ id: 'disks', host, port: disks, maxStreams: streams.disks, priority: 'bulk' });
    return { run: new PeerToPeerRun(settings, ports), flows };
  }

  get domain(): Domain {
    return this.#settings.domain;
  }

  /** A run of which only a recovery is wanted: the ports are those that an earlier process leased. */
  static reattach(settings: RunSettings, flows: readonly Flow[]): PeerToPeerRun {
    const port = (id: string): number[] => flows.filter((flow) => flow.id === id).map((flow) => flow.port);
    const run = new PeerToPeerRun(settings, [...port('memory'), ...port('disks')]);
    run.switched = true;
    return run;
  }

  /**
   * One call from beginning to end. Resolves when the guest runs at the destination, also when `signal` aborted too late.
   * @throws PluginError ABORTED, STREAM_FAILED, CONNECTION_LOST (it may go on: follow it, then locate); what
   * `onPointOfNoReturn` throws, when the migration has been stopped for it. With `switched`, the guest may be in post-copy
   */
  async perform(
    routes: PeerToPeerRoutes,
    { signal, onPointOfNoReturn }: { signal: AbortSignal; onPointOfNoReturn: () => Promise<void> },
  ): Promise<void> {
    const params = this.#params(routes);
    const destinationUri = this.#uri(routes.control);
    const client = await this.#settings.source.openClient({ signal });
    const over = new AbortController();
    const stop = new AbortController();
    const onAbort = (): void => {
      if (!this.switched) stop.abort();
    };
    stop.signal.addEventListener('abort', () => void this.#abortJob(over.signal), { once: true });
    let switching: Promise<unknown> = Promise.resolve();
    try {
      await this.#settings.assertCurrent();
      this.phase = 'performing';
      const call = this.#migrate(client, params, destinationUri, this.#settings.flags);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      // A switch that is refused stops the whole: without it the guest might never get across.
      switching = this.#switch(onPointOfNoReturn, AbortSignal.any([over.signal, stop.signal])).catch(
        (error: unknown) => {
          stop.abort();
          return error;
        },
      );
      await call;
      this.phase = 'finished';
    } catch (error) {
      this.phase = 'perform-failed';
      over.abort();
      const refusal = await switching;
      if (refusal !== undefined) throw refusal;
      if (signal.aborted && !this.switched)
        throw new PluginError('ABORTED', 'The migration was stopped.', { cause: error });
      throw toPluginError(error, 'migrating peer to peer', { flowing: true });
    } finally {
      over.abort();
      await switching;
      signal.removeEventListener('abort', onAbort);
      client.close();
    }
  }

  /**
   * The same migration again, for a post-copy whose streams broke. Resolves when it has come to its end.
   * @throws PluginError when it is refused, or breaks again
   */
  async resume(routes: PeerToPeerRoutes, domain: Domain, { signal }: { signal: AbortSignal }): Promise<void> {
    const params = this.#params(routes, resumeParams(this.#settings.common));
    const destinationUri = this.#uri(routes.control);
    const client = await this.#settings.source.openClient({ signal });
    try {
      await this.#settings.assertCurrent();
      await this.#migrate(client, params, destinationUri, RESUME_FLAGS, domain);
    } catch (error) {
      throw toPluginError(error, 'recovering the post-copy migration', { flowing: true });
    } finally {
      client.close();
    }
  }

  /** Idempotent. */
  close(): void {
    releasePorts(this.#settings.destination, this.#ports);
  }

  #migrate(
    client: LibvirtClient,
    params: readonly TypedParam[],
    destinationUri: string,
    flags: number,
    domain = this.#settings.domain,
  ): Promise<unknown> {
    return client.call(
      'domainMigratePerform3Params',
      { domain, destinationUri, params, cookie: Buffer.alloc(0), flags: flags | MIGRATE.peerToPeer },
      // Nobody's signal: what counts is how the source ends it.
      { signal: new AbortController().signal },
    );
  }

  /** Resolves with nothing once the switch was made, or need not be. */
  async #switch(onPointOfNoReturn: () => Promise<void>, signal: AbortSignal): Promise<undefined> {
    const { source, domain, postCopyAfterPasses, assertCurrent } = this.#settings;
    if (postCopyAfterPasses === null) return;
    if (!(await passesDone(source, domain, postCopyAfterPasses, { signal }))) return;
    await onPointOfNoReturn();
    if (signal.aborted) return;
    this.switched = true;
    try {
      await startPostCopy(source, domain, uuidText(domain.uuid), { signal, assertCurrent });
    } catch (error) {
      // The guest was seen running at the source, or nobody could be asked: libvirt refuses to abort a post-copy.
      this.switched = signal.aborted;
      throw error;
    }
  }

  #params({ memory, disks }: PeerToPeerRoutes, common = this.#settings.common): TypedParam[] {
    const [memoryPort, disksPort] = this.#ports;
    for (const [route, port, name] of [
      [memory, memoryPort, 'memory'],
      [disks, disksPort, 'disks'],
    ] as const) {
      if (port === undefined || route?.port === port) continue;
      throw new PluginError('INVALID_CONFIG', `The route for "${name}" has to be at port ${port}.`, {
        remedy:
          'Peer to peer, libvirt knows one port for both ends: let the gateway listen at that one, or use direct mode.',
      });
    }
    if (disks !== undefined && disks.host !== memory.host) {
      throw new PluginError('INVALID_CONFIG', 'Peer to peer, memory and disks have to go to the same address.');
    }
    const params: TypedParam[] = [
      ...common,
      { field: 'migrate_uri', type: 'string', value: tcpUri(memory) },
      { field: 'listen_address', type: 'string', value: this.#settings.destination.config.migrationAddress },
    ];
    if (disksPort !== undefined) params.push({ field: 'disks_port', type: 'int', value: disksPort });
    return params;
  }

  #uri(control: HostPort | undefined): string {
    const { peerToPeer } = this.#settings.destination.config;
    if (peerToPeer === undefined || control === undefined) {
      throw new PluginError('INVALID_CONFIG', 'There is no route for the flow "control".');
    }
    const user = peerToPeer.username === undefined ? '' : `${peerToPeer.username}@`;
    const query = new URLSearchParams(peerToPeer.parameters).toString();
    const address = `${user}${bracket(control.host)}:${control.port}`;
    return `${peerToPeer.uriScheme}://${address}/system${query === '' ? '' : `?${query}`}`;
  }

  async #abortJob(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      try {
        await this.#settings.assertCurrent();
        const client = await this.#settings.source.query({ signal: over });
        await abortMigration(client, this.#settings.domain, { signal: over });
      } catch (error) {
        // No job yet, or no more: the end of the call tells. A lost session ends the call as well.
        if (this.#settings.source.closed.aborted || pluginErrorCode(error) === 'SUPERSEDED') return;
      }
      await pause(ABORT_INTERVAL_MS, over);
    }
  }
}
