import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { PATH } from "../src/edition.js";
import { banner, digest, readManifest } from "../src/manifest.js";
import { serve } from "../src/server.js";

const manifest = readManifest();
const server = serve(manifest, undefined);
let url = "";

before(async () => {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => server.close());

const post = (body: string | ArrayBuffer, type = "application/json") =>
  fetch(url + PATH, { method: "POST", body, headers: { "Content-Type": type } });

test("it says what it is, with a digest of what runs", async () => {
  const answer = await fetch(`${url}/.well-known/guilder-edition`);
  assert.deepEqual(await answer.json(), manifest);
  assert.match(manifest.digest, /^sha256:[0-9a-f]{64}$/);
  assert.equal(manifest.digest, digest());
  assert.equal(answer.headers.get("guilder-edition"), banner(manifest));
});

test("an item that is wrong is refused alone", async () => {
  const answer = await post('{"tenant": 7, "items": [1, {}]}');
  assert.equal(answer.status, 200);
  const { items } = (await answer.json()) as { items: { problem: { code: string } }[] };
  const codes = items.map(({ problem }) => problem.code);
  assert.deepEqual(codes, ["invalid-request", "invalid-request"]);
});

test("what is no batch is refused", async () => {
  const bodies = ["", "[", "[]", '{"tenant":7}', '{"tenant":7,"items":[]}', '{"items":[1]}'];
  bodies.push('{"tenant":"7","items":[1]}', '{"tenant":7,"items":[1],"more":1}');
  bodies.push(`{"tenant":1${"0".repeat(40)},"items":[1]}`);
  bodies.push("[".repeat(99_999), JSON.stringify({ tenant: 7, items: new Array(257).fill(1) }));
  for (const body of bodies) {
    const answer = await post(body);
    assert.equal(answer.status, 400, body.slice(0, 40));
    assert.equal(answer.headers.get("content-type"), "application/problem+json");
  }
  assert.equal((await post('{"tenant":7,"items":[1]}', "text/plain")).status, 415);
  assert.equal((await post(new Uint8Array([0x22, 0xff, 0x22]).buffer)).status, 400);
  assert.equal((await post(" ".repeat(5 * 1024 * 1024))).status, 413);
  assert.equal((await fetch(url + PATH)).status, 405);
  assert.equal((await fetch(`${url}/elsewhere`)).status, 404);
});
