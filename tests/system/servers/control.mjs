// The account, and the control paths of the Node.js servers: change the tokens, and read the requests that were received.

import { createInterface } from 'node:readline';

export const TOKEN_PATH = '/oauth/token';
export const PING_PATH = '/ClientAPI/api/system/ping';

// Read the account from the JSON line on stdin, because the process list and the environment must not show it.
export async function readAccount() {
  const lines = createInterface({ input: process.stdin });
  for await (const line of lines) {
    lines.close();
    return { port: 0, lifetime: 300, ...JSON.parse(line) };
  }
  throw new Error('stdin holds no account');
}

// Print the port that the server listens on, as one JSON line.
export function reportPort(server) {
  process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`);
}

export function pong() {
  return { pong: new Date().toISOString() };
}

export class Control {
  #changes;
  #requests = [];
  #wrongPasswords = 0;

  constructor(changes) {
    this.#changes = { '/test/revoke': changes.revoke, '/test/expire': changes.expire };
  }

  // Count an attempt that the check of the password refused.
  countWrongPassword() {
    this.#wrongPasswords += 1;
  }

  // Record a token request or a ping: the names of its fields, never their values.
  record(path, body, status) {
    if (path === TOKEN_PATH || path === PING_PATH) {
      this.#requests.push({ path, fields: Object.keys(body ?? {}), status });
    }
  }

  // Return the body for a control path; undefined for every other path.
  respond(method, path) {
    if (method === 'POST' && path in this.#changes) {
      this.#changes[path]();
      return {};
    }
    const pages = {
      '/test/failures': { wrong_passwords: this.#wrongPasswords },
      '/test/requests': this.#requests,
    };
    return pages[path];
  }
}
