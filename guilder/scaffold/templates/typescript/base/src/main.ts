/** Starts the edition: settings from the environment, a signal stops it gracefully. */

import type { AddressInfo } from "node:net";
import { Keys } from "./keys.js";
import { log } from "./log.js";
import { readManifest } from "./manifest.js";
import { serve } from "./server.js";

const LOOPBACK = ["127.0.0.1", "::1", "localhost"];
const STOP_MS = 10_000;

const host = process.env["HOST"] || "127.0.0.1";
const port = Number(process.env["PORT"] || "8401");
const source = process.env["GUILDER_EDITION_KEYS"] || undefined;

if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  throw new Error("PORT must be 0 to 65535");
}
if (source === undefined && !LOOPBACK.includes(host)) {
  throw new Error("set GUILDER_EDITION_KEYS: without keys only loopback is served");
}

const manifest = readManifest();
const keys = source === undefined ? undefined : await Keys.load(source);
const server = serve(manifest, keys);

server.listen(port, host, () => {
  const { port: bound } = server.address() as AddressInfo;
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${bound}`;
  log("listening", { url, digest: manifest.digest, signed: keys !== undefined });
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => {
    log("stopping", { signal });
    server.close(() => process.exit(0)); // what is being answered is answered
    server.closeIdleConnections();
    setTimeout(() => process.exit(1), STOP_MS).unref();
  });
}
