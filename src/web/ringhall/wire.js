/**
 * Ringhall's client library: the socket, the signs of life on it, and the proofs of
 * earlier sessions.
 */
var RinghallWire = (() => {
  "use strict";

  const { asObject, errorText } = RinghallWords;
  /** @typedef {RinghallConnectOptions} ConnectOptions */

  /** The socket: text frames `{message, data: [...]}` both ways, and the signs of life. */
  class Wire {
    /**
     * @param {ConnectOptions} options
     * @param {{ opened: () => void, received: (message: string, data: any[]) => void, closed: (failed: boolean, info: string) => void }} owner
     */
    constructor(options, owner) {
      /** @private */
      this._owner = owner;
      /** @private */
      this._ended = false;
      /** @private Intervals since the last message. */
      this._silentIntervals = 0;
      /** @private @type {number[]} */
      this._timers = [];
      /** @private @type {WebSocket | null} */
      this._socket = null;
      try {
        this._socket = new WebSocket(options.urlServer);
      } catch (error) {
        queueMicrotask(() => this._end(true, errorText(error)));
        return;
      }
      this._listen(this._socket, options);
    }

    /** @param {string} message @param {any} argument @returns {boolean} whether it went out */
    send(message, argument) {
      if (!this._socket || this._socket.readyState !== WebSocket.OPEN) return false;
      this._socket.send(JSON.stringify({ message, data: [argument === undefined ? null : argument] }));
      return true;
    }

    close() {
      if (this._socket) this._socket.close();
    }

    /** @private @param {WebSocket} socket @param {ConnectOptions} options */
    _listen(socket, options) {
      const { timeout = 0 } = options;
      const opening =
        timeout > 0 ? window.setTimeout(() => this._end(true, "The server did not answer in time"), timeout) : 0;
      socket.onopen = () => {
        window.clearTimeout(opening);
        this._owner.opened();
        this._watch(options);
      };
      socket.onmessage = (event) => this._receive(event.data);
      socket.onerror = () => this._end(true, "The connection to the server failed");
      socket.onclose = (event) => {
        window.clearTimeout(opening);
        this._end(false, event.reason);
      };
    }

    /** @private @param {ConnectOptions} options */
    _watch({ pingInterval = 0, receiveProbes = 0, probesInterval = 0 }) {
      if (pingInterval > 0) {
        this._timers.push(window.setInterval(() => this.send("ping", null), pingInterval));
      }
      if (receiveProbes > 0 && probesInterval > 0) {
        const probe = () => {
          this._silentIntervals += 1;
          if (this._silentIntervals >= receiveProbes) this._end(true, "The server has gone silent");
        };
        this._timers.push(window.setInterval(probe, probesInterval));
      }
    }

    /** A frame we can't read is said and skipped: it may be news from a later server. @private @param {any} text */
    _receive(text) {
      let frame;
      try {
        frame = asObject(JSON.parse(text));
      } catch (error) {
        console.warn("Ringhall: unreadable frame ignored:", errorText(error));
        return;
      }
      if (typeof frame.message !== "string") return;
      this._silentIntervals = 0;
      this._owner.received(frame.message, Array.isArray(frame.data) ? frame.data : []);
    }

    /** @private @param {boolean} failed @param {string} info */
    _end(failed, info) {
      if (this._ended) return;
      this._ended = true;
      for (const timer of this._timers) window.clearInterval(timer);
      this._owner.closed(failed, info);
      this.close();
    }
  }

  /**
   * Proofs of earlier sessions, one per server and login, kept for this tab: with
   * it a rejoin after a lost connection takes the ghost's place at once.
   */
  class AuthTokens {
    /** @param {string} url @param {string} login @returns {string} */
    static key(url, login) {
      return `ringhall.authToken ${url} ${login}`;
    }

    /** A session still alive keeps its token: a second one is not its successor. @param {string} key */
    static read(key) {
      if (AuthTokens._live.has(key)) return undefined;
      try {
        return sessionStorage.getItem(key) || AuthTokens._memory.get(key);
      } catch {
        return AuthTokens._memory.get(key);
      }
    }

    /** @param {string} key @param {string} token @param {object} session */
    static keep(key, token, session) {
      AuthTokens._live.set(key, session);
      AuthTokens._memory.set(key, token);
      try {
        sessionStorage.setItem(key, token);
      } catch {
        // Storage refused (private mode, sandboxed frame): memory does until the page is left.
      }
    }

    /** @param {string} key @param {object} session */
    static ended(key, session) {
      if (AuthTokens._live.get(key) === session) AuthTokens._live.delete(key);
    }
  }
  /** @type {Map<string, object>} */
  AuthTokens._live = new Map();
  /** @type {Map<string, string>} */
  AuthTokens._memory = new Map();

  return { Wire, AuthTokens };
})();
