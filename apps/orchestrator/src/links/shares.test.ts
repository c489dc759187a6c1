/** How bandwidth is divided: by example, and that no division breaks a limit or leaves any over. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Sharer, shares } from './shares.ts';

const on = (id: string, ...groups: string[]): Sharer => ({ id, groups: ['total', ...groups, id] });

test('a limit is divided among those under it; without one there is none', () => {
  const limits = new Map([['link:a~b', 9_000]]);
  const divided = shares([on('1', 'link:a~b'), on('2', 'link:a~b'), on('3', 'link:a~b'), on('4')], limits);
  assert.deepEqual(
    [...divided],
    [
      ['1', 3_000],
      ['2', 3_000],
      ['3', 3_000],
      ['4', null],
    ],
  );
});

test('the smallest that applies counts, and who is held lower leaves the rest to the others', () => {
  const limits = new Map([
    ['total', 30_000],
    ['link:a~b', 9_000],
    ['1', 2_000],
  ]);
  const divided = shares([on('1', 'link:a~b'), on('2', 'link:a~b'), on('3')], limits);
  assert.deepEqual(
    [...divided],
    [
      ['1', 2_000],
      ['2', 7_000],
      ['3', 21_000],
    ],
  );
});

test('for any limits: none is exceeded, and nobody could have more unless another had less', () => {
  const group = fc.constantFrom('total', 'link:a~b', 'link:b~c', '0', '1', '2', '3');
  fc.assert(
    fc.property(
      fc.dictionary(group, fc.integer({ min: 100_000, max: 10_000_000 })),
      fc.array(fc.option(fc.constantFrom('link:a~b', 'link:b~c')), { minLength: 1, maxLength: 12 }),
      (byName, links) => {
        const limits = new Map(Object.entries(byName));
        const sharers = links.map((link, index) => on(String(index), ...(link === null ? [] : [link])));
        const divided = shares(sharers, limits);
        const used = (name: string) =>
          sharers
            .filter(({ groups }) => groups.includes(name))
            .reduce((sum, { id }) => sum + (divided.get(id) ?? 0), 0);
        for (const { id, groups } of sharers) {
          const mine = divided.get(id);
          const apply = groups.filter((name) => limits.has(name));
          assert.equal(mine === null, apply.length === 0);
          for (const name of apply) assert.ok(used(name) <= (limits.get(name) ?? 0), `${name} is exceeded`);
          if (mine === null || mine === undefined) continue;
          // Some limit above it is used up, and under that one nobody has more than it has.
          const holds = apply.some((name) => {
            const members = sharers.filter((other) => other.groups.includes(name));
            const isUsedUp = used(name) > (limits.get(name) ?? 0) - members.length - 1;
            return isUsedUp && members.every((other) => (divided.get(other.id) ?? 0) <= mine + 1);
          });
          assert.ok(holds, `${id} could have more`);
        }
      },
    ),
  );
});
