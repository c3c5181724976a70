import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import type { Result } from "../src/problem.js";

/** A small mail server, which refuses whoever is called nobody. */
const mails: string[][] = [];
const server: Server = createServer((socket) => {
  let mail: string[] | undefined;
  socket.write("220 ready\r\n");
  createInterface({ input: socket, crlfDelay: Infinity }).on("line", (line) => {
    if (mail === undefined) {
      if (line === "DATA") mail = [];
      const refused = line.startsWith("RCPT TO:<nobody@");
      socket.write(line === "DATA" ? "354 go on\r\n" : refused ? "550 who?\r\n" : "250 ok\r\n");
    } else if (line === ".") {
      mails.push(mail);
      mail = undefined;
      socket.write("250 taken\r\n");
    } else {
      mail.push(line);
    }
  });
});

let answerBatch: typeof import("../src/edition.js").answerBatch;

before(async () => {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  process.env["SMTP_URL"] = `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env["DATA"] = mkdtempSync(join(tmpdir(), "delivered-"));
  ({ answerBatch } = await import("../src/edition.js")); // reads its settings when loaded
});

after(() => server.close());

const message = () => ({
  id: randomUUID(),
  channel: "email",
  to: "ada@bank.example",
  topic: "payment.booked",
  order: "payment-1",
  subject: "Bezahlt: fünf Gulden",
  text: "Your payment was booked.\n.\nThat is all.",
});

async function deliver(item: object, deadline = Date.now() + 5_000): Promise<Result> {
  return (await answerBatch({ tenant: 7, items: [item], deadline }))[0]!;
}

const code = (result: Result) => ("problem" in result ? result.problem["code"] : "delivered");

test("a message is delivered once, and a repeat gets the same answer", async () => {
  const item = message();
  const first = await deliver(item);
  assert.deepEqual(await deliver(item), first);
  assert.equal(code(first), "delivered");
  const sent = mails.filter((mail) => mail.some((line) => line.includes(item.id)));
  assert.equal(sent.length, 1);
  const text = Buffer.from(sent[0]!.slice(sent[0]!.indexOf("") + 1).join(""), "base64");
  assert.equal(text.toString(), item.text);
});

test("the same id with another message is refused", async () => {
  const item = message();
  await deliver(item);
  assert.equal(code(await deliver({ ...item, text: "Another text." })), "message-differs");
});

test("what never arrives is told from what may arrive later", async () => {
  assert.equal(code(await deliver({ ...message(), to: "nobody@bank.example" })), "undeliverable");
  assert.equal(code(await deliver({ ...message(), to: "a@b.example\r\nRCPT" })), "undeliverable");
  assert.equal(code(await deliver({ ...message(), channel: "webhook" })), "channel-disclaimed");
  assert.equal(code(await deliver(message(), Date.now() - 1)), "unavailable");
});

test("messages go out in the order of their ids", async () => {
  const items = [message(), message(), message()].map((item, n) => ({
    ...item,
    id: `0198c2f6-7a51-7000-8000-00000000000${3 - n}`,
  }));
  const began = mails.length;
  await answerBatch({ tenant: 7, items, deadline: Date.now() + 5_000 });
  const ids = mails.slice(began).map((mail) => mail.find((line) => line.startsWith("Message-ID")));
  assert.deepEqual(ids, [...ids].sort());
});
