/** Verifies that the platform sent a request: RFC 9421 over the digest of the body (RFC 9530). */

import { createHash, timingSafeEqual, verify as verifySignature } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Keys } from "./keys.js";
import { unauthenticated } from "./problem.js";

const COVERED = '"@method" "@authority" "@path" "content-digest"';
const INPUT = /^([a-z*][a-z0-9_.*-]*)=(\(([^)]*)\)((?:;[a-z]+=(?:\d{1,15}|"[^"\\]*"))*))$/;
const DIGEST = /(?:^|, *)sha-256=:([A-Za-z0-9+/=]+):/;
const SECONDS = 30;
const SKEW = 5;

export interface Received {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** Returns where the signature holds; throws the problem `unauthenticated` where it does not. */
export async function verify(request: Received, keys: Keys, now = Date.now()): Promise<void> {
  const digest = header(request, "content-digest");
  const claimed = Buffer.from(DIGEST.exec(digest)?.[1] ?? "", "base64");
  const real = createHash("sha256").update(request.body).digest();
  if (claimed.length !== real.length || !timingSafeEqual(claimed, real)) {
    throw unauthenticated("Content-Digest is not the digest of the body");
  }

  const input = INPUT.exec(header(request, "signature-input"));
  if (input === null) throw unauthenticated("Signature-Input is not one signature");
  const [, label, parameters, covered, rest] = input;
  if (covered !== COVERED) throw unauthenticated(`the signature must cover ${COVERED}`);

  const given = new Map<string, string>();
  for (const [, name, value] of rest!.matchAll(/;([a-z]+)=(\d+|"[^"]*")/g)) {
    given.set(name!, value!.replaceAll('"', ""));
  }
  if (given.get("alg") !== "ecdsa-p256-sha256") throw unauthenticated("alg is not the agreed one");
  checkTime(Number(given.get("created")), Number(given.get("expires")), now / 1000);

  const key = await keys.find(given.get("keyid") ?? "");
  if (key === undefined) throw unauthenticated("keyid names no key of the platform");

  const base = [
    `"@method": ${request.method}`,
    `"@authority": ${header(request, "host").toLowerCase()}`,
    `"@path": ${request.path}`,
    `"content-digest": ${digest}`,
    `"@signature-params": ${parameters}`,
  ].join("\n");
  const signature = header(request, "signature");
  const bytes = signature.startsWith(`${label}=:`) && signature.endsWith(":")
    ? Buffer.from(signature.slice(label!.length + 2, -1), "base64")
    : Buffer.alloc(0);
  const held = { key, dsaEncoding: "ieee-p1363" } as const; // r and s, 32 bytes each, not DER
  if (bytes.length !== 64 || !verifySignature("sha256", Buffer.from(base), held, bytes)) {
    throw unauthenticated("the signature does not hold");
  }
}

function checkTime(created: number, expires: number, now: number): void {
  // Written so that NaN, from a parameter that is not there, is refused too.
  const fresh = created <= now + SKEW && now < expires && expires - created <= SECONDS;
  if (!fresh) throw unauthenticated("the signature is too old, or not valid yet");
}

function header({ headers }: Received, name: string): string {
  const value = headers[name];
  if (typeof value !== "string") throw unauthenticated(`the header ${name} is missing`);
  return value;
}
