/**
 * Disks of VMs that are copied and not shared: one image each, which stays at the host that its VM has left, as an orphan. Nobody is kept
 * from copying over one; who may, the plugin asks.
 */
import { z } from 'zod';
import { WorldError } from './errors.ts';
import type { Call } from './server.ts';

export interface Image {
  /** Whose it is, by id; null: nobody uses it. */
  usedBy: string | null;
  /** Counts how often it was copied over. */
  writes: number;
}

export class Images {
  /** `<host>:<path>` */
  readonly all = new Map<string, Image>();

  at(host: string, path: string): Image | undefined {
    return this.all.get(`${host}:${path}`);
  }

  put(host: string, path: string, usedBy: string | null): void {
    const writes = (this.at(host, path)?.writes ?? 0) + 1;
    this.all.set(`${host}:${path}`, { usedBy, writes });
  }

  /** @throws WorldError when it is another VM's */
  receive(host: string, path: string, vmId: string): void {
    const former = this.at(host, path);
    if (former !== undefined && former.usedBy !== null && former.usedBy !== vmId)
      throw new WorldError('BUSY', `${path} is the disk of another VM.`);
    this.put(host, path, vmId);
  }

  /** Its VM has left. */
  keep(host: string, path: string): void {
    this.all.set(`${host}:${path}`, { usedBy: null, writes: this.at(host, path)?.writes ?? 0 });
  }

  delete(host: string, path: string): void {
    this.all.delete(`${host}:${path}`);
  }
}

const ofImage = z.object({ path: z.string() });
const ofVm = ofImage.extend({ vmId: z.string() });

/** Answers `undefined` for what is no call about images. */
export function carryOutImage({ images }: { readonly images: Images }, { verb, args, host }: Call): unknown {
  switch (verb) {
    case 'look-image':
      return images.at(host, ofImage.parse(args).path) ?? null;
    case 'receive-image': {
      const { path, vmId } = ofVm.parse(args);
      return images.receive(host, path, vmId) ?? null;
    }
    case 'keep-image':
      return images.keep(host, ofImage.parse(args).path) ?? null;
    case 'delete-image':
      return images.delete(host, ofImage.parse(args).path) ?? null;
    default:
      return undefined;
  }
}
