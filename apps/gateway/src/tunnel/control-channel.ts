/**
 * The control channel: messages inside one mutual-TLS connection. First the handshake that proves the session's secret and moves
 * both ends to the next one, then pings, probes and goodbyes. It owns its TLS socket.
 *
 *   acceptor: HELLO ─▶          ◀─ HELLO, PROOF          PROOF ─▶          ◀─ READY
 *
 * Nothing is sent by the connector before the acceptor's HELLO: only that shows that the acceptor took its certificate.
 */
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Suite } from '@lmas/gateway-api';
import { asGatewayError, type ErrorCode, errorTable, GatewayError } from '../errors.ts';
import { PROTOCOL_VERSION } from '../protocol/frame.ts';
import {
  ControlDecoder,
  ControlType,
  decodeBye,
  decodeHello,
  encodeBye,
  encodeControl,
  encodeHello,
  type Hello,
  NONCE_BYTES,
  suiteNumbers,
} from '../protocol/handshake.ts';
import { macsEqual, nextSecret, proof, type Role, type SecretChain } from '../security/keys.ts';
import { HANDSHAKE_TIMEOUT_MS } from './handshake-io.ts';

/** Messages are few and small: a peer that sends and does not read is no peer. */
const mostWaitingBytes = 64 << 10;

export interface ControlMessage {
  type: number;
  body: Buffer;
}

export interface LocalHello {
  suite: Suite;
  sessionId: Buffer;
  instanceId: Buffer;
  windowBytes: number;
}

export class ControlChannel {
  readonly #socket: Duplex;
  readonly #decoder = new ControlDecoder();
  readonly #inbox: ControlMessage[] = [];
  #waiting: { resolve: (message: ControlMessage) => void; reject: (error: GatewayError) => void } | null = null;
  #onMessage: ((message: ControlMessage) => void) | null = null;
  #onClosed: ((error: GatewayError) => void) | null = null;
  #error: GatewayError | null = null;
  lastReceivedAtMs = performance.now();

  constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#data(chunk));
    socket.on('error', (error) => this.close(asGatewayError(error, 'CONTROL_LOST')));
    socket.on('end', () => this.close(this.#ended()));
    socket.on('close', () => this.close(this.#ended()));
  }

  get isOpen(): boolean {
    return this.#error === null;
  }

  send(type: number, body: Buffer): void {
    if (this.#error !== null) return;
    this.#socket.write(encodeControl(type, body));
    if (this.#socket.writableLength > mostWaitingBytes)
      this.close(new GatewayError('CONTROL_LOST', '(nobody reads it)'));
  }

  /** Says why, then closes. */
  bye(error: GatewayError): void {
    if (this.#error !== null) return;
    this.#socket.end(encodeControl(ControlType.BYE, encodeBye(error.code, error.message)));
    this.#fail(error);
    setTimeout(() => this.#socket.destroy(), 1_000).unref();
  }

  /** With TLS 1.3 whoever dials learns nothing more of a certificate that the other end does not know. */
  #ended(): GatewayError {
    if (this.#onMessage !== null) return new GatewayError('CONTROL_LOST');
    return new GatewayError(
      'CONTROL_LOST',
      "(before it was established; the peer's log says why, as when it does not know our certificate)",
    );
  }

  close(error: GatewayError): void {
    if (this.#error !== null) return;
    this.#socket.destroy();
    this.#fail(error);
  }

  /** From now on messages are events; `onClosed` comes once. */
  listen(onMessage: (message: ControlMessage) => void, onClosed: (error: GatewayError) => void): void {
    this.#onMessage = onMessage;
    this.#onClosed = onClosed;
    for (const message of this.#inbox.splice(0)) onMessage(message);
    if (this.#error !== null) onClosed(this.#error);
  }

  /** The handshake; resolves with the peer's HELLO when both ends hold the next secret. On failure the channel is closed. */
  async handshake(role: Role, local: LocalHello, chain: SecretChain, exporter: Buffer): Promise<Hello> {
    const timer = setTimeout(() => this.close(new GatewayError('HANDSHAKE_TIMEOUT')), HANDSHAKE_TIMEOUT_MS);
    try {
      return role === 'acceptor'
        ? await this.#accept(local, chain, exporter)
        : await this.#connect(local, chain, exporter);
    } catch (error) {
      const reason = asGatewayError(error, 'INTERNAL');
      this.bye(reason);
      throw reason;
    } finally {
      clearTimeout(timer);
      exporter.fill(0);
    }
  }

  async #accept(local: LocalHello, chain: SecretChain, exporter: Buffer): Promise<Hello> {
    const ours = this.#hello(local, chain);
    this.send(ControlType.HELLO, ours);
    const theirs = await this.#expect(ControlType.HELLO);
    const hello = checkHello(theirs, local);
    const epoch = agreedEpoch(chain, hello, 'acceptor');
    const previous = chain.get(epoch) ?? null;
    const answer = await this.#expect(ControlType.PROOF);
    if (previous !== null && chain.get(epoch) !== previous) throw superseded();
    if (!macsEqual(answer, proof(previous, exporter, 'connector', ours, theirs)))
      throw new GatewayError('PROOF_INVALID');
    const mine = proof(previous, exporter, 'acceptor', ours, theirs);
    const secret = nextSecret(previous, exporter, local.sessionId);
    // The peer may have given this attempt up and made another, of which we have heard more.
    if (!chain.propose(epoch, previous, secret)) throw superseded();
    this.send(ControlType.PROOF, mine);
    await this.#expect(ControlType.READY);
    if (!chain.confirm(secret)) throw superseded();
    return hello;
  }

  async #connect(local: LocalHello, chain: SecretChain, exporter: Buffer): Promise<Hello> {
    const theirs = await this.#expect(ControlType.HELLO);
    const hello = checkHello(theirs, local);
    const ours = this.#hello(local, chain);
    this.send(ControlType.HELLO, ours);
    // An acceptor that was started again says SESSION_UNKNOWN itself; ours tells it that there was a session.
    if (hello.epoch === 0 && chain.epoch > 0) await this.#expect(ControlType.BYE);
    const epoch = agreedEpoch(chain, hello, 'connector');
    const previous = chain.get(epoch) ?? null;
    this.send(ControlType.PROOF, proof(previous, exporter, 'connector', theirs, ours));
    const answer = await this.#expect(ControlType.PROOF);
    if (!macsEqual(answer, proof(previous, exporter, 'acceptor', theirs, ours)))
      throw new GatewayError('PROOF_INVALID');
    const secret = nextSecret(previous, exporter, local.sessionId);
    // The acceptor sent its proof after it had made the secret: both hold it.
    if (!chain.propose(epoch, previous, secret) || !chain.confirm(secret)) throw superseded();
    this.send(ControlType.READY, Buffer.alloc(0));
    return hello;
  }

  #hello(local: LocalHello, chain: SecretChain): Buffer {
    return encodeHello({
      version: PROTOCOL_VERSION,
      suite: suiteNumbers[local.suite],
      sessionId: local.sessionId,
      instanceId: local.instanceId,
      epoch: chain.epoch,
      windowBytes: local.windowBytes,
      nonce: randomBytes(NONCE_BYTES),
    });
  }

  async #expect(type: number): Promise<Buffer> {
    const message = await this.#next();
    if (message.type === ControlType.BYE) throw byeError(message.body);
    if (message.type !== type) throw new GatewayError('HELLO_INVALID');
    return message.body;
  }

  #next(): Promise<ControlMessage> {
    const message = this.#inbox.shift();
    if (message !== undefined) return Promise.resolve(message);
    if (this.#error !== null) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #data(chunk: Buffer): void {
    this.lastReceivedAtMs = performance.now();
    const messages = this.#decoder.push(chunk);
    if (messages === null || this.#inbox.length > 64) {
      this.close(new GatewayError('HELLO_INVALID', '(message length)'));
      return;
    }
    for (const message of messages) this.#dispatch(message);
  }

  #dispatch(message: ControlMessage): void {
    if (this.#onMessage !== null) {
      this.#onMessage(message);
      return;
    }
    const waiting = this.#waiting;
    if (waiting === null) this.#inbox.push(message);
    else {
      this.#waiting = null;
      waiting.resolve(message);
    }
  }

  #fail(error: GatewayError): void {
    this.#error = error;
    this.#waiting?.reject(error);
    this.#waiting = null;
    this.#onClosed?.(error);
  }
}

function superseded(): GatewayError {
  return new GatewayError('CONTROL_LOST', '(another handshake took its place)');
}

/** What the peer said when it left, as one of our errors. */
export function byeError(body: Buffer): GatewayError {
  const { code, text } = decodeBye(body);
  const known = Object.hasOwn(errorTable, code) ? (code as ErrorCode) : 'PEER_CLOSED';
  return new GatewayError(known, `(said by the peer: ${text})`);
}

function checkHello(body: Buffer, local: LocalHello): Hello {
  const hello = decodeHello(body);
  if (hello === null) throw new GatewayError('HELLO_INVALID');
  if (hello.version !== PROTOCOL_VERSION) throw new GatewayError('VERSION_UNSUPPORTED');
  if (!hello.sessionId.equals(local.sessionId)) throw new GatewayError('SESSION_MISMATCH');
  if (hello.suite !== suiteNumbers[local.suite]) throw new GatewayError('SUITE_MISMATCH');
  return hello;
}

/**
 * The newest secret that both hold. Throws SESSION_UNKNOWN when one end has lost the session. An acceptor makes each secret before
 * the connector does, so that one which holds none while the connector does was started again.
 */
function agreedEpoch(chain: SecretChain, peer: Hello, role: Role): number {
  const epoch = Math.min(chain.epoch, peer.epoch);
  const lost = role === 'acceptor' && chain.epoch === 0 && peer.epoch > 0;
  if (lost || Math.abs(chain.epoch - peer.epoch) > 1 || !chain.knows(epoch)) {
    // Named by its role: the peer is told the same words.
    const isOurs = chain.epoch < peer.epoch;
    throw new GatewayError(
      'SESSION_UNKNOWN',
      isOurs === (role === 'acceptor') ? '(the listening one)' : '(the dialling one)',
    );
  }
  return epoch;
}
