/**
 * Real gateways whose steps can be held: before and after each one, the world of its site is told, and may stand still
 * there. So a test stops the orchestrator at the very moment, with the gateway's processes as they are then.
 */
import { WorldConnection } from '@lmas/plugin-simulated';
import type { FaultKind } from '@lmas/plugin-simulated/world';
import type { Gateway, GatewayProvisioner } from '../../apps/orchestrator/src/gateways/gateway.ts';

/** What `serveWorld` answers to the calls of this file, which have no effect there. */
export const hearOfGateways = ({ host, verb }: { host: string; verb: string }): unknown =>
  host === 'gateway' && verb !== 'login' ? null : undefined;

/** The call at which a step is held, and how: its effect is elsewhere, between two calls. */
export const momentOf = (call: string, kind: FaultKind): { call: string; kind: FaultKind } =>
  call.startsWith('gateway.') && kind === 'hold-after' ? { call: `${call}-done`, kind: 'hold-before' } : { call, kind };

/** @param worldOf the socket of a site's world */
export function holdGateways(real: GatewayProvisioner, worldOf: (site: string) => string): GatewayProvisioner {
  const tell = async (site: string, verb: string): Promise<void> => {
    const connection = await WorldConnection.dial(worldOf(site), 'gateway');
    try {
      await connection.call(verb, {});
    } finally {
      await connection.close();
    }
  };
  const step = async <T>(site: string, verb: string, work: () => Promise<T>): Promise<T> => {
    await tell(site, verb);
    const done = await work();
    await tell(site, `${verb}-done`);
    return done;
  };
  const held = (gateway: Gateway): Gateway => ({
    address: gateway.address,
    barrierName: gateway.barrierName,
    identity: (options) => gateway.identity(options),
    configure: (session, options) => step(gateway.address.site, 'configure', () => gateway.configure(session, options)),
    putRoute: (id, route, options) => step(gateway.address.site, 'route', () => gateway.putRoute(id, route, options)),
    removeRoute: (id, options) => gateway.removeRoute(id, options),
    renewLease: (leaseMs, options) => gateway.renewLease(leaseMs, options),
    status: (options) => gateway.status(options),
    setLimits: (limits, options) => gateway.setLimits(limits, options),
    probe: (durationMs, options) => gateway.probe(durationMs, options),
    gone: (options) => gateway.gone(options),
    close: () => gateway.close(),
  });
  return {
    start: (address, token, options) =>
      step(address.site, 'start', async () => held(await real.start(address, token, options))),
    async attach(address, token, options) {
      const found = await real.attach(address, token, options);
      return found === undefined ? undefined : held(found);
    },
    remove: (address, token, options) => step(address.site, 'remove', () => real.remove(address, token, options)),
    removeBarrier: (address, token, options) =>
      step(address.site, 'barrier', () => real.removeBarrier(address, token, options)),
    examine: (site, options) => real.examine(site, options),
    sweep: (site, isOwned, options) => real.sweep(site, isOwned, options),
  };
}
