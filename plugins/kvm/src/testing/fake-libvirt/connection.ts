/**
 * A connection to a scripted daemon: decodes calls, does what the script of the next call says, answers. It owns its stream; when
 * that is lost, the host does what libvirt does then.
 */
import type { Duplex } from 'node:stream';
import { ERROR } from '../../rpc/constants.ts';
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
} from '../../rpc/packets.ts';
import { PROCEDURES, type Procedure, type ProcedureName } from '../../rpc/procedures.ts';
import { decode, encode } from '../../rpc/xdr.ts';
import type { FakeHost } from './host.ts';
import { Refusal } from './refusal.ts';

/** What to do with the next call of a procedure. */
export type Script =
  /** Run `before`, then the procedure. */
  | { readonly do: 'hold'; readonly before: (connection: FakeConnection) => Promise<void> | void }
  /** No effect, an error. */
  | { readonly do: 'refuse'; readonly number: number }
  /** The connection breaks before the procedure has any effect. */
  | { readonly do: 'cut-before' }
  /** The procedure has its effect, and the connection breaks before its reply. */
  | { readonly do: 'cut-after' }
  /** The effect, and an error. */
  | { readonly do: 'refuse-after'; readonly number: number }
  /** The effect, then this, then the reply if there is still a connection. */
  | { readonly do: 'after'; readonly run: () => Promise<void> | void };

export class FakeConnection {
  readonly host: FakeHost;
  readonly #stream: Duplex;
  readonly #decoder = new PacketDecoder();
  open = true;

  constructor(host: FakeHost, stream: Duplex) {
    this.host = host;
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => {
      for (const packet of this.#decoder.push(chunk)) void this.#serve(packet);
    });
    stream.on('close', () => this.cut());
    stream.on('error', () => this.cut());
    stream.on('end', () => this.cut());
  }

  /** Breaks the connection, and does what libvirt does then. Idempotent. */
  cut(): void {
    if (!this.open) return;
    this.open = false;
    this.#stream.destroy();
    this.host.connectionLost(this);
  }

  async #serve(packet: Packet): Promise<void> {
    if (packet.program === PROGRAM.keepalive) {
      if (packet.procedure === KEEPALIVE.ping) this.#send(keepalivePacket(KEEPALIVE.pong));
      return;
    }
    const entry = Object.entries(PROCEDURES).find(([, { number }]) => number === packet.procedure);
    if (entry === undefined) throw new Error(`the fake does not know procedure ${packet.procedure}`);
    const name = entry[0] as ProcedureName;
    const procedure = entry[1] as unknown as Procedure<unknown, unknown>;
    const script = this.host.takeScript(name);
    this.host.calls.push(name);
    const header = {
      program: PROGRAM.remote,
      procedure: packet.procedure,
      type: PACKET_TYPE.reply,
      serial: packet.serial,
    };
    try {
      if (script?.do === 'hold') await script.before(this);
      if (script?.do === 'cut-before') return this.cut();
      if (script?.do === 'refuse') throw new Refusal(script.number, 'refused by script');
      const args = decode(procedure.args, packet.payload);
      this.host.args.set(name, args);
      const result = await this.host.handle(name, args, this);
      if (script?.do === 'cut-after') return this.cut();
      if (script?.do === 'after') await script.run();
      if (script?.do === 'refuse-after') throw new Refusal(script.number, 'refused by script, after the effect');
      this.#send(encodePacket({ ...header, status: STATUS.ok, payload: encode(procedure.result, result) }));
    } catch (error) {
      const { number = ERROR.INTERNAL_ERROR, message } = error as Refusal;
      const nulls = { about: null, str1: null, str2: null, str3: null, network: null };
      const fault = { code: number, domain: 10, message, level: 2, int1: 0, int2: 0, ...nulls };
      this.#send(encodePacket({ ...header, status: STATUS.error, payload: encode(remoteError, fault) }));
    }
  }

  #send(bytes: Buffer): void {
    if (this.open) this.#stream.write(bytes);
  }
}
