/**
 * What an operator sets of a host with plain Xen (`configSchema`) and of a migration between two of them
 * (`optionsSchema`). Parsed at the border, every default with its reason.
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
  host: hostName.describe('Name or address of the control domain, for SSH'),
  port: port.default(22).describe('Port of its SSH server'),
  hostKeys: z.array(fingerprint).min(1).describe('Fingerprints of the host keys that are trusted (ssh-keygen -lf)'),
  migrationAddress: z
    .union([z.ipv4(), z.ipv6()], { error: ({ input }) => (input === undefined ? 'required' : 'an IP address') })
    .describe('Address of this host in the migration network: it receives there and connects from there'),
  // Away from what libvirt and our KVM plugin use, for hosts that have been both.
  receivePorts: z
    .strictObject({ from: port.describe('The first one'), to: port.describe('The last one') })
    .refine(({ from, to }) => from <= to, 'from the lower to the higher one')
    .default({ from: 49_344, to: 49_375 })
    .describe('Ports at which this host receives, one for each migration; a firewall has to let the gateway in'),
  sharedPaths: z
    .array(absolutePath)
    .default([])
    .describe('Devices and directories that both ends see as the same storage; disks elsewhere are refused'),
  // A login over SSH often has a shorter search path than a person's shell.
  xlPath: z
    .string()
    .regex(/^(\/[^\0]+|[A-Za-z0-9_.-]+)$/, 'a program name or an absolute path')
    .default('xl')
    .describe('The xl program; a path where it is not on the search path of a login over SSH'),
  lockPath: absolutePath
    .default('/var/lock/xl')
    .describe('The file that xl locks while it makes or receives a guest: lockfile in /etc/xen/xl.conf'),
  runDirectory: absolutePath
    .default('/run/lmas-xl')
    .describe('Where notes of running migrations are kept; it has to be gone after a reboot, like the guests'),
});

export type XlConfig = z.infer<typeof configSchema>;

export const optionsSchema = z.strictObject({
  allowOtherCpu: z
    .boolean()
    .default(false)
    .describe('Move the guest although the processors of the two hosts differ; it may crash when it arrives'),
});

export type XlOptions = z.infer<typeof optionsSchema>;
