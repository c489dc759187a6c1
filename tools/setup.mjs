// Set-up: says what it will install, installs only what is missing. Plain JavaScript that Node 18 reads, because Node 26 is among the things it
// installs. Run by hand (`node tools/setup.mjs --help`) or by run.mjs before every script; with nothing missing it takes milliseconds.
//
// npm packages are compared with the lock file by npm's own record of what it installed; Debian packages are looked for by their files. No daemon is started
// by an installation: a policy-rc.d that says no stands in the way while apt runs, and is taken away again whatever happens.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { DEBIAN_PACKAGES } from './debian-packages.mjs';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
/** Node 26, which runs everything but the set-up. */
export const node26 = join(ROOT, 'node_modules', '.bin', 'node');
/** The exit code that says: something has to be installed by hand. */
export const EXIT_BY_HAND = 3;

const POLICY = '/usr/sbin/policy-rc.d';
/** Known by its content: a run that was killed may have left it, and it is never taken for the machine's own. */
const OUR_POLICY = '#!/bin/sh\n# Made by the set-up of LMAS while it installs packages; may be removed.\nexit 101\n';
const EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

const HELP = `Usage: node tools/setup.mjs [options]

Installs what LMAS needs to be tried, tested and developed, and is missing: npm packages (Node 26 among them) and Debian packages.

  --yes        ask nothing
  --dry-run    say what is missing, install nothing (exit code 0 if nothing is)
  --pretend-missing A,B   treat these Debian packages as missing (to try this program)
  --npm-only   leave Debian packages alone, but for what Node 26 itself links
  --help
Exit code: 0 all there, 1 something failed or was refused, ${EXIT_BY_HAND} something must be installed by hand (said how).`;

/** A program or message for people; the scripts' own output stays clean. */
const say = (text) => process.stderr.write(`${text}\n`);

/**
 * Why `npm ci` is needed, or undefined. Optional packages of other platforms are in the lock file and never installed.
 * @param {string} root
 */
export function npmReason(root = ROOT) {
  const read = (path) => JSON.parse(readFileSync(join(root, path), 'utf8')).packages;
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) return 'no npm packages are installed';
  if (!existsSync(join(root, 'node_modules', '.bin', 'node'))) return 'Node 26 is not installed';
  const installed = read('node_modules/.package-lock.json');
  for (const [path, wanted] of Object.entries(read('package-lock.json'))) {
    const found = installed[path];
    if (path === '' || (!found && wanted.optional)) continue;
    if (!found || found.version !== wanted.version) return `${path} is not as the lock file says`;
  }
  return undefined;
}

/** Whether a file is there; `*` stands for any one directory. */
function fileExists(path) {
  const [before, after] = path.split('/*/');
  if (after === undefined) return existsSync(path);
  return existsSync(before) && readdirSync(before).some((directory) => existsSync(join(before, directory, after)));
}

/** Set-up by hand installs for the tests, as `npm test` does. */
const TESTS = 'tools/test.mjs';

/** The Debian packages that are missing, of those that everything needs and those that only `script` does: a path, and its arguments where there are any. */
export function missingPackages(pretend = [], script = TESTS) {
  return DEBIAN_PACKAGES.filter(
    ({ name, file, orElse = [], onlyFor }) =>
      (onlyFor === undefined || onlyFor.some((path) => script.startsWith(path))) &&
      (pretend.includes(name) || ![file, ...orElse].some(fileExists)),
  );
}

/** Whether Node 26 and the npm packages are there: then any script can at least say what it does. */
export const isReady = () => !npmReason() && !missingPackages().some(({ forNode }) => forNode);

/** How this machine can install Debian packages: `undefined`, or why it cannot. */
function whyByHand() {
  if (process.getuid?.() !== 0) return 'that needs root';
  if (!existsSync('/usr/bin/apt-get')) return 'this is not Debian (no apt-get)';
  return undefined;
}

function run(file, args, env = {}) {
  say(`$ ${[file, ...args].join(' ')}`);
  const { status, error } = spawnSync(file, args, {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, ...env },
  });
  if (error) say(error.message);
  return status === 0;
}

function installNpm() {
  // The npm that called us, if any: another one on PATH may be of another version.
  const npm = process.env.npm_execpath;
  // Its warnings are of the Node that runs npm; what LMAS runs under is the one that it installs.
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  return npm?.endsWith('.js') ? run(process.execPath, [npm, ...args]) : run('npm', args);
}

