/**
 * Files out of Debian packages that need not be installed for them, a kernel above all: an installed one would want to be booted. Downloaded by
 * apt, unpacked beside the lab's compiled programs, and kept there.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir } from '../../../lab/src/build.ts';
import { run } from '../../../lab/src/command.ts';

const DOWNLOAD_TIMEOUT_MS = 300_000;
/** It stands in the metapackage's dependencies, with the version of the kernel in its name. */
const KERNEL = /^Depends: (linux-image-\S+-cloud-amd64)\b/m;

/** Path of the kernel that Debian makes for virtual machines. */
export async function debianKernel(signal: AbortSignal): Promise<string> {
  const about = await run('apt-cache', ['show', '--no-all-versions', 'linux-image-cloud-amd64'], { signal });
  const [, name] = KERNEL.exec(about.stdout) ?? [];
  if (name === undefined) throw new Error('No linux-image-cloud-amd64 is known to apt. Run: apt-get update');
  const boot = join(await unpacked(name, signal), 'boot');
  const kernel = readdirSync(boot).find((file) => file.startsWith('vmlinuz'));
  if (kernel === undefined) throw new Error(`There is no kernel in the package ${name}.`);
  return join(boot, kernel);
}

/** Path of busybox, linked statically. */
export async function debianBusybox(signal: AbortSignal): Promise<string> {
  return join(await unpacked('busybox-static', signal), 'bin/busybox');
}

/** The directory with what is in the package. */
async function unpacked(name: string, signal: AbortSignal): Promise<string> {
  const directory = join(cacheDir(), 'packages', name);
  if (existsSync(directory)) return directory;
  mkdirSync(join(cacheDir(), 'packages'), { recursive: true, mode: 0o700 });
  const temporary = mkdtempSync(`${directory}.`);
  try {
    // A shell for its `cd`: apt downloads to where it stands.
    const download = 'cd "$1" && apt-get download --quiet "$2"';
    await run('sh', ['-c', download, 'sh', temporary, name], { signal, timeoutMs: DOWNLOAD_TIMEOUT_MS });
    const file = readdirSync(temporary).find((path) => path.endsWith('.deb'));
    if (file === undefined) throw new Error(`apt has downloaded no package ${name}.`);
    const content = join(temporary, 'content');
    await run('dpkg-deb', ['--extract', join(temporary, file), content], { signal });
    renameSync(content, directory);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return directory;
}
