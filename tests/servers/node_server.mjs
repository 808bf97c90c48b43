// @node-oauth/oauth2-server on express.

import OAuth2Server from '@node-oauth/oauth2-server';
import express from 'express';
import {
  Control, PING_PATH, TOKEN_PATH, pong, readAccount, reportPort,
} from './control.mjs';

const account = await readAccount();
const tokens = new Map();
const client = { id: account.client_id, grants: ['password'] };

const control = new Control({
  revoke: () => tokens.clear(),
  expire: () => tokens.forEach((token) => { token.accessTokenExpiresAt = new Date(Date.now() - 1); }),
});

const model = {
  getClient: async (id, secret) => id === account.client_id && secret === account.client_secret && client,
  getUser: async (username, password) => {
    if (username === account.username && password === account.password) return { username };
    control.countWrongPassword();
    return false;
  },
  saveToken: async (token, ofClient, user) => {
    const saved = { ...token, client: ofClient, user };
    tokens.set(token.accessToken, saved);
    return saved;
  },
  getAccessToken: async (text) => tokens.get(text),
};

const oauth = new OAuth2Server({ model, accessTokenLifetime: account.lifetime });

// Let the library handle a request, and send the response or the error that it made.
const handled = (handle) => async (request, response) => {
  const made = new OAuth2Server.Response(response);
  try {
    const body = await handle(new OAuth2Server.Request(request), made);
    response.set(made.headers).status(made.status).json(body);
  } catch (error) {
    response.set(made.headers).status(error.code).json({ error: error.name, error_description: error.message });
  }
};

const app = express();
app.use((request, response, next) => {
  const page = control.respond(request.method, request.path);
  if (page !== undefined) return response.json(page);
  response.on('finish', () => control.record(request.path, request.body, response.statusCode));
  return next();
});
app.use(express.urlencoded({ extended: false }));
app.post(TOKEN_PATH, handled(async (request, response) => {
  await oauth.token(request, response);
  return response.body;
}));
app.get(PING_PATH, handled(async (request, response) => {
  await oauth.authenticate(request, response);
  return pong();
}));

const server = app.listen(account.port, '127.0.0.1', () => reportPort(server));
