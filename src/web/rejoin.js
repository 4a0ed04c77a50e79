/**
 * The way back after a lost connection: when to try again, how long to wait for
 * an answer, and when to give up. It knows nothing of rooms: it is told to begin,
 * told what failed, and calls for the next attempt.
 */

/** So long the server is looked for eagerly: a restart or a change of network takes seconds. */
const EAGER_MS = 60_000;

/** From the begin of one eager attempt to the begin of the next, at least. */
const EAGER_INTERVAL_MS = 1_500;

/** Everybody in a room loses it at once; so much at most they are spread by, so as not to knock at once. */
const SPREAD_MS = 400;

/** After an attempt that took its time, the next follows at once, nearly. */
const PAUSE_MIN_MS = 250;

/** An unanswered eager attempt: its packets may be lost in a network that has returned since. */
const EAGER_TIMEOUT_MS = 3_000;

const PATIENT_PAUSE_MS = 8_000;
const PATIENT_TIMEOUT_MS = 12_000;

/** Then the person has gone elsewhere. */
const GIVE_UP_MS = 20 * 60_000;

export class Rejoin {
  /** @param {{ attempt: () => void, giveUp: () => void }} owner */
  constructor(owner) {
    /** @private */
    this._owner = owner;
    /** @private When the connection was lost; null: it is not. @type {number | null} */
    this._lostAt = null;
    /** @private */
    this._attemptAt = 0;
    /** @private Timer until the next attempt; 0 while one is under way. */
    this._timer = 0;
    window.addEventListener("online", () => this.hurry());
  }

  isRunning() {
    return this._lostAt !== null;
  }

  /** How long an attempt may take to reach the server. @returns {number} */
  timeoutMs() {
    return this._isEager() ? EAGER_TIMEOUT_MS : PATIENT_TIMEOUT_MS;
  }

  /** The connection is lost, or an attempt has failed: another follows. */
  schedule() {
    const now = performance.now();
    if (this._lostAt === null) {
      this._lostAt = now;
      this._attemptAt = now - EAGER_INTERVAL_MS;
    }
    if (now - this._lostAt > GIVE_UP_MS) {
      this.stop();
      this._owner.giveUp();
      return;
    }
    const due = this._isEager() ? EAGER_INTERVAL_MS - (now - this._attemptAt) : PATIENT_PAUSE_MS;
    this._wait(Math.max(PAUSE_MIN_MS, due) + Math.random() * SPREAD_MS);
  }

  /** Something suggests that the server is back. */
  hurry() {
    if (this._lostAt === null || !this._timer) return;
    this._lostAt = performance.now();
    this._wait(0);
  }

  /** Back in the room, or out of it for good. */
  stop() {
    window.clearTimeout(this._timer);
    this._timer = 0;
    this._lostAt = null;
  }

  /** @private */
  _isEager() {
    return this._lostAt !== null && performance.now() - this._lostAt < EAGER_MS;
  }

  /** @private @param {number} pauseMs */
  _wait(pauseMs) {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => {
      this._timer = 0;
      this._attemptAt = performance.now();
      this._owner.attempt();
    }, pauseMs);
  }
}
