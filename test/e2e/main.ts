/**
 * `npm run e2e -- NAME`: one end-to-end proof on the lab. A proof is a file `NAME.lab.test.ts` beside this one, so that
 * `npm test` runs the same; some take others along.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { assertRoot, LabError } from '../lab/src/index.ts';

const SUFFIX = '.lab.test.ts';
const COUNT_REPORTER = new URL('../../tools/count-reporter.mjs', import.meta.url).href;
const proofs = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(SUFFIX))
  .map((file) => file.slice(0, -SUFFIX.length))
  .sort();

/** What acts by itself, at the right time, is one proof: schedules and plans move VMs, and so does balancing. */
const TAKES_ALONG: Readonly<Record<string, readonly string[]>> = { plans: ['balancing'] };

const HELP = `Usage: npm run e2e -- NAME [options]

Runs one end-to-end proof on the lab. Proofs: ${proofs.join(', ')}.
${Object.entries(TAKES_ALONG)
  .map(([name, others]) => `${name} takes ${others.join(' and ')} along.`)
  .join('\n')}

  --grep PATTERN only tests whose name matches this regular expression
  --json FILE    write {passed, failed, skipped} as JSON
  --yes          install what is missing without asking
  --help         show this

Exit code: 0 proved; 1 not so; 2 wrong usage; 3 something has to be installed by hand first.`;

function readOptions() {
  const options = {
    grep: { type: 'string' },
    json: { type: 'string' },
    yes: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  } as const;
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
    return undefined;
  }
}

async function prove(name: string, grep: string | undefined, jsonFile: string | undefined): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'lmas-e2e-'));
  const countFile = join(directory, 'count.json');
  try {
    const reporters = ['spec', 'stdout', COUNT_REPORTER, countFile];
    const flags = reporters.map((value, i) => `--test-reporter${i % 2 === 0 ? '' : '-destination'}=${value}`);
    if (grep !== undefined) flags.push(`--test-name-pattern=${grep}`);
    const files = [name, ...(TAKES_ALONG[name] ?? [])].map((proof) => join(import.meta.dirname, proof + SUFFIX));
    // One after the other: each has a lab of its own, and the machine for itself.
    const child = spawn(process.execPath, ['--test', '--test-concurrency=1', ...flags, ...files], { stdio: 'inherit' });
    process.on('SIGINT', () => undefined); // Ctrl-C reaches the child itself; we only have to outlive it.
    const [code] = await once(child, 'exit');
    const counts = JSON.parse(readFileSync(countFile, 'utf8')) as Record<'passed' | 'failed' | 'skipped', number>;
    const { passed, failed, skipped } = counts;
    if (jsonFile !== undefined) writeFileSync(jsonFile, `${JSON.stringify({ passed, failed, skipped })}\n`);
    // A pattern that matches nothing, and a test that was skipped, prove nothing.
    const proved = code === 0 && passed > 0 && skipped === 0;
    if (code === 0 && !proved) console.error(`Nothing is proved: ${passed} passed, ${skipped} skipped.`);
    return proved ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Said once, and not by each test. */
function mayRun(): boolean {
  try {
    assertRoot();
    return true;
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
    return false;
  }
}

const parsed = readOptions();
const name = parsed?.positionals[0];
if (parsed?.values.help) {
  console.log(HELP);
} else if (!parsed || name === undefined || parsed.positionals.length > 1 || !proofs.includes(name)) {
  if (name !== undefined && !proofs.includes(name))
    console.error(`There is no proof "${name}"; there is: ${proofs.join(', ')}.`);
  else if (parsed) console.error(HELP);
  process.exitCode = 2;
} else if (mayRun()) {
  process.exitCode = await prove(name, parsed.values.grep, parsed.values.json);
}
