/**
 * The calls of drills, as a host of a world answers them.
 */
import { z } from 'zod';
import type { Call } from './server.ts';
import type { World } from './world.ts';

const id = z.string();
const ofDrill = z.object({ migrationId: id });
const ofVm = ofDrill.extend({ vmId: id });
const ofVolume = ofDrill.extend({ volume: id });
const ofCopy = ofDrill.extend({ copyId: id });
const copyArgs = ofVm.extend({ destination: id, volume: id, durationMs: z.number().nullable() });
const startArgs = ofVm.extend({
  volume: id,
  networks: z.array(z.string()),
  copy: z.object({ id, name: z.string(), memoryBytes: z.number(), vcpus: z.number() }),
});

/** Answers `undefined` for what is no call of a drill. */
export async function carryOutDrill(
  { drills }: World,
  { verb, args, host }: Call,
  gone: AbortSignal,
  onProgress: (state: object) => void,
): Promise<unknown> {
  switch (verb) {
    case 'begin-backup': {
      const { vmId, migrationId } = ofVm.parse(args);
      return drills.beginBackup(host, vmId, migrationId) ?? null;
    }
    case 'end-backup': {
      const { vmId, migrationId } = ofVm.parse(args);
      return drills.endBackup(vmId, migrationId) ?? null;
    }
    case 'receive': {
      const { volume, migrationId } = ofVolume.parse(args);
      return drills.receive(host, volume, migrationId) ?? null;
    }
    case 'stop-receiving': {
      const { volume, migrationId } = ofVolume.parse(args);
      return drills.stopReceiving(host, volume, migrationId) ?? null;
    }
    case 'delete-copied-volume': {
      const { volume, migrationId } = ofVolume.parse(args);
      return drills.deleteVolume(host, volume, migrationId) ?? null;
    }
    case 'copy-disks': {
      const { vmId, migrationId: drill, ...rest } = copyArgs.parse(args);
      return (await drills.copyDisks(host, vmId, { drill, ...rest, onProgress, controller: gone })) ?? null;
    }
    case 'abort-copy':
      return drills.abortCopy(ofDrill.parse(args).migrationId) ?? null;
    case 'start-copy': {
      const { vmId: of, migrationId: drill, volume, networks, copy } = startArgs.parse(args);
      return drills.startCopy(host, copy, { drill, of, volume, networks }) ?? null;
    }
    case 'remove-copy': {
      const { copyId, migrationId } = ofCopy.parse(args);
      return drills.removeCopy(host, copyId, migrationId) ?? null;
    }
    default:
      return undefined;
  }
}
