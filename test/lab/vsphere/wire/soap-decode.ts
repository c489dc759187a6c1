/**
 * From a SOAP envelope to values, by the published types. The element names, their order and number, and `xsi:type` are compared
 * with the types on the way; what differs is written down.
 */
import { DOMParser, type Element } from '@xmldom/xmldom';
import { elementOfArray } from '../schema/check.ts';
import type { Field, Schema } from '../schema/schema.ts';
import { type MoRef, moRef, type Value } from '../schema/value.ts';

const ENVELOPE = 'http://schemas.xmlsoap.org/soap/envelope/';
const INSTANCE = 'http://www.w3.org/2001/XMLSchema-instance';
const VIM25 = 'urn:vim25';

export interface SoapCall {
  readonly method: string;
  readonly target: MoRef;
  readonly parameters: Readonly<Record<string, Value>>;
  /** `vcSessionCookie` of the header: a session without HTTP cookies. */
  readonly sessionCookie: string | undefined;
}

export interface Decoding {
  readonly schema: Schema;
  readonly violations: string[];
}

/** @throws an error that says what is wrong when there is no call in it */
export function decodeCall(decoding: Decoding, xml: string): SoapCall {
  const root = parse(xml);
  if (root.localName !== 'Envelope' || root.namespaceURI !== ENVELOPE) throw new Error('no SOAP 1.1 envelope');
  const body = children(root).find(({ localName, namespaceURI }) => localName === 'Body' && namespaceURI === ENVELOPE);
  const [call] = body === undefined ? [] : children(body);
  const method = call?.localName ?? '';
  if (call === undefined) throw new Error('an envelope without a call in its body');
  if (call.namespaceURI !== VIM25) throw new Error(`${method} is not in the namespace ${VIM25}`);
  const known = decoding.schema.method(method);
  if (known === undefined) throw new Error(`${method} is no published method`);
  const [first, ...rest] = children(call);
  if (first?.localName !== '_this') throw new Error(`${method}: the first element has to be _this`);
  const parameters = decodeMembers(decoding, known.parameters, rest, method);
  const header = children(root).find(({ localName }) => localName === 'Header');
  const cookie = header && children(header).find(({ localName }) => localName === 'vcSessionCookie');
  return { method, target: referenceIn(first), parameters, sessionCookie: cookie?.textContent ?? undefined };
}

/** The result in an answer's envelope; `undefined` for none. For tests that look at the answers of others. @throws when it is a fault */
export function decodeAnswer(decoding: Decoding, method: string, xml: string): Value | undefined {
  const [body] = children(parse(xml)).filter(({ localName }) => localName === 'Body');
  const [answer] = body === undefined ? [] : children(body);
  if (answer?.localName !== `${method}Response`) throw new Error(`no ${method}Response: ${xml}`);
  const result = decoding.schema.method(method)?.result;
  const fields = result === undefined ? [] : [result];
  return decodeMembers(decoding, fields, children(answer), `${method} answers`).returnval;
}

function parse(xml: string): Element {
  const fail = (_level: string, message: string): never => {
    throw new Error(`not well-formed: ${message}`);
  };
  const root = new DOMParser({ onError: fail }).parseFromString(xml, 'text/xml').documentElement;
  if (root === null) throw new Error('an empty document');
  return root;
}

const children = (element: Element): Element[] =>
  Array.from(element.childNodes).filter((node): node is Element => node.nodeType === 1);

/** In the order of the type, an array's elements one after the other, nothing unknown. */
function decodeMembers(
  decoding: Decoding,
  fields: readonly Field[],
  elements: readonly Element[],
  path: string,
): Record<string, Value> {
  const members: Record<string, Value> = {};
  let at = 0;
  for (const element of elements) {
    const name = element.localName ?? '';
    const index = fields.findIndex((field) => field.name === name);
    const field = fields[index];
    if (field === undefined) {
      decoding.violations.push(`${path}: ${name} is not published here`);
      continue;
    }
    if (index < at)
      decoding.violations.push(`${path}.${name}: comes after ${fields[at]?.name}, the schema has it before`);
    at = Math.max(at, index);
    const value = decodeValue(decoding, field.type, element, `${path}.${name}`);
    const before = members[name];
    if (field.array) members[name] = [...((before as Value[] | undefined) ?? []), value];
    else {
      if (before !== undefined) decoding.violations.push(`${path}.${name}: comes twice`);
      members[name] = value;
    }
  }
  return members;
}

function decodeValue(decoding: Decoding, declared: string, element: Element, path: string): Value {
  const { schema } = decoding;
  const said = typeOf(element);
  const type = said ?? declared;
  if (declared === 'anyType' && said !== undefined) return decodeAny(decoding, said, element, path);
  if (type === 'ManagedObjectReference') return referenceIn(element);
  if (schema.isPrimitive(type) || schema.enumValues(type) !== undefined)
    return primitive(decoding, type, element.textContent ?? '', path);
  const { fields = [] } = schema.type(type) ?? {};
  return { _typeName: type, ...decodeMembers(decoding, fields, children(element), path) };
}

function decodeAny(decoding: Decoding, type: string, element: Element, path: string): Value {
  const { schema } = decoding;
  const item = elementOfArray(schema, type);
  if (item !== undefined) {
    const values = children(element).map((child, i) => decodeValue(decoding, item.type, child, `${path}[${i}]`));
    return { _typeName: type, _value: values };
  }
  const value = decodeValue(decoding, type, element, path);
  return schema.type(type) === undefined ? { _typeName: type, _value: value } : value;
}

/** Of `xsi:type`, without its prefix: `xsd:string` is string. */
function typeOf(element: Element): string | undefined {
  const said = element.getAttributeNS(INSTANCE, 'type');
  return said === null || said === '' ? undefined : said.slice(said.indexOf(':') + 1);
}

const referenceIn = (element: Element): MoRef =>
  moRef(element.getAttributeNS('', 'type') ?? element.getAttribute('type') ?? '', element.textContent ?? '');

const NUMBERS: ReadonlySet<string> = new Set(['byte', 'short', 'int', 'long', 'float', 'double']);

function primitive({ violations }: Decoding, type: string, text: string, path: string): Value {
  if (type === 'boolean') {
    if (text === 'true' || text === '1') return true;
    if (text === 'false' || text === '0') return false;
    violations.push(`${path}: ${JSON.stringify(text)} is no boolean`);
  }
  if (NUMBERS.has(type)) {
    const number = text.trim() === '' ? Number.NaN : Number(text);
    if (Number.isFinite(number)) return number;
    violations.push(`${path}: ${JSON.stringify(text)} is no ${type}`);
  }
  return text;
}
