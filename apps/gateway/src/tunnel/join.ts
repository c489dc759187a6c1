/**
 * How a TCP connection becomes a subflow: JOIN, ACCEPT, CONFIRM, all of fixed size, all authenticated under a secret of the session.
 * The acceptor keeps nothing and displaces nothing until the joiner has answered its nonce.
 */
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Suite } from '@lmas/gateway-api';
import { GatewayError } from '../errors.ts';
import { PROTOCOL_VERSION } from '../protocol/frame.ts';
import {
  decodeJoinBody,
  encodeJoinBody,
  JOIN_ACCEPT_BYTES,
  JOIN_BODY_BYTES,
  JOIN_BYTES,
  JOIN_CONFIRM_BYTES,
  type Join,
  NONCE_BYTES,
  suiteNumbers,
} from '../protocol/handshake.ts';
import { joinMac, macsEqual, type Role, trafficSecret } from '../security/keys.ts';
import { FrameOpener, FrameSealer } from '../security/sealing.ts';
import { readExactly, writeAll } from './handshake-io.ts';

export interface SubflowKeys {
  sealer: FrameSealer;
  opener: FrameOpener;
}

function keysOf(secret: Buffer, suite: Suite, join: Join, acceptorNonce: Buffer, self: Role): SubflowKeys {
  const binding = {
    version: PROTOCOL_VERSION,
    suite: suiteNumbers[suite],
    sessionId: join.sessionId,
    subflowId: join.subflowId,
    generation: join.generation,
    connectorNonce: join.nonce,
    acceptorNonce,
  };
  const peer: Role = self === 'connector' ? 'acceptor' : 'connector';
  return {
    sealer: new FrameSealer(suite, trafficSecret(secret, binding, self)),
    opener: new FrameOpener(suite, trafficSecret(secret, binding, peer)),
  };
}

/** Connector's half, after the preamble. */
export async function joinAsConnector(
  socket: Duplex,
  secret: Buffer,
  suite: Suite,
  identity: { sessionId: Buffer; epoch: number; subflowId: number; generation: number },
  { signal }: { signal: AbortSignal },
): Promise<SubflowKeys> {
  const join: Join = { ...identity, nonce: randomBytes(NONCE_BYTES) };
  const body = encodeJoinBody(join);
  const message = Buffer.concat([body, joinMac(secret, 'join', body)]);
  await writeAll(socket, message);
  const accept = await readExactly(socket, JOIN_ACCEPT_BYTES, { signal });
  const nonce = Buffer.from(accept.subarray(0, NONCE_BYTES));
  if (!macsEqual(accept.subarray(NONCE_BYTES), joinMac(secret, 'accept', message, nonce))) {
    throw new GatewayError('JOIN_INVALID', '(answer)');
  }
  await writeAll(socket, joinMac(secret, 'confirm', message, accept));
  return keysOf(secret, suite, join, nonce, 'connector');
}

export interface JoinPolicy {
  sessionId: Buffer;
  suite: Suite;
  maxSubflows: number;
  /** The secret of an epoch, if this end holds it. */
  secret(epoch: number): Buffer | undefined;
  /** Largest generation that was seen for a subflow; 0 is none. Set as soon as a JOIN authenticates. */
  lastGeneration(subflowId: number): number;
  seen(subflowId: number, generation: number): void;
}

/** Acceptor's half, after the preamble. Rejects with the precise reason. */
export async function joinAsAcceptor(
  socket: Duplex,
  policy: JoinPolicy,
  { signal }: { signal: AbortSignal },
): Promise<{ join: Join; keys: SubflowKeys }> {
  const message = await readExactly(socket, JOIN_BYTES, { signal });
  const body = message.subarray(0, JOIN_BODY_BYTES);
  const join = decodeJoinBody(body);
  if (!join.sessionId.equals(policy.sessionId)) throw new GatewayError('SESSION_MISMATCH');
  const secret = policy.secret(join.epoch);
  if (secret === undefined) throw new GatewayError('JOIN_EPOCH');
  if (
    !macsEqual(message.subarray(JOIN_BODY_BYTES), joinMac(secret, 'join', body)) ||
    join.subflowId >= policy.maxSubflows
  ) {
    throw new GatewayError('JOIN_INVALID');
  }
  if (join.generation <= policy.lastGeneration(join.subflowId)) throw new GatewayError('JOIN_REPLAYED');
  policy.seen(join.subflowId, join.generation);
  const nonce = randomBytes(NONCE_BYTES);
  const accept = Buffer.concat([nonce, joinMac(secret, 'accept', message, nonce)]);
  // The secret may be wiped by a new control connection while we wait for the answer.
  const held = Buffer.from(secret);
  try {
    await writeAll(socket, accept);
    const confirm = await readExactly(socket, JOIN_CONFIRM_BYTES, { signal });
    if (!macsEqual(confirm, joinMac(held, 'confirm', message, accept)))
      throw new GatewayError('JOIN_INVALID', '(answer)');
    // The joiner gave this one up while its answer was under way.
    if (policy.lastGeneration(join.subflowId) !== join.generation) throw new GatewayError('JOIN_REPLAYED');
    return { join, keys: keysOf(held, policy.suite, join, nonce, 'acceptor') };
  } finally {
    held.fill(0);
  }
}
