/**
 * The contract of the gateway control API: what the orchestrator (or a person with curl) says to one gateway over
 * HTTP on its Unix socket. Shapes only; the gateway implements it, the orchestrator's control client speaks it.
 *
 * The life of a gateway, as calls:
 *
 *   start (SSH) → GET /v1/identity → PUT /v1/session → PUT /v1/routes/:id … → POST /v1/lease (again and again)
 *               → GET /v1/status … → DELETE /v1/routes/:id → POST /v1/shutdown
 *
 * Every call that changes something carries a fencing token in the header `lmas-fencing-token` (a decimal integer); a
 * gateway remembers the largest it has seen and answers 409 STALE_TOKEN to a smaller one, so that a run which was taken
 * over can do no harm. Every PUT and DELETE is idempotent. Errors are problem+json (RFC 9457) with a `code`.
 */
import { z } from 'zod';

export const GATEWAY_API_VERSION = 1;
export const FENCING_TOKEN_HEADER = 'lmas-fencing-token';

/** Cipher suite of the data channel, fixed on both ends by whoever configures them, never negotiated. */
export const suiteSchema = z.enum(['aes-256-gcm', 'chacha20-poly1305', 'none']);
export type Suite = z.infer<typeof suiteSchema>;

const subflowCount = z.int().min(1).max(64);
export const subflowsSchema = z.union([
  subflowCount,
  z
    .strictObject({ min: subflowCount, max: subflowCount })
    .refine(({ min, max }) => min <= max, '`min` is not above `max`'),
  z.literal('auto'),
]);

const host = z.string().min(1).max(253);
const port = z.int().min(1).max(65_535);
const bytesPerSec = z.int().positive().nullable();
const graceMs = z.int().min(1_000).max(600_000);

/** `GET /v1/identity`. The key never leaves the process; only the certificate does. */
export const identitySchema = z.object({
  apiVersion: z.literal(GATEWAY_API_VERSION),
  version: z.string(),
  /** Wire protocol versions this gateway speaks, newest first. */
  protocolVersions: z.array(z.int().positive()).min(1),
  suites: z.array(suiteSchema),
  /** PEM of the self-signed leaf certificate made at start. */
  certificate: z.string(),
  /** Lower-case hexadecimal SHA-256 of the DER certificate. */
  certificateSha256: z.string().regex(/^[0-9a-f]{64}$/),
  pid: z.int().positive(),
});
export type GatewayIdentity = z.infer<typeof identitySchema>;

/** `PUT /v1/session`: both ends get the same `sessionId`, `protocolVersion`, `suite`, and each other's certificate. */
export const sessionConfigSchema = z.strictObject({
  sessionId: z.uuid(),
  protocolVersion: z.literal(1),
  suite: suiteSchema,
  /** PEM of the exact leaf certificate that the peer must show. */
  peerCertificate: z.string(),
  /** One TCP port at the listening gateway serves control channel and subflows. Port 0: any free port, see the answer. */
  role: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('listen'), address: host, port: z.int().min(0).max(65_535) }),
    z.strictObject({ kind: z.literal('dial'), host, port }),
  ]),
  /**
   * TCP connections of the data channel: a fixed number, or between two limits as many as serve best. `auto`: the limits of the gateway. The
   * dialling end keeps them; its limits count.
   */
  subflows: subflowsSchema,
  /** Largest number of payload bytes that may be unacknowledged in each direction, whatever the path would bear. */
  maxWindowBytes: z
    .int()
    .min(1 << 20)
    .max(1 << 30),
  /** Payload bytes per second that this end may send; `null` is unlimited. */
  bandwidthBytesPerSec: bytesPerSec,
  /**
   * `auto`: what this end sends is compressed where it pays, and tells by its size how compressible it was. What comes is understood
   * either way. Not given: `never`.
   */
  compression: z.enum(['auto', 'never']).optional(),
  /** How long streams wait for a lost control channel or data path before they are reset. */
  graceMs,
});
export type SessionConfig = z.infer<typeof sessionConfigSchema>;

