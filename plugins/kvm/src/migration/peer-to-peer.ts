/**
 * Peer-to-peer mode: one call, and the source's own daemon drives the destination's, over a control connection that it
 * opens itself. It goes on when we die. Both daemons get the same parameters, so the gateway beside the source has to
 * listen at the very ports at which the destination does.
 */
import { type Flow, PluginError } from '@lmas/plugin-api';
import { toPluginError } from '../errors.ts';
import { MIGRATE } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
import type { TypedParam } from '../rpc/typed-params.ts';
import type { RunPhase, RunSettings } from './direct.ts';
import { bracket, type HostPort, tcpUri } from './parameters.ts';
import { leasePorts, releasePorts } from './ports.ts';
import { pause } from './progress.ts';

const DEFAULT_PORT = { 'qemu+tcp': 16_509, 'qemu+tls': 16_514, 'qemu+ssh': 22 } as const;
const ABORT_INTERVAL_MS = 500;

export interface PeerToPeerRoutes {
  readonly memory: HostPort;
  readonly disks: HostPort | undefined;
  readonly control: HostPort | undefined;
}

export class PeerToPeerRun {
  phase: RunPhase = 'prepared';
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
    const flows: Flow[] = [
      { id: 'control', host, port: controlPort, maxStreams: 2, priority: 'interactive' },
      { id: 'memory', host, port: memory, maxStreams: streams.memory, priority: 'bulk' },
    ];
    if (disks !== undefined)
      flows.push({ id: 'disks', host, port: disks, maxStreams: streams.disks, priority: 'bulk' });
    return { run: new PeerToPeerRun(settings, ports), flows };
  }

  get domain(): Domain {
    return this.#settings.domain;
  }

  /**
   * One call from beginning to end. Resolves when the guest runs at the destination, also when `signal` aborted too late.
   * @throws PluginError ABORTED, STREAM_FAILED, CONNECTION_LOST (it may go on: follow it, then locate) …
   */
  async perform(routes: PeerToPeerRoutes, { signal }: { signal: AbortSignal }): Promise<void> {
    const { source, domain, flags, assertCurrent } = this.#settings;
    const params = this.#params(routes);
    const destinationUri = this.#uri(routes.control);
    const client = await source.openClient({ signal });
    const over = new AbortController();
    const onAbort = (): void => void this.#abortJob(over.signal);
    try {
      await assertCurrent();
      this.phase = 'performing';
      const call = client.call(
        'domainMigratePerform3Params',
        { domain, destinationUri, params, cookie: Buffer.alloc(0), flags: flags | MIGRATE.peerToPeer },
        { signal: new AbortController().signal },
      );
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      await call;
      this.phase = 'finished';
    } catch (error) {
      this.phase = 'perform-failed';
      if (signal.aborted) throw new PluginError('ABORTED', 'The migration was stopped.', { cause: error });
      throw toPluginError(error, 'migrating peer to peer', { flowing: true });
    } finally {
      over.abort();
      signal.removeEventListener('abort', onAbort);
      client.close();
    }
  }

  /** Idempotent. */
  close(): void {
    releasePorts(this.#settings.destination, this.#ports);
  }

  #params({ memory, disks }: PeerToPeerRoutes): TypedParam[] {
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
      ...this.#settings.common,
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
        const client = await this.#settings.source.query({ signal: over });
        await client.call('domainAbortJob', { domain: this.#settings.domain }, { signal: over });
      } catch {
        // No job yet, or no more: the end of the call tells. A lost session ends the call as well.
        if (this.#settings.source.closed.aborted) return;
      }
      await pause(ABORT_INTERVAL_MS, over);
    }
  }
}
