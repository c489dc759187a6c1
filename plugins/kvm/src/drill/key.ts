/**
 * The key of one drill: whoever does not have it can neither read nor write what listens at the destination (TLS with a
 * pre-shared key, RFC 4279). It is made for the drill, lies at both hosts in a directory of the login's own, and is nowhere
 * else: not in the record, not on a command line, not in a log. Nothing needs it any more once the disks have crossed.
 */
import { randomBytes } from 'node:crypto';
import { PluginError } from '@lmas/plugin-api';
import type { HostTransport } from '../transport.ts';

interface Options {
  readonly signal: AbortSignal;
}

export const KEY_USER = 'lmas';

/** As GnuTLS reads it (psktool): `user:hex`. */
export const makeKey = (): Buffer => Buffer.from(`${KEY_USER}:${randomBytes(32).toString('hex')}\n`);

/** `mkdir` refuses whatever is there already, a link of somebody else's too. */
const PUT = 'umask 077; mkdir -- "$1" && exec cat > "$1/keys.psk"';
const DROP = 'rm -f -- "$1/keys.psk"; [ ! -d "$1" ] || rmdir -- "$1"';

/** @throws PluginError */
export async function putKey(host: HostTransport, directory: string, key: Buffer, { signal }: Options): Promise<void> {
  const { exitCode, stderr } = await host.exec(['sh', '-c', PUT, 'sh', directory], { signal, stdin: key });
  if (exitCode !== 0) throw failed(`putting the key into ${directory}`, stderr);
}

/** "Not there" is done. @throws PluginError */
export async function dropKey(host: HostTransport, directory: string, { signal }: Options): Promise<void> {
  const { exitCode, stderr } = await host.exec(['sh', '-c', DROP, 'sh', directory], { signal });
  if (exitCode !== 0) throw failed(`removing ${directory}`, stderr);
}

export function failed(doing: string, stderr: Buffer): PluginError {
  return new PluginError('HYPERVISOR_FAULT', `${doing}: ${stderr.toString('utf8').trim().slice(0, 500)}`);
}
