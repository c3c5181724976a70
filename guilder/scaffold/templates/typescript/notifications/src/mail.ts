/** Hands mail over: by SMTP where `SMTP_URL` is set, else into a folder, to look at. */

import { mkdirSync, writeFileSync } from "node:fs";
import { connect as connectPlain, type Socket } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connect as connectTls } from "node:tls";
import { Problem, unavailable } from "./problem.js";

export interface Mail {
  from: string;
  to: string;
  /** Also the carrier's reference: the same at a repeat, so that a mailbox can tell one. */
  messageId: string;
  subject: string;
  text: string;
}

export type Carrier = (mail: Mail, deadline: number) => Promise<void>;

export function undeliverable(detail: string): Problem {
  const fix = "Correct the address; this message is not tried again.";
  return new Problem("undeliverable", 422, "This address never takes the message", detail, fix);
}

/** `smtp://host:25` (a relay of one's own network) or `smtps://user:password@host:465`. */
export function carrier(url: string | undefined, folder: string): Carrier {
  if (url !== undefined) return (mail, deadline) => bySmtp(new URL(url), mail, deadline);
  return async (mail) => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(join(folder, `${mail.messageId.slice(1, -1)}.eml`), format(mail));
  };
}

async function bySmtp(url: URL, mail: Mail, deadline: number): Promise<void> {
  const { hostname: host, protocol } = url;
  const secure = protocol === "smtps:";
  const port = Number(url.port || (secure ? 465 : 25));
  const socket = secure ? connectTls({ host, port, servername: host }) : connectPlain(port, host);
  const timer = setTimeout(() => socket.destroy(), Math.max(1, deadline - Date.now()));
  try {
    await converse(socket, url, secure, mail);
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw unavailable("the mail server does not answer");
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

async function converse(socket: Socket, url: URL, secure: boolean, mail: Mail): Promise<void> {
  let failure: Error | undefined;
  socket.on("error", (error) => (failure = error));
  const lines = createInterface({ input: socket, crlfDelay: Infinity })[Symbol.asyncIterator]();

  async function say(command: string | undefined, wanted: number): Promise<void> {
    if (command !== undefined) socket.write(`${command}\r\n`);
    for (;;) {
      const { value: line, done } = await lines.next();
      if (done || failure) throw failure ?? new Error("closed");
      if (/^\d{3}-/.test(line)) continue; // the answer goes on
      const code = Number(line.slice(0, 3));
      if (code === wanted || (wanted === 250 && code === 251)) return;
      // The server's own words may hold the address: only the code is passed on.
      if (code >= 500 && wanted !== 220) throw undeliverable(`the mail server answers ${code}`);
      throw unavailable(`the mail server answers ${code}`);
    }
  }

  await say(undefined, 220);
  await say(`EHLO ${hostname()}`, 250);
  if (url.username && secure) {
    const login = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
    await say(`AUTH PLAIN ${Buffer.from(`\0${login.join("\0")}`).toString("base64")}`, 235);
  }
  await say(`MAIL FROM:<${mail.from}>`, 250);
  await say(`RCPT TO:<${mail.to}>`, 250);
  await say("DATA", 354);
  await say(`${format(mail)}\r\n.`, 250);
  socket.end("QUIT\r\n");
}

/** RFC 5322. The text is base64, so no line of it is too long or looks like the end. */
export function format(mail: Mail): string {
  const text = Buffer.from(mail.text).toString("base64").replace(/.{76}(?=.)/g, "$&\r\n");
  return [
    `From: ${mail.from}`,
    `To: ${mail.to}`,
    `Subject: ${encoded(mail.subject)}`,
    `Message-ID: ${mail.messageId}`,
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: base64",
    "",
    text,
  ].join("\r\n");
}

/** RFC 2047: what is not plain ASCII in words of at most 45 bytes each. */
function encoded(subject: string): string {
  if (/^[\x20-\x7e]{1,60}$/.test(subject) && !subject.includes("=?")) return subject;
  const parts = [""];
  for (const character of subject) {
    const last = parts.at(-1) + character;
    if (Buffer.byteLength(last) <= 45) parts[parts.length - 1] = last;
    else parts.push(character);
  }
  return parts.map((part) => `=?utf-8?B?${Buffer.from(part).toString("base64")}?=`).join("\r\n ");
}
