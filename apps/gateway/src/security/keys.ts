/**
 * The key schedule (PROTOCOL.md, "Keys"): pure functions from secrets to secrets, and the small store of what one end holds.
 * Invariant of SecretChain: it holds one confirmed secret at most and, while a control handshake is under way, one provisional
 * successor; a provisional one is dropped or confirmed, never used to prove anything but itself.
 */
import { createHash, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';

export const SECRET_BYTES = 32;
export const EXPORTER_LABEL = 'EXPORTER-LMAS-1';

export type Role = 'connector' | 'acceptor';

function derive(secret: Buffer, salt: Buffer, info: Buffer | string, length = SECRET_BYTES): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, info, length));
}

/** secret 1 from the exporter alone; secret n+1 from secret n followed by the exporter of the new control connection. */
export function nextSecret(previous: Buffer | null, exporter: Buffer, sessionId: Buffer): Buffer {
  const material = previous === null ? exporter : Buffer.concat([previous, exporter]);
  return derive(material, sessionId, 'lmas 1 secret');
}

/** What `role` sends to show that it knows `secret` (null before the first), bound to both hellos and to the TLS connection. */
export function proof(
  secret: Buffer | null,
  exporter: Buffer,
  role: Role,
  helloAcceptor: Buffer,
  helloConnector: Buffer,
): Buffer {
  const key = derive(Buffer.concat([secret ?? Buffer.alloc(0), exporter]), Buffer.alloc(0), `lmas 1 proof ${role}`);
  return createHmac('sha256', key).update(helloAcceptor).update(helloConnector).digest();
}

/** MAC of one join message under the secret of its epoch. */
export function joinMac(secret: Buffer, step: 'join' | 'accept' | 'confirm', ...parts: Buffer[]): Buffer {
  const mac = createHmac('sha256', derive(secret, Buffer.alloc(0), `lmas 1 join ${step}`));
  for (const part of parts) mac.update(part);
  return mac.digest();
}

export function macsEqual(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

export interface SubflowBinding {
  version: number;
  suite: number;
  sessionId: Buffer;
  subflowId: number;
  generation: number;
  connectorNonce: Buffer;
  acceptorNonce: Buffer;
}

/** First traffic secret of one direction of one subflow. */
export function trafficSecret(secret: Buffer, binding: SubflowBinding, sender: Role): Buffer {
  const info = Buffer.alloc(32);
  info.write('lmas 1 flow', 0, 'latin1');
  info[11] = binding.version;
  info[12] = binding.suite;
  info[13] = sender === 'connector' ? 1 : 2;
  info.writeUInt32BE(binding.subflowId, 16);
  info.writeUInt32BE(binding.generation, 20);
  const salt = Buffer.concat([binding.connectorNonce, binding.acceptorNonce]);
  return derive(secret, salt, Buffer.concat([info, binding.sessionId]));
}

/** Key (32 bytes) and the constant first 4 bytes of the nonce for a traffic secret. */
export function trafficKey(traffic: Buffer): { key: Buffer; noncePrefix: Buffer } {
  const none = Buffer.alloc(0);
  return { key: derive(traffic, none, 'lmas 1 key'), noncePrefix: derive(traffic, none, 'lmas 1 iv', 4) };
}

/** Traffic secret after a REKEY frame. */
export function nextTrafficSecret(traffic: Buffer): Buffer {
  return derive(traffic, Buffer.alloc(0), 'lmas 1 rekey');
}

/** Lower-case hexadecimal SHA-256, as certificates and bundles are named. */
export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The secrets that one end of a session holds, by epoch (1 is the first). */
export class SecretChain {
  #confirmed: { epoch: number; secret: Buffer } | null = null;
  #provisional: { epoch: number; secret: Buffer } | null = null;

  /** Largest epoch held; 0 is none. */
  get epoch(): number {
    return this.#provisional?.epoch ?? this.#confirmed?.epoch ?? 0;
  }
  /** The secret of an epoch that this end holds; undefined when it does not. */
  get(epoch: number): Buffer | undefined {
    if (this.#confirmed?.epoch === epoch) return this.#confirmed.secret;
    if (this.#provisional?.epoch === epoch) return this.#provisional.secret;
    return undefined;
  }
  /** Whether a handshake may start from `epoch`: it holds that secret, or none is confirmed yet and `epoch` is 0. */
  knows(epoch: number): boolean {
    return epoch === 0 ? this.#confirmed === null : this.get(epoch) !== undefined;
  }
  /** Adds the successor of `previous`, the secret of `epoch` (null before the first). False when that is held no longer. */
  propose(epoch: number, previous: Buffer | null, secret: Buffer): boolean {
    if (previous === null ? !this.knows(0) || epoch !== 0 : this.get(epoch) !== previous) return false;
    // The peer proved that it knows a provisional secret, so that it is the confirmed one from here.
    if (previous !== null && this.#provisional?.secret === previous) this.confirm(previous);
    this.#provisional?.secret.fill(0);
    this.#provisional = { epoch: epoch + 1, secret };
    return true;
  }
  /** The peer holds `secret` as well: its predecessor is wiped. False when it is not the provisional one: another took its place. */
  confirm(secret: Buffer): boolean {
    if (this.#provisional?.secret !== secret) return false;
    this.#confirmed?.secret.fill(0);
    this.#confirmed = this.#provisional;
    this.#provisional = null;
    return true;
  }
  wipe(): void {
    this.#confirmed?.secret.fill(0);
    this.#provisional?.secret.fill(0);
    this.#confirmed = null;
    this.#provisional = null;
  }
}
