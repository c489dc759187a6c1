/**
 * How often one may call: a caller so many times a minute, and an address so many times with a login that lets nobody in. A
 * valid login is never refused for what others at its address do: keys have 256 random bits, so that guessing is hopeless
 * at any rate, and locking somebody out by knocking at the door would be easy. Each process counts for itself.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Principal } from '../access/principal.ts';
import { LmasError } from '../errors.ts';

const MINUTE_MS = 60_000;
/** Whoever has an IPv6 address has a whole network of them. */
const IPV6_SUBNET = 64;

/** null: unlimited. */
export interface LimitSettings {
  readonly requestsPerMinute: number | null;
  readonly failedLoginsPerMinute: number | null;
}

export interface Limits {
  /** @throws LmasError RATE_LIMITED */
  countCall(request: FastifyRequest, reply: FastifyReply, caller: Principal): Promise<void>;
  /** @throws LmasError RATE_LIMITED */
  countFailedLogin(request: FastifyRequest, reply: FastifyReply): Promise<void>;
}

/** Needs @fastify/rate-limit to be registered. */
export function createLimits(
  api: Pick<FastifyInstance, 'createRateLimit'>,
  { requestsPerMinute, failedLoginsPerMinute }: LimitSettings,
): Limits {
  const callers = new WeakMap<FastifyRequest, string>();
  const keyGenerator = (request: FastifyRequest) => callers.get(request) ?? '';
  const calls =
    requestsPerMinute === null
      ? undefined
      : api.createRateLimit({ max: requestsPerMinute, timeWindow: MINUTE_MS, keyGenerator });
  const failures =
    failedLoginsPerMinute === null
      ? undefined
      : api.createRateLimit({ max: failedLoginsPerMinute, timeWindow: MINUTE_MS, ipv6Subnet: IPV6_SUBNET });

  const count = async (limit: typeof calls, request: FastifyRequest, reply: FastifyReply, message: string) => {
    const verdict = await limit?.(request);
    if (verdict === undefined || verdict.isAllowed || !verdict.isExceeded) return;
    reply.header('retry-after', verdict.ttlInSeconds);
    throw new LmasError('RATE_LIMITED', `${message} Try again in ${verdict.ttlInSeconds} s.`);
  };
  return {
    async countCall(request, reply, { kind, id }) {
      callers.set(request, `${kind} ${id}`);
      await count(calls, request, reply, `More than ${requestsPerMinute} calls in a minute.`);
    },
    countFailedLogin: (request, reply) =>
      count(failures, request, reply, `More than ${failedLoginsPerMinute} failed logins in a minute.`),
  };
}
