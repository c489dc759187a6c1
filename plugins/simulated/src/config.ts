/**
 * What an endpoint and a migration of this plugin may be told.
 */
import { PLUGIN_ERRORS, type PluginErrorCode } from '@lmas/plugin-api';
import { z } from 'zod';
import { SCRIPTED_FAULTS } from './world/faults.ts';

/** The calls that an endpoint answers, in the order in which a migration, then a drill, and then a relocation makes them. */
export const VERBS = [
  'login',
  'inventory',
  'load',
  'find',
  'presence',
  'prepare',
  'change-setting',
  'perform',
  'set-bandwidth',
  'steer',
  'finish',
  'confirm',
  'abort-job',
  'delete-volume',
  'restore-setting',
  'receive',
  'begin-backup',
  'copy-disks',
  'abort-copy',
  'stop-receiving',
  'end-backup',
  'start-copy',
  'remove-copy',
  'delete-copied-volume',
  'look',
  'keep-off',
  'receive-disk',
  'send-disk',
  'abort-send',
  'hold',
  'forget',
  'let-go',
  'drop-held',
  'delete-disk',
  'let-be',
  'look-image',
  'receive-image',
  'keep-image',
  'delete-image',
] as const;
const verb = z.enum(VERBS);
const errorCodes = Object.keys(PLUGIN_ERRORS) as [PluginErrorCode, ...PluginErrorCode[]];

const vmSchema = z.strictObject({
  name: z.string().min(1).describe('Its name.'),
  id: z.string().min(1).optional().describe('Unset: made from the names of world, host and VM.'),
  memoryBytes: z
    .int()
    .min(1)
    .default(1 << 30)
    .describe('Its memory.'),
  vcpus: z.int().min(1).default(2).describe('Its processors.'),
  dirtyRateBytesPerSec: z.int().min(0).default(10_000_000).describe('How fast it writes to its memory.'),
  labels: z.array(z.string().min(1)).default([]).describe('For plans that choose by them.'),
  cpuCores: z.number().min(0).default(0).describe('What it uses of its processors.'),
  networkBytesPerSec: z.number().min(0).default(0).describe('What it sends and receives.'),
  poweredOff: z.boolean().default(false).describe('Whether it is powered off.'),
});

const storageSchema = z.strictObject({
  name: z.string().min(1).describe('Its name.'),
  capacityBytes: z
    .int()
    .min(0)
    .default(2 ** 40)
    .describe('Its size.'),
  freeBytes: z
    .int()
    .min(0)
    .default(2 ** 39)
    .describe('What of it is free.'),
  shared: z.boolean().default(false).describe('Whether other hosts see it, too.'),
});

const faultSchema = z.strictObject({
  call: verb.describe('The call that meets it.'),
  kind: z
    .enum(SCRIPTED_FAULTS)
    .describe(
      '`before`: refused; `after`: done, and an error answered; `reply-lost`: done, and the connection breaks.',
    ),
  times: z.int().min(1).nullable().default(1).describe('How many calls meet it; null: all.'),
  vm: z.string().optional().describe('Only calls about this VM, by id or name.'),
  code: z.enum(errorCodes).default('HYPERVISOR_FAULT').describe('What `before` and `after` answer.'),
});

export const configSchema = z.strictObject({
  host: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]*$/, 'lower-case letters, digits and hyphens')
    .describe('The name of this host in its world.'),
  world: z.string().min(1).default('default').describe('Hosts of one world can migrate to each other.'),
  socketPath: z
    .string()
    .min(1)
    .optional()
    .describe('A world that another process serves there. What follows is then for that process to say, and ignored.'),
  vms: z.array(vmSchema).default([]).describe('Run here from the start.'),
  cpus: z.int().min(1).default(64).describe('Processors of this host.'),
  memoryBytes: z
    .int()
    .min(1)
    .default(2 ** 40)
    .describe('Memory of this host.'),
  storage: z.array(storageSchema).default([]).describe('Shown as this host’s; nothing that moves takes room there.'),
  rateBytesPerSec: z
    .int()
    .min(1_024)
    .nullable()
    .default(null)
    .describe('What the link of this host carries for each migration; null: as much as the other end’s, or 1 Gbit/s.'),
  delaysMs: z.partialRecord(verb, z.int().min(0).max(3_600_000)).default({}).describe('How long calls take, by name.'),
  faults: z.array(faultSchema).default([]).describe('What goes wrong, each once the endpoint is first used.'),
});
export type SimulatedConfig = z.output<typeof configSchema>;

export const optionsSchema = z.strictObject({
  durationMs: z
    .int()
    .min(0)
    .nullable()
    .default(null)
    .describe(
      'How long the memory (in a drill, or of a VM that is off: the disks) takes to move, whatever the VM and the link are like; null: as they are.',
    ),
  autoConverge: z
    .boolean()
    .default(true)
    .describe('Slow the guest down when its dirty rate exceeds what the link carries.'),
  peerToPeer: z.boolean().default(false).describe('The migration goes on without the orchestrator.'),
  changeSetting: z
    .boolean()
    .default(false)
    .describe(
      'A setting of the VM is changed for the move, which is in the clear then, and put back; behind a barrier.',
    ),
  createVolume: z.boolean().default(false).describe('The destination lacks the disk: it is made, and rolled back.'),
  copyDisk: z
    .boolean()
    .default(false)
    .describe(
      'The VM has a disk of its own, which is copied, and kept at the source; what is in its place there is refused.',
    ),
});
export type SimulatedOptions = z.output<typeof optionsSchema>;
