/**
 * The dialling gateway's side: opens the control channel and the subflows, each time with a deadline. It keeps no state between
 * calls; when to call again is the session's business.
 */
import net from 'node:net';
import type tls from 'node:tls';
import type { Suite } from '@lmas/gateway-api';
import { asGatewayError, GatewayError } from '../errors.ts';
import { connectTuned } from '../platform/connecting.ts';
import { encodePreamble } from '../protocol/handshake.ts';
import type { Identity } from '../security/certificate.ts';
import { connectTls, type PeerPin } from '../security/control-tls.ts';
import { HANDSHAKE_TIMEOUT_MS, writeAll } from './handshake-io.ts';
import { joinAsConnector, type SubflowKeys } from './join.ts';
import { subflowTuning } from './subflow.ts';

export interface PeerAddress {
  host: string;
  port: number;
}

/** A connected socket; rejects with `code` and the reason. */
export function connectTcp(
  { host, port }: PeerAddress,
  code: 'CONNECT_FAILED' | 'DIAL_FAILED',
  { signal }: { signal: AbortSignal },
): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, allowHalfOpen: true, noDelay: true });
    const failed = (cause: unknown) => {
      socket.destroy();
      reject(asGatewayError(cause, code));
    };
    const aborted = () => failed(new GatewayError(code, '(timed out)'));
    if (signal.aborted) {
      aborted();
      return;
    }
    socket.once('error', failed);
    signal.addEventListener('abort', aborted, { once: true });
    socket.once('connect', () => {
      signal.removeEventListener('abort', aborted);
      socket.off('error', failed);
      socket.on('error', () => undefined); // Shows as the end of whatever is under way.
      resolve(socket);
    });
  });
}

/** With the receive window of a subflow from the first packet on, where the address is numeric and needs no interface beside it. */
async function connectWide(peer: PeerAddress, { signal }: { signal: AbortSignal }): Promise<net.Socket> {
  if (net.isIP(peer.host) === 0 || peer.host.includes('%')) return connectTcp(peer, 'CONNECT_FAILED', { signal });
  const socket = await connectTuned({ address: peer.host, port: peer.port }, subflowTuning, { signal }).catch(
    (cause: unknown) => {
      throw asGatewayError(
        signal.aborted ? new GatewayError('CONNECT_FAILED', '(timed out)') : cause,
        'CONNECT_FAILED',
      );
    },
  );
  if (socket === null) return connectTcp(peer, 'CONNECT_FAILED', { signal });
  socket.setNoDelay(true);
  socket.on('error', () => undefined); // Shows as the end of whatever is under way.
  return socket;
}

function deadline(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(HANDSHAKE_TIMEOUT_MS)]);
}

export async function connectControl(
  peer: PeerAddress,
  identity: Identity,
  pin: PeerPin,
  { signal }: { signal: AbortSignal },
): Promise<tls.TLSSocket> {
  const within = deadline(signal);
  const socket = await connectTcp(peer, 'CONNECT_FAILED', { signal: within });
  try {
    await writeAll(socket, encodePreamble('control'));
    return await connectTls(socket, identity, pin, { signal: within });
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

export async function connectSubflow(
  peer: PeerAddress,
  secret: Buffer,
  suite: Suite,
  identity: { sessionId: Buffer; epoch: number; subflowId: number; generation: number },
  { signal }: { signal: AbortSignal },
): Promise<{ socket: net.Socket; keys: SubflowKeys }> {
  const within = deadline(signal);
  const socket = await connectWide(peer, { signal: within });
  try {
    await writeAll(socket, encodePreamble('subflow'));
    return { socket, keys: await joinAsConnector(socket, secret, suite, identity, { signal: within }) };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
