/**
 * SOAP 1.1 as vSphere speaks it (`/sdk`, namespace `urn:vim25`): a call to text, and an answer to plain values. Pure.
 *
 * Answers are read without a schema: `xsi:type` tells what must be told (primitives in `any`, lists, polymorphic objects); what
 * has none stays text, and the shapes in records.ts read both. The order of elements is kept, so that an object can be sent
 * back as it came.
 */
import { DOMParser, type Element } from '@xmldom/xmldom';
import { fieldsOf, fieldType, isRef, METHODS, type MethodName, type Ref } from './data-objects.ts';

const ENVELOPE = 'http://schemas.xmlsoap.org/soap/envelope/';
const INSTANCE = 'http://www.w3.org/2001/XMLSchema-instance';
const SCHEMA = 'http://www.w3.org/2001/XMLSchema';
const VIM = 'urn:vim25';

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
};
const escapeXml = (text: string): string => text.replace(/[&<>"\r]/g, (character) => ENTITIES[character] ?? character);

/** The whole envelope. Values that are `undefined` are left out. @throws TypeError for what no table knows */
export function encodeCall(self: Ref, method: MethodName, params: Readonly<Record<string, unknown>>): string {
  const body = element('_this', self, 'ref') + elementsOf(params, METHODS[method]);
  return (
    '<?xml version="1.0" encoding="UTF-8"?>' +
    `<soapenv:Envelope xmlns:soapenv="${ENVELOPE}" xmlns:xsi="${INSTANCE}" xmlns:xsd="${SCHEMA}">` +
    `<soapenv:Body><${method} xmlns="${VIM}">${body}</${method}></soapenv:Body></soapenv:Envelope>`
  );
}

function elementsOf(value: Readonly<Record<string, unknown>>, fields: Readonly<Record<string, string>>): string {
  const stranger = Object.keys(value).find((name) => name !== '_typeName' && !Object.hasOwn(fields, name));
  if (stranger !== undefined) throw new TypeError(`There is no field ${stranger} in the table.`);
  return Object.entries(fields)
    .map(([name, written]) => {
      const { type, list } = fieldType(written);
      const given = value[name];
      if (given === undefined) return '';
      return list
        ? (given as readonly unknown[]).map((each) => element(name, each, type)).join('')
        : element(name, given, type);
    })
    .join('');
}

function element(name: string, value: unknown, type: string): string {
  if (type === 'raw') return rawElement(name, value);
  if (type === 'ref' && isRef(value)) {
    return `<${name} type="${escapeXml(value.type)}">${escapeXml(value.value)}</${name}>`;
  }
  if (typeof value === 'object' && value !== null) {
    const { _typeName: typeName } = value as { _typeName?: string };
    const fields = fieldsOf(typeName ?? type);
    if (fields === undefined) throw new TypeError(`There is no data object ${typeName ?? type} in the table.`);
    return `<${name} xsi:type="${typeName ?? type}">${elementsOf(value as Record<string, unknown>, fields)}</${name}>`;
  }
  return `<${name}>${escapeXml(String(value))}</${name}>`;
}

/** As it was read, with whatever was put into it since: what the table knows is written in its order. */
function rawElement(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map((each) => rawElement(name, each)).join('');
  if (typeof value !== 'object' || value === null) return `<${name}>${escapeXml(String(value))}</${name}>`;
  const { _typeName: typeName, ...fields } = value as { _typeName?: string };
  if (isRef(value) && (typeName === undefined || typeName === 'ManagedObjectReference'))
    return element(name, value, 'ref');
  if (typeName !== undefined && fieldsOf(typeName) !== undefined) return element(name, value, typeName);
  const inside = Object.entries(fields).map(([field, each]) => (each === undefined ? '' : rawElement(field, each)));
  const type = typeName === undefined ? '' : ` xsi:type="${escapeXml(typeName)}"`;
  return `<${name}${type}>${inside.join('')}</${name}>`;
}

/** What came back: a value (`undefined` for a method without one), or the fault's data object. */
export type Answer =
  | { readonly value: unknown }
  | { readonly fault: { readonly name: string; readonly message: string; readonly detail: unknown } };

/** @throws Error for anything that is no SOAP answer */
export function decodeAnswer(xml: string): Answer {
  const refuse = (level: string, message: string): void => {
    if (level !== 'warning') throw new Error(message);
  };
  const root = new DOMParser({ onError: refuse }).parseFromString(xml, 'text/xml').documentElement;
  const body = root === null ? undefined : elements(root).find((child) => child.localName === 'Body');
  const content = body === undefined ? undefined : elements(body)[0];
  if (root?.localName !== 'Envelope' || content === undefined) throw new Error('not a SOAP envelope');
  if (content.localName === 'Fault') return { fault: decodeFault(content) };
  const returned = elements(content).filter((child) => child.localName === 'returnval');
  const [first] = returned;
  if (first === undefined) return { value: undefined };
  return { value: returned.length === 1 ? decodeElement(first) : returned.map(decodeElement) };
}

function decodeFault(fault: Element) {
  const children = elements(fault);
  const message = children.find((child) => child.localName === 'faultstring')?.textContent ?? '';
  const detail = children.find((child) => child.localName === 'detail');
  const typed = detail === undefined ? undefined : elements(detail)[0];
  if (typed === undefined) return { name: 'RuntimeFault', message, detail: undefined };
  // Where the type is not told, the element's own name does: `<NotAuthenticatedFault>`.
  return {
    name: typeOf(typed) ?? (typed.localName ?? '').replace(/Fault$/, ''),
    message,
    detail: decodeElement(typed),
  };
}

/** Of `xsi:type="ns:Name"` the name. */
function typeOf(from: Element): string | undefined {
  const type = from.getAttributeNS(INSTANCE, 'type');
  return type === null || type === '' ? undefined : type.slice(type.indexOf(':') + 1);
}

const elements = (parent: Element): Element[] =>
  Array.from(parent.childNodes).filter((node): node is Element => node.nodeType === node.ELEMENT_NODE);

const NUMBERS: ReadonlySet<string> = new Set(['int', 'long', 'short', 'byte', 'float', 'double']);
const TEXTS: ReadonlySet<string> = new Set(['string', 'dateTime', 'anyURI', 'base64Binary']);

export function decodeElement(from: Element): unknown {
  const type = typeOf(from);
  const children = elements(from);
  const text = from.textContent ?? '';
  if (type === 'ManagedObjectReference' || (type === undefined && from.hasAttribute('type'))) {
    return { _typeName: 'ManagedObjectReference', type: from.getAttribute('type') ?? '', value: text };
  }
  if (type?.startsWith('ArrayOf')) return children.map(decodeElement);
  if (type !== undefined && NUMBERS.has(type)) return Number(text);
  if (type === 'boolean') return text === 'true' || text === '1';
  if (type !== undefined && TEXTS.has(type)) return text;
  // An enumeration has a type and text; an object of which nothing is set has a type and neither text nor elements.
  if (children.length === 0) return type === undefined || text !== '' ? text : { _typeName: type };
  return decodeObject(type, children);
}

function decodeObject(type: string | undefined, children: readonly Element[]): Record<string, unknown> {
  const object: Record<string, unknown> = type === undefined ? {} : { _typeName: type };
  const lists = new Set<string>();
  for (const child of children) {
    const name = child.localName ?? '';
    const value = decodeElement(child);
    if (!Object.hasOwn(object, name)) object[name] = value;
    else if (lists.has(name)) (object[name] as unknown[]).push(value);
    else {
      object[name] = [object[name], value];
      lists.add(name);
    }
  }
  return object;
}
