// `npm test`: set-up, lint, types, unit tests, then the lab tests with real hosts, as many side by side as bear it.
//
// Plain JavaScript that Node 18 can read: the set-up may be what brings Node 26. Lab tests (`*.lab.test.ts`) need root
// and Debian packages; without them they are skipped, loudly, and in CI that is a failure. Ends with one line that
// sums up every test, `N passed, N failed, N skipped`.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, constants, tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { endWithNpm } from './bound-child.mjs';
import { node26, setUp } from './setup.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const HELP = `Usage: npm test -- [options]

Runs every check and test of the project, and installs what they need first.

  --only STAGE   lint, types, unit or lab; may be given more than once
  --grep TEXT    only test files whose path contains TEXT
  --json FILE    write {passed, failed, skipped, problems} as JSON
  --yes          install what is missing without asking
  --help         show this

Exit code: 0 everything passed; 1 something failed (or, in CI, was skipped); 2 wrong usage.`;

const values = readOptions();
if (values.help) {
  console.log(HELP);
  process.exit(0);
}

const SLOWEST_SHOWN = 10;
/** Most tests wait for others more than they compute: so many files side by side keep the processors busy. */
const SIDE_BY_SIDE = Math.max(3, Math.ceil(1.5 * availableParallelism()));
/** Each of the lab's has guests without hardware help: they compute. */
const LABS_SIDE_BY_SIDE = 2;
/** Of the lab's tests: those that measure (also what guests use of the processors), cut at a certain moment, or keep a guest's disk busy. */
const ALONE = /(lab\/lab|demo\.lab|kvm\.lab|post-copy\.lab|plans\.lab|balancing\.lab)\.test\.ts$/;
const STOPS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const STAGES = ['lint', 'types', 'unit', 'lab'];
const stages = values.only ?? STAGES;
for (const stage of stages) {
  if (!STAGES.includes(stage)) {
    console.error(`npm test: there is no stage "${stage}". Stages are ${STAGES.join(', ')}.`);
    process.exit(2);
  }
}

const inCi = process.env.CI === 'true';
const totals = { passed: 0, failed: 0, skipped: 0 };
const problems = [];

endWithNpm('test', 'run-script');
await setUp({ yes: values.yes || inCi });
// Every test file, and most of what it starts, is a process that loads the same modules: compiled once, for the time of the run.
process.env.NODE_COMPILE_CACHE = scratch('lmas-compiled-');

const files = ['apps', 'packages', 'plugins', 'test', 'tools']
  .flatMap((directory) => readdirSync(join(root, directory), { recursive: true }).map((path) => join(directory, path)))
  .filter((path) => /\.test\.(ts|mjs)$/.test(path) && !/(^|\/)(node_modules|dist)\//.test(path))
  .filter((path) => path.includes(values.grep))
  .sort();
const labFiles = files.filter((path) => path.endsWith('lab.test.ts'));
const unitFiles = files.filter((path) => !path.endsWith('lab.test.ts'));

if (stages.includes('lint')) await check('lint', 'lint');
if (stages.includes('types')) await check('types', 'typecheck');
if (stages.includes('unit')) await runTests('unit', unitFiles, SIDE_BY_SIDE, ['--test-timeout=300000']);
if (stages.includes('lab')) {
  if (process.getuid?.() === 0) {
    const isAlone = (path) => ALONE.test(path);
    const together = labFiles.filter((path) => !isAlone(path));
    await runTests('lab, side by side', together, LABS_SIDE_BY_SIDE, ['--test-timeout=900000']);
    await runTests('lab, one by one', labFiles.filter(isAlone), 1, ['--test-timeout=900000']);
  } else {
    totals.skipped += labFiles.length;
    banner(`SKIPPED: ${labFiles.length} lab test files. They make network namespaces and start libvirt: run as root.`);
    if (inCi) problems.push('lab (skipped in CI)');
  }
}

if (problems.length > 0) console.error(`\nFailed: ${problems.join(', ')}`);
// Lint and types count as a test each when they fail, so that the closing line never looks better than the run was.
const checksFailed = problems.filter((problem) => problem === 'lint' || problem === 'types').length;
const failed = Math.max(totals.failed + checksFailed, problems.length);
console.log(`\n${totals.passed} passed, ${failed} failed, ${totals.skipped} skipped`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ ...totals, problems }, null, 2)}\n`);
process.exit(problems.length > 0 ? 1 : 0);

function readOptions() {
  const options = {
    only: { type: 'string', multiple: true },
    grep: { type: 'string', default: '' },
    json: { type: 'string' },
    yes: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  };
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    console.error(`npm test: ${error.message}\nTry: npm test -- --help`);
    process.exit(2);
  }
}

/** Runs one check that is not a test; remembers it when it fails. Without npm, which does not pass on that it shall end. */
async function check(name, script) {
  banner(name);
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const [command, ...args] = scripts[script].split(' ');
  if ((await run(join(root, 'node_modules/.bin', command), args)) !== 0) problems.push(name);
}

/** Runs test files with Node's own runner, `concurrency` files at a time, and adds what it counted to the totals. */
async function runTests(name, paths, concurrency, flags = []) {
  if (paths.length === 0) return;
  banner(`${name}: ${paths.length} files`);
  const countFile = join(scratch('lmas-test-'), 'count.json');
  const code = await run(node26, [
    '--test',
    ...flags,
    `--test-concurrency=${concurrency}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${join(root, 'tools/count-reporter.mjs')}`,
    `--test-reporter-destination=${countFile}`,
    ...paths,
  ]);
  const counts = JSON.parse(readFileSync(countFile, 'utf8'));
  totals.passed += counts.passed;
  totals.failed += counts.failed;
  totals.skipped += counts.skipped;
  saySlowest(counts.fileMs);
  if (code !== 0) problems.push(name);
  else if (inCi && counts.skipped > 0) problems.push(`${name} (${counts.skipped} skipped in CI)`);
  else if (counts.passed === 0) problems.push(`${name} (no test ran)`);
}

/** A directory that goes with this process. */
function scratch(prefix) {
  const directory = mkdtempSync(join(tmpdir(), prefix));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** What a run's length is made of. Files run side by side: their times add up to more than the run took. */
function saySlowest(fileMs) {
  const slowest = Object.entries(fileMs)
    .sort(([, a], [, b]) => b - a)
    .slice(0, SLOWEST_SHOWN);
  console.log('\nWhat took longest:');
  for (const [file, ms] of slowest) console.log(`${(ms / 1_000).toFixed(1).padStart(8)} s  ${relative(root, file)}`);
}

function banner(text) {
  console.log(`\n── ${text} ${'─'.repeat(Math.max(0, 100 - text.length))}`);
}

/** Resolves to the exit code. Told to stop, we outlive the child's clean-up, and begin nothing more. */
function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit' });
    let stoppedBy;
    const stop = (signal) => {
      stoppedBy ??= signal;
      // Ctrl-C reaches the child itself, it is in our process group.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    };
    for (const signal of STOPS) process.on(signal, stop);
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(127);
    });
    child.on('exit', (code, signal) => {
      for (const each of STOPS) process.off(each, stop);
      if (stoppedBy !== undefined) process.exit(128 + constants.signals[stoppedBy]);
      resolve(signal ? 128 : code);
    });
  });
}
