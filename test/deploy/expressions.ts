/**
 * What an expression of PromQL names: metrics, with the labels it selects by, and labels that it groups by. As much of the
 * grammar as alerts and dashboards need; a word that is none of these and no function is an error, not a guess.
 */

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly operator: string; readonly value: string }[];
}

export interface Named {
  readonly selectors: readonly Selector[];
  readonly grouping: readonly string[];
}

const WORDS: ReadonlySet<string> = new Set([
  ...['sum', 'max', 'min', 'avg', 'count', 'topk', 'rate', 'increase', 'histogram_quantile', 'and', 'or', 'unless'],
]);
const MATCHER = /([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g;

/** @throws Error naming the word that it does not know */
export function namesIn(expression: string): Named {
  const grouping: string[] = [];
  const selectors: Selector[] = [];
  const plain = expression.replace(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g, (_, labels: string) => {
    grouping.push(...labels.split(',').map((label) => label.trim()));
    return ' ';
  });
  const rest = plain.replace(/\[\d+[smhdw]\]/g, ' ');
  for (const [, name = '', , inside = ''] of rest.matchAll(/([a-zA-Z_:][\w:]*)\s*(\{([^}]*)\})?/g)) {
    if (WORDS.has(name)) continue;
    if (!/^(lmas|process|nodejs)_|^up$/.test(name)) throw new Error(`${name} in ${expression}`);
    const matchers = [...inside.matchAll(MATCHER)].map(([, label = '', operator = '', value = '']) => ({
      ...{ label, operator, value },
    }));
    selectors.push({ metric: name, matchers });
  }
  return { selectors, grouping };
}
