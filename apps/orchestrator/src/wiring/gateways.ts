/** The gateways over SSH, with the bundle that is uploaded to their machines. */
import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { LmasError } from '../errors.ts';
import { type GatewayBundle, readBundle } from '../gateways/bundle.ts';
import type { GatewayProvisioner } from '../gateways/gateway.ts';
import { createSshProvisioner } from '../gateways/provisioner.ts';
import { keys } from '../redis/keys.ts';
import type { Inventory } from '../sites/sites.ts';
import type { Base } from './base.ts';

export async function sshGateways(
  { config, log, closers }: Base,
  redis: Redis,
  { sites, credentials }: Inventory,
): Promise<GatewayProvisioner> {
  let bundle: Promise<GatewayBundle> | undefined;
  const provisioner = createSshProvisioner({
    sites,
    credentials,
    installation: await installationId(redis),
    bundle: () => {
      bundle ??= gatewayBundle(config.gatewayBundle).catch((error: unknown) => {
        bundle = undefined; // the next gateway tries again
        throw error;
      });
      return bundle;
    },
    leaseMs: config.gatewayLeaseMs,
    loginRetryMs: config.loginRetryMs,
    log,
  });
  closers.add('SSH connections', () => provisioner.close());
  return provisioner;
}

/** Tells our gateways from those of another orchestrator that uses the same machines. */
async function installationId(redis: Redis): Promise<string> {
  await redis.setnx(keys.installation, randomBytes(4).toString('hex'));
  return (await redis.get(keys.installation)) ?? '';
}

/** The configured bundle; in a source tree, the one that its builder makes (and keeps) from apps/gateway. */
async function gatewayBundle(configured: string | undefined): Promise<GatewayBundle> {
  if (configured !== undefined) return await readBundle(configured);
  const builder = new URL('../../../gateway/bundle.ts', import.meta.url);
  const loaded: unknown = await import(builder.href).catch((cause: unknown) => {
    throw new LmasError('GATEWAY_START_FAILED', 'There is no gateway bundle.', {
      cause,
      remedy: 'Set LMAS_GATEWAY_BUNDLE to the gateway’s tar.gz.',
    });
  });
  const { buildGatewayBundle } = loaded as { buildGatewayBundle(): Promise<{ path: string }> };
  return await readBundle((await buildGatewayBundle()).path);
}
