/**
 * How much of a disk holds something, at most: so much has to cross, and a backup may have to keep so much of it.
 *
 * An image that is in use can be asked. But QEMU has only in its memory what of a disk it allocated last, until the guest flushes: of 64 MiB
 * that were just written to a qcow2 the image told nothing (tried with 7.2). The file has grown by then, so what it takes counts as
 * well. A raw image has nothing but its file, which tells at once.
 */
import { z } from 'zod';
import type { DiskDefinition } from '../definition/definition.ts';
import type { HostTransport } from '../transport.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** Of `qemu-img measure`: what an image with the same content takes, tables included. */
const measureSchema = z.object({ required: z.number() });

/** Of `qemu-img info`. */
const infoSchema = z.object({
  'actual-size': z.number(),
  'backing-filename': z.string().optional(),
  'format-specific': z
    .object({ data: z.object({ 'data-file': z.string().optional() }).optional() })
    .optional()
    .catch(undefined),
});

/**
 * Of anything but a file, of an image that leans on another one, and where it cannot be asked, all of it may. libvirt's `allocation` is no such
 * number: of a raw file in use it is how far QEMU has written since it opened it, of a compressed one what it takes there.
 */
export async function heldBytes(
  host: HostTransport,
  { sourceType, format, location = '', hasBacking }: DiskDefinition,
  capacityBytes: number | null,
  options: Options,
): Promise<number> {
  const full = capacityBytes ?? 0;
  if (sourceType !== 'file' || hasBacking) return full;
  const told = ['-U', '-f', format, '--output=json'];
  const measured = await ask(host, ['measure', ...told, '-O', 'qcow2', location], measureSchema, options);
  if (measured === undefined) return full;
  if (format === 'raw') return measured.required;
  const info = await ask(host, ['info', ...told, '--', location], infoSchema, options);
  if (info === undefined || !standsAlone(info)) return full;
  return Math.max(measured.required, Math.min(info['actual-size'], full));
}

const standsAlone = ({ 'backing-filename': backing, 'format-specific': specific }: z.infer<typeof infoSchema>) =>
  backing === undefined && specific?.data?.['data-file'] === undefined;

async function ask<T>(
  host: HostTransport,
  command: readonly string[],
  schema: z.ZodType<T>,
  options: Options,
): Promise<T | undefined> {
  const { exitCode, stdout } = await host.exec(['qemu-img', ...command], options);
  return exitCode === 0 ? schema.parse(JSON.parse(stdout.toString('utf8'))) : undefined;
}
