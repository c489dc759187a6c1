/**
 * The gateway's own key and self-signed leaf certificate, made in memory at start (or by `lmas-gateway keygen` for use by hand).
 * `notBefore` lies a day back, because clocks of two sites differ; `notAfter` beyond the longest migration.
 * The certificate has one fixed shape (X.509 v3, P-256, basicConstraints CA:FALSE), so that forty lines of DER do what would
 * otherwise bring a certificate library and its dependencies to every site; OpenSSL parses the result before it is used.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import { sha256Hex } from './keys.ts';

export interface Identity {
  certificatePem: string;
  certificateSha256: string;
  certificateDer: Buffer;
  /** PKCS #8 PEM. Never logged, never answered. */
  keyPem: string;
}

const dayMs = 86_400_000;

/** One DER element: tag, length, contents. */
function der(tag: number, ...contents: Buffer[]): Buffer {
  const body = Buffer.concat(contents);
  if (body.length < 128) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const length = body.length < 256 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}
const sequence = (...parts: Buffer[]) => der(0x30, ...parts);
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'));
/** RFC 5280 section 4.1.2.5: UTCTime until 2049, GeneralizedTime after it. */
function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]/g, '').slice(0, 14);
  const utc = date.getUTCFullYear() < 2050;
  return der(utc ? 0x17 : 0x18, Buffer.from(`${utc ? digits.slice(2) : digits}Z`, 'latin1'));
}

const ecdsaWithSha256 = sequence(oid('2a8648ce3d040302'));
const commonName = oid('550403');
const basicConstraints = oid('551d13');

/** RFC 5280 section 4.1: the part of a certificate that is signed. */
function toBeSigned(publicKey: Buffer, notBefore: Date, notAfter: Date): Buffer {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // Positive, and without a leading zero byte.
  const name = sequence(der(0x31, sequence(commonName, der(0x0c, Buffer.from('lmas-gateway')))));
  const critical = der(0x01, Buffer.from([0xff]));
  const extensions = sequence(sequence(basicConstraints, critical, der(0x04, sequence())));
  return sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, serial),
    ecdsaWithSha256,
    name,
    sequence(time(notBefore), time(notAfter)),
    name,
    publicKey,
    der(0xa3, extensions),
  );
}

/** A fresh P-256 key and its certificate, valid from a day ago for `validDays` more. */
export function makeIdentity(validDays: number, now: Date = new Date()): Identity {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const body = toBeSigned(
    publicKey.export({ type: 'spki', format: 'der' }),
    new Date(now.getTime() - dayMs),
    new Date(now.getTime() + validDays * dayMs),
  );
  const signature = sign('sha256', body, privateKey);
  const certificate = sequence(body, ecdsaWithSha256, der(0x03, Buffer.from([0]), signature));
  const lines = certificate.toString('base64').replace(/.{64}(?!$)/g, '$&\n');
  const pem = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
  return identityFromPem(pem, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
}

export function identityFromPem(certificatePem: string, keyPem: string): Identity {
  const certificate = parseCertificate(certificatePem);
  if (!certificate.checkPrivateKey(parseKey(keyPem))) {
    throw new GatewayError('CERTIFICATE_INVALID', '(the key does not belong to it)');
  }
  return {
    certificatePem,
    keyPem,
    certificateDer: certificate.raw,
    certificateSha256: sha256Hex(certificate.raw),
  };
}

function parseKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new GatewayError('CERTIFICATE_INVALID', '(its key cannot be read)', { cause });
  }
}

export function parseCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new GatewayError('CERTIFICATE_INVALID', undefined, { cause });
  }
}
