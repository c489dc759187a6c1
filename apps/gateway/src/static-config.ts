/**
 * The configuration file of a gateway that is run by hand. The same session and route shapes as the control API, with certificates
 * and key as PEM files; relative paths are relative to the file. Secrets stay in files that only their owner may read.
 */
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { routeConfigSchema, routeIdSchema, type SessionConfig, sessionConfigSchema } from '@lmas/gateway-api';
import { z } from 'zod';
import { errnoOf, GatewayError, messageOf } from './errors.ts';
import { type Identity, identityFromPem, parseCertificate } from './security/certificate.ts';

const sessionSchema = z.strictObject({
  sessionId: sessionConfigSchema.shape.sessionId,
  protocolVersion: sessionConfigSchema.shape.protocolVersion.default(1),
  suite: sessionConfigSchema.shape.suite.default('aes-256-gcm'),
  role: sessionConfigSchema.shape.role,
  subflows: sessionConfigSchema.shape.subflows.default('auto'),
  maxWindowBytes: sessionConfigSchema.shape.maxWindowBytes.default(128 << 20),
  bandwidthBytesPerSec: sessionConfigSchema.shape.bandwidthBytesPerSec.default(null),
  compression: sessionConfigSchema.shape.compression,
  graceMs: sessionConfigSchema.shape.graceMs.default(70_000),
});

export const staticConfigSchema = z.strictObject({
  /** PEM of our certificate and key, made by `lmas-gateway keygen`, and of the peer's certificate. */
  certificateFile: z.string(),
  keyFile: z.string(),
  peerCertificateFile: z.string(),
  session: sessionSchema,
  routes: z.record(routeIdSchema, routeConfigSchema),
  /** Unix socket of the control API, for `lmas-gateway status`; none if it is not given. */
  controlSocket: z.string().optional(),
});

export interface StaticConfig {
  identity: Identity;
  session: SessionConfig;
  routes: [string, z.infer<typeof routeConfigSchema>][];
  controlSocket: string | null;
}

export function loadStaticConfig(file: string): StaticConfig {
  const near = (name: string) => path.resolve(path.dirname(file), name);
  const result = staticConfigSchema.safeParse(parseJson(file));
  if (!result.success) throw new GatewayError('CONFIG_INVALID', `(${file})\n${z.prettifyError(result.error)}`);
  const { certificateFile, keyFile, peerCertificateFile, session, routes, controlSocket } = result.data;
  const key = readText(near(keyFile));
  if ((statSync(near(keyFile)).mode & 0o077) !== 0) {
    throw new GatewayError('CONFIG_INVALID', `(${near(keyFile)} may be read by others; chmod 600 it)`);
  }
  const identity = identityFromPem(readCertificate(near(certificateFile)), key);
  const peerCertificate = readCertificate(near(peerCertificateFile));
  if (parseCertificate(peerCertificate).raw.equals(identity.certificateDer)) {
    const wanted = "is our own certificate; the peer's belongs there";
    throw new GatewayError('CONFIG_INVALID', `(peerCertificateFile: ${near(peerCertificateFile)} ${wanted})`);
  }
  return {
    identity,
    session: { ...session, peerCertificate },
    routes: Object.entries(routes) as StaticConfig['routes'],
    controlSocket: controlSocket === undefined ? null : near(controlSocket),
  };
}

function readCertificate(file: string): string {
  const text = readText(file);
  try {
    parseCertificate(text);
    return text;
  } catch (cause) {
    throw new GatewayError('CERTIFICATE_INVALID', `(${file} is no certificate in PEM)`, { cause });
  }
}

/** What goes wrong with a file bears its name. */
function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const reason = errnoOf(cause) === 'ENOENT' ? 'there is no such file' : messageOf(cause);
    throw new GatewayError('CONFIG_INVALID', `(${file}: ${reason})`, { cause });
  }
}

function parseJson(file: string): unknown {
  const text = readText(file);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new GatewayError('CONFIG_INVALID', `(${file} is not JSON: ${messageOf(cause)})`, { cause });
  }
}
