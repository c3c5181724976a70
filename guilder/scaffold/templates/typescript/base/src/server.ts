/** The wire: a manifest, and one operation that answers a batch of one tenant. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { answerBatch, PATH } from "./edition.js";
import type { Keys } from "./keys.js";
import { log } from "./log.js";
import { banner, type Manifest } from "./manifest.js";
import { internal, invalid, notFound, Problem, type Result } from "./problem.js";
import { object } from "./reading.js";
import { verify } from "./signature.js";

const MANIFEST = "/.well-known/guilder-edition";
const MOST_ITEMS = 256;
const LARGEST_REQUEST = 4 * 1024 * 1024;
const DEADLINE_MS = 10_000;

/** What belongs to one request besides its items. */
export interface Batch {
  tenant: number;
  items: unknown[];
  /** When the platform stops waiting, in milliseconds since 1970. */
  deadline: number;
}

/** A server that listens to nothing yet. Without keys it believes everybody: for trying only. */
export function serve(manifest: Manifest, keys: Keys | undefined): Server {
  const server = createServer((request, response) => {
    const closing = () => !server.listening;
    void respond(request, response, manifest, keys, closing);
  });
  server.keepAliveTimeout = 75_000; // longer than the platform keeps an idle connection
  server.requestTimeout = 15_000;
  return server;
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  manifest: Manifest,
  keys: Keys | undefined,
  closing: () => boolean,
): Promise<void> {
  const began = performance.now();
  const id = String(request.headers["guilder-request"] ?? "").slice(0, 80);
  let status = 200;
  let about: Record<string, unknown> = {};
  let document: unknown;
  try {
    const path = new URL(request.url ?? "/", "http://x").pathname;
    if (path === MANIFEST && request.method === "GET") {
      document = manifest;
    } else if (path === PATH && request.method === "POST") {
      const { tenant, items } = await batch(request, path, keys);
      const wait = Number(request.headers["guilder-deadline-ms"] ?? DEADLINE_MS);
      const deadline = Date.now() + (wait > 0 && wait < DEADLINE_MS ? wait : DEADLINE_MS);
      const results: Result[] = await answerBatch({ tenant, items, deadline });
      document = { items: results };
      const problems = results.filter((result) => "problem" in result).length;
      about = { tenant, items: items.length, problems };
    } else if (path === MANIFEST || path === PATH) {
      response.setHeader("Allow", path === PATH ? "POST" : "GET");
      throw notFound("this method is not offered here", 405);
    } else {
      throw notFound("nothing is offered here");
    }
  } catch (error) {
    const problem = error instanceof Problem ? error : internal();
    // Only the kind of an unexpected error: its message may quote what somebody sent.
    const kind = error instanceof Error ? error.constructor.name : typeof error;
    about = { problem: problem.code, ...(problem.code === "internal" ? { kind } : {}) };
    status = problem.status;
    document = problem.document();
  }
  const type = status === 200 ? "application/json" : "application/problem+json";
  if (!request.complete || closing()) response.setHeader("Connection", "close");
  response.writeHead(status, { "Content-Type": type, "Guilder-Edition": banner(manifest) });
  response.end(JSON.stringify(document));
  log("answered", { request: id, status, ...about, ms: Math.round(performance.now() - began) });
}

async function batch(
  request: IncomingMessage,
  path: string,
  keys: Keys | undefined,
): Promise<{ tenant: number; items: unknown[] }> {
  const body = await read(request);
  const { method = "", headers } = request;
  if (keys !== undefined) await verify({ method, path, headers, body }, keys);
  if (!/^application\/json\s*(;|$)/i.test(headers["content-type"] ?? "")) {
    throw invalid("the content type must be application/json", 415);
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw invalid("the body is not JSON");
  }
  const { tenant, items } = object(value, ["tenant", "items"]);
  if (!Number.isSafeInteger(tenant) || (tenant as number) < 1) {
    throw invalid("tenant must be a positive whole number");
  }
  if (!Array.isArray(items) || items.length < 1 || items.length > MOST_ITEMS) {
    throw invalid(`items must be a list of 1 to ${MOST_ITEMS}`);
  }
  return { tenant: tenant as number, items };
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > LARGEST_REQUEST) throw invalid("the body is too large", 413);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}
