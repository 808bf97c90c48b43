// oidc-provider with a custom password grant; its userinfo endpoint, which checks the bearer token, serves the ping.

import { createServer } from 'node:http';
import { once } from 'node:events';
import Provider, { errors } from 'oidc-provider';
import {
  Control, PING_PATH, TOKEN_PATH, pong, readAccount, reportPort,
} from './control.mjs';

console.info = console.error; // stdout is for the port alone

const account = await readAccount();
const stored = new Map(); // everything that the provider saves, by model and id
const accessTokens = () => [...stored].filter(([key]) => key.startsWith('AccessToken:'));

const control = new Control({
  revoke: () => accessTokens().forEach(([key]) => stored.delete(key)),
  expire: () => accessTokens().forEach(([, payload]) => { payload.exp = Math.floor(Date.now() / 1000) - 1; }),
});

class Adapter {
  constructor(model) { this.key = (id) => `${model}:${id}`; }

  async upsert(id, payload) { stored.set(this.key(id), payload); }

  async find(id) { return stored.get(this.key(id)); }

  async destroy(id) { stored.delete(this.key(id)); }
}

async function grantPassword(ctx) {
  const { client, params, provider } = ctx.oidc;
  for (const name of ['username', 'password']) {
    if (params[name] === undefined) throw new errors.InvalidRequest(`missing required parameter(s) '${name}'`);
  }
  if (params.username !== account.username || params.password !== account.password) {
    control.countWrongPassword();
    throw new errors.InvalidGrant('wrong user or password');
  }
  const grant = new provider.Grant({ accountId: params.username, clientId: client.clientId });
  grant.addOIDCScope('openid');
  const token = new provider.AccessToken({
    accountId: params.username, client, grantId: await grant.save(), gty: 'password', scope: 'openid',
  });
  ctx.body = { access_token: await token.save(), expires_in: token.expiration, token_type: token.tokenType };
}

function build(issuer) {
  const provider = new Provider(issuer, {
    adapter: Adapter,
    clients: [{
      client_id: account.client_id,
      client_secret: account.client_secret,
      grant_types: ['password'],
      redirect_uris: [],
      response_types: [],
    }],
    clockTolerance: 0, // seconds; with the default, 15, a token is accepted after its expiry
    cookies: { keys: ['for one run on loopback'] },
    features: { devInteractions: { enabled: false } },
    findAccount: (ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    routes: { token: TOKEN_PATH, userinfo: PING_PATH },
    ttl: { AccessToken: account.lifetime, Grant: account.lifetime },
  });
  provider.registerGrantType('password', grantPassword, ['username', 'password']);
  provider.use(async (ctx, next) => {
    const page = control.respond(ctx.method, ctx.path);
    if (page !== undefined) {
      ctx.body = page;
      return;
    }
    await next();
    if (ctx.path === PING_PATH && ctx.status === 200) ctx.body = pong();
    control.record(ctx.path, ctx.oidc?.body, ctx.status);
  });
  return provider;
}

const server = createServer();
server.listen(account.port, '127.0.0.1');
await once(server, 'listening');
server.on('request', build(`http://127.0.0.1:${server.address().port}`).callback());
reportPort(server);