/** Answer to `PUT /v1/session`; `listening` is where the listening gateway waits for its peer. */
export const sessionStateSchema = z.object({
  sessionId: z.uuid(),
  state: z.enum(['listening', 'connecting', 'established', 'interrupted', 'closed']),
  listening: z.object({ address: z.string(), port }).nullable(),
});
export type SessionState = z.infer<typeof sessionStateSchema>;

/**
 * `PUT /v1/routes/:id`. A route has the same id at both ends. Redirected: the end with `listen` accepts hypervisor connections and
 * opens a stream for each; the end with `dial` connects to the one address it was given. Transparent: the `intercept` end takes the
 * connections that pass through it, the `dial` end makes them again in the name of who began them. Peers name the route; addresses
 * are said for transparent ones only, and count only inside the set that the route has at this end.
 */
export const routeIdSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/);
const maxStreams = z.int().min(1).max(1_024);
const priority = z.enum(['bulk', 'interactive']);

/** A name is none that looks like an address or a network and is not. */
const hostOrNetwork = host.refine(
  (text) => !/^[\d.]+$|\//.test(text) || networkSchema.safeParse(text).success,
  'an address, a name, or a network in CIDR notation',
);
/** A host, or a network in CIDR notation. */
const networkSchema = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]);
const isIpv6 = (network: string): boolean => network.includes(':');
/** Who connects, and to whom; both of one family. For a migration two exact addresses; by hand, networks as well. */
export const addressPairSchema = z
  .strictObject({ source: networkSchema, destination: networkSchema })
  .refine(({ source, destination }) => isIpv6(source) === isIpv6(destination), 'both IPv4 or both IPv6');
export type AddressPair = z.infer<typeof addressPairSchema>;
export const portRangeSchema = z
  .strictObject({ from: port, to: port })
  .refine(({ from, to }) => from <= to, '`from` is not above `to`');

/** Unique at its machine, and told from others' by whoever gave it. */
export const barrierNameSchema = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,99}$/);

export const routeConfigSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('listen'),
    address: host,
    port: z.int().min(0).max(65_535),
    /** Only these addresses and networks may connect; everybody else is refused and counted. */
    allowFrom: z.array(hostOrNetwork).min(1),
    /** At most so many streams at once. */
    maxStreams,
    /** `bulk` fills the link; `interactive` goes before it (small, latency-bound: control, post-copy). */
    priority,
  }),
  z.strictObject({
    kind: z.literal('dial'),
    host,
    port,
    /** A loopback, link-local or metadata address is refused unless this says that it is meant. */
    allowSpecialAddress: z.boolean().default(false),
    maxStreams,
    priority,
  }),
  z.strictObject({
    kind: z.literal('transparent'),
    /** `intercept` beside the hosts that connect, `dial` beside those that are connected to. */
    end: z.enum(['intercept', 'dial']),
    /** Nothing else is touched, and nothing else is ever dialled, or dialled as. */
    pairs: z.array(addressPairSchema).min(1).max(64),
    /** TCP ports at the destination. */
    ports: z
      .array(z.union([port, portRangeSchema]))
      .min(1)
      .max(64),
    maxStreams,
    priority,
    /**
     * For what may never pass in the clear: raises a barrier of that name. While it stands, what comes through this machine between these
     * hosts, to or from these ports at either of them, and is not taken is refused with a reset. It outlives route and gateway, however they end:
     * whoever has named it takes it away (`lmas-gateway clean --barrier`). Not given: what is not taken is forwarded.
     */
    barrier: barrierNameSchema.optional(),
  }),
]);
export type RouteConfig = z.infer<typeof routeConfigSchema>;
const redirectedRouteStateSchema = z.object({
  id: routeIdSchema,
  kind: z.enum(['listen', 'dial']),
  /** The address that was bound (`listen`) or will be dialled (`dial`). */
  address: z.string(),
  port,
});
export type RedirectedRouteState = z.infer<typeof redirectedRouteStateSchema>;
export const routeStateSchema = z.discriminatedUnion('kind', [
  redirectedRouteStateSchema,
  z.object({
    id: routeIdSchema,
    kind: z.literal('transparent'),
    end: z.enum(['intercept', 'dial']),
    /** Whether rules stand in the kernel: only while the session can carry streams; otherwise all is forwarded. */
    active: z.boolean(),
  }),
]);
export type RouteState = z.infer<typeof routeStateSchema>;

