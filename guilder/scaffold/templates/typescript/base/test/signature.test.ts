import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Keys } from "../src/keys.js";
import { type Received, verify } from "../src/signature.js";

const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const file = join(mkdtempSync(join(tmpdir(), "keys-")), "keys.json");
const jwk = { ...publicKey.export({ format: "jwk" }), kid: "k1" };
const other = { ...jwk, kid: "k3", guilder_use: "attestations" };
writeFileSync(file, JSON.stringify({ keys: [jwk, other] }));
const keys = await Keys.load(file);
const NOW = 1_800_000_000;

function signed(changes: { created?: number; keyid?: string; covered?: string } = {}): Received {
  const { created = NOW, keyid = "k1" } = changes;
  const { covered = '"@method" "@authority" "@path" "content-digest"' } = changes;
  const body = Buffer.from('{"tenant":7,"items":[]}');
  const digest = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
  const parameters =
    `(${covered});created=${created};expires=${created + 30};keyid="${keyid}"` +
    ';alg="ecdsa-p256-sha256"';
  const base = [
    '"@method": POST',
    '"@authority": 127.0.0.1:8401',
    '"@path": /x/v1/y',
    `"content-digest": ${digest}`,
    `"@signature-params": ${parameters}`,
  ].join("\n");
  const held = { key: privateKey, dsaEncoding: "ieee-p1363" } as const;
  const signature = sign("sha256", Buffer.from(base), held).toString("base64");
  const headers = {
    host: "127.0.0.1:8401",
    "content-digest": digest,
    "signature-input": `guilder=${parameters}`,
    signature: `guilder=:${signature}:`,
  };
  return { method: "POST", path: "/x/v1/y", headers, body };
}

const check = (request: Received, seconds = NOW) => verify(request, keys, seconds * 1000);
const refused = { code: "unauthenticated" };

test("what the platform signed holds", async () => {
  await check(signed());
});

test("a changed body, path, method or host is refused", async () => {
  await assert.rejects(check({ ...signed(), body: Buffer.from("{}") }), refused);
  await assert.rejects(check({ ...signed(), path: "/x/v1/z" }), refused);
  await assert.rejects(check({ ...signed(), method: "PUT" }), refused);
  const request = signed();
  const elsewhere = { ...request, headers: { ...request.headers, host: "elsewhere" } };
  await assert.rejects(check(elsewhere), refused);
});

test("a signature has its time", async () => {
  await check(signed(), NOW + 29);
  await assert.rejects(check(signed(), NOW + 30), refused);
  await assert.rejects(check(signed({ created: NOW + 60 })), refused);
});

test("an unknown key, fewer covered parts and no signature are refused", async () => {
  await assert.rejects(check(signed({ keyid: "k2" })), refused);
  await assert.rejects(check(signed({ keyid: "k3" })), refused); // of attestations, not requests
  await assert.rejects(check(signed({ covered: '"@method"' })), refused);
  await assert.rejects(check({ ...signed(), headers: {} }), refused);
});

test("the golden vector of the guide holds", async () => {
  const item = (amount: string) =>
    `{"amount":{"amount":"${amount}","currency":"EUR"},"at":"2026-03-02T12:00:00Z",` +
    '"operation":"book_transfer","product":"current"}';
  const golden = join(mkdtempSync(join(tmpdir(), "keys-")), "keys.json");
  const kid = "5PZTL_z52kmjw9P1Fpwr-1n_ggkaRa5msioscY49waE";
  const point = {
    x: "bUctKwGwDylx7_YZfmAx7eDNjmjdnLU2hczwJuZTyzA",
    y: "HCn7caoNgpQxPqwZ6KJhJOjGabl3YEQI5t4SqMa2PAc",
  };
  writeFileSync(golden, JSON.stringify({ keys: [{ kty: "EC", crv: "P-256", kid, ...point }] }));
  const request = {
    method: "POST",
    path: "/pricing/v1/quotes",
    body: Buffer.from(`{"items":[${item("1000.00")},${item("1e3")}],"tenant":7}`),
    headers: {
      host: "pricing.company-x.example",
      "content-digest": "sha-256=:8LtBd/lrj5OWr8t6G969gX4zSgaf/gdyTZSp766r/nI=:",
      "signature-input":
        'guilder=("@method" "@authority" "@path" "content-digest");created=1800000000' +
        `;expires=1800000030;keyid="${kid}";alg="ecdsa-p256-sha256"`,
      signature:
        "guilder=:s/tPs+Po9hXJsG8PtGWcxowusYaUlGN3AHDybm3eTh2eFs+qUqL2YR1VHVtUw9d6QkSoYUFNt5S25" +
        "SGnEEwMNg==:",
    },
  };
  const known = await Keys.load(golden);
  await verify(request, known, NOW * 1000);
  await assert.rejects(verify({ ...request, path: "/pricing/v1/quote" }, known, NOW * 1000));
});
