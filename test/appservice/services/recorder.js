"use strict";
// What both services have in common: their options, and the record of what came.

const { AsyncLocalStorage } = require("node:async_hooks");
const fs = require("node:fs");
const { parseArgs } = require("node:util");

/** The options of a service's command line. */
function options() {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "0" }, // 0: the kernel chooses
      name: { type: "string", default: "service" }, // also the localpart of its own user
      domain: { type: "string", default: "example.org" },
      "hs-token": { type: "string" }, // what it is to be sent
      "as-token": { type: "string" }, // what it sends
      record: { type: "string" }, // appended to
    },
  });
  for (const required of ["hs-token", "as-token", "record"]) {
    if (!values[required]) throw new Error(`--${required} is required`);
  }
  return { ...values, port: Number(values.port), hsToken: values["hs-token"], asToken: values["as-token"] };
}

/**
 * Appends a line of JSON to a file for every event that the library hands out, in that order, before the library
 * answers: {"event_id", "txn", "request"}, where `request` says with which of the requests it came.
 */
class Recorder {
  constructor(path) {
    this.file = fs.openSync(path, "a");
    this.requests = 0;
    this.current = new AsyncLocalStorage();
  }

  /**
   * The libraries do not tell an event's transaction, so each request to their express application is accompanied
   * from before it is parsed.
   */
  watch(app) {
    const handle = app.handle.bind(app);
    app.handle = (request, response, next) => {
      const path = /\/transactions\/([^/?]+)/.exec(request.url);
      if (request.method !== "PUT" || !path) return handle(request, response, next);
      const arrival = { txn: decodeURIComponent(path[1]), request: ++this.requests };
      return this.current.run(arrival, () => handle(request, response, next));
    };
  }

  add(event) {
    const line = { event_id: event.event_id, ...this.current.getStore() };
    fs.writeSync(this.file, JSON.stringify(line) + "\n");
  }
}

/**
 * Neither library answers pings; programs built on them add a route, as matrix-appservice-bridge does. To be called before
 * the library adds its own answer for what it does not know.
 */
function answerPings(app, hsToken) {
  app.post("/_matrix/app/v1/ping", (request, response) => {
    if (request.headers.authorization !== `Bearer ${hsToken}`) {
      response.status(403).send({ errcode: "M_FORBIDDEN", error: "Wrong token" });
    } else {
      response.send({});
    }
  });
}

/** Whether the service has this user or room: all but those called so. */
const exists = (name) => !name.includes("nonexistent");

module.exports = { Recorder, answerPings, exists, options };
