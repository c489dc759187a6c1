/**
 * The one TCP port of the listening gateway. Every connection is a stranger until its preamble and then its TLS handshake or its
 * subflow join say otherwise; strangers are few, have 5 s, and cost no large buffer. Owns the listening socket and the strangers.
 */
import net from 'node:net';
import type tls from 'node:tls';
import { asGatewayError, GatewayError } from '../errors.ts';
import { boundDescriptor, limitReceiveBuffer } from '../platform/sockets.ts';
import { offersSession } from '../protocol/client-hello.ts';
import { decodePreamble, type Join, PREAMBLE_BYTES } from '../protocol/handshake.ts';
import { resolveListenAddress } from '../proxy/addresses.ts';
import type { Identity } from '../security/certificate.ts';
import { acceptTls, type PeerPin } from '../security/control-tls.ts';
import { HANDSHAKE_TIMEOUT_MS, peekTlsRecord, readExactly } from './handshake-io.ts';
import { type JoinPolicy, joinAsAcceptor, type SubflowKeys } from './join.ts';
import { type Stranger, Strangers } from './strangers.ts';
import { subflowTuning } from './subflow.ts';

export interface AcceptorEvents {
  control(socket: tls.TLSSocket): void;
  subflow(socket: net.Socket, join: Join, keys: SubflowKeys): void;
  refused(error: GatewayError, from: string): void;
}

export interface AcceptorOptions {
  identity: Identity;
  pin: PeerPin;
  join: JoinPolicy;
  events: AcceptorEvents;
  handshakeTimeoutMs?: number;
}

/**
 * Nothing a stranger says is longer; who turns out to be the peer gets his buffers then. But his window has been told by it, and one that is
 * smaller than a segment (64 KiB on loopback) lets the kernel send by its persist timer only, 200 ms and more apart.
 */
const strangersBufferBytes = 128 << 10;

/** A subflow can be told no larger window than the listening socket's buffer allows for, whatever it is given later. */
async function bind(host: string, port: number): Promise<{ fd: number } | { host: string; port: number }> {
  const address = await resolveListenAddress(host);
  const fd = boundDescriptor(address, port, { receiveBufferBytes: subflowTuning.receiveBufferBytes });
  return fd === null ? { host: address, port } : { fd };
}

export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #server: net.Server;
  readonly #strangers = new Strangers();

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
      void this.#meet(socket);
    });
  }

  /** Binds; resolves with the address that was bound. */
  async listen(address: string, port: number): Promise<{ address: string; port: number }> {
    const failed = (cause: unknown) => new GatewayError('LISTEN_FAILED', `(${address}:${port})`, { cause });
    const bound = await bind(address, port).catch((cause: unknown) => {
      throw failed(cause);
    });
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => reject(failed(cause)));
      this.#server.listen({ ...bound, backlog: 128 } as net.ListenOptions, () => {
        const bound = this.#server.address() as net.AddressInfo;
        // No descriptor is left for another connection, or the like: those that are there go on.
        this.#server.on('error', (error) => this.#options.events.refused(asGatewayError(error, 'INTERNAL'), '?'));
        resolve({ address: bound.address, port: bound.port });
      });
    });
  }

  close(): void {
    this.#server.close();
    this.#strangers.destroyAll();
  }

  async #meet(socket: net.Socket): Promise<void> {
    const from = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`;
    socket.on('error', () => undefined); // Shows as the end of the handshake under way.
    const stranger = this.#strangers.add(socket);
    limitReceiveBuffer(socket, strangersBufferBytes);
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), this.#options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS);
    try {
      await this.#authenticate(stranger, deadline.signal);
    } catch (error) {
      socket.destroy();
      const reason = stranger.displaced ? new GatewayError('TOO_MANY_STRANGERS') : asGatewayError(error, 'INTERNAL');
      this.#options.events.refused(reason, from);
    } finally {
      clearTimeout(timer);
      this.#strangers.delete(stranger);
    }
  }

  async #authenticate(stranger: Stranger, signal: AbortSignal): Promise<void> {
    const { socket } = stranger;
    const { identity, pin, join, events } = this.#options;
    const kind = decodePreamble(await readExactly(socket, PREAMBLE_BYTES, { signal }));
    stranger.spoke = true;
    if (kind === null) throw new GatewayError('PREAMBLE_INVALID');
    if (kind === 'version') throw new GatewayError('VERSION_UNSUPPORTED');
    if (kind === 'control') {
      if (offersSession(await peekTlsRecord(socket, { signal }))) throw new GatewayError('TLS_RESUMED');
      events.control(await acceptTls(socket, identity, pin, { signal }));
      return;
    }
    const joined = await joinAsAcceptor(socket, join, { signal });
    events.subflow(socket, joined.join, joined.keys);
  }
}
