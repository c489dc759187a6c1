/**
 * The calls of relocations, as a host of a world answers them.
 */
import { z } from 'zod';
import type { Call } from './server.ts';
import type { World } from './world.ts';

const id = z.string();
const ofRelocation = z.object({ migrationId: id });
const ofVm = ofRelocation.extend({ vmId: id });
const ofDisk = ofRelocation.extend({ volume: id });
const sendArgs = ofVm.extend({ destination: id, volume: id, durationMs: z.number().nullable() });
const holdArgs = ofDisk.extend({
  guest: z.looseObject({ id, name: z.string(), memoryBytes: z.number(), vcpus: z.number() }),
});

/** Answers `undefined` for what is no call of a relocation. */
export async function carryOutRelocation(
  world: World,
  { verb, args, host }: Call,
  gone: AbortSignal,
  onProgress: (state: object) => void,
): Promise<unknown> {
  const { relocations } = world;
  switch (verb) {
    case 'look': {
      const { vmId, migrationId } = ofVm.parse(args);
      const vm = world.vm(host, vmId);
      const isHeld = vm?.heldBy === migrationId;
      return { presence: vm?.presence ?? 'absent', isHeld, isKeptOff: relocations.keptOff.has(vmId) };
    }
    case 'keep-off': {
      const { vmId, migrationId } = ofVm.parse(args);
      return relocations.keepOff(host, vmId, migrationId) ?? null;
    }
    case 'let-be': {
      const { vmId, migrationId } = ofVm.parse(args);
      return relocations.letBe(vmId, migrationId) ?? null;
    }
    case 'receive-disk': {
      const { volume, migrationId } = ofDisk.parse(args);
      return relocations.receive(host, volume, migrationId) ?? null;
    }
    case 'delete-disk': {
      const { vmId, volume, migrationId } = ofDisk.extend({ vmId: id }).parse(args);
      return relocations.deleteDisk(host, vmId, volume, migrationId) ?? null;
    }
    case 'send-disk': {
      const { vmId, migrationId: relocation, ...rest } = sendArgs.parse(args);
      return (await relocations.send(host, vmId, { relocation, ...rest, onProgress, controller: gone })) ?? null;
    }
    case 'abort-send':
      return relocations.abortSend(ofRelocation.parse(args).migrationId) ?? null;
    case 'hold': {
      const { guest, volume, migrationId } = holdArgs.parse(args);
      return relocations.hold(host, guest, volume, migrationId) ?? null;
    }
    case 'forget':
      return relocations.forget(host, ofVm.parse(args).vmId) ?? null;
    case 'let-go': {
      const { vmId, migrationId } = ofVm.parse(args);
      return relocations.letGo(host, vmId, migrationId) ?? null;
    }
    case 'drop-held': {
      const { vmId, migrationId } = ofVm.parse(args);
      return relocations.dropHeld(host, vmId, migrationId) ?? null;
    }
    default:
      return undefined;
  }
}
