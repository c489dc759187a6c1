/**
 * Examines the whole installation through its API: from this command's own settings outwards, to the orchestrator, what it
 * says of itself, every gateway machine and every endpoint. What cannot be reached ends the way there, and is said; it never
 * throws for what it finds. Far ends are asked a few at a time; each is bounded by the API's own limits.
 */
import type { LmasClient } from '@lmas/client';
import { formatDuration } from '@lmas/format';
import { CliError, type Failure, failureOf } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { CLI_VERSION } from '../version.ts';
import { certificateCheck } from './certificate.ts';
import { type Check, check, type Report, verdictOf } from './report.ts';

const AT_ONCE = 8;
/** Beyond this, times in logs and on records of the two machines no longer fit together. */
const CLOCK_TOLERANCE_MS = 2_000;

export interface Examined {
  readonly url: string;
  client(): Promise<LmasClient>;
  readonly signal: AbortSignal;
  /** Told of each check as it ends. */
  onCheck(check: Check): void;
}

/** What stands in the way of everything after it. */
class Obstacle extends Error {
  readonly exitCode: ExitCode;

  constructor({ exitCode, message }: Pick<Failure, 'exitCode' | 'message'>) {
    super(message);
    this.exitCode = exitCode;
  }
}

export async function examineInstallation({ url, client: open, signal, onCheck }: Examined): Promise<Report> {
  const checks: Check[] = [];
  const note = (...found: Check[]): void => {
    for (const each of found) {
      checks.push(each);
      onCheck(each);
    }
  };
  const at = new Date().toISOString();
  try {
    const client = await orObstacle('configuration', note, open());
    note(check('configuration', 'ok', `${client.baseUrl}, with an API key`));
    await examineConnection(client, note, signal);
    await examineItself(client, note, signal);
    await examineFarEnds(client, note, signal);
    return { at, url, checks, exitCode: verdictOf(checks) };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Obstacle)) throw error;
    note(check('everything else', 'skipped', 'could not be looked at'));
    return { at, url, checks, exitCode: error.exitCode };
  }
}

type Note = (...checks: Check[]) => void;

function failedCheck(name: string, error: unknown): Check {
  const { code, message, remedy } = failureOf(error);
  return check(name, 'failed', `${code}: ${message}`, remedy ?? null);
}

/** What has to work before anything else can be asked. */
async function orObstacle<T>(name: string, note: Note, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof CliError && error.code === 'INTERRUPTED') throw error;
    note(failedCheck(name, error));
    throw new Obstacle(failureOf(error));
  }
}

async function examineConnection(client: LmasClient, note: Note, signal: AbortSignal): Promise<void> {
  const readiness = await orObstacle('connection', note, client.getReadiness({ signal }));
  const { protocol } = new URL(client.baseUrl);
  note(check('connection', 'ok', protocol === 'https:' ? 'TLS, and its certificate is trusted' : 'plain HTTP'));
  if (protocol === 'https:') note(await certificateCheck(client.baseUrl, signal));
  for (const { name, ok, detail } of readiness.checks) {
    if (ok) continue;
    const remedy = 'Look at its log and at what it needs; `lmas-orchestrator --help` lists its settings.';
    note(check(`orchestrator: ${name}`, 'failed', detail, remedy));
  }
  if (!readiness.ready) throw new Obstacle({ exitCode: EXIT.unreachable, message: 'not ready' });
  note(check('orchestrator', 'ok', 'ready'));
  const caller = await orObstacle('login', note, client.getCaller({ signal }));
  const project = caller.project === null ? '' : `, of project ${caller.project}`;
  note(check('login', 'ok', `${caller.name}, role ${caller.role}${project}`));
  const { version } = await orObstacle('version', note, client.getVersion({ signal }));
  if (version === CLI_VERSION) note(check('version', 'ok', version));
  else {
    const found = `orchestrator ${version}, this command ${CLI_VERSION}`;
    note(check('version', 'warning', found, 'Use the command that came with the orchestrator.'));
  }
}

/** Whatever this login may not ask is skipped, with the reason. */
async function asFarAsAllowed(name: string, note: Note, look: () => Promise<void>): Promise<void> {
  try {
    await look();
  } catch (error) {
    const failure = failureOf(error);
    if (failure.exitCode === EXIT.interrupted) throw error;
    if (failure.status === 403) note(check(name, 'skipped', failure.remedy ?? failure.message));
    else note(failedCheck(name, error));
  }
}

async function examineItself(client: LmasClient, note: Note, signal: AbortSignal): Promise<void> {
  await asFarAsAllowed('diagnosis', note, async () => {
    const asked = Date.now();
    const { at, checks } = await client.getDiagnosis({ signal });
    note(clockCheck(asked, Date.parse(at), Date.now()), ...checks);
  });
}

/** The orchestrator looked at its clock at some moment between question and answer. */
export function clockCheck(askedMs: number, theirsMs: number, answeredMs: number): Check {
  const offMs = theirsMs < askedMs ? askedMs - theirsMs : Math.max(0, theirsMs - answeredMs);
  if (offMs <= CLOCK_TOLERANCE_MS) return check('clock', 'ok', 'agrees with that of the orchestrator');
  const found = `${formatDuration(offMs)} ${theirsMs < askedMs ? 'ahead of' : 'behind'} that of the orchestrator`;
  return check('clock', 'warning', found, 'Let both machines follow NTP.');
}

async function examineFarEnds(client: LmasClient, note: Note, signal: AbortSignal): Promise<void> {
  const looks: (() => Promise<void>)[] = [];
  await asFarAsAllowed('sites', note, async () => {
    for (const { id, gateway } of await client.listSites({ signal })) {
      const name = `site ${id}`;
      if (gateway === null) note(check(name, 'ok', 'has no gateway machine: direct migrations only'));
      else looks.push(() => asFarAsAllowed(name, note, () => examineGateway(client, id, note, signal)));
    }
  });
  await asFarAsAllowed('endpoints', note, async () => {
    const endpoints = await client.listEndpoints({ signal });
    if (endpoints.length === 0) note(check('endpoints', 'skipped', 'none are registered'));
    for (const { id } of endpoints) {
      looks.push(() => asFarAsAllowed(`endpoint ${id}`, note, () => examineEndpoint(client, id, note, signal)));
    }
  });
  await aFewAtATime(looks);
}

async function examineGateway(client: LmasClient, site: string, note: Note, signal: AbortSignal): Promise<void> {
  const { checks } = await client.testGateway(site, { signal });
  note(...checks.map((found) => ({ ...found, name: `site ${site}: ${found.name}` })));
}

async function examineEndpoint(client: LmasClient, id: string, note: Note, signal: AbortSignal): Promise<void> {
  const name = `endpoint ${id}`;
  const { host, error, durationMs, steps } = await client.testEndpoint(id, { signal });
  const took = `after ${formatDuration(durationMs)}`;
  if (error !== null) note(check(name, 'failed', `${error.code}: ${error.message}`, error.remedy));
  else note(check(name, 'ok', host === null ? `answers ${took}` : `${host.name} (${host.version}) answers ${took}`));
  for (const { name: step, outcome, seen, remedy } of steps) {
    // The error tells of the step that it broke off in.
    if (outcome === 'failed' && seen !== error?.message) note(check(`${name}: ${step}`, 'failed', seen, remedy));
  }
}

async function aFewAtATime(looks: readonly (() => Promise<void>)[]): Promise<void> {
  const waiting = [...looks];
  const worker = async (): Promise<void> => {
    for (let look = waiting.shift(); look !== undefined; look = waiting.shift()) await look();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
