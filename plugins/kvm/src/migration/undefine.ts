/** Takes a definition away from a host, and nothing else. */
import { VERSION_8_9 } from '../client.ts';
import { isFault, toPluginError } from '../errors.ts';
import { ERROR, UNDEFINE } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
import type { KvmSession } from '../session.ts';

/**
 * What it points to stays: disks, UEFI variables, the TPM's state; and what runs goes on. "Not there" is done.
 * @throws PluginError what the daemon says, or the connection suffers
 */
export async function undefine(
  session: KvmSession,
  domain: Domain,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const client = await session.query({ signal });
  try {
    const keepTpm = (await client.libvirtVersion({ signal })) >= VERSION_8_9 ? UNDEFINE.keepTpm : 0;
    await client.call('domainUndefineFlags', { domain, flags: UNDEFINE.keepNvram | keepTpm }, { signal });
  } catch (error) {
    if (!isFault(error, ERROR.NO_DOMAIN)) throw toPluginError(error, 'removing a definition');
  }
}
