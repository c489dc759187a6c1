/**
 * The last look before something leaves in a report: what has the name or the form of a secret is taken out. What comes from
 * the orchestrator holds none to begin with; this is for what people wrote into names, descriptions and addresses, and for
 * defects of ours. Rather too much is taken than too little.
 */

export const CENSORED = '[redacted]';

const SECRET_NAME =
  /^(authorization|cookie|set-cookie|key|login|sealed|secrets?|.*(password|passphrase|passwd|private.?key|api.?key|master.?key|secret|token|credentials?.?value)s?)$/i;

const NAME = '(?:password|passphrase|passwd|secret|token|(?:api|access|private|master)[_-]?key|cookie|authorization)s?';
/**
 * What a text says behind the name of a secret: in quotes up to the closing one, in a query up to the next parameter, else up to the
 * end of the line. The name may stand in quotes, and quotes may be escaped, as those of JSON within JSON: behind `\"` ends what comes
 * before `\"`, and `\\\"` is part of it.
 */
const NAMED = new RegExp(
  [
    String.raw`(?<before>${NAME}(?:\\*["'])?\s*[=:]\s*(?:(?:Bearer|Basic) )?)(?=\S)`,
    // Numbers are none, in JSON neither.
    String.raw`(?!(?<=["']\s*:\s*)(?:-?\d+|true|false|null)[,}\]])(?:`,
    String.raw`(?<opening>(?<escape>\\*)(?<quote>["']))[\s\S]*?(?<!\\)(?:\k<escape>\k<escape>\\\\)*(?=\k<escape>\k<quote>)`,
    String.raw`|(?<=[?&][\w-]*=)[^\s&#"]+`,
    '|.+)',
  ].join(''),
  'gi',
);

/** Forms that secrets of ours, and those of others, are known by. */
const FORMS: readonly RegExp[] = [
  /lmas_[a-z0-9]{12}_[A-Za-z0-9_-]{43}/g,
  /whsec_[A-Za-z0-9+/=_-]+/g,
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g,
  /(?<=\b(?:Bearer|Basic) )[A-Za-z0-9._~+/=-]{6,}/gi,
  // A login before a host, whatever is in it: up to the last @ of the word.
  /(?<=:\/\/)[^\s"]+(?=@)/g,
  // 32 bytes in base64: a master key. Fingerprints are as long, and come without the padding.
  /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=/g,
];

export class Redactor {
  readonly #known: readonly string[];
  /** How often something was taken out. */
  count = 0;

  /** @param known what this process knows to be secret, whatever its form */
  constructor(known: readonly string[]) {
    this.#known = known.filter((secret) => secret !== '');
  }

  text(text: string): string {
    const replace = (): string => {
      this.count += 1;
      return CENSORED;
    };
    const known = this.#known.reduce((rest, secret) => rest.replaceAll(secret, replace), text);
    const formless = FORMS.reduce((rest, form) => rest.replace(form, replace), known);
    return formless.replace(NAMED, (...match) => {
      const { before = '', opening = '' } = match.at(-1) as { before?: string; opening?: string };
      const kept = before + opening;
      return match[0] === kept + CENSORED ? match[0] : kept + replace();
    });
  }

  /** The same value with every text in it looked at, and those censored whose name says that they are secret. */
  value(value: unknown): unknown {
    if (typeof value === 'string') return this.text(value);
    if (Array.isArray(value)) return value.map((item) => this.value(item));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [this.text(name), this.#field(name, item)]));
  }

  #field(name: string, item: unknown): unknown {
    if (!SECRET_NAME.test(name) || item === null || typeof item === 'number' || typeof item === 'boolean') {
      return this.value(item);
    }
    this.count += 1;
    return CENSORED;
  }
}