/** `POST /v1/lease`: the gateway ends when this has run out and no stream is open. Monotonic time. */
export const leaseSchema = z.strictObject({ leaseMs: z.int().min(1_000).max(3_600_000) });
/** `PUT /v1/limits`: changes while it runs. What is not named stays as it is. */
export const limitsSchema = z.strictObject({
  bandwidthBytesPerSec: bytesPerSec.optional(),
  /**
   * As in the session's configuration, and `null`: streams wait for as long as it takes. A hypervisor in post-copy cannot
   * live without its streams; they end when it ends them, or with the gateway.
   */
  graceMs: graceMs.nullable().optional(),
});
export type Limits = z.infer<typeof limitsSchema>;

const counters = {
  /** Stream payload taken from hypervisors here / delivered to hypervisors here. */
  bytesSent: z.int(),
  bytesReceived: z.int(),
};

/**
 * `GET /v1/status`: cheap enough to be asked for once a second. Whoever asks may be of a later version than the gateway: a gateway
 * belongs to a migration, and an upgraded orchestrator takes that over. So what was added has a default here.
 */
export const statusSchema = z.object({
  identity: identitySchema.omit({ certificate: true }),
  uptimeMs: z.int(),
  leaseRemainingMs: z.int(),
  rssBytes: z.int(),
  cpuMs: z.int(),
  session: z
    .object({
      ...sessionStateSchema.shape,
      ...counters,
      /** Bytes delivered by the peer to its hypervisor, as acknowledged. */
      bytesAcknowledged: z.int(),
      /** Arrival of what this end sends at the peer gateway, averaged over the last second or so. */
      sendBitsPerSec: z.number(),
      /** Delivery to hypervisors here, averaged over the last second or so. */
      receiveBitsPerSec: z.number(),
      /** From the first to the last byte delivered to hypervisors here; with `bytesReceived` the goodput so far. */
      receivingMs: z.number(),
      windowBytes: z.int(),
      /** How many subflows this end wants now for what it sends, and its limits; at the dialling end, for what both send. */
      subflows: z.object({ wanted: z.int(), min: z.int(), max: z.int() }).default({ wanted: 0, min: 0, max: 0 }),
      /** Taken from hypervisors here and not yet acknowledged by the peer. */
      inFlightBytes: z.int(),
      /** Received and not yet written to hypervisors here (reordering and back-pressure). */
      bufferedBytes: z.int(),
      /** What the kernel here holds in memory for the sockets of subflows and streams (SO_MEMINFO); null where it does not say. */
      kernelBytes: z.int().nullable().default(null),
      rttMs: z.number().nullable(),
      /** Those in force, from the configuration or set since; null: of a gateway that does not say. */
      limits: z.object({ bandwidthBytesPerSec: bytesPerSec, graceMs: graceMs.nullable() }).nullable().default(null),
      /** What this end has found out about the path by sending. */
      link: z.object({
        /** Searching; just under the measured rate; or unpaced, because somebody else keeps a queue in the network. */
        state: z.enum(['startup', 'paced', 'contended']),
        /** Largest rate of arrival of late; 0 while it is not known. */
        bytesPerSec: z.number(),
        paceBytesPerSec: z.number().nullable(),
        /** How much longer than the shortest round trips take. */
        queueMs: z.number(),
        /** Share of the bytes sent of late that had to be sent again. */
        lossShare: z.number(),
        /** Bytes of hypervisors for each byte sent, of late; 1 when nothing is compressed. */
        compressionRatio: z.number(),
      }),
      rekeys: z.int(),
      subflowsReplaced: z.int(),
      /** Refusals since start, by error code (see docs/errors.md): strangers, bad joins, corrupted frames … */
      refusals: z.record(z.string(), z.int()),
      /** Why the session is closed or interrupted, if it is. */
      lastError: z.object({ code: z.string(), message: z.string() }).nullable(),
    })
    .nullable(),
  /** Why the session before this one ended: in static mode one that is over is begun anew within a second. */
  previousSession: z
    .object({ endedAt: z.iso.datetime(), code: z.string(), message: z.string() })
    .nullable()
    .default(null),
  subflows: z.array(
    z.object({
      id: z.int(),
      state: z.enum(['joining', 'open', 'draining']),
      ...counters,
      /** Frames of both directions, averaged over the last second or so. */
      sendBitsPerSec: z.number().default(0),
      receiveBitsPerSec: z.number().default(0),
      generation: z.int(),
      rekeys: z.int().default(0),
      /** Sequenced frames sent on it that the peer has not acknowledged. */
      unacknowledgedFrames: z.int().default(0),
      /** The kernel's view (TCP_INFO, tcp(7)); null where it cannot be asked. */
      congestionControl: z.string().nullable(),
      rttMs: z.number().nullable(),
      congestionWindowBytes: z.int().nullable().default(null),
      /** Handed to the kernel and not yet sent. */
      queueBytes: z.int().nullable().default(null),
      /** What the kernel holds in memory for its socket. */
      kernelBytes: z.int().nullable().default(null),
      retransmits: z.int().nullable(),
    }),
  ),
  routes: z.array(routeStateSchema),
  streams: z.array(
    z.object({
      id: z.int(),
      route: routeIdSchema,
      state: z.enum(['opening', 'open', 'half-closed-local', 'half-closed-remote']),
      peer: z.string(),
      ...counters,
      /** Taken from and delivered to the hypervisor here, averaged over the last second or so. */
      sendBitsPerSec: z.number().default(0),
      receiveBitsPerSec: z.number().default(0),
      /** Taken from the hypervisor, waiting for credit or for a subflow. */
      queueBytes: z.int().default(0),
      /** In frames, and not yet delivered to the far hypervisor. */
      outstandingBytes: z.int().default(0),
      /** Pieces that arrived before the ones in front of them. */
      reorderDepth: z.int().default(0),
      idleMs: z.int(),
    }),
  ),
  /** Streams that are over, kept for the record: the newest hundred. */
  closedStreams: z.array(
    z.object({
      id: z.int(),
      route: routeIdSchema,
      outcome: z.enum(['finished', 'reset-by-hypervisor', 'reset-by-peer', 'dial-failed', 'session-lost']),
      ...counters,
      firstByteAtMs: z.number().nullable(),
      lastByteAtMs: z.number().nullable(),
      error: z.string().nullable(),
    }),
  ),
});
export type GatewayStatus = z.infer<typeof statusSchema>;

/** `POST /v1/probe` (established session): measures the link between the two gateways. */
export const probeRequestSchema = z.strictObject({
  /** How long to send throw-away data from here to the peer, at the session's pace; 0 measures the RTT only. */
  durationMs: z.int().min(0).max(30_000),
});
export const probeResultSchema = z.object({
  rttMinMs: z.number(),
  rttMedianMs: z.number(),
  /** Null: not measured. Gateways before this was said answer 0 for it: take that as null, too. */
  goodputBitsPerSec: z.number().nullable(),
  /** Segments sent again, those included that the probe itself drove out of a full queue. */
  retransmits: z.int().nullable(),
  /** Share of bytes that were sent again while no queue showed: what the link itself loses. Null: too little was sent so. */
  lossShare: z.number().nullable().default(null),
  /** Path MTU as the kernel knows it, from TCP_INFO. */
  mtuBytes: z.int().nullable(),
  /** Peer's wall clock minus ours, halfway through the best round trip. */
  clockOffsetMs: z.number(),
});
export type ProbeResult = z.infer<typeof probeResultSchema>;

/** RFC 9457 problem, the body of every error answer. */
export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string().optional(),
});
export type Problem = z.infer<typeof problemSchema>;
