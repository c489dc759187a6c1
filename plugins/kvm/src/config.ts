/**
 * What an operator sets: of an endpoint once (`configSchema`), of a migration each time (`optionsSchema`). Parsed at the
 * border, every default with its reason.
 */
import { isIP } from 'node:net';
import { z } from 'zod';

const fingerprint = z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/, 'as ssh-keygen -lf prints it: SHA256:…');
const port = z.int().min(1).max(65_535);
/** Absolute, without `..`, so that one string names one place. */
const absolutePath = z.string().regex(/^\/(?!.*(?:^|\/)\.\.(?:\/|$))/, 'an absolute path without ".."');

/** What is pasted from a shell is not looked up as a name. Of colons only an IPv6 address has any. */
const hostName = z
  .string()
  .min(1)
  .refine(
    (text) => isIP(text) !== 0 || !/[/@:[\]\s]/.test(text),
    'a name or address alone, without ssh://; another port goes into `port`, and the user into the credential',
  );

export const configSchema = z.strictObject({
  host: hostName.describe('Name or address of the libvirt host, for SSH'),
  port: port.default(22).describe('Port of its SSH server'),
  hostKeys: z.array(fingerprint).min(1).describe('Fingerprints of the host keys that are trusted (ssh-keygen -lf)'),
  socketPath: absolutePath
    .optional()
    .describe('libvirt socket; by default virtqemud-sock if it is there, else libvirt-sock'),
  migrationAddress: z
    .union([z.ipv4(), z.ipv6()], { error: ({ input }) => (input === undefined ? 'required' : 'an IP address') })
    .describe('Address of this host in the migration network: it listens there and connects from there'),
  // Beside libvirt's own 49152-49215: what is leased here is never taken by a migration that somebody starts by hand.
  portRange: z
    .strictObject({ from: port.describe('The first one'), to: port.describe('The last one') })
    .refine(({ from, to }) => to - from >= 1, 'at least two ports')
    .default({ from: 49_216, to: 49_343 })
    .describe('Ports at which this host receives memory and disks; a firewall has to let the gateway in'),
  sharedPaths: z
    .array(absolutePath)
    .default([])
    .describe('Directories that both ends see as the same storage; disks below are not copied'),
  peerToPeer: z
    .strictObject({
      uriScheme: z.enum(['qemu+tcp', 'qemu+tls', 'qemu+ssh']).describe('How it connects'),
      port: port.optional().describe('Default: 16509 for tcp, 16514 for tls, 22 for ssh'),
      username: z
        .string()
        .regex(/^[A-Za-z0-9_.-]+$/)
        .optional()
        .describe('For ssh: the user that the source host logs in as'),
      parameters: z
        .record(z.string().regex(/^[a-z_]+$/), z.string())
        .default({})
        .describe('Further parameters of the URI, e.g. { "no_verify": "1" }'),
    })
    .optional()
    .describe('How another libvirt host reaches this one in peer-to-peer mode; without it that mode is refused'),
});

export type KvmConfig = z.infer<typeof configSchema>;

const isPowerOfTwo = (number: number): boolean => Number.isInteger(Math.log2(number));

const options = z.strictObject({
  mode: z
    .enum(['direct', 'peer-to-peer'])
    .default('direct')
    .describe('Who drives: we (direct), or the source host, which then survives an orchestrator that dies'),
  disks: z
    .enum(['auto', 'shared', 'copy'])
    .default('auto')
    .describe('auto copies what is not on shared storage; shared copies nothing; copy copies every writable disk'),
  overwriteDisks: z
    .boolean()
    .default(false)
    .describe('Copy over disks that exist at the destination already, with the same size, unless a VM there uses them'),
  // A mirror in the background ends only at an instant without a write under way: over a long link a guest that writes
  // all the time never gives it one.
  synchronousWrites: z
    .boolean()
    .default(true)
    .describe(
      'While disks are copied, the guest waits until each of its writes has reached the destination too (libvirt 8.0); off, a guest that writes steadily over a long link may never get across',
    ),
  parallelConnections: z
    .int()
    .min(0)
    .max(64)
    .default(0)
    .describe('Memory streams beside the main one (QEMU multifd); 0 is off'),
  // In MiB, so that it is never smaller than a page, which QEMU refuses as well (migrate_params_check).
  xbzrleCacheMib: z
    .int()
    .min(0)
    .max(1 << 20)
    .refine((mib) => mib === 0 || isPowerOfTwo(mib), 'a power of two: QEMU takes no other')
    .default(0)
    .describe(
      'Send a page that goes again as its difference from what was sent before (QEMU xbzrle), which the source remembers in a cache of this size, a power of two; for guests that change little in many pages; 0 is off',
    ),
  postCopy: z
    .boolean()
    .default(false)
    .describe(
      'Peer to peer only: start the guest at the destination after postCopyAfterPasses and let it pull the rest of its memory over, so that it always gets across; from then on it cannot be cancelled, and an end or a link that is lost for good takes the guest along',
    ),
  postCopyAfterPasses: z
    .int()
    .min(1)
    .max(100)
    .default(1)
    .describe(
      'How many times the memory is sent over before the switch to post-copy; a guest that gets across sooner never switches',
    ),
  autoConverge: z
    .boolean()
    .default(false)
    .describe('Slow the guest down when its dirty rate exceeds what the link carries'),
  abortOnError: z.boolean().default(true).describe('Stop when a disk of the source fails meanwhile'),
  persistAtDestination: z.boolean().default(true).describe('Define the VM at the destination'),
  undefineAtSource: z.boolean().default(true).describe('Remove the definition at the source when the VM has arrived'),
  allowUnsafe: z
    .boolean()
    .default(false)
    .describe("Skip libvirt's check that the disks' caches cannot lose data (VIR_MIGRATE_UNSAFE)"),
  allowManaged: z
    .boolean()
    .default(false)
    .describe('Move a VM although another manager owns it and will not know where it went'),
  drill: z
    .strictObject({
      directory: absolutePath
        .refine((path) => !/^\/dev(\/|$)/.test(path), 'a directory of files, not of devices')
        .optional()
        .describe(
          'Directory at the destination for the disks of copies; by default that of its storage pool "default", or where the disk map points to',
        ),
      scratchDirectory: absolutePath
        .refine((path) => !/^\/dev(\/|$)/.test(path), 'a directory of files, not of devices')
        .optional()
        .describe(
          'Directory at the source for what a backup keeps of the disks while the VM writes on; by default beside each image, for others that of its storage pool "default"',
        ),
    })
    .default({})
    .describe('Of a drill: where its files go'),
});

export const optionsSchema = options
  .refine(({ postCopy, mode }) => !postCopy || mode === 'peer-to-peer', {
    path: ['postCopy'],
    message: 'Post-copy needs mode "peer-to-peer": the source host has to take it to its end, whoever dies meanwhile.',
  })
  .refine(({ postCopy, parallelConnections }) => !postCopy || parallelConnections === 0, {
    path: ['postCopy'],
    message: 'Post-copy and parallelConnections exclude each other: QEMU does not combine them.',
  })
  // QEMU refuses it since 8.2, libvirt since 9.4; before, it was accepted and whole pages were sent.
  .refine(({ xbzrleCacheMib, parallelConnections }) => xbzrleCacheMib === 0 || parallelConnections === 0, {
    path: ['xbzrleCacheMib'],
    message:
      'xbzrleCacheMib and parallelConnections exclude each other: over parallel streams QEMU sends whole pages only.',
  });

export type KvmOptions = z.infer<typeof optionsSchema>;
