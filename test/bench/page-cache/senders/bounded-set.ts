/**
 * Keys with weights, bounded by the sum of their weights. What makes room is chosen at random (the same on every run): passes go through
 * memory in the order of addresses, so that the least recently used page would be thrown out each time just before it comes again.
 */

export class BoundedSet<Key> {
  readonly #limit: number;
  readonly #places = new Map<Key, number>();
  readonly #keys: Key[] = [];
  readonly #weights: number[] = [];
  #weight = 0;
  #lot = 2_463_534_242;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get weight(): number {
    return this.#weight;
  }

  has(key: Key): boolean {
    return this.#places.has(key);
  }

  /** Adds a key that is not there, and says which had to go. One that is heavier than everything together is not taken. */
  add(key: Key, weight: number): Key[] {
    const gone: Key[] = [];
    if (weight > this.#limit) return gone;
    while (this.#weight + weight > this.#limit) gone.push(this.#dropOne());
    this.#places.set(key, this.#keys.length);
    this.#keys.push(key);
    this.#weights.push(weight);
    this.#weight += weight;
    return gone;
  }

  #dropOne(): Key {
    const place = this.#draw() % this.#keys.length;
    const [lastKey, lastWeight] = [this.#keys.pop(), this.#weights.pop()];
    if (lastKey === undefined || lastWeight === undefined) throw new RangeError('Nothing is left to make room.');
    if (place === this.#keys.length) return this.#forget(lastKey, lastWeight);
    const [key, weight] = [this.#keys[place] as Key, this.#weights[place] ?? 0];
    this.#keys[place] = lastKey;
    this.#weights[place] = lastWeight;
    this.#places.set(lastKey, place);
    return this.#forget(key, weight);
  }

  #forget(key: Key, weight: number): Key {
    this.#places.delete(key);
    this.#weight -= weight;
    return key;
  }

  /** xorshift32 */
  #draw(): number {
    let x = this.#lot;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#lot = x >>> 0;
    return this.#lot;
  }
}
