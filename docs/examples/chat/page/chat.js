// The page: wires the connection, the log, the people and the keyboard together.

import { Composer } from "./composer.js";
import { Link } from "./link.js";
import { Log } from "./log.js";
import { People } from "./people.js";
import { element, linked } from "./text.js";
import { HELP, NAMES, ROOMS, cleanName, cleanRoom, splitCommand } from "./words.js";

const $ = (id) => document.getElementById(id);
const link = new Link();
const log = new Log($("log"), $("newer"), (before) => link.older(before));
const people = new People($("rooms"), $("people"), $("count"), go);
const composer = new Composer({ form: $("composer"), field: $("say"), hint: $("hint"), left: $("left") }, obey);
let room = "";
let me = cleanName(localStorage.getItem("name") ?? "");
let unread = 0;

// Where we are

function enter(wanted) {
  if (wanted === room) return;
  room = wanted;
  log.begin(me, true);
  $("room").textContent = `#${room}`;
  link.enter(me, room, () => log.last);
}

// The room in the address, the lobby if there is none, null if it cannot be one.
function roomFromAddress() {
  try {
    return location.hash.length > 1 ? cleanRoom(decodeURIComponent(location.hash)) : "lobby";
  } catch {
    return null; // a lone % encodes nothing
  }
}

function enterFromAddress() {
  const wanted = roomFromAddress();
  if (wanted === null) {
    history.replaceState(null, "", "#lobby");
    composer.hint(ROOMS);
  }
  enter(wanted ?? "lobby");
}

function go(wanted) {
  if (roomFromAddress() !== wanted) location.hash = encodeURIComponent(wanted);
  compose();
}

addEventListener("hashchange", () => me && enterFromAddress());

// What the server says

const heard = {
  welcome(item) {
    if (item.room !== room) return; // we have gone on
    me = item.you;
    composer.longest = item.longest;
    people.begin(me, room, item.people);
    showMotd(item.motd);
    if (item.taken && !$("hint").textContent) composer.hint(`The name ${item.taken} is taken. You are ${me}; /name NAME chooses another one.`);
    log.begin(me, item.fresh);
    if (!item.fresh) return;
    log.append(item.messages);
    log.more = item.more;
  },
  text(item) {
    if (item.room !== room || item.id <= (log.last ?? 0)) return;
    if (document.hidden && item.name !== me) unread++;
    fresh.push(item);
  },
  older(item) {
    if (item.room === room) log.prepend(item.messages, item.more);
  },
  join: (item) => people.join(item),
  leave: (item) => people.leave(item.name),
  time: (item) => tell(item.body),
  motd: (item) => showMotd(item.body),
  bye: (item) => composer.hint(item.body),
  notice(item) {
    composer.hint(item.body);
    if (!link.entered) refused(item.body);
  },
};
let fresh = [];

function tell(body) {
  fresh.push({ kind: "told", body });
}

link.addEventListener("items", ({ detail }) => {
  for (const item of detail) {
    if (item.kind !== "text") flush();
    heard[item.kind]?.(item);
  }
  flush();
  if (detail.some((item) => item.kind !== "text")) people.show();
  showTitle();
});

function flush() {
  if (fresh.length) log.append(fresh);
  fresh = [];
}

function showMotd(body) {
  $("motd").replaceChildren(...linked(body));
  $("motd").hidden = !body;
}

function showTitle() {
  document.title = `${unread ? `(${unread}) ` : ""}#${room} · trisig chat`;
}

addEventListener("visibilitychange", () => {
  unread = 0;
  showTitle();
});

// The server has rules that this page does not know: if it is not the room, it is the name.
function refused(why) {
  if (room !== "lobby") return go("lobby");
  me = null;
  askName("", why);
}

// The connection, and what is not sent yet

let countdown = 0;

link.addEventListener("state", ({ detail }) => {
  clearInterval(countdown);
  const { state, until } = detail;
  $("status").classList.toggle("live", state === "live");
  $("unsent").classList.toggle("waiting", state !== "live");
  $("status").textContent = { live: `worker ${detail.worker}`, away: "away", connecting: "connecting" }[state] ?? "reconnecting";
  $("trouble").hidden = state === "live" || state === "connecting";
  $("retry").textContent = state === "away" ? "Come back" : "Try now";
  if (state === "away") $("trouble-text").textContent = detail.why;
  if (state === "again") $("trouble-text").textContent = "Connection lost. Trying again…";
  if (state === "lost") {
    showCountdown(until);
    countdown = setInterval(() => showCountdown(until), 500);
  }
});

