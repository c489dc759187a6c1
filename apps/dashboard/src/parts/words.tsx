/** A sentence of the orchestrator: what it puts between backticks is shown as code. */

export function Words({ of }: { of: string }) {
  const parts = whole(of).split('`');
  // An odd number of backticks is no pair: shown as it came.
  if (parts.length % 2 === 0) return <>{of}</>;
  return <>{parts.map((part, i) => (i % 2 === 0 ? part : <code key={`${i} ${part}`}>{part}</code>))}</>;
}

/** A number and its percent sign stay in one line. */
const whole = (text: string): string => text.replaceAll(' %', '\u00a0%');
