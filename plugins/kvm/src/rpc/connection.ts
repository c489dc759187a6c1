/**
 * One RPC connection to a libvirt daemon over any byte stream. Replies may come in any order and are matched by serial.
 * Invariant: a call ends in exactly one of three ways: the daemon's result, the daemon's fault (`LibvirtFault`), or
 * CONNECTION_LOST, which says nothing about its effect. Owns the stream.
 *
 * A daemon serves five calls of one connection at a time and then stops reading, keep-alive included; we keep below
 * that, and let further calls wait here.
 */
import type { Duplex } from 'node:stream';
import { PluginError } from '@lmas/plugin-api';
import { LibvirtFault } from '../errors.ts';
import {
  encodePacket,
  KEEPALIVE,
  keepalivePacket,
  PACKET_TYPE,
  type Packet,
  PacketDecoder,
  PROGRAM,
  remoteError,
  STATUS,
} from './packets.ts';
import {
  type ArgsOf,
  EVENTS,
  type EventBody,
  type EventName,
  PROCEDURES,
  type Procedure,
  type ProcedureName,
  type ResultOf,
} from './procedures.ts';
import { decode, encode } from './xdr.ts';

const MAX_CALLS = 4;
const PING_INTERVAL_MS = 5_000;
/** As libvirt's own default: dead after five pings without any answer. */
const MAX_SILENT_PINGS = 4;

interface Waiting {
  readonly procedure: number;
  settle(packet: Packet): void;
  fail(error: PluginError): void;
}

export class RpcConnection {
  /** Aborts when the connection is gone, with the PluginError as its reason. */
  readonly closed: AbortSignal;
  readonly #closed = new AbortController();
  readonly #stream: Duplex;
  readonly #peer: string;
  readonly #decoder = new PacketDecoder();
  readonly #waiting = new Map<number, Waiting>();
  /** Wake those who wait for a slot, the first to come first. */
  readonly #queue = new Set<() => void>();
  readonly #listeners = new Map<number, Set<(payload: Buffer) => void>>();
  #serial = 0;
  /** Calls that the daemon has not answered, those included that nobody waits for any more. */
  #active = 0;
  #silentPings = 0;
  #pinger: NodeJS.Timeout | undefined;

  /** @param peer for messages */
  constructor(stream: Duplex, peer: string) {
    this.#stream = stream;
    this.#peer = peer;
    this.closed = this.#closed.signal;
    stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    stream.on('error', (error) => this.#lose('broke', error));
    stream.on('end', () => this.#lose('was closed by the daemon'));
    stream.on('close', () => this.#lose('was closed'));
  }

  /**
   * Calls a procedure. Aborting `signal` stops the waiting, not the procedure.
   * @throws LibvirtFault, PluginError CONNECTION_LOST, ABORTED
   */
  async call<N extends ProcedureName>(
    name: N,
    args: ArgsOf<N>,
    { signal }: { signal: AbortSignal },
  ): Promise<ResultOf<N>> {
    const procedure = PROCEDURES[name] as unknown as Procedure<ArgsOf<N>, ResultOf<N>>;
    const payload = encode(procedure.args, args);
    await this.#slot(signal);
    const { promise, resolve, reject } = Promise.withResolvers<ResultOf<N>>();
    this.#serial = (this.#serial % 0x7fff_ffff) + 1;
    const serial = this.#serial;
    const onAbort = (): void => reject(givenUp(name, signal));
    signal.addEventListener('abort', onAbort, { once: true });
    const done = (): void => signal.removeEventListener('abort', onAbort);
    this.#waiting.set(serial, {
      procedure: procedure.number,
      settle: (packet) => {
        done();
        if (packet.status === STATUS.error) {
          const { code, domain, message } = decode(remoteError, packet.payload);
          reject(new LibvirtFault(code, domain, message ?? 'no message'));
        } else {
          resolve(decode(procedure.result, packet.payload));
        }
      },
      fail: (error) => {
        done();
        reject(error);
      },
    });
    const { remote: program } = PROGRAM;
    const header = { program, procedure: procedure.number, type: PACKET_TYPE.call, serial, status: STATUS.ok };
    this.#stream.write(encodePacket({ ...header, payload }));
    return promise;
  }

  /** Calls `listener` for each event of a kind that was registered with the daemon. Returns how to stop. */
  on<N extends EventName>(name: N, listener: (body: EventBody<N>) => void): () => void {
    const { number, body } = EVENTS[name];
    const receive = (payload: Buffer): void => listener(decode(body as never, payload) as EventBody<N>);
    const listeners = this.#listeners.get(number) ?? new Set();
    this.#listeners.set(number, listeners.add(receive));
    return () => listeners.delete(receive);
  }

  /** Pings a silent daemon; only after it was asked whether it knows keep-alive. */
  startKeepalive(): void {
    this.#pinger ??= setInterval(() => {
      this.#silentPings += 1;
      if (this.#silentPings > MAX_SILENT_PINGS) this.#lose('fell silent');
      else this.#stream.write(keepalivePacket(KEEPALIVE.ping));
    }, PING_INTERVAL_MS).unref();
  }

