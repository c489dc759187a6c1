/**
 * The checks between waves: whether something answers over HTTP, over TCP, or to a command over SSH. Each is tried again
 * until it passes or its time is up. They connect only where the guard lets them, to the very address that it looked at:
 * by https:// to public addresses, else to what LMAS_PLAN_CHECK_ALLOW names. What an answer holds is read by nobody.
 *
 * A check may be made twice when the orchestrator dies over it: commands have to bear that.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect as connectTcp, isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectSsh, sshErrorCode } from '@lmas/ssh';
import { errorCode } from '../errors.ts';
import type { CredentialStore } from '../sites/sites.ts';
import type { AddressGuard, Refusal } from '../webhooks/address-guard.ts';
import type { CheckResult, PlanCheck } from './record.ts';

export interface CheckTools {
  readonly guard: AddressGuard;
  readonly credentials: Pick<CredentialStore, 'reveal'>;
  /** Between two attempts. */
  readonly pauseMs?: number;
}

const PAUSE_MS = 2_000;

export const CHECK_REFUSAL: Refusal = {
  refused: 'CHECK_ADDRESS_REFUSED',
  notResolved: 'CHECK_NAME_NOT_RESOLVED',
  setting: 'LMAS_PLAN_CHECK_ALLOW',
};

type Of<Kind extends PlanCheck['kind']> = Extract<PlanCheck, { kind: Kind }>;

/** @throws only when `signal` aborts */
export async function runCheck(
  check: PlanCheck,
  tools: CheckTools,
  { signal }: { signal: AbortSignal },
): Promise<CheckResult> {
  const started = performance.now();
  const result = (passed: boolean, attempts: number, message: string): CheckResult => ({
    ...{ check, passed, attempts, message },
    ...{ at: new Date().toISOString(), durationMs: Math.round(performance.now() - started) },
  });
  for (let attempts = 1; ; attempts++) {
    try {
      const late = AbortSignal.timeout(check.timeoutMs);
      await attempt(check, tools, { signal: AbortSignal.any([signal, late]) });
      return result(true, attempts, `${describeCheck(check)}: passed.`);
    } catch (error) {
      signal.throwIfAborted();
      const isOver = performance.now() - started + (tools.pauseMs ?? PAUSE_MS) > check.withinMs;
      if (isOver || isFinal(error))
        return result(false, attempts, `${describeCheck(check)}: ${reasonOf(error, check)}`);
    }
    await sleep(tools.pauseMs ?? PAUSE_MS, undefined, { signal });
  }
}

export function describeCheck(check: PlanCheck): string {
  if (check.kind === 'http') return `GET ${check.url}`;
  const where = `${check.host} port ${check.port}`;
  return check.kind === 'tcp' ? `TCP to ${where}` : `${check.command[0] ?? ''} at ${where}`;
}

/** Where it connects to, as the guard reads it. */
export function urlOf(check: PlanCheck): URL {
  if (check.kind === 'http') return new URL(check.url);
  const host = isIP(check.host) === 6 ? `[${check.host}]` : check.host;
  return new URL(`${check.kind}://${host}:${check.port}`);
}

async function attempt(check: PlanCheck, tools: CheckTools, options: { signal: AbortSignal }): Promise<void> {
  switch (check.kind) {
    case 'http':
      return await tryHttp(check, tools, options);
    case 'tcp':
      return await tryTcp(check, tools, options);
    case 'ssh':
      return await trySsh(check, tools, options);
  }
}

async function tryHttp(check: Of<'http'>, { guard }: CheckTools, { signal }: { signal: AbortSignal }): Promise<void> {
  const url = new URL(check.url);
  const host = await guard.check(url);
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const status = await new Promise<number>((resolve, reject) => {
    const request = send(
      {
        ...{ host, port: url.port === '' ? undefined : Number(url.port), path: url.pathname + url.search },
        ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
        ...{ headers: { host: url.host }, agent: false, signal },
      },
      (response) => {
        resolve(response.statusCode ?? 0);
        request.destroy();
      },
    );
    request.on('error', reject);
    request.end();
  });
  if (status !== check.status) throw new Error(`answered with ${status} instead of ${check.status}.`);
}

async function tryTcp(check: Of<'tcp'>, { guard }: CheckTools, { signal }: { signal: AbortSignal }): Promise<void> {
  const host = await guard.check(urlOf(check));
  await new Promise<void>((resolve, reject) => {
    const socket = connectTcp({ host, port: check.port, signal }, () => {
      socket.destroy();
      resolve();
    });
    socket.on('error', reject);
  });
}

async function trySsh(
  check: Of<'ssh'>,
  { guard, credentials }: CheckTools,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const host = await guard.check(urlOf(check));
  const credential = await credentials.reveal(check.credential);
  const connection = await connectSsh({ host, port: check.port, hostKeys: check.hostKeys, credential }, { signal });
  try {
    const { exitCode, signal: killedBy } = await connection.exec(check.command, { signal, maxOutputBytes: 1 << 20 });
    if (exitCode !== 0)
      throw new Error(killedBy === null ? `ended with exit code ${exitCode}.` : `was ended by ${killedBy}.`);
  } finally {
    await connection.close();
  }
}

/** What another attempt would only make worse (accounts get locked) or leave as it is. */
function isFinal(error: unknown): boolean {
  const code = sshErrorCode(error);
  return code === 'LOGIN_REFUSED' || code === 'HOST_KEY_MISMATCH' || errorCode(error) === 'CHECK_ADDRESS_REFUSED';
}

function reasonOf(error: unknown, { timeoutMs }: PlanCheck): string {
  if (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError'))
    return `no answer within ${timeoutMs} ms.`;
  return error instanceof Error ? error.message : String(error);
}