function showCountdown(until) {
  const seconds = Math.ceil((until - Date.now()) / 1000);
  $("trouble-text").textContent = seconds > 0 ? `Connection lost. Next try in ${seconds} s.` : "Connection lost. Trying again…";
}

link.addEventListener("outbox", () => {
  const here = link.outbox.filter((message) => message.room === room);
  $("unsent").replaceChildren(...here.map(showUnsent));
  $("unsent").scrollTop = $("unsent").scrollHeight;
});

function showUnsent({ body, stored }) {
  const item = element("li", stored ? "stored" : "");
  item.append(element("span", "body", body));
  return item;
}

$("retry").addEventListener("click", () => link.connect());
addEventListener("online", () => $("trouble").hidden || link.connect());
addEventListener("focus", () => link.comeBack());

// A browser may keep a page that one has left, connection and all, in case one comes back to it.
addEventListener("pagehide", () => link.leave());
addEventListener("pageshow", (event) => event.persisted && me && link.connect());

// What one types. Each answers with what is wrong, if something is.

function obey(text) {
  const [command, rest] = splitCommand(text);
  const complaint = (commands[command] ?? unknown)(rest, command);
  if (!complaint) log.toEnd();
  return complaint ?? "";
}

const commands = {
  "": (text) => link.say(text),
  "/join": (wanted) => openRoom(wanted),
  "/name": (name) => (name ? rename(name) : askName(me)),
  "/who": () => log.append([{ kind: "told", body: people.told }]),
  "/help": () => log.append([{ kind: "told", body: HELP }]),
};
const unknown = (rest, command) => `Unknown command ${command}. Begin with // to send a text that begins with a slash; /help lists the commands.`;

function openRoom(typed) {
  const wanted = cleanRoom(typed);
  if (!wanted) return ROOMS;
  go(wanted);
}

function rename(typed) {
  const name = cleanName(typed);
  if (!name) return NAMES;
  me = name;
  localStorage.setItem("name", me);
  if (room) link.enter(me, room, () => log.last);
  else enterFromAddress();
}

// The keyboard

addEventListener("keydown", (event) => {
  link.comeBack();
  if ($("who").open) return;
  if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
    event.preventDefault();
    const { rooms } = people;
    go(rooms.at((rooms.indexOf(room) + (event.key === "ArrowUp" ? -1 : 1)) % rooms.length));
  } else if (event.key === "PageUp" || event.key === "PageDown") {
    event.preventDefault();
    log.page(event.key === "PageUp" ? -1 : 1);
  } else if (event.key === "Escape") {
    log.toEnd();
    compose();
  } else if (isForComposer(event)) compose();
});

// What one types goes into the message, wherever the focus is; a space presses the button that has it.
function isForComposer({ key, ctrlKey, metaKey, altKey, target }) {
  if (key.length !== 1 || ctrlKey || metaKey || altKey) return false;
  return !target.closest(key === " " ? "input, textarea, button, a" : "input, textarea");
}

// On a narrow screen, rooms and people are behind a button, and cover the messages.

function showSide(shown) {
  $("side").classList.toggle("shown", shown);
  $("menu").setAttribute("aria-expanded", String(shown));
}

$("menu").addEventListener("click", () => showSide(!$("side").classList.contains("shown")));

function compose() {
  showSide(false);
  composer.focus();
}

$("open").addEventListener("submit", (event) => {
  event.preventDefault();
  const typed = $("open-room").value.trim().replace(/\s+/g, "-");
  const complaint = typed ? openRoom(typed) : undefined;
  if (!complaint) $("open-room").value = "";
  $("open-hint").textContent = complaint ?? "";
});
$("open-room").addEventListener("input", () => ($("open-hint").textContent = ""));

// Who we are

function askName(suggestion, why = NAMES) {
  $("name").value = suggestion ?? "";
  $("name-hint").textContent = why;
  checkName();
  if (!$("who").open) $("who").showModal();
  $("name").select();
}

function checkName() {
  $("name").setCustomValidity(cleanName($("name").value) ? "" : NAMES);
}

$("name").addEventListener("input", checkName);
$("who").addEventListener("close", () => (me ? compose() : askName(""))); // one needs a name, even after Escape
$("who-form").addEventListener("submit", () => rename($("name").value));

// A second window has the name of the first until its user says otherwise: the server tells them apart by a number.
if (me) {
  enterFromAddress();
  compose();
} else askName("");
