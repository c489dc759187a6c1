/** Takes a definition away from a host, and nothing else. */
import { VERSION_5_6, VERSION_8_9 } from '../client.ts';
import { isFault } from '../errors.ts';
import { ERROR, UNDEFINE } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
import type { KvmSession } from '../session.ts';

/**
 * What it points to stays: disks, UEFI variables, the TPM's state; and what runs goes on. What libvirt knows of checkpoints goes with
 * it, which would be refused otherwise. "Not there" is done.
 * @throws LibvirtFault, PluginError
 */
export async function undefine(
  session: KvmSession,
  domain: Domain,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const client = await session.query({ signal });
  const version = await client.libvirtVersion({ signal });
  // An older daemon refuses a flag that it does not know.
  const checkpoints = version >= VERSION_5_6 ? UNDEFINE.checkpointsMetadata : 0;
  const keepTpm = version >= VERSION_8_9 ? UNDEFINE.keepTpm : 0;
  try {
    await client.call('domainUndefineFlags', { domain, flags: UNDEFINE.keepNvram | checkpoints | keepTpm }, { signal });
  } catch (error) {
    if (!isFault(error, ERROR.NO_DOMAIN)) throw error;
  }
}
