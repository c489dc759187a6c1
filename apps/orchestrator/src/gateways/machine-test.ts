/**
 * Whether a site's machine can run gateways: reached over SSH with its pinned key, the right system, room, tools, and what
 * our gateway program that is there already, and is as it was uploaded, says of its kernel. Looking changes nothing there.
 */
import { z } from 'zod';
import { brokenOff, type Check, failed, ok, skipped, warning } from '../diagnosis/check.ts';
import { describeCode } from '../errors.ts';
import type { GatewayProvisioner } from './gateway.ts';

/** What the program takes, packed and unpacked, twice: the former version stays while migrations run from it. */
const ROOM_KIB = 512 * 1_024;

export interface MachineFacts {
  readonly system: string;
  readonly architecture: string;
  readonly kernel: string;
  readonly lacks: readonly string[];
  readonly freeKib: number | null;
  /** The directory of the program there, when it is not the one that was uploaded. */
  readonly changed: string | null;
  /** What `lmas-gateway doctor --json` printed there; null where our program is not in place, or was not run. */
  readonly doctor: string | null;
}

/** Reads what EXAMINE_MACHINE prints: one fact a line, and at the end the program's own report. */
export function parseFacts(text: string): MachineFacts {
  const [head = '', ...tail] = text.split('\nreport\n');
  const values = (word: string) =>
    head.split('\n').flatMap((line) => (line.startsWith(`${word} `) ? [line.slice(word.length + 1).trim()] : []));
  const free = Number.parseInt(values('free')[0] ?? '', 10);
  return {
    system: values('system')[0] ?? 'unknown',
    architecture: values('architecture')[0] ?? 'unknown',
    kernel: values('kernel')[0] ?? 'unknown',
    lacks: values('lacks'),
    freeKib: Number.isInteger(free) ? free : null,
    changed: values('changed')[0] ?? null,
    doctor: tail.length === 0 ? null : tail.join('\nreport\n'),
  };
}

export async function testGatewayMachine(
  gateways: Pick<GatewayProvisioner, 'examine'>,
  site: string,
  { signal }: { signal: AbortSignal },
): Promise<{ ok: boolean; durationMs: number; checks: Check[] }> {
  const started = performance.now();
  const checks = await gateways.examine(site, { signal }).then(
    (facts) => [ok('SSH', 'logged in; the host key is the pinned one'), ...judgeMachine(facts)],
    (error: unknown) => [brokenOff('SSH', signal.aborted ? signal.reason : error)],
  );
  const durationMs = Math.round(performance.now() - started);
  return { ok: checks.every(({ status }) => status !== 'failed'), durationMs, checks };
}

/** Pure. */
export function judgeMachine(facts: MachineFacts): Check[] {
  return [system(facts), tools(facts), room(facts), ...program(facts)];
}

function system({ system: name, architecture, kernel }: MachineFacts): Check {
  const found = `${name} ${kernel} on ${architecture}`;
  if (name === 'Linux' && architecture === 'x86_64') return ok('system', found);
  return failed('system', found, 'The gateway program is made for Linux on x86_64: name another machine for the site.');
}

function tools({ lacks }: MachineFacts): Check {
  if (lacks.length === 0) return ok('tools', 'all there');
  return failed('tools', `not found: ${lacks.join(', ')}`, 'Install coreutils, tar, gzip and util-linux there.');
}

function room({ freeKib }: MachineFacts): Check {
  if (freeKib === null) return skipped('space', 'df did not say');
  const found = `${Math.floor(freeKib / 1_024)} MiB free in the home of the login`;
  if (freeKib >= ROOM_KIB) return ok('space', found);
  return warning('space', found, `Make room: the program takes up to ${ROOM_KIB / 1_024} MiB.`);
}

const doctorSchema = z.array(
  z.object({
    mode: z.enum(['redirected', 'transparent']),
    checks: z.array(
      z.object({
        name: z.string(),
        verdict: z.enum(['ok', 'warning', 'missing']),
        found: z.string(),
        mend: z.string(),
      }),
    ),
  }),
);

function program({ changed, doctor }: MachineFacts): Check[] {
  const name = 'gateway program';
  if (changed !== null) {
    const found = `${describeCode('GATEWAY_CORRUPT').message} It was not run (GATEWAY_CORRUPT).`;
    return [failed(name, found, `Find out who changed ${changed} there. The next gateway that starts replaces it.`)];
  }
  if (doctor === null) return [skipped(name, 'not there yet: the first migration, or link test, puts it there')];
  const report = doctorSchema.safeParse(parseJson(doctor));
  if (!report.success) {
    return [failed(name, `does not run there: ${doctor.trim().slice(0, 200)}`, 'Remove ~/.lmas/bundles there.')];
  }
  const checksOf = (wanted: string) => report.data.find(({ mode }) => mode === wanted)?.checks ?? [];
  const transparent = checksOf('transparent').filter(({ verdict }) => verdict === 'missing');
  return [
    ok(name, 'runs there'),
    ...checksOf('redirected').map((check) => ({
      name: check.name,
      status: check.verdict === 'missing' ? ('failed' as const) : check.verdict,
      found: check.found,
      remedy: check.mend === '' ? null : check.mend,
    })),
    // Most hypervisors are told the gateway's address: a machine that cannot intercept is no worse for them.
    transparent.length === 0
      ? ok('transparent routes', 'possible')
      : skipped('transparent routes', `not possible (${transparent.map((check) => check.name).join(', ')})`),
  ];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
