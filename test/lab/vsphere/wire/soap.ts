/** SOAP 1.1 over HTTP, as vim25 has it: one cookie for the session, a fault with status 500. */
import type { VsphereEndpoint } from '../endpoint.ts';
import { NoAnswer } from '../endpoint.ts';
import { VimFault } from '../fault.ts';
import type { Session } from '../sessions.ts';
import type { Request, Response } from './server.ts';
import { decodeCall, type SoapCall } from './soap-decode.ts';
import { encodeFault, encodeResponse } from './soap-encode.ts';

const COOKIE = 'vmware_soap_session';

export async function answerSoap(endpoint: VsphereEndpoint, request: Request): Promise<Response> {
  if (request.method !== 'POST') return { status: 405, headers: { allow: 'POST' } };
  const { schema } = endpoint;
  try {
    const { method, target, parameters, sessionCookie } = decoded(endpoint, request);
    const session = endpoint.sessions.find(sessionCookie ?? cookieIn(request.headers.cookie));
    const answer = await endpoint.call(method, target, parameters, { session, signal: request.signal });
    return {
      ...{ status: 200, type: 'text/xml; charset=utf-8', body: encodeResponse(schema, method, answer.result) },
      ...(answer.session === undefined ? {} : { headers: cookieFor(answer.session) }),
    };
  } catch (error) {
    if (error instanceof NoAnswer) throw error;
    const fault =
      error instanceof VimFault ? error : new VimFault('SystemError', { reason: String(error) }, String(error));
    if (fault !== error) endpoint.violations.push(`the endpoint itself failed: ${(error as Error).stack}`);
    const body = encodeFault(schema, endpoint.checkedFault(fault), fault.message);
    return { status: 500, type: 'text/xml; charset=utf-8', body };
  }
}

/** @throws VimFault InvalidRequest */
function decoded(endpoint: VsphereEndpoint, { body, headers }: Request): SoapCall {
  const problems: string[] = [];
  const action = String(headers.soapaction ?? '').replaceAll('"', '');
  if (!/^urn:vim25(\/[\w.]+)?$/.test(action))
    problems.push(`SOAPAction ${JSON.stringify(action)} is not urn:vim25/VERSION`);
  if (!/^text\/xml\b/.test(headers['content-type'] ?? ''))
    problems.push(`content-type ${headers['content-type']} is not text/xml`);
  try {
    const call = decodeCall({ schema: endpoint.schema, violations: problems }, body);
    endpoint.refuse(problems);
    return call;
  } catch (error) {
    if (error instanceof VimFault) throw error;
    endpoint.refuse([...problems, (error as Error).message]);
    throw error;
  }
}

/** vCenter puts the value in quotes. */
const cookieFor = ({ id }: Session): Record<string, string> => ({
  'set-cookie': `${COOKIE}="${id}"; Path=/; HttpOnly; Secure; `,
});

function cookieIn(header: string | undefined): string | undefined {
  const found = header?.split(';').find((part) => part.trim().startsWith(`${COOKIE}=`));
  return found
    ?.slice(found.indexOf('=') + 1)
    .trim()
    .replaceAll('"', '');
}
