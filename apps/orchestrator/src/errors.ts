/**
 * The errors of the orchestrator: one table, one class. `httpStatus` is there for codes that an API call may be answered
 * with; the others are found in a migration's record or end the process at start. Compare `code`, never text.
 */
import { PLUGIN_ERRORS, type PluginErrorCode, pluginErrorCode } from '@lmas/plugin-api';

interface ErrorEntry {
  readonly message: string;
  /** The same request may succeed later, unchanged. */
  readonly retryable: boolean;
  readonly httpStatus?: number;
}

export const ORCHESTRATOR_ERRORS = {
  // Requests
  INVALID_REQUEST: { message: 'The request does not have the documented shape.', retryable: false, httpStatus: 400 },
  INVALID_CURSOR: { message: 'The cursor was not made by this API.', retryable: false, httpStatus: 400 },
  UNAUTHENTICATED: { message: 'A login is needed, and this is none.', retryable: false, httpStatus: 401 },
  RATE_LIMITED: { message: 'Too many calls; Retry-After says when to come back.', retryable: true, httpStatus: 429 },
  FORBIDDEN: { message: 'This login may not do that.', retryable: false, httpStatus: 403 },
  NOT_FOUND: { message: 'There is nothing at this address.', retryable: false, httpStatus: 404 },
  METHOD_NOT_ALLOWED: { message: 'This address does not know that method.', retryable: false, httpStatus: 405 },
  PRECONDITION_FAILED: {
    message: 'It has been changed since you looked at it.',
    retryable: false,
    httpStatus: 412,
  },
  PRECONDITION_REQUIRED: {
    message: 'A change has to say which version it is a change of.',
    retryable: false,
    httpStatus: 428,
  },
  BODY_TOO_LARGE: { message: 'The body is larger than this address takes.', retryable: false, httpStatus: 413 },
  UNSUPPORTED_MEDIA_TYPE: { message: 'The body must be application/json.', retryable: false, httpStatus: 415 },
  INTERNAL: { message: 'A defect in the orchestrator; its log says more.', retryable: false, httpStatus: 500 },
  UNAVAILABLE: { message: 'The orchestrator cannot answer now.', retryable: true, httpStatus: 503 },
  FAR_END_TIMEOUT: { message: 'The far end did not answer in time.', retryable: true, httpStatus: 504 },
  // What requests name
  CREDENTIAL_NOT_FOUND: { message: 'No such credential.', retryable: false, httpStatus: 404 },
  API_KEY_NOT_FOUND: { message: 'No such API key.', retryable: false, httpStatus: 404 },
  PROJECT_NOT_FOUND: { message: 'No such project.', retryable: false, httpStatus: 404 },
  SITE_NOT_FOUND: { message: 'No such site.', retryable: false, httpStatus: 404 },
  ENDPOINT_NOT_FOUND: { message: 'No such endpoint.', retryable: false, httpStatus: 404 },
  LINK_NOT_FOUND: { message: 'No such link.', retryable: false, httpStatus: 404 },
  MIGRATION_NOT_FOUND: { message: 'No such migration.', retryable: false, httpStatus: 404 },
  UNKNOWN_REFERENCE: { message: 'The body names something that does not exist.', retryable: false, httpStatus: 422 },
  ALREADY_EXISTS: { message: 'Something of that name exists already.', retryable: false, httpStatus: 409 },
  IN_USE: { message: 'Others still need it.', retryable: true, httpStatus: 409 },
  INVALID_ENDPOINT_CONFIG: { message: 'The plugin does not accept this config.', retryable: false, httpStatus: 422 },
  INVALID_OPTIONS: { message: 'The plugin does not accept these options.', retryable: false, httpStatus: 422 },
  INVALID_CREDENTIAL: { message: 'The credential cannot be used as it is.', retryable: false, httpStatus: 422 },
  NO_HOST_KEYS: { message: 'This endpoint is not known by SSH host keys.', retryable: false, httpStatus: 422 },
  OTHER_HOST_KEYS_PINNED: {
    message: 'Other host keys are pinned than the caller thinks.',
    retryable: false,
    httpStatus: 409,
  },
  SAME_ENDPOINT: { message: 'Source and destination are the same endpoint.', retryable: false, httpStatus: 422 },
  ENDPOINT_CORDONED: { message: 'The destination takes no VMs: it is cordoned.', retryable: true, httpStatus: 409 },
  DIFFERENT_PLUGINS: {
    message: 'Source and destination are hypervisors of different kinds.',
    retryable: false,
    httpStatus: 422,
  },
  NO_GATEWAY: { message: 'A site without a gateway machine cannot have a tunnel.', retryable: false, httpStatus: 422 },
  NO_LISTENER: {
    message: 'Neither site lets the other open connections to it.',
    retryable: false,
    httpStatus: 422,
  },
  IDEMPOTENCY_KEY_REUSED: {
    message: 'The Idempotency-Key was used for a different request.',
    retryable: false,
    httpStatus: 422,
  },
  TIMETABLE_NOT_FOUND: { message: 'No bandwidth timetable was set for it.', retryable: false, httpStatus: 404 },
  SCHEDULE_NOT_FOUND: { message: 'No such schedule.', retryable: false, httpStatus: 404 },
  INVALID_SCHEDULE: { message: 'The schedule makes no sense as it is.', retryable: false, httpStatus: 422 },
  SCHEDULE_BUSY: { message: 'A run of this schedule is under way.', retryable: true, httpStatus: 409 },
  SCHEDULE_PAUSED: { message: 'The schedule is paused.', retryable: false, httpStatus: 409 },
  PLAN_NOT_FOUND: { message: 'No such plan.', retryable: false, httpStatus: 404 },
  PLAN_RUN_NOT_FOUND: { message: 'No such run of a plan.', retryable: false, httpStatus: 404 },
  INVALID_PLAN: { message: 'The plan cannot be carried out as it is.', retryable: false, httpStatus: 422 },
  PLAN_NOT_READY: { message: 'What has to come before this plan has not been done.', retryable: true, httpStatus: 409 },
  PLAN_BUSY: { message: 'A run that moves the same VMs is under way.', retryable: true, httpStatus: 409 },
  RUN_STATE: { message: 'The run is not in a state in which that can be done.', retryable: false, httpStatus: 409 },
  CHECK_ADDRESS_REFUSED: { message: 'Checks of plans do not connect to this address.', retryable: false },
  CHECK_NAME_NOT_RESOLVED: { message: 'The name in a check of a plan has no address.', retryable: true },
  WEBHOOK_NOT_FOUND: { message: 'No such webhook.', retryable: false, httpStatus: 404 },
  TOO_MANY_WEBHOOKS: { message: 'No more webhooks can be registered.', retryable: false, httpStatus: 409 },
  DELIVERY_NOT_FOUND: { message: 'No such delivery.', retryable: false, httpStatus: 404 },
  WEBHOOK_ADDRESS_REFUSED: { message: 'Webhooks are not sent to this address.', retryable: false, httpStatus: 422 },
  WEBHOOK_NAME_NOT_RESOLVED: { message: 'The name of the receiver has no address.', retryable: true, httpStatus: 422 },
  WEBHOOK_DISABLED: { message: 'The webhook is switched off.', retryable: false, httpStatus: 409 },
  BALANCING_POLICY_NOT_FOUND: { message: 'No such balancing policy.', retryable: false, httpStatus: 404 },
  BALANCING_MOVE_NOT_FOUND: { message: 'No such move.', retryable: false, httpStatus: 404 },
  BALANCING_RUN_NOT_FOUND: { message: 'No such scheduled pass.', retryable: false, httpStatus: 404 },
  INVALID_BALANCING_POLICY: { message: 'Such a policy makes no sense.', retryable: false, httpStatus: 422 },
  BALANCING_BUSY: { message: 'Somebody looks after this policy just now.', retryable: true, httpStatus: 409 },
  BALANCING_PAUSED: { message: 'The policy is paused.', retryable: false, httpStatus: 409 },
  MOVE_ANSWERED: { message: 'The move does not wait for an answer any more.', retryable: false, httpStatus: 409 },
  MOVE_OUTDATED: { message: 'Things have changed: the move is no longer right.', retryable: false, httpStatus: 409 },
  // Migrations
  DRILL_NOT_SUPPORTED: {
    message: 'The plugin has no drills.',
    retryable: false,
    httpStatus: 422,
  },
  DRILL_COPY_ENDED: {
    message: 'The copy came up, and was not there any more when it was to be undone.',
    retryable: false,
  },
  RELOCATION_NOT_SUPPORTED: {
    message: 'The plugin moves running VMs only.',
    retryable: false,
    httpStatus: 422,
  },
  PRIORITY_TOO_HIGH: {
    message: 'The project may not ask for so high a priority.',
    retryable: false,
    httpStatus: 422,
  },
  PROJECT_QUEUE_FULL: {
    message: 'As many migrations of the project wait as it may have waiting.',
    retryable: true,
    httpStatus: 409,
  },
  VM_ALREADY_MIGRATING: { message: 'Another migration of this VM is under way.', retryable: true, httpStatus: 409 },
  ALREADY_ENDED: { message: 'The migration is over.', retryable: false, httpStatus: 409 },
  NOTHING_TO_RETRY: {
    message: 'Only what failed or was cancelled can be tried again.',
    retryable: false,
    httpStatus: 409,
  },
  NOTHING_TO_GIVE_UP: {
    message: 'Nothing of this migration is left that could not be taken down.',
    retryable: false,
    httpStatus: 409,
  },
  NOTHING_BY_HAND: {
    message: 'Nobody is asked to do anything by hand for this migration.',
    retryable: false,
    httpStatus: 409,
  },
  PAST_POINT_OF_NO_RETURN: {
    message: 'The hand-over has begun; the migration can only be finished.',
    retryable: false,
    httpStatus: 409,
  },
  CHECK_FAILED: { message: 'The checks found a reason not to migrate.', retryable: false },
  CANCELLED: { message: 'Stopped on request.', retryable: false },
  STAGE_TIMEOUT: { message: 'A stage took longer than the request allows.', retryable: true },
  NO_PROGRESS: { message: 'The migration stood still for longer than the request allows.', retryable: true },
  INTERRUPTED: { message: 'The orchestrator was interrupted in the middle of it.', retryable: true },
  SUPERSEDED: { message: 'Another run has taken this migration over.', retryable: false },
  WITHDRAWN: { message: 'Whoever ordered it has withdrawn the order.', retryable: false },
  WRITES_FORGOTTEN: { message: 'Redis has forgotten what was written to it.', retryable: true },
  OUTCOME_UNKNOWN: { message: 'It could not be made sure where the VM runs.', retryable: false },
  BOTH_RUNNING: { message: 'The VM runs at both ends.', retryable: false },
  // Gateways
  GATEWAY_UNREACHABLE: { message: 'The gateway machine cannot be reached.', retryable: true, httpStatus: 502 },
  GATEWAY_START_FAILED: { message: 'The gateway could not be started.', retryable: true, httpStatus: 502 },
  GATEWAY_REFUSED: { message: 'The gateway refused what it was asked.', retryable: false, httpStatus: 502 },
  GATEWAY_ENDED: { message: 'The gateway is not there any more.', retryable: true, httpStatus: 502 },
  GATEWAY_CORRUPT: {
    message: 'The gateway program at the site is not the one that was uploaded.',
    retryable: true,
    httpStatus: 502,
  },
  PAIR_IN_USE: {
    message: 'Another migration between the same two hosts is intercepted; the two could not be told apart.',
    retryable: true,
    httpStatus: 409,
  },
  INTERCEPTION_FAILED: {
    message: 'The gateway machine cannot intercept connections (transparent mode).',
    retryable: false,
    httpStatus: 502,
  },
  NO_FREE_PORT: { message: 'No port of tunnelPorts is free.', retryable: true, httpStatus: 502 },
  TUNNEL_NOT_ESTABLISHED: { message: 'The two gateways did not find each other.', retryable: true, httpStatus: 502 },
  // Start of the process
  INVALID_CONFIG: { message: 'A setting is wrong.', retryable: false },
  DATA_DIR_IN_USE: { message: 'Another orchestrator uses this data directory.', retryable: true },
  REDIS_UNSUITABLE: { message: 'This Redis would lose migrations.', retryable: false },
  STORE_TOO_NEW: {
    message: 'The records were written by a later version that this one cannot read.',
    retryable: false,
  },
  REDIS_START_FAILED: { message: 'The private redis-server did not start.', retryable: true },
  BACKUP_FAILED: { message: 'The records could not be backed up, or restored.', retryable: true },
  MASTER_KEY_INVALID: {
    message: 'The master key is missing, readable by others, or not the one that is needed.',
    retryable: false,
  },
  MASTER_KEY_NOT_WRITTEN: { message: 'The file of the master key could not be written.', retryable: true },
  PLUGIN_INVALID: { message: 'The package is no plugin of this API version.', retryable: false },
} as const satisfies Record<string, ErrorEntry>;

