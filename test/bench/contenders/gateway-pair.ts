/**
 * A pair of our gateways on the two gateway machines, set up over the control API with the numbers that the orchestrator
 * uses, and warmed up by a probe as the orchestrator does before it starts a migration. Owns both processes.
 */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { SessionConfig } from '@lmas/gateway-api';
import type { Lab, LabHost } from '../../lab/src/index.ts';
import { waitUntil } from '../../lab/src/processes.ts';
import {
  ANSWER_PORT,
  ASK_ENTRY_PORT,
  BULK_ASK_ENTRY_PORT,
  ENTRY_PORT,
  SINK_PORT,
  TUNNEL_PORT,
  type Way,
} from './contender.ts';
import { GatewayClient } from './gateway-client.ts';
import { type Inside, startInside } from './inside.ts';

const GATEWAY = fileURLToPath(new URL('../../../apps/gateway/bin/lmas-gateway.mjs', import.meta.url));
const DIRECTORY = '/root/bench';
const READY_WITHIN_MS = 20_000;
const LEASE_MS = 3_600_000;
const WARM_UP_MS = 1_000;
const WARM_UP_REST_MS = 300;

export interface PairOptions {
  /** What differs from the session that the orchestrator would make. */
  readonly session?: Partial<SessionConfig>;
  /** Which gateway listens for the other one: the destination's unless told, as the orchestrator has it where that site can. */
  readonly listens?: 'source' | 'destination';
  /** Command in front of each gateway, such as `taskset`. */
  readonly prefix?: readonly string[];
  /** Measures the link before use, which also leaves the subflows at speed. */
  readonly warmUp?: boolean;
}

export interface GatewayPair extends Way {
  readonly source: GatewayClient;
  readonly destination: GatewayClient;
}

interface End {
  readonly machine: LabHost;
  readonly program: Inside;
  readonly client: GatewayClient;
}

export async function openGatewayPair(lab: Lab, options: PairOptions): Promise<GatewayPair> {
  const { a, b } = lab.sites;
  const source = startGateway(a.gatewayHost, options.prefix ?? []);
  const destination = startGateway(b.gatewayHost, options.prefix ?? []);
  const close = async (): Promise<void> => {
    await Promise.all([source, destination].map(({ program }) => program.end()));
  };
  try {
    const [listener, dialer] = options.listens === 'source' ? [source, destination] : [destination, source];
    await join(listener, dialer, options.session ?? {});
    await putRoutes(lab, source.client, destination.client);
    await untilEstablished(source, destination);
    if (options.warmUp ?? true) {
      await source.client.probe(WARM_UP_MS);
      await delay(WARM_UP_REST_MS);
    }
  } catch (error) {
    await close();
    throw error;
  }
  const host = a.gatewayHost.dataAddress;
  return {
    entry: { host, port: ENTRY_PORT },
    askEntry: { host, port: ASK_ENTRY_PORT },
    bulkAskEntry: { host, port: BULK_ASK_ENTRY_PORT },
    source: source.client,
    destination: destination.client,
    [Symbol.asyncDispose]: close,
  };
}

function startGateway(machine: LabHost, prefix: readonly string[]): End {
  rmSync(machine.path(DIRECTORY), { recursive: true, force: true });
  const socket = `${DIRECTORY}/control.sock`;
  const log = ['--log-file', `/root/bench-gateway.log`];
  const command = [process.execPath, GATEWAY, 'run', '--control', socket, '--lease-ms', String(LEASE_MS), ...log];
  const program = startInside(machine, [...prefix, ...command]);
  return { machine, program, client: new GatewayClient(machine.path(socket)) };
}

async function join(listener: End, dialer: End, changes: Partial<SessionConfig>): Promise<void> {
  const [listening, dialing] = await Promise.all([listener, dialer].map(identityOf));
  const common = {
    sessionId: randomUUID(),
    protocolVersion: 1,
    suite: 'aes-256-gcm',
    subflows: 'auto',
    maxWindowBytes: 128 << 20,
    bandwidthBytesPerSec: null,
    graceMs: 60_000,
    ...changes,
  } as const;
  const address = listener.machine.dataAddress;
  await listener.client.configure({
    ...common,
    peerCertificate: dialing?.certificate ?? '',
    role: { kind: 'listen', address, port: TUNNEL_PORT },
  });
  await dialer.client.configure({
    ...common,
    peerCertificate: listening?.certificate ?? '',
    role: { kind: 'dial', host: address, port: TUNNEL_PORT },
  });
}

async function identityOf({ client, program, machine }: End) {
  const answers = () =>
    client.identity().then(
      () => true,
      () => program.ended(), // then it will not answer any more: the question below says what is wrong
    );
  await waitUntil(answers, READY_WITHIN_MS, 50);
  if (program.ended()) throw new Error(`The gateway on ${machine.name} has ended: ${program.complaint()}`);
  return client.identity();
}

async function putRoutes(lab: Lab, source: GatewayClient, destination: GatewayClient): Promise<void> {
  const { a, b } = lab.sites;
  const routes = [
    { id: 'bulk', entry: ENTRY_PORT, port: SINK_PORT, priority: 'bulk' },
    { id: 'ask', entry: ASK_ENTRY_PORT, port: ANSWER_PORT, priority: 'interactive' },
    { id: 'bulk-ask', entry: BULK_ASK_ENTRY_PORT, port: ANSWER_PORT, priority: 'bulk' },
  ] as const;
  for (const { id, entry, port, priority } of routes) {
    const common = { maxStreams: 64, priority };
    const host = b.host.dataAddress;
    await destination.putRoute(id, { kind: 'dial', host, port, allowSpecialAddress: false, ...common });
    const address = a.gatewayHost.dataAddress;
    await source.putRoute(id, { kind: 'listen', address, port: entry, allowFrom: [a.host.dataAddress], ...common });
  }
}

async function untilEstablished(...ends: readonly End[]): Promise<void> {
  for (const { client, machine } of ends) {
    const established = async () => (await client.status()).session?.state === 'established';
    if (await waitUntil(established, READY_WITHIN_MS, 50)) continue;
    throw new Error(`The gateway on ${machine.name} did not find its peer within ${READY_WITHIN_MS} ms.`);
  }
}
