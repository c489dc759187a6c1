/** What the tests share: two gateways in this process (with a relay between them, see relay.ts), hypervisor stand-ins, waiting. */
import { createHash, randomUUID } from 'node:crypto';
import net from 'node:net';
import type { TestContext } from 'node:test';
import type { RedirectedRouteState, RouteState, SessionConfig } from '@lmas/gateway-api';
import { Gateway } from '../gateway.ts';
import { Lease } from '../lease.ts';
import { silentLog } from '../log.ts';
import { type Identity, makeIdentity } from '../security/certificate.ts';
import type { SessionTuning } from '../tunnel/session.ts';
import { Relay } from './relay.ts';

/** Where a test says what has to be taken down at its end, however it ends. */
export type Cleanup = Pick<TestContext, 'after'>;

/** Resolves when `condition` holds; fails after `timeoutMs`. Looks again every few milliseconds: there is no event to wait for. */
export async function until(condition: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Timed out waiting until ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function sha1(bytes: Uint8Array): string {
  return createHash('sha1').update(bytes).digest('hex');
}

/** Listens until the test ends; resolves with the port. */
export function serve(t: Cleanup, server: net.Server): Promise<number> {
  t.after(() => server.close());
  return listen(server);
}

export function listen(server: net.Server, host = '127.0.0.1'): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, host, () => resolve((server.address() as net.AddressInfo).port));
  });
}

export interface PairOptions {
  subflows?: SessionConfig['subflows'];
  suite?: SessionConfig['suite'];
  graceMs?: number;
  maxWindowBytes?: number;
  relayed?: boolean;
  /** What the relay makes of every chunk, from the first on. */
  change?: Relay['change'];
  tuning?: SessionTuning;
}

export interface Pair {
  near: Gateway;
  far: Gateway;
  nearIdentity: Identity;
  farIdentity: Identity;
  farPort: number;
  relay: Relay | null;
  farConfig: SessionConfig;
  nearConfig: SessionConfig;
}

/** A gateway without a session; shut down when the test ends. */
export function makeGateway(t: Cleanup, identity: Identity, tuning?: SessionTuning): Gateway {
  const lease = new Lease(null, () => undefined);
  const gateway = new Gateway({ identity, lease, log: silentLog, tuning });
  t.after(() => gateway.shutdown());
  return gateway;
}

/** Two gateways in this process, `near` dialling `far` over loopback, established; shut down when the test ends. */
export async function makePair(t: Cleanup, options: PairOptions = {}): Promise<Pair> {
  const nearIdentity = makeIdentity(1);
  const farIdentity = makeIdentity(1);
  const near = makeGateway(t, nearIdentity, options.tuning);
  const far = makeGateway(t, farIdentity, options.tuning);
  const subflows = options.subflows ?? 4;
  const common = {
    sessionId: randomUUID(),
    protocolVersion: 1 as const,
    suite: options.suite ?? ('aes-256-gcm' as const),
    subflows,
    maxWindowBytes: options.maxWindowBytes ?? 16 << 20,
    bandwidthBytesPerSec: null,
    graceMs: options.graceMs ?? 10_000,
  };
  const farConfig: SessionConfig = {
    ...common,
    peerCertificate: nearIdentity.certificatePem,
    role: { kind: 'listen', address: '127.0.0.1', port: 0 },
  };
  const { listening } = await far.configureSession(farConfig);
  const farPort = listening?.port ?? 0;
  const relay = options.relayed === true ? await Relay.start(t, farPort) : null;
  if (relay !== null && options.change !== undefined) relay.change = options.change;
  const nearConfig: SessionConfig = {
    ...common,
    peerCertificate: farIdentity.certificatePem,
    role: { kind: 'dial', host: '127.0.0.1', port: relay?.port ?? farPort },
  };
  await near.configureSession(nearConfig);
  await until(() => {
    const count = near.session?.subflows.wanted;
    return near.session?.data.subflows.length === count && far.session?.data.subflows.length === count;
  }, 'all subflows are open');
  return { near, far, nearIdentity, farIdentity, farPort, relay, farConfig, nearConfig };
}

/** The same with a relay between them. */
export async function makeRelayedPair(t: Cleanup, options: PairOptions = {}): Promise<Pair & { relay: Relay }> {
  const pair = await makePair(t, { ...options, relayed: true });
  if (pair.relay === null) throw new Error('It was asked for.');
  return { ...pair, relay: pair.relay };
}

/** A route from `near` to a port on loopback beside `far`. */
export async function makeRoute(pair: Pair, port: number, id = 'main', maxStreams = 64): Promise<RedirectedRouteState> {
  const shape = { maxStreams, priority: 'bulk' as const };
  await pair.far.putRoute(id, { kind: 'dial', host: '127.0.0.1', port, allowSpecialAddress: true, ...shape });
  const offer = { kind: 'listen' as const, address: '127.0.0.1', port: 0, allowFrom: ['127.0.0.1'] };
  return redirected(await pair.near.putRoute(id, { ...offer, ...shape }));
}

/** Of a route that was asked for as `listen` or `dial`. */
export function redirected(route: RouteState): RedirectedRouteState {
  if (route.kind === 'transparent') throw new Error('This route is transparent.');
  return route;
}

/** Sends `bytes`, ends its direction, and resolves with all that came back. */
export function exchange(port: number, bytes: Uint8Array, host = '127.0.0.1'): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = net.connect({ port, host, allowHalfOpen: true });
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.on('error', reject);
    socket.end(bytes);
  });
}

/** Answers each connection, after its end, with the SHA-1 and the number of bytes that it got. */
export function hashServer(): net.Server {
  return net.createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash('sha1');
    let bytes = 0;
    socket.on('data', (chunk) => {
      hash.update(chunk);
      bytes += chunk.length;
    });
    socket.on('end', () => socket.end(`${hash.digest('hex')} ${bytes}`));
    socket.on('error', () => undefined);
  });
}
