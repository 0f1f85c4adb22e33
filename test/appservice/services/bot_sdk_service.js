"use strict";
// An application service on matrix-bot-sdk that records what it is sent. Prints its port when it is ready.

const http = require("node:http");
const { once } = require("node:events");

// The library loads its encryption, a binary which is downloaded when the package's scripts run, even where nothing is
// encrypted. Ours do not run.
const encryption = require.resolve("@matrix-org/matrix-sdk-crypto-nodejs");
require.cache[encryption] = { id: encryption, filename: encryption, loaded: true, exports: {} };

const { Appservice, LogLevel, LogService, MemoryStorageProvider } = require("matrix-bot-sdk");
const { Recorder, answerPings, exists, options } = require("./recorder");

/** As much of a homeserver as the library needs to register users, create rooms and ask for a user's rooms. */
async function startHomeserver(name, domain) {
  const server = http.createServer((request, response) => {
    request.resume();
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ user_id: `@${name}:${domain}`, room_id: `!room:${domain}`, joined_rooms: [] }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

async function main() {
  const { port, name, domain, hsToken, asToken, record } = options();
  LogService.setLevel(LogLevel.ERROR);
  const recorder = new Recorder(record);
  const service = new Appservice({
    port,
    bindAddress: "127.0.0.1",
    homeserverName: domain,
    homeserverUrl: await startHomeserver(name, domain),
    storage: new MemoryStorageProvider(),
    registration: {
      id: name,
      as_token: asToken,
      hs_token: hsToken,
      sender_localpart: name,
      namespaces: { users: [{ exclusive: true, regex: `@${name}_.*:${domain}` }], rooms: [], aliases: [] },
    },
  });
  recorder.watch(service.expressAppInstance);
  answerPings(service.expressAppInstance, hsToken);

  service.on("room.event", (_room, event) => recorder.add(event));
  service.on("query.user", (user, answer) => answer(exists(user) ? {} : false));
  service.on("query.room", (alias, answer) => answer(exists(alias) ? {} : false));

  await service.begin();
  console.log(service.appServer.address().port);
}

main();
