/**
 * The settings: read from the environment once, each with its default and the reason for it. Nothing else in the
 * orchestrator reads `process.env`.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { LmasError } from './errors.ts';
import { parseRedisUrl } from './redis/address.ts';
import { DEFAULT_SILENCE_MS } from './redis/heartbeat.ts';
import { type Network, parseNetwork } from './webhooks/address-guard.ts';

const duration = (defaultMs: number) => z.coerce.number().int().min(100).default(defaultMs);
const limit = (value: number) =>
  z.union([z.literal('null').transform(() => null), z.coerce.number().int().min(1)]).default(value);
const commaSeparated = (value: string) =>
  z
    .string()
    .default(value)
    .transform((list) =>
      list
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== ''),
    );
const count = (value: number) => z.coerce.number().int().min(1).default(value);

/** What is chosen for a lease that is very short: a busy disk is no Redis that is away. */
const SHORTEST_OWN_SILENCE_MS = 1_500;

/** `undefined` for a user of whom the machine knows nothing but the number, as in a container. */
function ownDataDir(): string | undefined {
  if (process.getuid?.() === 0) return '/var/lib/lmas';
  try {
    return join(homedir(), '.local/state/lmas');
  } catch {
    return undefined;
  }
}

function parseNetworks(list: string, context: z.RefinementCtx): Network[] {
  const texts = list.split(',').map((text) => text.trim());
  return texts.flatMap((text) => {
    if (text === '') return [];
    try {
      return [parseNetwork(text)];
    } catch {
      context.addIssue({ code: 'custom', message: `${text} is no network such as 10.1.0.0/16` });
      return [];
    }
  });
}

const ROLES = ['all', 'api', 'worker', 'scheduler'] as const;
export type Role = (typeof ROLES)[number];

function toRedisAddress(url: string, context: z.RefinementCtx) {
  try {
    return parseRedisUrl(url);
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
    return z.NEVER;
  }
}

interface Setting<T extends z.ZodType = z.ZodType> {
  readonly variable: string;
  readonly schema: T;
  readonly why: string;
  /** Its value is shown to nobody, only whether it is set. */
  readonly secret?: true;
}
const setting = <T extends z.ZodType>(variable: string, schema: T, why: string): Setting<T> => ({
  variable,
  schema,
  why,
});

const secretSetting = <T extends z.ZodType>(variable: string, schema: T, why: string): Setting<T> => ({
  ...setting(variable, schema, why),
  secret: true,
});

