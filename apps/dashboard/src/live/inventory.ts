/** What an endpoint has, for suggestions: one that does not answer has nothing to suggest, and is told by whoever needs it. */
import type { Inventory } from '@lmas/client';
import { client } from '../session/session.ts';
import { useResource } from './resource.ts';

/** @param endpoint '' while none is chosen */
export const useInventory = (endpoint: string): Inventory | undefined =>
  useResource(
    async (options) => (endpoint === '' ? undefined : await client().getInventory(endpoint, options)),
    [endpoint],
  ).data;
