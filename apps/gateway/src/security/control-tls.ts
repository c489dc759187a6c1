/**
 * Mutual TLS 1.3 of the control channel. Who the peer is does not rest on Node's verdict: Node reports a resumed session without
 * certificate as authorized (tried), and closes without saying which rule was broken. So the handshake is made with
 * `rejectUnauthorized: false` written out, no tickets, and `checkPeer` then demands, in this order: TLS 1.3, a full handshake, a
 * certificate, not our own, exactly the pinned leaf, within its validity. Possession of its key is proved by TLS 1.3 itself.
 */
import { constants } from 'node:crypto';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { asGatewayError, errnoOf, GatewayError } from '../errors.ts';
import type { Identity } from './certificate.ts';
import { EXPORTER_LABEL, SECRET_BYTES } from './keys.ts';

export interface PeerPin {
  /** DER of the exact leaf certificate that the peer must show. */
  certificateDer: Buffer;
}

function commonOptions(identity: Identity) {
  return {
    cert: identity.certificatePem,
    key: identity.keyPem,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    rejectUnauthorized: false,
    requestCert: true,
    ALPNProtocols: ['lmas/1'],
  } as const;
}

/**
 * Throws the precise reason why this connection is not the pinned peer. A resumed session comes before everything about certificates: it
 * shows the one of the handshake that it continues, without a proof of its key. OpenSSL hands sessions out although tickets are off
 * (those of TLS 1.3 then name an entry of the server's cache). They are harmless: the acceptor refuses whoever offers one before TLS is
 * begun; each connection has a context of its own, whose cache and ticket keys end with it, so that nothing could be resumed but the
 * handshake would be a full one; and this check stands guard for the day when contexts are shared.
 */
export function checkPeer(socket: tls.TLSSocket, identity: Identity, pin: PeerPin, now: number = Date.now()): void {
  if (socket.getProtocol() !== 'TLSv1.3') throw new GatewayError('TLS_VERSION');
  if (socket.isSessionReused()) throw new GatewayError('TLS_RESUMED');
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) throw new GatewayError('PEER_WITHOUT_CERTIFICATE');
  if (certificate.raw.equals(identity.certificateDer)) throw new GatewayError('PEER_CERTIFICATE_OWN');
  if (!certificate.raw.equals(pin.certificateDer)) throw new GatewayError('PEER_CERTIFICATE_MISMATCH');
  if (now < certificate.validFromDate.getTime() || now > certificate.validToDate.getTime()) {
    const [from, to, at] = [certificate.validFromDate, certificate.validToDate, new Date(now)].map(secondsOf);
    throw new GatewayError('PEER_CERTIFICATE_EXPIRED', `(valid from ${from} to ${to}; the clock here says ${at})`);
  }
}

const secondsOf = (date: Date): string => date.toISOString().replace(/\.\d+/, '');

export function exporterOf(socket: tls.TLSSocket, sessionId: Buffer): Buffer {
  return socket.exportKeyingMaterial(SECRET_BYTES, EXPORTER_LABEL, sessionId);
}

/** So it does when it does not like our certificate: it never says so. */
const hungUp = () =>
  new GatewayError('HANDSHAKE_TRUNCATED', "(the peer's log says why, as when it does not know our certificate)");

/** Acceptor's half: resolves with the authenticated channel, rejects with the reason; the socket is destroyed on rejection. */
export function acceptTls(
  raw: Duplex,
  identity: Identity,
  pin: PeerPin,
  { signal }: { signal: AbortSignal },
): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    // A server that never listens: the documented way to speak TLS as a server on a connection that is already there.
    const server = tls.createServer(commonOptions(identity));
    let settled = false;
    const fail = (error: unknown) => {
      if (settled) return;
      settled = true;
      raw.destroy();
      reject(asGatewayError(error, 'TLS_FAILED'));
    };
    const succeed = (socket: tls.TLSSocket) => {
      settled = true;
      resolve(socket);
    };
    server.once('secureConnection', (socket) => finish(socket, identity, pin, succeed, fail));
    server.once('tlsClientError', (error) => fail(errnoOf(error) === 'ECONNRESET' ? hungUp() : error));
    raw.once('close', () => fail(hungUp()));
    if (signal.aborted) fail(new GatewayError('HANDSHAKE_TIMEOUT'));
    else signal.addEventListener('abort', () => fail(new GatewayError('HANDSHAKE_TIMEOUT')), { once: true });
    // A peer that hangs up in the middle ends its direction only, and nobody tells us but by closing ours.
    raw.allowHalfOpen = false;
    server.emit('connection', raw);
  });
}

/** Connector's half. */
export function connectTls(
  raw: Duplex,
  identity: Identity,
  pin: PeerPin,
  { signal }: { signal: AbortSignal },
): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ ...commonOptions(identity), socket: raw, checkServerIdentity: () => undefined });
    let settled = false;
    const succeed = (authenticated: tls.TLSSocket) => {
      settled = true;
      resolve(authenticated);
    };
    const fail = (error: unknown) => {
      if (settled) return;
      settled = true;
      socket.destroy();
      raw.destroy();
      reject(asGatewayError(error, 'TLS_FAILED'));
    };
    socket.once('error', fail);
    socket.once('close', () => fail(new GatewayError('HANDSHAKE_TRUNCATED')));
    if (signal.aborted) fail(new GatewayError('HANDSHAKE_TIMEOUT'));
    else signal.addEventListener('abort', () => fail(new GatewayError('HANDSHAKE_TIMEOUT')), { once: true });
    socket.once('secureConnect', () => finish(socket, identity, pin, succeed, fail));
  });
}

function finish(
  socket: tls.TLSSocket,
  identity: Identity,
  pin: PeerPin,
  resolve: (socket: tls.TLSSocket) => void,
  fail: (error: unknown) => void,
): void {
  try {
    checkPeer(socket, identity, pin);
    resolve(socket);
  } catch (error) {
    socket.destroy();
    fail(error);
  }
}
