/**
 * Carries deliveries out: one attempt at a time for each webhook, signed, and what came of it in the log. What fails is
 * tried again, later and later, for about a day; a webhook that fails for long is left alone between attempts, and one
 * that never works is switched off, with the reason.
 */
import { randomUUID } from 'node:crypto';
import { Webhook as Signer } from 'standardwebhooks';
import { ownName } from '../access/owned-names.ts';
import { errorCode, LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { now } from '../migrations/record.ts';
import { TEST_EVENT } from '../schemas/webhook.ts';
import { inDeliverySpan, inPostSpan } from '../tracing/delivery-spans.ts';
import type { Job } from '../tracing/queue-spans.ts';
import { VERSION } from '../version.ts';
import type { AddressGuard } from './address-guard.ts';
import {
  type Attempt,
  CLOCK_SKEW_MS,
  type Deliveries,
  type Delivery,
  deliveryId,
  LATEST_DUE_MS,
  type StoredDelivery,
} from './deliveries.ts';
import { post } from './post.ts';
import { LONGEST_BREAK_MS, MAX_IN_LINE, type Turns } from './turns.ts';
import type { Webhook, Webhooks } from './webhooks.ts';

/** 5 s, 20 s, 80 s, 5 min, 21 min, 85 min, 6 h, 10 h with the default of LMAS_WEBHOOK_RETRY_MS. */
const MAX_TRIES = 9;
const BACK_OFF = 4;
const LONGEST_PAUSE_MS = 10 * 3_600_000;
const JITTER = 0.1;
/** There was no attempt to make after all. */
const NOTHING: Outcome = { breakMs: 0 };
/** After a failed attempt a webhook is left alone for this share of the time for which it has been failing. */
const BREAK_SHARE = 0.1;
/** The receiver says that it wants no more (Standard Webhooks). */
const GONE = 410;

export interface CourierSettings {
  readonly webhookTimeoutMs: number;
  readonly webhookRetryMs: number;
  readonly webhookDisableMs: number;
}

/** Which delivery is to be looked at next, and after how long. */
export interface Due {
  readonly deliveryId: string;
  readonly inMs: number;
}

export interface Courier {
  /** Of a delivery that may be due: one attempt of whichever has the turn at its webhook, if nobody is there. Answers what comes next. */
  deliver(id: string, job: Job): Promise<readonly Due[]>;
  /** Sends the same message again, from the first attempt. @throws LmasError DELIVERY_NOT_FOUND, WEBHOOK_DISABLED */
  redeliver(webhook: string, id: string): Promise<Delivery>;
  /** Sends a message that means nothing, to see whether it arrives. @throws LmasError WEBHOOK_NOT_FOUND, WEBHOOK_DISABLED */
  sendTest(webhook: string): Promise<Delivery>;
}

/** What one turn comes to. */
interface Outcome {
  /** After how long the next attempt is due, if there is one. */
  readonly pauseMs?: number;
  /** How long the webhook is left alone. */
  readonly breakMs: number;
}

interface Parts {
  readonly webhooks: Webhooks;
  readonly deliveries: Deliveries;
  readonly turns: Turns;
  readonly guard: AddressGuard;
  readonly enqueue: (deliveryId: string) => Promise<void>;
  /** What the spans of a migration continue. */
  readonly traceparentOf: (migrationId: string) => Promise<string | null>;
  readonly settings: CourierSettings;
  /** Told of each attempt; null: delivered. */
  readonly onAttempt: (fault: Attempt['fault']) => void;
  readonly log: Logger;
}

export function createCourier({
  webhooks,
  deliveries,
  turns,
  guard,
  enqueue,
  traceparentOf,
  settings,
  onAttempt,
  log,
}: Parts): Courier {
  const requireEnabled = async (id: string): Promise<Webhook> => {
    const webhook = await webhooks.get(id);
    const { disabled } = webhook;
    if (disabled === null) return webhook;
    throw new LmasError('WEBHOOK_DISABLED', disabled.reason, {
      remedy: 'Switch it on first: PATCH {"enabled": true}.',
    });
  };
  const attempt = async ({ id, webhook, payload }: Delivery, url: URL): Promise<Attempt> => {
    const [at, started] = [now(), performance.now()];
    const outcome = (status: number | null, fault: Attempt['fault'], message: string | null): Attempt => ({
      at,
      durationMs: Math.round(performance.now() - started),
      ...{ status, fault, message },
    });
    let address = url.hostname;
    try {
      const late = AbortSignal.timeout(settings.webhookTimeoutMs);
      address = await withinTime(guard.check(url), late);
      const headers = sign(id, payload, await webhooks.secrets(webhook));
      const send = () => post({ url, address, headers, body: payload }, { signal: late });
      const status = await inPostSpan(url, webhook, send);
      if (status >= 200 && status < 300) return outcome(status, null, null);
      const isRedirect = status >= 300 && status < 400;
      return outcome(status, isRedirect ? 'REDIRECT' : 'HTTP_STATUS', `answered with ${status}`);
    } catch (error) {
      log.info({ webhook, delivery: id, err: error }, 'an attempt to deliver to a webhook broke off');
      const [fault, message] = faultOf(error);
      return outcome(null, fault, message.replaceAll(address, url.hostname)); // what number the name has is for the log only
    }
  };
  const note = async (delivery: Delivery, last: Attempt): Promise<void> => {
    const { webhook } = delivery;
    onAttempt(last.fault);
    if (last.fault === null) return await webhooks.noteSuccess(webhook);
    log.info({ webhook, delivery: delivery.id, fault: last.fault, status: last.status }, 'a webhook was not delivered');
    if (last.status === GONE) return await webhooks.disable(webhook, 'The receiver answered with 410 Gone.');
    await webhooks.noteFailure(webhook, `${last.fault}: ${last.message}`, settings.webhookDisableMs);
  };

  const giveUp = async (stored: StoredDelivery, message: string): Promise<void> => {
    const last: Attempt = { at: now(), durationMs: 0, status: null, fault: 'WEBHOOK_DISABLED', message };
    await deliveries.save(closed(stored, last, 'failed'));
  };
  const carryOut = async (stored: StoredDelivery, job: Job): Promise<Outcome> => {
    const { delivery } = stored;
    const webhook = await webhooks.find(delivery.webhook);
    if (webhook === undefined || !isFor(stored, webhook)) {
      await giveUp(stored, 'The webhook was removed.');
      return NOTHING;
    }
    if (webhook.disabled !== null) {
      await giveUp(stored, webhook.disabled.reason);
      return NOTHING;
    }
    const send = () => attempt(delivery, new URL(webhook.url));
    const last = await inDeliverySpan(delivery, job, traceparentOf, send);
    await note(delivery, last);
    const breakMs = last.fault === null ? 0 : breakAfter(webhook);
    const tries = stored.tries + 1;
    if (last.fault === null || last.status === GONE || tries >= MAX_TRIES) {
      await deliveries.save(closed(stored, last, last.fault === null ? 'delivered' : 'failed'));
      return { breakMs };
    }
    const pauseMs = backOffMs(tries, settings.webhookRetryMs);
    const nextAttemptAt = new Date(Date.now() + pauseMs).toISOString();
    await deliveries.save({
      ...stored,
      tries,
      delivery: { ...delivery, nextAttemptAt, attempts: [...delivery.attempts, last] },
    });
    return { pauseMs, breakMs };
  };

  return {
    async deliver(id, job) {
      const due = await deliveries.find(id);
      if (due === undefined) return [];
      if (!isDue(due)) {
        // A second job of the same delivery: the first one has made the attempt, and has its successor.
        await turns.leave(due.delivery.webhook, id);
        return [];
      }
      const taken = await turns.take(due.delivery);
      if (taken === undefined) return [];
      if ('givenUp' in taken) {
        const first = await deliveries.find(taken.givenUp);
        if (first !== undefined && isDue(first))
          await giveUp(first, `${MAX_IN_LINE} messages wait for the webhook behind this one.`);
        return [];
      }
      const { turn } = taken;
      const stored = await deliveries.find(turn.id);
      const { pauseMs, breakMs } = stored !== undefined && isDue(stored) ? await carryOut(stored, job) : NOTHING;
      const next = await turns.end(turn, breakMs);
      const again = pauseMs === undefined ? [] : [{ deliveryId: turn.id, inMs: pauseMs }];
      return next === undefined ? again : [...again, { deliveryId: next, inMs: breakMs }];
    },
    async redeliver(webhook, id) {
      await requireEnabled(webhook);
      const stored = await deliveries.get(webhook, id);
      const again: Delivery = { ...stored.delivery, status: 'pending', nextAttemptAt: null };
      await deliveries.save({ ...stored, delivery: again, tries: 0 });
      await enqueue(id);
      return again;
    },
    async sendTest(webhook) {
      const registered = await requireEnabled(webhook);
      const createdAt = now();
      const data = { webhook: ownName(registered.project, webhook) };
      const delivery: Delivery = {
        ...{ id: deliveryId(webhook, randomUUID()), webhook, event: TEST_EVENT, migration: null, createdAt },
        ...{ status: 'pending', nextAttemptAt: null, attempts: [] },
        payload: JSON.stringify({ type: TEST_EVENT, timestamp: createdAt, data }),
      };
      await deliveries.add(delivery, registered);
      await enqueue(delivery.id);
      return delivery;
    },
  };
}

function isDue({ delivery: { status, nextAttemptAt } }: StoredDelivery): boolean {
  if (status !== 'pending' || nextAttemptAt === null) return status === 'pending';
  const inMs = Date.parse(nextAttemptAt) - Date.now();
  return inMs <= CLOCK_SKEW_MS || inMs > LATEST_DUE_MS;
}

/** Not for a former one of the same name: what was meant for that one is nobody else's. */
const isFor = ({ delivery, madeFor }: StoredDelivery, { createdAt }: Webhook): boolean =>
  madeFor === null ? Date.parse(delivery.createdAt) >= Date.parse(createdAt) - CLOCK_SKEW_MS : madeFor === createdAt;

function closed(stored: StoredDelivery, last: Attempt, status: 'delivered' | 'failed'): StoredDelivery {
  const { delivery, tries } = stored;
  const attempts = [...delivery.attempts, last];
  return { ...stored, tries: tries + 1, delivery: { ...delivery, status, nextAttemptAt: null, attempts } };
}

/** Headers of one attempt. The time is the attempt's own: receivers refuse old ones, so that nobody replays a message. */
function sign(id: string, payload: string, secrets: readonly string[]): Record<string, string> {
  const at = new Date();
  return {
    'content-type': 'application/json',
    'user-agent': `lmas/${VERSION}`,
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
    'webhook-signature': secrets.map((secret) => new Signer(secret).sign(id, at, payload)).join(' '),
  };
}

function backOffMs(tries: number, baseMs: number): number {
  const pause = Math.min(LONGEST_PAUSE_MS, baseMs * BACK_OFF ** (tries - 1));
  return Math.round(pause * (1 - JITTER + 2 * JITTER * Math.random()));
}

/** How long a webhook is left alone after a failed attempt: a receiver that fails for long costs little, and one that is back is soon found. */
function breakAfter({ failingSince }: Webhook): number {
  if (failingSince === null) return 0;
  const failingMs = Math.max(0, Date.now() - Date.parse(failingSince));
  return Math.min(LONGEST_BREAK_MS, Math.round(failingMs * BREAK_SHARE));
}

/** A resolver cannot be interrupted, only left alone. */
async function withinTime<T>(work: Promise<T>, late: AbortSignal): Promise<T> {
  const expired = Promise.withResolvers<never>();
  const onLate = () => expired.reject(late.reason);
  late.addEventListener('abort', onLate, { once: true });
  try {
    return await Promise.race([work, expired.promise]);
  } finally {
    late.removeEventListener('abort', onLate);
  }
}

function faultOf(error: unknown): [fault: NonNullable<Attempt['fault']>, message: string] {
  const code = errorCode(error);
  if (error instanceof LmasError && code === 'WEBHOOK_ADDRESS_REFUSED') return ['ADDRESS_REFUSED', error.message];
  if (error instanceof LmasError && code === 'WEBHOOK_NAME_NOT_RESOLVED') return ['NAME_NOT_RESOLVED', error.message];
  if (error instanceof Error && error.name === 'TimeoutError') return ['TIMEOUT', 'no answer in time'];
  const native = error instanceof Error && 'code' in error ? String(error.code) : '';
  const text = error instanceof Error ? error.message : String(error);
  return ['CONNECTION_FAILED', native === '' ? text : `${native}: ${text}`];
}