const SETTINGS = {
  dataDir: setting(
    'LMAS_DATA_DIR',
    z.preprocess(
      (named) => named ?? ownDataDir(),
      z.string({ error: 'this user has no home directory, so one has to be named' }).min(1),
    ),
    'Where the API key, the secret key and the private Redis live. Private to the user who runs the orchestrator.',
  ),
  host: setting(
    'LMAS_HOST',
    z.string().min(1).default('127.0.0.1'),
    'Address to listen on. Beyond this machine it needs TLS, or LMAS_ALLOW_PLAIN_HTTP.',
  ),
  port: setting('LMAS_PORT', z.coerce.number().int().min(0).max(65_535).default(7070), 'Port of the API; 0: any.'),
  tlsCertFile: setting(
    'LMAS_TLS_CERT_FILE',
    z.string().min(1).optional(),
    'Certificate chain in PEM: the API then speaks TLS 1.2 or 1.3. Read again when it changes, and on SIGHUP.',
  ),
  tlsKeyFile: setting('LMAS_TLS_KEY_FILE', z.string().min(1).optional(), 'Its private key in PEM.'),
  allowPlainHttp: setting(
    'LMAS_ALLOW_PLAIN_HTTP',
    z.stringbool().default(false),
    'Listen beyond this machine without TLS: keys and tokens then cross the network as they are. Behind a TLS proxy only.',
  ),
  trustedProxies: setting(
    'LMAS_TRUSTED_PROXIES',
    commaSeparated('').pipe(z.array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]))),
    'Addresses or networks of proxies whose X-Forwarded-For is believed; separated by commas. Of nobody else.',
  ),
  oidcFile: setting(
    'LMAS_OIDC_FILE',
    z.string().min(1).optional(),
    'JSON file that says whose tokens are accepted beside API keys, and what they grant; see docs/oidc.md.',
  ),
  requestsPerMinute: setting(
    'LMAS_REQUESTS_PER_MINUTE',
    limit(12_000),
    'How often one key or token may call the API; null: unlimited.',
  ),
  failedLoginsPerMinute: setting(
    'LMAS_FAILED_LOGINS_PER_MINUTE',
    limit(20),
    'How many failed logins of one address are answered and recorded one by one; null: unlimited.',
  ),
  auditMaxEntries: setting(
    'LMAS_AUDIT_MAX_ENTRIES',
    count(100_000),
    'How many entries the audit log keeps of each project, and of callers who are bound to none, about 500 bytes each in Redis; every entry goes to the log, too.',
  ),
  redisUrl: secretSetting(
    'REDIS_URL',
    z.string().transform(toRedisAddress).optional(),
    'redis://host, redis+sentinel://host,host/master or redis+cluster://host,host (rediss… with TLS); append-only and ' +
      'noeviction. Unset: a private redis-server in the data directory.',
  ),
  redisSilenceMs: setting(
    'LMAS_REDIS_SILENCE_MS',
    duration(DEFAULT_SILENCE_MS),
    'A connection on which Redis has been silent for so long is given up and made again, and calls that wait for it are ' +
      'answered with 503. At most half of LMAS_RUN_LEASE_MS: a run keeps its lease when only its connection died.',
  ),
  role: setting(
    'LMAS_ROLE',
    z.enum(ROLES).default('all'),
    'What this process does (also --role): api answers requests; worker runs migrations; scheduler looks after those ' +
      'whose worker died, sweeps the sites and sends webhooks. All but `all` need REDIS_URL and one shared master key.',
  ),
  redisServer: setting(
    'LMAS_REDIS_SERVER',
    z.string().min(1).default('redis-server'),
    'The program for the private Redis.',
  ),
  allowUnsafeRedis: setting(
    'LMAS_ALLOW_UNSAFE_REDIS',
    z.stringbool().default(false),
    'Start even though the Redis at REDIS_URL keeps nothing on disk. For trials only.',
  ),
  masterKey: secretSetting(
    'LMAS_MASTER_KEY',
    z.string().min(1).optional(),
    'The master key that seals credentials: 32 bytes in base64. Several, separated by spaces: the first one seals.',
  ),
  masterKeyFile: setting(
    'LMAS_MASTER_KEY_FILE',
    z.string().min(1).optional(),
    'A file with it, one key per line. Unset, as the other two: master-key in the data directory, made at first start.',
  ),
  masterKeyCommand: secretSetting(
    'LMAS_MASTER_KEY_COMMAND',
    z.string().min(1).optional(),
    'A command for sh that prints it, one key per line: to fetch it from a vault or a KMS.',
  ),
  plugins: setting(
    'LMAS_PLUGINS',
    commaSeparated('@lmas/plugin-kvm,@lmas/plugin-vmware,@lmas/plugin-xen,@lmas/plugin-xen/xl'),
    'Hypervisor plugins to load: package names (or absolute paths), separated by commas.',
  ),
  gatewayBundle: setting(
    'LMAS_GATEWAY_BUNDLE',
    z.string().min(1).optional(),
    'The gateway bundle to upload. Unset: built from apps/gateway when this runs from a source tree.',
  ),
  dashboardDir: setting(
    'LMAS_DASHBOARD_DIR',
    z.string().min(1).optional(),
    'The built web page. Unset: built from apps/dashboard when this runs from a source tree.',
  ),
  concurrency: setting('LMAS_CONCURRENCY', count(16), 'How many migrations this worker runs at once.'),
  runLeaseMs: setting(
    'LMAS_RUN_LEASE_MS',
    duration(8_000),
    'After a worker died, another one takes over when this has passed; started again with the same data directory and host name, it does so itself, at once.',
  ),
  recoveryIntervalMs: setting(
    'LMAS_RECOVERY_INTERVAL_MS',
    duration(1_000),
    'How often a worker looks for migrations whose worker has died.',
  ),
  settleMs: setting(
    'LMAS_SETTLE_MS',
    duration(900_000),
    'How long both ends are asked again and again where the VM is, before the record is closed as unknown. Later they are asked every half minute.',
  ),
  settleRetryMs: setting('LMAS_SETTLE_RETRY_MS', duration(2_000), 'Pause between two such attempts.'),
  loginRetryMs: setting(
    'LMAS_LOGIN_RETRY_MS',
    duration(480_000),
    'How long a login that was refused is not tried again by itself, unless its credential is changed: no account gets locked.',
  ),
  teardownMs: setting(
    'LMAS_TEARDOWN_MS',
    duration(60_000),
    'Deadline for taking everything of a migration down; the reaper goes on after it.',
  ),
  reaperIntervalMs: setting(
    'LMAS_REAPER_INTERVAL_MS',
    duration(60_000),
    'How often the sites are swept for gateways that no living migration owns.',
  ),
  gatewayLeaseMs: setting(
    'LMAS_GATEWAY_LEASE_MS',
    duration(60_000),
    'How long a gateway outlives an orchestrator that has fallen silent, if no stream is open.',
  ),
  warmUpMs: setting(
    'LMAS_TUNNEL_WARM_UP_MS',
    z.coerce.number().int().min(0).max(10_000).default(1_000),
    'How long a new tunnel measures the link, while the destination is prepared; then it starts at full speed.',
  ),
  tunnelGraceMs: setting(
    'LMAS_TUNNEL_GRACE_MS',
    z.coerce.number().int().min(1_000).max(3_600_000).default(70_000),
    'How long a migration’s streams wait for a lost link before they are reset: an outage of a minute, and the time to find ' +
      'each other after it. In post-copy they wait for as long as it takes.',
  ),
  progressIntervalMs: setting('LMAS_PROGRESS_INTERVAL_MS', duration(1_000), 'How often progress is recorded.'),
  shutdownGraceMs: setting(
    'LMAS_SHUTDOWN_GRACE_MS',
    z.coerce
      .number()
      .int()
      .min(0)
      .max(7 * 24 * 3_600_000)
      .default(0),
    'How long SIGTERM waits for running migrations; what still runs then is recovered at the next start.',
  ),
  idempotencyMs: setting('LMAS_IDEMPOTENCY_MS', duration(24 * 3_600_000), 'How long an Idempotency-Key is remembered.'),
  webhookAllow: setting(
    'LMAS_WEBHOOK_ALLOW',
    z.string().default('').transform(parseNetworks),
    'Networks that webhooks may be sent to though they are not public, also by http://: 10.1.0.0/16, separated by commas.',
  ),
  planCheckAllow: setting(
    'LMAS_PLAN_CHECK_ALLOW',
    z.string().default('').transform(parseNetworks),
    'Networks that the checks of plans may connect to by TCP, SSH or http:// and though they are not public: ' +
      '10.2.0.0/16, separated by commas.',
  ),
  webhookTimeoutMs: setting('LMAS_WEBHOOK_TIMEOUT_MS', duration(15_000), 'How long a receiver may take to answer.'),
  webhookRetryMs: setting(
    'LMAS_WEBHOOK_RETRY_MS',
    duration(5_000),
    'Pause before the second attempt; each later one is four times longer, ten hours at most, nine attempts in all.',
  ),
  webhookDisableMs: setting(
    'LMAS_WEBHOOK_DISABLE_MS',
    duration(5 * 24 * 3_600_000),
    'A webhook to which nothing gets through for so long is switched off.',
  ),
  logLevel: setting(
    'LMAS_LOG_LEVEL',
    z.enum(['silent', 'error', 'warn', 'info', 'debug']).default('info'),
    'How much is logged, as JSON lines on standard output.',
  ),
} as const;

