/**
 * Gateways that exist in a world only: the workflow's real tunnel code drives them, and what is left over is counted. The
 * SSH host of a site's gateway machine stands for its world (see hostOfWorld).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayStatus } from '@lmas/gateway-api';
import { pluginErrorCode } from '@lmas/plugin-api';
import { WorldConnection } from '@lmas/plugin-simulated';
import { LmasError } from '../../apps/orchestrator/src/errors.ts';
import type { Gateway, GatewayAddress, GatewayProvisioner } from '../../apps/orchestrator/src/gateways/gateway.ts';
import type { SiteStore } from '../../apps/orchestrator/src/sites/sites.ts';

const nameOf = ({ site, owner, end }: GatewayAddress): string => `${site}/${owner}-${end}`;

/** The name of a gateway machine in the simulated world: its socket's path, spelled so that it could be a host's name. */
export const hostOfWorld = (socketPath: string): string => Buffer.from(socketPath).toString('hex');
const worldBehind = (host: string): string => Buffer.from(host, 'hex').toString();

export function createSimulatedProvisioner(sites: SiteStore): GatewayProvisioner {
  const open = async (site: string): Promise<WorldConnection> => {
    const { gateway } = await sites.get(site);
    if (gateway === null) throw new LmasError('NO_GATEWAY');
    const socketPath = worldBehind(gateway.ssh.host);
    if (!socketPath.startsWith('/')) throw new LmasError('GATEWAY_UNREACHABLE', 'There is no world behind this name.');
    try {
      return await WorldConnection.dial(socketPath, 'gateway');
    } catch (cause) {
      throw new LmasError('GATEWAY_UNREACHABLE', undefined, { cause });
    }
  };
  const once = async <T>(site: string, verb: string, args: object): Promise<T> => {
    const connection = await open(site);
    try {
      return await connection.call<T>(verb, args);
    } catch (cause) {
      const isLost = pluginErrorCode(cause) === 'CONNECTION_LOST';
      throw new LmasError(isLost ? 'GATEWAY_UNREACHABLE' : 'GATEWAY_REFUSED', undefined, { cause });
    } finally {
      await connection.close();
    }
  };
  const gateway = (address: GatewayAddress, token: number): Gateway => {
    const name = nameOf(address);
    const call = <T>(verb: string, args: object = {}) => once<T>(address.site, verb, { name, token, ...args });
    return {
      address,
      barrierName: `${address.owner}-${address.end}`,
      identity: async () => ({ ...IDENTITY }),
      async configure({ sessionId, role, bandwidthBytesPerSec }) {
        await call('configure', { bandwidthBytesPerSec });
        const listening = role.kind === 'listen' ? { address: role.address, port: role.port } : null;
        return { sessionId, state: 'connecting', listening };
      },
      async putRoute(id, route) {
        const raised = route.kind === 'transparent' && route.barrier !== undefined ? { barrier: route.barrier } : {};
        await call('route', { route: id, ...raised });
        if (route.kind === 'transparent') return { id, kind: route.kind, end: route.end, active: true };
        return { id, kind: route.kind, address: '192.0.2.9', port: 40_000 };
      },
      removeRoute: async (id) => void (await call('route', { route: id })),
      renewLease: async () => void (await call('lease')),
      async status() {
        const { configured, ...carried } = await call<SaidStatus>('status');
        const { deliveredBytes: bytesReceived = 0, receivingMs = 0 } = carried;
        const state = configured ? 'established' : 'connecting';
        const bitsPerSec = receivingMs === 0 ? 0 : (bytesReceived * 8_000) / receivingMs;
        const rates = { sendBitsPerSec: bitsPerSec, receiveBitsPerSec: bitsPerSec };
        return { ...STATUS, session: { ...SESSION, state, bytesReceived, receivingMs, ...rates } };
      },
      async setLimits({ bandwidthBytesPerSec }) {
        if (bandwidthBytesPerSec !== undefined) await call('limits', { bandwidthBytesPerSec });
      },
      probe: async () => ({
        rttMinMs: 100,
        rttMedianMs: 101,
        goodputBitsPerSec: 9e8,
        retransmits: 0,
        lossShare: 0,
        mtuBytes: 1_500,
        clockOffsetMs: 0,
      }),
      async gone({ signal }) {
        for (;;) {
          const connection = await open(address.site).catch(() => undefined);
          const hangUp = () => void connection?.close();
          signal.addEventListener('abort', hangUp, { once: true });
          try {
            signal.throwIfAborted();
            if (connection !== undefined) return await connection.call<void>('ended', { name });
          } catch {
            signal.throwIfAborted(); // the machine is away: asked again
          } finally {
            signal.removeEventListener('abort', hangUp);
            await connection?.close();
          }
          await sleep(500, undefined, { signal });
        }
      },
      close: async () => undefined,
    };
  };
  return {
    async start(address, token) {
      await once(address.site, 'start', { name: nameOf(address), token });
      return gateway(address, token);
    },
    async attach(address, token) {
      const isThere = await once<boolean>(address.site, 'attach', { name: nameOf(address), token });
      return isThere ? gateway(address, token) : undefined;
    },
    async remove(address, token) {
      await once(address.site, 'remove', { name: nameOf(address), token });
    },
    async removeBarrier({ site, owner, end }) {
      await once(site, 'barrier', { name: `${owner}-${end}` });
    },
    async examine(site) {
      await (await open(site)).close();
      return {
        ...{ system: 'Linux', architecture: 'x86_64', kernel: '6.12' },
        lacks: [],
        freeKib: 4 << 20,
        changed: null,
        doctor: null,
      };
    },
    async sweep(site, isOwned) {
      const removed: string[] = [];
      for (const name of await once<string[]>(site, 'list', { site })) {
        const owner = name.slice(site.length + 1).replace(/-(source|destination)$/, '');
        if (await isOwned(owner)) continue;
        await once(site, 'remove', { name });
        removed.push(name);
      }
      return removed;
    },
  };
}

interface SaidStatus {
  readonly configured: boolean;
  readonly deliveredBytes?: number;
  readonly receivingMs?: number;
}

const IDENTITY = {
  apiVersion: 1 as const,
  version: '0',
  protocolVersions: [1],
  suites: ['aes-256-gcm' as const],
  certificate: 'none',
  certificateSha256: '0'.repeat(64),
  pid: 1,
};

const SESSION = {
  sessionId: '00000000-0000-4000-8000-000000000000',
  state: 'established' as const,
  listening: null,
  bytesSent: 0,
  bytesReceived: 0,
  bytesAcknowledged: 0,
  sendBitsPerSec: 0,
  receiveBitsPerSec: 0,
  receivingMs: 0,
  windowBytes: 0,
  kernelBytes: null,
  subflows: { wanted: 1, min: 1, max: 1 },
  inFlightBytes: 0,
  bufferedBytes: 0,
  rttMs: 100,
  limits: null,
  link: {
    state: 'startup' as const,
    bytesPerSec: 0,
    paceBytesPerSec: null,
    queueMs: 0,
    lossShare: 0,
    compressionRatio: 1,
  },
  rekeys: 0,
  subflowsReplaced: 0,
  refusals: {},
  lastError: null,
};

const STATUS: GatewayStatus = {
  identity: IDENTITY,
  uptimeMs: 0,
  leaseRemainingMs: 0,
  rssBytes: 0,
  cpuMs: 0,
  session: SESSION,
  previousSession: null,
  subflows: [],
  routes: [],
  streams: [],
  closedStreams: [],
};
