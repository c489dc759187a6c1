/**
 * What the two runs of take-over.test.ts share: one migration between two scripted daemons behind a real sshd, and its gateway at a
 * machine behind that sshd.
 */
import type { EndpointSession, RunIdentity } from '@lmas/plugin-api';
import { kvmPlugin } from '@lmas/plugin-kvm';
import { readBundle } from '../../apps/orchestrator/src/gateways/bundle.ts';
import type { GatewayAddress } from '../../apps/orchestrator/src/gateways/gateway.ts';
import { createSshProvisioner, type SshProvisioner } from '../../apps/orchestrator/src/gateways/provisioner.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import type { CredentialStore, SiteStore } from '../../apps/orchestrator/src/sites/sites.ts';

export interface Assignment {
  readonly vm: { readonly id: string; readonly name: string };
  readonly run: RunIdentity | undefined;
  readonly ssh: { readonly host: string; readonly port: number; readonly hostKeys: readonly string[] };
  readonly credential: { readonly kind: 'ssh-key'; readonly username: string; readonly privateKey: string };
  readonly socketPaths: { readonly source: string; readonly destination: string };
  readonly addresses: { readonly source: string; readonly destination: string };
}

const nothing = (): void => undefined;
export const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing };

export function connectEnd(
  { ssh, credential, socketPaths, addresses, run }: Assignment,
  end: 'source' | 'destination',
  signal: AbortSignal,
): Promise<EndpointSession> {
  const place = { socketPath: socketPaths[end], migrationAddress: addresses[end], sharedPaths: ['/srv/shared'] };
  const config = kvmPlugin.configSchema.parse({ ...ssh, ...place });
  return kvmPlugin.connect(config, { log: silent, credential, run }, { signal });
}

export const requestOf = ({ vm }: Assignment) => ({
  ...{ migrationId: 'm_test', vm, options: kvmPlugin.optionsSchema.parse({ disks: 'shared' }) },
  ...{ networkMap: {}, diskMap: {}, convergence: 'balanced' as const, maxDowntimeMs: null },
  ...{ bandwidthBytesPerSec: null, tunnelled: false },
});

export interface GatewayErrand {
  readonly call: 'start' | 'remove';
  readonly address: GatewayAddress;
  readonly ssh: Assignment['ssh'];
  readonly credential: Assignment['credential'];
  readonly installation: string;
  /** In the login's home. */
  readonly directory: string;
  readonly bundleFile: string;
}

export function provisionerOf({ ssh, credential, installation, directory, bundleFile }: GatewayErrand): SshProvisioner {
  return createSshProvisioner({
    sites: { get: async () => ({ gateway: { ssh: { ...ssh, credential: 'c' } } }) } as unknown as SiteStore,
    credentials: { reveal: async () => credential } as unknown as CredentialStore,
    bundle: () => readBundle(bundleFile),
    log: createLog('silent'),
    ...{ installation, directory, leaseMs: 60_000, loginRetryMs: 60_000 },
  });
}
