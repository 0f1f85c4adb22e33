"use strict";
// An application service on matrix-appservice that records what it is sent. Prints its port when it is ready.

const { AppService, AppserviceHttpError } = require("matrix-appservice");
const { Recorder, answerPings, exists, options } = require("./recorder");

const { port, hsToken, record } = options();
const recorder = new Recorder(record);
const service = new AppService({ homeserverToken: hsToken });
recorder.watch(service.expressApp);
answerPings(service.expressApp, hsToken);

service.on("event", (event) => recorder.add(event));
service.onUserQuery = async (user) => {
  if (!exists(user)) throw new AppserviceHttpError({ errcode: "M_NOT_FOUND", error: "No such user" }, 404);
};
// The library answers 200 even to this error: it cannot say that there is no such room.
service.onAliasQuery = async (alias) => {
  if (!exists(alias)) throw new Error("No such room");
};

service.listen(port, "127.0.0.1", 511).then(() => console.log(service.server.address().port));
