// A real authorization server (oidc-provider) whose one person agrees to everything.
//
//   node server.mjs '{"port": 9400, "accessTokenTtl": 3600}'
//
// Clients: basic, post (by how they authenticate), public (none), service (client
// credentials), television (device code), signer (private_key_jwt, where "jwk" is given).
// GET /tokens tells how many token requests of each grant succeeded and failed.
import { Provider } from 'oidc-provider';

const { port, accessTokenTtl = 3600, jwk, redirectUri = 'http://127.0.0.1:9/callback' } = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const person = { redirect_uris: [redirectUri], response_types: ['code'], grant_types: ['authorization_code', 'refresh_token'] };
const machine = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };

const clients = [
  { client_id: 'basic', client_secret: 'sec:ret/+ %', token_endpoint_auth_method: 'client_secret_basic', ...person },
  { client_id: 'post', client_secret: 'post-secret', token_endpoint_auth_method: 'client_secret_post', ...person },
  { client_id: 'public', token_endpoint_auth_method: 'none', ...person },
  { client_id: 'service', client_secret: 'service-secret', token_endpoint_auth_method: 'client_secret_basic', ...machine },
  {
    client_id: 'television', token_endpoint_auth_method: 'none', redirect_uris: [], response_types: [],
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
  },
];
if (jwk) {
  clients.push({
    client_id: 'signer', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'RS256',
    jwks: { keys: [jwk] }, ...machine,
  });
}

const provider = new Provider(issuer, {
  clients,
  scopes: ['openid', 'offline_access', 'read', 'write'],
  claims: { openid: ['sub'], read: ['name'] },
  pkce: { required: () => true },
  rotateRefreshToken: () => true,
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  ttl: {
    AccessToken: accessTokenTtl, ClientCredentials: accessTokenTtl, AuthorizationCode: 60, RefreshToken: 86400,
    DeviceCode: 600, Session: 3600, Grant: 86400, Interaction: 600, IdToken: 3600,
  },
  features: {
    devInteractions: { enabled: false }, revocation: { enabled: true }, clientCredentials: { enabled: true },
    deviceFlow: { enabled: true }, introspection: { enabled: true },
  },
  interactions: { url: (ctx, interaction) => `/agree/${interaction.uid}` },
  findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, name: 'Ada' }) }),
});

const counts = {};
const note = (outcome) => (ctx) => {
  const grant = (ctx.oidc?.params?.grant_type ?? 'unknown').split(':').pop();
  counts[`${grant} ${outcome}`] = (counts[`${grant} ${outcome}`] ?? 0) + 1;
};
provider.on('grant.success', note('granted'));
provider.on('grant.error', note('refused'));
provider.on('grant.revoked', () => { counts.revoked = (counts.revoked ?? 0) + 1; });

async function agree(ctx) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
  let answer;
  if (params.login_hint === 'nobody') answer = { error: 'access_denied', error_description: 'The person said no' };
  else if (prompt.name === 'login') answer = { login: { accountId: params.login_hint ?? 'ada' } };
  else {
    const grant = grantId ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope((prompt.details.missingOIDCScope ?? []).join(' '));
    grant.addOIDCClaims(prompt.details.missingOIDCClaims ?? []);
    answer = { consent: { grantId: await grant.save() } };
  }
  ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, answer, { mergeWithLastSubmission: true }));
}

// What a person does with a device's code.
async function approveDevice(ctx) {
  const code = await provider.DeviceCode.findByUserCode(ctx.query.user_code.replace(/-/g, ''));
  const grant = new provider.Grant({ accountId: 'ada', clientId: code.clientId });
  grant.addOIDCScope('openid read');
  code.accountId = 'ada';
  code.grantId = await grant.save();
  code.scope = 'openid read';
  await code.save();
  ctx.body = 'thank you';
}

provider.use(async (ctx, next) => {
  if (ctx.path === '/tokens') ctx.body = counts;
  else if (ctx.path === '/approve-device') await approveDevice(ctx);
  else if (ctx.path.startsWith('/agree/')) await agree(ctx);
  else await next();
});
provider.on('server_error', (ctx, error) => console.log('server error', error));
provider.listen(port, '127.0.0.1', () => console.log('ready'));
