/**
 * How a run of KVM takes a migration over: packages/ssh ends the connections of earlier runs at the host, and with them
 * every stream that they had forwarded to libvirt. Here is what is libvirt's own: for how long one has to wait without that.
 */
import type { Logger, RunIdentity } from '@lmas/plugin-api';
import { type SshConnection, takeOver as takeOverSsh } from '@lmas/ssh';
import { toPluginError } from './errors.ts';

/**
 * Without a mark only libvirt itself ends a stopped client: after 5 s of silence and five pings, 5 s apart
 * (keepalive_interval and keepalive_count of libvirtd.conf), and some for the daemon.
 */
export const UNMARKED_WAIT_MS = 40_000;

interface Options {
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Tests shorten it. */
  readonly unmarkedWaitMs?: number;
}

/** @throws PluginError SUPERSEDED when a later run is here, TIMEOUT when an old connection does not go, as `takeOver` of ssh */
export async function takeOver(ssh: SshConnection, run: RunIdentity, options: Options): Promise<void> {
  const { signal, log, unmarkedWaitMs = UNMARKED_WAIT_MS } = options;
  try {
    await takeOverSsh(ssh, run, { signal, log, unmarkedWaitMs });
  } catch (error) {
    throw toPluginError(error, `taking over at ${ssh.peer}`);
  }
}