export type Config = { readonly [K in keyof typeof SETTINGS]: z.output<(typeof SETTINGS)[K]['schema']> };

/** Parses the environment. @throws LmasError INVALID_CONFIG naming every setting that is wrong */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const values: Record<string, unknown> = {};
  const complaints: string[] = [];
  for (const [key, { variable, schema }] of Object.entries(SETTINGS)) {
    const raw = environment[variable];
    const parsed = (schema as z.ZodType).safeParse(raw === '' ? undefined : raw);
    if (parsed.success) values[key] = parsed.data;
    else complaints.push(`${variable}: ${parsed.error.issues.map(({ message }) => message).join('; ')}`);
  }
  if (complaints.length > 0) throw new LmasError('INVALID_CONFIG', complaints.join('\n'));
  const config = values as Config;
  return { ...config, redisSilenceMs: silenceWithin(config, environment[SETTINGS.redisSilenceMs.variable]) };
}

/** Of a private Redis no connection falls silent by itself, and none is remade to keep a lease. */
function silenceWithin({ redisUrl, redisSilenceMs, runLeaseMs }: Config, asked = ''): number {
  const half = Math.floor(runLeaseMs / 2);
  if (redisUrl === undefined || redisSilenceMs <= half) return redisSilenceMs;
  if (asked === '') return Math.max(half, SHORTEST_OWN_SILENCE_MS);
  const [silence, lease] = [SETTINGS.redisSilenceMs.variable, SETTINGS.runLeaseMs.variable];
  throw new LmasError('INVALID_CONFIG', `${silence}: more than ${half}, half of ${lease}`, {
    remedy: 'Else a run loses its lease, and is taken over, whenever its connection to Redis dies.',
  });
}

