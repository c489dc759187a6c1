/**
 * One POST to a stranger: to an address that was checked, within a time, reading little of the answer and following
 * nothing. It owns its connection, which is used once.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { isIP } from 'node:net';

/** What is read of an answer before the connection is cut; only its status counts. */
const MAX_ANSWER_BYTES = 16_384;

export interface Posting {
  readonly url: URL;
  /** Where to connect: an address of the URL's host that somebody has checked. */
  readonly address: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** @returns the status of the answer. @throws what the connection met, or the signal's reason */
export async function post(
  { url, address, headers, body }: Posting,
  { signal }: { signal: AbortSignal },
): Promise<number> {
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  const options: RequestOptions = {
    method: 'POST',
    host: address,
    port: url.port === '' ? undefined : Number(url.port),
    path: url.pathname + url.search,
    // The certificate has to be the name's, not the address's.
    ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
    headers: { ...headers, host: url.host, 'content-length': Buffer.byteLength(body) },
    agent: false,
    signal,
  };
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return await new Promise((resolve, reject) => {
    const request = send(options, (response) => {
      let readBytes = 0;
      const finish = () => {
        resolve(response.statusCode ?? 0);
        request.destroy();
      };
      response.on('data', (chunk: Buffer) => {
        readBytes += chunk.length;
        if (readBytes > MAX_ANSWER_BYTES) finish();
      });
      response.on('end', finish);
      response.on('error', finish); // the status has come; what follows it does not matter
    });
    request.on('error', (error) => reject(signal.aborted ? signal.reason : error));
    request.end(body);
  });
}