export type OrchestratorErrorCode = keyof typeof ORCHESTRATOR_ERRORS;

/** What a code means, and the status of an answer that carries it. */
export function describeCode(code: OrchestratorErrorCode): { readonly message: string; readonly httpStatus: number } {
  const { message, httpStatus = 500 }: ErrorEntry = ORCHESTRATOR_ERRORS[code];
  return { message, httpStatus };
}

export class LmasError extends Error {
  override readonly name = 'LmasError';
  readonly code: OrchestratorErrorCode;
  readonly retryable: boolean;
  /** One sentence for the operator: what to do next. */
  readonly remedy: string | undefined;
  /** For INVALID_REQUEST and its like: every single complaint. */
  readonly issues: readonly Issue[] | undefined;

  constructor(
    code: OrchestratorErrorCode,
    message?: string,
    extra: { cause?: unknown; remedy?: string; issues?: readonly Issue[] } = {},
  ) {
    super(message ?? ORCHESTRATOR_ERRORS[code].message, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.code = code;
    this.retryable = ORCHESTRATOR_ERRORS[code].retryable;
    this.remedy = extra.remedy;
    this.issues = extra.issues;
  }
}

export interface Issue {
  readonly path: string;
  readonly message: string;
}

/** Our own code of an error, or `undefined`. */
export function errorCode(error: unknown): OrchestratorErrorCode | undefined {
  return error instanceof LmasError ? error.code : undefined;
}

/** True when a run must not go on, whoever noticed it: another one has taken over, or has to, since Redis forgot writes. */
export function isSuperseded(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'SUPERSEDED' || code === 'WRITES_FORGOTTEN' || pluginErrorCode(error) === 'SUPERSEDED';
}

/** What a plugin's fault becomes when a call of the API met it. Everything else is the far end's fault: 502. */
const PLUGIN_HTTP_STATUS: Partial<Record<PluginErrorCode, number>> = {
  INVALID_CONFIG: 422,
  VM_NOT_FOUND: 404,
  BUSY: 409,
  TIMEOUT: 504,
};

export interface ErrorFacts {
  readonly code: string;
  /** What this code means, always the same words. */
  readonly meaning: string;
  /** What happened this time. */
  readonly message: string;
  readonly remedy: string | null;
  readonly retryable: boolean;
  readonly httpStatus: number;
  readonly native: { readonly name: string; readonly message: string } | null;
}

/** What hypervisors and systems say often lacks its full stop, and more is said after it. */
const asSentence = (text: string): string => (/[.!?…]$/.test(text) ? text : `${text}.`);

/** Everything that a record or an answer says about an error. Unknown errors show nothing of their text. */
export function describeError(error: unknown): ErrorFacts {
  if (error instanceof LmasError) {
    const entry: ErrorEntry = ORCHESTRATOR_ERRORS[error.code];
    return {
      code: error.code,
      meaning: entry.message,
      message: error.message,
      remedy: error.remedy ?? null,
      retryable: error.retryable,
      httpStatus: entry.httpStatus ?? 500,
      native: null,
    };
  }
  const code = pluginErrorCode(error);
  if (code !== undefined && error instanceof Error) {
    const extra = error as { native?: { name: string; message: string }; remedy?: string; retryable?: boolean };
    return {
      code,
      meaning: PLUGIN_ERRORS[code].meaning,
      message: asSentence(error.message),
      remedy: extra.remedy ?? null,
      retryable: extra.retryable ?? PLUGIN_ERRORS[code].retryable,
      httpStatus: PLUGIN_HTTP_STATUS[code] ?? 502,
      native: extra.native ?? null,
    };
  }
  const { message, retryable, httpStatus } = ORCHESTRATOR_ERRORS.INTERNAL;
  return { code: 'INTERNAL', meaning: message, message, remedy: null, retryable, httpStatus, native: null };
}
