/** An initial RAM file system for Linux: a cpio archive in the "newc" form (Linux, Documentation/driver-api/early-userspace/buffer-format.rst). Pure. */

export interface ArchiveFile {
  /** Without a slash at the start. */
  readonly path: string;
  readonly content: Buffer;
  readonly mode: number;
}

const REGULAR = 0o100000;
const DIRECTORY = 0o040000;

/** The directories above the files are made as well. */
export function cpioArchive(files: readonly ArchiveFile[], emptyDirectories: readonly string[] = []): Buffer {
  const directories = new Set<string>();
  const addAbove = (path: string): void => {
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) directories.add(path.slice(0, end));
  };
  for (const path of [...files.map((file) => file.path), ...emptyDirectories.map((path) => `${path}/`)]) addAbove(path);
  const none = Buffer.alloc(0);
  let number = 1;
  const entries = [
    ...[...directories].sort().map((path) => entry(number++, path, DIRECTORY | 0o755, none)),
    ...files.map(({ path, mode, content }) => entry(number++, path, REGULAR | mode, content)),
    entry(0, 'TRAILER!!!', 0, none),
  ];
  return Buffer.concat(entries);
}

/** Thirteen fields of eight hex digits behind the magic; name and content each filled up to four bytes. */
function entry(number: number, path: string, mode: number, content: Buffer): Buffer {
  const [owner, group, links, time] = [0, 0, 1, 0];
  const fields = [number, mode, owner, group, links, time, content.length, 0, 0, 0, 0, path.length + 1, 0];
  const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${path}\0`;
  return Buffer.concat([filledUp(Buffer.from(head, 'latin1')), filledUp(content)]);
}

const filledUp = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
