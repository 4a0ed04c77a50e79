// A walk: steps that follow each other, each of which can also be looked at alone.

/**
 * @typedef {object} Step
 * @property {string} claim what can be seen after it
 * @property {(visit: any) => Promise<void>} [act] what a person does
 * @property {(visit: any) => Promise<void>} check the claim, and nothing else
 */

export class Walk {
  #begin;
  #steps;
  #visit;
  #done = 0;

  /**
   * @param {() => Promise<any>} begin makes what the steps act on, afresh; it has `end()`
   * @param {Step[]} steps
   */
  constructor(begin, steps) {
    this.#begin = begin;
    this.#steps = steps;
  }

  /** Brings the visit to where step `number` (from 1) has just been done, and checks its claim. */
  async look(number) {
    if (this.#done > number - 1 || !this.#visit) await this.#again();
    while (this.#done < number) {
      await this.#steps[this.#done].act?.(this.#visit);
      this.#done += 1;
    }
    await this.#steps[number - 1].check(this.#visit);
    if (number === this.#steps.length) await this.end();
  }

  async #again() {
    await this.end();
    this.#visit = await this.#begin();
  }

  async end() {
    const visit = this.#visit;
    this.#visit = undefined;
    this.#done = 0;
    await visit?.end();
  }
}
