/**
 * What several parts of a page cannot load for the same reason is told once, by the first of them: five times "cannot be
 * reached" tell nobody more than one does.
 */
import { signal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';

/** Who tells what, the first one first. */
const tellers = signal<readonly { readonly who: object; readonly text: string }[]>([]);

/** @param text what there is to be told; null: nothing. @returns whether it is for the caller to tell it */
export function useToldOnce(text: string | null): boolean {
  const { current: who } = useRef({});
  useLayoutEffect(() => {
    if (text === null) return undefined;
    tellers.value = [...tellers.peek(), { who, text }];
    return () => {
      tellers.value = tellers.peek().filter((teller) => teller.who !== who);
    };
  }, [text]);
  const first = tellers.value.find((teller) => teller.text === text);
  return first === undefined || first.who === who;
}