/** Of the launchers, the command line and of tests, which may be set in the same shell. */
const OF_OTHERS =
  /^LMAS_(URL|API_KEY|API_KEY_FILE|CONTEXT|CONTEXTS_FILE|TIMEOUT|ORCHESTRATOR_HANDED_OVER|CLI_HANDED_OVER|TEST_.*)$/;

/** Variables that look like settings and are none, each with the setting that was perhaps meant. */
export function unknownSettings(
  environment: Readonly<Record<string, string | undefined>>,
): { variable: string; meant: string | undefined }[] {
  const known = Object.values(SETTINGS).map(({ variable }) => variable);
  return Object.keys(environment)
    .filter((name) => name.startsWith('LMAS_') && !known.includes(name) && !OF_OTHERS.test(name))
    .map((variable) => ({ variable, meant: nearest(variable, known) }));
}

/** The one that takes the fewest changes, if they are few enough for a slip. */
function nearest(name: string, candidates: readonly string[]): string | undefined {
  const [best] = candidates
    .map((candidate) => ({ candidate, changes: editDistance(name, candidate) }))
    .sort((a, b) => a.changes - b.changes);
  const slips = Math.ceil((name.length - 'LMAS_'.length) / 3);
  return best !== undefined && best.changes <= slips ? best.candidate : undefined;
}

/** Levenshtein's: insertions, deletions and replacements that make one text of the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      const replaced = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** What is set how, for a report: by variable, without what is secret. */
export function showSettings(config: Config): { variable: string; value: string | null; isDefault: boolean }[] {
  const settings: [string, Setting][] = Object.entries(SETTINGS);
  return settings.map(([key, { variable, schema, secret }]) => {
    const value: unknown = config[key as keyof Config];
    const standard = schema.safeParse(undefined);
    const isDefault = standard.success && JSON.stringify(standard.data) === JSON.stringify(value);
    if (value === undefined) return { variable, value: null, isDefault };
    return { variable, value: secret ? '(set)' : shown(value), isDefault };
  });
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** What can be set, for texts that explain it. */
export interface SettingText {
  readonly variable: string;
  readonly why: string;
  /** As one would write it; null when it is unset by default. */
  readonly standard: string | null;
}

export function explainSettings(): SettingText[] {
  return Object.values(SETTINGS).map(({ variable, schema, why }) => {
    const parsed = (schema as z.ZodType).safeParse(undefined);
    const standard = parsed.success && parsed.data !== undefined ? String(parsed.data) : null;
    return { variable, why, standard };
  });
}

/** The text of `--help`. */
export function describeSettings(): string {
  const lines = explainSettings().map(
    ({ variable, why, standard }) => `  ${variable}  (default: ${standard ?? 'unset'})\n      ${why}`,
  );
  const traces =
    '  OTEL_EXPORTER_OTLP_ENDPOINT and its like\n      Where traces are sent, if anywhere; see docs/operations.md.';
  return ['Settings, all from the environment:', '', ...lines, traces].join('\n');
}
