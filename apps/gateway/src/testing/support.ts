/** What the tests share: two gateways in this process, a relay between them that can do harm, hypervisor stand-ins, waiting. */
import { createHash, randomUUID } from 'node:crypto';
import net from 'node:net';
import type { RouteState, SessionConfig } from '@lmas/gateway-api';
import { Gateway } from '../gateway.ts';
import { Lease } from '../lease.ts';
import { silentLog } from '../log.ts';
import { type Identity, makeIdentity } from '../security/certificate.ts';
import type { StallLimits } from '../tunnel/stall-watch.ts';

// Node 26 may spin for ever while it tears down a process whose TLS connections were cut while they wrote (seen: CleanupHandles waits for a
// request that never ends). Ending from the last `exit` listener leaves that out; the test runner has set its exit code by then.
process.once('beforeExit', () => process.once('exit', () => process.exit()));

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

export function listen(server: net.Server, host = '127.0.0.1'): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, host, () => resolve((server.address() as net.AddressInfo).port));
  });
}

/** Stands between two gateways; counts connections by kind, and cuts or swallows on command. */
export class Relay {
  port = 0;
  readonly #server: net.Server;
  readonly #pairs = new Map<net.Socket, { upstream: net.Socket; kind: number }>();
  accepting = true;
  /** Swallows all bytes of connections of this kind (1 control, 2 subflow, 0 none, 3 both). */
  swallow = 0;

  #harm: ((chunk: Buffer) => Buffer) | null | undefined;
  /** The next large chunk towards the peer is changed, or (null) cut short with the end of the connection. */
  harmOnce(change: ((chunk: Buffer) => Buffer) | null): void {
    this.#harm = change;
  }

  constructor(peerPort: number) {
    this.#server = net.createServer({ allowHalfOpen: false }, (socket) => {
      socket.on('error', () => undefined);
      if (!this.accepting) {
        socket.resetAndDestroy();
        return;
      }
      const upstream = net.connect(peerPort, '127.0.0.1');
      upstream.on('error', () => undefined);
      const pair = { upstream, kind: 0 };
      this.#pairs.set(socket, pair);
      socket.on('data', (chunk: Buffer) => {
        if (pair.kind === 0) pair.kind = chunk[5] ?? 0;
        if ((this.swallow & pair.kind) !== 0) return;
        // Large chunks only: past the join, inside frames.
        if (this.#harm !== undefined && pair.kind === 2 && chunk.length > 10_000) {
          const harm = this.#harm;
          this.#harm = undefined;
          if (harm === null) upstream.end(chunk.subarray(0, 5_000));
          else upstream.write(harm(chunk));
          return;
        }
        if (upstream.writableEnded) return;
        if (!upstream.write(chunk)) {
          socket.pause();
          upstream.once('drain', () => socket.resume());
        }
      });
      upstream.on('data', (chunk) => {
        if ((this.swallow & pair.kind) !== 0) return;
        if (!socket.write(chunk)) {
          upstream.pause();
          socket.once('drain', () => upstream.resume());
        }
      });
      socket.on('close', () => {
        upstream.destroy();
        this.#pairs.delete(socket);
      });
      upstream.on('close', () => socket.destroy());
    });
  }
  async start(): Promise<this> {
    this.port = await listen(this.#server);
    return this;
  }
  /** Ends connections of a kind, at most `count`; returns how many. */
  cut(kind: 'control' | 'subflow', count = Number.POSITIVE_INFINITY): number {
    const wanted = kind === 'control' ? 1 : 2;
    let done = 0;
    for (const [socket, pair] of this.#pairs) {
      if (pair.kind !== wanted || done >= count) continue;
      done += 1;
      socket.resetAndDestroy();
      pair.upstream.resetAndDestroy();
    }
    return done;
  }
  close(): void {
    this.#server.close();
    for (const [socket, pair] of this.#pairs) {
      socket.destroy();
      pair.upstream.destroy();
    }
  }
}

export interface PairOptions {
  subflows?: number;
  suite?: SessionConfig['suite'];
  graceMs?: number;
  maxWindowBytes?: number;
  relayed?: boolean;
  stall?: StallLimits;
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
  close(): void;
}

export function makeGateway(identity: Identity, stall?: StallLimits): Gateway {
  const lease = new Lease(null, () => undefined);
  return new Gateway({ identity, lease, log: silentLog, ...(stall === undefined ? {} : { stall }) });
}

/** Two gateways in this process, `near` dialling `far` over loopback, established. */
export async function makePair(options: PairOptions = {}): Promise<Pair> {
  const nearIdentity = makeIdentity(1);
  const farIdentity = makeIdentity(1);
  const near = makeGateway(nearIdentity, options.stall);
  const far = makeGateway(farIdentity, options.stall);
  const count = options.subflows ?? 4;
  const common = {
    sessionId: randomUUID(),
    protocolVersion: 1 as const,
    suite: options.suite ?? ('aes-256-gcm' as const),
    subflows: count,
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
  const relay = options.relayed === true ? await new Relay(farPort).start() : null;
  const nearConfig: SessionConfig = {
    ...common,
    peerCertificate: farIdentity.certificatePem,
    role: { kind: 'dial', host: '127.0.0.1', port: relay?.port ?? farPort },
  };
  await near.configureSession(nearConfig);
  await until(
    () => near.session?.data.subflows.length === count && far.session?.data.subflows.length === count,
    'all subflows are open',
  );
  const close = () => {
    near.shutdown();
    far.shutdown();
    relay?.close();
  };
  return { near, far, nearIdentity, farIdentity, farPort, relay, farConfig, nearConfig, close };
}

/** A route from `near` to a port on loopback beside `far`. */
export async function makeRoute(pair: Pair, port: number, id = 'main'): Promise<RouteState> {
  const shape = { maxStreams: 64, priority: 'bulk' as const };
  await pair.far.putRoute(id, { kind: 'dial', host: '127.0.0.1', port, allowSpecialAddress: true, ...shape });
  return pair.near.putRoute(id, { kind: 'listen', address: '127.0.0.1', port: 0, allowFrom: ['127.0.0.1'], ...shape });
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