  /** Ends the connection; what it owned at the daemon (an incoming guest, a job) ends with it. Idempotent. */
  close(): void {
    this.#lose('was closed by us');
  }

  async #slot(signal: AbortSignal): Promise<void> {
    while (this.#active >= MAX_CALLS && !this.closed.aborted && !signal.aborted) await this.#turn(signal);
    if (this.closed.aborted) throw this.closed.reason;
    if (signal.aborted) {
      this.#wakeNext(); // it may have been woken and given up at the same instant
      throw givenUp('a call', signal);
    }
    this.#active += 1;
  }

  /** Resolves when there may be a free slot, or when `signal` aborts; who has given up stands in nobody's way. */
  async #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = (): void => resolve();
    this.#queue.add(wake);
    signal.addEventListener('abort', wake, { once: true });
    await promise;
    signal.removeEventListener('abort', wake);
    this.#queue.delete(wake);
  }

  #wakeNext(): void {
    const [wake] = this.#queue;
    if (wake === undefined || this.#active >= MAX_CALLS) return;
    this.#queue.delete(wake);
    wake();
  }

  #receive(chunk: Buffer): void {
    this.#silentPings = 0;
    try {
      for (const packet of this.#decoder.push(chunk)) this.#dispatch(packet);
    } catch (error) {
      this.#lose('spoke nonsense', error);
    }
  }

  #dispatch(packet: Packet): void {
    if (packet.program === PROGRAM.keepalive) {
      if (packet.procedure === KEEPALIVE.ping) this.#stream.write(keepalivePacket(KEEPALIVE.pong));
    } else if (packet.type === PACKET_TYPE.message) {
      for (const listener of this.#listeners.get(packet.procedure) ?? []) listener(packet.payload);
    } else if (packet.type === PACKET_TYPE.reply) {
      const waiting = this.#waiting.get(packet.serial);
      if (waiting === undefined || waiting.procedure !== packet.procedure) return;
      this.#waiting.delete(packet.serial);
      this.#active -= 1;
      this.#wakeNext();
      waiting.settle(packet);
    }
  }

  #lose(how: string, cause?: unknown): void {
    if (this.closed.aborted) return;
    const error = new PluginError('CONNECTION_LOST', `The libvirt connection to ${this.#peer} ${how}.`, { cause });
    clearInterval(this.#pinger);
    this.#closed.abort(error);
    this.#stream.destroy();
    for (const waiting of this.#waiting.values()) waiting.fail(error);
    this.#waiting.clear();
    for (const wake of this.#queue) wake();
    this.#queue.clear();
  }
}

function givenUp(what: string, signal: AbortSignal): PluginError {
  const late = signal.reason instanceof Error && signal.reason.name === 'TimeoutError';
  return new PluginError(late ? 'TIMEOUT' : 'ABORTED', `Stopped waiting for ${what}.`, { cause: signal.reason });
}