/** Runs `work` while no package may start a daemon. What stood in the way before stands there again afterwards. */
function withoutDaemons(work) {
  const saved = `${POLICY}.lmas-saved`;
  const restore = () => {
    rmSync(POLICY, { force: true });
    if (existsSync(saved)) renameSync(saved, POLICY);
  };
  const stop = (signal) => {
    restore();
    process.exit(EXIT_CODES[signal]);
  };
  if (existsSync(POLICY) && readFileSync(POLICY, 'utf8') !== OUR_POLICY) renameSync(POLICY, saved);
  writeFileSync(POLICY, OUR_POLICY, { mode: 0o755 });
  for (const signal of Object.keys(EXIT_CODES)) process.on(signal, stop);
  try {
    return work();
  } finally {
    restore();
    for (const signal of Object.keys(EXIT_CODES)) process.off(signal, stop);
  }
}

function installDebian(names) {
  const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const install = ['install', '--yes', '--no-install-recommends', ...names];
  return withoutDaemons(() => run('apt-get', ['update', '--quiet'], env) && run('apt-get', install, env));
}

async function agreed(yes) {
  if (yes || process.env.CI) return true;
  if (!process.stdin.isTTY) {
    say('(not a terminal, so nobody to ask: going on)');
    return true;
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await lines.question('Install this now? [Y/n] ').catch((error) => {
    say('');
    if (error.message.includes('Ctrl+C')) process.exit(130);
    return 'n'; // Ctrl-D
  });
  lines.close();
  return /^(y|yes|)$/i.test(answer.trim());
}

function sayPlan(reason, packages) {
  say('LMAS needs:');
  if (reason) say(`  npm packages, Node 26 among them, into node_modules (npm ci): ${reason}`);
  for (const { name, why } of packages) say(`  Debian package ${name}: ${why}`);
}

/**
 * Makes sure that everything is there; says and asks before it installs.
 * @param {{ yes?: boolean, dryRun?: boolean, npmOnly?: boolean, pretendMissing?: string[], script?: string }} options
 * @returns {Promise<number>} exit code, see HELP
 */
export async function install(options = {}) {
  const reason = npmReason();
  const missing = missingPackages(options.pretendMissing, options.script);
  const packages = options.npmOnly ? missing.filter(({ forNode }) => forNode) : missing;
  if (!reason && packages.length === 0) return 0;
  sayPlan(reason, packages);
  const byHand = packages.length > 0 ? whyByHand() : undefined;
  const names = packages.map(({ name }) => name);
  if (byHand) {
    say(`The Debian packages cannot be installed from here: ${byHand}. Please run, as root:`);
    say(`  apt-get install --no-install-recommends ${names.join(' ')}`);
    say('(or what your system calls them), and then this again.');
    return EXIT_BY_HAND;
  }
  if (options.dryRun) return 1;
  if (!(await agreed(options.yes))) {
    say('Nothing was installed, and nothing was done. By hand, as root:');
    if (reason) say('  npm ci');
    if (names.length > 0) say(`  apt-get install --no-install-recommends ${names.join(' ')}`);
    return 1;
  }
  if (reason && !installNpm()) return 1;
  if (names.length > 0 && !installDebian(names)) return 1;
  if (packages.some(({ forNode }) => !forNode))
    say(
      'Installed. None of their daemons was started; `systemctl disable --now redis-server libvirtd ssh` keeps them off after a reboot too.',
    );
  return 0;
}

/**
 * Set-up for a program that cannot go on without it: ends the process when it fails. Without root Debian packages are left alone, but
 * for what Node links: such a program has to do without the lab anyway, and say so.
 * @param {{ yes?: boolean }} options
 */
export async function setUp({ yes = false } = {}) {
  const code = await install({ yes, npmOnly: process.getuid?.() !== 0 });
  if (code !== 0) process.exit(code);
}

function parse(argv) {
  const options = {};
  for (let i = 0; i < argv.length; i++) {
    if (argv[i] === '--yes') options.yes = true;
    else if (argv[i] === '--dry-run') options.dryRun = true;
    else if (argv[i] === '--npm-only') options.npmOnly = true;
    else if (argv[i] === '--pretend-missing') options.pretendMissing = (argv[++i] ?? '').split(',');
    else return undefined;
  }
  return options;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const argv = process.argv.slice(2);
  const options = parse(argv);
  if (argv.includes('--help')) console.log(HELP);
  else if (!options) {
    say(`unknown option; see --help`);
    process.exitCode = 2;
  } else process.exitCode = await install(options);
}
